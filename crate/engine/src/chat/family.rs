//! The markers that families of models put around what they think and around calls of tools. A model's own are found in its template;
//! where that says nothing of calls, all but the rarest are looked for.

/// Markers around reasoning. It is looked for where an answer begins: later, such a text is just talked about.
pub(super) const REASONING: &[(&str, &str)] = &[
    ("<think>", "</think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("[THINK]", "[/THINK]"),
    ("<reasoning>", "</reasoning>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
];

/// A way of writing calls.
#[derive(Debug, PartialEq, Eq)]
pub struct Format {
    /// What it is called.
    pub name: &'static str,
    /// What begins calls; "" for calls that are JSON and nothing else.
    pub open: &'static str,
    /// What ends them; "" if only the answer's end, or the next `open`, does.
    pub close: &'static str,
    /// A text that only templates of this format have; "" if its `open` says it.
    sign: &'static str,
    /// A call in full, with `NAME` and `ARGUMENTS`, which is a JSON object.
    pub form: &'static str,
}

/// All formats. Of two with the same `open`, the first whose sign is there is taken.
pub(super) const FORMATS: &[Format] = &[
    Format {
        name: "qwen3-coder",
        open: "<tool_call>",
        close: "</tool_call>",
        sign: "<function=",
        form: "<tool_call>\n<function=NAME>\nARGUMENTS\n</function>\n</tool_call>",
    },
    Format {
        name: "hermes",
        open: "<tool_call>",
        close: "</tool_call>",
        sign: "",
        form: "<tool_call>\n{\"name\": \"NAME\", \"arguments\": ARGUMENTS}\n</tool_call>",
    },
    Format {
        name: "function",
        open: "<function=",
        close: "</function>",
        sign: "",
        form: "<function=NAME>ARGUMENTS</function>",
    },
    Format {
        name: "mistral-args",
        open: "[TOOL_CALLS]",
        close: "",
        sign: "[ARGS]",
        form: "[TOOL_CALLS]NAME[ARGS]ARGUMENTS",
    },
    Format {
        name: "mistral",
        open: "[TOOL_CALLS]",
        close: "",
        sign: "",
        form: "[TOOL_CALLS][{\"name\": \"NAME\", \"arguments\": ARGUMENTS}]",
    },
    Format {
        name: "phi-4",
        open: "<|tool_call|>",
        close: "<|/tool_call|>",
        sign: "<|/tool_call|>",
        form: "<|tool_call|>[{\"name\": \"NAME\", \"arguments\": ARGUMENTS}]<|/tool_call|>",
    },
    Format {
        name: "granite",
        open: "<|tool_call|>",
        close: "",
        sign: "",
        form: "<|tool_call|>[{\"name\": \"NAME\", \"arguments\": ARGUMENTS}]",
    },
    Format {
        name: "lfm",
        open: "<|tool_call_start|>",
        close: "<|tool_call_end|>",
        sign: "",
        form: "<|tool_call_start|>[{\"name\": \"NAME\", \"arguments\": ARGUMENTS}]<|tool_call_end|>",
    },
    Format {
        name: "command",
        open: "<|START_ACTION|>",
        close: "<|END_ACTION|>",
        sign: "",
        form: "<|START_ACTION|>[{\"tool_name\": \"NAME\", \"parameters\": ARGUMENTS}]<|END_ACTION|>",
    },
    Format {
        name: "deepseek",
        open: "<｜tool▁calls▁begin｜>",
        close: "<｜tool▁calls▁end｜>",
        sign: "",
        form: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\nARGUMENTS\n```<｜tool▁call▁end｜>\
               <｜tool▁calls▁end｜>",
    },
    Format {
        name: "fenced",
        open: "```tool_code\n",
        close: "```",
        sign: "",
        form: "```tool_code\n{\"name\": \"NAME\", \"arguments\": ARGUMENTS}\n```",
    },
    Format { name: "code", open: "<code>", close: "</code>", sign: "", form: "<code>NAME(**ARGUMENTS)</code>" },
    Format {
        name: "python-tag",
        open: "<|python_tag|>",
        close: "",
        sign: "",
        form: "{\"name\": \"NAME\", \"parameters\": ARGUMENTS}",
    },
    Format {
        name: "json",
        open: "",
        close: "",
        sign: "\"parameters\":",
        form: "{\"name\": \"NAME\", \"parameters\": ARGUMENTS}",
    },
];

/// Formats to look for where the template has none: what models write that were taught by prompts.
const COMMON: &[&str] = &["hermes", "fenced", "python-tag", "json"];

/// What a model writes around reasoning and calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Formats of calls to look for; the first is the one to write.
    pub formats: Vec<&'static Format>,
    /// Names of calls must have nine letters or digits: Mistral's templates refuse others.
    pub short_ids: bool,
}

impl Family {
    /// The family of a template.
    pub fn of(source: &str) -> Family {
        let mut formats: Vec<&'static Format> = Vec::new();
        for format in FORMATS {
            let sign = if format.sign.is_empty() { format.open.trim_end() } else { format.sign };
            let taken = formats.iter().any(|known| known.open == format.open);
            if !taken && source.contains(sign) && source.contains(format.open.trim_end()) {
                formats.push(format);
            }
        }
        // Llama's template has python-tag and json; the second is what it asks for.
        if formats.is_empty() {
            formats = FORMATS.iter().filter(|format| COMMON.contains(&format.name)).collect();
        }
        Family { formats, short_ids: source.contains("|length != 9") || source.contains("| length != 9") }
    }
}

/// Whether a control token's text matters to who reads an answer: markers do.
pub fn is_marker(text: &str) -> bool {
    let reasoning = REASONING.iter().flat_map(|(open, close)| [*open, *close]);
    let calls = FORMATS.iter().flat_map(|format| [format.open, format.close]);
    let inner = ["[ARGS]", "[CALL_ID]", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"];
    !text.is_empty() && reasoning.chain(calls).chain(inner).any(|marker| marker == text)
}

#[cfg(test)]
mod tests {
    use super::super::tests::template;
    use super::*;

    #[test]
    fn templates_tell_their_formats() {
        let names = |name: &str| template(name).family().formats.iter().map(|format| format.name).collect::<Vec<_>>();
        assert_eq!(names("qwen2.5"), ["hermes"]);
        assert_eq!(names("qwen3"), ["hermes"]);
        assert_eq!(names("qwen3-coder"), ["qwen3-coder", "function"]);
        assert_eq!(names("mistral-nemo"), ["mistral"]);
        assert_eq!(names("mistral-small-3.2"), ["mistral-args"]);
        assert_eq!(names("granite-3.3"), ["granite"]);
        assert_eq!(names("deepseek-r1-distill-qwen"), ["deepseek"]);
        assert_eq!(names("llama-like"), ["json"]);
        assert_eq!(names("smollm2"), COMMON);
        assert!(template("mistral-nemo").family().short_ids && !template("qwen3").family().short_ids);
    }

    #[test]
    fn markers_are_known() {
        assert!(["<think>", "[TOOL_CALLS]", "<|/tool_call|>", "[ARGS]"].into_iter().all(is_marker));
        assert!(!["", "</s>", "<|im_end|>", "[INST]"].into_iter().any(is_marker));
    }
}
