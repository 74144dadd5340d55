//! The constraint itself: llguidance's parser, which follows the answer and knows the tokens that may come next.
//!
//! A lexer by derivatives of regular expressions feeds an Earley parser; both go down the trie of tokens together.
//! Koo, Liu, He 2024, arXiv:2407.08103, and the crate's documentation.

use llguidance::Matcher;
use llguidance::api::StopReason;
use llguidance::toktrie::SimpleVob;

use super::vocabulary::refused;
use super::{Constraint, allows};
use crate::error::{Error, Result};

/// Lets through the texts of a [`Grammar`](super::Grammar). An answer may end where the grammar is complete.
pub struct Guided {
    matcher: Matcher,
    mask: SimpleVob,
    /// Whether `mask` is of what was taken so far.
    current: bool,
    vocab_size: usize,
}

impl Guided {
    /// Errors if nothing may come at all.
    pub(super) fn new(matcher: Matcher, vocab_size: usize) -> Result<Guided> {
        let mut guided = Guided { matcher, mask: SimpleVob::new(), current: false, vocab_size };
        guided.mask()?;
        Ok(guided)
    }
}

impl Constraint for Guided {
    fn mask(&mut self) -> Result<Option<&[u32]>> {
        if !self.current {
            self.mask = self.matcher.compute_mask_or_eos().map_err(refused)?;
            // The end token of a vocabulary without one.
            if self.mask.len() > self.vocab_size {
                self.mask.disallow_token(self.vocab_size as u32);
            }
            self.current = true;
        }
        Ok(Some(self.mask.as_slice()))
    }

    fn take(&mut self, token: u32) -> Result<()> {
        if self.current && !allows(self.mask.as_slice(), token) || token as usize >= self.vocab_size {
            return Err(Error::InvalidInput(format!("the grammar does not allow the token {token} here")));
        }
        self.current = false;
        self.matcher.consume_token(token).map_err(refused)
    }

    fn finished(&self) -> bool {
        matches!(
            self.matcher.stop_reason(),
            StopReason::NoExtension | StopReason::NoExtensionBias | StopReason::EndOfSentence
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{Grammar, Tool, Vocabulary};
    use super::*;

    const END: u32 = 0;

    /// All bytes and some longer tokens, an end token and two other control tokens.
    fn words() -> Vec<Vec<u8>> {
        let texts = [
            "true", "fal", "\": ", "{\"", "\", \"", "ab", "abc", "b\"", "12", "}}", "  ", "\n", "name", "é", "炉",
            "null", "[]",
        ];
        let mut words = vec![b"\xff<|end|>".to_vec(), b"\xff<|call|>".to_vec(), b"\xff[TOOL]".to_vec()];
        words.extend((0..=255).map(|byte| vec![byte]));
        words.extend(texts.map(|text| text.as_bytes().to_vec()));
        words
    }

    fn vocabulary() -> Vocabulary {
        let controls = vec![("<|end|>".to_owned(), END), ("<|call|>".to_owned(), 1), ("[TOOL]".to_owned(), 2)];
        Vocabulary::from_words(words(), &[END], controls).unwrap()
    }

    fn constrain(grammar: &Grammar) -> Result<Guided> {
        vocabulary().constrain(grammar)
    }

    fn text(tokens: &[u32]) -> String {
        let words = words();
        let bytes = tokens.iter().flat_map(|&token| match words[token as usize].strip_prefix(b"\xff") {
            Some(name) if !name.is_empty() => name.to_vec(),
            _ => words[token as usize].clone(),
        });
        String::from_utf8(bytes.collect()).expect("whole characters")
    }

    fn allowed(guided: &mut Guided) -> Vec<u32> {
        let mask = guided.mask().unwrap().unwrap().to_vec();
        (0..mask.len() as u32 * 32).filter(|&token| allows(&mask, token)).collect()
    }

    /// A random answer; ends are taken more often the longer it is.
    fn walk(grammar: &Grammar, vocabulary: &Vocabulary, seed: u64) -> String {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut guided = vocabulary.constrain(grammar).unwrap();
        let mut tokens = Vec::new();
        for step in 0.. {
            assert!(step < 5000, "no end: {}", text(&tokens));
            if guided.finished() {
                break;
            }
            let allowed = allowed(&mut guided);
            assert!(!allowed.is_empty());
            if allowed.contains(&END) && (step > 60 || random.u8(..4) == 0) {
                break;
            }
            // What closes texts, lists and objects ends the walk.
            let closing = allowed
                .iter()
                .copied()
                .filter(|&token| step > 60 && [b'"', b']', b'}'].iter().any(|byte| words()[token as usize] == [*byte]));
            let closing: Vec<u32> = closing.collect();
            let from: Vec<u32> = allowed.iter().copied().filter(|&token| token != END).collect();
            let token = *random.choice(if closing.is_empty() { &from } else { &closing }).unwrap();
            guided.take(token).unwrap();
            tokens.push(token);
        }
        text(&tokens)
    }

    fn person() -> Value {
        json!({ "type": "object", "additionalProperties": false, "required": ["name", "age"], "properties": {
            "name": { "type": "string", "maxLength": 8 }, "age": { "type": "integer", "minimum": 0, "maximum": 150 },
            "tags": { "type": "array", "items": { "enum": ["a", "b"] }, "maxItems": 3 }, "ok": { "type": ["boolean", "null"] },
        } })
    }

    #[test]
    fn walks_end_in_json_that_fits() {
        let vocabulary = vocabulary();
        for seed in 0..60 {
            let said = walk(&Grammar::JsonSchema(person()), &vocabulary, seed);
            let value: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
            let map = value.as_object().unwrap();
            assert!(map.keys().all(|key| ["name", "age", "tags", "ok"].contains(&key.as_str())), "{said}");
            assert!(map["name"].as_str().unwrap().chars().count() <= 8, "{said}");
            assert!(map["age"].as_u64().unwrap() <= 150, "{said}");
            let tags = map.get("tags").map_or(&[][..], |tags| tags.as_array().unwrap());
            assert!(tags.len() <= 3 && tags.iter().all(|tag| tag == "a" || tag == "b"), "{said}");
            assert!(map.get("ok").is_none_or(|ok| ok.is_null() || ok.is_boolean()), "{said}");
            let said = walk(&Grammar::JsonObject, &vocabulary, seed);
            match serde_json::from_str::<Value>(&said) {
                Ok(value) => assert!(value.is_object(), "{said}"),
                Err(error) => assert!(error.to_string().contains("number out of range"), "{error}: {said}"),
            }
        }
    }

    #[test]
    fn walks_end_in_texts_that_fit() {
        let vocabulary = vocabulary();
        let check = |grammar: Grammar, fits: &dyn Fn(&str) -> bool| {
            for seed in 0..40 {
                let said = walk(&grammar, &vocabulary, seed);
                assert!(fits(&said), "{grammar:?}: {said}");
            }
        };
        let yes_or_date = |said: &str| {
            let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
            said == "yes" || said.split('-').zip([4, 2]).all(|(text, count)| digits(text, count)) && said.len() == 7
        };
        check(Grammar::Regex("yes|[0-9]{4}-[0-9]{2}".into()), &yes_or_date);
        check(Grammar::Lark("start: \"yes\" | /[0-9]{4}/ \"-\" /[0-9]{2}/".into()), &yes_or_date);
        check(Grammar::Gbnf("root ::= \"yes\" | [0-9]{4} \"-\" d d\nd ::= [0-9]".into()), &yes_or_date);
        let balanced = |said: &str| {
            let mut depth = 0_i32;
            let mut lowest = 0;
            said.bytes().for_each(|byte| {
                depth += match byte {
                    b'(' => 1,
                    b')' => -1,
                    _ => 0,
                };
                lowest = lowest.min(depth);
            });
            depth == 0 && lowest == 0 && said.starts_with('(')
        };
        let nested = "root ::= \"(\" inner \")\"\ninner ::= [a-z]* | root root? # twice at most\n";
        check(Grammar::Gbnf(nested.into()), &balanced);
    }

    /// Each token, tried on its own, against the mask.
    #[test]
    fn masks_are_what_each_token_tells() {
        let vocabulary = vocabulary();
        let grammars = [
            Grammar::JsonSchema(person()),
            Grammar::Regex("(ab|abc|é+)*x?".into()),
            Grammar::Gbnf("root ::= [a-c]* \"b\" root? | \"炉\"".into()),
            Grammar::Call {
                tools: vec![Tool { name: "name".into(), parameters: None }],
                form: "<|call|>NAME ARGUMENTS".into(),
            },
        ];
        for grammar in &grammars {
            let mut random = fastrand::Rng::with_seed(7);
            let mut taken: Vec<u32> = Vec::new();
            let mut guided = vocabulary.constrain(grammar).unwrap();
            while taken.len() < 12 && !guided.finished() {
                let masked = allowed(&mut guided);
                let tried = (0..words().len() as u32).filter(|&token| {
                    let mut fresh = vocabulary.constrain(grammar).unwrap();
                    taken.iter().for_each(|&token| fresh.take(token).unwrap());
                    fresh.matcher.try_consume_tokens(&[token]).is_ok_and(|count| count == 1)
                });
                assert_eq!(masked, tried.collect::<Vec<_>>(), "{grammar:?} after {}", text(&taken));
                let from: Vec<u32> =
                    masked.into_iter().filter(|&token| token != END && words()[token as usize].is_ascii()).collect();
                let Some(&token) = random.choice(&from) else { break };
                guided.take(token).unwrap();
                taken.push(token);
            }
        }
    }

    #[test]
    fn the_end_is_allowed_when_the_grammar_is_complete() {
        let mut guided = constrain(&Grammar::Regex("ab+".into())).unwrap();
        let token = |text: &str| words().iter().position(|word| word == text.as_bytes()).unwrap() as u32;
        assert!(!allowed(&mut guided).contains(&END));
        guided.take(token("a")).unwrap();
        assert!(!allowed(&mut guided).contains(&END) && !guided.finished());
        guided.take(token("b")).unwrap();
        assert!(allowed(&mut guided).contains(&END) && !guided.finished());
        assert!(guided.take(token("c")).is_err());
        let mut guided = constrain(&Grammar::Regex("ab".into())).unwrap();
        guided.take(token("ab")).unwrap();
        assert!(guided.finished());
        assert_eq!(allowed(&mut guided), [END]);
    }

    #[test]
    fn calls_have_the_form_of_the_family() {
        let vocabulary = vocabulary();
        let parameters =
            Some(json!({ "type": "object", "properties": { "a": { "type": "integer", "maximum": 9, "minimum": 0 } },
            "required": ["a"], "additionalProperties": false }));
        let tools = vec![Tool { name: "f".into(), parameters }, Tool { name: "g\"".into(), parameters: None }];
        let form = "<|call|>\n{\"name\": \"NAME\", \"arguments\": ARGUMENTS}\n[TOOL]";
        for seed in 0..20 {
            let said = walk(&Grammar::Call { tools: tools.clone(), form: form.into() }, &vocabulary, seed);
            let inner =
                said.strip_prefix("<|call|>\n").and_then(|said| said.strip_suffix("\n[TOOL]")).expect("markers");
            let call: Value = serde_json::from_str(inner).unwrap();
            assert!(
                call["name"] == "f" && call["arguments"]["a"].as_u64().unwrap() < 10 || call["name"] == "g\"",
                "{said}"
            );
        }
        // The markers are control tokens, and nothing else may begin a call.
        let mut guided = vocabulary.constrain(&Grammar::Call { tools, form: form.into() }).unwrap();
        assert_eq!(allowed(&mut guided), [1]);
        assert!(Tool::of(&[json!({ "function": { "name": "f" } })], Some("g")).is_err());
        assert!(Tool::of(&[], None).is_err());
    }

    #[test]
    fn reasoning_may_come_first() {
        let vocabulary = vocabulary();
        let then = || Box::new(Grammar::JsonSchema(json!({ "const": 1 })));
        for (close, ends) in [("</t>", "</t>"), ("<|call|>", "<|call|>")] {
            let grammar = Grammar::Reasoned { close: close.into(), then: then() };
            let mut guided = vocabulary.constrain(&grammar).unwrap();
            let mut say = |text: &str| {
                text.bytes().for_each(|byte| guided.take(3 + u32::from(byte)).unwrap());
            };
            say("so {so} ");
            match vocabulary.control(ends) {
                Some(token) => guided.take(token).unwrap(),
                None => say(ends),
            }
            guided.take(3 + u32::from(b'\n')).unwrap();
            guided.take(3 + u32::from(b'1')).unwrap();
            assert!(guided.finished() || allowed(&mut guided).contains(&END));
        }
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        let check = |grammar: Grammar, what: &str| {
            let error = constrain(&grammar).map(|_| ()).expect_err(&format!("{grammar:?}"));
            assert!(error.code() == "bad_grammar" && error.to_string().contains(what), "{error}");
            assert!(!error.to_string().contains("panic"), "{error}");
        };
        let regex = |source: &str| Grammar::Regex(source.into());
        let lark = |source: &str| Grammar::Lark(source.into());
        let gbnf = |source: &str| Grammar::Gbnf(source.into());
        check(regex("("), "unclosed group");
        check(regex(""), "empty");
        check(regex("[^\\s\\S]"), "no answer");
        check(regex(&format!("{}a{}", "(".repeat(5000), ")".repeat(5000))), "");
        check(Grammar::JsonSchema(json!(false)), "");
        check(Grammar::JsonSchema(json!({ "enum": [] })), "");
        check(Grammar::JsonSchema(json!({ "type": "integer", "minimum": 2, "maximum": 1 })), "");
        check(Grammar::JsonSchema(json!({ "$ref": "https://example.org/x" })), "");
        check(Grammar::JsonSchema(json!({ "type": "string", "pattern": "(" })), "");
        check(Grammar::JsonSchema(json!({ "type": "string", "contentEncoding": 3, "not": {} })), "");
        check(Grammar::JsonSchema((0..100).fold(json!({}), |inner, _| json!({ "items": inner }))), "nested");
        check(Grammar::JsonSchema(json!({ "description": "x".repeat(1 << 19) })), "bytes");
        check(Grammar::JsonSchema(json!({ "$ref": "#" })), "no answer");
        check(lark("a: \"b\""), "");
        check(lark("start: b"), "");
        check(lark("start: start"), "no answer");
        check(lark("%%%"), "");
        check(lark("start: \"a\"{5,2}"), "");
        check(lark(&format!("start: {}\"a\"{}", "(".repeat(9999), ")".repeat(9999))), "");
        check(lark("start: A\nA: A \"x\""), "");
        check(lark("start: <|nothing|>"), "");
        check(gbnf("a ::= \"b\""), "root");
        check(gbnf("root ::= b"), "\"b\"");
        check(gbnf("root ::= \"a"), "closed");
        check(gbnf("root ::= [z-a]"), "backwards");
        check(gbnf("root ::= a{2,1}"), "repetition");
        check(gbnf("root ::= \"a\"\n)"), "line 2");
        check(gbnf(&format!("root ::= {}", "(".repeat(99_999))), "nested");
        check(Grammar::Call { tools: vec![], form: "ARGUMENTS".into() }, "no tools");
    }

    /// What is too much is either refused or goes on with little work for each token.
    #[test]
    fn heavy_grammars_are_bounded() {
        let vocabulary = vocabulary();
        let deep = (0..60).fold(json!({ "type": "string" }), |inner, _| json!({ "type": "array", "items": inner }));
        let wide: serde_json::Map<String, Value> =
            (0..2000).map(|i| (format!("p{i}"), json!({ "type": "string" }))).collect();
        let any: Vec<Value> =
            (0..300).map(|i| json!({ "properties": { format!("a{i}"): { "pattern": ".*b.{20}" } } })).collect();
        let heavy = [
            Grammar::Regex("(a{1000}){1000}{1000}".into()),
            Grammar::Regex("(?:a?){5000}(?:b?){5000}.*c.{500}d.{500}".into()),
            Grammar::Regex("(.*a.{60}|.*b.{70}|.*ab.{80}|(a|ab|abc)*)*".into()),
            Grammar::Lark("start: \"a\" start | start \"a\" | start start | \"a\"".into()),
            Grammar::Lark("start: a* a* a* a* a* a* a* a*\na: (\"a\" | \"ab\" | b)*\nb: (\"b\" a?)*".into()),
            Grammar::Gbnf("root ::= (root | \"a\")* root? | (\"a\"? \"a\"?)*".into()),
            Grammar::Gbnf("root ::= ((\"a\"{0,1000}){0,1000}){0,1000}".into()),
            Grammar::JsonSchema(deep),
            Grammar::JsonSchema(json!({ "type": "object", "properties": wide })),
            Grammar::JsonSchema(json!({ "allOf": any.clone() })),
            Grammar::JsonSchema(json!({ "anyOf": any })),
            Grammar::JsonSchema(
                json!({ "$ref": "#/$defs/a", "$defs": { "a": { "allOf": [{ "$ref": "#/$defs/a" }, { "$ref": "#/$defs/a" }] } } }),
            ),
            Grammar::JsonSchema(json!({ "type": "string", "minLength": 1_000_000_000 })),
            Grammar::JsonSchema(json!({ "type": "array", "minItems": 1_000_000_000, "items": {} })),
        ];
        for grammar in &heavy {
            let Ok(mut guided) = vocabulary.constrain(grammar) else { continue };
            let mut random = fastrand::Rng::with_seed(3);
            for _ in 0..40 {
                let Ok(Some(mask)) = guided.mask() else { break };
                let allowed: Vec<u32> = (1..words().len() as u32).filter(|&token| allows(mask, token)).collect();
                let Some(&token) = random.choice(&allowed) else { break };
                if guided.take(token).is_err() || guided.finished() {
                    break;
                }
            }
        }
    }

    /// A panic would end a browser's engine; natively llguidance makes an error of it, which says so.
    #[test]
    fn damaged_grammars_do_not_panic() {
        let vocabulary = vocabulary();
        let sources = [
            (
                0,
                r#"{"type": "object", "properties": {"a": {"type": "string", "pattern": "^a[b-d]{2,3}$", "minLength": 2}}, "required": ["a"]}"#,
            ),
            (
                0,
                r##"{"anyOf": [{"$ref": "#/$defs/n"}, {"type": ["number", "null"], "multipleOf": 3, "exclusiveMinimum": 1.5}], "$defs": {"n": {"enum": [1, "b"]}}}"##,
            ),
            (
                0,
                r#"{"type": "array", "prefixItems": [{"const": 1}], "items": {"format": "date"}, "minItems": 1, "maxItems": 4, "patternProperties": {"^x": {}}}"#,
            ),
            (1, "(?i:ab)+[^c-f]{2,5}|\\d*\\p{L}?(x|y{3,})"),
            (2, "start: a{2,3} | \"x\"* B /y+/i\na: \"q\" (B | a)?\nB: /[0-9]/ \"z\"\n%ignore / /\n"),
            (
                2,
                "start: x[lazy] <[1]>\nx[stop=\"a\", max_tokens=3]: /b+/ %json {\"type\": \"integer\"} %regex {\"substring_chars\": \"abc\"}",
            ),
            (3, "root ::= \"a\" [b-d]+ (x | y){2,3} # c\nx ::= \"\\x41\" .\ny ::= [^a\\]] root?\n"),
        ];
        let mut random = fastrand::Rng::with_seed(11);
        for round in 0..400 {
            let (kind, source) = sources[round % sources.len()];
            let mut chars: Vec<char> = source.chars().collect();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..chars.len());
                match random.u8(..4) {
                    0 => drop(chars.remove(at)),
                    1 => {
                        chars[at] = *random
                            .choice(&[
                                '0', '9', '"', '{', '}', '[', ']', '(', ')', '-', '\\', ',', ':', 'a', '*', '|', '%',
                            ])
                            .unwrap()
                    }
                    2 => chars.insert(at, chars[random.usize(..chars.len())]),
                    _ => drop(chars.drain(at..(at + random.usize(1..9)).min(chars.len()))),
                }
                if chars.is_empty() {
                    chars.push('a');
                }
            }
            let source: String = chars.into_iter().collect();
            let grammar = match kind {
                0 => match serde_json::from_str(&source) {
                    Ok(schema) => Grammar::JsonSchema(schema),
                    Err(_) => continue,
                },
                1 => Grammar::Regex(source),
                2 => Grammar::Lark(source),
                _ => Grammar::Gbnf(source),
            };
            let told = match vocabulary.constrain(&grammar) {
                Err(error) => error.to_string(),
                Ok(mut guided) => match guided.take(3 + u32::from(b'a')).and_then(|()| guided.mask().map(|_| ())) {
                    Err(error) => error.to_string(),
                    Ok(()) => continue,
                },
            };
            assert!(!told.contains("panic"), "{grammar:?}: {told}");
        }
    }

    #[test]
    fn a_vocabulary_without_an_end_can_be_used() {
        let mut guided =
            Vocabulary::from_words(words(), &[], Vec::new()).unwrap().constrain(&Grammar::Regex("a+".into())).unwrap();
        guided.take(3 + u32::from(b'a')).unwrap();
        let count = words().len() as u32;
        assert!(allowed(&mut guided).iter().all(|&token| token < count) && !guided.finished());
        let long = vec![vec![b'a'; 1000]; 5000];
        assert!(Vocabulary::from_words(long, &[], Vec::new()).is_ok(), "tokens that are too long are left out");
        let many = vec![vec![b'a'; 200]; 50_000];
        assert_eq!(Vocabulary::from_words(many, &[], Vec::new()).map(|_| ()).unwrap_err().code(), "bad_grammar");
    }
}
