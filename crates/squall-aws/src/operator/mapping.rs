//! The event source mapping: open while seats are to be taken, closed between runs.

use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::{ProvisionedPollerConfig, ScalingConfig};
use squall_fleet::sizing::Concurrency;
use squall_fleet::{StoreError, StoreErrorKind};

use crate::Connection;
use crate::failure::failure;

/// How often it is looked whether a change is in force, and for how long.
const LOOK: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_mins(5);

/// An event source mapping.
#[derive(Debug, Clone)]
pub struct Mapping {
    client: Client,
    id: String,
}

impl Mapping {
    /// The mapping with that id.
    #[must_use]
    pub fn new(connection: &Connection, id: impl Into<String>) -> Self {
        Self { client: Client::new(&connection.config), id: id.into() }
    }

    /// Lets seats be taken, so many at once, and waits until that is in force.
    pub async fn open(&self, concurrency: Concurrency) -> Result<(), StoreError> {
        self.update(Some(concurrency)).await?;
        self.wait_for("Enabled").await
    }

    /// No more seats are taken. Those that are go on. Pollers that are paid for by the hour are given back.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.update(None).await
    }

    /// `Enabled`, `Disabled`, or on the way to one of them.
    pub async fn state(&self) -> Result<String, StoreError> {
        let found = self.client.get_event_source_mapping().uuid(&self.id).send().await;
        match found {
            Ok(found) => Ok(found.state.unwrap_or_default()),
            Err(error) => Err(failure(self.action("look at", "GetEventSourceMapping"), &error)),
        }
    }

    /// While an earlier change is on its way, AWS takes no other.
    async fn update(&self, open: Option<Concurrency>) -> Result<(), StoreError> {
        let mut waited = Duration::ZERO;
        loop {
            match self.try_update(open).await {
                Err(error) if error.kind == StoreErrorKind::Unavailable && waited < PATIENCE => {
                    tokio::time::sleep(LOOK).await;
                    waited += LOOK;
                }
                result => return result,
            }
        }
    }

    async fn try_update(&self, open: Option<Concurrency>) -> Result<(), StoreError> {
        let no_limit = ScalingConfig::builder().build();
        let no_pollers = ProvisionedPollerConfig::builder().build();
        let request = self.client.update_event_source_mapping().uuid(&self.id).enabled(open.is_some());
        // Each of the two excludes the other, and an empty one takes back what an earlier run set.
        let request = match open.map(setting) {
            Some(Setting::Maximum(maximum)) => request
                .scaling_config(ScalingConfig::builder().maximum_concurrency(maximum).build())
                .provisioned_poller_config(no_pollers),
            Some(Setting::Pollers { minimum, maximum }) => {
                let pollers =
                    ProvisionedPollerConfig::builder().minimum_pollers(minimum).maximum_pollers(maximum);
                request.scaling_config(no_limit).provisioned_poller_config(pollers.build())
            }
            None => request.provisioned_poller_config(no_pollers),
        };
        let action = if open.is_some() { "open" } else { "close" };
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(failure(self.action(action, "UpdateEventSourceMapping"), &error)),
        }
    }

    async fn wait_for(&self, state: &str) -> Result<(), StoreError> {
        let mut waited = Duration::ZERO;
        while self.state().await? != state {
            if waited >= PATIENCE {
                let action = format!("wait until mapping `{}` is {state}", self.id);
                return Err(StoreError::new(StoreErrorKind::Unavailable, action));
            }
            tokio::time::sleep(LOOK).await;
            waited += LOOK;
        }
        Ok(())
    }

    fn action(&self, verb: &str, permission: &str) -> String {
        format!("{verb} mapping `{}` (lambda:{permission})", self.id)
    }
}

/// The numbers in the SDK's form.
enum Setting {
    Maximum(i32),
    Pollers { minimum: i32, maximum: i32 },
}

fn setting(concurrency: Concurrency) -> Setting {
    let number = |number| i32::try_from(number).unwrap_or(i32::MAX);
    match concurrency {
        Concurrency::Maximum(maximum) => Setting::Maximum(number(maximum)),
        Concurrency::Pollers { minimum, maximum } => {
            Setting::Pollers { minimum: number(minimum), maximum: number(maximum) }
        }
    }
}
