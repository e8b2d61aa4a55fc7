//! The content of a response, as captures want to see it.

use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use squall_metrics::Outcome;

/// Longer content is not captured from, before or after it is unpacked.
pub(crate) const MAX_CAPTURED_BYTES: usize = 16 * 1024 * 1024;

/// Unpacks what was received as its `Content-Encoding` says. What unpacks to more than can be captured from, what is
/// packed in an unknown way and what is damaged has no content.
pub(crate) fn decode(headers: Option<&HeaderMap>, body: Vec<u8>) -> Result<Vec<u8>, Outcome> {
    let values = headers.into_iter().flat_map(|headers| headers.get_all(CONTENT_ENCODING));
    let codings = values.filter_map(|value| value.to_str().ok());
    let mut codings: Vec<&str> = codings.flat_map(|value| value.split(',')).map(str::trim).collect();
    codings.retain(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"));
    // The last coding was applied last.
    codings.into_iter().rev().try_fold(body, |body, coding| {
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            unpack(MultiGzDecoder::new(&*body))
        } else if coding.eq_ignore_ascii_case("deflate") {
            unpack(ZlibDecoder::new(&*body))
        } else {
            Err(Outcome::Expectation)
        }
    })
}

fn unpack(packed: impl Read) -> Result<Vec<u8>, Outcome> {
    let mut content = Vec::new();
    let read = packed.take(MAX_CAPTURED_BYTES as u64 + 1).read_to_end(&mut content);
    if content.len() > MAX_CAPTURED_BYTES {
        return Err(Outcome::TooLarge);
    }
    read.map(|_| content).map_err(|_| Outcome::Protocol)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn content_is_unpacked_as_its_headers_say() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(b"text").unwrap();
        let check = |coding: &'static str, body: Vec<u8>, expected: Result<&[u8], Outcome>| {
            let headers = HeaderMap::from_iter([(CONTENT_ENCODING, coding.parse().unwrap())]);
            assert_eq!(decode(Some(&headers), body).as_deref(), expected.as_deref(), "{coding}");
        };
        check("", b"text".to_vec(), Ok(b"text"));
        check("identity", b"text".to_vec(), Ok(b"text"));
        check("GZIP", gzip(b"text"), Ok(b"text"));
        check("deflate, gzip", gzip(&zlib.finish().unwrap()), Ok(b"text"));
        check("br", b"text".to_vec(), Err(Outcome::Expectation));
        check("gzip", b"text".to_vec(), Err(Outcome::Protocol));
        check("gzip", gzip(b"text")[..12].to_vec(), Err(Outcome::Protocol));
        check("gzip", gzip(&vec![0; MAX_CAPTURED_BYTES + 1]), Err(Outcome::TooLarge));
    }
}
