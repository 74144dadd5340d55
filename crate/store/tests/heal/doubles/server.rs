//! Servers that break, lie and lose patience, and that watch what they are asked for.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use hearth_store::clock::Clock;
use hearth_store::source::{Answer, Ask, Source};
use hearth_store::{Error, Result};

use super::time::Time;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Nobody answers: a network that is gone, a redirect that leads in a circle.
    Refused,
    /// Nobody answers, and nobody says so.
    Silence,
    Status(u16),
    /// 429 or 503, to come back after so many seconds, told as a number or as a date.
    Busy {
        status: u16,
        seconds: u64,
        date: bool,
    },
    /// The connection breaks after so many bytes.
    Broken(usize),
    /// The body ends after so many bytes as if it were whole.
    Short(usize),
    /// Nothing more comes after so many bytes.
    Stuck(usize),
    /// A byte is another.
    Wrong(usize),
    /// More comes than was asked for.
    Long,
    /// 200 and all of the file where a part was asked for.
    Whole,
    /// Another part, as its header says.
    Other(u64),
    /// Another part, and its header denies it.
    Swapped(u64),
    /// Where a redirect leads to a page that wants a login.
    Page,
}

pub struct File {
    pub bytes: Vec<u8>,
    /// What becomes of the next requests; then all are answered well.
    pub faults: RefCell<VecDeque<Fault>>,
    pub parts: bool,
    /// Headers that a page of another site may not see.
    pub hidden: Vec<&'static str>,
    pub tag: Option<String>,
    pub quiet_until_ms: Cell<u64>,
}

impl File {
    pub fn new(bytes: &[u8]) -> File {
        let (faults, hidden, quiet_until_ms) = Default::default();
        File { bytes: bytes.into(), faults, parts: true, hidden, tag: None, quiet_until_ms }
    }
}

/// All servers there are, by address.
pub struct Net<'a> {
    pub time: &'a Time,
    pub files: BTreeMap<String, File>,
    pub asked: RefCell<Vec<Ask>>,
    /// Bytes handed out.
    pub sent: Cell<u64>,
    /// Called with each request before it is answered.
    pub watch: &'a dyn Fn(&Ask),
    under_way: Rc<RefCell<Vec<(u64, u64)>>>,
}

impl<'a> Net<'a> {
    pub fn new(time: &'a Time, watch: &'a dyn Fn(&Ask)) -> Net<'a> {
        let (files, asked, sent, under_way) = Default::default();
        Net { time, files, asked, sent, watch, under_way }
    }
}

pub struct Reply<'a> {
    net: &'a Net<'a>,
    status: u16,
    headers: BTreeMap<&'static str, String>,
    body: VecDeque<u8>,
    /// What happens at the body's end.
    end: Option<Fault>,
    mine: Option<(u64, u64)>,
}

impl Drop for Reply<'_> {
    fn drop(&mut self) {
        if let Some(mine) = self.mine {
            self.net.under_way.borrow_mut().retain(|part| *part != mine);
        }
    }
}

impl<'a> Source for &'a Net<'a> {
    type Answer = Reply<'a>;

    async fn ask(&self, ask: &Ask) -> Result<Reply<'a>> {
        (self.watch)(ask);
        self.asked.borrow_mut().push(ask.clone());
        let refused = || Error::Network { url: ask.url.clone() };
        let file = self.files.get(&ask.url).ok_or_else(refused)?;
        assert!(self.time.now_ms() >= file.quiet_until_ms.get(), "it was to be left alone");
        let mine = ask.range.map(|(start, len)| (start, start + len));
        if let Some((start, end)) = mine {
            let under_way = self.under_way.borrow();
            assert!(under_way.iter().all(|&(from, to)| end <= from || to <= start), "{ask:?} is under way already");
        }
        let fault = file.faults.borrow_mut().pop_front();
        self.under_way.borrow_mut().extend(mine);
        let mut reply =
            Reply { net: self, status: 200, headers: BTreeMap::new(), body: VecDeque::new(), end: None, mine };
        self.time.passes().await;
        reply.answer(file, ask, fault, self.time.now_ms());
        match reply.end.take_if(|end| matches!(end, Fault::Refused | Fault::Silence)) {
            Some(Fault::Silence) => pending().await,
            Some(_) => Err(refused()),
            None => Ok(reply),
        }
    }
}

impl Reply<'_> {
    fn answer(&mut self, file: &File, ask: &Ask, fault: Option<Fault>, now_ms: u64) {
        let total = file.bytes.len() as u64;
        let whole = !file.parts || fault == Some(Fault::Whole);
        let range = ask.range.filter(|_| !whole);
        let (mut from, len) = range.unwrap_or((0, total));
        let told = from;
        if let (Some(_), Some(Fault::Other(shift) | Fault::Swapped(shift))) = (range, &fault) {
            from = (from + shift) % total;
        }
        let to = (from + len).min(total);
        self.headers.insert("content-length", (to - from).to_string());
        if let Some(tag) = &file.tag {
            self.headers.insert("etag", tag.clone());
        }
        self.body = file.bytes[from as usize..to as usize].iter().copied().collect();
        if range.is_some() {
            self.status = 206;
            let start = if matches!(fault, Some(Fault::Swapped(_))) { told } else { from };
            self.headers.insert("content-range", format!("bytes {start}-{}/{total}", start + (to - from) - 1));
        }
        let mut cut = |at: usize| self.body.truncate(at % (len as usize + 1));
        match fault {
            Some(Fault::Status(status)) => (self.status, self.body) = (status, VecDeque::new()),
            Some(Fault::Busy { status, seconds, date }) => {
                (self.status, self.body) = (status, VecDeque::new());
                // A date is told in whole seconds.
                let until = Duration::from_secs(now_ms / 1000 + 1 + seconds);
                let (wait, until_ms) = match date {
                    true => (httpdate::fmt_http_date(UNIX_EPOCH + until), until.as_millis() as u64),
                    false => (seconds.to_string(), now_ms + seconds * 1000),
                };
                self.headers.insert("retry-after", wait);
                file.quiet_until_ms.set(until_ms);
            }
            Some(Fault::Broken(at) | Fault::Short(at) | Fault::Stuck(at)) => cut(at),
            Some(Fault::Wrong(at)) => {
                let at = at % self.body.len();
                self.body[at] ^= 1;
            }
            Some(Fault::Long) => self.body.push_back(0),
            Some(Fault::Page) => {
                (self.status, self.body) = (200, b"<!doctype html>".iter().copied().collect());
                self.headers.insert("content-type", "text/html; charset=utf-8".into());
            }
            _ => {}
        }
        if ask.head {
            self.body.clear();
        }
        self.end = fault;
        self.headers.retain(|name, _| !file.hidden.contains(name));
    }
}

impl Answer for Reply<'_> {
    fn status(&self) -> u16 {
        self.status
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).cloned()
    }

    async fn piece(&mut self) -> Result<Option<Vec<u8>>> {
        self.net.time.passes().await;
        if self.body.is_empty() {
            return match self.end.take() {
                Some(Fault::Broken(_)) => Err(Error::Network { url: "broken".into() }),
                Some(Fault::Stuck(_)) => pending().await,
                _ => Ok(None),
            };
        }
        let len = 1 + self.net.time.below(self.body.len().min(100));
        self.net.sent.set(self.net.sent.get() + len as u64);
        Ok(Some(self.body.drain(..len).collect()))
    }
}
