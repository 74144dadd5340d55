//! `hearth run --chat`: the conversation as a prompt, what the answer must be, and the answer's parts.

use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use hearth_engine::chat::{Message, Name, Request, ResponseFormat, Role, Schema, Told, ToolChoice, Turn};
use hearth_engine::tokenizer::Tokenizer;
use serde_json::Value;

use crate::Result;

/// How a conversation is put, and what is made of the answer.
#[derive(Args)]
pub struct ChatArgs {
    /// Put the prompt into the model's chat template, as a user's turn.
    #[arg(long)]
    pub chat: bool,
    /// Instructions, as a system turn before it.
    #[arg(long, requires = "chat", value_name = "TEXT")]
    system: Option<String>,
    /// What the model may call: a JSON list of functions, as OpenAI's API has it. Calls are printed as JSON.
    #[arg(long, requires = "chat", value_name = "FILE")]
    tools: Option<PathBuf>,
    /// "auto", "none", "required", or the name of the tool that must be called.
    #[arg(long, requires = "tools", default_value = "auto", value_name = "WHICH")]
    tool_choice: String,
    /// Whether a model that can do both thinks first.
    #[arg(long, requires = "chat", value_name = "BOOL")]
    think: Option<bool>,
    #[command(flatten)]
    answer: AnswerArgs,
}

/// What the answer must be.
#[derive(Args)]
#[group(multiple = false)]
struct AnswerArgs {
    /// The answer is JSON that fits the schema in this file.
    #[arg(long, value_name = "FILE")]
    json_schema: Option<PathBuf>,
    /// The answer is a JSON object.
    #[arg(long)]
    json_object: bool,
    /// The answer fits this regular expression.
    #[arg(long, value_name = "REGEX")]
    regex: Option<String>,
    /// The answer fits the grammar in this file: llama.cpp's GBNF, which has "::=", or Lark.
    #[arg(long, value_name = "FILE")]
    grammar: Option<PathBuf>,
}

impl ChatArgs {
    /// The answer that `prompt` asks for, where it is part of a conversation.
    pub fn turn(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<Option<Turn>> {
        if !self.chat {
            return Ok(None);
        }
        let tools = self.tools()?;
        if tools.is_some() && !tokenizer.template()?.capabilities().tools {
            writeln!(stderr(), "the model's template has no place for tools: it will not know of them")?;
        }
        let system = self.system.iter().map(|text| Message::new(Role::System, text));
        let request = Request {
            messages: system.chain([Message::new(Role::User, prompt)]).collect(),
            tools,
            tool_choice: match self.tool_choice.as_str() {
                "auto" | "none" | "required" => ToolChoice::Named(self.tool_choice.clone()),
                name => ToolChoice::Function { function: Name { name: name.into() } },
            },
            response_format: self.format()?,
            enable_thinking: self.think,
            unix_seconds: Some(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64),
            ..Request::default()
        };
        Ok(Some(Turn::new(&request, tokenizer, 0)?))
    }

    /// What the answer must be.
    pub fn format(&self) -> Result<ResponseFormat> {
        let answer = &self.answer;
        Ok(if let Some(file) = &answer.json_schema {
            ResponseFormat::JsonSchema { json_schema: Schema { schema: Some(json(file)?) } }
        } else if answer.json_object {
            ResponseFormat::JsonObject
        } else if let Some(regex) = &answer.regex {
            ResponseFormat::Regex { regex: regex.clone() }
        } else if let Some(file) = &answer.grammar {
            ResponseFormat::Grammar { grammar: read(file)? }
        } else {
            ResponseFormat::Text
        })
    }

    fn tools(&self) -> Result<Option<Vec<Value>>> {
        match self.tools.as_deref().map(json).transpose()? {
            None => Ok(None),
            Some(Value::Array(tools)) => Ok(Some(tools)),
            Some(_) => Err("the file of tools is no JSON list".into()),
        }
    }
}

/// Prints parts of an answer: reasoning beside the output, calls as JSON.
pub fn print(told: &Told) -> Result<()> {
    write!(stderr(), "{}", told.reasoning)?;
    write!(stdout(), "{}", told.content)?;
    for call in &told.tool_calls {
        writeln!(stdout(), "{}", serde_json::to_string(&call.call)?)?;
    }
    stdout().flush()?;
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()).into())
}

fn json(file: &Path) -> Result<Value> {
    serde_json::from_str(&read(file)?).map_err(|error| format!("{}: {error}", file.display()).into())
}
