//! Where in the store everything is. Nobody else builds a key.

/// Which run has the store.
pub const CURRENT: &str = "current";

/// The plan's bundle, by its hash.
#[must_use]
pub fn plan(sha256: &str) -> String {
    format!("plans/{sha256}")
}

/// What the run is.
#[must_use]
pub fn manifest(run: &str) -> String {
    format!("runs/{run}/manifest")
}

/// The orchestrator's word.
#[must_use]
pub fn control(run: &str) -> String {
    format!("runs/{run}/control")
}

/// Under which all assignments are listed.
#[must_use]
pub fn all_assignments(run: &str) -> String {
    format!("runs/{run}/assign/")
}

/// What a generation changes for the generators of a shard.
#[must_use]
pub fn assignment(run: &str, generation: u32, shard: u32) -> String {
    format!("{}{generation:06}/{shard:04}", all_assignments(run))
}

/// The shard of a generator: one of so many, chosen by FNV-1a of its nonce.
#[must_use]
pub fn shard_of(nonce: &str, shards: u32) -> u32 {
    let hash =
        nonce.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash % shards.max(1)
}

/// Under which all seats taken are listed.
#[must_use]
pub fn all_ready(run: &str) -> String {
    format!("runs/{run}/ready/")
}

/// A seat taken.
#[must_use]
pub fn ready(run: &str, nonce: &str) -> String {
    format!("{}{nonce}", all_ready(run))
}

/// Under which all snapshots are listed.
#[must_use]
pub fn all_snapshots(run: &str) -> String {
    format!("runs/{run}/snapshots/")
}

/// A snapshot: written in which interval since the epoch, by whom, and which of theirs.
#[must_use]
pub fn snapshot(run: &str, interval: u32, nonce: &str, sequence: u32) -> String {
    format!("{}{interval:08}/{nonce}-{sequence:06}", all_snapshots(run))
}

/// Whose snapshot is under a key, and which of theirs.
#[must_use]
pub fn whose_snapshot(key: &str) -> Option<(&str, u32)> {
    let (_, name) = key.rsplit_once('/')?;
    let (nonce, sequence) = name.rsplit_once('-')?;
    Some((nonce, sequence.parse().ok()?))
}

/// Under which all last words are listed.
#[must_use]
pub fn all_finals(run: &str) -> String {
    format!("runs/{run}/final/")
}

/// A generator's last word.
#[must_use]
pub fn final_word(run: &str, nonce: &str) -> String {
    format!("{}{nonce}", all_finals(run))
}

/// In which interval a snapshot was written, by its key.
#[must_use]
pub fn interval_of(key: &str) -> u32 {
    key.rsplit('/').nth(1).and_then(|interval| interval.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshots_key_says_when_it_was_written() {
        assert_eq!(interval_of(&snapshot("r", 17, "n", 3)), 17);
        assert_eq!(interval_of("nonsense"), 0);
    }

    #[test]
    fn generators_are_spread_over_all_shards() {
        let mut sizes = [0_u32; 4];
        for number in 0..4_000 {
            sizes[shard_of(&format!("nonce{number}"), 4) as usize] += 1;
        }
        assert!(sizes.iter().all(|size| (800..1_200).contains(size)), "{sizes:?}");
    }

    #[test]
    fn a_snapshots_key_says_whose_it_is() {
        let check = |key: &str, expected| assert_eq!(whose_snapshot(key), expected, "{key}");
        check(&snapshot("r", 7, "n-1", 3), Some(("n-1", 3)));
        check(&snapshot("r", 7, "n", u32::MAX), Some(("n", u32::MAX)));
        check(&ready("r", "n"), None);
        check("runs/r/snapshots/00000007/n-4294967296", None);
        check("runs/r/snapshots/00000007/n-", None);
        check("", None);
    }
}
