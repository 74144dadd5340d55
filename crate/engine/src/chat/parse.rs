//! An answer, piece by piece as it is made, to reasoning, content and calls of tools. What may be the beginning of a marker is held back
//! until it is known, so no half marker gets out.
//!
//! ```text
//! Start ─ "<think>" ─ Reasoning ─ "</think>" ─ Start ─ other text ─ Content ─ "<tool_call>" ─ Call ─ "</tool_call>" ─ Content
//! ```

use serde::Serialize;
use serde_json::Value;

use super::calls::{self, Call};
use super::family::{Family, Format, REASONING};
use super::message::{Function, ToolCall};

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// What the model thinks.
    Reasoning(String),
    /// What it says.
    Content(String),
    /// What it asks a tool to do, with arguments as JSON in a string.
    ToolCall(ToolCall),
}

/// Splits one answer.
pub struct Parser {
    family: Family,
    /// Names of the tools that may be called; calls are only looked for if there are any.
    tools: Vec<String>,
    seed: Option<u64>,
    state: State,
    /// Text whose meaning is not known yet.
    held: String,
    calls: usize,
}

#[derive(Clone, Copy)]
enum State {
    /// Nothing is said yet; whether reasoning may still begin.
    Start {
        reasoning: bool,
    },
    /// Whether some of it was said: blanks before are not.
    Reasoning {
        close: &'static str,
        begun: bool,
    },
    Content,
    /// Behind a format's `open`. The text before `searched` has no closing marker that ends the calls.
    Call {
        format: &'static Format,
        searched: usize,
    },
}

/// What ends the thoughts that `prompt` ends in the beginning of, if it does: whoever wrote that.
pub(super) fn thinking(prompt: &str) -> Option<&'static str> {
    REASONING.iter().find(|(open, _)| prompt.trim_end().ends_with(open)).map(|(_, close)| *close)
}

impl Parser {
    /// A parser for an answer, which begins within thoughts if the prompt opened them: `thinking` is the marker that ends them.
    /// `tools` are the names of what may be called. Calls are named `call_0`, `call_1`, …, with a `seed` also by letters that depend
    /// on it, so that a conversation has no two alike.
    pub fn new(family: Family, thinking: Option<&'static str>, tools: Vec<String>, seed: Option<u64>) -> Parser {
        let state = match thinking {
            Some(close) => State::Reasoning { close, begun: false },
            None => State::Start { reasoning: true },
        };
        Parser { family, tools, seed, state, held: String::new(), calls: 0 }
    }

    /// What is certain after this text.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held += text;
        self.run(false)
    }

    /// What is left when nothing follows. Calls that are not complete are content.
    pub fn finish(&mut self) -> Vec<Piece> {
        self.run(true)
    }

    fn run(&mut self, last: bool) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while self.advance(last, &mut pieces) {}
        pieces
    }

    /// Goes on by a state, if more can be known.
    fn advance(&mut self, last: bool, pieces: &mut Vec<Piece>) -> bool {
        match self.state {
            State::Start { reasoning } => self.start(reasoning, last),
            State::Reasoning { close, begun } => self.reasoning(close, begun, last, pieces),
            State::Content => self.content(last, pieces),
            State::Call { format, searched } => self.call(format, searched, last, pieces),
        }
    }

    /// Before anything is said: reasoning, a call that is only JSON, or content.
    fn start(&mut self, reasoning: bool, last: bool) -> bool {
        let said = self.held.trim_start();
        // Llama separates calls by semicolons, others by commas: they are no content if nothing or another call follows.
        let next = said.trim_start_matches(|char: char| char.is_whitespace() || char == ';' || char == ',');
        let separated = self.calls > 0 && next.len() < said.len();
        let said = if separated && (next.is_empty() || self.may_call(next)) { next } else { said };
        let opened = REASONING.iter().find(|(open, _)| reasoning && said.starts_with(open));
        if let Some((open, close)) = opened {
            let begin = self.held.len() - said.len() + open.len();
            self.held.drain(..begin);
            self.state = State::Reasoning { close, begun: false };
            return true;
        }
        let begins = |open: &str| open.starts_with(said);
        let waits = said.is_empty()
            || (reasoning && REASONING.iter().any(|(open, _)| begins(open)))
            || (said.trim_end() == "[" && self.may_call(said))
            || (separated && self.may_call(said) && self.family.formats.iter().any(|format| begins(format.open)));
        if waits && !last {
            return false;
        }
        if !reasoning {
            self.held = said.to_owned();
        }
        let said = self.held.trim_start();
        self.state = State::Content;
        if !self.tools.is_empty() {
            let json = self.family.formats.iter().find(|format| format.open.is_empty());
            if let Some(format) = json.filter(|_| begins_json(said)) {
                self.state = State::Call { format, searched: 0 };
            }
        }
        true
    }

    /// Whether a call begins with `said`, or may when more comes.
    fn may_call(&self, said: &str) -> bool {
        let opens = |open: &str| match open.is_empty() {
            true => begins_json(said) || said.trim_end() == "[",
            false => said.starts_with(open) || open.starts_with(said),
        };
        !self.tools.is_empty() && self.family.formats.iter().any(|format| opens(format.open))
    }

    /// Reasoning, without blanks around it.
    fn reasoning(&mut self, close: &'static str, begun: bool, last: bool, pieces: &mut Vec<Piece>) -> bool {
        if !begun {
            self.held = self.held.trim_start().to_owned();
        }
        let found = self.held.find(close);
        let keep = found.map_or_else(|| if last { 0 } else { unsure(&self.held, &[close]) }, |at| self.held.len() - at);
        let text = self.release(keep, true);
        self.state = State::Reasoning { close, begun: begun || !text.is_empty() };
        say(pieces, Piece::Reasoning, text);
        if found.is_some() {
            let end = self.held.len() - keep + close.len();
            self.held.drain(..end);
            self.state = State::Start { reasoning: false };
        } else if last {
            self.held.clear();
        }
        found.is_some()
    }

    /// Content, up to the first marker of calls.
    fn content(&mut self, last: bool, pieces: &mut Vec<Piece>) -> bool {
        let opens: Vec<&str> = match self.tools.is_empty() {
            true => Vec::new(),
            false => self.family.formats.iter().map(|format| format.open).filter(|open| !open.is_empty()).collect(),
        };
        let first = self.family.formats.iter().filter(|format| opens.contains(&format.open));
        let first = first.filter_map(|format| Some((self.held.find(format.open)?, *format))).min_by_key(|(at, _)| *at);
        if let Some((at, format)) = first {
            let text = self.held[..at].trim_end().to_owned();
            self.held.drain(..at + format.open.len());
            say(pieces, Piece::Content, text);
            self.state = State::Call { format, searched: 0 };
            return true;
        }
        let keep = if last { 0 } else { unsure(&self.held, &opens) };
        let text = self.release(keep, !opens.is_empty() && !last);
        say(pieces, Piece::Content, text);
        false
    }

    /// Calls, once they are complete.
    fn call(&mut self, format: &'static Format, searched: usize, last: bool, pieces: &mut Vec<Piece>) -> bool {
        if format.open.is_empty() {
            return self.json_call(last, pieces);
        }
        // Without a marker of their own, calls end where the next begin, or the answer does.
        let close = if format.close.is_empty() { format.open } else { format.close };
        let at = self.held[searched..].find(close).map(|at| searched + at);
        let (body, end) = match at {
            Some(at) if format.close.is_empty() => (at, at),
            Some(at) => (at, at + close.len()),
            None if last => (self.held.len(), self.held.len()),
            None => {
                // The marker may be cut in two.
                let mut searched = self.held.len().saturating_sub(close.len());
                while !self.held.is_char_boundary(searched) {
                    searched -= 1;
                }
                self.state = State::Call { format, searched };
                return false;
            }
        };
        // A function's name is part of what opens it.
        let head = if format.open == "<function=" { format.open } else { "" };
        let text = format!("{head}{}", &self.held[..body]);
        match calls::read(&text).filter(|calls| self.fits(format, calls)) {
            Some(calls) => {
                self.held.drain(..end);
                self.say_calls(calls, pieces);
                self.state = State::Start { reasoning: false };
            }
            None if at.is_some() && calls::ends_quoted(&self.held[..body]) => {
                self.state = State::Call { format, searched: body + close.len() };
            }
            None => {
                let text = format!("{}{}", format.open, &self.held[..end]);
                self.held.drain(..end);
                say(pieces, Piece::Content, text);
                self.state = State::Content;
            }
        }
        !self.held.is_empty() || last && matches!(self.state, State::Call { .. })
    }

    /// Calls that are JSON and nothing else: where an answer begins with what cannot be one, it is content.
    fn json_call(&mut self, last: bool, pieces: &mut Vec<Piece>) -> bool {
        let said = self.held.trim_start();
        let dense: String =
            said.trim_start_matches('[').chars().filter(|char| !char.is_whitespace()).take(12).collect();
        let keys = ["{\"name\":", "{\"type\":", "{\"function\":", "{\"id\":"];
        let possible = keys.iter().any(|key| dense.starts_with(key) || key.starts_with(&dense));
        let length = calls::json_length(said);
        if possible && length.is_none() && !last {
            return false;
        }
        let called = length.and_then(|length| {
            let calls = calls::read(&said[..length])?;
            calls.iter().all(|call| self.tools.contains(&call.name)).then_some((calls, length))
        });
        self.state = State::Content;
        if let Some((calls, length)) = called {
            self.held = said[length..].to_owned();
            self.say_calls(calls, pieces);
            self.state = State::Start { reasoning: false };
        }
        true
    }

    /// Whether calls are to be believed: what is fenced may be an example.
    fn fits(&self, format: &Format, calls: &[Call]) -> bool {
        !matches!(format.name, "fenced" | "code") || calls.iter().all(|call| self.tools.contains(&call.name))
    }

    fn say_calls(&mut self, calls: Vec<Call>, pieces: &mut Vec<Piece>) {
        for Call { id, name, arguments } in calls {
            let id = id.filter(|id| !self.family.short_ids || id.len() == 9).unwrap_or_else(|| self.id());
            let arguments = Value::String(Value::Object(arguments).to_string());
            pieces.push(Piece::ToolCall(ToolCall {
                id,
                kind: "function".into(),
                function: Function { name, arguments },
            }));
            self.calls += 1;
        }
    }

    /// A name for the next call.
    fn id(&self) -> String {
        let letters = |count: u32| {
            let mut random = fastrand::Rng::with_seed(self.seed.unwrap_or(0) ^ (self.calls as u64) << 32);
            (0..count).map(|_| random.alphanumeric()).collect::<String>()
        };
        match (self.family.short_ids, self.seed) {
            (true, _) => letters(9),
            (false, Some(_)) => format!("call_{}_{}", self.calls, letters(8)),
            (false, None) => format!("call_{}", self.calls),
        }
    }

    /// Takes what is held but for `keep` bytes at the end, and, if asked, blanks before them: they belong to the marker that may follow.
    fn release(&mut self, keep: usize, blanks: bool) -> String {
        let mut text = std::mem::take(&mut self.held);
        let mut end = text.len() - keep;
        if blanks {
            end = text[..end].trim_end().len();
        }
        self.held = text.split_off(end);
        text
    }
}

fn say(pieces: &mut Vec<Piece>, kind: fn(String) -> Piece, text: String) {
    if !text.is_empty() {
        pieces.push(kind(text));
    }
}

/// Whether calls may begin so that are JSON and nothing else.
fn begins_json(said: &str) -> bool {
    said.strip_prefix('[').map_or(said, str::trim_start).starts_with('{')
}

/// Bytes at the end of `text` that may be the beginning of one of `markers`.
fn unsure(text: &str, markers: &[&str]) -> usize {
    let begins = |marker: &&str| {
        let lengths = marker.char_indices().map(|(at, _)| at).filter(|at| *at > 0);
        lengths.filter(|&length| text.ends_with(&marker[..length])).max()
    };
    markers.iter().filter_map(begins).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::template;
    use super::*;

    /// The answer as `reasoning|content|name(arguments)…`, in pieces of each size.
    fn parse(family: &Family, prompt: &str, text: &str) -> String {
        let tools = || vec!["f".to_owned(), "g".to_owned()];
        let chars: Vec<char> = text.chars().collect();
        let mut found = None;
        for size in (1..8).chain([chars.len().max(1)]) {
            let mut parser = Parser::new(family.clone(), thinking(prompt), tools(), None);
            let mut pieces = Vec::new();
            for piece in chars.chunks(size) {
                let said = parser.push(&piece.iter().collect::<String>());
                for piece in &said {
                    let (Piece::Reasoning(text) | Piece::Content(text)) = piece else { continue };
                    assert!(!text.is_empty());
                }
                pieces.extend(said);
            }
            pieces.extend(parser.finish());
            let (mut reasoning, mut content, mut calls) = (String::new(), String::new(), String::new());
            for piece in &pieces {
                match piece {
                    Piece::Reasoning(text) => reasoning += text,
                    Piece::Content(text) => content += text,
                    Piece::ToolCall(call) => {
                        calls += &format!(
                            "{}:{}({})",
                            call.id,
                            call.function.name,
                            call.function.arguments.as_str().unwrap()
                        );
                    }
                }
            }
            let parsed = format!("{reasoning}|{content}|{calls}");
            assert_eq!(*found.get_or_insert(parsed.clone()), parsed, "pieces of {size}");
        }
        found.unwrap()
    }

    fn family(name: &str) -> Family {
        template(name).family()
    }

    #[test]
    fn reasoning_is_kept_apart() {
        let family = family("qwen3");
        assert_eq!(parse(&family, "", "<think>\nHm < 3.\n</think>\n\nYes."), "Hm < 3.|Yes.|");
        assert_eq!(parse(&family, "...<think>\n", "Hm.</think>Yes."), "Hm.|Yes.|");
        assert_eq!(parse(&family, "", "<think>\n\n</think>\n\nYes."), "|Yes.|");
        assert_eq!(parse(&family, "", "[THINK]a[/THINK]b"), "a|b|");
        assert_eq!(parse(&family, "", "<|START_THINKING|>a<|END_THINKING|>b"), "a|b|");
        assert_eq!(parse(&family, "", " <reasoning>a</reasoning>b"), "a|b|");
        assert_eq!(parse(&family, "", "Use <think>a</think>."), "|Use <think>a</think>.|", "only at the beginning");
        assert_eq!(parse(&family, "", "<think>never closed"), "never closed||");
        assert_eq!(parse(&family, "", "<think>cut </thi"), "cut </thi||");
        assert_eq!(parse(&family, "", "<thin"), "|<thin|");
        assert_eq!(parse(&family, "", " <b> "), "| <b> |");
        assert_eq!(parse(&family, "", ""), "||");
        assert_eq!(parse(&family, "<think>", "a</think>\n<tool_call>{\"name\": \"f\"}</tool_call>"), "a||call_0:f({})");
    }

    #[test]
    fn calls_of_all_formats_are_found() {
        let called = r#"||call_0:f({"a":1})"#;
        let object = r#"{"name": "f", "arguments": {"a": 1}}"#;
        let check = |name: &str, text: &str| assert_eq!(parse(&family(name), "", text), called, "{name}: {text}");
        check("qwen3", &format!("<tool_call>\n{object}\n</tool_call>"));
        check("qwen3", &format!("\n\n<tool_call>\n{object}\n</tool_call>\n"));
        check("qwen3", &format!("<tool_call>\n{object}"));
        check("qwen3-coder", "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>");
        check("qwen3-coder", "<function=f>\n<parameter=a>\n1\n</parameter>\n</function>");
        check("llama-like", r#"{"name": "f", "parameters": {"a": 1}}"#);
        check("llama-like", r#" {"type": "function", "name": "f", "parameters": {"a": 1}}"#);
        check("smollm2", r#"<|python_tag|>{"name": "f", "parameters": {"a": 1}}"#);
        check("smollm2", "<|python_tag|>f.call(a=1)");
        check("smollm2", "```tool_code\nf(a=1)\n```");
        check("smollm2", &format!("<tool_call>{object}</tool_call>"));
        check("granite-3.3", &format!("<|tool_call|>[{object}]"));
        let deepseek = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": 1}\n```\
                        <｜tool▁call▁end｜><｜tool▁calls▁end｜>";
        check("deepseek-r1-distill-qwen", deepseek);
        let small = Family::of("[TOOL_CALLS] [ARGS]");
        assert_eq!(parse(&small, "", r#"[TOOL_CALLS]f[ARGS]{"a": 1}"#), called);
        let phi = Family::of("<|tool_call|><|/tool_call|>");
        assert_eq!(parse(&phi, "", &format!("<|tool_call|>[{object}]<|/tool_call|>")), called);
        let nemo = parse(&family("mistral-nemo"), "", &format!("[TOOL_CALLS][{object}]"));
        assert!(nemo.starts_with("||") && nemo.find(":f").unwrap() == 11, "{nemo}");
        let kept =
            parse(&family("mistral-nemo"), "", r#"[TOOL_CALLS][{"name": "f", "arguments": {}, "id": "abcdefgh1"}]"#);
        assert_eq!(kept, "||abcdefgh1:f({})");
    }

    #[test]
    fn several_calls_and_content_are_found() {
        let qwen = family("qwen3");
        let one = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
        let two = "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>";
        let text = format!("<think>a</think>\n\nLet me see.\n{one}\n{two}");
        assert_eq!(parse(&qwen, "", &text), "a|Let me see.|call_0:f({})call_1:g({})");
        let small = Family::of("[TOOL_CALLS] [ARGS]");
        assert_eq!(parse(&small, "", "[TOOL_CALLS]f[ARGS]{}[TOOL_CALLS]g[ARGS]{}"), "||call_0:f({})call_1:g({})");
        let llama = family("llama-like");
        let text = r#"{"name": "f", "parameters": {}}; {"name": "g", "parameters": {}}"#;
        assert_eq!(parse(&llama, "", text), "||call_0:f({})call_1:g({})");
        let (one, two) = (r#"{"name": "f", "parameters": {}}"#, r#"{"name": "g", "parameters": {}}"#);
        for text in [
            format!("{one}, {two}"),
            format!("{one},{two};"),
            format!("{one}\n,\n[{two}]"),
            format!("[ {one}, {two} ]"),
        ] {
            assert_eq!(parse(&llama, "", &text), "||call_0:f({})call_1:g({})", "{text}");
            assert_eq!(
                parse(&llama, "", &format!("<think>a</think>\n{text}")),
                "a||call_0:f({})call_1:g({})",
                "{text}"
            );
        }
        assert_eq!(parse(&llama, "", &format!("{one}, done")), "|, done|call_0:f({})");
        assert_eq!(parse(&llama, "", &format!("{one}; [1]")), "|; [1]|call_0:f({})");
        assert_eq!(parse(&llama, "", "<think>a</think>["), "a|[|");
        assert_eq!(parse(&llama, "", "<think>a</think>[1, 2]"), "a|[1, 2]|");
        let hermes = "<tool_call>{\"name\": \"f\"}</tool_call>";
        assert_eq!(parse(&qwen, "", &format!("{hermes},\n{hermes}")), "||call_0:f({})call_1:f({})");
    }

    #[test]
    fn what_is_no_call_is_content() {
        let qwen = family("qwen3");
        assert_eq!(parse(&qwen, "", "a <tool_call>{bad}</tool_call> b"), "|a<tool_call>{bad}</tool_call> b|");
        let text = "<tool_call>{bad}</tool_call>\n<tool_call>{\"name\": \"f\"}</tool_call>";
        assert_eq!(parse(&qwen, "", text), "|<tool_call>{bad}</tool_call>|call_0:f({})");
        assert_eq!(parse(&qwen, "", "<tool_call>{\"name\": \"f"), "|<tool_call>{\"name\": \"f|");
        assert_eq!(parse(&qwen, "", "1 <tool"), "|1 <tool|");
        let inner = "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"</tool_call>\"}}</tool_call>";
        assert_eq!(parse(&qwen, "", inner), r#"||call_0:f({"a":"</tool_call>"})"#);
        let llama = family("llama-like");
        assert_eq!(parse(&llama, "", r#"{"name": "Ann", "age": 3}"#), r#"|{"name": "Ann", "age": 3}|"#);
        assert_eq!(parse(&llama, "", r#"{"a": 1}"#), r#"|{"a": 1}|"#);
        assert_eq!(parse(&llama, "", r#"{"name": "f", "param"#), r#"|{"name": "f", "param|"#);
        let mut parser = Parser::new(qwen, None, Vec::new(), None);
        let mut pieces = parser.push("<tool_call>{\"name\": \"f\"}</tool_call>");
        pieces.extend(parser.finish());
        assert!(pieces.iter().all(|piece| matches!(piece, Piece::Content(_))), "without tools there are no calls");
    }

    #[test]
    fn content_comes_as_soon_as_it_is_certain() {
        let mut parser = Parser::new(family("qwen3"), None, vec!["f".into()], None);
        assert_eq!(parser.push("Hi <to"), [Piece::Content("Hi".into())]);
        assert_eq!(parser.push("e> you"), [Piece::Content(" <toe> you".into())]);
        let mut parser = Parser::new(family("llama-like"), None, vec!["f".into()], None);
        assert_eq!(parser.push("{\"a"), [Piece::Content("{\"a".into())], "no call begins so");
    }

    #[test]
    fn calls_are_named_by_seed() {
        let id = |seed| {
            let mut parser = Parser::new(family("qwen3"), None, vec!["f".into()], seed);
            match &parser.push("<tool_call>{\"name\": \"f\"}</tool_call>")[..] {
                [Piece::ToolCall(call)] => call.id.clone(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((id(None), id(Some(1))), ("call_0".into(), id(Some(1))));
        assert!(id(Some(1)) != id(Some(2)) && id(Some(1)).starts_with("call_0_"));
    }

    #[test]
    fn any_text_is_taken() {
        let bits = [
            "<think>",
            "</think>",
            "<tool_call>",
            "</tool_call>",
            "{\"name\": \"f\"",
            "}",
            "é炉",
            " ",
            "\n",
            "<",
            "[",
            "f(a=1)",
            ";",
            "```",
        ];
        let bits = [
            bits.as_slice(),
            &["<function=", "</function>", "<parameter=a>", "tool_code\n", "[TOOL_CALLS]", "[ARGS]", "\""],
        ]
        .concat();
        let families =
            ["qwen3", "qwen3-coder", "llama-like", "mistral-small-3.2", "smollm2", "deepseek-r1-distill-qwen"]
                .map(family);
        let mut random = fastrand::Rng::with_seed(5);
        for round in 0..3000 {
            let family = &families[round % families.len()];
            let text: String = (0..random.usize(1..12)).map(|_| bits[random.usize(..bits.len())]).collect();
            parse(family, "", &text);
            // Without tools and reasoning, all is content.
            let text = format!("a{text}");
            let mut parser = Parser::new(family.clone(), None, Vec::new(), None);
            let mut said = String::new();
            for piece in parser.push(&text).into_iter().chain(parser.finish()) {
                let Piece::Content(text) = piece else { panic!("{piece:?}") };
                said += &text;
            }
            assert_eq!(said, text);
        }
    }
}
