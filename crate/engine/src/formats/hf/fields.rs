//! The fields of an object in JSON, each read as what it is to be. One that is null is not there.

use serde_json::{Map, Value as Json};

use crate::error::Result;
use crate::formats::header::bad;

/// The largest whole number up to which a float has all of them.
const MOST_WHOLE: f64 = 9_007_199_254_740_992.0;

/// An object's fields.
#[derive(Clone, Copy)]
pub struct Fields<'a>(pub &'a Map<String, Json>);

impl<'a> Fields<'a> {
    /// The field called `name`.
    pub fn get(self, name: &str) -> Option<&'a Json> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// The fields of an object.
    pub fn object(self, name: &str) -> Option<Fields<'a>> {
        self.get(name).and_then(Json::as_object).map(Fields)
    }

    /// A count, also where Python wrote it with a point.
    pub fn count(self, name: &str) -> Result<Option<u64>> {
        let whole = |number: f64| {
            let is = (0.0..=MOST_WHOLE).contains(&number) && number.fract() == 0.0;
            is.then_some(number as u64)
        };
        self.read(name, "a count", |value| value.as_u64().or_else(|| value.as_f64().and_then(whole)))
    }

    /// A number.
    pub fn number(self, name: &str) -> Result<Option<f64>> {
        self.read(name, "a number", Json::as_f64)
    }

    /// A list of numbers.
    pub fn numbers(self, name: &str) -> Result<Option<Vec<f32>>> {
        let number = |value: &Json| value.as_f64().map(|number| number as f32);
        self.read(name, "a list of numbers", |value| value.as_array()?.iter().map(number).collect())
    }

    /// A flag.
    pub fn flag(self, name: &str) -> Result<Option<bool>> {
        self.read(name, "a flag", Json::as_bool)
    }

    fn read<T>(self, name: &str, what: &str, read: impl Fn(&'a Json) -> Option<T>) -> Result<Option<T>> {
        let refused = |value| bad(name, format!("{value} is not {what}"));
        self.get(name).map(|value| read(value).ok_or_else(|| refused(value))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_what_they_are_to_be() {
        let text = r#"{"a": 4, "b": 4.0, "c": 4.5, "d": [1, 2.5], "e": true, "f": null, "g": {"a": 1}, "h": -1}"#;
        let map: Map<String, Json> = serde_json::from_str(text).unwrap();
        let fields = Fields(&map);
        assert_eq!([fields.count("a").unwrap(), fields.count("b").unwrap()], [Some(4); 2]);
        assert_eq!((fields.number("c").unwrap(), fields.numbers("d").unwrap()), (Some(4.5), Some(vec![1.0, 2.5])));
        assert_eq!((fields.flag("e").unwrap(), fields.flag("f").unwrap()), (Some(true), None));
        assert_eq!(fields.object("g").unwrap().count("a").unwrap(), Some(1));
        for error in [fields.count("c").err(), fields.count("h").err(), fields.number("e").err()] {
            assert_eq!(error.unwrap().code(), "bad_metadata");
        }
        assert_eq!(fields.numbers("a").unwrap_err().to_string(), "metadata a: 4 is not a list of numbers");
    }
}
