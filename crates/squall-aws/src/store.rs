//! S3 as a store.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use squall_fleet::{ETag, Fetched, Listed, Put, Store, StoreError, StoreErrorKind, Time};

use crate::Connection;
use crate::failure::{code, failure, status};

/// How often a write is tried that met another one at the same instant, and how long the first pause is.
const CONFLICTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(40);

/// A bucket as a store: a key is an object's key.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
}

impl S3Store {
    /// The store in a bucket.
    #[must_use]
    pub fn new(connection: &Connection, bucket: impl Into<String>) -> Self {
        Self { client: Client::new(&connection.config), bucket: bucket.into() }
    }

    fn action(&self, verb: &str, key: &str, permission: &str) -> String {
        format!("{verb} `s3://{}/{key}` (s3:{permission})", self.bucket)
    }

    async fn try_put(&self, key: &str, value: &[u8], put: &Put) -> Result<ETag, Refused> {
        let body = ByteStream::from(value.to_vec());
        let request = self.client.put_object().bucket(&self.bucket).key(key).body(body);
        let request = match put {
            Put::Always => request,
            Put::IfAbsent => request.if_none_match("*"),
            Put::IfMatch(tag) => request.if_match(&tag.0),
        };
        let error = match request.send().await {
            Ok(written) => return Ok(ETag(written.e_tag.unwrap_or_default())),
            Err(error) => error,
        };
        let is_conflict = code(&error) == Some("ConditionalRequestConflict");
        // With a tag, nothing under the key is no match either.
        let is_missing = matches!(put, Put::IfMatch(_)) && code(&error) == Some("NoSuchKey");
        let mut error = failure(self.action("write", key, "PutObject"), &error);
        if is_missing {
            error.kind = StoreErrorKind::ConditionFailed;
        }
        Err(Refused { error, is_conflict })
    }
}

/// Why a write was not done.
struct Refused {
    error: StoreError,
    /// Another one was under way at the same instant, and which of them counts is open.
    is_conflict: bool,
}

impl Store for S3Store {
    async fn put(&self, key: &str, value: Vec<u8>, put: Put) -> Result<ETag, StoreError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..CONFLICTS {
            match self.try_put(key, &value, &put).await {
                Err(Refused { is_conflict: true, .. }) => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                result => return result.map_err(|refused| refused.error),
            }
        }
        self.try_put(key, &value, &put).await.map_err(|refused| refused.error)
    }

    async fn get(&self, key: &str, unless: Option<&ETag>) -> Result<Fetched, StoreError> {
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        let request = request.set_if_none_match(unless.map(|tag| tag.0.clone()));
        let found = match request.send().await {
            Ok(found) => found,
            Err(error) if status(&error) == Some(304) => return Ok(Fetched::NotModified),
            Err(error) if is_missing(&error) => return Ok(Fetched::Missing),
            Err(error) => return Err(failure(self.action("read", key, "GetObject"), &error)),
        };
        let tag = ETag(found.e_tag.unwrap_or_default());
        match found.body.collect().await {
            Ok(value) => Ok(Fetched::Found { value: value.to_vec(), tag }),
            Err(error) => Err(StoreError {
                kind: StoreErrorKind::Unavailable,
                action: self.action("read", key, "GetObject"),
                source: Some(Box::new(error)),
            }),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = request.set_start_after(after.map(str::to_owned)).into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failure(self.action("list", prefix, "ListBucket"), &error))?;
            all.extend(page.contents.unwrap_or_default().into_iter().filter_map(|object| {
                let written_at = object.last_modified.map(|at| Time(at.secs().saturating_mul(1_000_000)));
                Some(Listed { key: object.key?, written_at })
            }));
        }
        Ok(all)
    }
}

fn is_missing(error: &SdkError<GetObjectError, HttpResponse>) -> bool {
    error.as_service_error().is_some_and(|error| error.is_no_such_key() || error.code() == Some("NoSuchKey"))
}
