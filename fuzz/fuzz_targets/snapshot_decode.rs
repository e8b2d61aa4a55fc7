//! Any bytes are a snapshot that survives its own encoding, or an error; never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use squall_metrics::{Merged, Snapshot};

fuzz_target!(|bytes: &[u8]| {
    // The checksum would keep almost every input out, so it is put right first.
    let mut bytes = bytes.to_vec();
    if bytes.len() > 9 {
        let mut packed = vec![1, 0, 0, 0, 0];
        let body = bytes.split_off(9);
        let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
        packed[1..3].copy_from_slice(&length.to_le_bytes());
        packed[3..5].copy_from_slice(&(!length).to_le_bytes());
        packed.extend(&body[..usize::from(length)]);
        bytes = b"SQSN\x01".to_vec();
        bytes.extend(crc32(&packed).to_le_bytes());
        bytes.extend(packed);
    }
    if let Ok(snapshot) = Snapshot::decode(&bytes) {
        assert_eq!(Snapshot::decode(&snapshot.encode()).as_ref(), Ok(&snapshot));
        let mut merged = Merged::default();
        merged.merge(snapshot.clone());
        merged.merge(Snapshot { sequence: snapshot.sequence.wrapping_add(1), ..snapshot });
        let _ = merged.requests();
    }
});

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
