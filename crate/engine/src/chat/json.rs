//! `tojson` as Hugging Face has it: Python's `json.dumps(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`. Jinja's
//! own escapes HTML, which a prompt is not.

use std::borrow::Cow;

use minijinja::value::{Kwargs, Serde, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

/// Values nested deeper are refused.
const MAX_DEPTH: usize = 200;

/// How JSON is laid out.
struct Style {
    ascii: bool,
    indent: Option<String>,
    comma: String,
    colon: String,
    sorted: bool,
}

impl Style {
    /// Bytes that stand around a value, about.
    fn around(&self, depth: usize) -> usize {
        self.comma.len() + self.colon.len() + self.indent.as_ref().map_or(0, |indent| (depth + 1) * indent.len())
    }
}

/// The filter.
pub(super) fn tojson(
    state: &State,
    value: &Value,
    ensure_ascii: Option<bool>,
    indent: Option<Value>,
    rest: Kwargs,
) -> Result<Value, Error> {
    let indent = match indent.or(rest.get::<Option<Value>>("indent")?) {
        Some(indent) if indent.is_none() || indent.is_undefined() => None,
        Some(indent) => match indent.as_str() {
            Some(text) => Some(text.to_owned()),
            None => Some(" ".repeat(usize::try_from(indent)?.min(100))),
        },
        None => None,
    };
    let separators: Option<Vec<String>> = rest.get("separators")?;
    let (comma, colon) = match separators.as_deref() {
        Some([comma, colon]) => (comma.clone(), colon.clone()),
        Some(_) => return Err(refused("separators are two texts")),
        None => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
    };
    let style = Style {
        ascii: ensure_ascii.or(rest.get("ensure_ascii")?).unwrap_or(false),
        indent,
        comma,
        colon,
        sorted: rest.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    rest.assert_all_used()?;
    let mut text = String::new();
    write(&mut text, &style, value, 0, &mut |bytes| state.consume_fuel(1 + bytes as u64 / 8))?;
    Ok(Value::from(text))
}

/// A value as `json.dumps` writes it.
pub(super) fn compact(value: &serde_json::Value) -> String {
    let style = Style { ascii: false, indent: None, comma: ", ".into(), colon: ": ".into(), sorted: false };
    let mut text = String::new();
    // Only a value nested deeper than `MAX_DEPTH` fails; then serde's own layout does.
    match write(&mut text, &style, &Value::from(Serde(value)), 0, &mut |_| Ok(())) {
        Ok(()) => text,
        Err(_) => value.to_string(),
    }
}

fn refused(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("tojson: {}", what.into()))
}

fn write(
    out: &mut String,
    style: &Style,
    value: &Value,
    depth: usize,
    spend: &mut dyn FnMut(usize) -> Result<(), Error>,
) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(refused("the value is nested too deep"));
    }
    spend(value.as_str().map_or(8, str::len) + style.around(depth))?;
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => number(out, value),
        ValueKind::String => string(out, style, value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.checked().collect::<Result<_, _>>()?;
            container(out, style, depth, ['[', ']'], items, &mut |out, item| {
                write(out, style, item, depth + 1, spend)
            })?;
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.checked().collect::<Result<_, _>>()?;
            if style.sorted {
                keys.sort();
            }
            container(out, style, depth, ['{', '}'], keys, &mut |out, key| {
                string(out, style, &key.to_string());
                out.push_str(&style.colon);
                write(out, style, &value.get_item(key)?, depth + 1, spend)
            })?;
        }
        other => return Err(refused(format!("a value of the kind {other} is no JSON"))),
    }
    Ok(())
}

fn container(
    out: &mut String,
    style: &Style,
    depth: usize,
    [open, close]: [char; 2],
    items: Vec<Value>,
    each: &mut dyn FnMut(&mut String, &Value) -> Result<(), Error>,
) -> Result<(), Error> {
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = &style.indent {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(indent));
        }
    };
    out.push(open);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(&style.comma);
        }
        line(out, depth + 1);
        each(out, item)?;
    }
    if !items.is_empty() {
        line(out, depth);
    }
    out.push(close);
    Ok(())
}

fn string(out: &mut String, style: &Style, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..' ' => out.push_str(&format!("\\u{:04x}", char as u32)),
            '\u{7f}'.. if style.ascii && char != '\u{7f}' => {
                let mut units = [0; 2];
                char.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            }
            _ => out.push(char),
        }
    }
    out.push('"');
}

/// The value as Python's `str` writes it: minijinja writes 10^20 in full.
pub(super) fn python(value: &Value) -> Cow<'_, Value> {
    if value.kind() != ValueKind::Number || value.is_integer() {
        return Cow::Borrowed(value);
    }
    let mut text = String::new();
    number(&mut text, value);
    Cow::Owned(text.into())
}

/// Integers as they are; floats as Python's `repr`: the shortest digits that give the number back, a power of ten from 10^16 and below
/// 10^-4.
fn number(out: &mut String, value: &Value) {
    if value.is_integer() {
        out.push_str(&value.to_string());
        return;
    }
    let number = f64::try_from(value.clone()).unwrap_or(f64::NAN);
    let text = match number {
        _ if number.is_nan() => "NaN".into(),
        _ if number.is_infinite() => if number > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        _ if number == 0.0 || (1e-4..1e16).contains(&number.abs()) => format!("{number:?}"),
        _ => {
            let text = format!("{number:e}");
            let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
            let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
            format!("{digits}e{sign}{power:0>2}")
        }
    };
    out.push_str(&text);
}
