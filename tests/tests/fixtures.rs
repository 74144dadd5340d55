//! Tiny models against the logits that `transformers` computed, and whole answers, natively and in headless Chrome.
//! `fixtures/make_models.py` made the files.

use hearth_engine::chat::{Message, Role};
use hearth_engine::generate::{Finish, Options, Session};
use hearth_engine::loader::Device;
use hearth_engine::models;
use hearth_engine::program::Op;
use hearth_engine::sampling::Sampling;
use pollster::block_on;
use tests::{ARCHITECTURES, GEMMA3, LLAMA, one_by_one_error, reference, reference_error};
use wasm_bindgen_test::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

const LLAMA_Q8_0: &[u8] = include_bytes!("../fixtures/tiny-llama-q8_0.gguf");

fn logits_agree(file: &[u8], device: Device, most: f64) {
    let mut session = tests::session(file, device).unwrap();
    let error = block_on(reference_error(&mut session, file));
    assert!(error <= most, "relative error {error:e}, at most {most:e}");
}

#[wasm_bindgen_test(unsupported = test)]
fn every_architecture_gives_the_reference_numbers() {
    for (name, file) in ARCHITECTURES {
        for (device, most) in [(Device::Naive, 1e-4), (Device::cpu(), 2e-2)] {
            let mut session = tests::session(file, device).unwrap_or_else(|error| panic!("{name}: {error}"));
            let error = block_on(reference_error(&mut session, file));
            assert!(error <= most, "{name}: relative error {error:e}, at most {most:e}");
            if !session.config().encoder {
                let error = block_on(one_by_one_error(&mut session, file));
                assert!(error <= most, "{name}, token by token: relative error {error:e}, at most {most:e}");
            }
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_program_says_which_operations_a_layer_has() {
    for (name, file) in ARCHITECTURES {
        let program = models::program(&tests::header(file), usize::MAX).unwrap();
        let layers = program.config.n_caches;
        for count in 0..=layers {
            let (first, rest) = program.ops.split_at(program.ops_of_layers(count));
            let attentions = |ops: &[Op]| ops.iter().filter(|op| matches!(op, Op::Attention { .. })).count();
            assert_eq!((attentions(first), attentions(rest)), (count, layers - count), "{name}");
            // Each layer from its first product on, and the head behind them all.
            let begins = if count < layers { matches!(rest[0], Op::NormLinear { .. }) } else { rest.len() == 1 };
            assert!(begins && matches!(first.last(), Some(Op::Embed { .. } | Op::LinearAdd { .. } | Op::Norm { .. })));
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn llama_gives_the_reference_logits() {
    logits_agree(LLAMA, Device::Naive, 1e-4);
    logits_agree(LLAMA, Device::cpu(), 2e-2);
}

#[wasm_bindgen_test(unsupported = test)]
fn quantized_llama_gives_the_reference_logits() {
    logits_agree(LLAMA_Q8_0, Device::Naive, 1e-4);
    // Rows of a single block: eight-bit activations cost half a percent at each of nine matrices, and nothing averages out.
    logits_agree(LLAMA_Q8_0, Device::cpu(), 4e-2);
}

#[wasm_bindgen_test(unsupported = test)]
fn gemma3_gives_the_reference_logits() {
    logits_agree(GEMMA3, Device::Naive, 1e-4);
    logits_agree(GEMMA3, Device::cpu(), 2e-2);
}

/// The answer's tokens and text.
fn answer(session: &mut Session, prompt: &[u32], options: &Options) -> (Vec<u32>, String, Option<Finish>) {
    session.start(prompt, options.clone()).unwrap();
    let (mut tokens, mut text, mut finish) = (Vec::new(), String::new(), None);
    while let Some(step) = block_on(session.step()).unwrap() {
        tokens.extend(step.token);
        text += &step.text;
        finish = step.finish;
    }
    (tokens, text, finish)
}

#[wasm_bindgen_test(unsupported = test)]
fn a_reused_prefix_changes_nothing() {
    for file in [LLAMA, GEMMA3] {
        let (tokens, _) = reference(file);
        let options = Options { max_tokens: 8, sampling: Sampling::greedy(), ignore_eos: true, ..Options::default() };
        let mut fresh = tests::session(file, Device::cpu()).unwrap();
        let expected = answer(&mut fresh, &tokens[..20], &options);
        let mut used = tests::session(file, Device::cpu()).unwrap();
        answer(&mut used, &tokens[..12], &options);
        assert_eq!(used.start(&tokens[..20], options.clone()).unwrap(), 8, "twelve tokens are cached");
        assert_eq!(answer(&mut used, &tokens[..20], &options).0, expected.0);
        assert_eq!(used.start(&tokens[..20], options.clone()).unwrap(), 1, "all but the last is cached");
        used.stop();
        assert!(block_on(used.step()).unwrap().is_none());
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn guessing_ahead_changes_nothing() {
    for file in [LLAMA, GEMMA3] {
        let (tokens, _) = reference(file);
        // A prompt that repeats itself, so that there is something to guess from.
        let prompt: Vec<u32> = tokens.iter().copied().cycle().take(20).chain(tokens.iter().copied().take(9)).collect();
        for temperature in [0.0, 1.5] {
            let sampling = Sampling { temperature, seed: 5, ..Sampling::default() };
            let options = Options { max_tokens: 30, sampling, ignore_eos: true, ..Options::default() };
            let plain = Options { lookup: false, ..options.clone() };
            let mut session = tests::session(file, Device::cpu()).unwrap();
            let expected = answer(&mut session, &prompt, &plain);
            session.reset();
            assert_eq!(answer(&mut session, &prompt, &options), expected, "temperature {temperature}");
            assert!(temperature > 0.0 || session.guesses().guessed > 0, "nothing was guessed");
            // And the conversation goes on from the right place.
            let next: Vec<u32> = session.tokens().iter().copied().chain([1, 2]).collect();
            let reused = answer(&mut session, &next, &Options { max_tokens: 1, ..plain.clone() });
            session.reset();
            assert_eq!(answer(&mut session, &next, &Options { max_tokens: 1, ..plain }), reused);
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_interrupted_answer_goes_on_elsewhere() {
    let (tokens, _) = reference(LLAMA);
    let sampling = Sampling { temperature: 1.5, seed: 3, ..Sampling::default() };
    let options = Options { max_tokens: 24, sampling, ignore_eos: true, ..Options::default() };
    let mut session = tests::session(LLAMA, Device::cpu()).unwrap();
    let (made, text, _) = answer(&mut session, &tokens[..9], &options);
    // Without a stop text, and with one that has begun at some of the interruptions.
    let middle: String = text.chars().skip(text.chars().count() / 2).take(2).collect();
    assert_eq!(middle.chars().count(), 2);
    let mut plain = Vec::new();
    let mut held = 0;
    for stop in [Vec::new(), vec![middle]] {
        let stops = !stop.is_empty();
        let options = Options { stop, ..options.clone() };
        session.reset();
        let whole = answer(&mut session, &tokens[..9], &options);
        assert_eq!(whole.2, Some(if stops { Finish::Stop } else { Finish::Length }));
        for told in 0..whole.0.len() {
            session.reset();
            session.start(&tokens[..9], options.clone()).unwrap();
            let mut before = String::new();
            while session.tokens().len() < 9 + told {
                before += &block_on(session.step()).unwrap().unwrap().text;
            }
            match stops {
                true => held += usize::from(before.len() < plain[told]),
                false => plain.push(before.len()),
            }
            let prompt: Vec<u32> = tokens[..9].iter().chain(&made[..told]).copied().collect();
            let mut other = tests::session(LLAMA, Device::cpu()).unwrap();
            let (rest, after, finish) = answer(&mut other, &prompt, &Options { resume: told, ..options.clone() });
            assert_eq!(rest, whole.0[told..], "after {told}");
            assert_eq!((before + &after, finish), (whole.1.clone(), whole.2), "after {told}");
        }
    }
    assert!(held > 0, "no interruption fell inside a stop text");
}

#[wasm_bindgen_test(unsupported = test)]
fn saved_tokens_are_read_piece_by_piece() {
    let (tokens, _) = reference(LLAMA);
    let prompt: Vec<u32> = tokens.iter().cycle().take(100).copied().collect();
    let options = Options { max_tokens: 12, ignore_eos: true, ..Options::default() };
    // With room for them: a number behind its key and its type.
    let mut file = LLAMA.to_vec();
    let key = b"llama.context_length";
    let at = file.windows(key.len()).position(|part| part == key).unwrap() + key.len() + 4;
    file[at] = 200;
    let mut session = tests::session(&file, Device::cpu()).unwrap();
    assert_eq!(block_on(session.read()).unwrap(), 0, "there is nothing");
    let (made, ..) = answer(&mut session, &prompt, &options);
    let saved = session.save_tokens();
    let all = [&prompt[..], &made].concat();
    let expected = answer(&mut session, &all, &options);
    let mut other = tests::session(&file, Device::cpu()).unwrap();
    other.restore(&saved).unwrap();
    assert_eq!(other.tokens(), all);
    for left in [47, 0, 0] {
        assert_eq!(block_on(other.read()).unwrap(), left);
    }
    assert_eq!(other.start(&all, options.clone()).unwrap(), 1, "all but the last are cached");
    assert_eq!(answer(&mut other, &all, &options), expected);
    // More than the context holds is not read.
    let mut small = tests::session_within(70, &file, Device::cpu()).unwrap();
    small.restore(&saved).unwrap();
    for left in [5, 0, 0] {
        assert_eq!(block_on(small.read()).unwrap(), left);
    }
}

/// Logits of every fixture, bit for bit, whatever does the work.
#[cfg(not(target_arch = "wasm32"))]
#[test]
fn threads_and_kernels_change_nothing() {
    use hearth_engine::cpu::Kernel;
    use hearth_engine::cpu::team::Team;
    use hearth_engine::executor::Tuning;

    for file in [LLAMA, LLAMA_Q8_0, GEMMA3] {
        let (tokens, _) = reference(file);
        let expected = block_on(tests::session(file, Device::cpu()).unwrap().logits(&tokens)).unwrap();
        for threads in [1, 2, 3, 7] {
            for kernel in Kernel::ALL {
                let mut session = tests::session(file, Device::Cpu(Team::spawn(threads))).unwrap();
                let used = session.apply(&Tuning { kernel: kernel.name().into(), threads });
                assert_eq!((used.kernel.as_str(), used.threads), (kernel.name(), threads));
                assert!(block_on(session.logits(&tokens)).unwrap() == expected, "{threads} threads, {kernel:?}");
            }
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn answers_end_where_they_should() {
    let mut session = tests::session(LLAMA, Device::cpu()).unwrap();
    let greedy = Options { sampling: Sampling::greedy(), ignore_eos: true, max_tokens: 5, ..Options::default() };
    let prompt = session.tokenizer().encode("the hearth").unwrap();
    assert_eq!(prompt[1], 256, "h and e merge");
    let (tokens, text, finish) = answer(&mut session, &prompt, &greedy);
    assert_eq!((tokens.len(), finish), (5, Some(Finish::Length)));

    let first = text.chars().find(char::is_ascii_graphic);
    if let Some(first) = first {
        let stop = Options { stop: vec![first.to_string()], ..greedy.clone() };
        let (_, cut, finish) = answer(&mut session, &prompt, &stop);
        assert_eq!((cut.as_str(), finish), (text.split(first).next().unwrap(), Some(Finish::Stop)));
    }

    let long = Options { max_tokens: 1000, ..greedy };
    let (tokens, _, finish) = answer(&mut session, &prompt, &long);
    assert_eq!((tokens.len() + prompt.len(), finish), (64, Some(Finish::Context)));
}

#[wasm_bindgen_test(unsupported = test)]
fn prompts_that_cannot_be_answered_are_refused_and_nothing_is_lost() {
    let mut session = tests::session(LLAMA, Device::cpu()).unwrap();
    let options = Options { max_tokens: 2, ignore_eos: true, ..Options::default() };
    answer(&mut session, &[1, 2, 3], &options);
    let before = session.tokens().to_vec();
    let mut refused = |prompt: &[u32], options: &Options| session.start(prompt, options.clone()).unwrap_err();
    assert_eq!(refused(&[], &options).code(), "empty_prompt");
    let error = refused(&[1; 64], &options);
    assert_eq!(error.code(), "prompt_too_long");
    assert!(error.to_string().contains("64 tokens"), "{error}");
    assert_eq!(refused(&[999], &options).code(), "invalid_input");
    let hot = Options { sampling: Sampling { temperature: -1.0, ..Sampling::default() }, ..options };
    assert_eq!(refused(&[1], &hot).code(), "invalid_input");
    assert_eq!(session.tokens(), before);
}

#[wasm_bindgen_test(unsupported = test)]
fn the_files_template_makes_the_prompt() {
    let session = tests::session(LLAMA, Device::cpu()).unwrap();
    let turn = |role, text: &str| Message::new(role, text);
    let prompt = session.tokenizer().render(&[turn(Role::System, "Be brief."), turn(Role::User, "Hi")]).unwrap();
    assert_eq!(prompt, "<|system|>Be brief.<|end|><|user|>Hi<|end|><|assistant|>");
    let tokens = session.tokenizer().encode(&prompt).unwrap();
    assert_eq!((tokens[0], *tokens.last().unwrap()), (259, 260));
    assert_eq!(tokens.iter().flat_map(|&token| session.tokenizer().bytes(token)).collect::<Vec<_>>(), b"Be brief.Hi");

    let base = tests::session(GEMMA3, Device::cpu()).unwrap();
    assert!(!base.tokenizer().has_template());
    assert_eq!(base.tokenizer().render(&[turn(Role::User, "a"), turn(Role::Assistant, "b")]).unwrap(), "a\nb");
}
