// The compression lab's JavaScript API: makes a model smaller in this tab, and tells what it cost. Made by `hearth.lab`.
//
//   const lab = await hearth.lab('smollm2-135m-instruct-q4_1');
//   const recipe = {version: 1, steps: [{method: 'awq'}, {method: 'quantize', format: 'IQ4_NL'}]};
//   const {file} = await lab.compress(recipe, {text, onProgress: ({what, done, of}) => {}});
//   const {kl, same_top} = await lab.evaluate(file, {text: other, calibration: text});
//   const model = await hearth.load(file);
//
// A worker of its own does the work, behind the same wall as the engine's. It is busy until a call is done, so a call is stopped
// by ending the worker; the next one starts another and gives it the base again. Calls that come meanwhile wait.

import {HearthError} from './worker/start.js';
import {fileBytes, given, wanted} from './worker/files.js';

const aborted = () => new HearthError('aborted', 'stopped; the base is as it was');

/** Errors after which a worker is of no use. */
const FATAL = ['crashed', 'out_of_memory', 'unloaded'];

const stem = name => name.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^-+|-+$/g, '');

/** What is given of some options. */
const defined = options => Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

/** Throws if a text is none. */
function checkText(what, text) {
  if (typeof text !== 'string') throw new HearthError('invalid_input', `${what} is ${typeof text}; give a string`);
}

export class Lab {
  #start;
  #set;
  #engine;
  /** What the worker has beside the base. */
  #other;
  #turn = Promise.resolve();
  #closed = false;

  /**
   * The base: `{name, architecture, encoder, layers, context, size_bytes, tensor_bytes, quantized, tensors: [{name, shape: [out,
   * in], format, bytes, layer, kind}]}`. `size_bytes`: of its GGUF file; `quantized`: the format of its layers, if they are coarse
   * already, or null; `layer`: a number or null; `kind`: 'attn_q', 'token_embd', ...
   */
  info;

  /**
   * What a recipe's steps may be: `[{name, does, options: [{name, does, kind}]}]`; `kind` is `{number: {min, max, default}}`,
   * `{choice: {of, default}}`, `{flag: {default}}`, `{several: {of, default}}` (a list) or `{tensors: {of}}` (a word for each of some
   * tensors, by name).
   */
  methods;

  /** Recipes with a name: `[{name, does, recipe}]`. */
  presets;

  /** How a text may be cut for `evaluate`: `[{name, does}]`. Figures of different ones cannot be compared. */
  protocols;

  /** `set`: the base's files, see worker/files.js. `start()` gives an engine with its number of `threads`. */
  static async open(set, start, {report, signal} = {}) {
    const lab = new Lab();
    lab.#set = set;
    lab.#start = start;
    await lab.#alone(() => {}, {signal, report});
    return lab;
  }

  /** How many tokens a text is. */
  async count(text, options = {}) {
    checkText('the text', text);
    return this.#alone(remote => remote.call('count', {text}), options);
  }

  /**
   * Follows a recipe, `{version: 1, name, calibration: {tokens, length}, gates, steps: [{method, ...options}]}`, an object or its
   * JSON; `text` calibrates, if any step needs one, or `imatrix`, an importance matrix's file, where that is enough. Gives `{file, recipe, info, ms, peak_memory_bytes}`: a GGUF `File`, the recipe
   * with what it left out, what the model is (as `lab.info`), and what it took. The same recipe, base and text give the same bytes
   * everywhere. Whether its gates hold, `evaluate` tells. `onProgress({what, done, of, peak_memory_bytes})`; `signal` stops it, with an error of code 'aborted'.
   */
  async compress(recipe, {text, imatrix, onProgress, signal} = {}) {
    if (text !== undefined) checkText('the calibration text', text);
    const asked = typeof recipe === 'string' ? recipe : JSON.stringify(recipe);
    const known = imatrix && await fileBytes('the importance matrix', imatrix);
    const named = ({recipe}) => recipe.name || 'compressed';
    return this.#alone(remote => this.#made(remote, 'compress', {recipe: asked, text, imatrix: known}, named, onProgress), {
      signal, onProgress,
    });
  }

  /**
   * How large each input of each of the base's matrices is, by `tokens` of a text in sequences of `length`; `name` is the text's.
   * Gives a `File` that weighs what a recipe rounds, here or in llama.cpp.
   */
  async imatrix({text, name = 'text', tokens, length, onProgress, signal} = {}) {
    checkText('the text', text);
    const step = ({progress}) => onProgress?.(progress);
    return this.#alone(async remote => {
      const bytes = await remote.call('imatrix', {text, name, calibration: defined({tokens, length})}, {step});
      return new File([bytes], `${stem(this.info.name ?? 'model')}-imatrix.gguf`);
    }, {signal, onProgress});
  }

  /**
   * A LoRA file of `rank` 8 that brings the model in `file`, made of the base by rounding alone, nearer to the base by `tokens` of a
   * text. Gives `{file, ms, peak_memory_bytes}`; `hearth.load(model, {adapter: file})` applies it.
   */
  async adapter(file, {text, rank = 8, tokens, length, onProgress, signal} = {}) {
    checkText('the calibration text', text);
    if (!(Number.isInteger(rank) && rank > 0)) throw new HearthError('invalid_input', `the rank is ${rank}; give 1 or more`);
    const asked = {text, rank, calibration: defined({tokens, length})};
    return this.#with(file, (remote, which) => this.#made(remote, 'adapter', {which, ...asked}, () => 'lora', onProgress), {
      signal, onProgress,
    });
  }

  /** The base with a LoRA file added to its matrices, which become `format`. Gives `{file, info, ms, peak_memory_bytes}`. */
  async merge(adapter, {format = 'F16', onProgress, signal} = {}) {
    const bytes = await fileBytes('the adapter', adapter);
    return this.#alone(remote => this.#made(remote, 'merge', {adapter: bytes, format}, () => 'merged', onProgress), {signal, onProgress});
  }

  /** A call that makes a file: what it answers, the file and what it took. `named` gives the file's name from the answer. */
  async #made(remote, method, asked, named, onProgress) {
    const start = performance.now();
    const pieces = [];
    const step = ({piece, progress}) => (piece ? pieces.push(new Blob([piece])) : onProgress?.(progress));
    if (asked.which === undefined) this.#other = undefined;
    const made = await remote.call(method, asked, {step});
    const name = [this.info.name ?? 'model', named(made)].map(stem).join('-');
    return {file: new File(pieces, `${name}.gguf`), ...made, ms: performance.now() - start};
  }

  /**
   * What it cost: predicts `text` with the base and with the model in `file`, or with the base itself if that is null. Gives
   * `{positions, original_perplexity, perplexity, perplexity_ratio, kl, kl_percentiles: [[share, kl]], same_top, rms_dp}`; the
   * figures are `{value, low, high}`, with a confidence interval of 95 %. `calibration`: the text that calibrated, which must be
   * another. `protocol`, by itself the first of `lab.protocols`, cuts the text into windows of `context` 512 tokens; `tokens` 8192
   * of it are used at most. Comparing several models over one text reads it with the base only once. Encoders are compared by
   * their vectors of the text's paragraphs: `{texts, cosine, least_cosine, overlap_at_10}`.
   */
  async evaluate(file, {text, calibration, protocol, context, tokens, onProgress, signal} = {}) {
    checkText('the test text', text);
    if (calibration !== undefined) checkText('the calibration text', calibration);
    return this.#with(file, (remote, which) => remote.call(
      'evaluate', {which, text, calibration, test: defined({protocol, context, tokens})}, {step: ({progress}) => onProgress?.(progress)},
    ), {signal, onProgress});
  }

  /**
   * What a token costs, counted: `{macs_per_token, nonzero_macs_per_token, bytes_per_token, resident_bytes,
   * cache_bytes_per_token, file_bytes}`, of the model in `file`, or of the base if that is null.
   */
  async work(file, options = {}) {
    return this.#with(file, (remote, which) => remote.call('work', {which}), options);
  }

  /**
   * How much each matrix of the base matters, by the beginning of `text`, and what it loses in each of `formats`: `{layers, tokens,
   * tensors: [{name, layer, kind, numbers, measured, sensitivity, errors: {Q4_0, ...}, bytes: {Q4_0, ...}}]}`. The divergence of a
   * mix of formats is about the sum of `sensitivity * errors[format]` over its matrices. `measured`: not taken from neighbours.
   */
  async sensitivity({text, formats = ['Q4_0', 'Q5_0', 'Q8_0'], onProgress, signal} = {}) {
    checkText('the text', text);
    const step = ({progress}) => onProgress?.(progress);
    return this.#alone(remote => remote.call('sensitivity', {text, formats}, {step}), {signal, onProgress});
  }

  /** Ends the worker and frees its memory. */
  close() {
    this.#closed = true;
    this.#end(new HearthError('unloaded', 'the lab has been closed'));
  }

  /** For the test of the wall. */
  async tryToEscape(way, url) {
    return this.#alone(remote => remote.call('escape', {way, url}));
  }

  #end(reason) {
    this.#engine?.end(reason);
    this.#engine = this.#other = undefined;
  }

  /** Runs a task that has the worker, with the base in it, for itself. */
  async #alone(task, {signal, onProgress, report} = {}) {
    const before = this.#turn;
    let done;
    this.#turn = new Promise(resolve => { done = resolve; });
    await before;
    const abort = () => this.#end(aborted());
    try {
      this.#check(signal);
      signal?.addEventListener('abort', abort);
      return await task(await this.#ready(signal, report ?? loading(this.#set, onProgress)));
    } catch (error) {
      this.#check(signal);
      if (FATAL.includes(error.code)) this.#end();
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
      done();
    }
  }

  #check(signal) {
    if (this.#closed) throw new HearthError('unloaded', 'the lab has been closed');
    if (signal?.aborted) throw aborted();
  }

  /** The same, with the model in `file` beside the base; the task is told what that is called there. */
  async #with(file, task, {signal, onProgress} = {}) {
    if (file === null || file === undefined) return this.#alone(remote => task(remote, 'base'), {signal, onProgress});
    const set = given(file);
    return this.#alone(async remote => {
      if (this.#other !== file) {
        this.#other = undefined;
        await give(remote, 'other', set, loading(set, onProgress), signal);
        this.#other = file;
      }
      return task(remote, 'other');
    }, {signal, onProgress});
  }

  /** A worker with the base in it: the one there is, or a new one. */
  async #ready(signal, report) {
    if (this.#engine) return this.#engine.remote;
    const engine = await this.#start();
    try {
      this.#check(signal);
      this.#engine = engine;
      engine.remote.gone.then(() => { if (this.#engine === engine) this.#end(); });
      await engine.init();
      const {methods, presets, protocols} = await engine.remote.call('begin', {threads: engine.threads});
      const joined = engine.join(engine.threads); // never fails
      const info = await give(engine.remote, 'base', this.#set, report, signal);
      await joined;
      Object.assign(this, {methods, presets, protocols, info});
      return engine.remote;
    } catch (error) {
      engine.end();
      this.#engine = undefined;
      throw error;
    }
  }
}

/** Tells of a model's way into the worker as of other work. */
const loading = ({size}, onProgress) => done => onProgress?.({what: 'loading', done: Math.min(done, size), of: size});

/** Gives the worker a model's files; what the model is. */
async function give(remote, which, set, report, signal) {
  await remote.call('take', {which, files: set.files});
  let loaded = 0;
  for await (const bytes of wanted(set, () => remote.call('wants'))) {
    if (signal?.aborted) throw aborted();
    loaded += bytes.byteLength;
    await remote.call('push', {bytes}, {transfer: [bytes]});
    report(Math.min(loaded, set.size));
  }
  const {info} = await remote.call('finish', {which});
  return info;
}
