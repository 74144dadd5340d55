//! The next turn of a conversation, asked for and answered in the shapes of OpenAI's chat completions.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use twox_hash::XxHash64;

use super::parse::{Parser, Piece, thinking};
use super::{Clock, Message, RenderOptions, ToolCall};
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
    /// What the answer must be.
    pub response_format: ResponseFormat,
    /// Whether a model that can do both thinks first.
    pub enable_thinking: Option<bool>,
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
}

/// What a piece of text is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Told {
    /// Part of the answer.
    pub content: String,
    /// Part of what is thought first.
    pub reasoning: String,
    /// Calls that are complete.
    pub tool_calls: Vec<Call>,
}

/// A call and which one of the answer's it is, from 0 on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
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
        let options = RenderOptions {
            tools,
            enable_thinking: request.enable_thinking,
            clock,
            kwargs: request.chat_template_kwargs.clone().unwrap_or_default(),
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
        let grammar = match (grammar, thinking(&prompt)) {
            (Some(then), Some(close)) => Some(Grammar::Reasoned { close: close.into(), then: Box::new(then) }),
            (grammar, _) => grammar,
        };
        // The same seed in two turns of a conversation names other calls.
        let parser = Parser::new(family, &prompt, names, Some(seed ^ XxHash64::oneshot(0, prompt.as_bytes())));
        Ok(Turn { prompt, grammar, parser, calls: 0 })
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
                Piece::ToolCall(call) => {
                    told.tool_calls.push(Call { index: self.calls, call });
                    self.calls += 1;
                }
            }
        }
        told
    }
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
