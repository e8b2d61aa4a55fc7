//! Numbers in as few bytes as they need: seven bits in each (LEB128).

/// Writes one.
pub(crate) fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or(0));
}

/// Reads one, and leaves what follows it; `None` if it does not end, or not within the ten bytes of the largest.
#[inline]
pub(crate) fn pull(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    if first >= 0x80 {
        return pull_long(bytes);
    }
    *bytes = rest;
    Some(u64::from(first))
}

fn pull_long(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for (shift, &byte) in (0..64).step_by(7).zip(*bytes) {
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            *bytes = bytes.get(shift / 7 + 1..)?;
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_survives_its_bytes_and_leaves_what_follows() {
        for (number, length) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)] {
            let mut bytes = Vec::new();
            push(&mut bytes, number);
            assert_eq!(bytes.len(), length, "{number}");
            for cut in 0..length {
                assert_eq!(pull(&mut &bytes[..cut]), None, "{number} cut to {cut}");
            }
            bytes.push(7);
            let mut rest = bytes.as_slice();
            assert_eq!((pull(&mut rest), rest), (Some(number), [7].as_slice()));
        }
        assert_eq!(pull(&mut [0xff; 11].as_slice()), None);
    }
}
