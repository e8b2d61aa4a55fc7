//! Bytes that are sealed as they should be, and say what nobody wrote.

use proptest::prelude::*;

use super::*;
use crate::{Merged, Observation, Recorder, Sample};

fn snapshot() -> Snapshot {
    let mut recorder = Recorder::new(2);
    for at_us in (0..2_500_000).step_by(9_000) {
        let series = SeriesId(u16::try_from(at_us % 2).unwrap_or(0));
        recorder.begun(20);
        recorder.record(&Sample { ended_us: at_us + 1_000, ..Sample::begun(series, at_us, at_us + 20) });
    }
    recorder.note("`GET /`: refused".to_owned());
    recorder.cleanup_left("DELETE /carts/7".to_owned());
    let stolen = Observation { stolen_us: 900_000, observed_us: 1_000_000, ..Observation::default() };
    recorder.observe(0..2, stolen);
    let interval = recorder.take().into_interval();
    Snapshot { run: "r".to_owned(), nonce: "n".to_owned(), sequence: 3, interval }
}

/// One that is nothing is an error; one that is something comes back as it is, and merges.
fn check(writer: &Writer) -> Result<(), TestCaseError> {
    if let Ok(snapshot) = decode(&seal(writer)) {
        let again = decode(&encode(&snapshot));
        prop_assert_eq!(again.as_ref(), Ok(&snapshot));
        let mut merged = Merged::default();
        merged.merge(snapshot.clone());
        merged.merge(Snapshot { sequence: snapshot.sequence.wrapping_add(1), ..snapshot });
        let _ = merged.requests();
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_snapshot_with_other_contents_is_another_or_none(
        changes in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut writer = Writer::of(&snapshot());
        for (in_buckets, at, byte) in changes {
            let bytes = if in_buckets { &mut writer.buckets } else { &mut writer.bytes };
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check(&writer)?;
    }

    #[test]
    fn a_snapshot_that_ends_elsewhere_is_another_or_none(
        bytes in any::<prop::sample::Index>(), buckets in any::<prop::sample::Index>(), more in 0_usize..3,
    ) {
        let mut writer = Writer::of(&snapshot());
        writer.bytes.truncate(bytes.index(writer.bytes.len()) + 1);
        writer.buckets.truncate(buckets.index(writer.buckets.len()) + 1);
        writer.bytes.extend(vec![0; more]);
        check(&writer)?;
    }

    #[test]
    fn any_sealed_bytes_are_a_snapshot_or_none(
        bytes in proptest::collection::vec(any::<u8>(), 0..200), buckets in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        check(&Writer { bytes, buckets })?;
    }
}

#[test]
fn what_is_left_over_is_refused() {
    let check = |change: fn(&mut Writer), problem| {
        let mut writer = Writer::of(&snapshot());
        change(&mut writer);
        assert_eq!(decode(&seal(&writer)).err(), Some(DecodeError::Damaged(problem)));
    };
    check(|writer| writer.bytes.push(0), "more than a snapshot");
    check(|writer| writer.buckets.push(0), "more than a snapshot");
    check(|writer| writer.buckets.truncate(1), "buckets end too early");
}

#[test]
fn a_length_that_cannot_be_is_not_believed() {
    let check = |length: u64, error: DecodeError| {
        let mut rest = vec![0];
        varint::push(&mut rest, length);
        rest.extend([0x03, 0x00]);
        let mut bytes = [MAGIC.as_slice(), &[VERSION], &checksum(&rest).to_le_bytes()].concat();
        bytes.extend(rest);
        assert_eq!(decode(&bytes), Err(error), "{length}");
    };
    check(u64::MAX, DecodeError::TooLarge);
    check(MAX_UNPACKED_BYTES as u64 + 1, DecodeError::TooLarge);
    check(1 << 20, DecodeError::Damaged("too few bytes"));
    check(1_000, DecodeError::Damaged("not compressed as it should be"));
    // Nothing at all is not even the name of a run.
    check(0, DecodeError::Damaged("number without an end"));
}
