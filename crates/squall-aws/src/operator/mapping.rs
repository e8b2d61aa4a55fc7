//! The event source mapping: open while seats are to be taken, closed between runs.

use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::update_event_source_mapping::builders::UpdateEventSourceMappingFluentBuilder as Update;
use aws_sdk_lambda::types::{ProvisionedPollerConfig, ScalingConfig};
use squall_fleet::sizing::Concurrency;
use squall_fleet::{StoreError, StoreErrorKind};
use tokio::time::Instant;

use crate::Connection;
use crate::failure::failure;

/// How often it is looked whether a change is in force, unless there are many to be looked at, and for how long.
const LOOK: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_mins(5);

/// An account may ask Lambda for 15 things a second, of all kinds; half of that is left to others.
const LOOKED_AT_TOGETHER: u32 = 4;

/// An event source mapping.
#[derive(Debug, Clone)]
pub struct Mapping {
    client: Client,
    id: String,
    /// How often it is looked whether a change is in force.
    look: Duration,
}

impl Mapping {
    /// The mapping with that id.
    #[must_use]
    pub fn new(connection: &Connection, id: impl Into<String>) -> Self {
        Self::one_of(connection, id, 1)
    }

    /// One of so many that are looked at side by side: all together no more often than AWS lets everybody ask.
    pub(super) fn one_of(connection: &Connection, id: impl Into<String>, count: u32) -> Self {
        let look = LOOK * count.div_ceil(LOOKED_AT_TOGETHER).max(1);
        Self { client: Client::new(&connection.config), id: id.into(), look }
    }

    /// Lets seats be taken, so many at once, and waits until that is in force. Limit and pollers exclude each
    /// other, so what an earlier run has left of the other kind is taken back before.
    pub async fn open(&self, concurrency: Concurrency) -> Result<(), StoreError> {
        let number = |number| i32::try_from(number).unwrap_or(i32::MAX);
        let left = self.look().await?;
        match concurrency {
            Concurrency::Maximum(maximum) => {
                if left.has_pollers {
                    self.update("open", |update| update.provisioned_poller_config(no_pollers())).await?;
                }
                let limit = ScalingConfig::builder().maximum_concurrency(number(maximum)).build();
                self.update("open", |update| update.enabled(true).scaling_config(limit.clone())).await?;
            }
            Concurrency::Pollers { minimum, maximum } => {
                if left.has_limit {
                    self.update("open", |update| update.scaling_config(no_limit())).await?;
                }
                let pollers = ProvisionedPollerConfig::builder()
                    .minimum_pollers(number(minimum))
                    .maximum_pollers(number(maximum))
                    .build();
                self.update("open", |update| update.enabled(true).provisioned_poller_config(pollers.clone()))
                    .await?;
            }
        }
        self.wait_for("Enabled").await
    }

    /// No more seats are taken. Those that are go on. Pollers that are paid for by the hour are given back.
    pub async fn close(&self) -> Result<(), StoreError> {
        if self.look().await?.has_pollers {
            let closed = |update: Update| update.enabled(false).provisioned_poller_config(no_pollers());
            return self.update("close", closed).await;
        }
        self.update("close", |update| update.enabled(false)).await
    }

    /// How it is.
    pub(super) async fn look(&self) -> Result<Look, StoreError> {
        let found = self.client.get_event_source_mapping().uuid(&self.id).send().await;
        let found =
            found.map_err(|error| failure(self.action("look at", "GetEventSourceMapping"), &error))?;
        Ok(Look {
            state: found.state.unwrap_or_default(),
            last_result: found.last_processing_result.unwrap_or_default(),
            has_limit: found.scaling_config.is_some_and(|limit| limit.maximum_concurrency.is_some()),
            has_pollers: found
                .provisioned_poller_config
                .is_some_and(|pollers| pollers.minimum_pollers.is_some()),
        })
    }

    /// While an earlier change is on its way, AWS takes no other.
    async fn update(&self, verb: &str, change: impl Fn(Update) -> Update) -> Result<(), StoreError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let request = change(self.client.update_event_source_mapping().uuid(&self.id));
            let error = match request.send().await {
                Ok(_) => return Ok(()),
                Err(error) => failure(self.action(verb, "UpdateEventSourceMapping"), &error),
            };
            if error.kind != StoreErrorKind::Unavailable || Instant::now() >= until {
                return Err(error);
            }
            tokio::time::sleep(self.look).await;
        }
    }

    async fn wait_for(&self, state: &str) -> Result<(), StoreError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.look().await {
                Ok(look) if look.state == state => return Ok(()),
                // Who asks too often is told to wait.
                Err(error) if error.kind != StoreErrorKind::Unavailable => return Err(error),
                _ => {}
            }
            if Instant::now() >= until {
                let action = format!("wait until mapping `{}` is {state}", self.id);
                return Err(StoreError::new(StoreErrorKind::Unavailable, action));
            }
            tokio::time::sleep(self.look).await;
        }
    }

    fn action(&self, verb: &str, permission: &str) -> String {
        format!("{verb} mapping `{}` (lambda:{permission})", self.id)
    }
}

/// What is found of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    /// `Enabled`, `Disabled`, or on the way to one of them.
    pub(super) state: String,
    /// What became of the last message, as AWS says it.
    pub(super) last_result: String,
    pub(super) has_limit: bool,
    /// Pollers are provided, which are paid for by the hour.
    pub(super) has_pollers: bool,
}

impl Look {
    /// Whether seats are taken, or soon will be.
    pub(super) fn is_open(&self) -> bool {
        !["Disabled", "Disabling"].contains(&self.state.as_str())
    }
}

fn no_limit() -> ScalingConfig {
    ScalingConfig::builder().build()
}

fn no_pollers() -> ProvisionedPollerConfig {
    ProvisionedPollerConfig::builder().build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::Scripted;

    const ENABLED: (u16, &str) = (200, r#"{"UUID":"u","State":"Enabled"}"#);
    const ENABLING: (u16, &str) = (200, r#"{"UUID":"u","State":"Enabling"}"#);
    const DISABLED: (u16, &str) = (200, r#"{"UUID":"u","State":"Disabled"}"#);
    const WITH_LIMIT: (u16, &str) =
        (200, r#"{"UUID":"u","State":"Disabled","ScalingConfig":{"MaximumConcurrency":16}}"#);
    const WITH_POLLERS: (u16, &str) = (
        200,
        r#"{"UUID":"u","State":"Enabled","ProvisionedPollerConfig":{"MinimumPollers":11,"MaximumPollers":11}}"#,
    );
    const BUSY: (u16, &str) = (400, r#"{"__type":"ResourceInUseException","Message":"on its way"}"#);

    /// The bodies of the changes that were asked for, and how often it was looked.
    fn changes(asked: &[String]) -> (Vec<&str>, usize) {
        let put = "PUT /2015-03-31/event-source-mappings/u HTTP/1.1 ";
        let changes: Vec<&str> = asked.iter().filter_map(|asked| asked.strip_prefix(put)).collect();
        let looks =
            asked.iter().filter(|asked| asked.starts_with("GET /2015-03-31/event-source-mappings/u "));
        (changes, looks.count())
    }

    async fn check(seats: Option<u32>, answers: Vec<(u16, &'static str)>, expected: &[&str], looks: usize) {
        let service = Scripted::start(answers);
        let mapping = Mapping::new(&service.connection, "u");
        match seats {
            Some(seats) => mapping.open(Concurrency::of(seats)).await.unwrap(),
            None => mapping.close().await.unwrap(),
        }
        assert_eq!(changes(&service.asked()), (expected.to_vec(), looks));
    }

    #[tokio::test]
    async fn a_small_fleet_sets_a_limit_and_waits_until_it_is_in_force() {
        let open = r#"{"Enabled":true,"ScalingConfig":{"MaximumConcurrency":16}}"#;
        check(Some(16), vec![DISABLED, ENABLING, ENABLING, ENABLED], &[open], 3).await;
    }

    #[tokio::test]
    async fn a_large_fleet_has_its_pollers_provided() {
        let open =
            r#"{"Enabled":true,"ProvisionedPollerConfig":{"MinimumPollers":200,"MaximumPollers":300}}"#;
        check(Some(3_000), vec![DISABLED, ENABLING, ENABLED], &[open], 2).await;
    }

    #[tokio::test]
    async fn limit_and_pollers_are_never_asked_for_together() {
        let limit = r#"{"Enabled":true,"ScalingConfig":{"MaximumConcurrency":2}}"#;
        let pollers =
            r#"{"Enabled":true,"ProvisionedPollerConfig":{"MinimumPollers":11,"MaximumPollers":11}}"#;
        let no_limit = r#"{"ScalingConfig":{}}"#;
        let no_pollers = r#"{"ProvisionedPollerConfig":{}}"#;
        check(Some(101), vec![WITH_LIMIT, DISABLED, ENABLING, ENABLED], &[no_limit, pollers], 2).await;
        check(Some(2), vec![WITH_POLLERS, ENABLING, ENABLING, ENABLED], &[no_pollers, limit], 2).await;
    }

    #[tokio::test]
    async fn a_change_waits_for_an_earlier_one() {
        let open = r#"{"Enabled":true,"ScalingConfig":{"MaximumConcurrency":2}}"#;
        check(Some(2), vec![DISABLED, BUSY, ENABLING, ENABLED], &[open, open], 2).await;
    }

    #[tokio::test]
    async fn a_closed_mapping_has_no_pollers_that_are_paid_for() {
        check(None, vec![ENABLED, DISABLED], &[r#"{"Enabled":false}"#], 1).await;
        let closed = r#"{"Enabled":false,"ProvisionedPollerConfig":{}}"#;
        check(None, vec![WITH_POLLERS, DISABLED], &[closed], 1).await;
    }
}
