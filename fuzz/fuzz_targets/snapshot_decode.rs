//! Any bytes are a snapshot that survives its own encoding, or an error; never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use squall_metrics::{Merged, Snapshot};

fuzz_target!(|bytes: &[u8]| {
    // Lengths and the checksum would keep almost every input out, so they are put right first. The first byte says how
    // much of the input is buckets; the rest is what deflate would hold.
    let Some((&split, rest)) = bytes.split_first() else { return };
    let (buckets, content) = rest.split_at(usize::from(split).min(rest.len()));
    let content = &content[..content.len().min(usize::from(u16::MAX))];
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    let mut sealed = varint(buckets.len());
    sealed.extend(buckets);
    sealed.extend(varint(content.len()));
    // A single block that is stored as it is.
    sealed.push(1);
    sealed.extend(length.to_le_bytes());
    sealed.extend((!length).to_le_bytes());
    sealed.extend(content);
    let mut bytes = b"SQSN\x07".to_vec();
    bytes.extend(crc32(&sealed).to_le_bytes());
    bytes.extend(sealed);
    if let Ok(snapshot) = Snapshot::decode(&bytes) {
        assert_eq!(Snapshot::decode(&snapshot.encode()).as_ref(), Ok(&snapshot));
        let mut merged = Merged::default();
        merged.merge(snapshot.clone());
        merged.merge(Snapshot { sequence: snapshot.sequence.wrapping_add(1), ..snapshot });
        let _ = merged.requests();
    }
});

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
