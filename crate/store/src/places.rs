//! The places that have a file, and how patient to be with each.
//!
//! A place that fails for the moment rests, twice as long each time, by a part of chance so that not all come back at once, or as
//! long as it asks for. Meanwhile the others are asked. One that fails for good, or too often without a byte in between, is given
//! up. What the connections find at a place is found for all of them.

use std::cell::{Cell, RefCell};

use crate::clock::Clock;
use crate::error::Error;
use crate::plan::Plan;
use crate::source::Ask;

const FIRST_REST_MS: u64 = 500;
const LONGEST_REST_MS: u64 = 30_000;

/// A server that wants to be left alone for longer is given up; a person may come back to it.
const LONGEST_WISH_MS: u64 = 120_000;

/// Times that a server may answer with the whole file where a part was asked for before it is believed to have no parts.
const WHOLE: u32 = 2;

/// Times that a chunk may arrive wrong from a place.
pub(crate) const WRONG: usize = 2;

/// One place.
pub(crate) struct Place {
    /// Its address of the file, or of a folder that has each chunk as a file.
    pub(crate) url: String,
    /// Whether it is a folder of chunks.
    pub(crate) folder: bool,
    failures: Cell<u32>,
    whole: Cell<u32>,
    rests_until_ms: Cell<u64>,
    given_up: RefCell<Option<Error>>,
}

impl Place {
    fn new(url: &str, folder: bool) -> Place {
        let (failures, whole, rests_until_ms) = Default::default();
        Place { url: url.into(), folder, failures, whole, rests_until_ms, given_up: RefCell::default() }
    }

    /// What brings `len` bytes from `start` of chunk `index`, whose first byte is `at` in the file.
    pub(crate) fn ask(&self, index: usize, at: u64, len: u64) -> Ask {
        match self.folder {
            true => Ask::whole(&format!("{}/{index:05}.bin", self.url)),
            false => Ask::part(&self.url, at, len),
        }
    }

    /// Whether it gives parts of the file, as far as is known.
    pub(crate) fn has_parts(&self) -> bool {
        self.whole.get() < WHOLE
    }

    fn rest(&self, now_ms: u64) -> u64 {
        self.rests_until_ms.get().saturating_sub(now_ms)
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.borrow().is_some()
    }

    /// Waits while it rests, unless it is given up meanwhile.
    pub(crate) async fn rested(&self, clock: &impl Clock) {
        // Another connection may lengthen it meanwhile.
        while let left @ 1.. = self.rest(clock.now_ms())
            && !self.is_given_up()
        {
            clock.sleep(left + (clock.chance() * 250.0) as u64).await;
        }
    }

    /// Bytes came: it works.
    pub(crate) fn works(&self) {
        self.failures.set(0);
    }

    /// Notes a failure; after `attempts` in a row it is given up.
    pub(crate) fn failed(&self, error: &Error, attempts: u32, clock: &impl Clock) {
        let wish = error.wait_ms();
        let for_good = !error.is_passing() || wish.is_some_and(|wish| wish > LONGEST_WISH_MS);
        let until = clock.now_ms() + wish.unwrap_or(0);
        // What several connections meet at once is one failure.
        if !for_good && self.rest(clock.now_ms()) > 0 {
            return self.rests_until_ms.set(until.max(self.rests_until_ms.get()));
        }
        self.failures.set(self.failures.get() + 1);
        if matches!(error, Error::NoParts { .. }) {
            self.whole.set(self.whole.get() + 1);
        } else if for_good || self.failures.get() >= attempts {
            self.given_up.borrow_mut().get_or_insert_with(|| error.clone());
            return;
        }
        let rest = rest_ms(self.failures.get(), clock.chance());
        self.rests_until_ms.set(until.max(clock.now_ms() + rest));
    }
}

/// How long to rest after so many failures in a row: half of it fixed, half by chance.
pub(crate) fn rest_ms(failures: u32, chance: f64) -> u64 {
    let longest = FIRST_REST_MS.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_REST_MS);
    longest / 2 + (chance * longest as f64 / 2.0) as u64
}

/// All places of a file.
pub(crate) struct Places {
    places: Vec<Place>,
    /// Number of the file's own address among them.
    own: usize,
}

impl Places {
    pub(crate) fn of(plan: &Plan) -> Places {
        let folder = plan.folder.iter().map(|url| Place::new(url, true));
        let files = [&plan.url].into_iter().chain(&plan.mirrors).map(|url| Place::new(url, false));
        let places = Places { places: folder.chain(files).collect(), own: usize::from(plan.folder.is_some()) };
        if plan.is_imported() {
            places.places[places.own].given_up.replace(Some(Error::Imported));
        }
        if !plan.ranges {
            places.places.iter().filter(|place| !place.folder).for_each(|place| place.whole.set(WHOLE));
        }
        places
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn get(&self, number: usize) -> &Place {
        &self.places[number]
    }

    /// Number of the place to ask next for a chunk that came wrong so often from each; `None` if all are given up. In the order of
    /// the list: those that have parts, do not rest, gave it wrong seldom and fail seldom.
    pub(crate) fn best(&self, wrong: &[usize], now_ms: u64) -> Option<usize> {
        let rank = |number: usize, place: &Place| {
            let rest = place.rest(now_ms);
            (!place.has_parts(), rest > 0, wrong[number], rest, place.failures.get())
        };
        self.least(|number, _| wrong[number] < WRONG, rank)
    }

    /// Number of the place to ask next for the whole file.
    pub(crate) fn best_whole(&self, now_ms: u64) -> Option<usize> {
        self.least(|_, place| !place.folder, |_, place| (place.rest(now_ms), place.failures.get()))
    }

    fn least<K: Ord>(&self, fits: impl Fn(usize, &Place) -> bool, rank: impl Fn(usize, &Place) -> K) -> Option<usize> {
        let places = self.places.iter().enumerate();
        let open = places.filter(|&(number, place)| fits(number, place) && !place.is_given_up());
        open.min_by_key(|&(number, place)| rank(number, place)).map(|(number, _)| number)
    }

    /// Why all are given up: what the file's own address said, but rather what any said than that one said nothing.
    pub(crate) fn refusal(&self) -> Error {
        let places = [&self.places[self.own]].into_iter().chain(&self.places);
        let errors: Vec<Error> = places.filter_map(|place| place.given_up.borrow().clone()).collect();
        let told = errors.iter().find(|error| !matches!(error, Error::Network { .. }));
        told.or(errors.first()).expect("all are given up").clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_and_end() {
        let longest: Vec<u64> = (1..9).map(|failures| rest_ms(failures, 0.999_999)).collect();
        assert_eq!(longest, [499, 999, 1999, 3999, 7999, 15_999, 29_999, 29_999]);
        assert!((1..40).all(|failures| rest_ms(failures, 0.0) * 2 >= rest_ms(failures, 0.99)));
    }

    #[test]
    fn what_a_server_said_is_told_rather_than_silence() {
        let mut plan = Plan::of_url("https://own.example/a", 10, None, true);
        plan.folder = Some("https://folder.example/a".into());
        let told = |own: Error, folder: Error| {
            let places = Places::of(&plan);
            places.places[0].given_up.replace(Some(folder));
            places.places[1].given_up.replace(Some(own));
            places.refusal()
        };
        let http = |status| Error::Http { status, url: String::new(), wait_ms: None };
        let silent = |url: &str| Error::Network { url: url.into() };
        assert_eq!(told(http(404), http(503)), http(404));
        assert_eq!(told(silent("own"), http(503)), http(503));
        assert_eq!(told(silent("own"), silent("folder")), silent("own"));
    }
}
