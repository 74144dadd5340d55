//! What a session does beside answering: constraints, log-probabilities, several answers, full contexts, saving.

use std::cell::RefCell;
use std::rc::Rc;

use hearth_engine::constraint::Constraint;
use hearth_engine::embed::Embedding;
use hearth_engine::formats::gguf::{Event, Reader};
use hearth_engine::generate::{Finish, Options, Session, Step};
use hearth_engine::loader::Device;
use hearth_engine::models::Room;
use hearth_engine::sampling::{LogitBias, Sampling};
use hearth_engine::{Error, Result};
use pollster::block_on;
use tests::{ARCHITECTURES, GEMMA3, LLAMA};
use wasm_bindgen_test::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

const PROMPT: [u32; 7] = [1, 40, 77, 12, 5, 90, 33];

fn session(file: &[u8], device: Device, context: usize) -> Session {
    tests::session_within(context, file, device).unwrap()
}

fn steps(session: &mut Session) -> Vec<Step> {
    std::iter::from_fn(|| block_on(session.step()).unwrap()).collect()
}

fn tokens(steps: &[Step]) -> Vec<u32> {
    steps.iter().filter_map(|step| step.token).collect()
}

/// Draws at some heat, and never stops by itself.
fn warm(max_tokens: usize) -> Options {
    let sampling = Sampling { temperature: 1.5, seed: 5, ..Sampling::default() };
    Options { max_tokens, sampling, ignore_eos: true, ..Options::default() }
}

const DEVICES: [&str; 2] = ["naive", "cpu"];

fn device(name: &str) -> Device {
    if name == "naive" { Device::Naive } else { Device::cpu() }
}

/// Lets even and odd tokens through by turns, `left` of them.
struct Turns {
    left: usize,
    words: Vec<u32>,
    taken: Rc<RefCell<Vec<u32>>>,
}

/// Such a constraint for nine tokens; puts what it is told into `taken`.
fn turns(taken: &Rc<RefCell<Vec<u32>>>) -> Option<Box<dyn Constraint>> {
    taken.borrow_mut().clear();
    Some(Box::new(Turns { left: 9, words: vec![0; 8], taken: taken.clone() }))
}

impl Constraint for Turns {
    fn mask(&mut self) -> Result<Option<&[u32]>> {
        let odd = self.taken.borrow().len() % 2 == 1;
        self.words.fill(if odd { 0xaaaa_aaaa } else { 0x5555_5555 });
        Ok(Some(&self.words))
    }

    fn take(&mut self, token: u32) -> Result<()> {
        if token as usize % 2 != self.taken.borrow().len() % 2 {
            return Err(Error::InvalidInput("it is not this one's turn".into()));
        }
        self.taken.borrow_mut().push(token);
        self.left -= 1;
        Ok(())
    }

    fn finished(&self) -> bool {
        self.left == 0
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_constraint_is_asked_before_each_token_and_told_of_it() {
    for name in DEVICES {
        let mut session = session(LLAMA, device(name), 64);
        // A prompt that repeats itself: nothing may be guessed.
        let prompt = [PROMPT, PROMPT].concat();
        let taken = Rc::default();
        session.start_constrained(&prompt, warm(20), turns(&taken)).unwrap();
        let steps = steps(&mut session);
        let made = tokens(&steps);
        assert_eq!(made.len(), 9, "{name}");
        assert_eq!(steps.last().unwrap().finish, Some(Finish::End));
        assert!(made.iter().enumerate().all(|(i, token)| *token as usize % 2 == i % 2), "{made:?}");
        assert_eq!(*taken.borrow(), made);
        assert_eq!(session.guesses().guessed, 0);
        assert!(made.iter().all(|token| *token < 256), "the mask has bits for so many");

        // Interrupted after four and taken up by another session and another constraint.
        let resumed = [&prompt[..], &made[..4]].concat();
        session.reset();
        session.start_constrained(&resumed, Options { resume: 4, ..warm(20) }, turns(&taken)).unwrap();
        assert_eq!(tokens(&self::steps(&mut session)), made[4..], "{name}");
        assert_eq!(*taken.borrow(), made);

        // What it does not let through cannot have been said.
        let before = session.tokens().to_vec();
        let odd = [&prompt[..], &[1]].concat();
        assert!(session.start_constrained(&odd, Options { resume: 1, ..warm(20) }, turns(&taken)).is_err());
        assert_eq!(session.tokens(), before);
    }
}

/// Lets nothing through.
struct Nothing;

impl Constraint for Nothing {
    fn mask(&mut self) -> Result<Option<&[u32]>> {
        Ok(Some(&[0; 9]))
    }

    fn take(&mut self, _: u32) -> Result<()> {
        Ok(())
    }

    fn finished(&self) -> bool {
        false
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_constraint_that_lets_nothing_through_ends_the_answer_with_an_error() {
    for options in [warm(5), Options { sampling: Sampling::greedy(), ..warm(5) }] {
        let mut session = session(LLAMA, Device::cpu(), 64);
        session.start_constrained(&PROMPT, options.clone(), Some(Box::new(Nothing))).unwrap();
        let error = block_on(session.step()).unwrap_err();
        assert_eq!(error.code(), "nothing_allowed");
        assert!(block_on(session.step()).unwrap().is_none());
        // And the conversation is whole.
        session.start(&PROMPT, options.clone()).unwrap();
        let after = steps(&mut session);
        session.reset();
        session.start(&PROMPT, options).unwrap();
        assert_eq!(steps(&mut session), after);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn log_probabilities_are_the_models_whatever_is_done_to_them() {
    for file in [LLAMA, GEMMA3] {
        let mut session = session(file, Device::cpu(), 64);
        let prompt = [PROMPT, PROMPT, PROMPT].concat();
        let bias = LogitBias(vec![(9, 3.0)]);
        // What is always said is easily guessed.
        let always = LogitBias(vec![(9, 1000.0)]);
        for (options, guesses) in [
            (warm(20), false),
            (Options { sampling: Sampling { logit_bias: bias, top_k: 3, ..warm(0).sampling }, ..warm(20) }, false),
            (Options { sampling: Sampling { logit_bias: always, ..Sampling::greedy() }, ..warm(20) }, true),
        ] {
            let options = Options { logprobs: Some(4), ..options };
            session.reset();
            session.start(&prompt, options.clone()).unwrap();
            let steps = steps(&mut session);
            assert!(!guesses || session.guesses().right > 0, "no guess was right");
            let all = session.tokens().to_vec();
            let mut expected: Vec<Vec<f32>> = Vec::new();
            block_on(session.score(&all, |_, logs| expected.push(logs.to_vec()))).unwrap();
            let (mut position, mut told) = (prompt.len() - 1, 0);
            for step in steps.into_iter().filter(|step| step.token.is_some()) {
                let logs = &expected[position];
                let found = step.logprobs.unwrap();
                assert_eq!(Some(found.chosen.id), step.token);
                assert!((found.chosen.logprob - logs[found.chosen.id as usize]).abs() < 1e-4);
                assert_eq!(found.chosen.bytes, session.tokenizer().bytes(found.chosen.id));
                assert_eq!(found.top.len(), 4);
                let mut sorted = logs.clone();
                sorted.sort_by(|a, b| b.total_cmp(a));
                for (top, expected) in found.top.iter().zip(sorted) {
                    assert!((top.logprob - expected).abs() < 1e-4);
                    assert!((logs[top.id as usize] - expected).abs() < 1e-4);
                }
                (position, told) = (position + 1, told + 1);
            }
            assert_eq!(told, 20);
            // Telling changes nothing.
            session.reset();
            session.start(&prompt, Options { logprobs: None, ..options }).unwrap();
            assert_eq!(tokens(&self::steps(&mut session)), all[prompt.len()..]);
        }
        let error = session.start(&PROMPT, Options { logprobs: Some(21), ..warm(1) }).unwrap_err();
        assert_eq!(error.to_string(), "logprobs is 21; it goes from 0 to 20");
        let sampling = Sampling { logit_bias: LogitBias(vec![(9999, 1.0)]), ..Sampling::default() };
        assert_eq!(session.start(&PROMPT, Options { sampling, ..warm(1) }).unwrap_err().code(), "invalid_input");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn several_answers_read_their_prompt_once() {
    let mut session = session(LLAMA, Device::cpu(), 64);
    let seeded = |seed: u64| Options { sampling: Sampling { seed, ..warm(0).sampling }, ..warm(6) };
    let mut all = Vec::new();
    for seed in 0..3 {
        // The next one finds all but the prompt's last token.
        let read = if seed == 0 { PROMPT.len() } else { 1 };
        assert_eq!(session.start(&PROMPT, seeded(seed)).unwrap(), read);
        all.push(tokens(&steps(&mut session)));
    }
    for (seed, made) in all.iter().enumerate() {
        session.reset();
        session.start(&PROMPT, seeded(seed as u64)).unwrap();
        assert_eq!(*made, tokens(&steps(&mut session)), "answer {seed}");
    }
    assert!(all[0] != all[1] && all[1] != all[2]);
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_goes_on_over_several_contexts() {
    for file in [LLAMA, GEMMA3] {
        let mut all = Vec::new();
        for name in DEVICES {
            for sampling in [Sampling::greedy(), warm(0).sampling] {
                let options =
                    Options { sampling: sampling.clone(), shift: true, keep: 3, logprobs: Some(0), ..warm(100) };
                let mut session = session(file, device(name), 32);
                session.start(&PROMPT, options.clone()).unwrap();
                let mut window = PROMPT.to_vec();
                let (mut made, mut shifts, mut text) = (Vec::new(), 0, String::new());
                // The oracle, given the same tokens afresh at every step.
                let mut oracle = self::session(file, Device::Naive, 64);
                while let Some(step) = block_on(session.step()).unwrap() {
                    text += &step.text;
                    let Some(token) = step.token else { continue };
                    if window.len() == 32 {
                        window.drain(3..3 + 14);
                        shifts += 1;
                    }
                    let mut expected = Vec::new();
                    block_on(oracle.score(&window, |_, logs| expected = logs.to_vec())).unwrap();
                    let (found, expected) = (step.logprobs.unwrap().chosen.logprob, expected[token as usize]);
                    let most = if name == "naive" { 1e-4 } else { 0.3 };
                    assert!((found - expected).abs() <= most, "{name}, {}: {found}, not {expected}", made.len());
                    window.push(token);
                    made.push(token);
                    assert_eq!(session.tokens(), window, "{name}");
                }
                assert_eq!((made.len(), shifts), (100, 6));
                let bytes: Vec<u8> = made.iter().flat_map(|&token| session.tokenizer().bytes(token)).collect();
                assert_eq!(text, String::from_utf8_lossy(&bytes));

                // Taken up elsewhere, wherever it was interrupted.
                for told in [1, 25, 26, 50, 99] {
                    let prompt = [&PROMPT[..], &made[..told]].concat();
                    let mut other = self::session(file, device(name), 32);
                    other.start(&prompt, Options { resume: told, ..options.clone() }).unwrap();
                    assert_eq!(tokens(&steps(&mut other)), made[told..], "{name}, after {told}");
                }
                // Noise does not come again where positions do: a stretch is not the one before.
                if sampling.temperature > 0.0 {
                    assert_ne!(made[25..39], made[39..53]);
                }
                all.push(made);
            }
        }
    }
    // Without it, the answer ends as before.
    let mut session = session(LLAMA, Device::cpu(), 32);
    session.start(&PROMPT, warm(100)).unwrap();
    assert_eq!(steps(&mut session).last().unwrap().finish, Some(Finish::Context));
    let long = vec![1; 32];
    assert_eq!(session.start(&long, Options { shift: true, ..warm(1) }).unwrap_err().code(), "prompt_too_long");
    // The smallest context there is.
    let mut tiny = self::session(LLAMA, Device::cpu(), 2);
    tiny.start(&[1], Options { shift: true, ..warm(10) }).unwrap();
    assert_eq!(tokens(&steps(&mut tiny)).len(), 10);
}

/// Log-probabilities too, bit by bit.
fn told(session: &mut Session, more: &[u32]) -> Vec<Step> {
    let prompt = [session.tokens(), more].concat();
    session.start(&prompt, Options { logprobs: Some(3), ..warm(12) }).unwrap();
    steps(session)
}

#[wasm_bindgen_test(unsupported = test)]
fn a_restored_session_goes_on_as_if_it_had_not_been_saved() {
    for file in [LLAMA, GEMMA3] {
        for name in DEVICES {
            let mut session = session(file, device(name), 64);
            session.start(&PROMPT, warm(20)).unwrap();
            steps(&mut session);
            let saved = block_on(session.save()).unwrap();
            let tokens = session.tokens().to_vec();
            let expected = told(&mut session, &[7, 8]);
            for longer in [false, true] {
                // Into a fresh session, and over a longer conversation.
                let mut other = self::session(file, device(name), 64);
                if longer {
                    other.start(&[9; 40], warm(8)).unwrap();
                    steps(&mut other);
                }
                other.restore(&saved).unwrap();
                assert_eq!(other.tokens(), tokens, "{name}");
                assert_eq!(block_on(other.save()).unwrap(), saved, "{name}");
                assert_eq!(
                    other.start(&[&tokens[..], &[7, 8]].concat(), warm(1)).unwrap(),
                    3,
                    "{name}: the rest is cached"
                );
                other.restore(&saved).unwrap();
                assert_eq!(told(&mut other, &[7, 8]), expected, "{name}");
            }
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn another_executor_or_context_reads_the_tokens_again() {
    let mut session = session(LLAMA, Device::cpu(), 64);
    session.start(&PROMPT, warm(20)).unwrap();
    steps(&mut session);
    let saved = block_on(session.save()).unwrap();
    let tokens = session.tokens().to_vec();

    let mut other = self::session(LLAMA, Device::Naive, 64);
    other.restore(&saved).unwrap();
    assert_eq!(other.tokens(), tokens);
    assert_eq!(other.start(&tokens, warm(3)).unwrap(), tokens.len());
    let found = steps(&mut other);
    let mut fresh = self::session(LLAMA, Device::Naive, 64);
    fresh.start(&tokens, warm(3)).unwrap();
    assert_eq!(found, steps(&mut fresh));

    let mut small = self::session(LLAMA, Device::cpu(), 16);
    small.restore(&saved).unwrap();
    assert_eq!(small.start(&tokens, warm(1)).unwrap_err().code(), "prompt_too_long");
    assert_eq!(small.start(&tokens[..15], warm(1)).unwrap(), 15);
}

#[wasm_bindgen_test(unsupported = test)]
fn keys_that_were_turned_otherwise_are_made_again() {
    // A model made for 64 positions that was stretched from 16: its rotations are others in longer contexts.
    let file = ARCHITECTURES.iter().find(|row| row.0 == "phi3-longrope").unwrap().1;
    let open = |room: Room| tests::session_within(room, file, Device::cpu()).unwrap();
    let mut short = open(Room::Asked(16));
    short.start(&PROMPT, warm(5)).unwrap();
    steps(&mut short);
    let saved = block_on(short.save()).unwrap();
    let prompt = [short.tokens(), &[7]].concat();
    for (room, context, read) in [
        (Room::Asked(16), 16, 2),
        (Room::Asked(17), 17, prompt.len()),
        (Room::Asked(999), 64, prompt.len()),
        // Whatever a device has room for, nobody asked for other rotations.
        (Room::Usual(64), 16, 2),
        (Room::Usual(999), 16, 2),
        (Room::Usual(15), 15, 2),
    ] {
        let mut other = open(room);
        assert_eq!(other.context(), context, "{room:?}");
        other.restore(&saved).unwrap();
        assert_eq!(other.start(&prompt, warm(2)).unwrap(), read, "{room:?}");
        let made = tokens(&steps(&mut other));
        let mut fresh = open(room);
        fresh.start(&prompt, warm(2)).unwrap();
        assert_eq!(made, tokens(&steps(&mut fresh)), "{room:?}");
    }
}

/// A vector's numbers for these tokens.
fn embedded(session: &mut Session, tokens: &[u32], truncate: bool) -> Result<Vec<f32>> {
    block_on(session.embed(tokens, &Embedding { truncate, ..Embedding::default() }))
}

#[wasm_bindgen_test(unsupported = test)]
fn a_text_that_is_too_long_is_cut_off_where_that_is_asked_for() {
    let file = ARCHITECTURES.iter().find(|row| row.0 == "bert").unwrap().1;
    let mut session = session(file, Device::cpu(), 16);
    let (text, end) = ((20..50).collect::<Vec<u32>>(), 258);
    assert!(session.tokenizer().is_special(end) && !text.iter().any(|&token| session.tokenizer().is_special(token)));
    let ended = [&text[..], &[end]].concat();
    for tokens in [&text, &ended] {
        assert_eq!(embedded(&mut session, tokens, false).unwrap_err().code(), "prompt_too_long");
    }
    let kept = embedded(&mut session, &text[..16], false).unwrap();
    assert_eq!(embedded(&mut session, &text, true).unwrap(), kept);
    // What ends every text stays.
    let kept = embedded(&mut session, &[&text[..15], &[end]].concat(), false).unwrap();
    assert_eq!(embedded(&mut session, &ended, true).unwrap(), kept);
    // What fits is left alone.
    let short = &text[..16];
    assert_eq!(embedded(&mut session, short, true).unwrap(), embedded(&mut session, short, false).unwrap());
}

#[wasm_bindgen_test(unsupported = test)]
fn what_was_saved_otherwise_is_refused_and_nothing_is_lost() {
    let mut session = session(LLAMA, Device::cpu(), 64);
    session.start(&PROMPT, warm(5)).unwrap();
    steps(&mut session);
    let saved = block_on(session.save()).unwrap();
    let expected = told(&mut session, &[7]);

    session.restore(&saved).unwrap();
    let mut refused = |bytes: &[u8]| session.restore(bytes).unwrap_err().code();
    assert_eq!(refused(&saved[..saved.len() - 1]), "session_truncated");
    assert_eq!(refused(&[]), "session_truncated");
    assert_eq!(refused(LLAMA), "not_a_session");
    for at in [20, 60, saved.len() / 2, saved.len() - 1] {
        let mut flipped = saved.clone();
        flipped[at] ^= 16;
        assert_eq!(refused(&flipped), "session_damaged", "{at}");
    }
    // Another model, and the same one with a single weight or a word of its metadata changed.
    let mut weight = None;
    let find = |event: Event| {
        if let Event::Header(header) = event {
            weight = Some(header.tensors[5].offset as usize);
        }
        Ok(())
    };
    Reader::new().push(LLAMA, find).unwrap();
    // The model's end token.
    let key = b"tokenizer.ggml.eos_token_id";
    let end = LLAMA.windows(key.len()).position(|text| text == key).unwrap() + key.len() + 4;
    for at in [weight.unwrap(), end] {
        let mut file = LLAMA.to_vec();
        file[at] ^= 1;
        let other = block_on(self::session(&file, Device::cpu(), 64).save()).unwrap();
        assert_eq!(refused(&other), "other_model", "{at}");
    }
    let other = block_on(self::session(GEMMA3, Device::cpu(), 64).save()).unwrap();
    assert_eq!(refused(&other), "other_model");
    assert_eq!(told(&mut session, &[7]), expected, "nothing was lost");
}
