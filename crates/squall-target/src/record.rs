//! A record of what came: a line of JSON for every request.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::body::{Body, Part};
use crate::model::Request;

/// A file that lines are added to.
#[derive(Debug)]
pub(crate) struct Record {
    file: File,
}

impl Record {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot record to {}: {error}", path.display()))
        })?;
        Ok(Self { file })
    }

    /// Adds a line at once, so that whoever reads finds only whole lines.
    pub(crate) fn append(&self, line: &Value) -> io::Result<()> {
        (&self.file).write_all(format!("{line}\n").as_bytes())
    }
}

/// A request as two clients that do the same would both send it: without what is theirs alone.
pub(crate) fn line(route: &str, request: &Request<'_>) -> Value {
    json!({
        "route": route,
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": headers(request.headers),
        "body": body(request.body),
    })
}

fn headers(headers: &HeaderMap) -> Value {
    let mut kept = Map::new();
    for name in ["content-type", "accept", "authorization", "x-api-key", "user-agent", "traceparent"] {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let values: Vec<String> = values
            .map(|value| match name {
                "content-type" => without_boundary(&value),
                // Only the scheme: what follows is secret, and another one in every run.
                "authorization" => value.split(' ').next().unwrap_or_default().to_owned(),
                _ => value.into_owned(),
            })
            .collect();
        if !values.is_empty() {
            kept.insert(name.to_owned(), json!(values.join(", ")));
        }
    }
    Value::Object(kept)
}

fn without_boundary(content_type: &str) -> String {
    let is_boundary =
        |part: &&str| part.trim_start().get(..9).is_some_and(|start| start.eq_ignore_ascii_case("boundary="));
    content_type.split(';').filter(|part| !is_boundary(part)).collect::<Vec<_>>().join(";")
}

fn body(body: &Body) -> Value {
    match body {
        Body::Empty => Value::Null,
        Body::Json(value) => value.clone(),
        Body::Form(parts) => parts.iter().map(part).collect(),
        Body::Broken(bytes, _) | Body::Other(bytes) => json!(String::from_utf8_lossy(bytes)),
    }
}

fn part(Part { name, filename, content_type, data }: &Part) -> Value {
    let text = String::from_utf8_lossy(data);
    json!({ "name": name, "filename": filename, "content_type": content_type, "text": text })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_line_has_what_was_sent_and_nothing_of_the_clients_own() {
        let check = |sent: &[(&'static str, &'static str)], text: &'static str, kept: Value, body: Value| {
            let sent = sent.iter().copied();
            let headers: HeaderMap = sent
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            let read = Body::read(&headers, Bytes::from_static(text.as_bytes()));
            let (method, path, query) = ("POST", "/api/v1/cart", "a=1");
            let request = Request { method, path, query, headers: &headers, body: &read };
            let expected = json!({
                "route": "POST /cart", "method": method, "path": path, "query": query,
                "headers": kept, "body": body,
            });
            assert_eq!(line("POST /cart", &request), expected);
        };
        check(&[], "", json!({}), Value::Null);
        let sent = [
            ("host", "target.test"),
            ("authorization", "Bearer secret"),
            ("content-type", "application/json; charset=utf-8"),
            ("user-agent", "squall"),
            ("accept", "application/json"),
            ("accept", "text/plain"),
            ("x-api-key", "key"),
            ("traceparent", "00-id-01"),
        ];
        let kept = json!({
            "content-type": "application/json; charset=utf-8",
            "accept": "application/json, text/plain",
            "authorization": "Bearer",
            "x-api-key": "key",
            "user-agent": "squall",
            "traceparent": "00-id-01",
        });
        check(&sent, "{\"b\": 1, \"a\": [2]}", kept, json!({ "b": 1, "a": [2] }));
        check(&sent[2..3], "{", json!({ "content-type": "application/json; charset=utf-8" }), json!("{"));
        check(&[("content-type", "text/plain")], "x", json!({ "content-type": "text/plain" }), json!("x"));
        let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\
                    Content-Type: text/csv\r\n\r\nx,y\r\n--b--\r\n";
        let part = json!({ "name": "file", "filename": "a.csv", "content_type": "text/csv", "text": "x,y" });
        let form_type = [("content-type", "multipart/form-data; boundary=b")];
        check(&form_type, form, json!({ "content-type": "multipart/form-data" }), json!([part]));
    }
}
