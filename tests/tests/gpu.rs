//! The GPU against the oracle, on whatever adapter there is, natively and in browsers.

use hearth_engine::executor::{Executor, Logits};
use hearth_engine::quant::Format;
use hearth_gpu::{CacheFormat, Gpu, GpuExecutor};
use tests::made::{Made, Shape, made};
use tests::relative_error;
use wasm_bindgen_test::*;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

fn executor(gpu: &Gpu, made: &Made, context: usize, cache: CacheFormat) -> GpuExecutor {
    let mut executor = GpuExecutor::new(gpu.clone(), made.program.clone(), context, cache).unwrap();
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

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn every_format_agrees_with_the_oracle() {
    let gpu = Gpu::open().await.unwrap();
    for (i, format) in Format::all().enumerate() {
        let sizes = if format.block_len() == 256 { [256, 512, 37] } else { [96, 160, 37] };
        let heads = if format.block_len() == 256 { [8, 2, 32] } else { [6, 2, 16] };
        // A browser compiles shaders slowly on the CPU: there each format is seen in one of the two kinds of model.
        let kinds = if cfg!(target_arch = "wasm32") { vec![i % 2 == 0] } else { vec![false, true] };
        for gemma in kinds {
            let shape = Shape { format, sizes, heads, gemma, layers: 2 };
            agrees(&gpu, &shape, CacheFormat::F32, 1e-3).await;
        }
    }
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
