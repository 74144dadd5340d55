//! The next turn of a conversation, asked for and answered in the shapes of OpenAI's chat completions.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use twox_hash::XxHash64;

use super::parse::{Parser, Piece, thinking};
use super::{Clock, Content, Message, RenderOptions, Role, Template, ToolCall};
use crate::constraint::{Constraint, Grammar, Tool};
use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// What is asked. Tools are `[{type: "function", function: {name, description, parameters}}]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Request {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Option<Vec<Value>>,
    /// What becomes of them.
    pub tool_choice: ToolChoice,
    /// Whether an answer may have several calls, as it may if nothing is said; else only the first is told.
    pub parallel_tool_calls: Option<bool>,
    /// Texts to answer from, `[{title, text}]`, for templates that have a place for them.
    pub documents: Option<Vec<Value>>,
    /// What the answer must be.
    pub response_format: ResponseFormat,
    /// Whether a model that can do both thinks first.
    pub enable_thinking: Option<bool>,
    /// How long it thinks, where the template asks: "low", "medium", "high"; "none" is also `enable_thinking: false`, unless that is said.
    pub reasoning_effort: Option<String>,
    /// More of what the template reads, by name.
    pub chat_template_kwargs: Option<Map<String, Value>>,
    /// Now, for templates that tell the model: seconds since 1970-01-01 00:00 UTC.
    pub unix_seconds: Option<i64>,
    /// What the local clock is ahead of UTC, in minutes.
    pub offset_minutes: i32,
}

/// Whether tools are called.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum ToolChoice {
    /// As the model likes.
    #[default]
    Unsaid,
    /// "auto", "none" (as if there were no tools) or "required".
    Named(String),
    /// This one: `{type: "function", function: {name}}`.
    Function {
        /// Which.
        function: Name,
    },
}

/// A name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Name {
    /// It.
    pub name: String,
}

/// What an answer must be.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponseFormat {
    /// Whatever the model says.
    #[default]
    Text,
    /// A JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema {
        /// `{name, schema}`, as OpenAI has it.
        json_schema: Schema,
    },
    /// A text that a regular expression fits as a whole.
    Regex {
        /// In the syntax of the crate `regex`.
        regex: String,
    },
    /// A text of a grammar.
    Grammar {
        /// In llama.cpp's notation (GBNF), which begins with the rule `root`, or in Lark's, which begins with `start`.
        grammar: String,
    },
}

/// A JSON schema and what it is called.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Schema {
    /// Any object, if there is none.
    pub schema: Option<Value>,
}

impl ResponseFormat {
    /// What sees to it that an answer is that, if it must be anything. Errors if that cannot be.
    pub fn constraint(&self, tokenizer: &Tokenizer) -> Result<Option<Box<dyn Constraint>>> {
        constraint(self.grammar().as_ref(), tokenizer)
    }

    fn grammar(&self) -> Option<Grammar> {
        Some(match self {
            ResponseFormat::Text => return None,
            ResponseFormat::JsonObject | ResponseFormat::JsonSchema { json_schema: Schema { schema: None } } => {
                Grammar::JsonObject
            }
            ResponseFormat::JsonSchema { json_schema: Schema { schema: Some(schema) } } => {
                Grammar::JsonSchema(schema.clone())
            }
            ResponseFormat::Regex { regex } => Grammar::Regex(regex.clone()),
            ResponseFormat::Grammar { grammar } if grammar.contains("::=") => Grammar::Gbnf(grammar.clone()),
            ResponseFormat::Grammar { grammar } => Grammar::Lark(grammar.clone()),
        })
    }
}

/// An answer in the making: its prompt, what it must be, and what is being told of it.
pub struct Turn {
    prompt: String,
    grammar: Option<Grammar>,
    parser: Parser,
    calls: usize,
    /// Calls that are told, at most.
    most_calls: usize,
}

/// What a piece of text is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Told {
    /// Part of the answer.
    pub content: String,
    /// Part of what is thought first.
    pub reasoning: String,
    /// Calls that are complete.
    pub tool_calls: Vec<IndexedCall>,
}

/// A call and which one of the answer's it is, from 0 on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IndexedCall {
    /// Its number.
    pub index: usize,
    /// What is called.
    #[serde(flatten)]
    pub call: ToolCall,
}

impl Turn {
    /// Makes the prompt. `seed` goes into the names of calls, so that no two of a conversation are alike. Errors if the template
    /// refuses the conversation, or calls are asked for that cannot be promised.
    pub fn new(request: &Request, tokenizer: &Tokenizer, seed: u64) -> Result<Turn> {
        let mut tools = request.tools.clone().unwrap_or_default();
        let must_call = match &request.tool_choice {
            ToolChoice::Unsaid => None,
            ToolChoice::Named(choice) => match choice.as_str() {
                "auto" => None,
                "none" => {
                    tools.clear();
                    None
                }
                "required" => Some(Tool::of(&tools, None)?),
                other => {
                    let what = format!("tool_choice is \"{other}\"; auto, none, required or a function are known");
                    return Err(Error::InvalidInput(what));
                }
            },
            ToolChoice::Function { function } => Some(Tool::of(&tools, Some(&function.name))?),
        };
        let names = tools.iter().map(name_of).collect::<Result<Vec<_>>>()?;
        let clock =
            request.unix_seconds.map(|unix_seconds| Clock { unix_seconds, offset_minutes: request.offset_minutes });
        let mut kwargs = request.chat_template_kwargs.clone().unwrap_or_default();
        let effort = request.reasoning_effort.as_deref();
        if let Some(effort) = effort {
            kwargs.entry("reasoning_effort").or_insert_with(|| effort.into());
        }
        let options = RenderOptions {
            tools,
            documents: request.documents.clone().unwrap_or_default(),
            enable_thinking: request.enable_thinking.or((effort == Some("none")).then_some(false)),
            clock,
            kwargs,
            ..RenderOptions::default()
        };
        let template = tokenizer.template()?;
        let prompt = template.render(&request.messages, &options)?;
        let family = template.family();
        let grammar = match must_call {
            Some(tools) => family.formats.first().map(|format| Grammar::call(tools, format)),
            None => request.response_format.grammar(),
        };
        // Thoughts that the prompt begins come first, and are free.
        let thinking = opened(template, &request.messages, &options, &prompt)?;
        let grammar = match (grammar, thinking) {
            (Some(then), Some(close)) => Some(Grammar::Reasoned { close: close.into(), then: Box::new(then) }),
            (grammar, _) => grammar,
        };
        // The same seed in two turns of a conversation names other calls.
        let parser = Parser::new(family, thinking, names, Some(seed ^ XxHash64::oneshot(0, prompt.as_bytes())));
        let most_calls = if request.parallel_tool_calls == Some(false) { 1 } else { usize::MAX };
        Ok(Turn { prompt, grammar, parser, calls: 0, most_calls })
    }

    /// What sees to it that the answer is what it must be, if it must be anything. Errors if that cannot be.
    pub fn constraint(&self, tokenizer: &Tokenizer) -> Result<Option<Box<dyn Constraint>>> {
        constraint(self.grammar.as_ref(), tokenizer)
    }

    /// What the model is to continue.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// What is certain after this text of the answer; `last`: nothing follows it.
    pub fn tell(&mut self, text: &str, last: bool) -> Told {
        let mut pieces = self.parser.push(text);
        if last {
            pieces.extend(self.parser.finish());
        }
        let mut told = Told::default();
        for piece in pieces {
            match piece {
                Piece::Content(text) => told.content += &text,
                Piece::Reasoning(text) => told.reasoning += &text,
                Piece::ToolCall(call) if self.calls < self.most_calls => {
                    told.tool_calls.push(IndexedCall { index: self.calls, call });
                    self.calls += 1;
                }
                Piece::ToolCall(_) => {}
            }
        }
        told
    }
}

/// What ends the thoughts that the prompt opens. A marker at the end of what a person typed opens none: then the same conversation
/// without it tells whether the template writes one behind.
fn opened(
    template: &Template,
    messages: &[Message],
    options: &RenderOptions,
    prompt: &str,
) -> Result<Option<&'static str>> {
    let Some((last, before)) = messages.split_last() else { return Ok(thinking(prompt)) };
    if last.role == Role::Assistant || thinking(&last.text()?).is_none() {
        return Ok(thinking(prompt));
    }
    let last = Message { content: Some(Content::Text("-".into())), ..last.clone() };
    Ok(thinking(&template.render(&[before, &[last]].concat(), options)?))
}

fn constraint(grammar: Option<&Grammar>, tokenizer: &Tokenizer) -> Result<Option<Box<dyn Constraint>>> {
    let Some(grammar) = grammar else { return Ok(None) };
    Ok(Some(Box::new(tokenizer.words()?.constrain(grammar)?)))
}

fn name_of(tool: &Value) -> Result<String> {
    let name = tool["function"]["name"].as_str().filter(|name| !name.is_empty());
    let shape = "a tool is {\"type\": \"function\", \"function\": {\"name\": …, \"parameters\": …}}";
    name.map(str::to_owned).ok_or_else(|| Error::InvalidInput(format!("tools: {shape}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tokenizer::Files;

    /// A tokenizer of a few letters with this template, or with none.
    fn tokenizer(template: Option<&str>) -> Tokenizer {
        let tokenizer = json!({ "model": { "type": "BPE", "vocab": { "a": 0, "b": 1 }, "merges": [] } });
        let files = Files {
            tokenizer: tokenizer.to_string().into_bytes(),
            chat_template: template.map(|text| text.as_bytes().to_vec()),
            ..Files::default()
        };
        Tokenizer::from_json(&files).unwrap()
    }

    fn turn(template: Option<&str>, request: Value) -> Turn {
        let request: Request = serde_json::from_value(request).unwrap();
        Turn::new(&request, &tokenizer(template), 1).unwrap()
    }

    #[test]
    fn what_a_person_types_opens_no_thoughts() {
        let told = |template: Option<&str>, role: &str, text: &str| {
            let mut turn = turn(template, json!({ "messages": [{ "role": role, "content": text }] }));
            let told = turn.tell("a", true);
            (told.reasoning, told.content)
        };
        let (thought, said) = (("a".to_owned(), String::new()), (String::new(), "a".to_owned()));
        assert_eq!(told(None, "user", "Explain <think>"), said);
        assert_eq!(told(None, "user", "<think>\n"), said);
        assert_eq!(told(None, "assistant", "<think>\n"), thought, "an answer that is gone on with");
        let thinks = Some("{{ messages[-1].content }}<think>\n");
        assert_eq!(told(thinks, "user", "<think>"), thought);
        assert_eq!(told(thinks, "user", "Hi"), thought);
    }

    #[test]
    fn options_reach_the_template() {
        let template =
            Some("{{ reasoning_effort }} {{ enable_thinking }} {% for d in documents %}{{ d.text }}{% endfor %}");
        let prompt = |request: Value| turn(template, request).prompt().to_owned();
        assert_eq!(prompt(json!({ "reasoning_effort": "low", "documents": [{ "text": "D" }] })), "low  D");
        assert_eq!(prompt(json!({ "reasoning_effort": "none" })), "none False ");
        assert_eq!(prompt(json!({ "reasoning_effort": "none", "enable_thinking": true })), "none True ");
        let kwargs = json!({ "reasoning_effort": "x" });
        assert_eq!(prompt(json!({ "reasoning_effort": "low", "chat_template_kwargs": kwargs })), "x  ");
    }

    #[test]
    fn calls_may_be_limited_to_one() {
        let calls = |parallel: Value| {
            let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
            let mut turn = turn(None, json!({ "tools": tools, "parallel_tool_calls": parallel }));
            let call = "<tool_call>{\"name\": \"f\"}</tool_call>";
            let told = [turn.tell(call, false), turn.tell(call, true)];
            told.iter().flat_map(|told| told.tool_calls.iter().map(|call| call.index)).collect::<Vec<_>>()
        };
        assert_eq!(calls(json!(null)), [0, 1]);
        assert_eq!(calls(json!(true)), [0, 1]);
        assert_eq!(calls(json!(false)), [0]);
    }
}
