//! Regular expressions from a model's files. They may look ahead, so they backtrack; what comes from a stranger may backtrack
//! without end, so that each search has a limit.

use fancy_regex::{Regex, RegexBuilder};

use crate::error::{Error, Result};

/// Steps back that one search may take. Those of the known families take two or three, however long the text.
const BACKTRACK_LIMIT: usize = 4_000;

/// Bytes that a compiled expression may take.
const SIZE_LIMIT: usize = 16 << 20;

/// Characters of an expression.
const LENGTH_LIMIT: usize = 20_000;

/// Compiles `source`.
pub fn regex(source: &str) -> Result<Regex> {
    let shown = || source.chars().take(60).collect::<String>();
    if source.len() > LENGTH_LIMIT {
        return Err(Error::Tokenizer(format!("the expression {:?}… has {} characters", shown(), source.len())));
    }
    let mut builder = RegexBuilder::new(source);
    builder.backtrack_limit(BACKTRACK_LIMIT).delegate_size_limit(SIZE_LIMIT);
    builder.build().map_err(|error| Error::Tokenizer(format!("the expression {:?}: {error}", shown())))
}

/// An expression that matches `text` and nothing else.
pub fn literal(text: &str) -> Result<Regex> {
    regex(&fancy_regex::escape(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_backtracking_is_an_error() {
        let text = "a".repeat(60);
        assert!(regex("(?:a+)+(?!x)b").unwrap().is_match(&text).is_err());
        assert!(regex(r"\s+(?!\S)|\s+").unwrap().is_match(&(" ".repeat(100_000) + "x")).unwrap());
    }

    #[test]
    fn what_does_not_compile_is_an_error() {
        for source in ["(", r"\p{Nonsense}", "(?:(?:a{1000}){1000}){1000}", &"(".repeat(5000), &"a".repeat(30_000)] {
            let found = regex(source).map(drop).map_err(|error| error.code());
            assert_eq!(found, Err("tokenizer"), "{source:.20}");
        }
    }
}
