//! Offers many seats to a queue, and says how long that took: `invite QUEUE_URL SEATS`. Run by `scripts/bench`.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock, and its settings")]

use std::time::{Duration, Instant};

use squall_aws::{Connection, Credentials, SqsQueue};
use squall_fleet::{Invitation, Queue, Time, VERSION};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (url, seats) = (arguments.next().ok_or("no queue")?, arguments.next().ok_or("no number")?.parse()?);
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("`{name}` is not set"));
    let credentials = Credentials {
        access_key: variable("AWS_ACCESS_KEY_ID")?,
        secret_key: variable("AWS_SECRET_ACCESS_KEY")?,
        session_token: None,
    };
    let connection = Connection::new(variable("AWS_REGION")?, credentials, variable("AWS_ENDPOINT_URL").ok());
    let queue = SqsQueue::new(&connection, url);
    let expires_at = Time(0).plus(Duration::from_hours(1_000_000));
    let invitation =
        |seat| Invitation { version: VERSION, run: "bench".to_owned(), seat, expires_at }.to_text();
    let begin = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(queue.send((0..seats).map(invitation).collect()))?;
    println!("{:.3}", begin.elapsed().as_secs_f64());
    Ok(())
}
