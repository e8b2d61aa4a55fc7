//! What AWS is asked for, against a Lambda that knows what the emulator does not: provided pollers, and that a change
//! takes its time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::scripted::Scripted;

/// Whether it is enabled, its limit, and its pollers.
type Found = (bool, Option<u64>, Option<(u64, u64)>);

/// A mapping as Lambda keeps it.
#[derive(Debug, Clone, Default)]
struct Kept {
    enabled: bool,
    limit: Option<u64>,
    pollers: Option<(u64, u64)>,
    /// For so many more looks a change is on its way.
    changing: u32,
    /// So many looks after each change.
    takes: u32,
}

impl Kept {
    fn answer(&self) -> Value {
        let state = match (self.enabled, self.changing > 0) {
            (true, true) => "Enabling",
            (true, false) => "Enabled",
            (false, true) => "Disabling",
            (false, false) => "Disabled",
        };
        let mut answer = json!({ "UUID": "u", "State": state });
        if let Some(limit) = self.limit {
            answer["ScalingConfig"] = json!({ "MaximumConcurrency": limit });
        }
        if let Some((minimum, maximum)) = self.pollers {
            answer["ProvisionedPollerConfig"] =
                json!({ "MinimumPollers": minimum, "MaximumPollers": maximum });
        }
        answer
    }

    /// As Lambda does: no change during another one, never both kinds, only numbers that it takes.
    fn change(&mut self, change: &Value) -> Result<(), (u16, &'static str)> {
        if self.changing > 0 {
            self.changing -= 1;
            return Err((400, "ResourceInUseException"));
        }
        let mut new = self.clone();
        new.changing = self.takes;
        if let Some(enabled) = change["Enabled"].as_bool() {
            new.enabled = enabled;
        }
        if let Some(scaling) = change.get("ScalingConfig") {
            new.limit = scaling["MaximumConcurrency"].as_u64();
        }
        if let Some(pollers) = change.get("ProvisionedPollerConfig") {
            new.pollers = pollers["MinimumPollers"].as_u64().zip(pollers["MaximumPollers"].as_u64());
        }
        let good = new.limit.is_none_or(|limit| (2..=1_000).contains(&limit))
            && new.pollers.is_none_or(|(minimum, maximum)| {
                (2..=200).contains(&minimum) && (2..=10_000).contains(&maximum) && minimum <= maximum
            })
            && !(new.limit.is_some() && new.pollers.is_some());
        if !good {
            return Err((400, "InvalidParameterValueException"));
        }
        *self = new;
        Ok(())
    }
}

/// Lambda with mappings of those names.
struct Lambda {
    kept: Arc<Mutex<BTreeMap<String, Kept>>>,
    service: Scripted,
    mappings: Mappings,
}

impl Lambda {
    fn start(kept: &[(&str, Kept)]) -> Self {
        let ids: Vec<String> = kept.iter().map(|(id, _)| (*id).to_owned()).collect();
        let kept: BTreeMap<String, Kept> =
            kept.iter().map(|(id, kept)| ((*id).to_owned(), kept.clone())).collect();
        let kept = Arc::new(Mutex::new(kept));
        let known = Arc::clone(&kept);
        let service = Scripted::serve(move |request| Some(answer(&mut known.lock().unwrap(), request)));
        let mappings = Mappings::new(&service.connection, ids);
        Self { kept, service, mappings }
    }

    fn kept(&self) -> Vec<Found> {
        self.kept.lock().unwrap().values().map(|kept| (kept.enabled, kept.limit, kept.pollers)).collect()
    }

    /// The changes that each mapping was asked for, in their order, and how often all were looked at.
    fn asked(self) -> (BTreeMap<String, Vec<String>>, usize) {
        let (mut changes, mut looks) = (BTreeMap::new(), 0);
        for request in self.service.asked() {
            let (method, rest) = request.split_once(' ').unwrap();
            let (path, body) = rest.split_once(" HTTP/1.1 ").unwrap();
            let id = path.rsplit('/').next().unwrap().to_owned();
            match method {
                "PUT" => changes.entry(id).or_insert_with(Vec::new).push(body.to_owned()),
                _ => looks += 1,
            }
        }
        (changes, looks)
    }
}

fn answer(kept: &mut BTreeMap<String, Kept>, request: &str) -> (u16, String) {
    let (method, rest) = request.split_once(' ').unwrap();
    let (path, body) = rest.split_once(" HTTP/1.1 ").unwrap();
    let id = path.strip_prefix("/2015-03-31/event-source-mappings/").unwrap();
    let Some(mapping) = kept.get_mut(id) else {
        return (404, json!({ "__type": "ResourceNotFoundException", "Message": id }).to_string());
    };
    if method == "PUT" {
        if let Err((status, code)) = mapping.change(&serde_json::from_str(body).unwrap()) {
            return (status, json!({ "__type": code, "Message": body }).to_string());
        }
        return (202, mapping.answer().to_string());
    }
    let answer = mapping.answer().to_string();
    mapping.changing = mapping.changing.saturating_sub(1);
    (200, answer)
}

fn closed() -> Kept {
    Kept::default()
}

#[test]
fn lanes_share_the_seats_as_invitations_are_dealt() {
    let check = |seats, lanes, expected: &[u32]| {
        assert_eq!(shares(seats, lanes).collect::<Vec<_>>(), expected, "{seats} over {lanes}");
    };
    check(5, 1, &[5]);
    check(5, 2, &[3, 2]);
    check(10_000, 3, &[3_334, 3_333, 3_333]);
    check(2, 4, &[1, 1, 1, 1]);
    check(0, 2, &[1, 1]);
}

#[tokio::test]
async fn small_lanes_are_opened_each_with_its_share_and_closed_again() {
    let lambda = Lambda::start(&[("a", closed()), ("b", closed())]);
    lambda.mappings.open(35).await.unwrap();
    assert_eq!(lambda.kept(), [(true, Some(18), None), (true, Some(17), None)]);
    assert_eq!(lambda.mappings.look().await.unwrap(), Left { lanes: 2, open: 2, with_pollers: 0 });
    lambda.mappings.close().await.unwrap();
    assert_eq!(lambda.kept(), [(false, Some(18), None), (false, Some(17), None)]);
    assert!(lambda.mappings.look().await.unwrap().is_closed());
    let open = |limit| format!(r#"{{"Enabled":true,"ScalingConfig":{{"MaximumConcurrency":{limit}}}}}"#);
    let close = r#"{"Enabled":false}"#.to_owned();
    let (changes, _) = lambda.asked();
    assert_eq!(changes["a"], [open(18), close.clone()]);
    assert_eq!(changes["b"], [open(17), close]);
}

#[tokio::test]
async fn large_lanes_have_pollers_before_a_run_and_none_after_it() {
    for lanes in [1_usize, 3] {
        let all = [("a", closed()), ("b", closed()), ("c", closed())];
        let lambda = Lambda::start(&all[..lanes]);
        lambda.mappings.open(6_000).await.unwrap();
        let pollers = if lanes == 1 { (200, 600) } else { (200, 200) };
        assert_eq!(lambda.kept(), vec![(true, None, Some(pollers)); lanes]);
        assert_eq!(lambda.mappings.look().await.unwrap(), Left { lanes, open: lanes, with_pollers: lanes });
        lambda.mappings.close().await.unwrap();
        assert_eq!(lambda.kept(), vec![(false, None, None); lanes]);
        assert!(lambda.mappings.look().await.unwrap().is_closed());
        let open = format!(
            r#"{{"Enabled":true,"ProvisionedPollerConfig":{{"MinimumPollers":{},"MaximumPollers":{}}}}}"#,
            pollers.0, pollers.1
        );
        let close = r#"{"Enabled":false,"ProvisionedPollerConfig":{}}"#.to_owned();
        for own in lambda.asked().0.values() {
            assert_eq!(*own, [open.clone(), close.clone()], "{lanes} lanes");
        }
    }
}

#[tokio::test]
async fn a_fleet_is_open_when_its_slowest_lane_is() {
    let slow = Kept { takes: 2, ..Kept::default() };
    let lambda = Lambda::start(&[("a", closed()), ("b", slow)]);
    lambda.mappings.open(4_000).await.unwrap();
    let b = lambda.kept.lock().unwrap()["b"].clone();
    assert_eq!((b.changing, b.pollers), (0, Some((200, 200))));
    // Closing waits for the opening's end, and not for its own.
    let (_, looks) = lambda.asked();
    // Each before its change; then one of the quick lane, and three of the slow one.
    assert_eq!(looks, 2 + 1 + 3);
}

#[tokio::test]
async fn pollers_that_a_dead_run_left_are_seen_and_given_back() {
    let left = Kept { enabled: true, pollers: Some((200, 600)), ..Kept::default() };
    let half = Kept { pollers: Some((2, 2)), ..Kept::default() };
    let lambda = Lambda::start(&[("a", left.clone()), ("b", closed()), ("c", half)]);
    let found = lambda.mappings.look().await.unwrap();
    assert_eq!(found, Left { lanes: 3, open: 1, with_pollers: 2 });
    assert!(!found.is_closed());
    lambda.mappings.close().await.unwrap();
    assert!(lambda.mappings.look().await.unwrap().is_closed());
    assert_eq!(lambda.kept(), vec![(false, None, None); 3]);
    // A smaller run on it has a limit instead, which excludes them.
    let lambda = Lambda::start(&[("a", left)]);
    lambda.mappings.open(7).await.unwrap();
    assert_eq!(lambda.kept(), [(true, Some(7), None)]);
}

#[tokio::test]
async fn a_lane_that_cannot_be_closed_keeps_no_other_open() {
    let open = Kept { enabled: true, ..Kept::default() };
    let lambda = Lambda::start(&[("a", open.clone()), ("b", open)]);
    lambda.kept.lock().unwrap().remove("a");
    let error = lambda.mappings.close().await.unwrap_err();
    assert_eq!(error.kind, squall_fleet::StoreErrorKind::Gone);
    assert_eq!(lambda.kept(), [(false, None, None)]);
}
