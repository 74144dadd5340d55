//! The GPU against the oracle, on whatever adapter there is, natively and in browsers.

use hearth_engine::embed::Embedding;
use hearth_engine::executor::{Executor, Logits};
use hearth_engine::generate::{Options, Session, Step};
use hearth_engine::loader::Device;
use hearth_engine::program::Pooling;
use hearth_engine::quant::Format;
use hearth_engine::sampling::{LogitBias, Sampler, Sampling};
use hearth_gpu::{CacheFormat, Gpu, GpuExecutor, Kernels, Product};
use tests::files::{self, folder};
use tests::made::{Made, Shape, made};
use tests::{ARCHITECTURES, one_by_one_error, reference_error, relative_error};
use wasm_bindgen_test::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// Milliseconds.
fn clock() -> f64 {
    #[cfg(target_arch = "wasm32")]
    return js_sys::Date::now();
    #[cfg(not(target_arch = "wasm32"))]
    return std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() * 1e3;
}

fn executor(gpu: &Gpu, made: &Made, context: usize, cache: CacheFormat) -> GpuExecutor {
    let mut program = made.program.clone();
    program.config.context = context;
    let mut executor = GpuExecutor::new(gpu.clone(), program, cache).unwrap();
    for (id, bytes) in made.bytes.iter().enumerate() {
        executor.load_rows(id, 0, bytes).unwrap();
    }
    executor
}

/// Runs of several tokens, then single ones, then again several: all logits against the oracle's.
async fn agrees(gpu: &Gpu, shape: &Shape, cache: CacheFormat, most: f64) {
    let made = made(shape);
    let vocab = shape.sizes[2] as u32;
    let tokens: Vec<u32> = (0..90).map(|i| (i * 7 + i * i) % vocab).collect();
    let expected = made.naive(&tokens);
    let mut executor = executor(gpu, &made, 100, cache);
    let mut at = 0;
    for (count, logits) in [
        (3, Logits::All),
        (1, Logits::All),
        (1, Logits::Last),
        (70, Logits::Last),
        (1, Logits::Last),
        (14, Logits::All),
    ] {
        let found = executor.forward(&tokens[at..at + count], logits).await.unwrap();
        at += count;
        let last = at * vocab as usize;
        let error = relative_error(found, &expected[last - found.len()..last]);
        assert!(error <= most, "{shape:?}, {count} tokens up to {at}: relative error {error:e}");
    }
}

/// How far logits of two layers may be off where products are made like this: about twice what they are.
fn most_off(product: Product) -> f64 {
    match product {
        Product::F32 | Product::Codes => 1e-4,
        Product::F16 => 4e-3,
        Product::Bytes => 5e-2,
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn every_format_agrees_with_the_oracle() {
    let gpu = Gpu::open().await.unwrap();
    let products = [Product::F32, Product::Codes, Product::Bytes, Product::F16];
    for (i, format) in Format::all().enumerate() {
        let sizes = if format.block_len() == 256 { [256, 512, 37] } else { [96, 160, 37] };
        let heads = if format.block_len() == 256 { [8, 2, 32] } else { [6, 2, 16] };
        for (j, &product) in products.iter().enumerate() {
            // Codes, and bytes, are only those of quantized formats; how a format is read makes no difference to f16. A browser
            // compiles shaders slowly on the CPU: there each format is seen in one way.
            let float = matches!(format, Format::F32 | Format::F16 | Format::BF16);
            let seen = match cfg!(target_arch = "wasm32") {
                true => j == if float { 0 } else { [2, 1, 0][i % 3] },
                false => j == 0 || (j < 3 && !float) || (j == 3 && i % 4 == 3),
            };
            let kernels = Kernels { matvec: product, matmul: product, subgroups: (i / 4 + j) % 2 == 0 };
            if seen {
                // Cards have workgroups of their own shape.
                let mut gpu = gpu.clone().with(kernels);
                gpu.software &= (i + j / 2) % 2 == 0;
                let shape = Shape { format, sizes, heads, gemma: (i + j).is_multiple_of(2), layers: 2 };
                agrees(&gpu, &shape, CacheFormat::F32, most_off(product)).await;
            }
        }
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn every_architecture_gives_the_reference_numbers() {
    let gpu = Gpu::open().await.unwrap();
    for (i, (name, file)) in ARCHITECTURES.iter().enumerate() {
        // A browser compiles shaders slowly on the CPU: there are norms of both kinds, caps, learned positions and biases in these.
        if cfg!(target_arch = "wasm32") && !["gemma2", "gpt2", "bert-mlm"].contains(name) {
            continue;
        }
        let kernels = Kernels { matvec: Product::F32, matmul: Product::F32, subgroups: i % 2 == 0 };
        let device = gpu.clone().with(kernels).device();
        let mut session = tests::session_within(64, file, device).unwrap_or_else(|error| panic!("{name}: {error}"));
        let error = reference_error(&mut session, file).await;
        // Keys and values are kept in 16 bits.
        assert!(error <= 1e-3, "{name}: relative error {error:e}");
        if !session.config().encoder {
            let error = one_by_one_error(&mut session, file).await;
            assert!(error <= 1e-3, "{name}, token by token: relative error {error:e}");
        }
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn rows_longer_than_a_workgroup_keeps_agree() {
    let gpu = Gpu::open().await.unwrap();
    // 67 blocks of activations, and 71.
    for (format, gemma) in [(Format::Q4_0, false), (Format::Q8_0, true)] {
        let shape = Shape { format, sizes: [2144, 2272, 37], heads: [2, 1, 32], gemma, layers: 1 };
        for product in [Product::F32, Product::Bytes] {
            if cfg!(target_arch = "wasm32") && gemma != (product == Product::F32) {
                continue;
            }
            let mut gpu = gpu.clone().with(Kernels { matvec: product, matmul: product, subgroups: false });
            gpu.software &= gemma;
            agrees(&gpu, &shape, CacheFormat::F32, most_off(product)).await;
        }
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn kernels_are_chosen_that_the_adapter_offers() {
    let mut gpu = Gpu::open().await.unwrap();
    let kernels = gpu.tune(clock).await.unwrap();
    assert_eq!(gpu.kernels(), kernels);
    assert_eq!(kernels.within(gpu.offers), kernels);
    let shape = Shape { format: Format::Q4_0, sizes: [96, 160, 37], heads: [6, 2, 16], gemma: false, layers: 2 };
    agrees(&gpu, &shape, CacheFormat::F32, most_off(Product::Bytes)).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_long_context_is_split_and_a_token_takes_few_dispatches() {
    let gpu = Gpu::open().await.unwrap();
    let sizes = [64, 96, 37];
    let shape = Shape { format: Format::Q8_0, sizes, heads: [2, 1, 32], gemma: true, layers: 2 };
    let made = made(&shape);
    let tokens: Vec<u32> = (0..2060).map(|i| (i * 7 + i / 9) % 37).collect();
    let expected = made.naive(&tokens);
    let mut executor = executor(&gpu, &made, 4096, CacheFormat::F16);
    assert!(executor.dispatches() <= 6 * shape.layers + 4, "{}", executor.dispatches());
    let mut at = 0;
    // On either side of where attention is split further.
    for border in [511, 2047] {
        executor.forward(&tokens[at..border], Logits::None).await.unwrap();
        for last in border..border + 3 {
            let found = executor.forward(&tokens[last..last + 1], Logits::Last).await.unwrap();
            let error = relative_error(found, &expected[last * 37..(last + 1) * 37]);
            assert!(error <= 2e-3, "position {last}: relative error {error:e}");
        }
        at = border + 3;
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn tokens_are_chosen_as_the_sampler_chooses_them() {
    let gpu = Gpu::open().await.unwrap();
    // Three chunks of logits, the last one not full.
    let shape = Shape { format: Format::F32, sizes: [64, 96, 2500], heads: [2, 1, 32], gemma: false, layers: 1 };
    let made = made(&shape);
    let mut executor = executor(&gpu, &made, 200, CacheFormat::F32);
    let all = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..Sampling::greedy() };
    let penalised = Sampling { repetition_penalty: 1.5, repetition_window: 100, ..Sampling::greedy() };
    for (i, sampling) in [
        Sampling::greedy(),
        Sampling { repetition_penalty: 3.0, repetition_window: 3, ..Sampling::greedy() },
        penalised.clone(),
        Sampling::default(),
        Sampling { temperature: 2.0, top_k: 5, ..all.clone() },
        Sampling { top_k: 1, ..all.clone() },
        Sampling { top_p: 0.6, ..all.clone() },
        Sampling { top_p: 0.0, ..all.clone() },
        Sampling { top_k: 50, top_p: 0.5, min_p: 0.2, seed: 1 << 40, ..all.clone() },
        Sampling { min_p: 0.3, temperature: 1.5, ..penalised },
        Sampling { top_k: 2499, ..all.clone() },
        all,
    ]
    .into_iter()
    .enumerate()
    {
        executor.truncate(0);
        let mut tokens: Vec<u32> = (0..80).map(|t| (t * 7 + t * t + i as u32) % 2500).collect();
        for left in (0..40).rev() {
            let new = tokens[executor.cached()..].to_vec();
            tokens.push(executor.choose(&new, &sampling, left).unwrap().await.unwrap());
        }
        executor.truncate(0);
        let logits = executor.forward(&tokens, Logits::All).await.unwrap();
        let mut sampler = Sampler::new(sampling.clone());
        let expected: Vec<u32> =
            (80..120).map(|t| sampler.sample(&logits[(t - 1) * 2500..t * 2500], &tokens[..t], None).unwrap()).collect();
        assert_eq!(tokens[80..], expected, "{sampling:?}");
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn tokens_under_way_that_nobody_wants_are_forgotten() {
    let gpu = Gpu::open().await.unwrap();
    let shape = Shape { format: Format::Q8_0, sizes: [64, 96, 300], heads: [2, 1, 32], gemma: false, layers: 1 };
    let made = made(&shape);
    let mut executor = executor(&gpu, &made, 64, CacheFormat::F32);
    let sampling = Sampling { temperature: 1.5, ..Sampling::default() };
    let mut answer = async |prompt: &[u32], kept: usize, count: usize, left: usize| {
        executor.truncate(kept);
        let mut tokens = prompt.to_vec();
        for made in 0..count {
            let new = tokens[executor.cached()..].to_vec();
            tokens.push(executor.choose(&new, &sampling, left - made).unwrap().await.unwrap());
        }
        tokens
    };
    let prompt: Vec<u32> = (0..9).collect();
    let whole = answer(&prompt, 0, 30, 29).await;
    // Stopped after four with more under way, then asked again, then something else, then up to the context's end.
    assert_eq!(answer(&prompt, 0, 4, 20).await, whole[..13]);
    assert_eq!(answer(&prompt, 8, 12, 20).await, whole[..21]);
    assert_eq!(answer(&whole[..11], 10, 3, 50).await, whole[..14]);
    // The token that was given last, now in another place.
    let again = answer(&whole[13..14], 0, 3, 50).await;
    assert_ne!(again[1..], whole[14..17]);
    assert_eq!(answer(&whole[13..14], 0, 3, 50).await, again);
    assert_eq!(answer(&whole, 0, 26, 100).await.len(), 65);
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_trial_says_the_same_as_the_oracles() {
    let gpu = Gpu::open().await.unwrap();
    let clock = || 0.0;
    // Decoders, and encoders, whose hidden states are compared: with a head for words and without.
    let encoders = ARCHITECTURES.iter().filter(|row| row.0.starts_with("bert")).map(|row| row.1);
    for file in [tests::LLAMA, tests::GEMMA3].into_iter().chain(encoders) {
        let expected = tests::session(file, Device::Naive).unwrap().trial(clock).await.unwrap();
        let mut session = tests::session_within(64, file, gpu.clone().device()).unwrap();
        let found = session.trial(clock).await.unwrap();
        if session.config().encoder {
            assert_eq!(found.logits.len(), 40 * session.config().dim);
        }
        let error = relative_error(&found.logits, &expected.logits);
        assert!(error <= 2e-3, "relative error {error:e}");
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn an_encoder_with_the_other_gelu_agrees() {
    let gpu = Gpu::open().await.unwrap();
    let gpu = gpu.with(Kernels { matvec: Product::F32, matmul: Product::F32, subgroups: false });
    let files = folder("tiny-bert-mlm-tanh-f16");
    let tokens: Vec<u32> = (20..50).collect();
    let expected = files::session(&files, Device::Naive, 1 << 20).unwrap().logits(&tokens).await.unwrap();
    let exact = |program| Ok(Box::new(GpuExecutor::new(gpu, program, CacheFormat::F32)?) as Box<dyn Executor>);
    let mut session = files::session(&files, Device::Other(Box::new(exact)), 1 << 20).unwrap();
    let error = relative_error(&session.logits(&tokens).await.unwrap(), &expected);
    // The two are not far apart.
    assert!(error <= 1e-5, "relative error {error:e}");
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn vectors_of_texts_are_the_oracles() {
    let gpu = Gpu::open().await.unwrap();
    let file = ARCHITECTURES.iter().find(|row| row.0 == "bert").unwrap().1;
    let mut oracle = tests::session_within(16, file, Device::Naive).unwrap();
    let mut session = tests::session_within(16, file, gpu.device()).unwrap();
    let tokens: Vec<u32> = (20..50).collect();
    for pooling in [Pooling::Mean, Pooling::Cls, Pooling::Last] {
        let how = Embedding { pooling: Some(pooling), truncate: true, ..Embedding::default() };
        let expected = oracle.embed(&tokens, &how).await.unwrap();
        let error = relative_error(&session.embed(&tokens, &how).await.unwrap(), &expected);
        assert!(error <= 1e-3, "{pooling:?}: relative error {error:e}");
    }
}

/// Every step of an answer.
async fn steps(session: &mut Session) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some(step) = session.step().await.unwrap() {
        steps.push(step);
    }
    steps
}

fn warm(max_tokens: usize) -> Options {
    let sampling = Sampling { temperature: 1.5, seed: 5, ..Sampling::default() };
    Options { max_tokens, sampling, ignore_eos: true, ..Options::default() }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn what_the_gpu_cannot_choose_comes_back_as_logits() {
    let gpu = Gpu::open().await.unwrap();
    for file in [tests::LLAMA, tests::GEMMA3] {
        let prompt = [1, 40, 77, 12, 5, 1, 40, 77];
        let mut session = tests::session_within(64, file, gpu.clone().device()).unwrap();
        session.start(&prompt, warm(30)).unwrap();
        let chosen = steps(&mut session).await;
        // The same tokens, chosen here, with what the oracle thinks of them; some of them were guessed.
        let options = Options { logprobs: Some(2), ..warm(30) };
        session.reset();
        session.start(&prompt, options).unwrap();
        let told = steps(&mut session).await;
        let tokens = |steps: &[Step]| steps.iter().map(|step| step.token).collect::<Vec<_>>();
        assert_eq!(tokens(&told), tokens(&chosen));
        let mut expected = Vec::new();
        let mut oracle = tests::session(file, Device::Naive).unwrap();
        oracle.score(session.tokens(), |_, logs| expected.push(logs.to_vec())).await.unwrap();
        for (step, logs) in told.iter().zip(&expected[prompt.len() - 1..]) {
            let Some(logprobs) = &step.logprobs else { continue };
            for found in [&logprobs.chosen, &logprobs.top[0], &logprobs.top[1]] {
                let expected = logs[found.id as usize];
                assert!((found.logprob - expected).abs() < 2e-2, "{}, not {expected}", found.logprob);
            }
        }
        // Where nothing is left but one token, there is nothing to choose.
        let sampling = Sampling { logit_bias: LogitBias(vec![(9, 1000.0)]), ..warm(0).sampling };
        session.start(&prompt, Options { sampling, ..warm(5) }).unwrap();
        assert_eq!(tokens(&steps(&mut session).await)[..5], [Some(9); 5]);
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn an_answer_on_the_gpu_goes_on_over_several_contexts() {
    let gpu = Gpu::open().await.unwrap();
    let prompt = [1, 40, 77, 12, 5, 1, 40, 77];
    let options = Options { shift: true, ..warm(200) };
    let mut session = tests::session_within(64, tests::LLAMA, gpu.clone().device()).unwrap();
    session.start(&prompt, options.clone()).unwrap();
    let mut window = prompt.to_vec();
    let (mut made, mut shifts) = (Vec::new(), 0);
    while let Some(step) = session.step().await.unwrap() {
        let Some(token) = step.token else { continue };
        if window.len() == 64 {
            window.drain(4..34);
            shifts += 1;
        }
        window.push(token);
        made.push(token);
        assert_eq!(session.tokens(), window);
    }
    assert_eq!((made.len(), shifts), (200, 5));
    // A fresh session of what is left after a shift says the same, and so one taken up in the middle.
    let mut other = tests::session_within(64, tests::LLAMA, gpu.clone().device()).unwrap();
    for told in [57, 100, 150] {
        other.reset();
        let prompt = [&prompt[..], &made[..told]].concat();
        other.start(&prompt, Options { resume: told, ..options.clone() }).unwrap();
        let rest: Vec<u32> = steps(&mut other).await.into_iter().filter_map(|step| step.token).collect();
        assert_eq!(rest, made[told..], "after {told}");
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_session_saved_on_the_gpu_goes_on_there_and_elsewhere() {
    let gpu = Gpu::open().await.unwrap();
    for file in [tests::LLAMA, tests::GEMMA3] {
        let mut session = tests::session_within(64, file, gpu.clone().device()).unwrap();
        assert!(!session.save().await.unwrap().is_empty(), "an empty one");
        session.start(&[1, 40, 77, 12, 5], warm(20)).unwrap();
        steps(&mut session).await;
        let saved = session.save().await.unwrap();
        let prompt = [session.tokens(), &[7, 8]].concat();
        // Each compiles its shaders, which is slow on the CPU.
        let mut other = tests::session_within(64, file, gpu.clone().device()).unwrap();
        let mut never = tests::session_within(64, file, gpu.clone().device()).unwrap();
        // Told, where every bit of a logit counts, and chosen by the GPU, which penalises tokens that it must have been told of.
        for options in [Options { logprobs: Some(3), ..warm(12) }, warm(12)] {
            session.restore(&saved).unwrap();
            session.start(&prompt, options.clone()).unwrap();
            let expected = steps(&mut session).await;
            other.restore(&saved).unwrap();
            assert_eq!(other.save().await.unwrap(), saved);
            assert_eq!(other.start(&prompt, options.clone()).unwrap(), 3, "the rest is cached");
            assert_eq!(steps(&mut other).await, expected);
            // As a session that was never saved.
            never.reset();
            never.start(&[1, 40, 77, 12, 5], warm(20)).unwrap();
            steps(&mut never).await;
            never.start(&prompt, options).unwrap();
            assert_eq!(steps(&mut never).await, expected);
        }
        let mut cpu = tests::session(file, Device::cpu()).unwrap();
        cpu.restore(&saved).unwrap();
        assert_eq!(cpu.start(&prompt, warm(3)).unwrap(), prompt.len(), "all is read again");
    }
}
