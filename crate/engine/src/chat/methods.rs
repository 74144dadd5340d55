//! Python's methods of texts and lists that templates call and minijinja's own set lacks, or works out without counting the cost;
//! and the filters that do the same.

use std::borrow::Cow;
use std::sync::Arc;

use minijinja::value::{StringInput, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value, filters};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::bounds;

/// Bytes of text that a method reads for one fuel.
const BYTES_PER_FUEL: usize = 64;
/// Bytes that a list takes for each of its values, and for a text there.
const BYTES_PER_VALUE: usize = 64;
/// Bytes that a list takes in another, at least.
const BYTES_PER_LIST: usize = 192;
/// Bytes of the characters that are taken from a text's ends: each of the text's is looked for among them.
const MAX_TRIMMED: usize = 1 << 10;
/// Widest field of `str.format`.
const MAX_WIDTH: usize = 10_000;

/// Calls `method` of `value`.
pub(super) fn call(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        return match (value.kind(), method) {
            (ValueKind::Seq | ValueKind::Map, _) => unknown_method_callback(state, value, method, args),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        };
    };
    spend(state, text.len())?;
    match method {
        "replace" => {
            let (old, new, most): (&str, &str, Option<i64>) = from_args(args)?;
            let count = text.matches(old).count();
            let count = most.and_then(|most| usize::try_from(most).ok()).map_or(count, |most| most.min(count));
            spend(state, count.saturating_mul(new.len()))?;
        }
        "join" => {
            let (values,): (&Value,) = from_args(args)?;
            let mut joined = String::new();
            for (i, value) in values.try_iter()?.checked().enumerate() {
                let value = value?;
                let Some(value) = value.as_str() else {
                    return Err(Error::new(ErrorKind::InvalidOperation, "join: a list of texts was expected"));
                };
                spend(state, BYTES_PER_FUEL + text.len() + value.len())?;
                joined += if i > 0 { text } else { "" };
                joined += value;
            }
            return Ok(joined.into());
        }
        "format" => {
            let widths = widths(text)?;
            let longest = args.iter().map(|value| written(state, value)).collect::<Result<Vec<_>, _>>()?;
            let field = longest.into_iter().max().unwrap_or(0) + BYTES_PER_VALUE;
            spend(state, text.matches('{').count().saturating_mul(field).saturating_add(widths))?;
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            return Ok(text.strip_prefix(prefix).unwrap_or(text).into());
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            return Ok(text.strip_suffix(suffix).unwrap_or(text).into());
        }
        "rsplit" => {
            let (separator, most): (&str, Option<i64>) = from_args(args)?;
            if separator.is_empty() {
                return Err(Error::new(ErrorKind::InvalidOperation, "rsplit: the separator is empty"));
            }
            let most =
                most.and_then(|most| usize::try_from(most).ok()).map_or(usize::MAX, |most| most.saturating_add(1));
            spend(state, text.rsplitn(most, separator).count() * BYTES_PER_VALUE)?;
            let mut pieces: Vec<Value> = text.rsplitn(most, separator).map(Value::from).collect();
            pieces.reverse();
            return Ok(pieces.into());
        }
        // One value for each is more than all that are made.
        "strip" | "lstrip" | "rstrip" => check_trimmed(args.first().and_then(Value::as_str))?,
        "split" | "splitlines" => spend_pieces(state, text, args.first().and_then(Value::as_str))?,
        "partition" => {
            let (separator,): (&str,) = from_args(args)?;
            let (before, found, after) = match text.split_once(separator) {
                Some((before, after)) => (before, separator, after),
                None => (text, "", ""),
            };
            return Ok(Value::from_iter([before, found, after]));
        }
        _ => {}
    }
    unknown_method_callback(state, value, method, args)
}

/// The filter `split`.
pub(super) fn split(
    state: &State,
    value: &Value,
    separator: Option<Arc<str>>,
    most: Option<i64>,
) -> Result<Value, Error> {
    spend_pieces(state, value.as_str().unwrap_or_default(), separator.as_deref())?;
    filters::split(value, separator, most)
}

/// The filter `batch`.
pub(super) fn batch(state: &State, value: Value, count: usize, fill: Option<Value>) -> Result<Value, Error> {
    let value = bounds::bounded(state, value)?;
    spend(state, value.len().unwrap_or(0) * BYTES_PER_LIST)?;
    filters::batch(state, value, count, fill)
}

/// The filter `slice`.
pub(super) fn slice(state: &State, value: Value, count: usize, fill: Option<Value>) -> Result<Value, Error> {
    spend(state, count.saturating_mul(BYTES_PER_LIST))?;
    filters::slice(state, value, count, fill)
}

/// The filter `escape`: HTML's names of characters have up to six.
pub(super) fn escape(state: &mut State, value: &Value) -> Result<Value, Error> {
    spend(state, value.as_str().map_or(0, |text| text.len().saturating_mul(6)))?;
    filters::escape(state, value)
}

/// The filter `lines`.
pub(super) fn lines(state: &State, value: &Value) -> Result<Value, Error> {
    spend_pieces(state, value.as_str().unwrap_or_default(), None)?;
    filters::lines(value)
}

/// The filter `trim`.
pub(super) fn trim(text: StringInput<'_>, chars: Option<Cow<'_, str>>) -> Result<Value, Error> {
    check_trimmed(chars.as_deref())?;
    Ok(filters::trim(text, chars))
}

fn check_trimmed(chars: Option<&str>) -> Result<(), Error> {
    match chars {
        Some(chars) if chars.len() > MAX_TRIMMED => {
            Err(Error::new(ErrorKind::InvalidOperation, format!("strip: {MAX_TRIMMED} bytes of characters at most")))
        }
        _ => Ok(()),
    }
}

/// Bytes that `value` may have when written out, at least some.
fn written(state: &State, value: &Value) -> Result<usize, Error> {
    match value.as_str() {
        Some(text) => Ok(text.len()),
        None if value.as_object().is_none() => Ok(64),
        None => bounds::bounded(state, value.clone()).map(|_| bounds::MOST_BYTES),
    }
}

/// Pays for the pieces that `text` falls into, by blanks and lines if there is no `separator`, before they are made.
fn spend_pieces(state: &State, text: &str, separator: Option<&str>) -> Result<(), Error> {
    let count = match separator {
        Some(separator) => text.matches(separator).count() + 1,
        None => text.chars().filter(|char| char.is_whitespace()).count() + 1,
    };
    spend(state, count.saturating_mul(BYTES_PER_VALUE))
}

fn spend(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel((bytes / BYTES_PER_FUEL) as u64)
}

/// The widths of a format's fields together, or more. Errors where one is wider than any prompt needs, or is an argument's.
fn widths(format: &str) -> Result<usize, Error> {
    let (mut depth, mut width, mut sum) = (0_usize, 0_usize, 0_usize);
    let format = format.replace("{{", "").replace("}}", "");
    for char in format.chars() {
        let inside = depth;
        match char {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match char.to_digit(10) {
            Some(digit) => width = width.saturating_mul(10).saturating_add(digit as usize),
            None => sum += std::mem::take(&mut width) * usize::from(inside == 1),
        }
        if depth > 1 || (depth == 1 && width > MAX_WIDTH) {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("format: fields are {MAX_WIDTH} wide at most"),
            ));
        }
    }
    Ok(sum)
}
