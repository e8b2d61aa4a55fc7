//! What hyper costs without a plan: `bare-hyper URL CONNECTIONS SECONDS` sends GET requests without pauses, records
//! each response time, and prints `{"requests": …, "p99_us": …}`. HTTP/1.1 without TLS, on one thread.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, connections, seconds] = arguments.as_slice() else {
        return Err("usage: bare-hyper URL CONNECTIONS SECONDS".into());
    };
    let load = Load { uri: url.parse()?, until: Instant::now() + Duration::from_secs(seconds.parse()?) };
    let times = run(load, connections.parse()?)?;
    println!("{}", serde_json::json!({ "requests": times.len(), "p99_us": times.value_at_quantile(0.99) }));
    Ok(())
}

struct Load {
    uri: Uri,
    until: Instant,
}

fn run(load: Load, connections: usize) -> Outcome<Histogram<u64>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let load = Rc::new(load);
    let times = Rc::new(RefCell::new(Histogram::new_with_bounds(1, 60_000_000, 3)?));
    LocalSet::new().block_on(&runtime, async {
        let tasks: Vec<_> = (0..connections)
            .map(|_| tokio::task::spawn_local(converse(Rc::clone(&load), Rc::clone(&times))))
            .collect();
        for task in tasks {
            task.await??;
        }
        Outcome::Ok(())
    })?;
    Ok(Rc::try_unwrap(times).map_err(|_| "a connection is still open")?.into_inner())
}

/// One connection in one task, which polls the requests and hyper's side of the connection.
async fn converse(load: Rc<Load>, times: Rc<RefCell<Histogram<u64>>>) -> Outcome<()> {
    let authority = load.uri.authority().ok_or("the URL names no host")?.as_str();
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::select! {
        biased;
        sent = requests(sender, &load, authority, &times) => sent,
        closed = connection => closed.map_err(Into::into),
    }
}

async fn requests(
    mut sender: http1::SendRequest<Empty<Bytes>>,
    load: &Load,
    authority: &str,
    times: &RefCell<Histogram<u64>>,
) -> Outcome<()> {
    let path = load.uri.path_and_query().map_or("/", |path| path.as_str());
    loop {
        let begin = Instant::now();
        if begin >= load.until {
            return Ok(());
        }
        let request = Request::get(path).header("host", authority).body(Empty::new())?;
        sender.ready().await?;
        let mut response = sender.send_request(request).await?;
        if !response.status().is_success() {
            return Err(format!("the target answered {}", response.status()).into());
        }
        while let Some(frame) = response.body_mut().frame().await {
            frame?;
        }
        times.borrow_mut().saturating_record(begin.elapsed().as_micros().try_into()?);
    }
}
