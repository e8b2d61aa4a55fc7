//! A directory as a store.

use std::fs::{self, File};
use std::future::Future;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use squall_fleet::{ETag, Fetched, Listed, Put, Store, StoreError, StoreErrorKind};
use tokio::task::spawn_blocking;

/// A directory as a store: a key is a path below it. Safe for several processes: a value appears whole or
/// not at all, and conditional writes happen under a lock.
#[derive(Debug, Clone)]
pub struct LocalStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    temporary: AtomicU64,
}

impl LocalStore {
    /// Opens a directory, and makes it if it is not there.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(|error| failure("make directory", &root, error))?;
        // A directory that cannot be written to is better found now than in the middle of a run.
        let store = Self { inner: Arc::new(Inner { root, temporary: AtomicU64::new(0) }) };
        store.inner.lock()?;
        Ok(store)
    }
}

impl Store for LocalStore {
    fn put(
        &self,
        key: &str,
        value: Vec<u8>,
        put: Put,
    ) -> impl Future<Output = Result<ETag, StoreError>> + Send {
        let key = key.to_owned();
        self.blocking(move |inner| inner.put(&key, &value, &put))
    }

    fn get(
        &self,
        key: &str,
        unless: Option<&ETag>,
    ) -> impl Future<Output = Result<Fetched, StoreError>> + Send {
        let (key, unless) = (key.to_owned(), unless.cloned());
        self.blocking(move |inner| inner.get(&key, unless.as_ref()))
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Vec<Listed>, StoreError>> + Send {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.blocking(move |inner| inner.list(&prefix, after.as_deref()))
    }
}

impl LocalStore {
    /// Files block, so they are touched where that harms nobody.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.inner);
        match spawn_blocking(move || work(&inner)).await {
            Ok(result) => result,
            Err(error) => Err(StoreError {
                kind: StoreErrorKind::Other,
                action: "use the store".to_owned(),
                source: Some(Box::new(error)),
            }),
        }
    }
}

impl Inner {
    fn put(&self, key: &str, value: &[u8], put: &Put) -> Result<ETag, StoreError> {
        let path = self.path(key)?;
        let failed = |error| failure("write", &path, error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let _lock = self.lock()?;
        let holds = match put {
            Put::Always => true,
            Put::IfAbsent => !path.exists(),
            Put::IfMatch(tag) => read(&path)?.is_some_and(|there| tag_of(&there) == *tag),
        };
        if !holds {
            return Err(StoreError::new(
                StoreErrorKind::ConditionFailed,
                format!("write `{}`", path.display()),
            ));
        }
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.root.join(format!(".{}-{number}.tmp", std::process::id()));
        let written = File::create(&temporary).and_then(|mut file| file.write_all(value));
        let moved = written.and_then(|()| fs::rename(&temporary, &path));
        moved.map_err(|error| {
            // Half a value helps nobody; that it cannot be removed either changes nothing.
            let _ = fs::remove_file(&temporary);
            failed(error)
        })?;
        Ok(tag_of(value))
    }

    fn get(&self, key: &str, unless: Option<&ETag>) -> Result<Fetched, StoreError> {
        let path = self.path(key)?;
        Ok(match read(&path)? {
            None => Fetched::Missing,
            Some(value) => match tag_of(&value) {
                tag if unless == Some(&tag) => Fetched::NotModified,
                tag => Fetched::Found { value, tag },
            },
        })
    }

    fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        // Only the folder that the prefix names is walked.
        let folder = prefix.rfind('/').map_or("", |at| &prefix[..at]);
        let path = if folder.is_empty() { self.root.clone() } else { self.path(folder)? };
        let mut keys = Vec::new();
        walk(&path, folder, &mut keys)?;
        keys.retain(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        keys.sort();
        Ok(keys.into_iter().map(Listed::of).collect())
    }

    /// The path of a key, which never leads out of the directory.
    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        let below = Path::new(key).components().all(|part| matches!(part, Component::Normal(_)));
        if !below || key.is_empty() {
            return Err(StoreError::new(StoreErrorKind::Other, format!("use `{key}` as a key")));
        }
        Ok(self.root.join(key))
    }

    /// Held while a value is written; released when it is dropped.
    fn lock(&self) -> Result<File, StoreError> {
        let path = self.root.join(".lock");
        let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
        lock.map_err(|error| failure("write", &path, error))
    }
}

/// Collects the keys below a folder.
fn walk(folder: &Path, key: &str, keys: &mut Vec<String>) -> Result<(), StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failure("list", folder, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| failure("list", folder, error))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let key = if key.is_empty() { name } else { format!("{key}/{name}") };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), &key, keys)?,
            _ => keys.push(key),
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure("read", path, error)),
    }
}

fn tag_of(value: &[u8]) -> ETag {
    ETag(hex::encode(Sha256::digest(value)))
}

fn failure(action: &str, path: &Path, error: io::Error) -> StoreError {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreErrorKind::Denied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StoreErrorKind::Full
        }
        _ => StoreErrorKind::Other,
    };
    StoreError { kind, action: format!("{action} `{}`", path.display()), source: Some(Box::new(error)) }
}

#[cfg(test)]
mod tests {
    use squall_fleet::conformance;

    use super::*;

    #[tokio::test]
    async fn a_directory_keeps_the_promises_of_a_store() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path().join("deep/er")).unwrap();
        conformance::store(&store, "runs/a").await.unwrap();
    }

    #[tokio::test]
    async fn a_queue_in_memory_keeps_the_promises_of_a_queue() {
        let queue = crate::LocalQueue::default();
        let received = async || {
            let mut messages = Vec::new();
            while let Ok(Some(message)) =
                tokio::time::timeout(std::time::Duration::ZERO, queue.receive()).await
            {
                messages.push(message);
            }
            messages
        };
        conformance::queue(&queue, received).await.unwrap();
    }

    #[tokio::test]
    async fn no_key_leads_out_of_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path().join("store")).unwrap();
        for key in ["../outside", "/etc/passwd", "a/../../b", ""] {
            let result = store.put(key, Vec::new(), Put::Always).await;
            assert!(result.is_err(), "{key}");
        }
        assert!(!folder.path().join("outside").exists());
    }

    #[test]
    fn a_place_that_is_no_directory_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = LocalStore::open(file.join("store")).unwrap_err();
        assert!(error.to_string().contains("make directory"), "{error}");
    }
}
