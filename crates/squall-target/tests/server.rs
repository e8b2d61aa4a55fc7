//! The service over a socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::{Value, json};
use squall_target::{Server, ServerOptions};

fn start(options: ServerOptions) -> Server {
    Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), options).unwrap()
}

fn at_once() -> ServerOptions {
    ServerOptions { delays: false, ..ServerOptions::default() }
}

/// An answer: its status, its head, its body.
struct Answer(u16, String, String);

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.2).unwrap()
    }

    fn text(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap().to_owned()
    }
}

fn send(server: &Server, method: &str, url: &str, headers: &[&str], body: &str) -> Answer {
    let (address, length) = (server.address(), body.len());
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} {url} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer(status, head.to_ascii_lowercase(), body.to_owned())
}

fn login(server: &Server) -> String {
    let who = json!({ "email": "load@example.com", "password": "Str0ngP@ssw0rd!", "client_id": "web" });
    let answer =
        send(server, "POST", "/api/v1/auth/login", &["Content-Type: application/json"], &who.to_string());
    format!("Authorization: Bearer {}", answer.text("access_token"))
}

#[test]
fn a_shopper_and_an_uploader_find_what_they_left() {
    let server = start(at_once());
    let token = login(&server);
    let json_type = "Content-Type: application/json";
    let cart = send(&server, "POST", "/api/v1/cart", &[&token, json_type], "{\"currency\":\"USD\"}");
    assert_eq!(cart.0, 201);
    let url = format!("/api/v1/cart/{}", cart.text("cart_id"));
    assert_eq!(send(&server, "GET", &url, &[&token], "").0, 200);
    let deleted = send(&server, "DELETE", &url, &[&token], "");
    assert_eq!((deleted.0, deleted.2.as_str()), (204, ""));

    let key = "X-Api-Key: demo-serverless-key-123456";
    let file = json!({ "file_name": "a.csv", "content_type": "text/csv", "document_type": "invoices" });
    let signed = send(&server, "POST", "/api/v1/uploads/presign", &[key, json_type], &file.to_string());
    let url = signed.text("upload_url");
    let path = url.strip_prefix(&format!("http://{}", server.address())).unwrap();
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\
                Content-Type: text/csv\r\n\r\nx,y\r\n--b--\r\n";
    let stored = send(&server, "POST", path, &["Content-Type: multipart/form-data; boundary=b"], form);
    assert_eq!(stored.0, 204);

    let counts = server.counts();
    let names: Vec<&str> = counts.routes.keys().map(String::as_str).collect();
    let expected = [
        "DELETE /cart/:id",
        "GET /cart/:id",
        "POST /auth/login",
        "POST /cart",
        "POST /uploads/presign",
        "POST object-storage upload",
    ];
    assert_eq!(names, expected);
    assert_eq!((counts.total, counts.invalid.len(), counts.unrecorded), (6, 0, 0));
}

#[test]
fn what_a_correct_client_never_sends_is_counted_with_its_reason() {
    let server = start(at_once());
    assert_eq!(send(&server, "GET", "/api/v1/cart/cart_1", &[], "").0, 401);
    let wrong = send(&server, "PUT", "/api/v1/cart/cart_1", &[], "");
    assert_eq!(wrong.0, 405);
    assert!(wrong.1.contains("\r\nallow: get, head, delete"), "{}", wrong.1);
    assert_eq!(send(&server, "GET", "/_fault/status/404", &[], "").0, 404);
    assert_eq!(send(&server, "GET", "/healthz", &[], "").0, 200);

    let counts = send(&server, "GET", "/_squall/counts", &[], "").json();
    assert_eq!(counts["total"], 4);
    assert_eq!(counts["invalid"], json!({ "GET /cart/:id": 2 }));
    let reasons = json!([
        { "route": "GET /cart/:id", "status": 401, "reason": "`authorization` has no Bearer token" },
        { "route": "GET /cart/:id", "status": 405, "reason": "method not allowed" },
    ]);
    assert_eq!(counts["reasons"], reasons);
}

#[test]
fn a_body_that_is_too_large_is_refused_and_counted() {
    let server = start(at_once());
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let body = vec![b'x'; 16 * 1024 * 1024 + 1];
    let head = format!("POST /api/v1/cart HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    assert_eq!(server.counts().invalid.get("POST /cart"), Some(&1));
}

#[test]
fn a_reset_forgets_everything() {
    let server = start(at_once());
    let token = login(&server);
    let headers = [token.as_str(), "Content-Type: application/json"];
    let create = || send(&server, "POST", "/api/v1/cart", &headers, "{\"currency\":\"USD\"}").text("cart_id");
    let cart = create();
    assert_eq!(send(&server, "POST", "/_squall/reset", &[], "").0, 200);
    assert_eq!(server.counts().total, 0);
    assert_eq!(send(&server, "GET", &format!("/api/v1/cart/{cart}"), &[&token], "").0, 404);
    assert_eq!(create(), cart, "ids begin again");
}

#[test]
fn every_request_to_a_known_route_is_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.jsonl");
    let server = start(ServerOptions { record: Some(path.clone()), ..at_once() });
    let token = login(&server);
    send(&server, "GET", "/api/v1/catalog/products?limit=12", &[&token, "Accept: application/json"], "");
    send(&server, "GET", "/elsewhere", &[], "");
    send(&server, "GET", "/_fault/echo", &[], "");
    send(&server, "GET", "/_squall/counts", &[], "");

    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(
        (&lines[0]["route"], &lines[0]["body"]["client_id"]),
        (&json!("POST /auth/login"), &json!("web"))
    );
    let expected = json!({
        "route": "GET /catalog/products (auth)",
        "method": "GET",
        "path": "/api/v1/catalog/products",
        "query": "limit=12",
        "headers": { "accept": "application/json", "authorization": "Bearer" },
        "body": null,
    });
    assert_eq!(lines[1], expected);

    let nowhere = ServerOptions { record: Some(folder.path().join("no/such/folder")), ..at_once() };
    let error = Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), nowhere).unwrap_err();
    assert!(error.to_string().contains("no/such/folder"), "{error}");
}
