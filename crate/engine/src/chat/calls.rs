//! Calls of tools as models write them, to their names and arguments. Whatever markers are around, a body is one of
//!
//! ```text
//! {"name": "f", "arguments": {"a": 1}}        also "parameters"; one, several, or a list of them
//! f[ARGS]{"a": 1}                             Mistral;  f[CALL_ID]id[ARGS]{...};  function<｜tool▁sep｜>f ```json {...}```  DeepSeek
//! <function=f><parameter=a>1</parameter></function>     Qwen3-Coder;  <function=f>{"a": 1}</function>
//! f(a=1, b="c")                               Python; one, or a list of them
//! ```

use serde_json::{Map, Value};

/// A call that was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// Its name, if the model gave it one.
    pub id: Option<String>,
    pub name: String,
    pub arguments: Map<String, Value>,
}

/// The calls of a body, none if it is anything else.
pub(super) fn read(body: &str) -> Option<Vec<Call>> {
    let body = fence(body.trim());
    let calls = match body.chars().next()? {
        '{' | '[' => json(body).or_else(|| python(body)),
        '<' if body.starts_with("<function=") => xml(body),
        '<' => deepseek(body),
        _ => mistral(body).or_else(|| python(body)),
    }?;
    (!calls.is_empty()).then_some(calls)
}

/// Bytes of the JSON object or list that `text` begins with; none if it is not complete.
pub(super) fn json_length(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quoted = Quoted::default();
    for (at, char) in text.char_indices() {
        if quoted.inside(char) {
            continue;
        }
        match char {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at + char.len_utf8());
        }
    }
    None
}

/// Whether `text` ends inside of a JSON text.
pub(super) fn ends_quoted(text: &str) -> bool {
    let mut quoted = Quoted::default();
    text.chars().for_each(|char| {
        quoted.inside(char);
    });
    quoted.open
}

/// Follows the quotes of JSON.
#[derive(Default)]
struct Quoted {
    open: bool,
    escaped: bool,
}

impl Quoted {
    /// Whether `char` belongs to a text, its quotes included.
    fn inside(&mut self, char: char) -> bool {
        let escaped = std::mem::take(&mut self.escaped);
        match char {
            '"' if !escaped => {
                self.open = !self.open;
                return true;
            }
            '\\' if self.open && !escaped => self.escaped = true,
            _ => {}
        }
        self.open
    }
}

/// What is inside of a fence of backticks.
fn fence(body: &str) -> &str {
    let Some(inner) = body.strip_prefix("```") else { return body };
    let inner = inner.trim_start_matches(|char: char| char.is_alphanumeric() || char == '_');
    inner.strip_suffix("```").unwrap_or(inner).trim()
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map),
        Value::Null => Some(Map::new()),
        Value::String(text) => object(serde_json::from_str(&text).ok().filter(|value: &Value| !value.is_string())?),
        _ => None,
    }
}

fn json(body: &str) -> Option<Vec<Call>> {
    let mut calls = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (value, after) = rest.split_at(json_length(rest)?);
        match serde_json::from_str(value).ok()? {
            Value::Array(values) => calls.extend(values.into_iter().map(json_call).collect::<Option<Vec<_>>>()?),
            value => calls.push(json_call(value)?),
        }
        rest = after.trim_start_matches(|char: char| char.is_whitespace() || char == ';' || char == ',');
    }
    Some(calls)
}

fn json_call(value: Value) -> Option<Call> {
    let Value::Object(mut map) = value else { return None };
    let id = ["id", "tool_call_id"].iter().find_map(|key| map.get(*key)?.as_str().map(str::to_owned));
    if let Some(Value::Object(inner)) = map.get_mut("function") {
        map = std::mem::take(inner);
    }
    let name = ["name", "tool_name", "function"].iter().find_map(|key| map.get(*key)?.as_str().map(str::to_owned))?;
    let arguments = ["arguments", "parameters", "args"].iter().find_map(|key| map.remove(*key)).unwrap_or_default();
    Some(Call { id, name, arguments: object(arguments)? })
}

fn mistral(body: &str) -> Option<Vec<Call>> {
    let mut calls = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let at = rest.find(['{'])?;
        let head = rest[..at].trim().strip_suffix("[ARGS]").unwrap_or(rest[..at].trim());
        let (name, id) = head.split_once("[CALL_ID]").map_or((head, None), |(name, id)| (name, Some(id.to_owned())));
        let length = json_length(&rest[at..])?;
        let arguments = object(serde_json::from_str(&rest[at..at + length]).ok()?)?;
        calls.push(Call { id, name: identifier(name)?, arguments });
        rest = rest[at + length..].trim_start();
    }
    Some(calls)
}

fn deepseek(body: &str) -> Option<Vec<Call>> {
    let pieces = body.split("<｜tool▁call▁begin｜>").map(str::trim).filter(|piece| !piece.is_empty());
    let call = |piece: &str| {
        let (kind, rest) = piece.trim_end_matches("<｜tool▁call▁end｜>").split_once("<｜tool▁sep｜>")?;
        let at = rest.find(['{', '`'])?;
        // V3.1 leaves the kind out: the name comes first.
        let name = if rest[..at].trim().is_empty() { kind } else { &rest[..at] };
        let arguments = object(serde_json::from_str(fence(rest[at..].trim())).ok()?)?;
        Some(Call { id: None, name: identifier(name)?, arguments })
    };
    pieces.map(call).collect()
}

fn xml(body: &str) -> Option<Vec<Call>> {
    let call = |piece: &str| {
        let (name, rest) = piece.split_once('>')?;
        let rest = rest.trim().trim_end_matches("</function>").trim();
        let arguments = match rest.starts_with('{') {
            true => object(serde_json::from_str(rest).ok()?)?,
            false => {
                let pieces = rest.split("<parameter=").skip(1).map(|piece| {
                    let (name, value) = piece.split_once('>')?;
                    let value = value.rsplit_once("</parameter>").map_or(value, |(value, _)| value);
                    let value = value.strip_prefix('\n').unwrap_or(value);
                    let value = value.strip_suffix('\n').unwrap_or(value);
                    Some((name.trim().to_owned(), plain(value)))
                });
                pieces.collect::<Option<_>>()?
            }
        };
        Some(Call { id: None, name: identifier(name)?, arguments })
    };
    body.split("<function=").skip(1).map(call).collect()
}

/// A value without quotes: JSON if it is one, else text.
fn plain(text: &str) -> Value {
    serde_json::from_str(text.trim()).unwrap_or_else(|_| text.into())
}

/// A function's name; tools of servers have dots, slashes and hyphens.
fn identifier(name: &str) -> Option<String> {
    let name = name.trim();
    let fits = |char: char| char.is_alphanumeric() || "_-./:".contains(char);
    (!name.is_empty() && name.chars().all(fits)).then(|| name.to_owned())
}

/// Calls in Python, with arguments by name: `[f(a=1), g()]`, `print(f(a=1))`, `f.call(a=1)`.
fn python(body: &str) -> Option<Vec<Call>> {
    let body = body.strip_prefix('[').and_then(|body| body.strip_suffix(']')).unwrap_or(body);
    let body = body.strip_prefix("print(").and_then(|body| body.strip_suffix(')')).unwrap_or(body);
    let mut calls = Vec::new();
    let mut rest = body.trim();
    while !rest.is_empty() {
        let at = rest.find('(')?;
        let name = rest[..at].trim().trim_end_matches(".call");
        let mut reader = Python { text: &rest[at + 1..] };
        let arguments = reader.arguments()?;
        calls.push(Call { id: None, name: identifier(name)?, arguments });
        rest = reader.text.trim_start_matches(|char: char| char.is_whitespace() || char == ',' || char == ';');
    }
    Some(calls)
}

/// Reads Python's literals.
struct Python<'a> {
    text: &'a str,
}

impl Python<'_> {
    fn take(&mut self, sign: char) -> bool {
        self.text = self.text.trim_start();
        let rest = self.text.strip_prefix(sign);
        self.text = rest.unwrap_or(self.text);
        rest.is_some()
    }

    /// `a=1, b=2)`
    fn arguments(&mut self) -> Option<Map<String, Value>> {
        let mut arguments = Map::new();
        while !self.take(')') {
            let (name, rest) = self.text.split_once('=')?;
            let name = identifier(name)?;
            self.text = rest;
            arguments.insert(name, self.value(0)?);
            if !self.take(',') && !self.text.starts_with(')') {
                return None;
            }
        }
        Some(arguments)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.text = self.text.trim_start();
        if depth > 100 {
            return None;
        }
        match self.text.chars().next()? {
            quote @ ('"' | '\'') => self.string(quote).map(Value::from),
            '[' => {
                let mut items = Vec::new();
                self.take('[');
                while !self.take(']') {
                    items.push(self.value(depth + 1)?);
                    if !self.take(',') && !self.text.starts_with(']') {
                        return None;
                    }
                }
                Some(items.into())
            }
            '{' => {
                let mut map = Map::new();
                self.take('{');
                while !self.take('}') {
                    let Value::String(key) = self.value(depth + 1)? else { return None };
                    if !self.take(':') {
                        return None;
                    }
                    map.insert(key, self.value(depth + 1)?);
                    if !self.take(',') && !self.text.starts_with('}') {
                        return None;
                    }
                }
                Some(map.into())
            }
            _ => {
                let end = self.text.find([',', ')', ']', '}', ':']).unwrap_or(self.text.len());
                let (word, rest) = self.text.split_at(end);
                self.text = rest;
                match word.trim() {
                    "True" => Some(true.into()),
                    "False" => Some(false.into()),
                    "None" => Some(Value::Null),
                    word => serde_json::from_str(word).ok(),
                }
            }
        }
    }

    fn string(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        let mut chars = self.text.char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            match char {
                '\\' => match chars.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    other => text.push(other),
                },
                _ if char == quote => {
                    self.text = &self.text[at + 1..];
                    return Some(text);
                }
                _ => text.push(char),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(body: &str, expected: &[(&str, Value)]) {
        let calls = read(body).unwrap_or_else(|| panic!("{body}"));
        let calls: Vec<(&str, Value)> =
            calls.iter().map(|call| (call.name.as_str(), Value::from(call.arguments.clone()))).collect();
        assert_eq!(calls, expected, "{body}");
    }

    #[test]
    fn bodies_of_all_kinds_are_read() {
        let one = [("f", json!({ "a": 1, "b": "é}" }))];
        check(r#"{"name": "f", "arguments": {"a": 1, "b": "é}"}}"#, &one);
        check(r#" {"name": "f", "parameters": {"a": 1, "b": "é}"}} "#, &one);
        check(r#"{"type": "function", "function": {"name": "f", "arguments": "{\"a\": 1, \"b\": \"é}\"}"}}"#, &one);
        check(r#"{"type": "function", "function": "f", "parameters": {"a": 1, "b": "é}"}}"#, &one);
        check(r#"[{"name": "f", "arguments": {"a": 1, "b": "é}"}}]"#, &one);
        check(r#"[{"tool_call_id": "0", "tool_name": "f", "parameters": {"a": 1, "b": "é}"}}]"#, &one);
        check("```json\n{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": \"é}\"}}\n```", &one);
        check(r#"f[ARGS]{"a": 1, "b": "é}"}"#, &one);
        check(r#"f{"a": 1, "b": "é}"}"#, &one);
        check(r#"<function=f>{"a": 1, "b": "é}"}</function>"#, &one);
        check("<function=f>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\né}\n</parameter>\n</function>", &one);
        check(
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": 1, \"b\": \"é}\"}\n```<｜tool▁call▁end｜>",
            &one,
        );
        check("<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1, \"b\": \"é}\"}<｜tool▁call▁end｜>", &one);
        check("f(a=1, b='é}')", &one);
        check("print(f(a=1, b=\"é}\"))", &one);
        check("[f(a=1, b='é}')]", &one);
    }

    #[test]
    fn several_calls_are_read() {
        let two = [("f", json!({ "a": [1, { "b": null }] })), ("g.h", json!({}))];
        check(r#"{"name": "f", "parameters": {"a": [1, {"b": null}]}}; {"name": "g.h", "parameters": {}}"#, &two);
        check(r#"[{"name": "f", "arguments": {"a": [1, {"b": null}]}}, {"name": "g.h"}]"#, &two);
        check(r#"f[ARGS]{"a": [1, {"b": null}]} g.h[ARGS]{}"#, &two);
        check("[f(a=[1, {'b': None}]), g.h()]", &two);
        check("<function=f>{\"a\": [1, {\"b\": null}]}</function>\n<function=g.h>\n</function>", &two);
        let call = read(r#"f[CALL_ID]abc[ARGS]{}"#).unwrap();
        assert_eq!(call[0].id.as_deref(), Some("abc"));
    }

    #[test]
    fn other_texts_are_none() {
        for body in [
            "",
            "{",
            "{}",
            "[]",
            "[1]",
            "hello",
            "hello {}  there",
            r#"{"name": 1}"#,
            r#"{"name": "f", "arguments": 1}"#,
            "f(",
            "f(1)",
            "f(a=)",
            "f(a=x)",
            "<function=",
            "<function=f",
            "<b>",
            "def f(a):\n  pass",
            r#"{"name": "f"} x"#,
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
            "f(a='",
            "f(a={'b'})",
        ] {
            assert_eq!(read(body), None, "{body}");
        }
        assert_eq!(read(&format!("f(a={})", "[".repeat(100_000))), None);
    }
}
