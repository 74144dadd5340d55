//! The compression methods, each a file that says what it is called, what it does and what can be chosen: page and command line
//! draw themselves from it.
//!
//! To add one: write `methods/NAME.rs` with a `SPEC` and a [`LayerMethod`](crate::pass::LayerMethod) or
//! [`WholeMethod`](crate::pass::WholeMethod), and add it to [`METHODS`].

mod awq;
mod channels;
mod distill;
mod heads;
mod layers;
mod lowrank;
mod prune;
mod quantize;
mod refit;
mod share;

pub(crate) use quantize::{GLANCE, MIXED, fitting};
pub use quantize::{nearest, scales};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::pass::Method;

/// Those there are.
pub const METHODS: &[&Spec] = &[
    &layers::SPEC,
    &heads::SPEC,
    &channels::SPEC,
    &refit::SPEC,
    &distill::SPEC,
    &lowrank::SPEC,
    &prune::SPEC,
    &awq::SPEC,
    &quantize::SPEC,
    &share::SPEC,
];

/// What a method is.
#[derive(Serialize)]
pub struct Spec {
    /// What recipes call it.
    pub name: &'static str,
    /// What it does, for people, with its source.
    pub does: &'static str,
    /// What can be chosen.
    pub options: &'static [Opt],
    #[serde(skip)]
    make: fn(&Options) -> Method,
}

/// Something to choose.
#[derive(Serialize)]
pub struct Opt {
    /// What recipes call it.
    pub name: &'static str,
    /// What it does, for people.
    pub does: &'static str,
    /// What it may be.
    pub kind: Kind,
}

/// What an option may be, and what it is if nothing is said.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A number.
    Number {
        /// At least.
        min: f64,
        /// At most.
        max: f64,
        /// If nothing is said.
        default: f64,
    },
    /// One of several words.
    Choice {
        /// The words.
        of: &'static [&'static str],
        /// If nothing is said.
        default: &'static str,
    },
    /// Yes or no.
    Flag {
        /// If nothing is said.
        default: bool,
    },
    /// A list of one or several words.
    Several {
        /// The words.
        of: &'static [&'static str],
        /// If nothing is said.
        default: &'static [&'static str],
    },
    /// A word for each of some tensors, `{NAME: WORD}`; for none, if nothing is said.
    Tensors {
        /// The words.
        of: &'static [&'static str],
    },
}

/// The options of a step, each checked.
pub struct Options<'a> {
    spec: &'static Spec,
    given: &'a Map<String, Value>,
}

impl<'a> Options<'a> {
    /// Errors where an option is unknown or out of its range.
    fn new(spec: &'static Spec, given: &'a Map<String, Value>) -> Result<Options<'a>, String> {
        for (name, value) in given.iter().filter(|(name, _)| *name != "method") {
            let Some(opt) = spec.options.iter().find(|opt| opt.name == name) else {
                let names: Vec<_> = spec.options.iter().map(|opt| opt.name).collect();
                return Err(format!("there is no option {name}; there are {}", names.join(", ")));
            };
            let among = |of: &[&str], value: &Value| value.as_str().is_some_and(|word| of.contains(&word));
            let wanted = match opt.kind {
                Kind::Number { min, max, .. } if value.as_f64().is_none_or(|x| !(min..=max).contains(&x)) => {
                    format!("a number from {min} to {max}")
                }
                Kind::Choice { of, .. } if !among(of, value) => format!("one of {}", of.join(", ")),
                Kind::Several { of, .. }
                    if value
                        .as_array()
                        .is_none_or(|list| list.is_empty() || !list.iter().all(|word| among(of, word))) =>
                {
                    format!("a list of some of {}", of.join(", "))
                }
                Kind::Tensors { of }
                    if value.as_object().is_none_or(|map| !map.values().all(|word| among(of, word))) =>
                {
                    format!("names of tensors, each with one of {}", of.join(", "))
                }
                Kind::Flag { .. } if !value.is_boolean() => "true or false".into(),
                _ => continue,
            };
            return Err(format!("{name} is {value}, and should be {wanted}"));
        }
        Ok(Options { spec, given })
    }

    fn kind(&self, name: &str) -> Kind {
        self.spec.options.iter().find(|opt| opt.name == name).expect("an option of the method").kind
    }

    fn number(&self, name: &str) -> f64 {
        match self.kind(name) {
            Kind::Number { default, .. } => self.given.get(name).and_then(Value::as_f64).unwrap_or(default),
            _ => unreachable!("{name} is a number"),
        }
    }

    fn choice(&self, name: &str) -> &str {
        match self.kind(name) {
            Kind::Choice { default, .. } => self.given.get(name).and_then(Value::as_str).unwrap_or(default),
            _ => unreachable!("{name} is a choice"),
        }
    }

    fn flag(&self, name: &str) -> bool {
        match self.kind(name) {
            Kind::Flag { default } => self.given.get(name).and_then(Value::as_bool).unwrap_or(default),
            _ => unreachable!("{name} is a flag"),
        }
    }

    fn several(&self, name: &str) -> Vec<&str> {
        match (self.kind(name), self.given.get(name).and_then(Value::as_array)) {
            (_, Some(list)) => list.iter().filter_map(Value::as_str).collect(),
            (Kind::Several { default, .. }, None) => default.to_vec(),
            _ => unreachable!("{name} is a list"),
        }
    }

    fn tensors(&self, name: &str) -> Vec<(&str, &str)> {
        let map = self.given.get(name).and_then(Value::as_object);
        map.into_iter().flatten().filter_map(|(tensor, word)| Some((tensor.as_str(), word.as_str()?))).collect()
    }
}

/// The method of a step, `{"method": NAME, OPTION: VALUE, ...}`. Errors, in words, where there is no such thing.
pub fn make(step: &Map<String, Value>) -> Result<Method, String> {
    let name = step.get("method").and_then(Value::as_str).ok_or("a step has no method")?;
    let names = || METHODS.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ");
    let spec = METHODS.iter().find(|spec| spec.name == name);
    let spec = spec.ok_or_else(|| format!("there is no method {name}; there are {}", names()))?;
    Ok((spec.make)(&Options::new(spec, step)?))
}
