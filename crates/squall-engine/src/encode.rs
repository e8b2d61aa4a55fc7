//! The body of a request, packed as the plan wants it.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression as Level;
use flate2::write::{GzEncoder, ZlibEncoder};
use squall_plan::Compression;

/// Packs a body, as well as clients usually do.
pub(crate) fn encode(compression: Compression, body: &[u8]) -> Bytes {
    // Writing to memory cannot fail.
    pack(compression, body).unwrap_or_default().into()
}

fn pack(compression: Compression, body: &[u8]) -> io::Result<Vec<u8>> {
    match compression {
        Compression::Gzip => {
            let mut packed = GzEncoder::new(Vec::new(), Level::default());
            packed.write_all(body)?;
            packed.finish()
        }
        Compression::Deflate => {
            let mut packed = ZlibEncoder::new(Vec::new(), Level::default());
            packed.write_all(body)?;
            packed.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::CONTENT_ENCODING;

    use super::*;
    use crate::decode::decode;

    #[test]
    fn what_is_packed_is_unpacked_by_what_its_header_says() {
        let body = b"{\"sku\":\"SKU-1\"}".repeat(200);
        for compression in [Compression::Gzip, Compression::Deflate] {
            let packed = encode(compression, &body);
            assert!(packed.len() < body.len() / 10);
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, compression.coding().parse().unwrap());
            assert_eq!(decode(Some(&headers), packed.to_vec()).as_deref(), Ok(&*body));
            assert_eq!(decode(Some(&headers), encode(compression, b"").to_vec()).as_deref(), Ok(&b""[..]));
        }
    }
}
