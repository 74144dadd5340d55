//! Turns of a conversation, shaped as in OpenAI's chat completions, and as templates want to see them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    System,
    /// Instructions, by OpenAI's newer name. Templates that do not know it see `system`.
    Developer,
    /// The person asking.
    User,
    /// The model.
    Assistant,
    /// What a tool answered.
    Tool,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; may be missing beside tool calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// What an assistant thought before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// What an assistant asks tools to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// Which call a tool answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Name of the speaker, or of the tool that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A text, whole or in parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// `[{type: "text", text}]`.
    Parts(Vec<Part>),
}

/// A part of a content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Only `text` can be read.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text.
    #[serde(default)]
    pub text: Option<String>,
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Name of the call, which the tool's answer repeats.
    #[serde(default)]
    pub id: String,
    /// Always `function`.
    #[serde(rename = "type", default = "function_kind")]
    pub kind: String,
    /// What is called.
    pub function: Function,
}

fn function_kind() -> String {
    "function".into()
}

/// A tool's name and what it is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// The tool.
    pub name: String,
    /// An object, or an object written as JSON in a string, as OpenAI has it.
    #[serde(default)]
    pub arguments: Value,
}

/// How a template wants to see what can be seen in several ways; found by [`probe`](super::probe).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Contents as `[{type: "text", text}]`.
    pub parts: bool,
    /// A tool call's arguments as JSON in a string.
    pub argument_text: bool,
    /// A missing content as "" and not as none.
    pub empty_content: bool,
    /// `tools` and `documents` are undefined, and not none, where there are none.
    pub undefined_tools: bool,
    /// The role `developer` stays.
    pub developer: bool,
    /// Tools as JSON in the system turn's `tools`.
    pub system_tools: bool,
}

impl Content {
    /// The text; parts are lines of it. Errors at a part that is no text.
    pub fn text(&self) -> Result<String> {
        let parts = match self {
            Content::Text(text) => return Ok(text.clone()),
            Content::Parts(parts) => parts,
        };
        let text = |part: &Part| match (part.kind.as_str(), &part.text) {
            ("text", Some(text)) => Ok(text.clone()),
            ("text", None) => Err(Error::InvalidInput("a part of the type \"text\" has no text".into())),
            (kind, _) => Err(Error::InvalidInput(format!(
                "a part of the type \"{kind}\" cannot be read: this engine runs models of text, so send its text only"
            ))),
        };
        Ok(parts.iter().map(text).collect::<Result<Vec<_>>>()?.join("\n"))
    }
}

impl Message {
    /// A turn that is just text.
    pub fn new(role: Role, content: impl Into<String>) -> Message {
        Message {
            role,
            content: Some(Content::Text(content.into())),
            reasoning_content: None,
            tool_calls: None,
            tool_call_id: None,
            name: None,
        }
    }

    /// What is said, "" if nothing.
    pub fn text(&self) -> Result<String> {
        self.content.as_ref().map_or(Ok(String::new()), Content::text)
    }

    /// The turn as a template sees it. What is missing is left out, as `apply_chat_template` does.
    pub(super) fn value(&self, shape: Shape) -> Result<Value> {
        let mut turn = Map::new();
        let role = match self.role {
            Role::Developer if !shape.developer => Role::System,
            role => role,
        };
        turn.insert("role".into(), json!(role));
        let content = match &self.content {
            Some(content) if shape.parts => json!([{ "type": "text", "text": content.text()? }]),
            Some(content) => json!(content.text()?),
            None if shape.parts => json!([]),
            None if shape.empty_content => json!(""),
            None => Value::Null,
        };
        turn.insert("content".into(), content);
        let texts = [
            ("reasoning_content", &self.reasoning_content),
            ("tool_call_id", &self.tool_call_id),
            ("name", &self.name),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                turn.insert(key.into(), json!(text));
            }
        }
        if let Some(calls) = self.tool_calls.as_ref().filter(|calls| !calls.is_empty()) {
            let calls = calls.iter().map(|call| call.value(shape)).collect::<Result<Vec<_>>>()?;
            turn.insert("tool_calls".into(), calls.into());
        }
        Ok(turn.into())
    }
}

impl ToolCall {
    /// The arguments as an object.
    fn arguments(&self) -> Result<Value> {
        let Function { name, arguments } = &self.function;
        match arguments {
            Value::Null => Ok(json!({})),
            Value::String(text) if text.trim().is_empty() => Ok(json!({})),
            Value::String(text) => serde_json::from_str(text).map_err(|error| {
                Error::InvalidInput(format!("the arguments of the call of \"{name}\" are not JSON: {error}"))
            }),
            other => Ok(other.clone()),
        }
    }

    /// `{"name": ..., "arguments": {...}}`.
    pub(super) fn written(&self) -> Result<String> {
        Ok(super::json::compact(&json!({ "name": self.function.name, "arguments": self.arguments()? })))
    }

    /// The call with its arguments as an object, or as text where a template wants that.
    fn value(&self, shape: Shape) -> Result<Value> {
        let object = self.arguments()?;
        let arguments = match (shape.argument_text, &self.function.arguments) {
            (true, Value::String(text)) => json!(text),
            (true, _) => json!(super::json::compact(&object)),
            (false, _) => object,
        };
        let mut call = Map::new();
        if !self.id.is_empty() {
            call.insert("id".into(), json!(self.id));
        }
        call.insert("type".into(), json!(self.kind));
        call.insert("function".into(), json!({ "name": self.function.name, "arguments": arguments }));
        Ok(call.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Message, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn turns_are_read_as_openai_writes_them() {
        let call = r#"{"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function",
            "function": {"name": "f", "arguments": "{\"z\": 1, \"a\": 2}"}}]}"#;
        let call = read(call).unwrap().value(Shape::default()).unwrap();
        assert_eq!(call["tool_calls"][0]["function"]["arguments"].to_string(), r#"{"z":1,"a":2}"#);
        assert_eq!(call["content"], Value::Null);
        let parts = r#"{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}"#;
        assert_eq!(read(parts).unwrap().text().unwrap(), "a\nb");
    }

    #[test]
    fn roles_and_images_are_refused_in_words() {
        assert!(read(r#"{"role": "owner", "content": ""}"#).unwrap_err().to_string().contains("owner"));
        let image = r#"{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}"#;
        let error = read(image).unwrap().text().unwrap_err();
        assert!(error.to_string().contains("image_url") && error.code() == "invalid_input");
    }

    #[test]
    fn arguments_that_are_no_json_are_refused() {
        let call = r#"{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}"#;
        assert!(read(call).unwrap().value(Shape::default()).unwrap_err().to_string().contains("\"f\""));
    }
}
