// OpenAI's shapes over the real model: our own calls, and OpenAI's client on npm, which thinks it talks to a server.
import assert from 'node:assert/strict';
import {createReadStream} from 'node:fs';
import {test} from 'node:test';
import {OpenAI} from '../../web/openai.js';
import {inBrowser, load, SMOLLM2} from './browser.mjs';
import {ROOT} from './server.mjs';

const greedy = {temperature: 0, repetition_penalty: 1};

/** Serves OpenAI's package, whose modules name each other by relative paths. */
function withClient(host) {
  host.intercept = (request, response) => {
    const match = /^\/npm\/(openai\/[\w./-]+\.mjs)$/.exec(request.url);
    if (!match || match[1].includes('..')) return false;
    response.writeHead(200, {'Content-Type': 'text/javascript', 'Cross-Origin-Embedder-Policy': 'require-corp'});
    createReadStream(`${ROOT}tests/page/node_modules/${match[1]}`).pipe(response);
    return true;
  };
}

/** `window.openai`, over the model that is loaded. */
const open = page => page.evaluate(async () => {
  const {OpenAI} = await import('/openai.js');
  window.openai = new OpenAI(window.model, {name: 'smol'});
});

test('OpenAI\'s own client chats, streams, embeds and is told of errors', () => inBrowser(async ({page, host}) => {
  withClient(host);
  await load(page, SMOLLM2, {device: 'cpu'});
  await open(page);
  const said = await page.evaluate(async greedy => {
    const {default: Client} = await import('/npm/openai/index.mjs');
    const client = new Client({
      apiKey: 'none', baseURL: `${location.origin}/v1`, fetch: window.openai.fetch, dangerouslyAllowBrowser: true, maxRetries: 0,
    });
    const asked = {model: 'smol', messages: [{role: 'user', content: 'Say hello.'}], max_tokens: 16, ...greedy};
    const whole = await client.chat.completions.create({...asked, logprobs: true, top_logprobs: 2});
    const chunks = [];
    for await (const chunk of await client.chat.completions.create({...asked, stream: true, stream_options: {include_usage: true}})) {
      chunks.push(chunk);
    }
    const helped = await client.chat.completions.stream(asked).finalContent();
    const text = await client.completions.create({model: 'smol', prompt: ['One, two,', 'A, B,'], max_tokens: 4, n: 2, ...greedy});
    const vectors = await client.embeddings.create({model: 'smol', input: ['fire', 'hearth'], dimensions: 16});
    const plain = await client.embeddings.create({model: 'smol', input: 'fire', dimensions: 16, encoding_format: 'float'});
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    const refused = await client.chat.completions.create({...asked, messages: []}).catch(({status, message, param}) => ({status, message, param}));
    const nobody = await client.models.retrieve('gpt').catch(({status, message}) => ({status, message}));
    const asks = (await window.model.tokenize(await window.model.render(asked.messages))).length;
    const long = await client.completions.create({model: 'smol', prompt: 'word '.repeat(9000)}).catch(({status}) => status);
    return {whole, chunks, helped, text, vectors, plain, models, refused, nobody, asks, long};
  }, greedy);

  const {message, finish_reason, logprobs} = said.whole.choices[0];
  assert.ok(message.content.length > 0);
  assert.equal(message.role, 'assistant');
  assert.ok(['stop', 'length'].includes(finish_reason));
  assert.equal(said.whole.model, 'smol');
  assert.equal(logprobs.content.map(({token}) => token).join('').startsWith(message.content.slice(0, 5)), true);
  for (const {logprob, top_logprobs} of logprobs.content) {
    assert.ok(logprob <= 0);
    assert.equal(top_logprobs.length, 2);
    assert.equal(top_logprobs[0].logprob, logprob, 'greedy takes the likeliest');
  }
  assert.ok(said.whole.usage.completion_tokens <= 16);
  assert.equal(said.whole.usage.prompt_tokens, said.asks);
  assert.equal(said.chunks.at(-1).usage.prompt_tokens_details.cached_tokens, said.asks - 1, 'asked again, all but a token is cached');
  assert.equal(said.long, 400, 'a prompt that is too long is the request\'s fault');

  const streamed = said.chunks.flatMap(({choices}) => choices).map(({delta}) => delta.content ?? '').join('');
  assert.equal(streamed, message.content, 'streamed or whole');
  assert.equal(said.chunks[0].choices[0].delta.role, 'assistant');
  assert.equal(said.chunks.at(-2).choices[0].finish_reason, finish_reason);
  assert.equal(said.chunks.at(-1).usage.completion_tokens, said.whole.usage.completion_tokens);
  assert.equal(said.helped, message.content, 'and through the client\'s helper');

  assert.deepEqual(said.text.choices.map(({index}) => index), [0, 1, 2, 3]);
  assert.equal(said.text.choices[0].text, said.text.choices[1].text, 'greedy answers are alike');
  assert.notEqual(said.text.choices[0].text, said.text.choices[2].text);

  const [fire, hearth] = said.vectors.data.map(({embedding}) => embedding);
  assert.equal(fire.length, 16);
  assert.ok(Math.abs(fire.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-5);
  assert.notDeepEqual(fire, hearth);
  said.plain.data[0].embedding.forEach((x, i) => assert.ok(Math.abs(x - fire[i]) < 1e-6, 'base64 and numbers are the same'));

  assert.deepEqual(said.models, ['smol']);
  assert.equal(said.refused.status, 400);
  assert.match(said.refused.message, /messages/);
  assert.equal(said.nobody.status, 404);
  assert.match(said.nobody.message, /"smol" is/);
  assert.ok(!host.requests.some(url => url.includes('/v1/')), 'nothing was asked of a server');
}));

test('our own calls: several answers from one prompt, stop texts, seeds, biases, an end by signal', () => inBrowser(async ({page}) => {
  await load(page, SMOLLM2, {device: 'cpu'});
  await open(page);
  const said = await page.evaluate(async greedy => {
    const {completions, chat} = window.openai;
    const warm = {prompt: 'My favourite colour is', max_tokens: 12, temperature: 1.2, seed: 7};
    const three = await completions.create({...warm, n: 3});
    const again = await completions.create({...warm, n: 3});
    const read = window.model.timings.prompt_tokens;
    const counted = {prompt: 'Count: 1, 2, 3, 4,', max_tokens: 24, ...greedy};
    const [free] = (await completions.create(counted)).choices;
    const [cut] = (await completions.create({...counted, stop: ['6']})).choices;
    const [first] = await window.model.tokenize(free.text);
    const [biased] = (await completions.create({...counted, logit_bias: {[first]: -100}})).choices;
    const controller = new AbortController();
    const chunks = [];
    const ended = await (async () => {
      for await (const chunk of await chat.completions.create(
        {messages: [{role: 'user', content: 'Tell me a long story.'}], stream: true, ...greedy}, {signal: controller.signal})) {
        chunks.push(chunk);
        if (chunks.length === 5) controller.abort();
      }
    })().catch(error => error.name);
    const after = await completions.create({...counted, max_tokens: 2});
    const stopping = new AbortController();
    const stopped = [];
    for await (const step of window.model.generate({messages: [{role: 'user', content: 'Tell me more.'}], signal: stopping.signal})) {
      stopped.push(step.prompt_tokens);
      stopping.abort();
    }
    const wrong = await completions.create({...counted, top_p: 3}).catch(({code, message}) => ({code, message}));
    const unknown = await window.model.generate({prompt: 'a', temprature: 1}).next().catch(({code, message}) => ({code, message}));
    return {three, again, read, free, cut, biased, chunks: chunks.length, ended, after, stopped, wrong, unknown};
  }, greedy);
  const texts = said.three.choices.map(({text}) => text);
  assert.equal(new Set(texts).size, 3, 'other seeds, other texts');
  assert.deepEqual(said.again.choices.map(({text}) => text), texts, 'the same seeds, the same texts');
  assert.ok(said.read <= 1, `${said.read} prompt tokens were read again`);
  assert.equal(said.free.finish_reason, 'length');
  assert.equal(said.cut.text, said.free.text.split('6')[0]);
  assert.equal(said.cut.finish_reason, 'stop');
  assert.notEqual(said.biased.text.slice(0, 3), said.free.text.slice(0, 3));
  assert.equal(said.ended, 'AbortError');
  assert.equal(said.chunks, 5, 'nothing comes after the end');
  assert.ok(said.stopped.length > 1 && said.stopped.every(Number.isInteger), `${said.stopped}`);
  assert.ok(said.after.choices[0].text.length > 0, 'the model answers again');
  assert.deepEqual(said.wrong, {code: 'invalid_input', message: 'top_p is 3; it goes from 0 to 1'});
  assert.deepEqual(said.unknown, {code: 'invalid_input', message: 'temprature is no option of generate'});
}));

/** A model that says two letters, each when `go` says so, and one at a time. */
function slowModel() {
  let busy = false;
  const model = {
    timings: {tokens: 2, prompt_tokens: 1, asked_tokens: 1},
    go: async () => {},
    async alone(task) {
      assert.equal(busy, false, 'one at a time');
      busy = true;
      return task().finally(() => { busy = false; });
    },
    async* generate({signal}) {
      for (const text of ['a', 'b']) {
        await this.alone(() => this.go());
        if (signal?.aborted) return;
        yield {text, finish: null};
      }
    },
    embed(text) {
      return this.alone(async () => {
        await this.go();
        return {vector: [text.length], tokens: 1};
      });
    },
  };
  return model;
}

/** Fails if nothing comes of it within a second. */
const soon = promise => Promise.race([promise, new Promise((_, reject) => {
  setTimeout(reject, 1000, new Error('nothing came of it'));
})]);

test('a request whose answer is not read, or that is given up, keeps nobody waiting', async () => {
  const model = slowModel();
  const openai = new OpenAI(model);
  const ask = (body, init) => openai.fetch('http://tab/v1/completions', {method: 'POST', body: JSON.stringify(body), ...init});
  const answer = async () => (await (await ask({prompt: 'x'})).json()).choices[0].text;
  await soon(ask({prompt: 'x', stream: true}));
  assert.equal(await soon(answer()), 'ab');

  // Given up before the first step is here, and when it comes.
  const early = new AbortController();
  model.go = async () => early.abort();
  await assert.rejects(soon(ask({prompt: 'x', stream: true}, {signal: early.signal})), {name: 'AbortError'});
  model.go = async () => {};
  const late = new AbortController();
  const {generate} = model;
  model.generate = async function* () {
    late.abort();
    yield {text: 'a', finish: null};
  };
  const coming = await soon(ask({prompt: 'x', stream: true}, {signal: late.signal}));
  await assert.rejects(soon(coming.text()), {name: 'AbortError'});
  model.generate = generate;
  assert.equal(await soon(answer()), 'ab');

  // Given up while it waits: it is told at once, and the one behind it still waits for the one before.
  let free;
  model.go = () => new Promise(resolve => { free = resolve; });
  const first = answer();
  const controller = new AbortController();
  const {signal} = controller;
  const given = [ask({prompt: 'x'}, {signal}), openai.embeddings.create({input: 'x'}, {signal})];
  const last = answer();
  await new Promise(resolve => setTimeout(resolve));
  controller.abort(new Error('enough'));
  for (const one of given) await assert.rejects(soon(one), /enough/);
  model.go = async () => {};
  free();
  assert.deepEqual(await soon(Promise.all([first, last])), ['ab', 'ab']);

  // Vectors are given up between two texts.
  const between = new AbortController();
  model.go = async () => between.abort();
  await assert.rejects(soon(openai.embeddings.create({input: ['x', 'y']}, {signal: between.signal})), {name: 'AbortError'});
});

test('a conversation is saved and taken up by another engine of the same model', () => inBrowser(async ({page}) => {
  await load(page, SMOLLM2, {device: 'cpu'});
  const said = await page.evaluate(async greedy => {
    const make = async (model, options) => {
      const ids = [];
      for await (const {token} of model.generate({...greedy, ignore_eos: true, ...options})) if (token !== null) ids.push(token);
      return ids;
    };
    const prompt = await window.model.tokenize('Once upon a time, in a village by the sea, there lived');
    const first = await make(window.model, {tokens: prompt, max_tokens: 12});
    const saved = await window.model.save();
    const more = {tokens: [...prompt, ...first], max_tokens: 12};
    const expected = await make(window.model, more);
    const other = await window.hearth.load('smollm2-135m-instruct-q4_1', {device: 'cpu'});
    await other.restore(saved);
    const found = await make(other, more);
    const read = other.timings.prompt_tokens;
    saved[100] ^= 1;
    const damaged = await other.restore(saved).catch(({code}) => code);
    const stranger = await other.restore(new Uint8Array([1, 2, 3])).catch(({code}) => code);
    other.unload();
    return {expected, found, read, damaged, stranger};
  }, greedy);
  assert.deepEqual(said.found, said.expected);
  assert.ok(said.read <= 1, `${said.read} tokens were read again`);
  assert.deepEqual([said.damaged, said.stranger], ['session_damaged', 'not_a_session']);
}));

test('answers fit a schema, an expression, a tool\'s parameters', () => inBrowser(async ({page}) => {
  await load(page, SMOLLM2, {device: 'cpu'});
  await open(page);
  const said = await page.evaluate(async () => {
    const {chat} = window.openai;
    const schema = {
      type: 'object', additionalProperties: false, required: ['name', 'age', 'tags'],
      properties: {
        name: {type: 'string', maxLength: 20}, age: {type: 'integer', minimum: 0, maximum: 120},
        tags: {type: 'array', items: {enum: ['wise', 'young', 'kind']}, minItems: 1, maxItems: 2},
      },
    };
    const messages = [{role: 'user', content: 'Describe a person as JSON.'}];
    const json = await chat.completions.create({
      messages, max_tokens: 200, temperature: 1.3, seed: 3, response_format: {type: 'json_schema', json_schema: {name: 'person', schema}},
    });
    let date = '';
    for await (const step of window.model.generate({
      prompt: 'The date is', max_tokens: 40, temperature: 1.5, seed: 5, response_format: {type: 'regex', regex: ' [0-9]{4}-[0-9]{2}-[0-9]{2}'},
    })) date += step.text;
    const tools = [{type: 'function', function: {
      name: 'get_weather', description: 'The weather of a city',
      parameters: {type: 'object', required: ['city'], properties: {city: {type: 'string', maxLength: 12}}, additionalProperties: false},
    }}];
    const asked = {messages: [{role: 'user', content: 'How is the weather in Paris?'}], tools, tool_choice: 'required', max_tokens: 120};
    const called = await chat.completions.create({...asked, temperature: 0});
    const streamed = [];
    for await (const chunk of await chat.completions.create({...asked, temperature: 0, stream: true})) streamed.push(chunk.choices[0]);
    const failed = async options => {
      try {
        for await (const step of window.model.generate({prompt: 'a', ...options})) void step;
      } catch ({code, message}) {
        return {code, message};
      }
    };
    const wrong = await failed({response_format: {type: 'regex', regex: '(('}});
    const unknown = await chat.completions.create({...asked, tool_choice: {type: 'function', function: {name: 'fly'}}})
      .catch(({code, message}) => ({code, message}));
    return {json, date, called, streamed, wrong, unknown};
  });
  const person = JSON.parse(said.json.choices[0].message.content);
  assert.deepEqual(Object.keys(person).sort(), ['age', 'name', 'tags']);
  assert.ok(Number.isInteger(person.age) && person.age >= 0 && person.age <= 120, said.json.choices[0].message.content);
  assert.ok(person.name.length <= 20 && [1, 2].includes(person.tags.length), said.json.choices[0].message.content);
  assert.ok(person.tags.every(tag => ['wise', 'young', 'kind'].includes(tag)));
  assert.equal(said.json.choices[0].finish_reason, 'stop');
  assert.match(said.date, /^ \d{4}-\d{2}-\d{2}$/);
  const [{message, finish_reason}] = said.called.choices;
  assert.equal(finish_reason, 'tool_calls');
  assert.equal(message.tool_calls.length, 1);
  const [{id, type, function: {name, arguments: text}}] = message.tool_calls;
  assert.deepEqual([type, name, Object.keys(JSON.parse(text))], ['function', 'get_weather', ['city']]);
  assert.ok(id.startsWith('call_'));
  assert.equal(message.content, null, 'what is a call is no content');
  const calls = said.streamed.flatMap(({delta}) => delta.tool_calls ?? []);
  assert.deepEqual(calls.map(call => [call.index, call.function.name, call.function.arguments]), [[0, name, text]]);
  assert.equal(said.streamed.at(-1).finish_reason, 'tool_calls');
  assert.equal(said.wrong.code, 'bad_grammar');
  assert.match(said.unknown.message, /no tool "fly"/);
}));
