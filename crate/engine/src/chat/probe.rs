//! What a template can do, found by rendering small conversations and looking whether what they say appears. Nothing else tells:
//! templates drop what they do not know, or raise an exception.

use serde_json::{Value, json};

use super::message::{Message, Role, Shape};
use super::template::{RenderOptions, Template};
use super::{Clock, Function, ToolCall};
use crate::error::Result;

/// What a template has a place for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Capabilities {
    /// System turns. Where not, they are folded into the next user turn.
    pub system: bool,
    /// A list of tools. Where not, `tools` is ignored.
    pub tools: bool,
    /// An assistant's calls of tools. Where not, they are written into its content.
    pub tool_calls: bool,
    /// What tools answer. Where not, it becomes a user turn.
    pub tool_results: bool,
    /// What an assistant thought in earlier turns.
    pub reasoning: bool,
    /// `enable_thinking` makes a difference.
    pub thinking_switch: bool,
}

/// Some templates do not render without a date.
const EPOCH: Clock = Clock { unix_seconds: 0, offset_minutes: 0 };
/// What is looked for.
const PROBE: &str = "zqprobe";
const OTHER: &str = "zqother";
const RESULT: &str = "zqresult";

fn call() -> Message {
    let function = Function { name: PROBE.into(), arguments: json!({ OTHER: "1" }) };
    let call = ToolCall { id: "zqcall123".into(), kind: "function".into(), function };
    Message { content: None, tool_calls: Some(vec![call]), ..Message::new(Role::Assistant, "") }
}

fn result() -> Message {
    let (id, name) = (Some("zqcall123".into()), Some(PROBE.into()));
    Message { tool_call_id: id, name, ..Message::new(Role::Tool, RESULT) }
}

fn tool() -> Value {
    json!({ "type": "function", "function": {
        "name": PROBE, "description": "d", "parameters": { "type": "object", "properties": {}, "required": [] },
    } })
}

/// Probes `template`.
pub(super) fn probe(template: &Template) -> (Shape, Capabilities) {
    let user = || Message::new(Role::User, "hi");
    let render = |shape: Shape, messages: &[Message], options: &RenderOptions| -> Result<String> {
        template.render_as(shape, messages, options, PROBE_FUEL)
    };
    let plain = RenderOptions { clock: Some(EPOCH), ..Default::default() };
    let says = |shape, messages: &[Message], text: &str| {
        render(shape, messages, &plain).is_ok_and(|rendered| rendered.contains(text))
    };

    let mut shape = Shape::default();
    let asked = [Message::new(Role::User, PROBE)];
    let tries = [(false, false), (true, false), (false, true), (true, true)];
    let fitting = tries.into_iter().map(|(parts, undefined_tools)| Shape { parts, undefined_tools, ..shape });
    shape = fitting.into_iter().find(|&shape| says(shape, &asked, PROBE)).unwrap_or(shape);
    shape.developer = template.source_mentions("developer");

    let mut can =
        Capabilities { system: says(shape, &[Message::new(Role::System, PROBE), user()], PROBE), ..Default::default() };

    let calls = [user(), call(), result(), Message::new(Role::Assistant, "ok"), user()];
    let tries = [(false, false), (false, true), (true, false), (true, true)];
    let mut fitting =
        tries.into_iter().map(|(argument_text, empty_content)| Shape { argument_text, empty_content, ..shape });
    let with_tool = RenderOptions { tools: vec![tool()], ..plain.clone() };
    let found = fitting.find_map(|shape| {
        let rendered = render(shape, &calls, &with_tool).ok()?;
        // The template may need a list of tools to write calls, which then has the name as well.
        let listed = render(shape, &[user()], &with_tool).map_or(0, |rendered| rendered.matches(PROBE).count());
        (rendered.matches(PROBE).count() > listed && rendered.contains(OTHER)).then_some(shape)
    });
    if let Some(found) = found {
        shape = found;
        can.tool_calls = true;
    }
    let asking = if can.tool_calls { call() } else { Message::new(Role::Assistant, OTHER) };
    let answered = [user(), asking, result(), Message::new(Role::Assistant, OTHER), user()];
    can.tool_results = render(shape, &answered, &with_tool).is_ok_and(|rendered| rendered.contains(RESULT));
    let lists = |shape| render(shape, &[user()], &with_tool).is_ok_and(|rendered| rendered.contains(PROBE));
    shape.system_tools = !lists(shape) && lists(Shape { system_tools: true, ..shape });
    can.tools = lists(shape);

    let thought = Message { reasoning_content: Some(PROBE.into()), ..call() };
    let spoken = Message { reasoning_content: Some(PROBE.into()), ..Message::new(Role::Assistant, OTHER) };
    can.reasoning = says(shape, &[user(), spoken.clone()], PROBE)
        || says(shape, &[user(), spoken, user()], PROBE)
        || (can.tool_calls && {
            let count = |message: Message| render(shape, &[user(), message, result()], &with_tool);
            let count = |message| count(message).map_or(0, |rendered| rendered.matches(PROBE).count());
            count(thought) > count(call())
        });
    let thinking = |enable| render(shape, &[user()], &RenderOptions { enable_thinking: Some(enable), ..plain.clone() });
    can.thinking_switch = match (thinking(true), thinking(false)) {
        (Ok(with), Ok(without)) => with != without,
        _ => false,
    };
    (shape, can)
}

/// Fuel of a probe: what real templates need for a few short turns is a hundredth of it.
const PROBE_FUEL: u64 = 200_000;
