// onnxruntime-web in a page, on WebGPU, as transformers.js drives it: each token is a call, keys and values stay on the device
// and go back in, logits come down and the likeliest is taken.
import {statSync} from 'node:fs';
import {onnx} from './models.mjs';
import {tab} from './tab.mjs';

export const name = 'onnxruntime-web';
/** Lengths of the answers that are counted: see count.mjs. */
export const counted = [3, 5];
const FOLDER = '/peers/node_modules/onnxruntime-web/dist/';

/** Loads a model in a new tab; gives `{load_ms, file_bytes, page, generate, memory, close}`. */
export async function load({host, profile, model, flags}) {
  const file = onnx(model);
  const opened = await tab(profile, host.blank, flags);
  const {page} = opened;
  const load_ms = await opened.begin(begin, [FOLDER, host.peer(file)]);
  return {
    load_ms,
    file_bytes: statSync(file).size,
    page,
    generate: (prompt, count, tokens, limit_ms = Infinity) => page.evaluate(generate, [tokens, count, limit_ms]),
    memory: () => ({process: opened.memory()}),
    close: opened.close,
  };
}

async function begin([folder, url]) {
  const ort = await import(`${folder}ort.jspi.min.mjs`);
  ort.env.wasm.wasmPaths = folder;
  // Next to nothing is left for the CPU to do.
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = 'error';
  ort.env.webgpu.powerPreference = 'high-performance';
  const start = performance.now();
  const session = await ort.InferenceSession.create(url, {
    executionProviders: ['webgpu'], preferredOutputLocation: 'gpu-buffer',
  });
  const ms = performance.now() - start;
  Object.assign(window, {ort, session});
  return ms;
}

async function generate([tokens, count, limit_ms]) {
  const {ort: {Tensor}, session} = window;
  const row = numbers => new Tensor('int64', BigInt64Array.from(numbers, BigInt), [1, numbers.length]);
  const caches = session.inputMetadata.filter(({name}) => name.startsWith('past_key_values.'));
  let past = Object.fromEntries(caches.map(({name, shape: [, heads, , size]}) =>
    [name, new Tensor('float32', new Float32Array(0), [1, heads, 0, size])]));
  const times = [];
  const made = [];
  const start = performance.now();
  const late = () => made.length >= 2 && performance.now() - start > limit_ms;
  for (let next = tokens, seen = 0; made.length < count && !late(); next = [made.at(-1)]) {
    seen += next.length;
    const mask = row(Array(seen).fill(1));
    const {logits, ...present} = await session.run({input_ids: row(next), attention_mask: mask, ...past});
    const values = await logits.getData(true);
    let likeliest = 0;
    for (let i = 1; i < values.length; i++) if (values[i] > values[likeliest]) likeliest = i;
    Object.values(past).forEach(tensor => tensor.dispose());
    past = Object.fromEntries(Object.entries(present).map(([name, tensor]) =>
      [name.replace('present', 'past_key_values'), tensor]));
    made.push(likeliest);
    times.push(performance.now());
  }
  Object.values(past).forEach(tensor => tensor.dispose());
  return {
    prompt_tokens: tokens.length, prompt_ms: times[0] - start, tokens: made.length, steps: times.length,
    decode_ms: times.at(-1) - times[0], made, stopped: made.length < count,
  };
}
