// OpenAI's API on a model that runs in this tab: the shapes of requests and answers, and nothing that leaves it.
//
//   import {OpenAI} from './openai.js';
//   const openai = new OpenAI(model);                     // of hearth.load
//   const answer = await openai.chat.completions.create({messages: [{role: 'user', content: 'Hello'}]});
//   for await (const chunk of await openai.chat.completions.create({messages, stream: true})) show(chunk);
//
// OpenAI's own client works, too: `new Client({apiKey: 'none', baseURL: 'http://tab/v1', fetch: openai.fetch})`.
// (https://platform.openai.com/docs/api-reference.) What their API does not know of sampling is taken by Hearth's names: `top_k`,
// `min_p`, `repetition_penalty` and the rest of `model.generate`.

import {HearthError} from './worker/start.js';

/** Hearth's options that requests may have beside OpenAI's. */
const OWN = [
  'top_k', 'min_p', 'typical_p', 'top_n_sigma', 'repetition_penalty', 'repetition_window', 'dynatemp_range', 'dynatemp_exponent',
  'xtc_probability', 'xtc_threshold', 'mirostat_tau', 'mirostat_eta', 'min_keep', 'ignore_eos', 'shift', 'keep', 'lookup',
  'enable_thinking', 'chat_template_kwargs', 'documents',
];
const THEIRS = [
  'temperature', 'top_p', 'frequency_penalty', 'presence_penalty', 'logit_bias', 'seed', 'stop',
  'parallel_tool_calls', 'reasoning_effort',
];

/** OpenAI's reasons for an answer's end, by ours. */
const REASONS = {end: 'stop', stop: 'stop', length: 'length', context: 'length'};

/** What HTTP says of errors that the request is to blame for, by code. */
const STATUS = {
  invalid_input: 400, prompt_too_long: 400, empty_prompt: 400, chat_template: 400, nothing_allowed: 400, bad_grammar: 400, busy: 409,
};

/** Answers at a time, and likeliest tokens told of, at most. */
const MOST = {n: 128, top_logprobs: 20};

const invalid = (param, message) => Object.assign(new HearthError('invalid_input', `${param}: ${message}`), {param});

/** Only one answer is made at a time; requests wait for the one before. */
class Turns {
  #last = Promise.resolve();

  /** Resolves to what ends the turn; rejects if `signal` comes before it. */
  async take(signal) {
    signal?.throwIfAborted();
    const before = this.#last;
    let done;
    this.#last = new Promise(resolve => { done = resolve; });
    let giveUp;
    const givenUp = new Promise((_, reject) => { giveUp = () => reject(signal.reason); });
    signal?.addEventListener('abort', giveUp);
    try {
      await Promise.race([before, givenUp]);
    } catch (reason) {
      before.then(done);
      throw reason;
    } finally {
      signal?.removeEventListener('abort', giveUp); // one signal may serve many requests
    }
    return done;
  }
}

export class OpenAI {
  #model;
  #name;
  #turns = new Turns();
  #made = 0;

  /** `name`: what the model is called in answers. */
  constructor(model, {name = 'hearth'} = {}) {
    this.#model = model;
    this.#name = name;
    this.chat = {completions: {create: async (body, options) => this.#create(body, chatRequest(body), CHAT, options)}};
    this.completions = {create: async (body, options) => this.#create(body, textRequest(body), TEXT, options)};
    this.embeddings = {create: async (body, options) => this.#embed(body, options)};
    this.models = {
      list: async () => ({object: 'list', data: [this.#describe()]}),
      retrieve: async id => this.#find(id),
    };
    this.fetch = (input, init) => this.#fetch(input, init);
  }

  #describe() {
    return {id: this.#name, object: 'model', created: 0, owned_by: 'user'};
  }

  #find(id) {
    if (id === this.#name) return this.#describe();
    throw Object.assign(new HearthError('model_not_found', `the model "${id}" is not loaded; "${this.#name}" is`), {status: 404});
  }

  async #create(body, requests, shape, {signal} = {}) {
    const n = body.n ?? 1;
    if (!(Number.isInteger(n) && n >= 1 && n <= MOST.n)) throw invalid('n', `a whole number from 1 to ${MOST.n} is expected`);
    this.#made += 1;
    const common = {
      id: `${shape.prefix}-${this.#made.toString(36)}${Math.floor(Math.random() * 2 ** 40).toString(36)}`,
      created: Math.floor(Date.now() / 1000), model: this.#name, system_fingerprint: null,
    };
    const seed = body.seed ?? Math.floor(Math.random() * 2 ** 31);
    // Continuations of one prompt follow each other, so that it is read once.
    const asked = requests.flatMap(request => Array.from({length: n}, (_, i) => ({...request, seed: (seed + i) % 2 ** 32})));
    const pieces = this.#pieces(asked, n, signal);
    return body.stream ? stream(pieces, body, common, shape) : whole(pieces, asked.length, common, shape);
  }

  /** `{index, step}` of one answer after the other, and the `usage` of each. */
  async* #pieces(asked, n, signal) {
    const done = await this.#turns.take(signal);
    try {
      for (const [index, request] of asked.entries()) {
        let first = true;
        for await (const step of this.#model.generate({...request, signal})) {
          yield {index, step, first};
          signal?.throwIfAborted(); // more may be on its way already
          first = false;
        }
        signal?.throwIfAborted();
        const {tokens, prompt_tokens, asked_tokens} = this.#model.timings;
        yield {index, usage: {prompt: asked_tokens, read: prompt_tokens, made: tokens, first: index % n === 0}};
      }
    } finally {
      done();
    }
  }

  async #embed({input, encoding_format = 'float', dimensions}, {signal} = {}) {
    if (!['float', 'base64'].includes(encoding_format)) throw invalid('encoding_format', '"float" and "base64" are known');
    const texts = inputs('input', input);
    const done = await this.#turns.take(signal);
    try {
      const data = [];
      let tokens = 0;
      for (const [index, text] of texts.entries()) {
        const made = await this.#model.embed(text, {dimensions});
        signal?.throwIfAborted();
        tokens += made.tokens;
        data.push({object: 'embedding', index, embedding: encoding_format === 'base64' ? base64(made.vector) : [...made.vector]});
      }
      return {object: 'list', data, model: this.#name, usage: {prompt_tokens: tokens, total_tokens: tokens}};
    } finally {
      done();
    }
  }

  /** Answers a request to any host as OpenAI's would, without the network. */
  async #fetch(input, init = {}) {
    const request = input instanceof Request ? input : undefined;
    const {pathname} = new URL(request?.url ?? String(input));
    const method = (init.method ?? request?.method ?? 'GET').toUpperCase();
    const signal = init.signal ?? request?.signal;
    try {
      const routes = [
        ['POST', /\/chat\/completions$/, body => this.chat.completions.create(body, {signal})],
        ['POST', /\/completions$/, body => this.completions.create(body, {signal})],
        ['POST', /\/embeddings$/, body => this.embeddings.create(body, {signal})],
        ['GET', /\/models$/, () => this.models.list()],
        ['GET', /\/models\/([^/]+)$/, (_, [, id]) => this.models.retrieve(decodeURIComponent(id))],
      ];
      const route = routes.find(([verb, path]) => verb === method && path.test(pathname));
      if (!route) throw Object.assign(new HearthError('not_found', `${method} ${pathname} is not known here`), {status: 404});
      const body = method === 'POST' ? parsed(init.body ?? await request.text()) : undefined;
      const answer = await route[2](body, route[1].exec(pathname));
      return body?.stream && answer[Symbol.asyncIterator] ? await events(answer, signal) : Response.json(answer);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      return Response.json(problem(error), {status: error.status ?? STATUS[error.code] ?? 500});
    }
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw invalid('body', 'it is not JSON');
  }
}

const problem = ({message, code, param = null}) => ({
  error: {message, type: STATUS[code] ? 'invalid_request_error' : 'server_error', param, code: code ?? null},
});

/** The chunks as server-sent events. Errors before the first are thrown. */
async function events(chunks, signal) {
  const encoder = new TextEncoder();
  const send = (controller, data) => controller.enqueue(encoder.encode(`data: ${data}\n\n`));
  let first = await chunks.next();
  const body = new ReadableStream({
    start(controller) {
      // The generator may wait for its reader: what it holds is given back.
      signal?.addEventListener('abort', () => {
        controller.error(signal.reason);
        chunks.return().catch(() => {});
      }, {once: true});
    },
    async pull(controller) {
      try {
        const {value, done} = first ?? await chunks.next();
        first = undefined;
        send(controller, done ? '[DONE]' : JSON.stringify(value));
        if (done) controller.close();
      } catch (error) {
        if (signal?.aborted) return controller.error(signal.reason);
        send(controller, JSON.stringify(problem(error)));
        controller.close();
      }
    },
    async cancel() {
      await chunks.return();
    },
  }, {highWaterMark: Infinity}); // the next request does not wait for somebody to read this
  return new Response(body, {headers: {'Content-Type': 'text/event-stream'}});
}

/** What OpenAI's requests have in common, as options of `generate`. */
function sampling(body) {
  const options = {};
  for (const name of [...THEIRS, ...OWN]) if (body[name] !== undefined && body[name] !== null) options[name] = body[name];
  const most = body.max_completion_tokens ?? body.max_tokens;
  if (most !== undefined && most !== null) options.max_tokens = most;
  return options;
}

function chatRequest(body) {
  if (!Array.isArray(body.messages) || body.messages.length === 0) throw invalid('messages', 'a list of messages is expected');
  const {messages, tools, tool_choice, response_format, logprobs, top_logprobs = 0} = body;
  if (!(Number.isInteger(top_logprobs) && top_logprobs >= 0 && top_logprobs <= MOST.top_logprobs)) {
    throw invalid('top_logprobs', `a whole number from 0 to ${MOST.top_logprobs} is expected`);
  }
  return [{
    ...sampling(body), messages, tools, tool_choice, response_format,
    logprobs: logprobs ? top_logprobs : undefined,
  }];
}

function textRequest(body) {
  const {logprobs} = body;
  if (body.echo || body.suffix || (body.best_of ?? 1) > (body.n ?? 1)) {
    throw invalid(body.echo ? 'echo' : body.suffix ? 'suffix' : 'best_of', 'this is not supported');
  }
  return inputs('prompt', body.prompt ?? '').map(prompt => ({
    ...sampling(body), logprobs: logprobs ?? undefined, ...typeof prompt === 'string' ? {prompt} : {tokens: prompt},
  }));
}

/** A text, tokens, or a list of either, as a list of them. */
function inputs(param, input) {
  const tokens = list => Array.isArray(list) && list.length > 0 && list.every(Number.isInteger);
  const list = typeof input === 'string' || tokens(input) ? [input] : input;
  if (Array.isArray(list) && list.length > 0 && list.every(one => typeof one === 'string' || tokens(one))) return list;
  throw invalid(param, 'a text, a list of texts or tokens is expected');
}

/** Numbers as the base64 of their little-endian f32. */
function base64(vector) {
  const bytes = new Uint8Array(Float32Array.from(vector).buffer);
  return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''));
}

/** Usage of all answers; several answers to one prompt have it once. */
function usageOf(all) {
  const sum = (usages, count) => usages.reduce((sum, usage) => sum + count(usage), 0);
  const prompts = all.filter(({first}) => first);
  const completion_tokens = sum(all, ({made}) => made);
  const prompt_tokens = sum(prompts, ({prompt}) => prompt);
  return {
    prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details: {cached_tokens: sum(prompts, ({prompt, read}) => Math.max(0, prompt - read))},
  };
}

/** The text that bytes of a token are; parts of characters become replacement characters. */
const text = bytes => new TextDecoder().decode(Uint8Array.from(bytes));

/** A token's log-probability, in the shape of chats. */
const told = ({bytes, logprob}) => ({token: text(bytes), bytes: [...bytes], logprob});

/** What distinguishes chats from plain texts. */
const CHAT = {
  prefix: 'chatcmpl',
  object: 'chat.completion',
  chunk: 'chat.completion.chunk',
  opening: {delta: {role: 'assistant', content: ''}},
  delta({text, content = text, reasoning, tool_calls}) {
    const delta = {};
    if (content) delta.content = content;
    if (reasoning) delta.reasoning_content = reasoning;
    if (tool_calls?.length > 0) delta.tool_calls = tool_calls;
    return Object.keys(delta).length > 0 ? {delta} : undefined;
  },
  logprobs: steps => ({
    content: steps.map(({logprobs}) => ({...told(logprobs), top_logprobs: logprobs.top.map(told)})), refusal: null,
  }),
  closing: {delta: {}},
  begin: () => ({content: '', reasoning: '', calls: []}),
  add(made, {text, content = text, reasoning = '', tool_calls = []}) {
    made.content += content;
    made.reasoning += reasoning;
    for (const {index, id, function: {name, arguments: text = ''}} of tool_calls) {
      const call = made.calls[index] ??= {id, type: 'function', function: {name, arguments: ''}};
      call.function.arguments += text;
    }
  },
  choice({content, reasoning, calls}) {
    const message = {role: 'assistant', content: content || calls.length === 0 ? content : null, refusal: null};
    if (reasoning) message.reasoning_content = reasoning;
    if (calls.length > 0) message.tool_calls = calls;
    return {message};
  },
};

const TEXT = {
  prefix: 'cmpl',
  object: 'text_completion',
  chunk: 'text_completion',
  delta: step => step.text ? {text: step.text} : undefined,
  logprobs: steps => ({
    tokens: steps.map(({logprobs}) => text(logprobs.bytes)),
    token_logprobs: steps.map(({logprobs}) => logprobs.logprob),
    top_logprobs: steps.map(({logprobs}) => Object.fromEntries(logprobs.top.map(({bytes, logprob}) => [text(bytes), logprob]))),
    text_offset: steps.map(({offset}) => offset),
  }),
  closing: {text: ''},
  begin: () => ({text: ''}),
  add(made, step) {
    made.text += step.text;
  },
  choice: made => ({text: made.text}),
};

/** Why an answer ended. */
const reason = (finish, called) => called ? 'tool_calls' : REASONS[finish] ?? 'stop';

/** The answers as they are made. */
async function* stream(pieces, body, common, shape) {
  const chunk = (index, part, {logprobs = null, finish_reason = null} = {}) => ({
    ...common, object: shape.chunk, choices: [{index, ...part, logprobs, finish_reason}],
    ...body.stream_options?.include_usage ? {usage: null} : {},
  });
  const usages = [];
  let called = false;
  let finish;
  let offset = 0;
  for await (const {index, step, first, usage} of pieces) {
    if (usage) {
      usages.push(usage);
      yield chunk(index, shape.closing, {finish_reason: reason(finish, called)});
      called = false;
      offset = 0;
      continue;
    }
    if (first && shape.opening) yield chunk(index, shape.opening);
    called ||= step.tool_calls?.length > 0;
    finish = step.finish;
    const logprobs = step.logprobs ? shape.logprobs([{...step, offset}]) : null;
    offset += step.text.length;
    const part = shape.delta(step) ?? (logprobs ? shape.closing : undefined);
    if (part) yield chunk(index, part, {logprobs});
  }
  if (body.stream_options?.include_usage) {
    yield {...common, object: shape.chunk, choices: [], usage: usageOf(usages)};
  }
}

/** The answers when all are made. */
async function whole(pieces, count, common, shape) {
  const answers = Array.from({length: count}, () => ({made: shape.begin(), steps: [], offset: 0, called: false, finish: null}));
  const usages = [];
  for await (const {index, step, usage} of pieces) {
    if (usage) {
      usages.push(usage);
      continue;
    }
    const answer = answers[index];
    shape.add(answer.made, step);
    if (step.logprobs) answer.steps.push({...step, offset: answer.offset});
    answer.offset += step.text.length;
    answer.called ||= step.tool_calls?.length > 0;
    answer.finish = step.finish ?? answer.finish;
  }
  const choices = answers.map(({made, steps, called, finish}, index) => ({
    index, ...shape.choice(made), logprobs: steps.length > 0 ? shape.logprobs(steps) : null, finish_reason: reason(finish, called),
  }));
  return {...common, object: shape.object, choices, usage: usageOf(usages)};
}
