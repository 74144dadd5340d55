//! Fetching what is missing of a file: several shards at once, each checked, then stored.

use std::cell::{Cell, RefCell};

use futures_util::stream::{self, StreamExt};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, StorageEstimate, WorkerGlobalScope};

use crate::database::Store;
use crate::error::{Error, Result};
use crate::http;
use crate::plan::{Plan, Request};

/// Requests under way at once: enough to hide a round trip, few enough to be polite.
const AT_ONCE: usize = 3;

/// Waits before asking again when a server fails for the moment.
const PAUSES_MS: [u32; 2] = [500, 2000];

/// The plan for a file at an address. What was begun before is found again even without a network.
pub async fn plan_url(store: &Store, url: &str, signal: &AbortSignal) -> Result<Plan> {
    match http::probe(url, signal).await {
        Ok(probe) => Ok(Plan::of_url(url, probe.size_bytes, probe.tag.as_deref(), probe.ranges)),
        Err(error) => store.find_url(url).await?.ok_or(error),
    }
}

/// Fetches and stores every shard that is not there. `progress` gets the bytes that are there or on their way.
pub async fn download(store: &Store, plan: &Plan, signal: &AbortSignal, progress: &dyn Fn(u64)) -> Result<()> {
    let present = store.present(plan).await?;
    let missing: Vec<usize> = (0..plan.count()).filter(|index| !present.contains(index)).collect();
    let bytes = Cell::new(plan.bytes_of(present));
    progress(bytes.get());
    if missing.is_empty() {
        return Ok(());
    }
    check_room(plan.bytes_of(missing.iter().copied())).await?;
    store.put_file(plan).await?;
    if !plan.ranges {
        return stream(store, plan, &missing, signal, progress).await;
    }
    let count = |more: i64| {
        bytes.set(bytes.get().saturating_add_signed(more));
        progress(bytes.get());
    };
    // After an error nothing new is begun, but what is under way is seen through: it is nearly here.
    let failure = RefCell::new(None);
    let fetch = |&index: &usize| {
        let failure = &failure;
        let count = &count;
        async move {
            if failure.borrow().is_some() {
                return;
            }
            if let Err(error) = shard(store, plan, index, signal, count).await {
                failure.borrow_mut().get_or_insert(error);
            }
        }
    };
    stream::iter(&missing).for_each_concurrent(AT_ONCE, fetch).await;
    failure.into_inner().map_or(Ok(()), Err)
}

/// Fails if the browser says that it will not store `need` bytes more.
async fn check_room(need: u64) -> Result<()> {
    let Ok(scope) = js_sys::global().dyn_into::<WorkerGlobalScope>() else { return Ok(()) };
    let Ok(estimate) = scope.navigator().storage().estimate() else { return Ok(()) };
    // A browser that will not say is left to say so when it is full.
    let Ok(estimate) = JsFuture::from(estimate).await else { return Ok(()) };
    let estimate: StorageEstimate = estimate.unchecked_into();
    let (Some(quota), Some(usage)) = (estimate.get_quota(), estimate.get_usage()) else { return Ok(()) };
    let free = (quota - usage).max(0.0) as u64;
    if need > free { Err(Error::Quota { need, free }) } else { Ok(()) }
}

async fn shard(store: &Store, plan: &Plan, index: usize, signal: &AbortSignal, count: &dyn Fn(i64)) -> Result<()> {
    let (_, len) = plan.extent(index);
    let requests = plan.requests(index);
    for (i, request) in requests.iter().enumerate() {
        match checked(plan, index, request, len, signal, count).await {
            // The next place may have it.
            Err(Error::Http { status: 404, .. }) if i + 1 < requests.len() => {}
            bytes => return store.put_shard(&plan.key, index, &bytes?).await,
        }
    }
    unreachable!("the last request returns")
}

/// A shard whose hash is right. A wrong one is fetched once more, past all caches.
async fn checked(
    plan: &Plan,
    index: usize,
    request: &Request,
    len: u64,
    signal: &AbortSignal,
    count: &dyn Fn(i64),
) -> Result<Vec<u8>> {
    for fresh in [false, true] {
        let bytes = patiently(request, len, fresh, signal, count).await?;
        if plan.hashes.get(index).is_none_or(|hash| *hash == crate::sha256(&bytes)) {
            return Ok(bytes);
        }
        count(-(len as i64));
    }
    Err(Error::Hash { index, count: plan.count(), url: request.url.clone() })
}

/// Asks again after a pause while the trouble may be passing.
async fn patiently(
    request: &Request,
    len: u64,
    fresh: bool,
    signal: &AbortSignal,
    count: &dyn Fn(i64),
) -> Result<Vec<u8>> {
    let mut pauses = PAUSES_MS.iter();
    loop {
        let received = Cell::new(0);
        let progress = |more: u64| {
            received.set(received.get() + more as i64);
            count(more as i64);
        };
        let error = match http::fetch(request, len, fresh, signal, &progress).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        count(-received.get());
        match pauses.next() {
            Some(&pause) if error.is_passing() => http::sleep(pause).await,
            _ => return Err(error),
        }
    }
}

/// One pass over the whole file, for servers that give no parts; shards that are there already are passed over.
async fn stream(
    store: &Store,
    plan: &Plan,
    missing: &[usize],
    signal: &AbortSignal,
    progress: &dyn Fn(u64),
) -> Result<()> {
    let (mut index, mut shard, mut received) = (0, Vec::new(), 0);
    http::stream(&plan.url, signal, async |piece| {
        received += piece.len() as u64;
        if received > plan.size_bytes {
            return Err(Error::Changed { expected: plan.size_bytes, found: received, url: plan.url.clone() });
        }
        progress(received);
        shard.extend_from_slice(&piece);
        while index < plan.count() && shard.len() as u64 >= plan.extent(index).1 {
            let rest = shard.split_off(plan.extent(index).1 as usize);
            let whole = std::mem::replace(&mut shard, rest);
            if missing.contains(&index) {
                store.put_shard(&plan.key, index, &whole).await?;
            }
            index += 1;
        }
        Ok(())
    })
    .await?;
    match index == plan.count() && shard.is_empty() {
        true => Ok(()),
        false => Err(Error::Changed { expected: plan.size_bytes, found: received, url: plan.url.clone() }),
    }
}
