//! What every queue and store must do; each backend's tests run these suites on it.
//!
//! A suite returns the first promise that was broken, in words.

use futures_util::future::join_all;

use crate::ports::{ETag, Fetched, Put, Queue, Store, StoreErrorKind};

/// Checks a store. `prefix` must be one under which there is nothing yet.
pub async fn store(store: &impl Store, prefix: &str) -> Result<(), String> {
    writes_are_read_at_once(store, &format!("{prefix}/a")).await?;
    one_of_many_creates(store, &format!("{prefix}/b")).await?;
    a_stale_tag_writes_nothing(store, &format!("{prefix}/c")).await?;
    lists_are_complete_and_in_order(store, &format!("{prefix}/d")).await
}

async fn writes_are_read_at_once(store: &impl Store, key: &str) -> Result<(), String> {
    expect(get(store, key, None).await? == Fetched::Missing, "what was never written is missing")?;
    for value in [Vec::new(), b"one".to_vec(), vec![7; 3 * 1024 * 1024]] {
        let tag = put(store, key, &value, Put::Always).await?;
        let found = Fetched::Found { value, tag: tag.clone() };
        expect(get(store, key, None).await? == found, "what was written is read, with its tag")?;
        expect(
            get(store, key, Some(&tag)).await? == Fetched::NotModified,
            "what is known is not sent again",
        )?;
    }
    Ok(())
}

async fn one_of_many_creates(store: &impl Store, key: &str) -> Result<(), String> {
    let values = (0..16_u8).map(|writer| vec![writer]);
    let results = join_all(values.map(|value| store.put(key, value, Put::IfAbsent))).await;
    let winners: Vec<usize> =
        results.iter().enumerate().filter(|(_, result)| result.is_ok()).map(|(writer, _)| writer).collect();
    expect(winners.len() == 1, "exactly one of many creates wins")?;
    let refused = |kind| kind == StoreErrorKind::ConditionFailed;
    let others = results.iter().filter_map(|result| result.as_ref().err()).all(|error| refused(error.kind));
    expect(others, "all other creates fail by their condition")?;
    let Fetched::Found { value, .. } = get(store, key, None).await? else {
        return Err("what was created is there".to_owned());
    };
    expect(
        winners.iter().all(|&winner| value == [u8::try_from(winner).unwrap_or(u8::MAX)]),
        "the winner's value stays",
    )
}

async fn a_stale_tag_writes_nothing(store: &impl Store, key: &str) -> Result<(), String> {
    let first = put(store, key, b"1", Put::Always).await?;
    let second = put(store, key, b"2", Put::IfMatch(first.clone())).await?;
    expect(first != second, "another value has another tag")?;
    let stale = store.put(key, b"3".to_vec(), Put::IfMatch(first)).await;
    let refused = stale.is_err_and(|error| error.kind == StoreErrorKind::ConditionFailed);
    expect(refused, "a write with a stale tag fails by its condition")?;
    let found = Fetched::Found { value: b"2".to_vec(), tag: second.clone() };
    expect(get(store, key, None).await? == found, "a write that failed changes nothing")?;
    let missing = store.put(&format!("{key}-missing"), Vec::new(), Put::IfMatch(second)).await;
    expect(missing.is_err(), "a write with a tag needs something that has it")
}

async fn lists_are_complete_and_in_order(store: &impl Store, prefix: &str) -> Result<(), String> {
    // More than fit on a page of a service that lists in pages.
    let expected: Vec<String> = (0..1_025).map(|n| format!("{prefix}/x/{n:04}")).collect();
    for keys in expected.rchunks(64) {
        let writes = join_all(keys.iter().rev().map(|key| put(store, key, b"", Put::Always))).await;
        writes.into_iter().collect::<Result<Vec<_>, _>>()?;
    }
    put(store, &format!("{prefix}/xy"), b"", Put::Always).await?;
    let list = async |after| {
        let listed = store.list(prefix_of(&expected[0]), after).await.map_err(|error| error.to_string())?;
        Ok::<Vec<String>, String>(listed.into_iter().map(|listed| listed.key).collect())
    };
    let all = list(None).await?;
    expect(all == expected, "a list has every key under its prefix, in order, and no other")?;
    let rest = list(Some(&expected[9])).await?;
    expect(rest == expected[10..], "a list goes on after a key")?;
    let none = list(Some(&expected[1_024])).await?;
    expect(none.is_empty(), "after the last key there is none")
}

fn prefix_of(key: &str) -> &str {
    key.rfind('/').map_or(key, |at| &key[..=at])
}

/// Checks a queue: `receive` takes messages out of it by the backend's own means until there are none.
pub async fn queue(queue: &impl Queue, receive: impl AsyncFn() -> Vec<String>) -> Result<(), String> {
    let sent: Vec<String> = (0..37).map(|n| format!("message {n}")).collect();
    queue.send(sent.clone()).await.map_err(|error| error.to_string())?;
    let mut received = receive().await;
    received.sort();
    received.dedup();
    let mut expected = sent;
    expected.sort();
    expect(received == expected, "every message sent is received at least once")?;
    queue.send(Vec::new()).await.map_err(|error| error.to_string())
}

async fn put(store: &impl Store, key: &str, value: &[u8], put: Put) -> Result<ETag, String> {
    store.put(key, value.to_vec(), put).await.map_err(|error| error.to_string())
}

async fn get(store: &impl Store, key: &str, unless: Option<&ETag>) -> Result<Fetched, String> {
    store.get(key, unless).await.map_err(|error| error.to_string())
}

fn expect(holds: bool, promise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("broken promise: {promise}")) }
}
