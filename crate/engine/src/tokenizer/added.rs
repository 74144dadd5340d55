//! Tokens that are found in a text before anything else is done to it: control tokens such as `<|im_end|>`, and words added
//! to a finished vocabulary. Leftmost first, and of those the longest (Aho & Corasick 1975).

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use hashbrown::HashMap;

use crate::error::{Error, Result};

/// One such token.
#[derive(Clone, Debug, Default)]
pub struct Token {
    pub id: u32,
    pub text: String,
    /// Stands for no text in an answer.
    pub special: bool,
    /// Only where no letter or digit touches it.
    pub single_word: bool,
    /// Takes the white space before it along.
    pub lstrip: bool,
    /// Takes the white space behind it along.
    pub rstrip: bool,
    /// Looked for as this in the normalised text; `None` looks for `text` in the text as it came.
    pub normalized: Option<String>,
}

/// All of them.
#[derive(Default)]
pub struct Added {
    tokens: Vec<Token>,
    by_id: HashMap<u32, usize>,
    as_it_came: Finder,
    normalized: Finder,
}

/// Patterns, and the token each belongs to.
#[derive(Default)]
struct Finder {
    automaton: Option<AhoCorasick>,
    tokens: Vec<usize>,
}

impl Finder {
    fn new<'a>(patterns: impl Iterator<Item = (usize, &'a str)>) -> Result<Finder> {
        let (tokens, texts): (Vec<usize>, Vec<&str>) = patterns.unzip();
        if tokens.is_empty() {
            return Ok(Finder::default());
        }
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(texts);
        let automaton = automaton.map_err(|error| Error::Tokenizer(format!("added tokens: {error}")))?;
        Ok(Finder { automaton: Some(automaton), tokens })
    }
}

/// Which text is searched.
#[derive(Clone, Copy)]
pub enum Text {
    AsItCame,
    Normalized,
}

impl Added {
    pub fn new(tokens: Vec<Token>) -> Result<Added> {
        let by_id = tokens.iter().enumerate().map(|(i, token)| (token.id, i)).collect();
        let all = || tokens.iter().enumerate();
        let plain = all().filter(|(_, token)| token.normalized.is_none()).map(|(i, token)| (i, token.text.as_str()));
        let as_it_came = Finder::new(plain)?;
        // A text that normalizes to nothing would be found everywhere.
        let texts = all().filter_map(|(i, token)| Some((i, token.normalized.as_deref()?)));
        let normalized = Finder::new(texts.filter(|(_, text)| !text.is_empty()))?;
        Ok(Added { tokens, by_id, as_it_came, normalized })
    }

    /// Those whose id is below `ids`.
    pub fn below(self, ids: usize) -> Result<Added> {
        Added::new(self.tokens.into_iter().filter(|token| (token.id as usize) < ids).collect())
    }

    /// The token of an id, if it was added.
    pub fn get(&self, id: u32) -> Option<&Token> {
        self.by_id.get(&id).map(|&i| &self.tokens[i])
    }

    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter()
    }

    /// Cuts a text into added tokens and what lies between them.
    pub fn split(&self, text: &str, which: Text) -> Vec<(Option<u32>, Range<usize>)> {
        let finder = match which {
            Text::AsItCame => &self.as_it_came,
            Text::Normalized => &self.normalized,
        };
        let mut parts = Vec::new();
        let mut done = 0;
        for found in finder.automaton.iter().flat_map(|automaton| automaton.find_iter(text)) {
            let token = &self.tokens[finder.tokens[found.pattern().as_usize()]];
            let (before, after) = (&text[..found.start()], &text[found.end()..]);
            let touched = before.ends_with(is_word) || after.starts_with(is_word);
            if found.start() < done || (token.single_word && touched) {
                continue;
            }
            let (mut start, mut end) = (found.start(), found.end());
            if token.lstrip {
                start = before.trim_end().len().max(done);
            }
            if token.rstrip {
                end = text.len() - after.trim_start().len();
            }
            if done < start {
                parts.push((None, done..start));
            }
            parts.push((Some(token.id), start..end));
            done = end;
        }
        if done < text.len() {
            parts.push((None, done..text.len()));
        }
        parts
    }
}

/// `\w` of regular expressions.
fn is_word(c: char) -> bool {
    regex_syntax::is_word_character(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(tokens: &[Token], text: &str) -> Vec<String> {
        let numbered = tokens.iter().enumerate().map(|(id, token)| Token { id: id as u32, ..token.clone() });
        let parts = Added::new(numbered.collect()).unwrap().split(text, Text::AsItCame);
        parts.into_iter().map(|(id, range)| format!("{id:?} {}", &text[range])).collect()
    }

    #[test]
    fn leftmost_then_longest() {
        let token = |text: &str| Token { text: text.into(), ..Token::default() };
        let tokens = [token("<a>"), token("<a><b>"), token("b>c")];
        assert_eq!(split(&tokens, "x<a><b>cd"), ["None x", "Some(1) <a><b>", "None cd"]);
        assert_eq!(split(&tokens, "<a"), ["None <a"]);
        assert_eq!(split(&tokens, ""), [""; 0]);
    }

    #[test]
    fn white_space_and_neighbours() {
        let strips = Token { text: "<m>".into(), lstrip: true, rstrip: true, ..Token::default() };
        let word = Token { text: "cat".into(), single_word: true, ..Token::default() };
        let tokens = [strips, word];
        assert_eq!(split(&tokens, "a <m> \n<m>\tb"), ["None a", "Some(0)  <m> \n", "Some(0) <m>\t", "None b"]);
        assert_eq!(split(&tokens, "cat cats"), ["Some(1) cat", "None  cats"]);
    }
}
