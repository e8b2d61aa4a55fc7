//! The plans of the guide over hundreds of thousands of iterations: tasks come as often as their weights say.

use std::path::Path;
use std::{fs, io};

use squall_plan::LoadOverride;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

/// So many iterations in all, at least.
const ITERATIONS: u64 = 200_000;

/// Answers every request of the guide's journeys, with as little effort as a test of many can afford; or none, where the
/// first request of a task is all that is to be seen.
#[derive(Debug, Clone, Copy)]
struct Guide {
    answers: bool,
}

impl Connect for Guide {
    fn connect(
        &self,
        _: &Origin,
        _: Rc<Cell<Phases>>,
    ) -> LocalBoxFuture<'static, Result<Dialed, ConnectError>> {
        if !self.answers {
            let refused = ConnectError::Tcp(io::ErrorKind::ConnectionRefused.into());
            return Box::pin(async move { Err(refused) });
        }
        let (near, far) = tokio::io::duplex(8 * 1024);
        spawn_local(converse(far));
        let dialed = Dialed { io: Box::new(near), http2: false, remote: None, proxy: None };
        Box::pin(async move { Ok(dialed) })
    }
}

async fn converse(mut far: DuplexStream) {
    let mut came = Vec::new();
    let body = "{\"access_token\":\"t\",\"cart_id\":\"c\",\"job_id\":\"j\",\"status\":\"completed\",\
                \"upload_url\":\"http://127.0.0.1:1/put\",\"file_id\":\"f\"}";
    while let Ok(1..) = far.read_buf(&mut came).await {
        let Some(length) = length_of(&came).filter(|length| came.len() >= *length) else { continue };
        let status = match came.get(..17) {
            Some(b"POST /api/v1/cart") if came.get(17) == Some(&b' ') => 201,
            Some(b"POST /api/v1/repo") => 202,
            _ => 200,
        };
        came.drain(..length);
        let answer = format!("HTTP/1.1 {status} \r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if far.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// How long a request is, if its head is there.
fn length_of(came: &[u8]) -> Option<usize> {
    let head = came.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&came[..head]).unwrap().to_ascii_lowercase();
    let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    Some(head + length.map_or(0, |length| length.parse::<usize>().unwrap()))
}

/// Runs an example with so many users for so long, and compares how often the first requests of its tasks were sent with the weights of all tasks.
fn check(example: &str, (users, seconds): (u32, u64), answers: bool, weights: &[(&str, u64)]) {
    let file = format!("../../docs/examples/{example}.yaml");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let inputs = Inputs {
        target: Some("http://127.0.0.1:1".to_owned()),
        load: Some(LoadOverride::Users { users, duration: Duration::from_secs(seconds) }),
        ..Inputs::default()
    };
    let plan = Arc::new(compile(&Bundle::new("p.yaml", text, inputs)).unwrap().plan);
    let merged = run_with(&plan, Share::WHOLE, |_| Guide { answers });
    let iterations: u64 = merged.seconds().values().map(|second| second.iterations.started).sum();
    assert!(iterations >= ITERATIONS, "{example}: {iterations} iterations");
    let all: u64 = weights.iter().map(|(_, weight)| weight).sum();
    for (name, weight) in weights {
        let share = requests_of(&plan, &merged, name) as f64 / iterations as f64;
        let ratio = share * all as f64 / *weight as f64;
        println!(
            "{example:<14} {name:<30} {:.2} % of {iterations} iterations, {ratio:.4} of its weight",
            share * 100.0
        );
        assert!((ratio - 1.0).abs() <= 0.03, "{example}, {name}: {ratio}");
    }
}

/// What needs a cart is done once there is one, which is soon, and for good.
#[test]
fn tasks_of_buyers_come_as_often_as_they_weigh() {
    let weights = [
        ("GET /catalog/products (auth)", 4),
        ("POST /cart", 2),
        ("POST /cart/:id/items", 3),
        ("POST /orders", 1),
    ];
    check("authenticated", (200, 1_530), true, &weights);
}

#[test]
fn tasks_of_all_others_come_as_often_as_they_weigh() {
    let visitors = [
        ("GET /catalog/products", 5),
        ("GET /catalog/products/:sku", 3),
        ("GET /search", 1),
        ("GET /healthz", 1),
    ];
    check("shop", (500, 820), false, &visitors);
    check("async-jobs", (500, 1_220), false, &[("POST /reports/usage", 2), ("GET /jobs", 1)]);
    check("uploads", (500, 820), false, &[("POST /uploads/presign", 2), ("GET /documents", 1)]);
}
