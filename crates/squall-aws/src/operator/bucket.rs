//! The fleet's bucket, as the operator handles it.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use squall_fleet::{StoreError, StoreErrorKind};

use crate::Connection;
use crate::failure::{failure, status};

/// A few megabytes over a slow line.
const UPLOAD: Duration = Duration::from_mins(5);

/// Uploads a value under a key that is its content, unless it is there. True if it had to be uploaded.
pub async fn upload(
    connection: &Connection,
    bucket: &str,
    key: &str,
    value: Vec<u8>,
) -> Result<bool, StoreError> {
    let client = Client::new(&connection.config);
    match client.head_object().bucket(bucket).key(key).send().await {
        Ok(_) => return Ok(false),
        Err(error) if status(&error) == Some(404) => {}
        // Whoever may not look may still write.
        Err(error) if status(&error) == Some(403) => {}
        Err(error) => {
            return Err(failure(format!("look for `s3://{bucket}/{key}` (s3:GetObject)"), &error));
        }
    }
    let patient =
        TimeoutConfig::builder().operation_attempt_timeout(UPLOAD).operation_timeout(UPLOAD * 2).build();
    let request = client.put_object().bucket(bucket).key(key).body(ByteStream::from(value)).customize();
    let request = request.config_override(aws_sdk_s3::config::Builder::new().timeout_config(patient));
    match request.send().await {
        Ok(_) => Ok(true),
        Err(error) => Err(failure(format!("upload `s3://{bucket}/{key}` (s3:PutObject)"), &error)),
    }
}

/// Deletes every object with all its versions. Returns how many that were; a bucket that is not there is empty.
pub async fn empty(connection: &Connection, bucket: &str) -> Result<u64, StoreError> {
    let client = Client::new(&connection.config);
    let mut deleted = 0;
    loop {
        let page = client.list_object_versions().bucket(bucket).send().await;
        let page = match page.map_err(|error| {
            failure(format!("list versions in `s3://{bucket}` (s3:ListBucketVersions)"), &error)
        }) {
            Err(error) if error.kind == StoreErrorKind::Gone => return Ok(deleted),
            page => page?,
        };
        let versions = page.versions().iter().map(|version| (version.key(), version.version_id()));
        let markers = page.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
        let objects: Vec<ObjectIdentifier> = versions.chain(markers).filter_map(identifier).collect();
        if objects.is_empty() {
            return Ok(deleted);
        }
        deleted += objects.len() as u64;
        delete(&client, bucket, objects).await?;
    }
}

fn identifier((key, version): (Option<&str>, Option<&str>)) -> Option<ObjectIdentifier> {
    ObjectIdentifier::builder().key(key?).set_version_id(version.map(str::to_owned)).build().ok()
}

async fn delete(client: &Client, bucket: &str, objects: Vec<ObjectIdentifier>) -> Result<(), StoreError> {
    let action = format!("delete from `s3://{bucket}` (s3:DeleteObjectVersion)");
    let all = Delete::builder().set_objects(Some(objects)).quiet(true).build().map_err(|error| {
        StoreError { kind: StoreErrorKind::Other, action: action.clone(), source: Some(Box::new(error)) }
    })?;
    let deleted = client.delete_objects().bucket(bucket).delete(all).send().await;
    let deleted = deleted.map_err(|error| failure(action.clone(), &error))?;
    match deleted.errors().first() {
        None => Ok(()),
        Some(error) => {
            let kind = match error.code() {
                Some("AccessDenied") => StoreErrorKind::Denied,
                _ => StoreErrorKind::Other,
            };
            let which = error.key().unwrap_or("an object");
            let why = error.message().or(error.code()).unwrap_or("no reason given");
            Err(StoreError::new(kind, format!("{action}: `{which}`: {why}")))
        }
    }
}
