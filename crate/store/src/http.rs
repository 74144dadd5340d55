//! One request, its body counted as it comes.

use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Headers, ReadableStreamDefaultReader, RequestCache, RequestInit, Response};

use crate::error::{Error, Result};
use crate::plan::Request;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = fetch)]
    fn global_fetch(request: &web_sys::Request) -> Promise;
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(then: &js_sys::Function, milliseconds: u32);
}

/// Waits.
pub async fn sleep(milliseconds: u32) {
    let promise = Promise::new(&mut |resolve, _| set_timeout(&resolve, milliseconds));
    let waited = JsFuture::from(promise).await;
    debug_assert!(waited.is_ok(), "nothing rejects it");
}

fn network(url: &str, signal: &AbortSignal) -> Error {
    match signal.aborted() {
        true => Error::Aborted,
        false => Error::Network { url: url.into() },
    }
}

/// Sends the request; `fresh` passes by the browser's cache. Any status but success is an error.
async fn send(request: &Request, fresh: bool, signal: &AbortSignal) -> Result<Response> {
    let url = request.url.as_str();
    let invalid = |_| Error::Invalid(format!("{url} is not an address"));
    let headers = Headers::new().map_err(invalid)?;
    if let Some((start, len)) = request.range {
        headers.set("Range", &format!("bytes={start}-{}", start + len - 1)).map_err(invalid)?;
    }
    let init = RequestInit::new();
    init.set_headers(&headers);
    init.set_signal(Some(signal));
    // Shards are kept in IndexedDB: a second copy in the browser's cache would only take room.
    init.set_cache(if fresh { RequestCache::Reload } else { RequestCache::NoStore });
    let js_request = web_sys::Request::new_with_str_and_init(url, &init).map_err(invalid)?;
    let response = JsFuture::from(global_fetch(&js_request)).await.map_err(|_| network(url, signal))?;
    let response: Response = response.unchecked_into();
    match response.ok() {
        true => Ok(response),
        false => Err(Error::Http { status: response.status(), url: url.into() }),
    }
}

/// Gives `each` the pieces of the body as they arrive.
async fn read(
    response: &Response,
    url: &str,
    signal: &AbortSignal,
    mut each: impl AsyncFnMut(Vec<u8>) -> Result<()>,
) -> Result<()> {
    let Some(body) = response.body() else { return Ok(()) };
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    loop {
        let result = JsFuture::from(reader.read()).await.map_err(|_| network(url, signal))?;
        let field = |name: &str| Reflect::get(&result, &name.into()).map_err(|_| network(url, signal));
        if field("done")?.is_truthy() {
            return Ok(());
        }
        let taken = each(field("value")?.unchecked_into::<Uint8Array>().to_vec()).await;
        if taken.is_err() {
            // What is left is not wanted; whether the server hears that does not matter.
            let _ = JsFuture::from(reader.cancel()).await;
            return taken;
        }
    }
}

/// The bytes that `request` brings, which must be `len`; `progress` is told of each piece's size.
pub async fn fetch(
    request: &Request,
    len: u64,
    fresh: bool,
    signal: &AbortSignal,
    progress: &dyn Fn(u64),
) -> Result<Vec<u8>> {
    let url = request.url.as_str();
    let response = send(request, fresh, signal).await?;
    if request.range.is_some() && response.status() != 206 {
        return Err(Error::Http { status: response.status(), url: url.into() });
    }
    // Hosts that answer every address with their front page mean "not found".
    let kind = response.headers().get("content-type").ok().flatten().unwrap_or_default();
    if kind.starts_with("text/html") {
        return Err(Error::Http { status: 404, url: url.into() });
    }
    let mut bytes = Vec::with_capacity(len as usize);
    let changed = |found| Error::Changed { expected: len, found, url: url.into() };
    read(&response, url, signal, async |piece| {
        progress(piece.len() as u64);
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > len { Err(changed(bytes.len() as u64)) } else { Ok(()) }
    })
    .await?;
    match bytes.len() as u64 == len {
        true => Ok(bytes),
        // A server that closes early looks like a short file; asking again tells.
        false => Err(Error::Network { url: url.into() }),
    }
}

/// The whole file from its start, for servers that give no parts: `each` gets the pieces.
pub async fn stream(url: &str, signal: &AbortSignal, each: impl AsyncFnMut(Vec<u8>) -> Result<()>) -> Result<()> {
    let request = Request { url: url.into(), range: None };
    let response = send(&request, false, signal).await?;
    read(&response, url, signal, each).await
}

/// What a server says of a file.
pub struct Probe {
    /// Its size.
    pub size_bytes: u64,
    /// A name for this version of it.
    pub tag: Option<String>,
    /// Whether parts can be had.
    pub ranges: bool,
}

/// Asks for one byte of a file and reads what the answer says of the rest.
pub async fn probe(url: &str, signal: &AbortSignal) -> Result<Probe> {
    let response = send(&Request { url: url.into(), range: Some((0, 1)) }, false, signal).await?;
    let header = |name: &str| response.headers().get(name).ok().flatten();
    let ranges = response.status() == 206;
    let size = match ranges {
        true => header("content-range").and_then(|range| range.rsplit('/').next()?.parse().ok()),
        false => header("content-length").and_then(|length| length.parse().ok()),
    };
    let tag = header("etag").or_else(|| header("last-modified"));
    if let Some(body) = response.body() {
        // The rest of the body is not wanted; it does not matter whether cancelling it succeeds.
        let _ = JsFuture::from(body.cancel()).await;
    }
    let unknown = || Error::Invalid(format!("the server does not say how large the file is ({url})"));
    Ok(Probe { size_bytes: size.filter(|&size| size > 0).ok_or_else(unknown)?, tag, ranges })
}
