// The bench of one model in this tab, through the JavaScript API: what `cargo xtask bench` measures, without the peers.
import {prompt} from './prompts.js';
import {speeds} from './statistics.js';

/**
 * One answer of `count` tokens, the likeliest each time. The clock is the asker's: from the call to the first token to the
 * last one. Guessing ahead is off: it would count tokens that were not computed one by one.
 */
export async function answer(model, prompt, count, signal) {
  const times = [];
  let text = '';
  const options = {
    prompt, max_tokens: count, temperature: 0, repetition_penalty: 1, ignore_eos: true, lookup: false, signal,
  };
  const start = performance.now();
  for await (const step of model.generate(options)) {
    text += step.text;
    if (step.token !== null) times.push(performance.now());
  }
  signal?.throwIfAborted();
  const {prompt_tokens, prompt_ms, tokens, decode_ms} = model.timings;
  return {
    prompt_tokens, prompt_ms: times[0] - start, tokens, steps: times.length,
    decode_ms: times.at(-1) - times[0], text,
    own_prompt_ms: prompt_ms, own_decode_ms: decode_ms,
  };
}

/**
 * Measures `model`, called `name`, with one thread and with as many as it uses. `onProgress({done, all})`. Gives what
 * `report.js` prints. The model's threads are afterwards what they were.
 */
export async function bench(hearth, model, name, {prompts = [128, 512], gen = 64, runs = 5, onProgress, signal} = {}) {
  const {threads: usual, build, kernel, device: kind, adapter} = model.timings;
  const threads = [...new Set([1, usual])];
  const {context} = model.info;
  const made = Math.min(gen, context >> 2);
  const sizes = [...new Set(prompts.map(size => Math.min(size, context - made)))];
  const all = threads.length * sizes.length * (runs + 1) + 1;
  let done = 0;
  const step = () => onProgress?.({done: ++done, all});
  const results = [];
  let turn = Math.floor(Math.random() * 36);
  try {
    const {bandwidth, kernels, build: measured} = await hearth.measure({threads, kernels: true, budget_ms: 5, signal});
    step();
    for (const count of threads) {
      await model.useThreads(count);
      const figures = {};
      for (const size of sizes) {
        const measured = [];
        // The first is to warm up and does not count.
        for (let run = 0; run <= runs; run++) {
          const text = await prompt(text => model.tokenize(text), turn++, size);
          const result = await answer(model, text, made, signal);
          if (run > 0) measured.push(result);
          step();
        }
        figures[size] = speeds(measured);
      }
      results.push({
        model: name, threads: count, bytes_per_token: model.info.weight_bytes_per_token, engines: {hearth: {prompts: figures}},
      });
    }
    const device = {cores: navigator.hardwareConcurrency, build, kernel};
    const facts = [navigator.userAgent, `${device.cores} cores, build ${build}, kernel ${kernel}`];
    if (kind === 'gpu') facts.push(`on the GPU: ${adapter || 'WebGPU'}`);
    return {facts, device, bandwidth, settings: {prompts: sizes, gen: made, runs}, results, kernels: {[measured]: kernels}};
  } finally {
    await model.useThreads(usual);
  }
}
