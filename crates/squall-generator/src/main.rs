//! The generator as a Lambda function: each message of the queue is a seat that is taken, waits for its slice,
//! and runs it.
//!
//! **Invariants:** it decides nothing: what it runs, and when it ends, is the orchestrator's word. It sends no
//! message, and no plan sees its environment.

mod environment;
mod handler;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use tokio::time::Instant;

use crate::environment::Environment;
use crate::handler::{Batch, Handler};

fn main() -> Result<(), Error> {
    let begin = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        #[expect(clippy::disallowed_methods, reason = "a function is told its settings by its environment")]
        let environment = Environment::read(|name| std::env::var(name).ok())?;
        let handler = &Handler::new(environment, begin.elapsed());
        let handle = |event: LambdaEvent<Batch>| async move { Ok::<_, Error>(handler.handle(event).await) };
        lambda_runtime::run(service_fn(handle)).await
    })
}
