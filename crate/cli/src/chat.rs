//! `hearth run --chat`: the conversation as a prompt, what the answer must be, and the answer's parts.

use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use hearth_engine::chat::parse::{Parser, Piece};
use hearth_engine::chat::{Clock, Message, RenderOptions, Role};
use hearth_engine::constraint::{Constraint, Grammar, Tool};
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
    /// "auto", "required", or the name of the tool that must be called.
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
    /// The text that the model goes on from.
    pub fn prompt(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<String> {
        if !self.chat {
            return Ok(prompt.to_owned());
        }
        let system = self.system.iter().map(|text| Message::new(Role::System, text));
        let messages: Vec<Message> = system.chain([Message::new(Role::User, prompt)]).collect();
        let template = tokenizer.template()?;
        let tools = self.tools()?;
        if !tools.is_empty() && !template.capabilities().tools {
            writeln!(stderr(), "the model's template has no place for tools: it will not know of them")?;
        }
        let unix_seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
        let clock = Some(Clock { unix_seconds, offset_minutes: 0 });
        let options = RenderOptions { tools, clock, enable_thinking: self.think, ..RenderOptions::default() };
        Ok(template.render(&messages, &options)?)
    }

    /// What the answer must be, if anything.
    pub fn constraint(&self, tokenizer: &Tokenizer) -> Result<Option<Box<dyn Constraint>>> {
        let answer = &self.answer;
        let grammar = if let Some(file) = &answer.json_schema {
            Grammar::JsonSchema(json(file)?)
        } else if answer.json_object {
            Grammar::JsonObject
        } else if let Some(regex) = &answer.regex {
            Grammar::Regex(regex.clone())
        } else if let Some(file) = &answer.grammar {
            let source = read(file)?;
            if source.contains("::=") { Grammar::Gbnf(source) } else { Grammar::Lark(source) }
        } else if self.tool_choice != "auto" {
            let choice = (self.tool_choice != "required").then_some(self.tool_choice.as_str());
            Grammar::call(Tool::of(&self.tools()?, choice)?, tokenizer.template()?.family().formats[0])
        } else {
            return Ok(None);
        };
        Ok(Some(Box::new(tokenizer.words()?.constrain(&grammar)?)))
    }

    /// What tells the parts of the answer to `prompt` apart, where the answer is part of a conversation.
    pub fn parser(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<Option<Parser>> {
        if !self.chat {
            return Ok(None);
        }
        let tools = self.tools()?;
        let name = |tool: &Value| tool.get("function").unwrap_or(tool)["name"].as_str().map(str::to_owned);
        let names = tools.iter().filter_map(name).collect();
        Ok(Some(Parser::new(tokenizer.template()?.family(), prompt, names, None)))
    }

    fn tools(&self) -> Result<Vec<Value>> {
        match self.tools.as_deref().map(json).transpose()? {
            None => Ok(Vec::new()),
            Some(Value::Array(tools)) => Ok(tools),
            Some(_) => Err("the file of tools is no JSON list".into()),
        }
    }
}

/// Prints parts of an answer: reasoning beside the output, calls as JSON.
pub fn print(pieces: Vec<Piece>) -> Result<()> {
    for piece in pieces {
        match piece {
            Piece::Reasoning(text) => write!(stderr(), "{text}")?,
            Piece::Content(text) => write!(stdout(), "{text}")?,
            Piece::ToolCall(call) => writeln!(stdout(), "{}", serde_json::to_string(&call)?)?,
        }
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
