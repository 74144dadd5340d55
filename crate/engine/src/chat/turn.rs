//! The next turn of a conversation, asked for and answered in the shapes of OpenAI's chat completions.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::parse::{Parser, Piece};
use super::{Clock, Message, RenderOptions, ToolCall};
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
    /// "auto", or "none" as if there were no tools.
    pub tool_choice: Option<Value>,
    /// Whether a model that can do both thinks first.
    pub enable_thinking: Option<bool>,
    /// More of what the template reads, by name.
    pub chat_template_kwargs: Option<Map<String, Value>>,
    /// Now, for templates that tell the model: seconds since 1970-01-01 00:00 UTC.
    pub unix_seconds: Option<i64>,
    /// What the local clock is ahead of UTC, in minutes.
    pub offset_minutes: i32,
}

/// An answer in the making: its prompt, and what is being told of it.
pub struct Turn {
    prompt: String,
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
        let tools = match request.tool_choice.as_ref() {
            Some(Value::String(choice)) if choice == "none" => Vec::new(),
            None | Some(Value::Null) => request.tools.clone().unwrap_or_default(),
            Some(Value::String(choice)) if choice == "auto" => request.tools.clone().unwrap_or_default(),
            Some(other) => {
                return Err(Error::InvalidInput(format!("tool_choice {other} is not supported; auto and none are")));
            }
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
        let parser = Parser::new(template.family(), &prompt, names, Some(seed));
        Ok(Turn { prompt, parser, calls: 0 })
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

fn name_of(tool: &Value) -> Result<String> {
    let name = tool["function"]["name"].as_str().filter(|name| !name.is_empty());
    let shape = "a tool is {\"type\": \"function\", \"function\": {\"name\": …, \"parameters\": …}}";
    name.map(str::to_owned).ok_or_else(|| Error::InvalidInput(format!("tools: {shape}")))
}
