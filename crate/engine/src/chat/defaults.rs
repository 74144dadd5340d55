//! Templates for files that bring none, by the special tokens of their vocabulary: a family's tokens are only there if its models were
//! trained on them, or on text laid out by them. A file with none of these continues plain text.

/// A family's template.
pub(super) struct Default {
    pub name: &'static str,
    /// Tokens that its vocabulary has.
    tokens: &'static [&'static str],
    pub source: &'static str,
}

/// The first whose tokens are all there is taken; the last has none.
const DEFAULTS: &[Default] = &[
    Default {
        name: "chatml",
        tokens: &["<|im_start|>", "<|im_end|>"],
        source: "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}{% endfor %}\
                 {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    },
    Default {
        name: "llama3",
        tokens: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        source: "{{ bos_token }}{% for m in messages %}\
                 {{ '<|start_header_id|>' ~ m.role ~ '<|end_header_id|>\n\n' ~ m.content|trim ~ '<|eot_id|>' }}{% endfor %}\
                 {% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    },
    Default {
        name: "gemma",
        tokens: &["<start_of_turn>", "<end_of_turn>"],
        source: "{{ bos_token }}{% for m in messages %}\
                 {% if m.role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}\
                 {% set role = 'model' if m.role == 'assistant' else m.role %}\
                 {{ '<start_of_turn>' ~ role ~ '\n' ~ m.content|trim ~ '<end_of_turn>\n' }}{% endfor %}\
                 {% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
    },
    Default {
        name: "phi3",
        tokens: &["<|user|>", "<|assistant|>", "<|end|>"],
        source: "{% for m in messages %}{{ '<|' ~ m.role ~ '|>\n' ~ m.content ~ '<|end|>\n' }}{% endfor %}\
                 {% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
    },
    Default {
        name: "mistral",
        tokens: &["[INST]", "[/INST]"],
        source: "{{ bos_token }}{% for m in messages %}\
                 {% if m.role == 'user' %}{{ '[INST] ' ~ m.content ~ '[/INST]' }}\
                 {% elif m.role == 'assistant' %}{{ ' ' ~ m.content ~ eos_token }}\
                 {% else %}{{ raise_exception('only user and assistant turns') }}{% endif %}{% endfor %}",
    },
    Default {
        name: "plain",
        tokens: &[],
        source: "{% for m in messages %}{{ m.content }}{{ '\n' if not loop.last }}{% endfor %}",
    },
];

/// The template for a vocabulary, whose tokens `has` knows.
pub(super) fn choose(has: impl Fn(&str) -> bool) -> &'static Default {
    let known = DEFAULTS.iter().find(|default| default.tokens.iter().all(|token| has(token)));
    known.unwrap_or(&DEFAULTS[DEFAULTS.len() - 1])
}
