//! A chat template: messages to a prompt.

use std::sync::OnceLock;

use minijinja::Environment;
use minijinja::value::{Serde, Value};
use serde_json::{Map, json};

use super::family::Family;
use super::message::{Content, Message, Role, Shape};
use super::probe::{Capabilities, probe};
use super::{Clock, defaults, jinja, json};
use crate::error::{Error, Result};

/// Fuel that any rendering has: a megabyte of it pays for 64 of text.
const FUEL: u64 = 1_000_000;

/// Where a template is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The model's file.
    File,
    /// The file has none, and its vocabulary looks like this family's: `chatml`, `llama3`, `gemma`, `phi3`, `mistral`; or `plain`, which
    /// is the contents, a line each, for the model to continue.
    Default(&'static str),
}

/// What a rendering is made of besides messages.
#[derive(Clone, Debug)]
pub struct RenderOptions {
    /// What the model may call, `[{type: "function", function: {name, description, parameters}}]`.
    pub tools: Vec<serde_json::Value>,
    /// Texts that a model made for it answers from, `[{title, text}]`.
    pub documents: Vec<serde_json::Value>,
    /// Whether the prompt ends in the beginning of an answer.
    pub add_generation_prompt: bool,
    /// Whether a model that can do both thinks first; its template's own way if none.
    pub enable_thinking: Option<bool>,
    /// Now, for templates that tell the model. Without, they cannot, and some refuse.
    pub clock: Option<Clock>,
    /// More of what the template reads, by name: `chat_template_kwargs` of other engines.
    pub kwargs: Map<String, serde_json::Value>,
}

impl Default for RenderOptions {
    fn default() -> RenderOptions {
        RenderOptions {
            tools: Vec::new(),
            documents: Vec::new(),
            add_generation_prompt: true,
            enable_thinking: None,
            clock: None,
            kwargs: Map::new(),
        }
    }
}

/// A compiled template.
pub struct Template {
    environment: Environment<'static>,
    source: String,
    origin: Origin,
    bos: String,
    eos: String,
    /// Found when first needed: it takes some ten renderings.
    probed: OnceLock<(Shape, Capabilities)>,
}

impl Template {
    /// Compiles a file's template; `bos` and `eos` are the texts of these tokens.
    pub fn new(source: &str, bos: String, eos: String) -> Result<Template> {
        Template::compile(source, Origin::File, bos, eos)
    }

    /// The template for a file without one, by what its vocabulary `has`.
    pub fn default_for(has: impl Fn(&str) -> bool, bos: String, eos: String) -> Result<Template> {
        let default = defaults::choose(has);
        Template::compile(default.source, Origin::Default(default.name), bos, eos)
    }

    fn compile(source: &str, origin: Origin, bos: String, eos: String) -> Result<Template> {
        let environment = jinja::compile(source)?;
        Ok(Template { environment, source: source.to_owned(), origin, bos, eos, probed: OnceLock::new() })
    }

    /// Where the template is from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The markers that the model writes.
    pub fn family(&self) -> Family {
        Family::of(&self.source)
    }

    /// What the template has a place for.
    pub fn capabilities(&self) -> Capabilities {
        self.probed().1
    }

    fn probed(&self) -> &(Shape, Capabilities) {
        self.probed.get_or_init(|| probe(self))
    }

    /// The conversation as one prompt. What the template has no place for is put where it has: system turns at the beginning of the
    /// next user turn, calls of tools as `<tool_call>` at the end of the assistant's content, what tools answer as a user's
    /// `<tool_response>`, the form that most models know.
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String> {
        let (shape, can) = self.probed();
        let mut messages = messages.to_vec();
        if !(can.tool_calls && can.tool_results) {
            messages = fold_tools(messages, *can)?;
        }
        if !can.system {
            messages = fold_system(messages)?;
        }
        self.render_as(*shape, &messages, options, FUEL)
    }

    /// Renders with messages of this shape, with so much fuel and some for every byte of the conversation.
    pub(super) fn render_as(
        &self,
        shape: Shape,
        messages: &[Message],
        options: &RenderOptions,
        fuel: u64,
    ) -> Result<String> {
        let mut messages = messages.iter().map(|message| message.value(shape)).collect::<Result<Vec<_>>>()?;
        if shape.system_tools && !options.tools.is_empty() {
            if messages.first().is_none_or(|first| first["role"] != "system") {
                messages.insert(0, json!({ "role": "system", "content": "" }));
            }
            let functions: Vec<_> = options.tools.iter().map(|tool| tool.get("function").unwrap_or(tool)).collect();
            messages[0]["tools"] = json!(json::compact(&json!(functions)));
        }
        let list = |values: &[serde_json::Value]| match values.is_empty() {
            true if shape.undefined_tools => Value::UNDEFINED,
            true => Value::from(()),
            false => Value::from(Serde(values)),
        };
        let messages = Value::from(Serde(&messages));
        let bytes =
            json!([options.tools, options.documents, options.kwargs]).to_string().len() + messages.to_string().len();
        let mut variables = vec![
            ("messages", messages),
            ("tools", list(&options.tools)),
            ("documents", list(&options.documents)),
            ("add_generation_prompt", options.add_generation_prompt.into()),
            ("bos_token", self.bos.as_str().into()),
            ("eos_token", self.eos.as_str().into()),
        ];
        if let Some(enable) = options.enable_thinking {
            variables.push(("enable_thinking", enable.into()));
        }
        if let Some(clock) = options.clock {
            variables.push(("strftime_now", Value::from_function(move |format: &str| clock.format(format))));
        }
        // SmolLM3 has a list for each of two ways to call.
        if !options.tools.is_empty()
            && !["xml_tools", "python_tools"].iter().any(|name| options.kwargs.contains_key(*name))
        {
            variables.push(("xml_tools", list(&options.tools)));
        }
        for (name, value) in &options.kwargs {
            if variables[..3].iter().any(|(taken, _)| taken == name) {
                return Err(Error::InvalidInput(format!(
                    "{name} is given on its own and not among the template's options"
                )));
            }
            variables.push((name, Value::from(Serde(value))));
        }
        let rendered = jinja::render(&self.environment, Value::from_pairs(variables), fuel + bytes as u64);
        match rendered {
            Err(Error::Template(what)) if options.clock.is_none() && what.contains("strftime_now") => {
                Err(Error::Template("it writes today's date, so it needs to be told the time".into()))
            }
            rendered => rendered,
        }
    }

    /// Whether the source has this text somewhere.
    pub(super) fn source_mentions(&self, text: &str) -> bool {
        self.source.contains(text)
    }
}

/// System turns as the beginning of the user turn after them; at the end, as one of their own.
fn fold_system(messages: Vec<Message>) -> Result<Vec<Message>> {
    let mut folded: Vec<Message> = Vec::new();
    let mut system: Vec<String> = Vec::new();
    for message in messages {
        match message.role {
            Role::System | Role::Developer => system.push(message.text()?),
            Role::User if !system.is_empty() => {
                system.push(message.text()?);
                let content = Some(Content::Text(std::mem::take(&mut system).join("\n\n")));
                folded.push(Message { content, ..message });
            }
            _ => folded.push(message),
        }
    }
    if !system.is_empty() {
        folded.push(Message::new(Role::User, system.join("\n\n")));
    }
    Ok(folded)
}

/// Calls as content, and what tools answer, one after another, as one user turn.
fn fold_tools(messages: Vec<Message>, can: Capabilities) -> Result<Vec<Message>> {
    let mut folded: Vec<Message> = Vec::new();
    let mut answered = false;
    for mut message in messages {
        let answers = message.role == Role::Tool && !can.tool_results;
        if answers {
            let text = format!("<tool_response>\n{}\n</tool_response>", message.text()?);
            match folded.last_mut().filter(|_| answered) {
                Some(turn) => turn.content = Some(Content::Text(turn.text()? + "\n" + &text)),
                None => folded.push(Message::new(Role::User, text)),
            }
        } else {
            if let Some(calls) = message.tool_calls.take_if(|_| !can.tool_calls) {
                let mut lines = vec![message.text()?];
                for call in &calls {
                    lines.push(format!("<tool_call>\n{}\n</tool_call>", call.written()?));
                }
                lines.retain(|line| !line.is_empty());
                message.content = Some(Content::Text(lines.join("\n")));
            }
            folded.push(message);
        }
        answered = answers;
    }
    Ok(folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> Template {
        Template::new(source, "<s>".into(), "</s>".into()).unwrap()
    }

    fn render(source: &str, messages: &[Message]) -> Result<String> {
        template(source).render(messages, &RenderOptions::default())
    }

    fn turns(turns: &[(Role, &str)]) -> Vec<Message> {
        turns.iter().map(|(role, text)| Message::new(*role, *text)).collect()
    }

    const NO_SYSTEM: &str = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}\
                             [{{ m.role }}:{{ m.content }}]{% endfor %}";

    #[test]
    fn blocks_are_trimmed_and_python_methods_work() {
        let source = "{% for m in messages %}\n  {% if m['role'] == 'user' %}\n{{ bos_token + m['content'].strip() }}\
                      {% endif %}\n{% endfor %}{% if add_generation_prompt %}{{ '>' }}{% endif %}";
        assert_eq!(render(source, &turns(&[(Role::User, " hi ")])).unwrap(), "<s>hi>");
        let source = "{{ 'a-b-c'.rsplit('-', 1)[0] }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} \
                      {{ 'a=b'.partition('=')[2] }} {{ ', '.join(['a', 'b']) }} {{ '{:>4}|{}'.format('a', 1) }}";
        assert_eq!(render(source, &[]).unwrap(), "a-b bc ab b a, b    a|1");
    }

    #[test]
    fn what_hugging_face_adds_works() {
        let source = "{% generation %}a{% endgeneration %}{% for i in [1, 2] %}{{ i }}{% break %}{% endfor %}\
                      {{ {'b': 1.0, 'a': '<é&>'}|tojson }}{{ [1, []]|tojson(indent=1) }}\
                      {{ {'b': 1, 'a': 'é'}|tojson(ensure_ascii=true, sort_keys=true, separators=(',', ':')) }}\
                      {{ tools is none }}{{ [1e20, 1.5]|tojson }}";
        let expected = "a1{\"b\": 1.0, \"a\": \"<é&>\"}[\n 1,\n []\n]{\"a\":\"\\u00e9\",\"b\":1}True[1e+20, 1.5]";
        assert_eq!(render(source, &[]).unwrap(), expected);
    }

    #[test]
    fn a_template_can_refuse() {
        assert!(render("{{ raise_exception('no such turn') }}", &[]).unwrap_err().to_string().contains("no such turn"));
    }

    #[test]
    fn dates_come_from_who_renders() {
        let source = "{{ strftime_now('%Y') }}";
        assert!(render(source, &[]).unwrap_err().to_string().contains("told the time"));
        let clock = Some(Clock { unix_seconds: 0, offset_minutes: 0 });
        let options = RenderOptions { clock, ..RenderOptions::default() };
        assert_eq!(template(source).render(&[], &options).unwrap(), "1970");
        assert_eq!(render("{{ strftime_now is defined }}", &[]).unwrap(), "False");
    }

    #[test]
    fn system_turns_are_folded_where_there_is_no_place_for_them() {
        let said = turns(&[(Role::System, "S"), (Role::User, "a"), (Role::Assistant, "b"), (Role::Developer, "T")]);
        assert_eq!(render(NO_SYSTEM, &said).unwrap(), "[user:S\n\na][assistant:b][user:T]");
        let dropping = "{% for m in messages if m.role != 'system' %}[{{ m.content }}]{% endfor %}";
        assert_eq!(render(dropping, &said[..2]).unwrap(), "[S\n\na]");
        let has_place = "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}";
        assert_eq!(render(has_place, &said[..2]).unwrap(), "[system:S][user:a]");
        assert!(!template(NO_SYSTEM).capabilities().system && template(has_place).capabilities().system);
    }

    #[test]
    fn calls_are_folded_where_there_is_no_place_for_them() {
        let said: Vec<Message> = serde_json::from_value(json!([
            { "role": "user", "content": "u" },
            { "role": "assistant", "content": "c", "tool_calls": [{ "function": { "name": "f", "arguments": "{\"a\": 1}" } }] },
            { "role": "tool", "content": "1" },
            { "role": "tool", "content": "2" },
        ]))
        .unwrap();
        let rendered = render(NO_SYSTEM, &said).unwrap();
        // A template that writes any role has a place for what tools answer.
        let call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>";
        assert_eq!(rendered, format!("[user:u][assistant:c\n{call}][tool:1][tool:2]"));
        let strict = "{% for m in messages if m.role in ['user', 'assistant'] %}[{{ m.content }}]{% endfor %}";
        let rendered = render(strict, &said).unwrap();
        let answers = "<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response>";
        assert_eq!(rendered, format!("[u][c\n{call}][{answers}]"));
    }

    #[test]
    fn contents_come_in_the_shape_a_template_wants() {
        let parts = "{% for m in messages %}{% for p in m.content %}{{ p.text }};{% endfor %}{% endfor %}";
        assert_eq!(render(parts, &turns(&[(Role::User, "a")])).unwrap(), "a;");
        let developer = "{% for m in messages %}{% if m.role == 'developer' %}D{% endif %}{{ m.content }}{% endfor %}";
        assert_eq!(render(developer, &turns(&[(Role::Developer, "a")])).unwrap(), "Da");
    }

    #[test]
    fn options_reach_the_template() {
        let source = "{{ enable_thinking }} {{ style }} {{ builtin_tools is defined }} {{ add_generation_prompt }}";
        let kwargs = json!({ "style": "terse" }).as_object().unwrap().clone();
        let options = RenderOptions {
            enable_thinking: Some(false),
            add_generation_prompt: false,
            kwargs,
            ..RenderOptions::default()
        };
        assert_eq!(template(source).render(&[], &options).unwrap(), "False terse False False");
        let kwargs = json!({ "messages": [] }).as_object().unwrap().clone();
        let options = RenderOptions { kwargs, ..RenderOptions::default() };
        assert_eq!(template(source).render(&[], &options).unwrap_err().code(), "invalid_input");
    }

    #[test]
    fn a_vocabulary_has_a_default() {
        let said = turns(&[(Role::System, "s"), (Role::User, "a"), (Role::Assistant, "b"), (Role::User, "c")]);
        let check = |tokens: &[&str], name: &'static str, expected: &str| {
            let template = Template::default_for(|token| tokens.contains(&token), "<s>".into(), "</s>".into()).unwrap();
            assert_eq!(template.origin(), Origin::Default(name));
            assert_eq!(template.render(&said, &RenderOptions::default()).unwrap(), expected);
        };
        check(
            &["<|im_start|>", "<|im_end|>"],
            "chatml",
            "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n\
             <|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n",
        );
        check(
            &["<start_of_turn>", "<end_of_turn>"],
            "gemma",
            "<s><start_of_turn>user\ns\n\na<end_of_turn>\n<start_of_turn>model\nb<end_of_turn>\n\
             <start_of_turn>user\nc<end_of_turn>\n<start_of_turn>model\n",
        );
        check(
            &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
            "llama3",
            "<s><|start_header_id|>system<|end_header_id|>\n\ns<|eot_id|><|start_header_id|>user<|end_header_id|>\n\na<|eot_id|>\
             <|start_header_id|>assistant<|end_header_id|>\n\nb<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nc<|eot_id|>\
             <|start_header_id|>assistant<|end_header_id|>\n\n",
        );
        check(
            &["<|user|>", "<|assistant|>", "<|end|>"],
            "phi3",
            "<|system|>\ns<|end|>\n<|user|>\na<|end|>\n<|assistant|>\nb<|end|>\n<|user|>\nc<|end|>\n<|assistant|>\n",
        );
        check(&["[INST]", "[/INST]"], "mistral", "<s>[INST] s\n\na[/INST] b</s>[INST] c[/INST]");
        check(&[], "plain", "s\na\nb\nc");
    }
}
