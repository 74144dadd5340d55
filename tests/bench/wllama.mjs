// wllama in a page: llama.cpp compiled to WebAssembly, as its users have it, on the CPU.
import {tab} from './tab.mjs';

export const name = 'wllama';
const FOLDER = '/peers/node_modules/@wllama/wllama/esm';

/** Loads a model in a new tab; gives `{load_ms, generate, memory, close}`. */
export async function load({host, profile, model, threads, context}) {
  const opened = await tab(profile, host.blank);
  const {page} = opened;
  const load_ms = await opened.begin(begin, [FOLDER, host.model(model), threads, context]);
  return {
    load_ms,
    generate: (prompt, count) => page.evaluate(generate, [prompt, count]),
    async memory() {
      // Only the leader can answer: its helpers are asleep in a lock.
      const wasm = await Promise.any(page.workers().map(worker => worker.evaluate(() => self.kept.buffer.byteLength)));
      return {process: opened.memory(), wasm};
    },
    close: opened.close,
  };
}

async function begin([folder, url, threads, context]) {
  const {Wllama, LoggerWithoutDebug} = await import(`${folder}/index.js`);
  // Its worker keeps its memory to itself; with this it leaves us a name for it.
  const keep = 'function (type) { return self.kept = new Memory(type); }';
  const kept = `const {Memory} = WebAssembly; WebAssembly.Memory = ${keep};`;
  const {createObjectURL} = URL;
  URL.createObjectURL = blob => createObjectURL.call(URL, new Blob([kept, blob], {type: blob.type}));
  const start = performance.now();
  window.wllama = new Wllama({default: `${folder}/wasm/wllama.wasm`}, {
    suppressNativeLog: true, logger: LoggerWithoutDebug,
  });
  await window.wllama.loadModelFromUrl(url, {
    // With no layers on a GPU it does not even ask for one. Of its four sequences we need one.
    n_threads: threads, n_gpu_layers: 0, n_ctx: context, n_parallel: 1,
    // Loading is to be loading: no other engine here runs the model before it is asked.
    warmup: false,
    // What is fastest here, not what is usual: with its flash attention, on by itself, or numbers of 16 bits in the KV
    // cache, decoding takes up to 1.6 times as long. Reading a prompt takes the same.
    flash_attn: false, cache_type_k: 'f32', cache_type_v: 'f32',
  });
  const taken = window.wllama.isMultithread() ? window.wllama.getNumThreads() : 1;
  if (taken !== threads) throw new Error(`wllama took ${taken} threads instead of ${threads}`);
  return performance.now() - start;
}

// Version 3 has no other way than this call. Its chunks have no tokens: each is one, and the last one has none.
async function generate([prompt, count]) {
  const times = [];
  let text = '';
  let last;
  const start = performance.now();
  await window.wllama.createCompletion({
    prompt, max_tokens: count, temperature: 0, top_k: 1, repeat_penalty: 1, ignore_eos: true, cache_prompt: false,
    stream: true,
    onData(chunk) {
      last = chunk;
      if (chunk.choices[0].finish_reason !== null) return;
      times.push(performance.now());
      text += chunk.choices[0].text;
    },
  });
  const {prompt_n, prompt_ms, predicted_n, predicted_ms} = last.timings;
  return {
    prompt_tokens: prompt_n, prompt_ms: times[0] - start, tokens: predicted_n, steps: times.length,
    decode_ms: times.at(-1) - times[0], text,
    own_prompt_ms: prompt_ms, own_decode_ms: predicted_ms,
  };
}
