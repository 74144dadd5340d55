//! Requests by the browser's fetch, ended when their answer is dropped.

use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, AbortSignal, Headers, ReadableStreamDefaultReader, RequestCache, RequestInit, Response,
};

use crate::error::{Error, Result};
use crate::source::{Answer, Ask, Source};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = fetch)]
    fn global_fetch(request: &web_sys::Request) -> Promise;
}

/// The network.
pub struct Fetch;

/// Ends a request when it is dropped.
struct Ending(AbortController);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer on its way.
pub struct Reply {
    url: String,
    response: Response,
    reader: Option<ReadableStreamDefaultReader>,
    _ending: Ending,
}

impl Source for Fetch {
    type Answer = Reply;

    async fn ask(&self, ask: &Ask) -> Result<Reply> {
        let url = ask.url.as_str();
        let invalid = |_| Error::Invalid(format!("{url} is not an address"));
        let headers = Headers::new().map_err(invalid)?;
        if let Some((start, len)) = ask.range {
            headers.set("Range", &format!("bytes={start}-{}", start + len - 1)).map_err(invalid)?;
        }
        let ending = Ending(AbortController::new().map_err(invalid)?);
        let init = RequestInit::new();
        init.set_headers(&headers);
        init.set_signal(Some(&ending.0.signal()));
        if ask.head {
            init.set_method("HEAD");
        }
        // Chunks are kept in IndexedDB: a second copy in the browser's cache would only take room.
        init.set_cache(if ask.fresh { RequestCache::Reload } else { RequestCache::NoStore });
        let request = web_sys::Request::new_with_str_and_init(url, &init).map_err(invalid)?;
        let response = JsFuture::from(global_fetch(&request)).await;
        let response: Response = response.map_err(|_| Error::Network { url: url.into() })?.unchecked_into();
        let reader = response.body().map(|body| body.get_reader().unchecked_into());
        Ok(Reply { url: url.into(), response, reader, _ending: ending })
    }
}

impl Answer for Reply {
    fn status(&self) -> u16 {
        self.response.status()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.response.headers().get(name).ok().flatten()
    }

    async fn piece(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(reader) = &self.reader else { return Ok(None) };
        let broken = |_| Error::Network { url: self.url.clone() };
        let result = JsFuture::from(reader.read()).await.map_err(broken)?;
        let field = |name: &str| Reflect::get(&result, &name.into()).map_err(broken);
        match field("done")?.is_truthy() {
            true => Ok(None),
            false => Ok(Some(field("value")?.unchecked_into::<Uint8Array>().to_vec())),
        }
    }
}

/// Waits for a signal.
pub async fn aborted(signal: &AbortSignal) {
    let promise = Promise::new(&mut |resolve, _| {
        if signal.aborted() {
            // Nobody hears of the value.
            let _ = resolve.call0(&JsValue::NULL);
        } else {
            signal.set_onabort(Some(&resolve));
        }
    });
    let waited = JsFuture::from(promise).await;
    debug_assert!(waited.is_ok(), "nothing rejects it");
}
