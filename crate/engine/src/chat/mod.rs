//! Conversations: messages to a prompt, and an answer's text back to reasoning, content and tool calls.
//!
//! ```text
//! messages, tools ─ Template::render ─ prompt ─ (model) ─ pieces of text ─ Parser ─ reasoning | content | tool calls
//! ```
//!
//! - `message`: turns as OpenAI's API writes them.
//! - `template`: the model's own Jinja template, or one of the `defaults`; `probe` finds out what it can do.
//! - `jinja`: what Hugging Face adds to Jinja: `methods` of Python's strings, `json`, `clock`; `bounds` and `edit` keep a stranger's
//!   template from taking all time and memory.
//! - `turn`: a request and its answer in OpenAI's shapes.
//! - `family`: the markers that a model puts around reasoning and calls of tools; `parse` splits an answer by them, `calls` reads the
//!   calls.

mod bounds;
mod calls;
mod clock;
mod defaults;
mod edit;
pub mod family;
mod jinja;
mod json;
mod message;
mod methods;
pub mod parse;
mod probe;
mod template;
#[cfg(test)]
mod tests;
mod turn;

pub use clock::Clock;
pub use message::{Content, Function, Message, Part, Role, ToolCall};
pub use probe::Capabilities;
pub use template::{Origin, RenderOptions, Template};
pub use turn::{IndexedCall, Name, Request, ResponseFormat, Schema, Told, ToolChoice, Turn};
