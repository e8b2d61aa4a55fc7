//! Files: a signed URL, the upload to it, and the documents that are made of it.

use std::time::Duration;

use http::HeaderMap;
use http::header::HOST;
use http::uri::Authority;
use serde_json::{Value, json};

use crate::auth::signature;
use crate::body::Body;
use crate::chance::{Progress, progress};
use crate::input::{Outcome, Refusal, header, limit, parameter, status, text, wrong};
use crate::jobs::LISTED;
use crate::state::State;

/// A file that may be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    name: String,
    content_type: String,
    is_uploaded: bool,
}

/// A file that is being processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    created: Duration,
    file_id: String,
}

/// How long a signed URL is good for.
const SIGNED_FOR: Duration = Duration::from_mins(15);

/// `POST /uploads/presign`
pub(crate) fn presign(headers: &HeaderMap, body: &Value, state: &mut State, now: Duration) -> Outcome {
    let (name, content_type) = (text(body, "/file_name")?, text(body, "/content_type")?);
    text(body, "/document_type")?;
    if !content_type.contains('/') {
        return Err(wrong("/content_type", "a type such as text/csv"));
    }
    let host = header(headers, &HOST)?.and_then(|host| host.parse::<Authority>().ok());
    let host = host.ok_or_else(|| Refusal::bad("`host` is missing or wrong"))?;
    let file = File { name: name.to_owned(), content_type: content_type.to_owned(), is_uploaded: false };
    let id = state.files.add(file);
    let end = (now + SIGNED_FOR).as_secs();
    let signature = sign(&id, end, state);
    let url = format!("http://{host}/storage/uploads/{id}?X-Signature={signature}&X-Expires={end}");
    Ok((200, json!({ "upload_url": url, "file_id": id, "expires_in": SIGNED_FOR.as_secs() })))
}

/// `POST object-storage upload`
pub(crate) fn store(id: &str, query: &str, body: &Body, state: &mut State, now: Duration) -> Outcome {
    let end = parameter(query, "X-Expires").and_then(|end| end.parse().ok()).unwrap_or(0);
    if parameter(query, "X-Signature") != Some(&sign(id, end, state)) {
        return Err(Refusal::new(403, "signature is missing or wrong"));
    }
    if end <= now.as_secs() {
        return Err(Refusal::new(403, "signed URL has expired"));
    }
    let file = state.files.get_mut(id).ok_or_else(|| Refusal::new(404, "no such file"))?;
    let parts = match body {
        Body::Form(parts) => parts,
        Body::Broken(_, why) => return Err(Refusal::bad(format!("body cannot be read: {why}"))),
        _ => return Err(Refusal::bad("body is not multipart/form-data")),
    };
    let mut of_file = parts.iter().filter(|part| part.name.as_deref() == Some("file"));
    let (Some(part), None) = (of_file.next(), of_file.next()) else {
        return Err(Refusal::bad("form has not one part `file`"));
    };
    if part.filename.as_ref() != Some(&file.name) {
        return Err(Refusal::bad(format!("part `file` has not the filename `{}`", file.name)));
    }
    if !part.content_type.as_ref().is_some_and(|of_part| of_part.eq_ignore_ascii_case(&file.content_type)) {
        return Err(Refusal::bad(format!("part `file` is not of type `{}`", file.content_type)));
    }
    if part.data.is_empty() {
        return Err(Refusal::bad("part `file` is empty"));
    }
    file.is_uploaded = true;
    Ok((204, Value::Null))
}

/// `POST /documents/process`
pub(crate) fn process(body: &Value, state: &mut State, now: Duration) -> Outcome {
    let file_id = text(body, "/file_id")?;
    text(body, "/pipeline")?;
    let webhook = text(body, "/notify_webhook")?;
    if !["http://", "https://"].iter().any(|scheme| webhook.starts_with(scheme)) {
        return Err(wrong("/notify_webhook", "a URL"));
    }
    let (_, file) = state.files.get(file_id).ok_or_else(|| Refusal::new(404, "no such file"))?;
    if !file.is_uploaded {
        return Err(Refusal::new(409, "file was not uploaded"));
    }
    let document = Document { created: now, file_id: file_id.to_owned() };
    Ok((202, json!({ "document_id": state.documents.add(document), "status": "processing" })))
}

/// `GET /documents`
pub(crate) fn documents(query: &str, state: &State, now: Duration) -> Outcome {
    let (wanted, limit) = (status(query, &["processing", "completed", "failed"])?, limit(query, 25)?);
    let documents = state.documents.newest().take(LISTED);
    let items: Vec<Value> = documents
        .map(|(number, document)| (number, document, status_of(number, document, state, now)))
        .filter(|(_, _, status)| wanted.is_none_or(|wanted| wanted == *status))
        .take(limit)
        .map(|(number, document, status)| {
            let id = state.documents.id(number);
            json!({ "document_id": id, "file_id": document.file_id, "status": status })
        })
        .collect();
    Ok((200, json!({ "items": items })))
}

fn sign(id: &str, end: u64, state: &State) -> String {
    signature(state.seed, &format!("upload.{id}.{end}"))
}

fn status_of(number: u64, document: &Document, state: &State, now: Duration) -> &'static str {
    match progress(state.documents.seed(), number, now.saturating_sub(document.created)) {
        Progress::Queued | Progress::Running => "processing",
        Progress::Completed => "completed",
        Progress::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::UPLOAD_KEY;
    use crate::testing::{Client, with};

    fn client() -> Client {
        let mut client = Client::default();
        client.api_key = Some(UPLOAD_KEY);
        client
    }

    /// What the URL and the id of a presigned `a.csv` are.
    fn signed(client: &mut Client) -> (String, String) {
        let answer = client.post("/api/v1/uploads/presign", &to_sign());
        assert_eq!((answer.route, answer.status), ("POST /uploads/presign", 200));
        let of = |name: &str| answer.body[name].as_str().unwrap().to_owned();
        (of("upload_url").strip_prefix("http://target.test:8080").unwrap().to_owned(), of("file_id"))
    }

    fn to_sign() -> Value {
        json!({ "file_name": "a.csv", "content_type": "text/csv", "document_type": "invoice_batch" })
    }

    fn to_process(file: &str) -> Value {
        json!({ "file_id": file, "pipeline": "invoices", "notify_webhook": "https://example.com/result" })
    }

    fn form(name: &str, filename: &str, content_type: &str, data: &str) -> String {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{filename}\"\r\n\
             Content-Type: {content_type}\r\n\r\n{data}\r\n--b--\r\n"
        )
    }

    fn upload(client: &mut Client, url: &str, form: &str) -> u16 {
        let answer = client.send("POST", url, &[("content-type", "multipart/form-data; boundary=b")], form);
        assert_eq!(answer.route, "POST object-storage upload");
        answer.status
    }

    #[test]
    fn a_file_is_signed_uploaded_and_processed() {
        let mut client = client();
        let (url, id) = signed(&mut client);
        let process = |client: &mut Client| {
            let answer = client.post("/api/v1/documents/process", &to_process(&id));
            assert_eq!(answer.route, "POST /documents/process");
            answer
        };
        assert_eq!(process(&mut client).status, 409);
        client.api_key = None;
        assert_eq!(upload(&mut client, &url, &form("file", "a.csv", "text/csv", "x,y\n")), 204);
        client.api_key = Some(UPLOAD_KEY);
        let answer = process(&mut client);
        assert_eq!((answer.status, &answer.body["status"]), (202, &json!("processing")));

        let listed = client.get("/api/v1/documents?status=processing&limit=10");
        let item =
            json!({ "document_id": answer.body["document_id"], "file_id": id, "status": "processing" });
        assert_eq!((listed.route, listed.status), ("GET /documents", 200));
        assert_eq!(listed.body, json!({ "items": [item] }));

        client.now += Duration::from_secs(6);
        assert_eq!(client.get("/api/v1/documents?status=processing").body, json!({ "items": [] }));
        assert_ne!(client.get("/api/v1/documents").body["items"][0]["status"], "processing");
        for query in ["status=done", "status=", "limit=0", "limit=101"] {
            assert_eq!(client.get(&format!("/api/v1/documents?{query}")).status, 400, "{query}");
        }
    }

    #[test]
    fn only_the_form_that_was_signed_is_stored() {
        let mut client = client();
        let (url, id) = signed(&mut client);
        let good = form("file", "a.csv", "text/csv", "x,y\n");
        let mut check =
            |form: &str, status: u16| assert_eq!(upload(&mut client, &url, form), status, "{form}");
        check(&good, 204);
        check(&form("file", "a.csv", "Text/CSV", "x,y\n"), 204);
        check(&form("file", "b.csv", "text/csv", "x,y\n"), 400);
        check(&form("file", "a.csv", "text/plain", "x,y\n"), 400);
        check(&form("document", "a.csv", "text/csv", "x,y\n"), 400);
        check(&form("file", "a.csv", "text/csv", ""), 400);
        check(&good.replace("Content-Type: text/csv\r\n", ""), 400);
        check(&good.replace("; filename=\"a.csv\"", ""), 400);
        check(&good.replace("--b--", &good), 400);
        check(&good.replace("--b--", ""), 400);
        check("--b--\r\n", 400);
        check("", 400);

        let mut check = |url: &str, content_type: &str, status: u16| {
            let answer = client.send("POST", url, &[("content-type", content_type)], &good);
            assert_eq!(answer.status, status, "{url} with {content_type}");
        };
        let multipart = "multipart/form-data; boundary=b";
        check(&url, "multipart/form-data; boundary=other", 400);
        check(&url, "multipart/form-data", 400);
        check(&url, "text/csv", 400);
        check(&url.replace("X-Signature=", "X-Signature=0"), multipart, 403);
        check(&url.replace("X-Expires=", "X-Expires=9"), multipart, 403);
        check(&url.replace(&id, "file_1"), multipart, 403);
        check(url.split('?').next().unwrap(), multipart, 403);
        client.now += SIGNED_FOR;
        assert_eq!(upload(&mut client, &url, &good), 403);
    }

    #[test]
    fn an_upload_to_what_is_forgotten_finds_nothing() {
        let mut client = client();
        let (url, id) = signed(&mut client);
        client.reset();
        assert_eq!(upload(&mut client, &url, &form("file", "a.csv", "text/csv", "x")), 404);
        assert_eq!(client.post("/api/v1/documents/process", &to_process(&id)).status, 404);
    }

    #[test]
    fn what_cannot_be_signed_or_processed_is_refused() {
        let mut client = client();
        let (_, id) = signed(&mut client);
        let mut check = |path: &str, body: Value, expected: u16| {
            assert_eq!(client.post(path, &body).status, expected, "{path}: {body}");
        };
        for at in ["/file_name", "/content_type", "/document_type"] {
            for value in [Value::Null, json!(""), json!(1)] {
                check("/api/v1/uploads/presign", with(&to_sign(), at, value), 400);
            }
        }
        check("/api/v1/uploads/presign", with(&to_sign(), "/content_type", json!("csv")), 400);
        for at in ["/file_id", "/pipeline", "/notify_webhook"] {
            for value in [Value::Null, json!(""), json!(1)] {
                check("/api/v1/documents/process", with(&to_process(&id), at, value), 400);
            }
        }
        check("/api/v1/documents/process", with(&to_process(&id), "/notify_webhook", json!("nowhere")), 400);
        check("/api/v1/documents/process", to_process("file_1"), 404);
        client.host = None;
        assert_eq!(client.post("/api/v1/uploads/presign", &to_sign()).status, 400);
    }
}
