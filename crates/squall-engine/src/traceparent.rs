//! Ids of single requests, and the header that tells them (W3C Trace Context).

use std::cell::RefCell;

use http::{HeaderName, HeaderValue};
use rand::Rng;
use squall_metrics::{OneIn, Sample, TraceId};
use squall_plan::random::{Random, id_stream};
use squall_plan::{EventSettings, Request, Share};

use crate::message::Message;
use crate::slice::RunFacts;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Draws the ids of a thread's requests, from a stream of their own: what users draw is the same with and without them.
pub(crate) struct TraceIds {
    random: RefCell<Random>,
    /// Which of them are kept.
    sampling: Option<OneIn>,
    /// Whether requests carry them.
    sent: bool,
}

impl TraceIds {
    /// Of the thread that has this share of a run.
    pub(crate) fn new(settings: EventSettings, run: &RunFacts, share: Share) -> Self {
        let words = [run.started_ms.cast_unsigned(), u64::from(share.index()), u64::from(share.count())];
        Self {
            random: RefCell::new(id_stream(&[&run.id, &run.nonce], &words)),
            sampling: settings.one_in.map(OneIn::new),
            sent: settings.traceparent,
        }
    }

    /// Which requests are kept.
    pub(crate) fn sampling(&self) -> Option<OneIn> {
        self.sampling
    }

    /// No request is kept.
    pub(crate) fn keep_none(&mut self) {
        self.sampling = None;
    }

    /// Gives a request its id, which it carries unless the plan says another one.
    pub(crate) fn identify(&self, request: &Request, message: Option<&mut Message<'_>>, sample: &mut Sample) {
        let mut random = self.random.borrow_mut();
        let id = id_of(&mut random);
        sample.trace = Some(id);
        if self.sent
            && !request.headers.has(&TRACEPARENT)
            && let Some(message) = message
        {
            let is_kept = self.sampling.is_some_and(|sampling| sampling.takes(id));
            if let Ok(value) = traceparent(id, random.next_u64(), is_kept) {
                message.add_header(TRACEPARENT, value);
                sample.trace_sent = true;
            }
        }
    }
}

fn id_of(random: &mut Random) -> TraceId {
    let halves = [random.next_u64(), random.next_u64()];
    let mut id = [0; 16];
    for (bytes, half) in id.chunks_exact_mut(8).zip(halves) {
        bytes.copy_from_slice(&half.to_be_bytes());
    }
    TraceId(id)
}

/// Version 00; the last flag says whether the request is kept. A parent id of zeros is none.
fn traceparent(
    id: TraceId,
    parent: u64,
    is_kept: bool,
) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    HeaderValue::try_from(format!("00-{id}-{:016x}-{:02x}", parent.max(1), u8::from(is_kept)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn the_header_is_as_the_standard_has_it() {
        let id = TraceId(*b"\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36");
        let check = |parent, is_kept, expected: &str| {
            assert_eq!(traceparent(id, parent, is_kept).unwrap(), expected);
        };
        check(0x00f0_67aa_0ba9_02b7, true, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        check(0, false, "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000001-00");
    }

    #[test]
    fn no_two_threads_generators_or_runs_draw_the_same_ids() {
        let settings = EventSettings { one_in: NonZeroU32::new(10), traceparent: true };
        let of = |id: &str, nonce: &str, started_ms, index| {
            let run = RunFacts { id: id.to_owned(), nonce: nonce.to_owned(), started_ms };
            TraceIds::new(settings, &run, Share::try_new(index, 4).unwrap())
        };
        let all = [
            of("a", "", 1, 0),
            of("b", "", 1, 0),
            of("a", "n", 1, 0),
            of("", "an", 1, 0),
            of("an", "", 1, 0),
            of("a", "", 2, 0),
            of("a", "", 1, 1),
        ];
        let draw = |ids: &TraceIds| id_of(&mut ids.random.borrow_mut());
        let drawn: HashSet<TraceId> =
            all.iter().flat_map(|ids| std::iter::repeat_with(|| draw(ids)).take(1_000)).collect();
        assert_eq!(drawn.len(), 7_000);
        let kept = drawn.iter().filter(|id| all[0].sampling.unwrap().takes(**id)).count();
        assert!((600..=800).contains(&kept), "{kept} of 7,000 are one in ten");
    }
}
