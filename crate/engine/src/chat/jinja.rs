//! Jinja as Hugging Face's `apply_chat_template` runs it: trimmed blocks, loop controls, Python's methods, `tojson`, `raise_exception`.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error as JinjaError, ErrorKind, State, UndefinedBehavior};

use super::{bounds, edit, json, methods};
use crate::error::{Error, Result};

/// Calls of macros within one another.
const MAX_CALLS: usize = 64;
/// Name of the template in its environment.
const NAME: &str = "chat";

/// Compiles a template.
pub(super) fn compile(source: &str) -> Result<Environment<'static>> {
    let mut environment = Environment::new();
    environment.set_recursion_limit(MAX_CALLS);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(template_error)?;
    environment.set_syntax(syntax);
    environment.set_unknown_method_callback(methods::call);
    // Lists and maps are measured before they are written out: texts are counted already.
    environment.set_formatter(|out, state, value| match value.as_object() {
        Some(_) => Ok(write!(out, "{}", json::python(&bounds::bounded(state, value.clone())?))?),
        None => Ok(write!(out, "{}", json::python(value))?),
    });
    environment.add_filter("string", |state: &State, value: Value| {
        Ok::<_, JinjaError>(json::python(&bounds::bounded(state, value)?).to_string())
    });
    environment.add_filter("tojson", json::tojson);
    environment.add_filter("split", methods::split);
    environment.add_filter("lines", methods::lines);
    environment.add_filter("escape", methods::escape);
    environment.add_filter("e", methods::escape);
    environment.add_filter("batch", methods::batch);
    environment.add_filter("slice", methods::slice);
    environment.add_filter("trim", methods::trim);
    environment.add_filter("bounded", bounds::bounded);
    environment.add_filter("single", bounds::single);
    environment.add_filter("term", bounds::term);
    environment.add_filter("member", bounds::member);
    environment.add_function("dict", bounds::dict);
    environment.add_function("namespace", bounds::namespace);
    // It writes out all that there is.
    environment.remove_global("debug");
    environment.add_function("raise_exception", |what: String| -> Result<String, JinjaError> {
        Err(JinjaError::new(ErrorKind::InvalidOperation, what))
    });
    environment.add_template_owned(NAME, edit::edit(source)?).map_err(template_error)?;
    Ok(environment)
}

/// Renders with so much `fuel`: instructions, and 64 bytes of text each, that a rendering may take.
pub(super) fn render(environment: &Environment<'static>, variables: Value, fuel: u64) -> Result<String> {
    let mut environment = environment.clone();
    environment.set_fuel(Some(fuel));
    environment.get_template(NAME).and_then(|template| template.render(variables)).map_err(template_error)
}

/// What went wrong in words.
pub(super) fn template_error(error: JinjaError) -> Error {
    if error.kind() == ErrorKind::OutOfFuel {
        let what = "it asks for too much: a loop without end, or a text or list without bounds";
        return Error::Template(what.into());
    }
    Error::Template(error.to_string())
}
