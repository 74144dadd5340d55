// The compression lab through hearth.js: the command line's bytes and figures, progress, stopping, refusals, the wall.
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import {mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, test} from 'node:test';
import {runInNewContext} from 'node:vm';
import {generate, inBrowser, SMOLLM2} from './browser.mjs';
import {ROOT} from './server.mjs';

const FIXTURES = `${ROOT}tests/fixtures/`;
const TINY = `${FIXTURES}tiny-llama.gguf`;
const REAL = `${ROOT}models/files/${SMOLLM2}.gguf`;

const sample = name => readFileSync(`${ROOT}web/texts/en-${name}.txt`, 'utf8');
const CALIBRATION = sample('calibration').slice(0, 10_000);
const TEST = sample('test');
const RECIPE = {
  version: 1, name: 'quarter', calibration: {tokens: 512, length: 64},
  steps: [{method: 'channels', share: 0.25}, {method: 'prune', share: 0.2}, {method: 'awq'}, {method: 'quantize', format: 'IQ4_NL'}],
};

const scratch = mkdtempSync(join(tmpdir(), 'hearth-lab-'));
after(() => rmSync(scratch, {recursive: true}));
const kept = (name, text) => {
  writeFileSync(join(scratch, name), text);
  return join(scratch, name);
};
const calibration = kept('calibration.txt', CALIBRATION);
const other = kept('test.txt', TEST);

const program = `${ROOT}target/debug/hearth`;
const hearth = (...words) => execFileSync(program, words, {encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore']});
const hash = bytes => createHash('sha256').update(bytes).digest('hex');

/** What the command line makes of a model: where it is, and the hash of its bytes. */
function native(model, recipe, text = calibration) {
  const made = join(scratch, `${hash(JSON.stringify([model, recipe, text]))}.gguf`);
  hearth('compress', model, made, '--recipe', JSON.stringify(recipe), '--text', text);
  return {made, hash: hash(readFileSync(made))};
}

/** Serves the fixtures, and opens a lab on one, on several together, or on a model by its id, as `window.opened`. */
async function open(page, host, names, {build, ...options} = {}) {
  host.intercept = (request, response) => {
    if (!request.url.startsWith('/fixtures/')) return false;
    response.writeHead(200).end(readFileSync(FIXTURES + request.url.slice('/fixtures/'.length)));
    return true;
  };
  return page.evaluate(async ([names, build, options]) => {
    const {Hearth} = await import('/hearth.js');
    if (build || !window.hearth) window.hearth = await Hearth.open({build});
    window.fixture = async name => new File([await (await fetch(`/fixtures/${name}`)).blob()], name.split('/').at(-1));
    window.opened?.close();
    window.reported = [];
    const given = Array.isArray(names) || names.endsWith('.gguf');
    const source = given ? await Promise.all([names].flat().map(window.fixture)) : names;
    try {
      window.opened = await window.hearth.lab(source, {...options, onProgress: step => window.reported.push(step)});
      return {info: window.opened.info};
    } catch ({code, message}) {
      return {code, message};
    }
  }, [names, build, options]);
}

/** Calls a method of `window.opened`; of a file the hash is told, and it stays as `window.file`. */
const call = (page, method, ...words) => page.evaluate(async ([method, words]) => {
  window.told = [];
  const onProgress = step => window.told.push({...step, at: performance.now()});
  const given = words.map(word => (word === 'window.file' ? window.file : word?.text ? {...word, onProgress} : word));
  try {
    const result = await window.opened[method](...given);
    const end = performance.now();
    if (!result?.file) return {result, told: window.told, end};
    window.file = result.file;
    const digest = await crypto.subtle.digest('SHA-256', await result.file.arrayBuffer());
    const hash = [...new Uint8Array(digest)].map(byte => byte.toString(16).padStart(2, '0')).join('');
    return {...result, file: result.file.name, size: result.file.size, hash, told: window.told, end};
  } catch ({code, message}) {
    return {code, message};
  }
}, [method, words]);

const greedy = {temperature: 0, repetition_penalty: 1, ignore_eos: true};

/** Loads `window.file` as a model and lets it answer. */
async function answers(page) {
  await page.evaluate(async () => { window.model = await window.hearth.load(window.file, {device: 'cpu'}); });
  return generate(page, {prompt: 'the sea', max_tokens: 8, ...greedy});
}

test('every build makes the command line\'s bytes and figures', () => inBrowser(async ({page, host}) => {
  const expected = native(TINY, RECIPE);
  const options = ['--text', other, '--calibration', calibration, '--context', '64', '--tokens', '1000', '--json'];
  // A line for each model, the original first.
  const figures = JSON.parse(hearth('evaluate', TINY, expected.made, ...options).trim().split('\n')[1]).distance;
  for (const [build, threads] of [['base', 1], ['threads', 1], ['threads', 2], ['threads-relaxed', 2]]) {
    const {info} = await open(page, host, 'tiny-llama.gguf', {build, threads});
    assert.equal(info.architecture, 'llama');
    const made = await call(page, 'compress', RECIPE, {text: CALIBRATION});
    assert.equal(made.hash, expected.hash, `${build}, ${threads} threads: ${made.message}`);
    const test = {text: TEST, calibration: CALIBRATION, context: 64, tokens: 1000};
    const {result} = await call(page, 'evaluate', 'window.file', test);
    assert.deepEqual(result, figures, build);
  }
  assert.ok((await answers(page)).text.length > 0);
}));

test('importance matrices and adapters are the command line\'s, and do what they are for', () => inBrowser(async ({page, host}) => {
  const path = name => join(scratch, `${name}.gguf`);
  const [model, known, quarter, lora, merged] = [TINY, ...['known', 'quarter', 'lora', 'merged'].map(path)];
  const recipe = {version: 1, steps: [{method: 'quantize', format: 'Q4_0', rounding: 'weighted'}]};
  hearth('imatrix', model, known, '--text', calibration, '--tokens', '512', '--length', '64');
  hearth('compress', model, quarter, '--recipe', JSON.stringify(recipe), '--imatrix', known);
  hearth('adapter', model, quarter, lora, '--text', calibration, '--rank', '4', '--tokens', '512');
  hearth('merge', model, lora, merged, '--to', 'F32');
  await open(page, host, 'tiny-llama.gguf', {threads: 2});
  const found = await page.evaluate(async ([recipe, text]) => {
    const hash = async file => [...new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()))]
      .map(byte => byte.toString(16).padStart(2, '0')).join('');
    const lab = window.opened;
    const known = await lab.imatrix({text, name: 'calibration.txt', tokens: 512, length: 64});
    const {file: quarter} = await lab.compress(recipe, {imatrix: known});
    const {file: lora} = await lab.adapter(quarter, {text, rank: 4, tokens: 512});
    const {file: merged} = await lab.merge(lora, {format: 'F32'});
    const say = async (options = {}) => {
      const model = await window.hearth.load(quarter, {device: 'cpu', ...options});
      const steps = [];
      for await (const step of model.generate({prompt: 'the sea', max_tokens: 4, temperature: 0, logprobs: 1})) steps.push(step.logprobs?.logprob);
      model.unload();
      return steps;
    };
    const refused = await window.hearth.load(quarter, {device: 'gpu', adapter: lora}).catch(({code, message}) => `${code}: ${message}`);
    const wrong = await lab.merge(quarter).catch(({message}) => message);
    const [without, beside] = [await say(), await say({adapter: lora})];
    return {hashes: await Promise.all([known, quarter, lora, merged].map(hash)), without, beside, refused, wrong};
  }, [recipe, CALIBRATION]);
  assert.deepEqual(found.hashes, [known, quarter, lora, merged].map(file => hash(readFileSync(file))));
  assert.notDeepEqual(found.beside, found.without);
  assert.match(found.refused, /^invalid_input: adapters run on the CPU/);
  assert.match(found.wrong, /adapter/);
}));

test('what comes of it tells what it is', () => inBrowser(async ({page, host}) => {
  const {info} = await open(page, host, 'tiny-llama.gguf', {threads: 2});
  assert.equal(info.size_bytes, readFileSync(TINY).length);
  assert.deepEqual([info.encoder, info.quantized], [false, null]);
  const query = info.tensors.find(({name}) => name === 'blk.1.attn_q.weight');
  assert.deepEqual([query.layer, query.kind, query.format], [1, 'attn_q', 'F32']);
  const [methods, protocols] = await page.evaluate(() => [window.opened.methods, window.opened.protocols]);
  const quantize = methods.find(({name}) => name === 'quantize');
  assert.ok(quantize.options.find(({name}) => name === 'format').kind.choice.of.includes('IQ4_NL'));
  assert.deepEqual(protocols.map(({name}) => name), ['llama.cpp', 'disjoint', 'sliding']);
  const {result: count} = await call(page, 'count', CALIBRATION);
  assert.equal(count, JSON.parse(hearth('tokenize', TINY, CALIBRATION)).length);

  const made = await call(page, 'compress', JSON.stringify(RECIPE), {text: CALIBRATION});
  assert.match(made.file, /-quarter\.gguf$/);
  assert.equal(made.info.quantized, 'IQ4_NL');
  assert.equal(made.info.size_bytes, made.size);
  assert.deepEqual(made.recipe, RECIPE);
  assert.ok(made.ms > 0 && made.peak_memory_bytes > made.size);
  const [base, after] = [await call(page, 'work', null), await call(page, 'work', 'window.file')].map(({result}) => result);
  assert.ok(after.macs_per_token <= base.macs_per_token && after.resident_bytes < base.resident_bytes);
  assert.ok(after.bytes_per_token < base.bytes_per_token / 4, `${after.bytes_per_token} of ${base.bytes_per_token}`);
  assert.deepEqual([after.file_bytes, base.file_bytes], [made.size, info.size_bytes]);
  // Presets are recipes.
  const presets = await page.evaluate(() => window.opened.presets);
  assert.ok(presets.length > 0);
  for (const {name, recipe} of presets) {
    assert.equal(recipe.name, name);
    const known = ({method}) => methods.some(({name}) => name === method);
    assert.ok(recipe.steps.length > 0 && recipe.steps.every(known), name);
  }
  // A model is itself exactly.
  const {result} = await call(page, 'evaluate', null, {text: TEST, context: 64, protocol: 'disjoint'});
  assert.deepEqual([result.kl.value, result.same_top.value, result.perplexity_ratio.value], [0, 1, 1]);
}));

test('what matters is told, matrix by matrix', () => inBrowser(async ({page, host}) => {
  const {info} = await open(page, host, 'tiny-llama.gguf', {threads: 2});
  const {result, told} = await call(page, 'sensitivity', {text: CALIBRATION, formats: ['Q4_0', 'Q8_0']});
  assert.equal(result.layers, info.layers);
  const sizes = new Map(info.tensors.map(({name, shape: [rows, cols]}) => [name, rows * cols]));
  assert.ok(result.tensors.length >= 7 * info.layers);
  for (const {name, layer, kind, numbers, sensitivity, errors, bytes} of result.tensors) {
    assert.equal(name, layer === null ? `${kind}.weight` : `blk.${layer}.${kind}.weight`);
    assert.equal(numbers, sizes.get(name));
    assert.ok(sensitivity >= 0 && errors.Q4_0 > 10 * errors.Q8_0 && bytes.Q4_0 < bytes.Q8_0, name);
  }
  assert.ok(told.every(({what}) => what === 'measuring') && told.length > 0);
  for (const [said, options] of [
    [/no format Q9 to quantize to; there are F32/, {text: CALIBRATION, formats: ['Q9']}],
    [/calibration text has \d+ tokens/, {text: 'the sea', formats: ['Q4_0']}],
  ]) {
    const {code, message} = await call(page, 'sensitivity', options);
    assert.equal(code, 'invalid_input', message);
    assert.match(message, said);
  }
}));

test('parts and folders are bases, too', () => inBrowser(async ({page, host}) => {
  for (const folder of ['tiny-llama-gguf', 'tiny-llama-f16-sharded', 'tiny-gpt2-f16', 'tiny-bert-f16']) {
    const names = readdirSync(`${FIXTURES}folders/${folder}`).filter(name => name !== 'reference.json');
    const expected = native(`${FIXTURES}folders/${folder}${folder.endsWith('gguf') ? `/${names[1]}` : ''}`, RECIPE);
    await open(page, host, names.map(name => `folders/${folder}/${name}`), {threads: 2});
    const made = await call(page, 'compress', RECIPE, {text: CALIBRATION});
    assert.equal(made.hash, expected.hash, `${folder}: ${made.message}`);
    if (!made.info.encoder) assert.ok((await answers(page)).text.length > 0, folder);
    const less = await open(page, host, names.slice(1).map(name => `folders/${folder}/${name}`));
    assert.equal(less.code, 'bad_files', 'a file is missing');
  }
}));

test('the default model: progress arrives while it runs, and memory is bounded', () => inBrowser(async ({page, host}) => {
  const steps = [{method: 'quantize', format: 'IQ4_NL', rounding: 'weighted'}];
  const recipe = {version: 1, calibration: {tokens: 256, length: 128}, steps};
  const expected = native(REAL, recipe);
  const {info} = await open(page, host, SMOLLM2, {threads: 2});
  assert.equal(info.quantized, 'Q4_1');
  const phases = new Set(await page.evaluate(() => window.reported.map(({phase}) => phase)));
  assert.deepEqual(phases, new Set(['download', 'load']));
  const made = await call(page, 'compress', recipe, {text: CALIBRATION});
  assert.equal(made.hash, expected.hash);
  const whats = new Set(made.told.map(({what}) => what));
  assert.deepEqual(whats, new Set(['calibrating', 'compressing', 'going on']));
  assert.ok(made.told.every(({done, of}) => of === 30 && done >= 0 && done < of));
  assert.ok(made.told[0].at < made.end - made.ms / 2, 'the first is told long before the end');
  assert.ok(made.told.length > 30);
  console.log(`SmolLM2 in the lab: ${Math.round(made.ms)} ms, peak ${made.peak_memory_bytes} bytes`);
  assert.ok(made.peak_memory_bytes < 4 * info.size_bytes, `peak ${made.peak_memory_bytes}`);
  const {result} = await call(page, 'evaluate', 'window.file', {text: TEST, calibration: CALIBRATION, tokens: 512, context: 256});
  assert.ok(result.kl.value > 0.001 && result.kl.value < 0.2, JSON.stringify(result.kl));
  assert.ok((await answers(page)).text.length > 0);
}));

test('stopping leaves the lab usable', () => inBrowser(async ({page, host}) => {
  await open(page, host, 'tiny-llama.gguf', {threads: 2});
  const {hash: expected} = await call(page, 'compress', RECIPE, {text: CALIBRATION});
  const stopped = await page.evaluate(async ([recipe, text]) => {
    const codes = [];
    const told = error => codes.push(error.code);
    for (const method of ['compress', 'evaluate']) {
      const stop = new AbortController();
      const options = {text, tokens: 512, context: 64, onProgress: () => stop.abort(), signal: stop.signal};
      // One that waits behind it is not concerned.
      const call = window.opened[method](method === 'compress' ? recipe : window.file, options).catch(told);
      codes.push(typeof await window.opened.count('the sea'));
      await call;
    }
    await window.opened.compress(recipe, {text, signal: AbortSignal.abort()}).catch(told);
    await window.hearth.lab(window.file, {signal: AbortSignal.abort()}).catch(told);
    const stop = new AbortController();
    await window.hearth.lab(window.file, {signal: stop.signal, onProgress: () => stop.abort()}).catch(told);
    return codes;
  }, [RECIPE, CALIBRATION]);
  assert.deepEqual(stopped, ['aborted', 'number', 'aborted', 'number', 'aborted', 'aborted', 'aborted']);
  assert.equal((await call(page, 'compress', RECIPE, {text: CALIBRATION})).hash, expected);
  assert.equal(await page.locator('iframe').count(), 1, 'a worker that was ended leaves no frame');
  const closed = await page.evaluate(async () => {
    const late = window.opened.count('the sea').catch(({code}) => code);
    window.opened.close();
    return [await late, await window.opened.count('the sea').catch(({code}) => code)];
  });
  assert.deepEqual(closed, ['unloaded', 'unloaded']);
  assert.equal(await page.locator('iframe').count(), 0);
}));

test('what cannot be is refused with a code, and the lab goes on', () => inBrowser(async ({page, host}) => {
  await open(page, host, 'tiny-llama.gguf', {threads: 2});
  const step = (step, more) => [{...RECIPE, steps: [step], ...more}, {text: CALIBRATION}];
  for (const [said, words] of [
    [/version 2.*newer Hearth/, step({}, {version: 2})],
    [/step 1 \(magic\): there is no method magic/, step({method: 'magic'})],
    [/damping is 7, and should be a number from/, step({method: 'quantize', damping: 7})],
    [/cannot be read/, ['{', {text: CALIBRATION}]],
    [/cannot be read/, [{version: 1, steps: [], more: 1}, {text: CALIBRATION}]],
    [/calibration text has \d+ tokens, and \d+ are needed/, [RECIPE, {text: 'the sea'}]],
    [/calibration text has 0 tokens/, [RECIPE]],
    [/calibration text is object; give a string/, [RECIPE, {text: ['a', 'b']}]],
  ]) {
    const {code, message} = await call(page, 'compress', ...words);
    assert.equal(code, 'invalid_input', message);
    assert.match(message, said);
  }
  await call(page, 'compress', RECIPE, {text: CALIBRATION});
  const test = {text: TEST, context: 64, tokens: 1000};
  for (const [said, more] of [
    [/calibration and test text share/, {calibration: TEST}],
    [/there is no protocol poem; there are llama\.cpp/, {protocol: 'poem'}],
    [/test text has \d+ tokens, and 64 are needed/, {text: 'the sea'}],
    [/longer than the \d+ that this model was made for/, {context: 100_000, tokens: 200_000, protocol: 'disjoint'}],
    [/invalid type: string "long", expected usize/, {context: 'long'}],
    [/test text is object; give a string/, {text: [TEST]}],
  ]) {
    const {code, message} = await call(page, 'evaluate', 'window.file', {...test, ...more});
    assert.equal(code, 'invalid_input', message);
    assert.match(message, said);
  }
  const others = await page.evaluate(async test => {
    const code = file => window.opened.evaluate(file, test).then(() => 'done', ({code}) => code);
    const files = [await window.fixture('tiny-gemma3.gguf'), new Blob(['no model']), 'tiny-llama.gguf'];
    return [await code(files[0]), await code(files[1]), await code(files[2])];
  }, test);
  assert.deepEqual(others, ['invalid_input', 'not_gguf', 'invalid_input']);
  assert.equal((await call(page, 'evaluate', 'window.file', test)).result.positions, 15 * 31);
  assert.equal((await open(page, host, 'no-such-model')).code, 'unknown_model');
  assert.equal((await open(page, host, 'tiny-llama.gguf', {threads: 0})).code, 'invalid_input');
}));

test('memory that is refused is said, and the lab goes on', () => inBrowser(async ({page, host}) => {
  await page.addInitScript(`{
    const {Memory} = WebAssembly;
    WebAssembly.Memory = function (description) {
      return new Memory({...description, maximum: window.pages ?? description.maximum});
    };
  }`);
  await page.goto(host.url);
  const within = megabytes => page.evaluate(pages => { window.pages = pages; }, megabytes * 16);
  await within(64);
  const base = await open(page, host, SMOLLM2, {threads: 2});
  assert.equal(base.code, 'out_of_memory');
  assert.match(base.message, /out of memory: .* more bytes/);
  await within(140);
  assert.ok((await open(page, host, SMOLLM2, {threads: 2})).info);
  const recipe = {version: 1, steps: [{method: 'quantize', rounding: 'nearest'}]};
  const {code, message} = await call(page, 'compress', recipe);
  assert.equal(code, 'out_of_memory', message);
  assert.match(message, /the recipe needs \d+ more bytes/);
  await within(4095);
  assert.equal((await call(page, 'compress', recipe)).code, undefined);
}));

test('a trap that no panic explains is memory that was refused', async () => {
  // () => unreachable
  const module = new WebAssembly.Module(Uint8Array.from([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 116, 0, 0, 10, 5, 1, 3, 0, 0, 11,
  ]));
  for (const [panicked, expected] of [[false, 'out_of_memory'], [true, 'crashed']]) {
    const said = [];
    const worker = {
      WebAssembly, postMessage: message => said.push(message),
      wasm_bindgen: {panicked: () => panicked, memory_bytes: () => 5e6},
      actions: {trap: () => new WebAssembly.Instance(module).exports.t()},
    };
    runInNewContext(`${readFileSync(`${ROOT}web/worker/rpc.js`, 'utf8')}\nserve(actions);`, worker);
    await worker.onmessage({data: {call: 7, action: 'trap'}});
    assert.deepEqual(said.map(({call, error}) => [call, error.code]), [[7, expected]]);
  }
});

test('no way leads out of the lab, and nothing is requested up to the exported file', () => inBrowser(async ({page, host, context}) => {
  await open(page, host, 'tiny-llama.gguf', {threads: 2});
  // The page's own files are all here.
  await page.waitForSelector('#get');
  await page.evaluate(async () => (await import('/page/i18n.js')).loadOtherTexts());
  const asked = [];
  context.on('request', request => asked.push(request.url()));
  host.requests.length = 0;
  assert.ok((await call(page, 'compress', RECIPE, {text: CALIBRATION})).hash);
  assert.ok((await call(page, 'evaluate', 'window.file', {text: TEST, context: 64})).result);
  assert.deepEqual([asked, host.requests], [[], []]);
  await page.evaluate(() => fetch('/hearth.js?control'));
  assert.ok(asked.length > 0, 'the recorder works');
  for (const way of ['fetch', 'XMLHttpRequest', 'WebSocket', 'EventSource', 'import', 'importScripts', 'Worker']) {
    const {result} = await call(page, 'tryToEscape', way, `${host.url}worker/rpc.js?text=secret`);
    assert.match(result, /^refused/, way);
  }
  assert.ok(!host.requests.some(url => url.includes('secret')));
}, {serviceWorkers: 'block'})); // which fetches the page's files once more, in its own time
