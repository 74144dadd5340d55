// A model that is loaded: what it answers, and that the CPU takes over where a GPU fails. Made by `hearth.load`; see hearth.js.

import {HearthError} from './worker/start.js';

/** What `generate` takes beside prompt, seed, stop and signal. */
const OPTIONS = [
  'max_tokens', 'temperature', 'dynatemp_range', 'dynatemp_exponent', 'top_k', 'top_p', 'min_p', 'typical_p', 'top_n_sigma',
  'xtc_probability', 'xtc_threshold', 'min_keep', 'mirostat_tau', 'mirostat_eta', 'repetition_penalty', 'frequency_penalty',
  'presence_penalty', 'repetition_window', 'logit_bias', 'ignore_eos', 'lookup', 'logprobs', 'shift', 'keep',
];

/** What befalls a GPU's engine and need not befall the CPU's. */
const RECOVERED = ['gpu', 'crashed'];

/** What a conversation has beside its messages. */
const TURN = [
  'tools', 'tool_choice', 'parallel_tool_calls', 'documents', 'enable_thinking', 'reasoning_effort', 'chat_template_kwargs',
];

/** Options of a conversation, with today's date for templates that tell the model, and all other options. */
function conversation(options) {
  const now = new Date();
  const turn = {unix_seconds: Math.floor(now / 1000), offset_minutes: -now.getTimezoneOffset()};
  const rest = {};
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && value !== null) (TURN.includes(name) ? turn : rest)[name] = value;
  }
  return [turn, rest];
}

export class Model {
  #engine;
  #remote;
  #started;
  #fixed;
  #spare;
  #handover;
  #unloaded = false;

  /**
   * `{architecture, layers, dim, vocab_size, trained_context, context, chat, weight_bytes_per_token, cache_bytes_per_token}`:
   * the last two are what making a token reads and what it adds to the cache.
   */
  info;
  /**
   * Of the last answer: `{load_ms, prompt_tokens, prompt_ms, first_token_ms, tokens, decode_ms, threads, device, adapter,
   * build, kernel, peak_memory_bytes, context_used, guesses}`. `guesses`: `{guessed, right}`, tokens guessed ahead from what was said
   * before and those the model chose too. `asked_tokens` are the prompt's, `prompt_tokens` those that were read, the ones still cached
   * not counted;
   * `decode_ms` is the time of all tokens but the first. Where the CPU took over, times are its own.
   */
  timings;

  /**
   * Why the model runs on the device it does: `{device, why, adapter, kernels, message, error, cpu, gpu}`. `kernels`: how it makes
   * products, `{matvec, matmul, subgroups}`. `why`: 'asked',
   * 'no_webgpu', 'no_adapter', 'faster' or 'slower' (the GPU, in a trial), 'wrong' (its numbers, by `error`), 'failed' (it, as
   * `message` says), 'adapter' (which runs on the CPU). `cpu` and `gpu` are their speeds in the trial, `{prompt_per_second, decode_per_second}`.
   */
  verdict;

  /**
   * Called when the engine has failed: `onlost(error, device)`. `device` is 'cpu' where the CPU takes over and answers go on by
   * themselves, undefined where the model is gone: load it again.
   */
  onlost;

  constructor(running, {load_ms, ...verdict}, spare) {
    this.#spare = spare;
    this.verdict = verdict;
    this.#use(running, load_ms);
  }

  #use({engine, started, info: {peak_memory_bytes, ...info}, fixed}, load_ms) {
    this.#engine = engine;
    this.#remote = engine.remote;
    engine.remote.gone.then(error => this.#gone(engine, error));
    this.#started = started;
    this.#fixed = {load_ms, ...fixed};
    this.info = info;
    this.timings = {
      ...this.#fixed, prompt_tokens: 0, prompt_ms: 0, first_token_ms: 0, tokens: 0, decode_ms: 0, context_used: 0,
      peak_memory_bytes,
    };
  }

  /** The worker of `engine` has ended. */
  #gone(engine, error) {
    if (this.#unloaded || engine !== this.#engine) return;
    if (this.#spare && RECOVERED.includes(error.code)) return this.#recover(error).catch(() => {}); // whoever asks next is told
    engine.end(error);
    this.#tell(error);
  }

  #tell(...lost) {
    try {
      this.onlost?.(...lost);
    } catch (error) {
      reportError(error); // what it does must not keep the CPU from taking over
    }
  }

  /** The CPU takes over from a GPU that failed, and takes up its conversation; `verdict` tells. */
  async #takeOver(error) {
    this.#tell(error, 'cpu');
    const conversation = await this.#remote.call('saveTokens').catch(() => undefined);
    this.#engine.end(error);
    this.#checkLoaded();
    const start = performance.now();
    const running = await this.#spare.run().catch(second => {
      const what = `the GPU failed (${error.message}) and the CPU could not take over (${second.message})`;
      const both = new HearthError('crashed', what);
      this.#tell(both);
      throw both;
    });
    try {
      // Without it the tokens, which the next call brings along, are read again.
      if (conversation) await running.engine.remote.call('restore', {saved: conversation}).catch(() => {});
      this.#checkLoaded();
    } catch (unloaded) {
      running.engine.end();
      throw unloaded;
    }
    this.#spare.lost(error);
    this.verdict = {device: 'cpu', why: 'failed', adapter: this.#fixed.adapter, message: error.message};
    this.#spare = undefined;
    this.#use(running, performance.now() - start);
  }

  #checkLoaded() {
    if (this.#unloaded) throw new HearthError('unloaded', 'the model has been unloaded');
  }

  /** Returns when the CPU has taken over from a GPU that `error` tells has failed; throws it if it tells something else. */
  async #recover(error) {
    if (!RECOVERED.includes(error.code) || !(this.#spare || this.#handover)) throw error;
    await (this.#handover ??= this.#takeOver(error));
  }

  /** What the engine answers to a call; the CPU's engine if the GPU fails. */
  async #call(action, data, onceMore = data) {
    await this.#handover;
    try {
      return await this.#remote.call(action, data);
    } catch (error) {
      await this.#recover(error);
      return this.#remote.call(action, onceMore);
    }
  }

  /** Uses `threads` of the threads that were started with the model, or as many as there are; gives back how many. */
  async useThreads(threads) {
    await this.#handover;
    const used = await this.#remote.call('use', {
      tuning: {kernel: this.#fixed.kernel, threads: Math.min(threads, this.#started)},
    });
    this.#fixed = {...this.#fixed, ...used};
    this.timings = {...this.timings, ...used};
    return used.threads;
  }

  /** The text of some tokens. */
  async detokenize(tokens) {
    return this.#call('detokenize', {tokens});
  }

  /** The prompt that a conversation becomes; `options` as for `generate`. */
  async render(messages, options = {}) {
    return this.#call('render', {chat: {...conversation(options)[0], messages}});
  }

  /** The tokens of a text. */
  async tokenize(text) {
    return this.#call('tokenize', {text});
  }

  /**
   * Makes an answer to `prompt` (a text), `messages` (`[{role, content}]`) or `tokens` (ids). Gives steps `{token, text,
   * prompt_left, finish}`; while the prompt is read they have no token. The options, with what they are by themselves:
   *
   * - `max_tokens` 512; `stop`: a text or texts that end the answer; `ignore_eos` false; `seed`: by chance.
   * - how tokens are chosen, in this order: `logit_bias` ({id: what is added}), `repetition_penalty` 1.1, `frequency_penalty` 0,
   *   `presence_penalty` 0 (all over the last `repetition_window` 64 tokens), `top_n_sigma` 0, `top_k` 40, `typical_p` 1,
   *   `top_p` 0.95, `min_p` 0.05, `xtc_probability` 0, `xtc_threshold` 0.1, `temperature` 0.7, `dynatemp_range` 0,
   *   `dynatemp_exponent` 1; `min_keep` 0 tokens are left at least. `mirostat_tau` above 0, with `mirostat_eta` 0.1, takes the place
   *   of the filters. They mean what they mean in llama.cpp.
   * - `logprobs`: a number; each step then has `logprobs`, `{id, bytes, logprob, top: [{id, bytes, logprob}]}`, with so many of the
   *   likeliest tokens.
   * - `shift` false: when the context is full, forget its oldest half, but for the first `keep` 4 tokens, and go on.
   * - `lookup` true: guess ahead where the text repeats itself (the answer stays the same).
   *
   * With `messages`, steps say of their text what it is: `content`, `reasoning` (what a model thinks first), and `tool_calls`,
   * `[{index, id, type, function: {name, arguments}}]`. `tools`: `[{type: 'function', function: {name, description, parameters}}]`;
   * `tool_choice`: 'auto', 'none', 'required' or one, `{type: 'function', function: {name}}`; `parallel_tool_calls`
   * false: only the first call is told; `documents`: `[{title, text}]` to answer from, for models that take them;
   * `enable_thinking`: true or false for models that can do both; `reasoning_effort`: 'low', 'medium', 'high' or 'none', for models that ask;
   * `chat_template_kwargs`: more of what the model's template reads.
   *
   * `response_format`: what the answer must be: `{type: 'json_object'}`, `{type: 'json_schema', json_schema: {schema}}`, `{type:
   * 'regex', regex}` or `{type: 'grammar', grammar}` in llama.cpp's notation or Lark's.
   *
   * `begun`: how the answer begins, `{tokens, text}`, as steps have told it; a first step tells of it once more, then it goes on from
   * there. `max_tokens` counts its tokens, too.
   *
   * `signal` ends it early, without an error.
   */
  async* generate({
    prompt, messages, tokens, stop, response_format, begun, seed = Math.floor(Math.random() * 2 ** 31), signal, ...more
  } = {}) {
    const [turn, rest] = conversation(more);
    const unknown = Object.keys(rest).find(name => !OPTIONS.includes(name));
    if (unknown) throw new HearthError('invalid_input', `${unknown} is no option of generate`);
    const options = {...rest, seed, stop: [stop ?? []].flat()};
    const format = response_format ? {response_format} : {};
    if (signal?.aborted) return;
    const asked = messages
      ? {options, chat: {...turn, ...format, messages}}
      : {prompt, tokens, options: {...options, ...format}};
    const told = {tokens: [...begun?.tokens ?? []], text: begun?.text ?? '', begun: begun !== undefined};
    await this.#handover;
    try {
      yield* this.#answer(asked, told, signal);
    } catch (error) {
      await this.#recover(error);
      if (signal?.aborted) return;
      yield* this.#answer(asked, told, signal);
    }
  }

  /**
   * A text, or tokens, as one vector: `{vector, tokens}`, a Float32Array and how many tokens it was. `pooling`: 'mean', 'cls' or
   * 'last', by itself what the model's file says; `normalize` true: its length becomes 1; `dimensions`: so many numbers are kept;
   * `truncate` false: a text that is too long is cut off. Forgets the conversation.
   */
  async embed(input, {pooling, normalize = true, dimensions, truncate = false} = {}) {
    return this.#call('embed', {input, how: {pooling, normalize, dimensions, truncate}});
  }

  /**
   * The conversation as bytes, for `restore`: its tokens and what is cached of them. Where a GPU's cache is lost, the CPU reads
   * them again first.
   */
  async save() {
    return this.#call('save', {}, {read: true});
  }

  /**
   * Takes up a conversation that this model has saved: an answer whose prompt begins with it goes on from there. On another device
   * its tokens are read again.
   */
  async restore(saved) {
    return this.#call('restore', {saved: saved instanceof Uint8Array ? saved : new Uint8Array(saved)});
  }

  /** An answer's steps behind what has been `told`, its tokens and text, which grow by what it tells; `begun`: before the first step. */
  async* #answer(asked, told, signal) {
    // It may have come while we waited.
    if (signal?.aborted) return;
    const steps = [];
    let wake = () => {};
    let done = false;
    let failure;
    const halt = () => this.#remote.call('stop').catch(() => {});
    signal?.addEventListener('abort', halt);
    const before = {told: [...told.tokens], told_text: told.text, begun: told.begun};
    const call = this.#remote.call('generate', {...asked, ...before}, {
      step: made => {
        steps.push(...made);
        told.begun = false;
        told.tokens.push(...made.map(({token}) => token).filter(token => token !== null));
        told.text += made.filter(({begun}) => !begun).map(({text}) => text).join('');
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
    this.#unloaded = true;
    this.#engine.end();
  }

  /** For the test of the wall. */
  tryToEscape(way, url) {
    return this.#remote.call('escape', {way, url});
  }
}
