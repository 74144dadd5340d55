//! GBNF, llama.cpp's notation of grammars, to Lark.
//!
//! ```text
//! root ::= "yes" | item ("," item)*      start: "yes" | item ("," item)*
//! item ::= [a-z]{1,3} # a comment        item: /[a-z]/{1,3}
//! ```
//!
//! Lark's words are read greedily, GBNF's characters one by one, so `[a-z]* "x"` means other things in both. Hence a grammar without
//! recursion becomes one regular expression, and one with it is spelled out character by character.
//! Source: llama.cpp, `grammars/README.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::str::Chars;

use crate::error::{Error, Result};

/// Deepest nesting of brackets: Lark's.
const MAX_DEPTH: usize = 25;

/// An expression.
enum Node {
    Either(Vec<Node>),
    Sequence(Vec<Node>),
    Text(String),
    /// A set of characters as a regular expression.
    Set(String),
    Rule(String),
    Repeat(Box<Node>, usize, Option<usize>),
}

/// The grammar in Lark.
pub(super) fn to_lark(source: &str) -> Result<String> {
    let rules = Reader { chars: source.chars().peekable(), line: 1 }.rules()?;
    if !rules.contains_key("root") {
        return Err(Error::Grammar("it has no rule \"root\"".into()));
    }
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    let recursive = recursive(&rules)?;
    for (i, name) in rules.keys().enumerate() {
        // Rules in small letters, parts of regular expressions in capitals.
        names.insert(name, format!("{}{i}", if recursive { "r" } else { "R" }));
    }
    let mut lark = format!("start: {}\n", names["root"]);
    for (name, node) in &rules {
        lark += &format!("{}: ", names[name.as_str()]);
        write(&mut lark, node, &names, recursive);
        lark.push('\n');
    }
    Ok(lark)
}

/// Whether any rule comes back to itself. Errors if one names another that there is not.
fn recursive(rules: &BTreeMap<String, Node>) -> Result<bool> {
    fn names<'a>(node: &'a Node, found: &mut BTreeSet<&'a str>) {
        match node {
            Node::Either(nodes) | Node::Sequence(nodes) => nodes.iter().for_each(|node| names(node, found)),
            Node::Repeat(node, ..) => names(node, found),
            Node::Rule(name) => {
                found.insert(name);
            }
            Node::Text(_) | Node::Set(_) => {}
        }
    }
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, node) in rules {
        let found = uses.entry(name).or_default();
        names(node, found);
        if let Some(unknown) = found.iter().find(|name| !rules.contains_key(**name)) {
            return Err(Error::Grammar(format!("the rule \"{name}\" names \"{unknown}\", which there is not")));
        }
    }
    // Rules that use only known ends are taken away until none is left, or only rings are.
    loop {
        let before = uses.len();
        let done: BTreeSet<&str> = uses.iter().filter(|(_, found)| found.is_empty()).map(|(name, _)| *name).collect();
        uses.retain(|name, _| !done.contains(name));
        uses.values_mut().for_each(|found| found.retain(|name| !done.contains(name)));
        if uses.is_empty() || uses.len() == before {
            return Ok(!uses.is_empty());
        }
    }
}

fn write(lark: &mut String, node: &Node, names: &BTreeMap<&str, String>, spell: bool) {
    let mut group = |nodes: &[Node], between: &str| {
        lark.push('(');
        for (i, node) in nodes.iter().enumerate() {
            *lark += if i > 0 { between } else { "" };
            write(lark, node, names, spell);
        }
        lark.push(')');
    };
    match node {
        Node::Either(nodes) => group(nodes, " | "),
        Node::Sequence(nodes) if nodes.is_empty() => *lark += "\"\"",
        Node::Sequence(nodes) => group(nodes, " "),
        Node::Text(text) if spell && text.chars().count() > 1 => {
            let chars: Vec<Node> = text.chars().map(|char| Node::Text(char.into())).collect();
            group(&chars, " ");
        }
        Node::Text(text) => *lark += &serde_json::Value::from(text.as_str()).to_string(),
        Node::Set(set) => *lark += &format!("/{set}/"),
        Node::Rule(name) => *lark += &names[name.as_str()],
        Node::Repeat(node, least, most) => {
            write(lark, node, names, spell);
            *lark += &match (least, most) {
                (0, None) => "*".to_owned(),
                (1, None) => "+".to_owned(),
                (0, Some(1)) => "?".to_owned(),
                (least, None) => format!("{{{least},}}"),
                (least, Some(most)) => format!("{{{least},{most}}}"),
            };
        }
    }
}

/// Reads GBNF.
struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    fn error<T>(&self, what: &str) -> Result<T> {
        Err(Error::Grammar(format!("line {}: {what}", self.line)))
    }

    fn next(&mut self) -> Option<char> {
        let char = self.chars.next();
        self.line += usize::from(char == Some('\n'));
        char
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.chars.peek() == Some(&wanted);
        if found {
            self.next();
        }
        found
    }

    /// Skips blanks and comments, and line ends where they mean nothing.
    fn blanks(&mut self, lines: bool) {
        while let Some(&char) = self.chars.peek() {
            match char {
                '#' => {
                    while self.chars.peek().is_some_and(|char| *char != '\n') {
                        self.next();
                    }
                }
                '\n' | '\r' if !lines => return,
                _ if !char.is_whitespace() => return,
                _ => {
                    self.next();
                }
            }
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(char) =
            self.chars.peek().copied().filter(|char| char.is_ascii_alphanumeric() || "-_".contains(*char))
        {
            name.push(char);
            self.next();
        }
        name
    }

    fn rules(mut self) -> Result<BTreeMap<String, Node>> {
        let mut rules = BTreeMap::new();
        loop {
            self.blanks(true);
            if self.chars.peek().is_none() {
                return Ok(rules);
            }
            let name = self.name();
            self.blanks(false);
            if name.is_empty() || !(self.take(':') && self.take(':') && self.take('=')) {
                return self.error("a rule, name ::= ..., was expected");
            }
            self.blanks(true);
            let node = self.either(0)?;
            if !matches!(self.chars.peek(), None | Some('\n' | '\r')) {
                return self.error("the rule does not end here");
            }
            rules.insert(name, node);
        }
    }

    fn either(&mut self, depth: usize) -> Result<Node> {
        if depth > MAX_DEPTH {
            return self.error("brackets are nested too deep");
        }
        let mut nodes = vec![self.sequence(depth)?];
        while self.take('|') {
            self.blanks(true);
            nodes.push(self.sequence(depth)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Either(nodes) })
    }

    fn sequence(&mut self, depth: usize) -> Result<Node> {
        let mut nodes: Vec<Node> = Vec::new();
        while let Some(&char) = self.chars.peek() {
            let node = match char {
                '"' => {
                    self.next();
                    let mut text = String::new();
                    while !self.take('"') {
                        text.push(self.character()?.0);
                    }
                    Node::Text(text)
                }
                '[' => self.set()?,
                '.' => {
                    self.next();
                    Node::Set("(?s:.)".into())
                }
                '(' => {
                    self.next();
                    self.blanks(true);
                    let node = self.either(depth + 1)?;
                    if !self.take(')') {
                        return self.error("a closing bracket is missing");
                    }
                    node
                }
                '*' | '+' | '?' | '{' => match nodes.pop() {
                    Some(node) => self.repeat(node)?,
                    None => return self.error("there is nothing to repeat"),
                },
                _ if char.is_ascii_alphanumeric() => Node::Rule(self.name()),
                _ => break,
            };
            nodes.push(node);
            self.blanks(depth > 0);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Sequence(nodes) })
    }

    fn repeat(&mut self, node: Node) -> Result<Node> {
        let (least, most) = match self.next() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            _ => {
                let least = self.number();
                let most = if self.take(',') { self.number() } else { least };
                if !self.take('}')
                    || (least.is_none() && most.is_none())
                    || most.is_some_and(|most| most < least.unwrap_or(0))
                {
                    return self.error("a repetition is {count}, {least,}, or {least,most}");
                }
                (least.unwrap_or(0), most)
            }
        };
        let node = if matches!(node, Node::Repeat(..)) { Node::Sequence(vec![node]) } else { node };
        Ok(Node::Repeat(node.into(), least, most))
    }

    fn number(&mut self) -> Option<usize> {
        let mut digits = String::new();
        while let Some(digit) = self.chars.peek().copied().filter(char::is_ascii_digit) {
            digits.push(digit);
            self.next();
        }
        digits.parse().ok()
    }

    /// A character of a text or set, and whether it was written with a backslash.
    fn character(&mut self) -> Result<(char, bool)> {
        let digits = match self.next() {
            None => return self.error("a text or set is not closed"),
            Some('\\') => match self.next() {
                Some('n') => return Ok(('\n', true)),
                Some('r') => return Ok(('\r', true)),
                Some('t') => return Ok(('\t', true)),
                Some('x') => 2,
                Some('u') => 4,
                Some('U') => 8,
                Some(char) => return Ok((char, true)),
                None => return self.error("a text or set is not closed"),
            },
            Some(char) => return Ok((char, false)),
        };
        let hex: String = (0..digits).filter_map(|_| self.next()).collect();
        match u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32) {
            Some(char) => Ok((char, true)),
            None => self.error("a backslash is followed by digits of no character"),
        }
    }

    fn set(&mut self) -> Result<Node> {
        self.next();
        let mut set = String::from(if self.take('^') { "[^" } else { "[" });
        let mut empty = true;
        while !self.take(']') {
            let (first, _) = self.character()?;
            set += &format!("\\u{{{:x}}}", first as u32);
            empty = false;
            if self.take('-') {
                if self.chars.peek() == Some(&']') {
                    set += "\\u{2d}";
                    continue;
                }
                let (last, _) = self.character()?;
                if last < first {
                    return self.error("a range of characters runs backwards");
                }
                set += &format!("-\\u{{{:x}}}", last as u32);
            }
        }
        match empty {
            true => self.error("a set of characters is empty"),
            false => Ok(Node::Set(set + "]")),
        }
    }
}
