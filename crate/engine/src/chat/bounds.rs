//! What a stranger's template may take. Fuel, which minijinja counts for instructions and for bytes of texts, stops loops and
//! texts without end. It does not see how large a list of lists becomes when written out: sixty times `{% set x = [x, x] %}` is
//! 2^60 texts, and a list put into itself again and again is deeper than any stack. So the template's source is edited before
//! it is compiled, such that every value is measured where it is made or gets a name, see `edit`. Only a namespace changes
//! after it was measured; so none may be inside of another value.

use minijinja::value::{Kwargs, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State, Value};

/// Deepest nesting of a value.
const MAX_DEPTH: usize = 150;
/// Values, or 64 bytes of text, in a value with all its parts.
const MAX_SIZE: usize = 1 << 16;
/// Bytes that such a value has at most when written out, about.
pub(super) const MOST_BYTES: usize = MAX_SIZE * 64;
/// Such values for one fuel.
const SIZE_PER_FUEL: usize = 2;
/// Fuel for a value of a sum from the third on, which is measured by itself and not with the others.
const FUEL_PER_TERM: usize = 8;

/// The filter `bounded`: the value, if it is small enough. Slices and sums of lists, which minijinja only notes down, become lists: else
/// a loop could stack them.
pub(super) fn bounded(state: &State, value: Value) -> Result<Value, Error> {
    charged(state, value, 1)
}

/// The filter `term`: the same for a price that keeps sums small.
pub(super) fn term(state: &State, value: Value) -> Result<Value, Error> {
    charged(state, value, FUEL_PER_TERM * SIZE_PER_FUEL)
}

fn charged(state: &State, value: Value, price: usize) -> Result<Value, Error> {
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
    state.consume_fuel(((MAX_SIZE - left) * price / SIZE_PER_FUEL) as u64)?;
    Ok(value)
}

/// The filter `member`: the value, if it is small enough to be part of another and no namespace.
pub(super) fn member(state: &State, value: Value) -> Result<Value, Error> {
    measure(&value, 1, &mut { MAX_SIZE })?;
    bounded(state, value)
}

/// A namespace with what it begins with, measured.
pub(super) fn namespace(state: &State, defaults: Option<ValueOrKwargs>) -> Result<Value, Error> {
    minijinja::functions::namespace(defaults).and_then(|value| bounded(state, value))
}

/// A map of what is given, measured.
pub(super) fn dict(state: &State, value: Option<Value>, with: Kwargs) -> Result<Value, Error> {
    minijinja::functions::dict(value, with).and_then(|value| bounded(state, value))
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
    if depth > 0 && value.as_object().is_some_and(|object| object.type_name().ends_with("Namespace")) {
        return Err(Error::new(ErrorKind::InvalidOperation, "a namespace cannot be part of another value"));
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

#[cfg(test)]
mod tests {
    use super::super::{RenderOptions, Template};

    #[test]
    fn what_is_written_out_in_one_expression_is_measured() {
        const LIST: &str = "{% set x = range(60000)|list %}";
        let commas = |item: &str| format!("{item},").repeat(1500);
        let named = |rest: &str| (0..1500).map(|i| format!("x{i}{rest}")).collect::<String>();
        let hostile = [
            format!("{{% set x = range(60000)|list %}}{{{{ [{}] }}}}", commas("x")),
            format!("{{% set x = range(60000)|list %}}{{{{ [{}]|string }}}}", commas("x")),
            format!("{{{{ [{}] }}}}", "range(9999),".repeat(200)),
            "{% set x = 'a' * 100000 %}{{ range(9999)|tojson(separators=(x, x)) }}".into(),
            "{% set x = 'a' * 100000 %}{{ range(9999)|list|tojson(indent=x) }}".into(),
            "{{ ('{0}' * 20000).format('a' * 100000) }}".into(),
            format!("{LIST}{{{{ [[{}]]|join }}}}", commas("x")),
            format!("{LIST}{{{{ [{}]|upper }}}}", commas("x")),
            format!("{LIST}{{{{ [{}]|list|pprint }}}}", commas("x")),
            format!("{LIST}{{{{ {{(x, {}): 1}}|tojson }}}}", commas("x")),
            format!("{LIST}{{{{ 'a' is startingwith [{}] }}}}", commas("x")),
            format!("{LIST}{{{{ [{}] in 'a' }}}}", commas("x")),
            format!("{LIST}{{{{ -[{}] }}}}", commas("x")),
            format!("{LIST}{{{{ raise_exception([{}]) }}}}", commas("x")),
            format!("{LIST}{{{{ 'a'|replace('a', {}x) }}}}", "x + ".repeat(200)),
            format!("{LIST}{{{{ 'a'|replace('b', range(60000)|map(attribute='z', default=x)) }}}}"),
            format!("{LIST}{{{{ range(1)|batch(60000, x)|upper }}}}"),
            format!("{LIST}{{{{ x|zip({})|list|upper }}}}", commas("x")),
            format!("{LIST}{{{{ [0]|chain([[{}]])|join }}}}", commas("x")),
            format!("{LIST}{{{{ dict({})|upper }}}}", named("=x,")),
            format!("{LIST}{{{{ namespace({})|upper }}}}", named("=x,")),
            format!("{LIST}{{% set d = dict %}}{{{{ d({})|upper }}}}", named("=x,")),
            format!(
                "{LIST}{{% set n = namespace() %}}{{% set l = [{}] %}}{{% set n.x = x %}}{{{{ l|upper }}}}",
                commas("n")
            ),
            format!("{LIST}{{% autoescape [{}]|upper %}}{{% endautoescape %}}", commas("x")),
            format!("{LIST}{{% include [{}]|upper %}}", commas("x")),
            format!("{LIST}{{% import [{}]|upper as y %}}", commas("x")),
            "{% set n = namespace() %}{% set m = namespace() %}{% set n.m = m %}{% set m.n = n %}{{ n|upper }}".into(),
            "{{ ('{0:9999}' * 100000).format(1) }}".into(),
            "{{ ('a' * 1900000)|batch(1) }}".into(),
            "{{ ('a' * 30000000).rsplit('a') }}".into(),
            "{{ ('a' * 30000000).split('a') }}".into(),
            "{{ (' ' * 30000000).split() }}".into(),
            "{{ ('\n' * 30000000)|lines }}".into(),
            "{{ ('a' * 30000000)|split('a') }}".into(),
            "{{ ('a' * 1000000)|trim('b' * 1000000 ~ 'a') }}".into(),
            "{{ ('a' * 1000000).strip('b' * 1000000 ~ 'a') }}".into(),
        ];
        for source in hostile {
            let template = Template::new(&source, String::new(), String::new()).unwrap();
            let start = std::time::Instant::now();
            let rendered = template.render(&[], &RenderOptions::default());
            assert!(rendered.is_err(), "{} bytes of {source:.60}", rendered.unwrap().len());
            assert!(start.elapsed().as_secs() < 10, "{source:.60}");
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
