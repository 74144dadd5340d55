//! A chat template over a conversation with tools.
#![no_main]

use hearth_engine::chat::{Message, RenderOptions, Role, Template};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    fuzz::bounded(source.len(), || {
        let Ok(template) = Template::new(source, "<s>".into(), "</s>".into()) else { return };
        let messages = [
            Message::new(Role::System, "Be brief."),
            Message::new(Role::User, "Hi <b>炉</b>"),
            Message::new(Role::Assistant, "Hello."),
            Message::new(Role::User, "1 + 1?"),
        ];
        let tool = serde_json::json!({"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}});
        let _ = template.render(&messages, &RenderOptions { tools: vec![tool], ..RenderOptions::default() });
        template.capabilities();
    });
});
