//! What a stranger's template may take. Fuel, which minijinja counts for instructions and for bytes of texts, stops loops and texts
//! without end. It does not see how large a list of lists becomes when written out: sixty times `{% set x = [x, x] %}` is 2^60 texts, and
//! a list put into itself again and again is deeper than any stack. So the template's source is edited before it is compiled, such that
//! every value is measured where it gets a name, and where an operator would write it out or repeat it:
//!
//! ```text
//! {% set x = [x, x] -%}       →  {% set x = [x, x] %}{% set x = x|bounded -%}        likewise for, with, macro, call
//! a ~ b                       →  a|bounded ~ b|bounded
//! a * b                       →  a|single * b|single                                  texts and numbers only
//! ```
//!
//! Within one expression a value can then only grow by what the source itself writes down. `{% generation %}`, which marks what a model
//! is trained on, becomes a block without effect.

use std::ops::Range;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use crate::error::{self, Error as EngineError};

/// Longest source of a template, in bytes. The longest known ones have some 20 000.
const MAX_SOURCE: usize = 1 << 19;
/// Deepest nesting of a value.
const MAX_DEPTH: usize = 150;
/// Values, or 64 bytes of text, in a value with all its parts.
const MAX_SIZE: usize = 1 << 16;
/// Bytes that such a value has at most when written out, about.
pub(super) const MOST_BYTES: usize = MAX_SIZE * 64;
/// Such values for one fuel.
const SIZE_PER_FUEL: usize = 2;

/// The filter `bounded`: the value, if it is small enough. Slices and sums of lists, which minijinja only notes down, become lists: else
/// a loop could stack them.
pub(super) fn bounded(state: &State, value: Value) -> Result<Value, Error> {
    let mut left = MAX_SIZE;
    let value = match value.kind() {
        ValueKind::Iterable => {
            let item = |item: Result<Value, Error>| item.and_then(|item| measure(&item, 1, &mut left).map(|()| item));
            value.try_iter()?.checked().map(item).collect::<Result<Vec<Value>, Error>>()?.into()
        }
        ValueKind::Seq | ValueKind::Map => {
            measure(&value, 0, &mut left)?;
            value
        }
        _ => return Ok(value),
    };
    state.consume_fuel(((MAX_SIZE - left) / SIZE_PER_FUEL) as u64)?;
    Ok(value)
}

/// The filter `single`: the value, if it is no list and no map.
pub(super) fn single(value: Value) -> Result<Value, Error> {
    match value.as_object() {
        Some(_) => Err(Error::new(ErrorKind::InvalidOperation, "only texts and numbers can be multiplied")),
        None => Ok(value),
    }
}

/// Takes the size of `value` from what is `left`.
fn measure(value: &Value, depth: usize, left: &mut usize) -> Result<(), Error> {
    let size = 1 + value.as_str().map_or(0, str::len) / 64;
    match left.checked_sub(size) {
        Some(rest) if depth <= MAX_DEPTH => *left = rest,
        _ => return Err(Error::new(ErrorKind::OutOfFuel, "a value is too large or nested too deep")),
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter()?.checked().try_for_each(|item| measure(&item?, depth + 1, left))
        }
        ValueKind::Map => value.try_iter()?.checked().try_for_each(|key| {
            let key = key?;
            measure(&key, depth + 1, left)?;
            measure(&value.get_item(&key)?, depth + 1, left)
        }),
        _ => Ok(()),
    }
}

/// The source with its values measured.
pub(super) fn edit(source: &str) -> error::Result<String> {
    if source.len() > MAX_SOURCE {
        let what = format!("its source has {} bytes, more than {MAX_SOURCE}", source.len());
        return Err(EngineError::Template(what));
    }
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut at = 0;
    while let Some(start) = source[at..].find('{').map(|found| at + found) {
        at = match source.as_bytes().get(start + 1) {
            // `{#}` is no whole comment.
            Some(b'#') => source[start + 2..].find("#}").map_or(source.len(), |end| start + end + 4),
            Some(b'{') => {
                let tokens = Tokens::read(source, start + 2, "}}");
                tokens.operators(&mut edits);
                tokens.end
            }
            Some(b'%') => {
                let tokens = Tokens::read(source, start + 2, "%}");
                tokens.operators(&mut edits);
                tokens.names(&mut edits);
                match tokens.tokens.len() {
                    1 if tokens.word(0) == "raw" => end_of_raw(source, tokens.end),
                    _ => tokens.end,
                }
            }
            _ => start + 1,
        };
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

    /// Measures what `~` and `*` work on.
    fn operators(&self, edits: &mut Vec<(Range<usize>, String)>) {
        for i in 1..self.tokens.len() {
            let filter = match self.word(i) {
                "~" => "|bounded",
                "*" => "|single",
                _ => continue,
            };
            for end in [self.tokens[i - 1].end, self.tokens[self.operand(i + 1)].end] {
                edits.push((end..end, filter.into()));
            }
        }
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
        let sets: String = names.iter().map(|name| format!("%}}{{% set {name} = {name}|bounded ")).collect();
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
    use super::super::{RenderOptions, Template};
    use super::edit;

    #[test]
    fn values_are_measured_where_they_get_a_name() {
        let same = |source: &str, edited: &str| assert_eq!(edit(source).unwrap(), edited);
        same("{%- set x = [x, '%}'] -%}a", "{%- set x = [x, '%}'] %}{% set x = x|bounded -%}a");
        same("{% set ns.x = 1 %}", "{% set ns.x = 1 %}{% set ns.x = ns.x|bounded %}");
        same("{% set x %}a{% endset %}", "{% set x %}a{% endset %}");
        same(
            "{% for k, v in x if v==1 %}",
            "{% for k, v in x if v==1 %}{% set k = k|bounded %}{% set v = v|bounded %}",
        );
        same("{% macro m(a, b=f(c)) %}", "{% macro m(a, b=f(c)) %}{% set a = a|bounded %}{% set b = b|bounded %}");
        same(
            "{% with a = [1, b], c = 2 %}",
            "{% with a = [1, b], c = 2 %}{% set a = a|bounded %}{% set c = c|bounded %}",
        );
        same("{% call(a) m() %}", "{% call(a) m() %}{% set a = a|bounded %}");
        same("{%- generation -%}a{% endgeneration %}", "{%- if true -%}a{% endif %}");
    }

    #[test]
    fn the_source_is_cut_as_minijinja_cuts_it() {
        let same = |source: &str, edited: &str| assert_eq!(edit(source).unwrap(), edited);
        same("{#}{{ a * b }}#}{% set x = 1 %}", "{#}{{ a * b }}#}{% set x = 1 %}{% set x = x|bounded %}");
        same(
            "{% raw %}{% endrawish %}{{ a * b }}{%- endraw -%}{{ a * b }}",
            "{% raw %}{% endrawish %}{{ a * b }}{%- endraw -%}{{ a|single * b|single }}",
        );
        same("{% raw x %}{{ a * b }}", "{% raw x %}{{ a|single * b|single }}");
    }

    #[test]
    fn what_is_written_out_in_one_expression_is_measured() {
        let commas = |item: &str| format!("{item},").repeat(3000);
        let hostile = [
            format!("{{% set x = range(60000)|list %}}{{{{ [{}] }}}}", commas("x")),
            format!("{{% set x = range(60000)|list %}}{{{{ [{}]|string }}}}", commas("x")),
            format!("{{{{ [{}] }}}}", commas("range(9999)")),
            "{% set x = 'a' * 100000 %}{{ range(9999)|tojson(separators=(x, x)) }}".into(),
            "{% set x = 'a' * 100000 %}{{ range(9999)|list|tojson(indent=x) }}".into(),
            "{{ ('{0}' * 20000).format('a' * 100000) }}".into(),
        ];
        for source in hostile {
            let template = Template::new(&source, String::new(), String::new()).unwrap();
            let start = std::time::Instant::now();
            let rendered = template.render(&[], &RenderOptions::default());
            assert!(rendered.is_err(), "{} bytes of {source:.60}", rendered.unwrap().len());
            assert!(start.elapsed().as_secs() < 10, "{source:.60}");
        }
    }

    #[test]
    fn brackets_that_do_not_close_take_no_time() {
        for opening in ["{% set ", "{{ "] {
            for piece in ["(", "(~", "[a ~ ("] {
                edit(&(opening.to_owned() + &piece.repeat(60_000))).unwrap();
            }
        }
    }

    #[test]
    fn operators_take_measured_values() {
        let same = |source: &str, edited: &str| assert_eq!(edit(source).unwrap(), edited);
        same("{{ a ~ b.c[1]|f(2) ~ 'é' }}", "{{ a|bounded ~ b.c[1]|f(2)|bounded|bounded ~ 'é'|bounded }}");
        same("{{ 2 * (a + b) - 2**3 }}", "{{ 2|single * (a + b)|single - 2**3 }}");
        same("{{ -a * -b }}", "{{ -a|single * -b|single }}");
        same("{# a ~ b #}~{% raw %}{{ a ~ b }}{% endraw %}", "{# a ~ b #}~{% raw %}{{ a ~ b }}{% endraw %}");
    }

    #[test]
    fn broken_sources_are_left_to_the_compiler() {
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

    /// Renders within a second and some 100 MB, or the test does not come back.
    fn stopped(source: &str) {
        let template = Template::new(source, String::new(), String::new()).unwrap();
        let error = template.render(&[], &RenderOptions::default()).expect_err(source);
        assert_eq!(error.code(), "chat_template", "{source}: {error}");
    }

    #[test]
    fn loops_without_end_are_stopped() {
        stopped(
            "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
        );
        stopped("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
        stopped("{% macro m(x) %}{{ m(x ~ x) }}{{ m(x ~ x) }}{% endmacro %}{{ m('a') }}");
        stopped("{% set x = 'a' * 1000000 %}{% for i in range(99999) %}{% set y = x.count('aab') %}{% endfor %}");
        stopped("{{ range(10**9)|list }}");
    }

    #[test]
    fn texts_without_bounds_are_stopped() {
        stopped("{{ 'a' * 10**9 }}");
        stopped("{{ 10**9 * 'a' }}");
        stopped("{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}");
        stopped("{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}");
        stopped(
            "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = ns.x.replace('a', ns.x) %}{% endfor %}",
        );
        stopped("{% set x = 'a' * 1000000 %}{{ x.replace('a', x) }}");
        stopped("{% set x = 'a' * 1000000 %}{{ x|replace('a', x) }}");
        stopped("{% set x = 'a' * 1000000 %}{{ x.join(['a'] + range(99999)|map('string')|list) }}");
        stopped("{% set x = 'a' * 1000000 %}{{ range(99999)|join(x) }}");
        stopped("{{ '{:>1000000000}'.format('a') }}");
        stopped("{{ '{:>{}}'.format('a', 1000000000) }}");
        stopped("{{ '%1000000000d'|format(1) }}");
        stopped("{{ '%.1000000000f'|format(1) }}");
        stopped("{{ 'a'|indent(10**9, true) }}");
        stopped("{% set x %}{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}{% endset %}");
    }

    #[test]
    fn lists_without_bounds_are_stopped() {
        let grow = |by: &str, then: &str| {
            stopped(&format!(
                "{{% set ns = namespace(x=[1]) %}}{{% for i in range(99) %}}{{% set ns.x = {by} %}}{{% endfor %}}{then}"
            ));
            stopped(&format!(
                "{{% set x = [1] %}}{}{then}",
                format!("{{% set x = {} %}}", by.replace("ns.", "")).repeat(99)
            ));
        };
        for then in ["", "{{ x ~ '' }}"] {
            grow("[ns.x, ns.x]", then);
            grow("{'a': ns.x, 'b': ns.x}", then);
            grow("(ns.x, ns.x)", then);
            grow("ns.x + ns.x", then);
        }
        stopped("{{ ['a' * 10000] * 10**9 ~ '' }}");
        stopped("{{ (10**9 * ['a' * 10000])|string }}");
        stopped(
            "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        );
        stopped(
            "{% set ns = namespace(x=range(99999)) %}{% for i in range(99999) %}{% set ns.x = ns.x[1:] %}{% endfor %}{{ ns.x }}",
        );
        stopped("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}");
        stopped("{% macro m(x) %}{{ m([x, x]) }}{% endmacro %}{{ m(1) }}");
        stopped(
            &("{% for x in [[1]] %}".to_owned()
                + &"{% for x in [[x, x]] %}".repeat(60)
                + "{{ x }}"
                + &"{% endfor %}".repeat(61)),
        );
        stopped(
            &("{% with x = 1 %}".to_owned()
                + &"{% with x = [x, x] %}".repeat(60)
                + "{{ x }}"
                + &"{% endwith %}".repeat(61)),
        );
    }

    #[test]
    fn sources_without_bounds_are_refused() {
        let code = |source: &str| Template::new(source, String::new(), String::new()).map(|_| ()).unwrap_err().code();
        assert_eq!(code(&" ".repeat(1 << 20)), "chat_template");
        assert_eq!(code(&format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000))), "chat_template");
        assert_eq!(code(&"{% if 1 %}".repeat(20_000)), "chat_template");
    }
}
