//! What an answer may be asked to be, and how llguidance is told.

use llguidance::api::TopLevelGrammar;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::gbnf;
use super::vocabulary::Vocabulary;
use crate::chat::family::Format;
use crate::error::{Error, Result};

/// Longest grammar, in bytes.
const MAX_SOURCE: usize = 1 << 18;
/// Deepest nesting of a schema.
const MAX_DEPTH: usize = 64;

/// The texts that an answer may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grammar {
    /// JSON that fits this [schema](https://json-schema.org).
    JsonSchema(Value),
    /// Any JSON object.
    JsonObject,
    /// A text that this regular expression fits as a whole, in the syntax of the crate `regex`.
    Regex(String),
    /// A grammar in llguidance's dialect of [Lark](https://lark-parser.readthedocs.io), which begins with the rule `start`.
    Lark(String),
    /// A grammar in llama.cpp's notation, which begins with the rule `root`.
    Gbnf(String),
    /// A call of one of these tools, written as a model's family does: a [`Format::form`].
    Call {
        /// What may be called.
        tools: Vec<Tool>,
        /// How a call is written, with `NAME` and `ARGUMENTS`.
        form: String,
    },
    /// Reasoning up to a marker, such as `</think>`, and then something else.
    Reasoned {
        /// The marker.
        close: String,
        /// What follows it.
        then: Box<Grammar>,
    },
}

/// A tool that may be called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// The schema of its arguments; any object if there is none.
    #[serde(default)]
    pub parameters: Option<Value>,
}

impl Tool {
    /// The tools of a list as OpenAI's API has it, `[{type: "function", function: {name, parameters}}]`; only the one called `choice`, if
    /// there is a choice. Errors if that is none.
    pub fn of(tools: &[Value], choice: Option<&str>) -> Result<Vec<Tool>> {
        let read = |tool: &Value| serde_json::from_value::<Tool>(tool.get("function").unwrap_or(tool).clone());
        let tools: Vec<Tool> = tools
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(|error| Error::InvalidInput(format!("tools: {error}")))?;
        let chosen: Vec<Tool> = tools.into_iter().filter(|tool| choice.is_none_or(|name| name == tool.name)).collect();
        match (chosen.is_empty(), choice) {
            (false, _) => Ok(chosen),
            (true, Some(name)) => Err(Error::InvalidInput(format!("there is no tool \"{name}\" to call"))),
            (true, None) => Err(Error::InvalidInput("there are no tools to call".into())),
        }
    }
}

impl Grammar {
    /// A call of one of `tools` in a family's format.
    pub fn call(tools: Vec<Tool>, format: &Format) -> Grammar {
        Grammar::Call { tools, form: format.form.into() }
    }

    pub(super) fn compile(&self, vocabulary: &Vocabulary) -> Result<TopLevelGrammar> {
        Ok(match self {
            Grammar::JsonSchema(schema) => TopLevelGrammar::from_json_schema(checked(schema)?.clone()),
            Grammar::JsonObject => TopLevelGrammar::from_json_schema(any_object()),
            Grammar::Regex(regex) => TopLevelGrammar::from_regex(short(regex)?),
            other => TopLevelGrammar::from_lark(other.lark(vocabulary)?),
        })
    }

    /// The grammar in Lark.
    fn lark(&self, vocabulary: &Vocabulary) -> Result<String> {
        Ok(match self {
            Grammar::JsonSchema(schema) => format!("start: %json {}\n", checked(schema)?),
            Grammar::JsonObject => format!("start: %json {}\n", any_object()),
            Grammar::Regex(regex) => format!("start: /{}/\n", llguidance::regex_to_lark(short(regex)?, "")),
            Grammar::Lark(source) => short(source)?.to_owned(),
            Grammar::Gbnf(source) => gbnf::to_lark(short(source)?)?,
            Grammar::Call { tools, form } => {
                let mut rules = String::new();
                for (i, tool) in tools.iter().enumerate() {
                    rules += &format!("call{i}: {}\n", call(tool, form, vocabulary)?);
                }
                let names: Vec<String> = (0..tools.len()).map(|i| format!("call{i}")).collect();
                if names.is_empty() {
                    return Err(Error::Grammar("there are no tools to call".into()));
                }
                format!("start: {}\n{rules}", names.join(" | "))
            }
            Grammar::Reasoned { close, then } => {
                if matches!(**then, Grammar::Reasoned { .. }) {
                    return Err(Error::Grammar("reasoning is followed by reasoning".into()));
                }
                let thought = match vocabulary.control(close) {
                    Some(token) => format!("thought: /(?s:.*)/ <[{token}]>\n"),
                    None => format!("thought[suffix={}]: /(?s:.*)/\n", json!(close)),
                };
                let inner = then.lark(vocabulary)?;
                format!("start: thought /\\s*/ answer\n{thought}answer: %lark {{\n{inner}}}\n")
            }
        })
    }
}

fn any_object() -> Value {
    json!({ "type": "object" })
}

/// A call of `tool` as an expression in Lark: control tokens of the form by number, since they are no text.
fn call(tool: &Tool, form: &str, vocabulary: &Vocabulary) -> Result<String> {
    let schema = tool.parameters.clone().filter(|schema| !schema.is_null()).unwrap_or_else(any_object);
    let (before, after) =
        form.split_once("ARGUMENTS").ok_or_else(|| Error::Grammar("the form has no ARGUMENTS".into()))?;
    // Inside of quotes a name is a JSON text.
    let name = json!(tool.name).to_string();
    let name = if form.contains("\"NAME\"") { &name[1..name.len() - 1] } else { &tool.name };
    let mut parts = literals(&before.replace("NAME", name), vocabulary);
    parts.push(format!("%json {}", checked(&schema)?));
    parts.extend(literals(after, vocabulary));
    Ok(parts.join(" "))
}

/// A text as expressions: what is a control token by its number, the rest in quotes.
fn literals(text: &str, vocabulary: &Vocabulary) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text;
    let mut plain = String::new();
    while let Some(char) = rest.chars().next() {
        let marker = rest.find(['>', ']']).filter(|_| matches!(char, '<' | '['));
        match marker.and_then(|end| Some((end, vocabulary.control(&rest[..=end])?))) {
            Some((end, token)) => {
                if !plain.is_empty() {
                    parts.push(json!(std::mem::take(&mut plain)).to_string());
                }
                parts.push(format!("<[{token}]>"));
                rest = &rest[end + 1..];
            }
            None => {
                plain.push(char);
                rest = &rest[char.len_utf8()..];
            }
        }
    }
    if !plain.is_empty() {
        parts.push(json!(plain).to_string());
    }
    parts
}

fn short(source: &str) -> Result<&str> {
    match source.len() {
        0 => Err(Error::Grammar("it is empty".into())),
        length if length > MAX_SOURCE => Err(Error::Grammar(format!("it has {length} bytes, more than {MAX_SOURCE}"))),
        _ => Ok(source),
    }
}

/// The schema, if it is neither too long nor too deep.
fn checked(schema: &Value) -> Result<&Value> {
    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    if depth(schema) > MAX_DEPTH {
        return Err(Error::Grammar(format!("the schema is nested deeper than {MAX_DEPTH}")));
    }
    short(&schema.to_string())?;
    Ok(schema)
}
