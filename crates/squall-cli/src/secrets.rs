//! Secrets as this machine sees them: those of its environment, and those of the user's account on AWS.

use anyhow::anyhow;
use squall_aws::AwsSecrets;
use squall_aws::operator::Session;
use squall_fleet::{SecretSource, Secrets};
use squall_plan::{Plan, SecretValues};
use tokio::sync::OnceCell;

use crate::aws::block_on;
use crate::failure::Failure;
use crate::surroundings;

/// Secrets for generators that are threads of this process.
#[derive(Debug, Default)]
pub(crate) struct OwnSecrets {
    aws: OnceCell<AwsSecrets>,
}

impl Secrets for OwnSecrets {
    async fn secret(&self, source: &SecretSource) -> Result<String, String> {
        let SecretSource::Env(name) = source else {
            return self.aws.get_or_try_init(open).await?.secret(source).await;
        };
        surroundings::environment().remove(name).ok_or_else(|| "it is not set".to_owned())
    }
}

async fn open() -> Result<AwsSecrets, String> {
    let session = Session::open(None).await.map_err(|error| format!("{error}; set AWS_REGION"))?;
    Ok(AwsSecrets::new(session.connection()))
}

/// What a plan's secrets are.
pub(crate) fn of(plan: &Plan) -> Result<SecretValues, Failure> {
    if plan.secrets.is_empty() {
        return Ok(SecretValues::default());
    }
    let fetched = block_on(async { Ok(squall_seat::fetch(plan, &OwnSecrets::default()).await) })?;
    fetched.map_err(|problem| Failure::wrong(anyhow!(problem)))
}

/// Refuses secrets that generators on AWS cannot have.
pub(crate) fn check_for_aws(plan: &Plan) -> Result<(), Failure> {
    let env = |source: &SecretSource| matches!(source, SecretSource::Env(_));
    // What only telemetry needs is for this machine alone.
    let mut theirs = plan.secrets.iter().filter(|secret| !secret.is_of_telemetry);
    match theirs.find(|secret| env(&secret.source)) {
        None => Ok(()),
        Some(secret) => {
            let what =
                anyhow!("secret `{}` is in {}, which only this machine has", secret.name, secret.source);
            let name = &secret.name;
            Err(Failure::wrong(what)
                .with_hint(format!("keep it where generators see it: `{name}: {{ ssm: /squall/{name} }}`")))
        }
    }
}
