//! Prompts against those that Hugging Face's transformers renders from the same real templates: `tests/fixtures/make_chat.py`.

use serde_json::Value;

use super::{Capabilities, Clock, Message, RenderOptions, Role, Template};

macro_rules! fixture {
    ($name:expr) => {
        include_str!(concat!("../../../../tests/fixtures/chat/", $name))
    };
}

macro_rules! templates {
    ($($name:literal)*) => { &[$(($name, fixture!(concat!($name, ".jinja")))),*] };
}

const TEMPLATES: &[(&str, &str)] = templates!(
    "deepseek-r1-distill-qwen" "gemma-like" "granite-3.3" "llama-like" "mistral-nemo" "mistral-small-3.2" "phi-3.5-mini" "phi-4-mini" "qwen2.5" "qwen3"
    "qwen3-coder" "smollm2" "smollm3" "smollm3-like" "tinyllama"
);

/// What `make_chat.py` takes for now.
pub(super) const NOW: Clock = Clock { unix_seconds: 1_741_536_307, offset_minutes: 0 };

pub(super) fn template(name: &str) -> Template {
    let (_, source) = TEMPLATES.iter().find(|(known, _)| *known == name).unwrap();
    Template::new(source, "<s>".into(), "</s>".into()).unwrap()
}

/// Compares `render` with `expected` in all cases; returns those that differ.
fn differences(name: &str, template: &Template, expected: &Value) -> Vec<String> {
    let cases: Vec<Value> = serde_json::from_str(fixture!("cases.json")).unwrap();
    let tools: Vec<Value> = serde_json::from_str(fixture!("tools.json")).unwrap();
    let mut differences = Vec::new();
    for case in &cases {
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let options = RenderOptions {
            tools: if case["tools"] == true { tools.clone() } else { Vec::new() },
            add_generation_prompt: case["add_generation_prompt"] != false,
            enable_thinking: case["enable_thinking"].as_bool(),
            clock: Some(NOW),
            ..RenderOptions::default()
        };
        let title = case["name"].as_str().unwrap();
        let rendered = template.render(&messages, &options);
        let can = template.capabilities();
        let folded = (!can.system && messages.iter().any(|message| message.role == Role::System))
            || (!can.tool_calls && messages.iter().any(|message| message.tool_calls.is_some()))
            || (!can.tool_results && messages.iter().any(|message| message.role == Role::Tool));
        if folded {
            continue;
        }
        match (&expected[title], rendered) {
            (Value::String(expected), Ok(rendered)) if *expected == rendered => {}
            (Value::Null, Err(_)) => {}
            (expected, rendered) => {
                let rendered = rendered.unwrap_or_else(|error| error.to_string());
                let expected = expected.as_str().unwrap_or("an error");
                let same = rendered.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
                let end = |text: &str| text.chars().skip(same.saturating_sub(20)).take(100).collect::<String>();
                differences.push(format!(
                    "{name}, {title}: {:?} where {:?} was expected",
                    end(&rendered),
                    end(expected)
                ));
            }
        }
    }
    differences
}

#[test]
fn real_templates_can_do_what_they_say() {
    let can = |name: &str| {
        let Capabilities { system, tools, tool_calls, tool_results, reasoning, thinking_switch } =
            template(name).capabilities();
        let flags = [system, tools, tool_calls, tool_results, reasoning, thinking_switch];
        "stcrTe".chars().zip(flags).filter(|(_, can)| *can).map(|(flag, _)| flag).collect::<String>()
    };
    let all = [
        ("deepseek-r1-distill-qwen", "scre"),
        ("gemma-like", "s"),
        ("llama-like", "stcr"),
        ("mistral-nemo", "stcr"),
        ("phi-3.5-mini", "s"),
        ("phi-4-mini", "str"),
        ("qwen2.5", "stcr"),
        ("qwen3", "stcrTe"),
        ("smollm2", "sr"),
        ("smollm3", "sre"),
        ("smollm3-like", "stre"),
        ("tinyllama", "s"),
    ];
    for (name, expected) in all {
        assert_eq!(can(name), expected, "{name}");
    }
}

#[test]
fn prompts_are_those_of_transformers() {
    let expected: Value = serde_json::from_str(fixture!("expected.json")).unwrap();
    assert_eq!(expected.as_object().unwrap().len(), TEMPLATES.len());
    let differences: Vec<_> =
        TEMPLATES.iter().flat_map(|(name, _)| differences(name, &template(name), &expected[name])).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Templates with pieces cut out, doubled and moved: compiled, refused or rendered, but without a panic.
#[test]
fn damaged_templates_do_not_panic() {
    let mut random = fastrand::Rng::with_seed(2);
    let messages = [Message::new(Role::System, "a"), Message::new(Role::User, "b")];
    for round in 0..240 {
        let mut chars: Vec<char> = TEMPLATES[round % TEMPLATES.len()].1.chars().collect();
        for _ in 0..random.usize(1..4) {
            let from = random.usize(..chars.len());
            let to = (from + random.usize(1..12)).min(chars.len());
            let piece: Vec<char> = chars.drain(from..to).collect();
            if random.bool() {
                let at = random.usize(..=chars.len());
                chars.splice(at..at, piece);
            }
        }
        let source: String = chars.into_iter().collect();
        if let Ok(template) = Template::new(&source, String::new(), String::new()) {
            let options = RenderOptions { clock: Some(NOW), ..RenderOptions::default() };
            let _ = template.render_as(Default::default(), &messages, &options, 20_000);
        }
    }
}
