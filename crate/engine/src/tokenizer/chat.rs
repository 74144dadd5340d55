//! The model's own chat template: Jinja as Hugging Face's `apply_chat_template` runs it (trimmed blocks, Python string
//! methods, `raise_exception`).

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind, context};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The text.
    pub content: String,
}

/// Instructions a rendering may take: far more than any conversation that fits a context needs.
const FUEL: u64 = 10_000_000;

/// A compiled template.
pub struct Template {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl Template {
    /// Compiles `source`; `bos` and `eos` are the texts of these tokens.
    pub fn new(source: &str, bos: String, eos: String) -> Result<Template> {
        let mut environment = Environment::new();
        // A template comes from a stranger: loops without end run out of fuel.
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(100);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(template_error)?;
        environment.set_syntax(syntax);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |what: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, what))
        });
        environment.add_template_owned("chat", source.to_owned()).map_err(template_error)?;
        Ok(Template { environment, bos, eos })
    }

    /// The conversation as one prompt, ready for the answer.
    pub fn render(&self, messages: &[Message]) -> Result<String> {
        let template = self.environment.get_template("chat").map_err(template_error)?;
        let (bos_token, eos_token) = (&self.bos, &self.eos);
        let messages = Value::from(Serde(messages));
        template
            .render(context! {
                messages, bos_token, eos_token, add_generation_prompt => true, tools => (), documents => ()
            })
            .map_err(template_error)
    }
}

fn template_error(error: minijinja::Error) -> Error {
    Error::Template(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_trimmed_and_python_methods_work() {
        let source = "{% for m in messages %}\n  {% if m['role'] == 'user' %}\n{{ bos_token + m['content'].strip() }}\
                      {% endif %}\n{% endfor %}{% if add_generation_prompt %}{{ '>' }}{% endif %}";
        let template = Template::new(source, "<s>".into(), String::new()).unwrap();
        let messages = [Message { role: "user".into(), content: " hi ".into() }];
        assert_eq!(template.render(&messages).unwrap(), "<s>hi>");
    }

    #[test]
    fn endless_loops_run_out_of_fuel() {
        let source = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}";
        let template = Template::new(source, String::new(), String::new()).unwrap();
        assert_eq!(template.render(&[]).unwrap_err().code(), "chat_template");
    }

    #[test]
    fn loops_can_break_and_tools_are_none() {
        let source = "{% for m in [1, 2] %}{{ m }}{% break %}{% endfor %}{% if tools is not none %}tools{% endif %}";
        assert_eq!(Template::new(source, String::new(), String::new()).unwrap().render(&[]).unwrap(), "1");
    }

    #[test]
    fn a_template_can_refuse() {
        let template = Template::new("{{ raise_exception('no system turn') }}", String::new(), String::new()).unwrap();
        assert!(template.render(&[]).unwrap_err().to_string().contains("no system turn"));
    }
}
