//! A template's source with its values measured by the filters of `bounds`:
//!
//! ```text
//! [x, x]  {'a': x}  (x, x)    →  [x, x]|bounded  {'a': x}|bounded  (x, x)|bounded      before .a or [0] in brackets
//! x|map(f)                    →  x|map(f)|bounded                                     likewise what else makes lists
//! a + b + c                   →  a + b + c|term                                       from the third on
//! {% set x = y -%}            →  {% set x = y %}{% set x = x|bounded -%}              likewise for, with, macro, call
//! {% set x.a = y -%}          →  {% set x.a = y %}{% set x.a = x.a|member -%}
//! a ~ b                       →  a|bounded ~ b|bounded
//! a * b                       →  a|single * b|single                                  texts and numbers only
//! ```
//!
//! `{% generation %}`, which marks what a model is trained on, becomes a block without effect.

use std::ops::Range;

use crate::error::{Error, Result};

/// Longest source of a template, in bytes. The longest known ones have some 20 000.
const MAX_SOURCE: usize = 1 << 19;
/// Operators in one tag, and `elif`s in a source: each is a call within the last, for the compiler. The most known are 25.
const MAX_CHAIN: usize = 250;
/// Filters that may put a value into a list many times.
const GATHER: [&str; 5] = ["map", "batch", "slice", "chain", "zip"];
/// Words behind which a bracket is a value of its own, and no call or subscript.
const OPERATORS: [&str; 8] = ["and", "or", "not", "in", "is", "if", "elif", "else"];
/// Statements that begin with a value, for which those words do not stand.
const STATEMENTS: [&str; 5] = ["autoescape", "include", "extends", "import", "from"];

/// The source with its values measured.
pub(super) fn edit(source: &str) -> Result<String> {
    if source.len() > MAX_SOURCE {
        let what = format!("its source has {} bytes, more than {MAX_SOURCE}", source.len());
        return Err(Error::Template(what));
    }
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let (mut at, mut branches) = (0, 0);
    while let Some(start) = source[at..].find('{').map(|found| at + found) {
        at = match source.as_bytes().get(start + 1) {
            // `{#}` is no whole comment.
            Some(b'#') => source[start + 2..].find("#}").map_or(source.len(), |end| start + end + 4),
            Some(b'{') => {
                let tokens = Tokens::read(source, start + 2, "}}");
                tokens.values(0, &mut edits)?;
                tokens.end
            }
            Some(b'%') => {
                let tokens = Tokens::read(source, start + 2, "%}");
                tokens.values(tokens.targets(), &mut edits)?;
                tokens.names(&mut edits);
                branches += usize::from(tokens.word(0) == "elif");
                match tokens.tokens.len() {
                    1 if tokens.word(0) == "raw" => end_of_raw(source, tokens.end),
                    _ => tokens.end,
                }
            }
            _ => start + 1,
        };
    }
    if branches > MAX_CHAIN {
        return Err(Error::Template(format!("it has {branches} elif, more than {MAX_CHAIN}")));
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut edited = String::with_capacity(source.len() + 16 * edits.len());
    let mut at = 0;
    for (range, text) in edits {
        edited += &source[at..range.start];
        edited += &text;
        at = range.end;
    }
    Ok(edited + &source[at..])
}

/// Where the `{% endraw %}` of a raw block that begins at `at` begins.
fn end_of_raw(source: &str, mut at: usize) -> usize {
    while let Some(start) = source[at..].find("{%").map(|found| at + found) {
        let inside = source[start + 2..].strip_prefix(['-', '+']).unwrap_or(&source[start + 2..]);
        if let Some(rest) = inside.trim_start().strip_prefix("endraw") {
            let rest = rest.trim_start();
            if rest.strip_prefix(['-', '+']).unwrap_or(rest).starts_with("%}") {
                return start;
            }
        }
        at = start + 2;
    }
    source.len()
}

/// The tokens of a tag: names, numbers, texts and single signs (but `**` as one).
struct Tokens<'a> {
    source: &'a str,
    tokens: Vec<Range<usize>>,
    /// Of each token that opens a bracket, the one that closes it; of others, and where none does, itself.
    partners: Vec<usize>,
    /// Where the tag's end marker begins, `-` included.
    close: usize,
    /// Behind the end marker.
    end: usize,
}

impl<'a> Tokens<'a> {
    /// The tokens of the tag whose inside begins at `at`, up to `marker` outside of brackets and texts.
    fn read(source: &'a str, mut at: usize, marker: &str) -> Tokens<'a> {
        let bytes = source.as_bytes();
        let mut tokens: Vec<Range<usize>> = Vec::new();
        let (mut partners, mut open): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut depth = 0_usize;
        if matches!(bytes.get(at), Some(b'-' | b'+')) {
            at += 1;
        }
        while let Some(&byte) = bytes.get(at) {
            let rest = &source[at..];
            if (depth == 0 || marker == "%}") && rest.starts_with(marker) {
                let sign = tokens.last().filter(|last| last.end == at && matches!(&source[(*last).clone()], "-" | "+"));
                let close = sign.map_or(at, |sign| sign.start);
                if close < at {
                    tokens.pop();
                    partners.pop();
                }
                return Tokens { source, tokens, partners, close, end: at + marker.len() };
            }
            let length = match byte {
                b'"' | b'\'' => quoted(bytes, at),
                b'*' if rest.starts_with("**") => 2,
                _ if word(byte) => rest.bytes().take_while(|&byte| word(byte)).count(),
                _ => 1,
            };
            match byte {
                b'(' | b'[' | b'{' => {
                    depth += 1;
                    open.push(tokens.len());
                }
                b')' | b']' | b'}' => {
                    depth = depth.saturating_sub(1);
                    if let Some(opened) = open.pop() {
                        partners[opened] = tokens.len();
                    }
                }
                _ => {}
            }
            if !byte.is_ascii_whitespace() {
                partners.push(tokens.len());
                tokens.push(at..at + length);
            }
            at += length;
        }
        Tokens { source, tokens, partners, close: source.len(), end: source.len() }
    }

    /// The text of a token, "" behind the last.
    fn word(&self, i: usize) -> &'a str {
        self.tokens.get(i).map_or("", |range| &self.source[range.clone()])
    }

    /// Measures the values that are made from the token `first` on, and what `~`, `*` and `+` work on.
    fn values(&self, first: usize, edits: &mut Vec<(Range<usize>, String)>) -> Result<()> {
        let mut insert = |at: usize, text: &str| edits.push((at..at, text.into()));
        let (mut signs, mut sums) = (0, 0);
        for i in 0..self.tokens.len() {
            let text = self.word(i);
            let group = self.group(i);
            let is_value = text == "{" || (matches!(text, "(" | "[") && self.is_value(i));
            let is_sign = matches!(text, "+" | "-" | "*" | "**" | "/" | "%" | "~" | "|" | "." | "(" | "[") && !is_value;
            signs += usize::from(is_sign || OPERATORS.contains(&text));
            match text {
                "~" | "*" if i > 0 => {
                    let filter = if text == "~" { "|bounded" } else { "|single" };
                    insert(self.tokens[i - 1].end, filter);
                    insert(self.tokens[self.operand(i + 1)].end, filter);
                }
                "+" if i > 0 => {
                    sums += 1;
                    if sums > 1 {
                        insert(self.tokens[self.operand(i + 1)].end, "|term");
                    }
                }
                "|" if GATHER.contains(&self.word(i + 1)) => {
                    let name = i + 1;
                    let last = if self.word(name + 1) == "(" { self.group(name + 1) } else { name };
                    insert(self.tokens[last].end, "|bounded");
                }
                _ if is_value && i >= first && group > i => {
                    // A filter is no operand of a sign, nor of what follows a value.
                    let operand = matches!(self.word(group + 1), "." | "[" | "(")
                        || matches!(self.before(i, 1), "-" | "+")
                        || self.is_tested(i);
                    if operand {
                        insert(self.tokens[i].start, "(");
                    }
                    insert(self.tokens[group].end, if operand { "|bounded)" } else { "|bounded" });
                }
                _ => {}
            }
        }
        match signs > MAX_CHAIN {
            true => Err(Error::Template(format!("a tag has {signs} operators, more than {MAX_CHAIN}"))),
            false => Ok(()),
        }
    }

    /// The first token behind the names that the tag gives values to, where those may be in brackets.
    fn targets(&self) -> usize {
        match self.word(0) {
            "for" => self.find(1, "in").unwrap_or(1),
            "set" => self.find(1, "=").unwrap_or(1),
            "call" if self.word(1) == "(" => self.group(1) + 1,
            _ => 1,
        }
    }

    /// Whether the bracket `i`, round or square, begins a value: it is no call, no subscript and no name that gets a value.
    fn is_value(&self, i: usize) -> bool {
        let before = self.before(i, 1);
        let ends = |char: char| !char.is_ascii() || char.is_ascii_alphanumeric() || "_)]}\"'".contains(char);
        let keyword = OPERATORS.contains(&before) && self.before(i, 2) != ".";
        let end = self.group(i);
        let told = i == 1 && STATEMENTS.contains(&self.word(0));
        let named = self.word(0) == "with" && self.word(end + 1) == "=" && self.word(end + 2) != "=";
        !named && (!before.ends_with(ends) || keyword || told || (self.word(i) == "[" && self.is_tested(i)))
    }

    /// Whether the token `i` follows the name of a test, `is in [a]`.
    fn is_tested(&self, i: usize) -> bool {
        self.before(i, 2) == "is" || (self.before(i, 2) == "not" && self.before(i, 3) == "is")
    }

    /// The text `back` tokens before the token `i`, "" if there is none.
    fn before(&self, i: usize, back: usize) -> &'a str {
        i.checked_sub(back).map_or("", |i| self.word(i))
    }

    /// The last token of the operand that begins with the token `i`.
    fn operand(&self, mut i: usize) -> usize {
        while matches!(self.word(i), "-" | "+" | "not") {
            i += 1;
        }
        let mut last = self.group(i);
        loop {
            last = match self.word(last + 1) {
                "." => last + 2,
                "|" => last + 2,
                "(" | "[" => self.group(last + 1),
                text if text.starts_with(['"', '\'']) => last + 1,
                _ => return last.min(self.tokens.len() - 1),
            };
        }
    }

    /// The token that closes the bracket `i`; or `i`, if it is none.
    fn group(&self, i: usize) -> usize {
        self.partners.get(i).copied().unwrap_or(i)
    }

    /// Measures what the tag gives names to; makes `generation` a block without effect.
    fn names(&self, edits: &mut Vec<(Range<usize>, String)>) {
        let names = match self.word(0) {
            "generation" => return edits.push((self.tokens[0].clone(), "if true".into())),
            "endgeneration" => return edits.push((self.tokens[0].clone(), "endif".into())),
            "set" => match self.find(1, "=") {
                Some(equals) => self.lists(1..equals),
                None => return,
            },
            "for" => self.find(1, "in").map_or(Vec::new(), |end| self.lists(1..end)),
            "with" => self.lists(1..self.tokens.len()),
            "macro" => self.lists(3..self.group(2)),
            "call" if self.word(1) == "(" => self.lists(2..self.group(1)),
            _ => return,
        };
        let filter = |name: &String| if name.contains('.') { "member" } else { "bounded" };
        let sets = names.iter().map(|name| format!("%}}{{% set {name} = {name}|{} ", filter(name))).collect();
        edits.push((self.close..self.close, sets));
    }

    /// The first token `text` from `i` on, outside of brackets.
    fn find(&self, mut i: usize, text: &str) -> Option<usize> {
        while i < self.tokens.len() {
            if self.word(i) == text {
                return Some(i);
            }
            i = self.group(i) + 1;
        }
        None
    }

    /// The names (with attributes) that begin each piece of a list, `a, b = 1, (c, d)`: a, b, c and d.
    fn lists(&self, range: Range<usize>) -> Vec<String> {
        let mut names = Vec::new();
        let mut expected = true;
        let mut i = range.start;
        while i < range.end.min(self.tokens.len()) {
            let token = self.word(i);
            match token {
                "," => expected = true,
                "(" if expected => {}
                _ if expected && token.bytes().all(word) => {
                    let mut name = token.to_owned();
                    while self.word(i + 1) == "." {
                        name = name + "." + self.word(i + 2);
                        i += 2;
                    }
                    names.push(name);
                    expected = false;
                }
                _ => {
                    expected = false;
                    i = self.group(i);
                }
            }
            i += 1;
        }
        names
    }
}

/// Whether a name or number may have this byte.
fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Bytes of the text, quotes included, that begins at `at`.
fn quoted(bytes: &[u8], at: usize) -> usize {
    let quote = bytes[at];
    let mut end = at + 1;
    while end < bytes.len() && bytes[end] != quote {
        end += 1 + usize::from(bytes[end] == b'\\');
    }
    (end + 1).min(bytes.len()) - at
}

#[cfg(test)]
mod tests {
    use super::edit;

    fn same(source: &str, edited: &str) {
        assert_eq!(edit(source).unwrap(), edited);
    }

    #[test]
    fn values_are_measured_where_they_get_a_name() {
        same("{%- set x = [x, '%}'] -%}a", "{%- set x = [x, '%}']|bounded %}{% set x = x|bounded -%}a");
        same("{% set ns.x = 1 %}", "{% set ns.x = 1 %}{% set ns.x = ns.x|member %}");
        same("{% set x %}a{% endset %}", "{% set x %}a{% endset %}");
        same(
            "{% for k, v in x if v==1 %}",
            "{% for k, v in x if v==1 %}{% set k = k|bounded %}{% set v = v|bounded %}",
        );
        same("{% macro m(a, b=f(c)) %}", "{% macro m(a, b=f(c)) %}{% set a = a|bounded %}{% set b = b|bounded %}");
        same(
            "{% with a = [1, b], c = 2 %}",
            "{% with a = [1, b]|bounded, c = 2 %}{% set a = a|bounded %}{% set c = c|bounded %}",
        );
        same("{% call(a) m() %}", "{% call(a) m() %}{% set a = a|bounded %}");
        same("{%- generation -%}a{% endgeneration %}", "{%- if true -%}a{% endif %}");
        for targets in ["{% set (a, b) = c %}", "{% for (a, b) in c %}", "{% with (a, b) = c %}"] {
            let sets = "{% set a = a|bounded %}{% set b = b|bounded %}";
            same(targets, &format!("{targets}{sets}"));
        }
    }

    #[test]
    fn values_are_measured_where_they_are_made() {
        same("{{ [a]|f }}", "{{ [a]|bounded|f }}");
        same("{{ {'a': (b, c)}.a[0] }}", "{{ ({'a': (b, c)|bounded}|bounded).a[0] }}");
        same("{{ f(a)[0] ~ -(b) }}", "{{ f(a)[0]|bounded ~ -((b)|bounded|bounded) }}");
        same("{{ a in [b] and (c) }}", "{{ a in [b]|bounded and (c)|bounded }}");
        same("{{ a is eq [b] }}", "{{ a is eq ([b]|bounded) }}");
        same("{{ a is not in [b] }}", "{{ a is not in ([b]|bounded) }}");
        same("{% if (a) %}{% elif [b] %}", "{% if (a)|bounded %}{% elif [b]|bounded %}");
        same("{{ a|map('f', b)|list + c|batch(2) }}", "{{ a|map('f', b)|bounded|list + c|batch(2)|bounded }}");
        same("{{ a + b.c + d|f(1) + -e }}", "{{ a + b.c + d|f(1)|term + -e|term }}");
    }

    #[test]
    fn the_source_is_cut_as_minijinja_cuts_it() {
        same("{#}{{ a * b }}#}{% set x = 1 %}", "{#}{{ a * b }}#}{% set x = 1 %}{% set x = x|bounded %}");
        same(
            "{% raw %}{% endrawish %}{{ a * b }}{%- endraw -%}{{ a * b }}",
            "{% raw %}{% endrawish %}{{ a * b }}{%- endraw -%}{{ a|single * b|single }}",
        );
        same("{% raw x %}{{ a * b }}", "{% raw x %}{{ a|single * b|single }}");
    }

    #[test]
    fn brackets_that_do_not_close_take_no_time() {
        for opening in ["{% set ", "{{ "] {
            for piece in ["(", "(~", "[a ~ ("] {
                let _ = edit(&(opening.to_owned() + &piece.repeat(60_000)));
            }
        }
    }

    #[test]
    fn operators_take_measured_values() {
        same("{{ a ~ b.c[1]|f(2) ~ 'é' }}", "{{ a|bounded ~ b.c[1]|f(2)|bounded|bounded ~ 'é'|bounded }}");
        same("{{ 2 * (a + b) - 2**3 }}", "{{ 2|single * (a + b)|single|bounded - 2**3 }}");
        same("{{ -a * -b }}", "{{ -a|single * -b|single }}");
        same("{# a ~ b #}~{% raw %}{{ a ~ b }}{% endraw %}", "{# a ~ b #}~{% raw %}{{ a ~ b }}{% endraw %}");
    }

    #[test]
    fn broken_sources_are_left_to_the_compiler() {
        let long = format!("{{{{ 1{} }}}}", " + 1".repeat(10_000));
        assert_eq!(edit(&long).unwrap_err().code(), "chat_template");
        let branches = format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(2000));
        assert_eq!(edit(&branches).unwrap_err().code(), "chat_template");
        for source in [
            "{{ a ~",
            "{{ ~ }}",
            "{{ ~",
            "{% set",
            "{% for",
            "{% macro",
            "{% call(",
            "{{ 'a",
            "{",
            "{{ a * ( }}",
            "{% with a. %}",
        ] {
            edit(source).unwrap();
        }
    }
}
