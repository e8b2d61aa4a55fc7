//! Generators as threads of this process.

use std::net::IpAddr;
use std::sync::Arc;

use squall_fleet::{Clock, Identity, SeatOutcome, Secrets, StoreError, sit};
use squall_seat::{Guard, Machine, SystemClock, machine_of};
use tokio::task::JoinSet;

use crate::{LocalQueue, LocalStore};

/// Generators that wait for invitations. Each runs the protocol as a task of the runtime it was started on,
/// and its load on a thread of its own.
#[derive(Debug)]
pub struct LocalFleet {
    generators: JoinSet<Result<SeatOutcome, StoreError>>,
}

impl LocalFleet {
    /// Starts so many generators for a run. Addresses of this machine that connections come from are dealt out in turn; with
    /// none it is whichever the system takes.
    #[must_use]
    pub fn start<S: Secrets + 'static>(
        run: &str,
        (generators, sources): (u32, &[IpAddr]),
        (queue, store, secrets): (&Arc<LocalQueue>, &LocalStore, &Arc<S>),
    ) -> Self {
        let (mut tasks, machine) = (JoinSet::new(), machine_of(generators));
        let mut sources = sources.iter().copied().cycle();
        for number in 0..generators {
            let guard = Guard { source: sources.next(), ..Guard::default() };
            let (queue, store, secrets) = (Arc::clone(queue), store.clone(), Arc::clone(secrets));
            tasks.spawn(generate(format!("{run}-g{number}"), (machine, guard), queue, store, secrets));
        }
        Self { generators: tasks }
    }

    /// Ends when a generator can no longer use the store, which it then says; else never.
    pub async fn failed(&mut self) -> StoreError {
        loop {
            match self.generators.join_next().await {
                Some(Ok(Err(error))) => return error,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

async fn generate<S: Secrets>(
    nonce: String,
    (machine, guard): (Machine, Guard),
    queue: Arc<LocalQueue>,
    store: LocalStore,
    secrets: Arc<S>,
) -> Result<SeatOutcome, StoreError> {
    let clock = SystemClock;
    let begin = clock.now();
    let Some(invitation) = queue.receive().await else { return Ok(SeatOutcome::NotNeeded) };
    let identity = Identity {
        nonce,
        region: "local".to_owned(),
        environment: format!("process {}", std::process::id()),
        queued_ms: None,
        deliveries: None,
        init_ms: clock.now().since(begin).as_secs_f64() * 1_000.0,
        deadline: None,
    };
    sit(&store, &clock, &invitation, &identity, |plan| squall_seat::prepare(plan, machine, guard, &*secrets))
        .await
}
