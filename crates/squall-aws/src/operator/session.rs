//! Who the operator is, and where: as users of AWS have set it up.

use aws_config::Region;
use aws_config::meta::region::RegionProviderChain;
use thiserror::Error;

use crate::Connection;
use crate::connection::{behavior, retries, timeouts};

/// Credentials and region.
#[derive(Debug, Clone)]
pub struct Session {
    connection: Connection,
    region: String,
}

/// Why there is no session.
#[derive(Debug, Error)]
pub enum SessionError {
    /// Nobody says which region.
    #[error("no region is set")]
    NoRegion,
}

impl Session {
    /// Finds profile, region, endpoint and credentials in environment and files as the AWS command line does;
    /// `region` is taken before all others.
    pub async fn open(region: Option<String>) -> Result<Self, SessionError> {
        let region = RegionProviderChain::first_try(region.map(Region::new)).or_default_provider();
        let config = aws_config::defaults(behavior())
            .region(region)
            .retry_config(retries())
            .timeout_config(timeouts())
            .load()
            .await;
        let region = config.region().map(ToString::to_string).ok_or(SessionError::NoRegion)?;
        Ok(Self { connection: Connection { config }, region })
    }

    /// How AWS is reached.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Where.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }
}
