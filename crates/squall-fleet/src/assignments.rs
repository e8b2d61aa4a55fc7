//! Who runs what, in the store: a generation is spread over shards, so that a generator reads its own part of it.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::keys;
use crate::message::{Assignment, Message, Post, Relief, VERSION};
use crate::ports::{Fetched, Store, StoreError, write_once};

/// Shards that are written or read at the same time.
const AT_ONCE: usize = 16;

/// Generators of a shard, so that a large fleet does not read itself whole a thousand times.
const GENERATORS_OF_SHARD: u32 = 256;

/// Over how many keys an assignment of so many generators is spread.
#[must_use]
pub fn shards(seats: u32) -> u32 {
    seats.div_ceil(GENERATORS_OF_SHARD).max(1)
}

/// Writes a generation; shards of which it says nothing are left out.
pub(crate) async fn write(
    store: &impl Store,
    run: &str,
    assignment: &Assignment,
    shards: u32,
) -> Result<(), StoreError> {
    let generation = assignment.generation;
    let mut parts: BTreeMap<u32, Assignment> = BTreeMap::new();
    let empty = || Assignment { version: VERSION, generation, ..Assignment::default() };
    for (nonce, post) in &assignment.posts {
        let part = parts.entry(keys::shard_of(nonce, shards)).or_insert_with(empty);
        part.posts.insert(nonce.clone(), post.clone());
    }
    for (nonce, relief) in &assignment.reliefs {
        let part = parts.entry(keys::shard_of(nonce, shards)).or_insert_with(empty);
        part.reliefs.insert(nonce.clone(), *relief);
    }
    let writes = parts.into_iter().map(|(shard, part)| async move {
        write_once(store, &keys::assignment(run, generation, shard), &part.to_bytes()).await
    });
    stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await
}

/// What a generation changes for one generator, if anything. What cannot be read changes nothing.
pub(crate) async fn read(
    store: &impl Store,
    run: &str,
    generation: u32,
    (nonce, shards): (&str, u32),
) -> Result<(Option<Post>, Option<Relief>), StoreError> {
    let key = keys::assignment(run, generation, keys::shard_of(nonce, shards));
    let Fetched::Found { value, .. } = store.get(&key, None).await? else { return Ok((None, None)) };
    let Ok(mut assignment) = Assignment::from_bytes(&value) else { return Ok((None, None)) };
    Ok((assignment.posts.remove(nonce), assignment.reliefs.remove(nonce)))
}

/// All that was ever assigned in generations up to `last`, in their order.
pub(crate) async fn read_all(
    store: &impl Store,
    run: &str,
    last: u32,
) -> Result<BTreeMap<u32, Assignment>, StoreError> {
    let listed = store.list(&keys::all_assignments(run), None).await?;
    let reads = listed.into_iter().map(|listed| async move { store.get(&listed.key, None).await });
    let read: Vec<Fetched> = stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
    let mut all: BTreeMap<u32, Assignment> = BTreeMap::new();
    for fetched in read {
        let Fetched::Found { value, .. } = fetched else { continue };
        let Ok(part) = Assignment::from_bytes(&value) else { continue };
        // Of what no control has named nobody has heard.
        if part.generation <= last {
            let whole = all.entry(part.generation).or_insert_with(|| Assignment {
                posts: BTreeMap::new(),
                reliefs: BTreeMap::new(),
                ..part.clone()
            });
            whole.posts.extend(part.posts);
            whole.reliefs.extend(part.reliefs);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use squall_plan::Share;

    use super::*;
    use crate::MemoryStore;

    #[tokio::test]
    async fn a_generation_is_the_same_whole_or_in_parts() {
        let store = MemoryStore::default();
        let post = |index| Post {
            share: Share::try_new(index, 9).unwrap(),
            window: 0,
            from_us: 5,
            after: None,
            rounds: 0,
        };
        let posts = (0..9).map(|index| (format!("n{index}"), post(index))).collect();
        let reliefs = BTreeMap::from([
            ("m".to_owned(), Relief::Leave),
            ("n3".to_owned(), Relief::HandOver { at_us: 9 }),
        ]);
        let first = Assignment { version: VERSION, generation: 1, posts, reliefs };
        write(&store, "r", &first, 4).await.unwrap();
        // Written twice, it is what it was.
        write(&store, "r", &first, 4).await.unwrap();
        let second = Assignment { generation: 2, posts: BTreeMap::new(), ..first.clone() };
        write(&store, "r", &second, 4).await.unwrap();
        let all = read_all(&store, "r", 2).await.unwrap();
        assert_eq!(all.into_values().collect::<Vec<_>>(), [first.clone(), second]);
        assert_eq!(read_all(&store, "r", 1).await.unwrap().into_values().collect::<Vec<_>>(), [first]);
        let of = async |nonce| read(&store, "r", 1, (nonce, 4)).await.unwrap();
        assert_eq!(of("n3").await, (Some(post(3)), Some(Relief::HandOver { at_us: 9 })));
        assert_eq!(of("m").await, (None, Some(Relief::Leave)));
        assert_eq!(of("x").await, (None, None));
    }
}
