//! Whatever happens in whatever order, control only moves forward and the end comes once.

use proptest::prelude::*;
use squall_plan::{Bundle, Inputs};

use super::*;

fn settings(seats: u32) -> Settings {
    Settings {
        run: "r".to_owned(),
        name: "n".to_owned(),
        bundle: "b".to_owned(),
        seed: 1,
        seats,
        least: seats,
        spares: 1,
        interval_s: 1,
        poll: Duration::from_millis(100),
        gather: Duration::from_secs(10),
        window: Duration::from_hours(1),
        lasts: Lasts { load: Duration::from_secs(20), divisible: true, ..Lasts::default() },
        detached: false,
        regions: Vec::new(),
        all_regions: false,
    }
}

fn ready(nonce: u8, seat: u32) -> Event {
    let ready = Ready {
        version: VERSION,
        nonce: format!("n{nonce}"),
        seat,
        region: String::new(),
        environment: String::new(),
        queued_ms: None,
        deliveries: None,
        init_ms: 0.0,
        clock: Time(0),
        deadline: None,
        source_ip: None,
        remark: None,
        problem: (nonce == 9).then(|| "cannot".to_owned()),
    };
    Event::Ready { ready, stored_at: None }
}

fn any_event() -> impl Strategy<Value = Event> {
    let ended = prop_oneof![
        4 => Just(Ended::Finished),
        1 => Just(Ended::Stopped),
        1 => Just(Ended::Failed("broke".to_owned())),
        1 => Just(Ended::AbortRequested("enough".to_owned())),
    ];
    prop_oneof![
        6 => (0_u8..10, 0_u32..4).prop_map(|(nonce, seat)| ready(nonce, seat)),
        4 => (0_u8..10).prop_map(|nonce| Event::Merged { nonce: format!("n{nonce}"), requests: 0, rounds: 0, sequence: 0, interval: 0 }),
        3 => (0_u8..10, 0_u32..3, ended).prop_map(|(nonce, snapshots, ended)| Event::Final(Final {
            version: VERSION,
            nonce: format!("n{nonce}"),
            snapshots,
            requests: 0,
            ended,
            start_skew_ms: 0.0,
            clock: None,
        })),
        4 => Just(Event::Tick),
        1 => Just(Event::Deaf),
        8 => Just(Event::Looked),
        1 => (0_i64..90_000_000).prop_map(|until| Event::Renewed { lease_until: Time(until) }),
        1 => Just(Event::Begin),
        1 => Just(Event::Stop),
    ]
}

proptest! {
    #[test]
    fn control_moves_forward_and_the_end_comes_once(
        events in proptest::collection::vec((any_event(), 0_i64..4_000_000), 0..80), seats in 1_u32..4,
    ) {
        let mut now = Time(0);
        let mut machine = Orchestrator::new(settings(seats), now);
        let mut controls: Vec<Control> = Vec::new();
        let (mut assignments, mut ends) = (0, 0);
        for (event, later_us) in std::iter::once((Event::Begin, 0)).chain(events) {
            now = Time(now.0 + later_us);
            for command in machine.on_event(now, event) {
                prop_assert_eq!(ends, 0, "nothing is said after the end");
                match command {
                    Command::WriteControl(control) => controls.push(control),
                    Command::WriteAssignment(assignment) if assignment.generation == 1 => {
                        assignments += 1;
                        let mut shares: Vec<u32> = assignment.posts.values().map(|post| post.share.index()).collect();
                        shares.sort_unstable();
                        prop_assert_eq!(shares, (0..seats).collect::<Vec<_>>(), "every slice has one generator");
                    }
                    Command::WriteAssignment(assignment) => {
                        let has_one_before = |post: &Post| post.after.is_some();
                        prop_assert!(assignment.posts.values().all(has_one_before), "{:?}", assignment);
                    }
                    Command::End(_) => ends += 1,
                    Command::WriteManifest(_) | Command::Invite(_) => {}
                }
            }
            machine.check_accounts();
        }
        prop_assert!(controls.is_sorted_by_key(|control| (control.state, control.generation)));
        prop_assert!(assignments <= 1);
        // However little is heard, it ends when its time is over.
        for _ in 0..4 {
            now = Time(now.0 + 100_000_000);
            machine.on_event(now, Event::Looked);
        }
        prop_assert_eq!(machine.phase(), Phase::Done);
    }
}

#[test]
fn a_wrong_clock_is_no_generator_and_somebody_comes_in_its_place() {
    let mut machine = Orchestrator::new(Settings { spares: 0, ..settings(4) }, Time(0));
    machine.on_event(Time(0), Event::Begin);
    let come = |machine: &mut Orchestrator, nonce, ahead_us: i64| {
        let Event::Ready { ready, .. } = ready(nonce, u32::from(nonce)) else { panic!("not ready") };
        let ready = Ready { clock: Time(1_000_000 + ahead_us), ..ready };
        machine.on_event(Time(1_000_000), Event::Ready { ready, stored_at: Some(Time(1_000_000)) })
    };
    for (nonce, ahead_us) in [(0, 9_000_000), (1, 0), (2, 0)] {
        come(&mut machine, nonce, ahead_us);
    }
    // Four are wanted at once, and the one who waits in vain has the place of one of them.
    let commands = come(&mut machine, 3, 0);
    assert_eq!(machine.phase(), Phase::Gathering, "four are ready, and one of them does not count");
    let [Command::WriteAssignment(changes), Command::WriteControl(control), Command::Invite(_)] =
        &commands[..]
    else {
        panic!("{commands:?}")
    };
    assert_eq!((changes.reliefs.len(), changes.reliefs.get("n0")), (1, Some(&Relief::Leave)));
    assert_eq!((control.state, control.generation), (State::Waiting, 1));
    come(&mut machine, 4, 0);
    assert_eq!((machine.phase(), machine.has_slice("n0")), (Phase::Running, false));
}

#[test]
fn the_lease_is_renewed_while_nothing_happens() {
    let mut machine = Orchestrator::new(settings(1), Time(0));
    machine.on_event(Time(0), Event::Begin);
    let written = (1..=9_i64).filter(|second| {
        let commands = machine.on_event(Time(second * 1_000_000), Event::Tick);
        matches!(commands.as_slice(), [Command::WriteControl(control)] if control.lease_until > Time(second * 1_000_000))
    });
    assert_eq!(written.collect::<Vec<_>>(), [5]);
}

#[test]
fn the_epoch_is_by_the_generators_clocks() {
    let mut machine = Orchestrator::new(settings(3), Time(0));
    machine.on_event(Time(0), Event::Begin);
    for (nonce, offset_us) in [(0, -7_000_000_i64), (1, 3_000_000), (2, 90_000_000)] {
        let Event::Ready { ready, .. } = ready(nonce, u32::from(nonce)) else { panic!("not ready") };
        let ready = Ready { clock: Time(1_000_000 + offset_us), ..ready };
        machine.on_event(Time(1_000_000), Event::Ready { ready, stored_at: None });
    }
    assert_eq!(machine.epoch(), Some(Time(1_000_000 + 3_000_000 + 1_000_000)));
}

#[test]
fn a_look_that_began_before_the_time_was_over_gives_nobody_up() {
    let mut machine = Orchestrator::new(settings(1), Time(0));
    machine.on_event(Time(0), Event::Begin);
    machine.on_event(Time(0), ready(0, 0));
    machine.on_event(Time(10_000_000), Event::Renewed { lease_until: Time(900_000_000) });
    // The load is over at 21 s, and everything should be there 11 s later.
    machine.on_event(Time(31_000_000), Event::Tick);
    machine.on_event(Time(40_000_000), Event::Looked);
    assert_eq!(machine.phase(), Phase::Running);
    machine.on_event(Time(40_000_000), Event::Tick);
    let commands = machine.on_event(Time(41_000_000), Event::Looked);
    assert!(commands.contains(&Command::End(End::Finished)), "{commands:?}");
}

#[test]
fn somebody_else_is_invited_in_place_of_few_who_do_not_come() {
    let invited_after = |ready_of_8: u8, s: i64| {
        let mut machine =
            Orchestrator::new(Settings { gather: Duration::from_mins(3), ..settings(8) }, Time(0));
        machine.on_event(Time(0), Event::Begin);
        for nonce in 10..10 + ready_of_8 {
            machine.on_event(Time(2_000_000), ready(nonce, u32::from(nonce - 10)));
        }
        let commands = machine.on_event(Time(s * 1_000_000), Event::Looked);
        let more = commands.into_iter().filter_map(|command| match command {
            Command::Invite(invitations) => Some(invitations.len()),
            _ => None,
        });
        more.sum::<usize>()
    };
    assert_eq!((invited_after(6, 31), invited_after(6, 32)), (0, 2));
    // Where half are lacking, they are slow.
    assert_eq!(invited_after(4, 60), 0);
}

/// With looks of eight seconds each, as of 10,000 generators: who is silent is replaced, unless nothing could be heard.
#[test]
fn who_is_silent_is_replaced_however_long_a_look_takes() {
    let replaced = |deaf: bool| {
        let lasts = Lasts { load: Duration::from_mins(5), ..settings(1).lasts };
        let mut machine = Orchestrator::new(Settings { lasts, ..settings(4) }, Time(0));
        machine.on_event(Time(0), Event::Begin);
        (0..5).for_each(|nonce| drop(machine.on_event(Time(0), ready(nonce, u32::from(nonce)))));
        for look in 1..12 {
            let at = |s: i64| Time((look * 8 + s) * 1_000_000);
            (0..8).for_each(|s| drop(machine.on_event(at(s), if deaf { Event::Deaf } else { Event::Tick })));
            machine.on_event(at(7), Event::Renewed { lease_until: Time(900_000_000) });
            for nonce in ["n1", "n2", "n3"] {
                let (nonce, sequence) = (nonce.to_owned(), u32::try_from(look).unwrap());
                machine.on_event(
                    at(7),
                    Event::Merged { nonce, requests: 1, rounds: 0, sequence, interval: sequence },
                );
            }
            machine.on_event(at(8), Event::Looked);
        }
        machine.seats().replaced
    };
    assert_eq!((replaced(false), replaced(true)), (1, 0));
}

/// What thousands have written takes a while to be read, and that it does is not in the fleet's time.
#[test]
fn words_that_are_read_late_do_not_set_the_fleets_clock_back() {
    let mut machine = Orchestrator::new(settings(3), Time(0));
    machine.on_event(Time(0), Event::Begin);
    // Generators are 7 s ahead of us and the store is 3 s behind; the last of three is read 20 s after it was written.
    for (nonce, written_us, read_us) in
        [(0, 1_000_000, 1_000_000), (1, 1_500_000, 11_000_000), (2, 2_000_000, 22_000_000)]
    {
        let Event::Ready { ready, .. } = ready(nonce, u32::from(nonce)) else { panic!("not ready") };
        let ready = Ready { clock: Time(written_us + 7_000_000), ..ready };
        let stored_at = Some(Time((written_us - 3_000_000_i64).div_euclid(1_000_000) * 1_000_000));
        machine.on_event(Time(read_us), Event::Ready { ready, stored_at });
    }
    let epoch = machine.epoch().unwrap().since(Time(22_000_000 + 7_000_000));
    assert!((Duration::from_secs(1)..=Duration::from_secs(2)).contains(&epoch), "{epoch:?}");
    // By our clock load begins as much later as it is decided.
    let here = machine.epoch_here().unwrap().since(Time(22_000_000));
    assert!((Duration::from_millis(500)..=Duration::from_secs(2)).contains(&here), "{here:?}");
}

#[test]
fn a_seat_that_nobody_was_invited_to_is_not_counted_on() {
    let mut machine = Orchestrator::new(settings(2), Time(0));
    machine.on_event(Time(0), Event::Begin);
    // Two seats and a spare: 0 to 2.
    for (nonce, seat) in [(0, 3), (1, u32::MAX), (2, 0)] {
        machine.on_event(Time(1), ready(nonce, seat));
    }
    assert_eq!((machine.phase(), machine.seats().ready), (Phase::Gathering, 1));
    machine.on_event(Time(2), ready(3, 0));
    assert_eq!(
        (machine.phase(), machine.seats().assigned),
        (Phase::Running, 2),
        "twice delivered is one more"
    );
    assert!(!machine.has_slice("n0") && machine.has_slice("n2") && machine.has_slice("n3"));
    machine.on_event(Time(3), ready(4, 2));
    machine.on_event(Time(4), ready(5, 2));
    assert_eq!((machine.seats().spare, machine.seats().duplicate), (1, 1));
}

/// Load is made on so many generators from the second 1 on, for ten minutes.
fn under_way(generators: u8) -> Orchestrator {
    let mut settings = settings(u32::from(generators));
    settings.lasts.load = Duration::from_mins(10);
    let mut machine = Orchestrator::new(settings, Time(0));
    machine.on_event(Time(0), Event::Begin);
    (0..generators).for_each(|nonce| drop(machine.on_event(Time(0), ready(nonce, u32::from(nonce)))));
    assert_eq!(machine.epoch(), Some(Time(1_000_000)));
    machine
}

fn told(nonce: u8, sequence: u32, requests: u64) -> Event {
    Event::Merged { nonce: format!("n{nonce}"), requests, rounds: 0, sequence, interval: sequence }
}

#[test]
fn a_run_ends_when_nothing_is_heard_of_anybody_for_a_minute() {
    let check = |heard: u8, expected: Phase| {
        let mut machine = under_way(5);
        for second in 0..75_i64 {
            let heard = if second < 5 { 5 } else { heard };
            (0..heard).for_each(|nonce| {
                drop(
                    machine
                        .on_event(Time(second * 1_000_000), told(nonce, u32::try_from(second).unwrap(), 1)),
                );
            });
            machine.on_event(Time(second * 1_000_000), Event::Looked);
            // The last word was at 4 s.
            assert!(second > 64 || machine.phase() == Phase::Running, "{second} s");
        }
        assert_eq!(machine.phase(), expected, "{heard} heard of");
    };
    check(0, Phase::Ending);
    check(1, Phase::Running);
    check(5, Phase::Running);
}

#[test]
fn what_is_unknown_of_a_run_that_was_given_up_is_bounded_by_its_lease() {
    let mut machine = under_way(2);
    machine.on_event(Time(3_000_000), told(0, 0, 10));
    // Said at 3 s, so load ends 33 s after the begin, and 2 s later by a clock that is wrong by as much as is allowed.
    machine.on_event(Time(3_000_000), Event::Stop);
    assert_eq!(
        machine.unknown_requests(&squall_metrics::Merged::default()),
        Some(2 * 10 * (3 - 1 + 30 + 2 + 1))
    );
    // Whoever only reads does not know for how long somebody else renews it.
    let mut machine = under_way(2);
    machine.on_event(Time(3_000_000), told(0, 0, 10));
    let control = Control { term: 2, ..machine.control.clone() };
    machine.on_event(Time(3_000_000), Event::Superseded(control));
    assert_eq!(machine.unknown_requests(&squall_metrics::Merged::default()), Some(2 * 10 * (600 + 1)));
}

#[test]
fn what_is_unknown_of_a_run_of_which_nothing_was_ever_told_has_no_bound() {
    let mut machine = under_way(2);
    let text =
        "target: http://h\nload: { rate: 10/s, duration: 20s }\nscenarios: { a: { steps: [ { get: / } ] } }";
    let plan = squall_plan::compile(&Bundle::new("p.yaml", text.to_owned(), Inputs::default())).unwrap().plan;
    machine.settings.lasts.levels = Levels::of(&plan);
    machine.on_event(Time(3_000_000), Event::Stop);
    let nothing = squall_metrics::Merged::default();
    assert_eq!(machine.unknown_requests(&nothing), None);
    let missing = machine.missing(&nothing);
    assert!(missing.iter().all(|one| one.ends_with("nobody knows how many requests it sent")), "{missing:?}");
    // In the second before 1 s one of them had three requests, so it may have as many until the lease is over.
    machine.on_event(Time(3_000_000), told(0, 1, 3));
    assert_eq!(machine.unknown_requests(&nothing), Some(2 * 3 * (3 - 1 + 30 + 2 + 1)));
}

#[test]
fn a_generator_that_is_lost_is_named_with_its_seat_and_its_cause_if_that_is_known() {
    let mut machine = under_way(3);
    (0..3).for_each(|nonce| drop(machine.on_event(Time(4_000_000), told(nonce, 0, 10))));
    let last_word = Final {
        version: VERSION,
        nonce: "n2".to_owned(),
        snapshots: 1,
        requests: 10,
        ended: Ended::Finished,
        start_skew_ms: 0.0,
        clock: None,
    };
    machine.on_event(Time(4_000_000), Event::Final(last_word));
    // Snapshots come once a second: one of them lived to tell another, the other did not.
    for (nonce, deadline_us) in [("n0", 6_000_000), ("n1", 6_000_001)] {
        machine.generators.get_mut(nonce).unwrap().ready.deadline = Some(Time(deadline_us));
    }
    // Load ends with the lease of 30 s, 2 s later by a clock that is wrong.
    let unknown = format!("up to {} requests are unknown", 10 * (30 - 1 + 2 + 1));
    assert_eq!(
        machine.missing(&squall_metrics::Merged::default()),
        [
            format!("slice 0: generator n0 of seat 0 not heard of from 0 s on, timed out; {unknown}"),
            format!("slice 1: generator n1 of seat 1 not heard of from 0 s on, cause unknown; {unknown}"),
        ]
    );
}

#[test]
fn whose_clock_is_wrong_gets_no_slice_and_that_is_told() {
    let mut machine = Orchestrator::new(settings(2), Time(0));
    machine.on_event(Time(0), Event::Begin);
    for (nonce, off_us) in [(0, 3_000_000_i64), (1, 0), (2, 500_000)] {
        let Event::Ready { ready, .. } = ready(nonce, u32::from(nonce)) else { panic!("not ready") };
        let ready = Ready { clock: Time(off_us), ..ready };
        machine.on_event(Time(0), Event::Ready { ready, stored_at: Some(Time(0)) });
    }
    assert!(!machine.has_slice("n0") && machine.has_slice("n1") && machine.has_slice("n2"));
    assert_eq!(
        machine.notes(),
        ["clocks of 1 of 3 generators are wrong by more than 2 s, so they got no slice"]
    );
}

#[test]
fn whoever_comes_later_with_a_wrong_clock_replaces_nobody() {
    let mut machine = under_way(5);
    for (nonce, off_us) in [(6, -3_000_000_i64), (7, 1_500_000), (8, 0)] {
        let Event::Ready { ready, .. } = ready(nonce, 5) else { panic!("not ready") };
        let ready = Ready { clock: Time(2_000_000 + off_us), ..ready };
        machine.on_event(Time(2_000_000), Event::Ready { ready, stored_at: Some(Time(2_000_000)) });
    }
    // Nothing is heard of the one, so somebody else goes on with its slice.
    for second in 3..=20 {
        (1..5).for_each(|nonce| drop(machine.on_event(Time(second * 1_000_000), told(nonce, 0, 10))));
        machine.on_event(Time(second * 1_000_000), Event::Looked);
    }
    assert!(machine.has_slice("n7") && !machine.has_slice("n6"), "{:?}", machine.generators());
    assert_eq!(machine.generators()["n6"].relief.map(|(relief, _)| relief), Some(Relief::Leave));
    assert_eq!(
        machine.notes(),
        ["clocks of 1 of 8 generators are wrong by more than 2 s, so they got no slice"]
    );
}

#[test]
fn whoever_goes_on_with_users_is_told_how_many_iterations_may_be_behind_them() {
    let mut machine = under_way(2);
    let rounds = |nonce: u8, second: u32, rounds: u64| {
        let told = told(nonce, second, 1);
        let Event::Merged { nonce, requests, sequence, interval, .. } = told else { panic!("no snapshot") };
        Event::Merged { nonce, requests, rounds, sequence, interval }
    };
    // Nobody has users of the closed model.
    assert_eq!(machine.rounds_before("n0", 30_000_000), 0);
    for second in 1..=9_u32 {
        machine.on_event(Time(i64::from(second) * 1_000_000), rounds(0, second - 1, u64::from(second) * 3));
        machine.on_event(Time(i64::from(second) * 1_000_000), rounds(1, second - 1, u64::from(second) * 5));
    }
    // 27 told until the eighth second, and at most 5 in each of the 23 since then.
    assert_eq!(machine.rounds_before("n0", 30_000_000), 27 + 5 * (30 - 8 + 1));
    machine.settings.lasts.spread = Duration::from_secs(4);
    assert_eq!(machine.rounds_before("n1", 30_000_000), 45 + 5 * (34 - 8 + 1));
    // One that has not told anything goes on from what it was told.
    machine.generators.get_mut("n0").unwrap().post.as_mut().unwrap().rounds = 1_000;
    machine.told.remove("n0");
    assert_eq!(machine.rounds_before("n0", 3_000_000), 1_000 + 5 * (7 + 1));
}
