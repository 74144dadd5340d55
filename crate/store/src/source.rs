//! Where files come from: something that answers requests as HTTP does, redirects followed. Dropping an answer ends it.

use std::time::{Duration, UNIX_EPOCH};

use crate::error::{Error, Result};

/// What a server is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Address.
    pub url: String,
    /// First byte and length, unless all is wanted.
    pub range: Option<(u64, u64)>,
    /// Past all caches.
    pub fresh: bool,
    /// Only what would be answered, without a body.
    pub head: bool,
}

impl Ask {
    /// For all of a file.
    pub fn whole(url: &str) -> Ask {
        Ask { url: url.into(), range: None, fresh: false, head: false }
    }

    /// For a part of a file.
    pub fn part(url: &str, start: u64, len: u64) -> Ask {
        Ask { range: Some((start, len)), ..Ask::whole(url) }
    }
}

/// A server's answer, of any status.
#[allow(async_fn_in_trait, reason = "everything here runs on one thread")]
pub trait Answer {
    /// The HTTP status.
    fn status(&self) -> u16;
    /// A header, if it was sent and this page may see it: of another site's answer it sees few.
    fn header(&self, name: &str) -> Option<String>;
    /// The next bytes of the body, or `None` at its end. Fails with [`Error::Network`] if the connection broke.
    async fn piece(&mut self) -> Result<Option<Vec<u8>>>;
}

/// Something that answers.
#[allow(async_fn_in_trait, reason = "everything here runs on one thread")]
pub trait Source {
    /// What it answers with.
    type Answer: Answer;
    /// Asks. Fails with [`Error::Network`] if nobody answers.
    async fn ask(&self, ask: &Ask) -> Result<Self::Answer>;
}

/// The version of the file that the answer is of, where it says so.
pub(crate) fn tag(answer: &impl Answer) -> Option<String> {
    answer.header("etag").or_else(|| answer.header("last-modified"))
}

/// Whether the answer is a web page: what hosts give that answer every address, and those that want a login first.
pub(crate) fn is_page(answer: &impl Answer) -> bool {
    answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"))
}

/// `bytes START-END/TOTAL`: where a part starts, and the file's size if that is told.
pub(crate) fn content_range(answer: &impl Answer) -> Option<(u64, Option<u64>)> {
    let header = answer.header("content-range")?;
    let (part, total) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    Some((part.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

/// How long the server wants to be left alone, by `Retry-After`: seconds, or a date.
pub(crate) fn retry_after_ms(answer: &impl Answer, now_ms: u64) -> Option<u64> {
    let header = answer.header("retry-after")?;
    if let Ok(seconds) = header.trim().parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let date = httpdate::parse_http_date(header.trim()).ok()?;
    let wait = date.duration_since(UNIX_EPOCH).ok()?.saturating_sub(Duration::from_millis(now_ms));
    Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

/// The error that an answer of this status means.
pub(crate) fn refusal(answer: &impl Answer, url: &str, now_ms: u64) -> Error {
    Error::Http { status: answer.status(), url: url.into(), wait_ms: retry_after_ms(answer, now_ms) }
}
