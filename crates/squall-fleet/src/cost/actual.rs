//! After a run: what it cost, by what it used.

use std::time::Duration;

use super::estimate::{billed_s, poller_hours, queue_requests};
use super::{Billed, Item, bill};
use crate::counted::StoreUse;
use crate::message::{Relief, Time};
use crate::orchestrator::GeneratorRecord;
use crate::sizing::{Concurrency, Function};

/// What a generator reads besides control: manifest, plan, assignment.
const READS_BESIDES_CONTROL: f64 = 3.0;

/// What a run used.
#[derive(Debug, Clone, Copy)]
pub struct Used<'a> {
    /// What each generator ran on.
    pub function: Function,
    /// How long a generator may live.
    pub timeout: Duration,
    /// How the mapping of each lane was set.
    pub concurrency: Concurrency,
    /// Over how many queues generators were spread.
    pub lanes: u32,
    /// How long the queues were open.
    pub open: Duration,
    /// How often generators looked at the store.
    pub poll: Duration,
    /// Invitations that were sent.
    pub invited: u32,
    /// When the run was over.
    pub ended_at: Time,
    /// Everybody who took a seat.
    pub generators: &'a [GeneratorRecord],
    /// What the command asked the store.
    pub command: StoreUse,
    /// Bytes that requests sent.
    pub bytes_sent: u64,
}

/// What it cost, what cost most first. Counted is what generators, requests and the command told; computed, and marked so, is
/// the rest: how long those were there who had no last word, how often generators looked at the store, what SQS and its pollers
/// did, and that all data left AWS.
#[must_use]
pub fn actual(used: &Used<'_>) -> Vec<Item> {
    let mut seconds = [0.0; 2];
    let (mut written, mut read, mut silent) = (used.command.writes as f64, used.command.reads as f64, false);
    for record in used.generators {
        let life = used.life(record);
        seconds[usize::from(!life.is_known)] += billed_s(life.billed);
        read += READS_BESIDES_CONTROL + life.billed.as_secs_f64() / used.poll.as_secs_f64().max(0.001);
        // That it is ready, and then its snapshots and its last word.
        written += 1.0 + record.last_word.as_ref().map_or(0.0, |last| f64::from(last.snapshots) + 1.0);
        silent |= record.post.is_some() && record.last_word.is_none();
    }
    let time = Billed::GeneratorTime(used.function.architecture);
    let [known, unknown] = seconds.map(|seconds| seconds * used.function.gigabytes());
    let taken = u32::try_from(used.generators.len()).unwrap_or(u32::MAX);
    let queue = queue_requests(used.invited, taken, used.concurrency, used.lanes, used.open);
    bill([
        Item::counted(time, known),
        Item::estimated(time, unknown),
        Item::counted(Billed::Invocations, f64::from(taken)),
        Item::estimated(Billed::QueueRequests, queue),
        Item::estimated(Billed::Pollers, poller_hours(used.concurrency, used.lanes, used.open)),
        Item { billed: Billed::Writes, quantity: written, is_estimated: silent },
        Item::estimated(Billed::Reads, read),
        Item::estimated(Billed::RequestData, used.bytes_sent as f64 / 1e9),
        Item::estimated(Billed::CommandData, used.command.bytes_read as f64 / 1e9),
    ])
}

/// How long an invocation was.
struct Life {
    billed: Duration,
    is_known: bool,
}

impl Used<'_> {
    /// From the begin of the invocation, which its deadline tells, to the last word; what its environment took to start
    /// is billed, too.
    fn life(&self, record: &GeneratorRecord) -> Life {
        let ready = &record.ready;
        let begin =
            ready.deadline.map_or(ready.clock, |deadline| deadline.minus(self.timeout)).min(ready.clock);
        let told = record.last_word.as_ref().and_then(|last| last.clock);
        let end = told.unwrap_or_else(|| self.latest_end(record));
        let init = Duration::try_from_secs_f64(ready.init_ms / 1e3).unwrap_or_default();
        Life { billed: end.since(begin).min(self.timeout) + init, is_known: told.is_some() }
    }

    /// When one without a last word was gone. Who was not needed leaves a look after it was told so; of one that was lost
    /// nobody knows more than that the run is over.
    fn latest_end(&self, record: &GeneratorRecord) -> Time {
        match record.relief {
            Some((Relief::Leave, at)) if record.post.is_none() => at.plus(self.poll).max(record.ready.clock),
            _ => self.ended_at.max(record.ready.clock),
        }
    }
}

#[cfg(test)]
mod tests {
    use squall_plan::Share;

    use super::*;
    use crate::cost::{quantity, total};
    use crate::message::{Ended, Final, Post, Ready, VERSION};
    use crate::sizing::Architecture;

    const TIMEOUT: Duration = Duration::from_mins(15);
    const TIME: Billed = Billed::GeneratorTime(Architecture::Arm);

    fn at(ms: i64) -> Time {
        Time(1_700_000_000_000_000 + ms * 1_000)
    }

    /// Invoked at 0, ready 200 ms later, after an init of 50 ms.
    fn generator(slice: Option<u32>, ended_ms: Option<i64>) -> GeneratorRecord {
        let nonce = format!("n{slice:?}");
        let ready = Ready {
            version: VERSION,
            nonce: nonce.clone(),
            seat: 0,
            region: "eu-west-1".to_owned(),
            environment: "e".to_owned(),
            queued_ms: None,
            deliveries: None,
            init_ms: 50.0,
            clock: at(200),
            deadline: Some(at(0).plus(TIMEOUT)),
            source_ip: None,
            remark: None,
            problem: None,
        };
        let last_word = ended_ms.map(|ms| Final {
            version: VERSION,
            nonce,
            snapshots: 5,
            requests: 100,
            ended: Ended::Finished,
            start_skew_ms: 0.0,
            clock: Some(at(ms)),
        });
        let share = slice.and_then(|index| Share::try_new(index, 2));
        GeneratorRecord {
            ready,
            ready_ms: 200.0,
            post: share.map(|share| Post { share, window: 0, from_us: 0, after: None, rounds: 0 }),
            relief: share.is_none().then(|| (Relief::Leave, at(3_000))),
            heard_at: at(200),
            last_word,
            clock_off_us: None,
        }
    }

    fn used(generators: &[GeneratorRecord]) -> Used<'_> {
        Used {
            function: Function { memory_mb: 2_048, architecture: Architecture::Arm },
            timeout: TIMEOUT,
            concurrency: Concurrency::Maximum(3),
            lanes: 1,
            open: Duration::from_secs(40),
            poll: Duration::from_secs(1),
            invited: 3,
            ended_at: at(16_000),
            generators,
            command: StoreUse { writes: 70, reads: 50, bytes_read: 2_000_000 },
            bytes_sent: 3_000_000_000,
        }
    }

    #[test]
    fn what_was_told_is_counted_and_the_rest_is_marked() {
        let generators =
            [generator(Some(0), Some(14_000)), generator(Some(1), Some(14_000)), generator(None, None)];
        let items = actual(&used(&generators));
        let of = |billed, is_estimated| {
            let own: Vec<Item> =
                items.iter().filter(|item| item.is_estimated == is_estimated).copied().collect();
            quantity(&own, billed)
        };
        let check = |billed, is_estimated, by_hand: f64| {
            let found = of(billed, is_estimated);
            assert!((found - by_hand).abs() < 1e-9, "{billed:?}: {found}");
        };
        // Two that lived for 14.05 s, and a spare that left a look after it was told to; two gigabytes each.
        check(TIME, false, 2.0 * 14.05 * 2.0);
        check(TIME, true, 4.05 * 2.0);
        check(Billed::Invocations, false, 3.0);
        // One batch, three messages received and deleted, five looks under way for 40 s.
        check(Billed::QueueRequests, true, 1.0 + 6.0 + 10.0);
        check(Billed::Pollers, true, 0.0);
        check(Billed::Writes, false, 70.0 + 3.0 + 2.0 * 6.0);
        check(Billed::Reads, true, 50.0 + 9.0 + 14.05 + 14.05 + 4.05);
        check(Billed::RequestData, true, 3.0);
        check(Billed::CommandData, true, 0.002);
        let by_hand = 64.3 * 0.000_013_333_4
            + 3.0 * 0.2e-6
            + 17.0 * 0.4e-6
            + 85.0 * 5e-6
            + 91.15 * 0.4e-6
            + 3.002 * 0.09;
        assert!((total(&items) - by_hand).abs() < 1e-9, "{}", total(&items));
        assert!(items.is_sorted_by(|one, other| one.usd() >= other.usd()));
    }

    #[test]
    fn how_long_one_was_there_who_did_not_say_so_is_bounded() {
        let check = |record: GeneratorRecord, change: fn(&mut Used<'_>), by_hand_s: f64| {
            let generators = [record];
            let mut used = used(&generators);
            change(&mut used);
            let seconds = quantity(&actual(&used), TIME) / 2.0;
            assert!((seconds - by_hand_s).abs() < 1e-9, "{seconds}");
        };
        // Lost: until the end of the run, and no longer than it may live.
        check(generator(Some(0), None), |_| (), 16.05);
        check(generator(Some(0), None), |used| used.ended_at = at(9_000_000), 900.05);
        // Ready to the end and never needed; told to leave before it was there.
        check(GeneratorRecord { relief: None, ..generator(None, None) }, |_| (), 16.05);
        let at_once = Some((Relief::Leave, at(-5_000)));
        check(GeneratorRecord { relief: at_once, ..generator(None, None) }, |_| (), 0.25);
        // Without a deadline it is as old as its first word, and a part of a millisecond is a whole one.
        let mut local = generator(Some(0), Some(1_000));
        (local.ready.deadline, local.ready.init_ms) = (None, 0.1);
        check(local, |_| (), 0.801);
        let mut mad = generator(Some(0), Some(1_000));
        mad.ready.init_ms = f64::NAN;
        check(mad, |_| (), 1.0);
    }

    #[test]
    fn pollers_are_paid_for_while_the_queue_is_open() {
        let mut used = used(&[]);
        (used.concurrency, used.lanes) = (Concurrency::Pollers { minimum: 102, maximum: 102 }, 2);
        assert!((quantity(&actual(&used), Billed::Pollers) - 2.0 * 102.0 * 40.0 / 3_600.0).abs() < 1e-9);
        // A look of each lasts 20 s, and ten are under way.
        let looks = quantity(&actual(&used), Billed::QueueRequests);
        assert!((looks - (1.0 + 2.0 * 102.0 * 10.0 * 2.0)).abs() < 1e-9, "{looks}");
    }
}
