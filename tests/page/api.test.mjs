// hearth.js with the real models: loading from every kind of source, exactness, memory, answers.
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';
import {test} from 'node:test';
import {GEMMA, generate, inBrowser, load, shards, SMOLLM2} from './browser.mjs';
import {ROOT} from './server.mjs';

const fixture = model => JSON.parse(readFileSync(`${ROOT}tests/fixtures/llamacpp-${model}.json`));
const catalog = JSON.parse(readFileSync(`${ROOT}models/catalog.json`)).models;
const size = id => catalog.find(model => model.id === id).size_bytes;
const greedy = {temperature: 0, repetition_penalty: 1};

test('the default model loads, tokenizes like llama.cpp and answers as it does natively', () => inBrowser(async ({page}) => {
  const {info, timings} = await load(page, SMOLLM2);
  assert.equal(info.architecture, 'llama');
  assert.ok(timings.peak_memory_bytes <= 1.3 * size(SMOLLM2), `peak ${timings.peak_memory_bytes}`);
  const cases = fixture(SMOLLM2);
  for (const {prompt, tokens} of cases) {
    assert.deepEqual(await page.evaluate(prompt => window.model.tokenize(prompt), prompt), tokens, prompt);
  }
  for (const {prompt, tokens} of cases.slice(0, 3)) {
    const {tokens: made, timings} = await generate(page, {prompt, ...greedy, max_tokens: 24, ignore_eos: true});
    const native = execFileSync(`${ROOT}target/debug/hearth`, [
      'run', `${ROOT}models/files/${SMOLLM2}.gguf`, '--prompt', prompt, '--greedy', '--tokens', '24', '--ignore-eos', '--ids',
    ]);
    assert.deepEqual(made, JSON.parse(native), prompt);
    assert.equal(timings.prompt_tokens, tokens.length);
    assert.equal(timings.tokens, 24);
    for (const name of ['load_ms', 'prompt_ms', 'first_token_ms', 'decode_ms', 'peak_memory_bytes']) {
      assert.ok(timings[name] > 0, name);
    }
    assert.deepEqual([timings.device, timings.build], ['cpu', 'threads-relaxed']);
    assert.ok(timings.threads >= 1);
  }
}));

test('Gemma 3 loads from an address, in little more memory than its size, and resumes its own conversation', () =>
  inBrowser(async ({page, host}) => {
    const {timings, info} = await load(page, `${host.url}files/${GEMMA}.gguf`);
    assert.equal(info.architecture, 'gemma3');
    assert.ok(timings.peak_memory_bytes <= 1.3 * size(GEMMA), `peak ${timings.peak_memory_bytes / size(GEMMA)} × the file`);
    for (const {prompt, tokens} of fixture(GEMMA)) {
      assert.deepEqual(await page.evaluate(prompt => window.model.tokenize(prompt), prompt), tokens, prompt);
    }
    const prompt = 'The capital of France is';
    const first = await generate(page, {prompt, ...greedy, max_tokens: 8});
    const second = await generate(page, {prompt: prompt + first.text, ...greedy, max_tokens: 4});
    assert.ok(second.timings.prompt_tokens <= 2, `${second.timings.prompt_tokens} tokens were read again`);
    const progress = await page.evaluate(() => window.progress.filter(({phase}) => phase === 'download'));
    assert.ok(progress.length > 10);
    assert.equal(progress.at(-1).loaded, size(GEMMA));
  }));

test('a file from a server without ranges, a Blob and an ArrayBuffer load too', () => inBrowser(async ({page, host}) => {
  const tiny = readFileSync(`${ROOT}tests/fixtures/tiny-llama.gguf`);
  host.intercept = (request, response) => {
    if (request.url !== '/tiny.gguf') return false;
    response.writeHead(200, {'Content-Length': tiny.length}).end(tiny);
    return true;
  };
  assert.equal((await load(page, `${host.url}tiny.gguf`)).info.vocab_size, 261);
  assert.equal((await generate(page, {prompt: 'he', max_tokens: 3, ignore_eos: true})).tokens.length, 3);
  const given = await page.evaluate(async url => {
    const blob = await (await fetch(url)).blob();
    const models = [await window.hearth.load(blob), await window.hearth.load(await blob.arrayBuffer())];
    models[0].unload();
    const unloaded = await models[0].tokenize('a').catch(error => error.code);
    return {tokens: await models[1].tokenize('he'), unloaded};
  }, `${host.url}tiny.gguf`);
  assert.deepEqual(given, {tokens: [256], unloaded: 'unloaded'});
}));

const FOLDERS = `${ROOT}tests/fixtures/folders/`;
const filesOf = folder => readdirSync(`${FOLDERS}${folder}`).map(name => ({name, bytes: readFileSync(`${FOLDERS}${folder}/${name}`)}));

/** By which each is asked for. */
const ADDRESSES = {
  'tiny-llama-f32': ['', 'model.safetensors?download=true'],
  'tiny-llama-f16-sharded': ['', 'model-00002-of-00002.safetensors'],
  'tiny-gemma3-bf16': ['other.safetensors', ''],
  'tiny-llama-gguf': ['tiny-llama-00001-of-00003.gguf'],
};

test('a folder and a GGUF file in parts load, from files and from addresses', () => inBrowser(async ({page, host}) => {
  const folders = Object.keys(ADDRESSES);
  const served = Object.fromEntries(folders.flatMap(folder => filesOf(folder).map(({name, bytes}) => [`/${folder}/${name}`, bytes])));
  host.intercept = (request, response) => {
    const bytes = served[request.url.replace(/\?.*/, '').replace('other.', 'model.')];
    if (!bytes) return false;
    response.writeHead(200, {'Content-Length': bytes.length}).end(bytes);
    return true;
  };
  for (const folder of folders) {
    const names = filesOf(folder).map(({name}) => name);
    const loaded = await page.evaluate(async ([base, names]) => {
      const {Hearth} = await import('/hearth.js');
      window.hearth ??= await Hearth.open();
      const files = await Promise.all(names.map(async name => new File([await (await fetch(base + name)).blob()], name)));
      window.model = await window.hearth.load(files, {device: 'cpu'});
      const some = files.filter(({name}) => name !== 'tokenizer.json' && !name.includes('-00002-of-'));
      const less = await window.hearth.load(some, {device: 'cpu'}).catch(error => error.code);
      return [window.model.info.architecture, less];
    }, [`${host.url}${folder}/`, names]);
    assert.match(loaded[0], /llama|gemma3/);
    assert.equal(loaded[1], 'bad_files', 'a file is missing');
    const options = {prompt: 'he', ...greedy, max_tokens: 5, ignore_eos: true};
    const given = await generate(page, options);
    assert.equal(given.tokens.length, 5);
    for (const address of ADDRESSES[folder]) {
      assert.ok((await load(page, `${host.url}${folder}/${address}`, {device: 'cpu'})).info, `${folder}/${address}`);
      assert.deepEqual((await generate(page, options)).tokens, given.tokens);
    }
  }
  const stored = await page.evaluate(() => window.hearth.stored());
  assert.deepEqual(stored.map(({whole}) => whole), [true, true, true, true]);
  await page.evaluate(keys => Promise.all(keys.map(key => window.hearth.remove(key))), stored.map(({plan}) => plan.key));
  assert.deepEqual(await page.evaluate(() => window.hearth.stored()), []);
}));

test('answers stop, repeat with a seed, and refuse what cannot be', () => inBrowser(async ({page}) => {
  await load(page, SMOLLM2, {context: 256});
  const messages = [{role: 'user', content: 'Count from one to twenty.'}];
  const once = await generate(page, {messages, seed: 7, max_tokens: 24});
  const again = await generate(page, {messages, seed: 7, max_tokens: 24});
  assert.equal(once.text, again.text);
  assert.notEqual(once.text, (await generate(page, {messages, seed: 8, max_tokens: 24})).text);

  const {text} = await generate(page, {prompt: 'One two three four', ...greedy, max_tokens: 24});
  const stop = text.trim().split(' ')[1];
  const stopped = await generate(page, {prompt: 'One two three four', ...greedy, max_tokens: 24, stop});
  assert.equal(stopped.text, text.slice(0, text.indexOf(stop)));
  assert.equal(stopped.finish, 'stop');

  const aborted = await page.evaluate(async () => {
    const controller = new AbortController();
    let made = 0;
    for await (const step of window.model.generate({prompt: 'Once', ignore_eos: true, signal: controller.signal})) {
      if (step.token !== null && ++made === 5) controller.abort();
    }
    return made;
  });
  assert.ok(aborted < 40, `${aborted} tokens although it was stopped after 5`);

  const both = await page.evaluate(async () => {
    const answer = window.model.generate({prompt: 'A', max_tokens: 9, ignore_eos: true});
    const steps = [(await answer.next()).value];
    const code = await window.model.generate({prompt: 'B'}).next().catch(error => error.code);
    for await (const step of answer) steps.push(step);
    return [steps.filter(({token}) => token !== null).length, code];
  });
  assert.deepEqual(both, [9, 'busy']);

  assert.equal((await generate(page, {prompt: ''})).code, 'empty_prompt');
  const long = await generate(page, {prompt: 'word '.repeat(300)});
  assert.equal(long.code, 'prompt_too_long');
  assert.match(long.message, /256/);
  assert.equal((await generate(page, {prompt: 'a', temperature: -1})).code, 'invalid_input');
  assert.equal((await generate(page, {prompt: 'Hello', max_tokens: 3, ignore_eos: true})).tokens.length, 3, 'still works');
  assert.equal((await load(page, SMOLLM2, {device: 'abacus'})).code, 'invalid_input');
  assert.match((await load(page, 'no-such-model')).message, new RegExp(SMOLLM2));
}));

test('a second visit loads without a network', () => inBrowser(async ({page, host}) => {
  await load(page, SMOLLM2);
  await page.reload();
  host.requests.length = 0;
  const {timings} = await load(page, SMOLLM2);
  assert.deepEqual(shards(host), []);
  assert.ok(timings.load_ms > 0);
}));
