// Hearth's JavaScript API: language models that run in this tab.
//
//   import {Hearth} from './hearth.js';
//   const hearth = await Hearth.open();
//   const model = await hearth.load('smollm2-135m-instruct-q4_1', {onProgress: p => console.log(p.loaded, p.total)});
//   for await (const step of model.generate({messages: [{role: 'user', content: 'Hello'}]})) show(step.text);
//   console.log(model.timings);
//
// Two workers do the work. One may use the network and never sees text; one sees text and can connect to nothing. The
// second is made inside an empty frame whose policy is `default-src 'none'`: a worker from a blob made there inherits that
// policy, so it can neither connect nor load a script, on any static host and from the first visit on. The page compiles
// the module and posts it.

const BASE = new URL('./', import.meta.url);
const BUILD = 'base';
const SLICE = 4 << 20;
const CONTEXT = 8192;

/** An error with a stable `code`, such as 'quota', 'shard_hash', 'prompt_too_long'. */
export class HearthError extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'HearthError';
    this.code = code;
  }
}

/** Calls to a worker by message. */
class Remote {
  #worker;
  #calls = new Map();
  #next = 0;

  constructor(worker) {
    this.#worker = worker;
    worker.onmessage = ({data: {call: number, step, result, error}}) => {
      const call = this.#calls.get(number);
      if (!call) return;
      if (step !== undefined) return call.step?.(step);
      this.#calls.delete(number);
      if (error) call.reject(new HearthError(error.code, error.message));
      else call.resolve(result);
    };
    worker.onerror = event => this.end(new HearthError('crashed', event.message || 'the worker could not start'));
  }

  call(action, data = {}, {step, transfer = []} = {}) {
    return new Promise((resolve, reject) => {
      if (!this.#worker) return reject(new HearthError('unloaded', 'the model has been unloaded'));
      const number = this.#next++;
      this.#calls.set(number, {resolve, reject, step});
      this.#worker.postMessage({call: number, action, ...data}, transfer);
    });
  }

  end(reason = new HearthError('unloaded', 'the model has been unloaded')) {
    this.#worker?.terminate();
    this.#worker = undefined;
    for (const {reject} of this.#calls.values()) reject(reason);
    this.#calls.clear();
  }
}

async function get(path) {
  const response = await fetch(new URL(path, BASE)).catch(() => {
    throw new HearthError('network', `${path} cannot be fetched: the server does not answer`);
  });
  if (!response.ok) throw new HearthError('not_found', `${path} is missing on the server (${response.status})`);
  return response;
}

const text = async path => (await get(path)).text();
const json = async path => (await get(path)).json();

async function compile(path) {
  const response = await get(path);
  const whole = response.clone();
  try {
    // Refused where the server names another type than application/wasm.
    return await WebAssembly.compileStreaming(response);
  } catch {
    return WebAssembly.compile(await whole.arrayBuffer()).catch(error => {
      const what = 'the engine could not be compiled: this browser may lack WebAssembly SIMD';
      throw new HearthError('no_simd', `${what} (${error.message})`);
    });
  }
}

/** Throws if it has been asked to stop. */
function check(signal) {
  if (signal?.aborted) throw new HearthError('aborted', 'stopped; what has arrived is kept');
}

/** A frame with nothing in it, under a policy that allows nothing but a worker from a blob of its own. */
async function walledFrame() {
  const frame = document.createElement('iframe');
  frame.hidden = true;
  frame.title = 'Hearth: the engine, behind its wall';
  const loaded = new Promise(resolve => frame.addEventListener('load', resolve, {once: true}));
  frame.srcdoc = '<!doctype html><meta http-equiv="Content-Security-Policy" '
    + `content="default-src 'none'; worker-src blob:">`;
  document.body.append(frame);
  await loaded;
  return frame;
}

/** A worker whose whole program is `source`, made in `realm` and under its policy. */
function workerOf(source, realm) {
  const url = realm.URL.createObjectURL(new realm.Blob([source], {type: 'text/javascript'}));
  const worker = new realm.Worker(url);
  // The worker has fetched its program by its first message.
  worker.addEventListener('message', () => realm.URL.revokeObjectURL(url), {once: true});
  return worker;
}

/** Progress of a download or a load, with speed and time left from the last few seconds. */
function meter(phase, total, onProgress) {
  const seen = [];
  return (loaded, more = {}) => {
    const now = performance.now();
    seen.push([now, loaded]);
    while (seen.length > 2 && now - seen[0][0] > 5000) seen.shift();
    const [then, before] = seen[0];
    const speed = now > then ? Math.max(0, (loaded - before) / (now - then) * 1000) : 0;
    const seconds_left = speed > 0 ? (total - loaded) / speed : undefined;
    onProgress?.({phase, loaded, total, bytes_per_second: speed, seconds_left, ...more});
  };
}

export class Hearth {
  #module;
  #programs;
  #store;
  #catalog;
  #jobs = 0;

  /** Compiles the engine and opens the browser's storage. */
  static async open() {
    const hearth = new Hearth();
    if (typeof WebAssembly !== 'object') throw new HearthError('no_wasm', 'this browser has no WebAssembly');
    const glue = `engine/${BUILD}/engine.js`;
    const [module, ...programs] = await Promise.all([
      compile(`engine/${BUILD}/engine_bg.wasm`),
      text(glue), text('worker/rpc.js'), text('worker/store.js'), text('worker/engine.js'),
    ]);
    const [engine, rpc, store, text_worker] = programs;
    hearth.#module = module;
    hearth.#programs = `${engine}\n${rpc}\n${text_worker}`;
    hearth.#store = new Remote(workerOf(`${engine}\n${rpc}\n${store}`, window));
    await hearth.#store.call('init', {module});
    return hearth;
  }

  /** The models we know: `{models: [{id, name, size_bytes, licence, ...}]}`. */
  async catalog() {
    this.#catalog ??= await json('models/catalog.json');
    return this.#catalog;
  }

  /** What is stored: `[{plan: {key, name, size_bytes, ...}, stored_bytes}]`. */
  stored() {
    return this.#store.call('files');
  }

  /** Bytes stored of a catalog's model. */
  async storedBytes(id) {
    return this.#store.call('stored', {plan: await this.#plan(id, this.#jobs++)});
  }

  /** Removes a stored file. */
  remove(key) {
    return this.#store.call('remove', {key});
  }

  async #plan(source, job) {
    if (source.includes('/')) return this.#store.call('plan', {job, url: direct(new URL(source, document.baseURI).href)});
    const folder = new URL('models/shards', BASE).href;
    return this.#store.call('plan', {catalog: await this.catalog(), id: source, folder});
  }

  /**
   * Loads a model. `source`: an id of the catalog, the address of a GGUF file (with a slash in it, or a URL), or the file
   * itself (File, Blob, ArrayBuffer).
   * `device`: 'cpu'. `threads`: 1. `context`: positions at most. `onProgress({phase: 'download' | 'load', loaded, total,
   * bytes_per_second, seconds_left, elsewhere})`. `signal` stops it; what was downloaded stays.
   */
  async load(source, {device = 'cpu', threads = 1, context = CONTEXT, onProgress, signal} = {}) {
    const start = performance.now();
    if (threads !== 1) throw new HearthError('invalid_input', `threads is ${threads}; this build runs on one`);
    check(signal);
    const pieces = typeof source === 'string' || source instanceof URL
      ? await this.#fetched(String(source), onProgress, signal)
      : given(source);
    check(signal);
    const frame = await walledFrame();
    const remote = new Remote(workerOf(this.#programs, frame.contentWindow));
    const unload = () => {
      remote.end();
      frame.remove();
    };
    try {
      await remote.call('init', {module: this.#module});
      await remote.call('begin', {device});
      const report = meter('load', pieces.size, onProgress);
      let loaded = 0;
      // The next piece is read while the engine packs this one.
      let next = pieces.count > 0 ? pieces.get(0) : undefined;
      for (let index = 0; index < pieces.count; index++) {
        check(signal);
        const bytes = await next;
        next = index + 1 < pieces.count ? pieces.get(index + 1) : undefined;
        next?.catch(() => {}); // told when it is awaited
        loaded += bytes.byteLength;
        await remote.call('push', {bytes}, {transfer: [bytes]});
        report(loaded);
      }
      check(signal);
      const info = await remote.call('finish', {context});
      return new Model(remote, unload, info, {load_ms: performance.now() - start, threads, device, build: BUILD});
    } catch (error) {
      unload();
      throw error;
    }
  }

  /** Downloads what is missing of a file and gives its pieces. */
  async #fetched(source, onProgress, signal) {
    const job = this.#jobs++;
    const abort = () => this.#store.call('abort', {job});
    signal?.addEventListener('abort', abort);
    try {
      const plan = await this.#plan(source, job);
      check(signal);
      const report = meter('download', plan.size_bytes, onProgress);
      await this.#store.call('download', {job, plan}, {step: ({bytes, elsewhere}) => report(bytes, {elsewhere})});
      const count = Math.ceil(plan.size_bytes / plan.shard_bytes);
      return {count, size: plan.size_bytes, get: index => this.#store.call('shard', {key: plan.key, index})};
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }
}

/** The address of the file itself for the address of Hugging Face's page about it. */
export function direct(address) {
  return address.replace(/^(https:\/\/huggingface\.co\/[^/]+\/[^/]+)\/blob\//, '$1/resolve/');
}

/** The pieces of a file that the page has in its hands. */
function given(source) {
  if (!(source instanceof Blob || source instanceof ArrayBuffer || ArrayBuffer.isView(source))) {
    throw new HearthError('invalid_input', 'a model is given by an id, an address, a File, a Blob or an ArrayBuffer');
  }
  const blob = source instanceof Blob ? source : new Blob([source]);
  return {
    count: Math.ceil(blob.size / SLICE),
    size: blob.size,
    get: index => blob.slice(index * SLICE, (index + 1) * SLICE).arrayBuffer(),
  };
}

class Model {
  #remote;
  #unload;
  #fixed;

  /** `{architecture, layers, dim, vocab_size, trained_context, context, chat}`. */
  info;
  /**
   * Of the last answer: `{load_ms, prompt_tokens, prompt_ms, first_token_ms, tokens, decode_ms, threads, device, build,
   * peak_memory_bytes, context_used}`. `prompt_tokens` are those that were read, the ones still cached not counted;
   * `decode_ms` is the time of all tokens but the first.
   */
  timings;

  constructor(remote, unload, {peak_memory_bytes, ...info}, fixed) {
    this.#remote = remote;
    this.#unload = unload;
    this.#fixed = fixed;
    this.info = info;
    this.timings = {
      ...fixed, prompt_tokens: 0, prompt_ms: 0, first_token_ms: 0, tokens: 0, decode_ms: 0, context_used: 0,
      peak_memory_bytes,
    };
  }

  /** The tokens of a text. */
  tokenize(text) {
    return this.#remote.call('tokenize', {text});
  }

  /**
   * Makes an answer to `prompt` (a text), `messages` (`[{role, content}]`) or `tokens` (ids). Gives steps `{token, text,
   * prompt_left, finish}`; while the prompt is read they have no token. `signal` ends it early, without an error.
   */
  async* generate({
    prompt, messages, tokens, max_tokens = 512, temperature = 0.7, top_k = 40, top_p = 0.95, min_p = 0.05,
    repetition_penalty = 1.1, repetition_window = 64, seed = Math.floor(Math.random() * 2 ** 31), stop = [],
    ignore_eos = false, signal,
  } = {}) {
    const options = {
      max_tokens, temperature, top_k, top_p, min_p, repetition_penalty, repetition_window, seed, ignore_eos,
      stop: [stop].flat(),
    };
    const steps = [];
    let wake = () => {};
    let done = false;
    let failure;
    const halt = () => this.#remote.call('stop').catch(() => {});
    if (signal?.aborted) return;
    signal?.addEventListener('abort', halt);
    const call = this.#remote.call('generate', {prompt, messages, tokens, options}, {
      step: step => {
        steps.push(step);
        wake();
      },
    });
    const ended = call.then(
      timings => { this.timings = {...this.timings, ...this.#fixed, ...timings}; },
      error => { failure = error; },
    ).finally(() => {
      done = true;
      wake();
    });
    try {
      while (true) {
        if (steps.length > 0) yield steps.shift();
        else if (done) break;
        else await new Promise(resolve => { wake = resolve; });
      }
    } finally {
      signal?.removeEventListener('abort', halt);
      if (!done) halt();
      await ended;
    }
    if (failure) throw failure;
  }

  /** Frees the model's memory. Waiting calls fail with code 'unloaded'. */
  unload() {
    this.#unload();
  }

  /** For the test of the wall. */
  tryToEscape(way, url) {
    return this.#remote.call('escape', {way, url});
  }
}
