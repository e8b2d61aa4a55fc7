//! The body of a request, read as its content type says.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use multer::Multipart;
use serde_json::Value;

/// What a body turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    /// Nothing.
    Empty,
    /// JSON.
    Json(Value),
    /// The parts of a form.
    Form(Vec<Part>),
    /// It is not what its content type says, and why.
    Broken(Bytes, String),
    /// Anything else.
    Other(Bytes),
}

/// A part of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: Option<String>,
    pub(crate) filename: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) data: Bytes,
}

impl Body {
    /// Reads a body by the content type among the headers.
    pub(crate) fn read(headers: &HeaderMap, bytes: Bytes) -> Self {
        let content_type =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let read = match essence(content_type).as_str() {
            _ if bytes.is_empty() => return Self::Empty,
            "application/json" => {
                serde_json::from_slice(&bytes).map(Self::Json).map_err(|error| error.to_string())
            }
            "multipart/form-data" => parts(content_type, bytes.clone()).map(Self::Form),
            _ => return Self::Other(bytes),
        };
        read.unwrap_or_else(|why| Self::Broken(bytes, why))
    }
}

/// A content type without its parameters, in small letters.
pub(crate) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn parts(content_type: &str, bytes: Bytes) -> Result<Vec<Part>, String> {
    let boundary = multer::parse_boundary(content_type).map_err(|error| error.to_string())?;
    let mut form = Multipart::new(stream::iter([Ok::<_, Infallible>(bytes)]), boundary);
    let read = async {
        let mut parts = Vec::new();
        while let Some(field) = form.next_field().await? {
            let content_type = field.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            parts.push(Part {
                name: field.name().map(str::to_owned),
                filename: field.file_name().map(str::to_owned),
                content_type: content_type.map(str::to_owned),
                data: field.bytes().await?,
            });
        }
        Ok(parts)
    };
    // All of the body is here, so nothing of this waits.
    let read = read.now_or_never().unwrap_or(Err(multer::Error::IncompleteStream));
    read.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(content_type: &str, body: &str) -> Body {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        Body::read(&headers, Bytes::from(body.to_owned()))
    }

    #[test]
    fn a_form_is_read_to_its_last_boundary() {
        let form = "--b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nfor the files\r\n\
                    --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\
                    Content-Type: text/csv\r\n\r\nx,y\r\n1,2\r\n\r\n--b--\r\n";
        let part =
            |name: &str, filename: Option<&str>, content_type: Option<&str>, data: &'static str| Part {
                name: Some(name.to_owned()),
                filename: filename.map(str::to_owned),
                content_type: content_type.map(str::to_owned),
                data: Bytes::from_static(data.as_bytes()),
            };
        let expected = vec![
            part("note", None, None, "for the files"),
            part("file", Some("a.csv"), Some("text/csv"), "x,y\r\n1,2\r\n"),
        ];
        assert_eq!(read("multipart/form-data; boundary=b", form), Body::Form(expected.clone()));
        assert_eq!(read("Multipart/Form-Data; boundary=\"b\"", form), Body::Form(expected));

        let broken = |content_type: &str, form: &str| {
            let read = read(content_type, form);
            assert!(matches!(read, Body::Broken(..)), "{content_type}: {form:?} is {read:?}");
        };
        broken("multipart/form-data", form);
        broken("multipart/form-data; boundary=c", form);
        for cut in [1, 30, 60, 120, form.len() - 4] {
            broken("multipart/form-data; boundary=b", &form[..cut]);
        }
        broken("multipart/form-data; boundary=b", &form.replace("\r\n", "\n"));
    }

    #[test]
    fn a_body_is_what_its_content_type_says() {
        let check = |content_type: &str, body: &str, expected: Body| {
            assert_eq!(read(content_type, body), expected, "{content_type}: {body}");
        };
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        check("application/json", "{\"a\": 1}", Body::Json(serde_json::json!({ "a": 1 })));
        check("Application/JSON; charset=utf-8", "[]", Body::Json(serde_json::json!([])));
        check("application/json", "", Body::Empty);
        check("text/plain", "{}", Body::Other(bytes("{}")));
        assert!(matches!(read("application/json", "{"), Body::Broken(..)));
        assert!(matches!(read("application/json", "{} {}"), Body::Broken(..)));
    }
}
