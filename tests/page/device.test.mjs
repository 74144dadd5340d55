// Choosing between CPU and GPU, and what happens when the GPU fails. Faults are those of a browser: a few lines in front of the
// engine's worker get in the way of WebGPU's own calls.
import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {test} from 'node:test';
import {generate, inBrowser, knowing, load, SMOLLM2} from './browser.mjs';
import {atCall, inFrontOfEngine, lostAt} from './gpu_faults.mjs';
import {ROOT} from './server.mjs';

const ASKED = {prompt: 'The capital of France is', max_tokens: 10, temperature: 0, repetition_penalty: 1, ignore_eos: true};
const LONG = {...ASKED, prompt: `${'One two three four five six seven. '.repeat(12)}The capital of France is`, max_tokens: 4};

/** A browser with an adapter, whose engine's worker begins with `fault`. */
const withFault = (fault, task) => inBrowser(async given => {
  inFrontOfEngine(given.host, fault);
  await task(given);
}, {gpu: true, serviceWorkers: 'block'});

/** Shaders say `to` where they said `from`. */
const corrupted = (from, to) => `
  const make = GPUDevice.prototype.createShaderModule;
  GPUDevice.prototype.createShaderModule = function (given) {
    return make.call(this, {...given, code: given.code.replace('${from}', '${to}')});
  };`;

const TINY = 'tests/fixtures/tiny-llama.gguf';

/** Loads the tiny fixture. */
async function loadTiny(page, options) {
  const bytes = [...await readFile(join(ROOT, TINY))];
  await page.evaluate(bytes => { window.tiny = new Uint8Array(bytes); }, bytes);
  return page.evaluate(async options => {
    const {Hearth} = await import('/hearth.js');
    window.hearth ??= await Hearth.open();
    try {
      window.model = await window.hearth.load(window.tiny, options);
      return {timings: window.model.timings, verdict: window.model.verdict};
    } catch (error) {
      return {code: error.code, message: error.message};
    }
  }, options);
}

const verdict = page => page.evaluate(() => window.model.verdict);

test('a trial finds the software adapter right and slow, and is remembered', () => inBrowser(async ({page}) => {
  assert.equal((await load(page, SMOLLM2)).timings.device, 'cpu');
  const first = await verdict(page);
  assert.equal(first.why, 'slower');
  assert.equal(typeof first.kernels.subgroups, 'boolean');
  assert.ok(first.error < 0.05, `apart by ${first.error}`);
  assert.ok(first.gpu.decode_per_second > 0 && first.cpu.decode_per_second > first.gpu.decode_per_second);
  assert.ok((await page.evaluate(() => window.progress.map(({phase}) => phase))).includes('trial'));
  // Again: no trial.
  await load(page, SMOLLM2);
  assert.ok(!(await page.evaluate(() => window.progress.map(({phase}) => phase))).includes('trial'));
  assert.deepEqual(await verdict(page), first);
  // And the page says so.
  await page.evaluate(name => {
    localStorage.setItem('hearth.source', JSON.stringify(name));
    localStorage.setItem('hearth.language', JSON.stringify('en'));
  }, SMOLLM2);
  await page.reload();
  const text = page.locator('#verdict');
  await text.waitFor({state: 'attached'});
  assert.match(await text.textContent(), /slower here/);
  await page.locator('#s-device').selectOption('cpu');
  await page.waitForFunction(() => /As you chose/.test(document.querySelector('#verdict').textContent));
}, {gpu: true}));

test('a trial that is stopped leaves nothing behind', () => inBrowser(async ({page}) => {
  await knowing(page);
  const found = await page.evaluate(async source => {
    const {Hearth} = await import('/hearth.js');
    const stop = new AbortController();
    const onProgress = ({phase}) => { if (phase === 'trial') stop.abort(); };
    const error = await (await Hearth.open()).load(source, {onProgress, signal: stop.signal}).catch(error => error);
    return {code: error.code, kept: Object.keys(localStorage).filter(key => key.startsWith('hearth.device'))};
  }, SMOLLM2);
  assert.deepEqual(found, {code: 'aborted', kept: []});
}, {gpu: true}));

test('an adapter with wrong numbers is found out', () => withFault(corrupted('vec4<f32>(1.0, 1.0, 0.0, 0.0)', 'vec4<f32>(1.0, 1.0, 0.1, 0.0)'), async ({page}) => {
  await knowing(page);
  assert.equal((await loadTiny(page, {device: 'auto'})).timings.device, 'cpu');
  const {why, error} = await verdict(page);
  assert.equal(why, 'wrong');
  assert.ok(error > 0.2, `apart by ${error}`);
  assert.equal((await generate(page, {tokens: [1, 2, 3], max_tokens: 2})).tokens.length, 2);
}));

test('an adapter whose subgroups are wrong is used without them', () => withFault(corrupted('quadBroadcast(own0, 2u)', 'quadBroadcast(own0, 1u)'), async ({page}) => {
  // No trial is held where the adapter was asked for: it is the tuning that finds out.
  await loadTiny(page, {device: 'gpu'});
  const [, kept] = await page.evaluate(() => Object.entries(localStorage).find(([key]) => key.startsWith('hearth.kernels.')));
  assert.equal(JSON.parse(kept).what.subgroups, false);
  await loadTiny(page, {device: 'auto'});
  const {why, kernels} = await verdict(page);
  assert.deepEqual([why === 'faster' || why === 'slower', kernels.subgroups], [true, false], why);
}));

test('an adapter whose best kernels are wrong on a model is used with plain ones', () => withFault(corrupted('quadBroadcast(own0, 2u)', 'quadBroadcast(own0, 1u)'), async ({page}) => {
  await knowing(page, {matvec: 'f32', matmul: 'f32', subgroups: true});
  await loadTiny(page, {device: 'auto'});
  const {why, kernels} = await verdict(page);
  const plain = {matvec: 'f32', matmul: 'f32', subgroups: false};
  assert.deepEqual([why === 'faster' || why === 'slower', kernels], [true, plain], why);
  const kept = await page.evaluate(() => Object.entries(localStorage).find(([key]) => key.startsWith('hearth.kernels.'))[1]);
  assert.deepEqual(JSON.parse(kept).what, plain);
}));

test('an adapter that multiplies wrongly is refused when asked for, and found out otherwise', () => withFault(corrupted('0x1p-16', '0x1p-15'), async ({page}) => {
  const {code, message} = await loadTiny(page, {device: 'gpu'});
  assert.equal(code, 'gpu');
  assert.match(message, /products are wrong/);
  assert.equal((await loadTiny(page, {device: 'auto'})).timings.device, 'cpu');
}));

test('kernels are tuned once, and those that are known are used', () => inBrowser(async ({page}) => {
  await loadTiny(page, {device: 'gpu'});
  const kept = () => page.evaluate(() => Object.entries(localStorage).filter(([key]) => key.startsWith('hearth.kernels.')));
  const first = await kept();
  assert.equal(first.length, 1);
  await loadTiny(page, {device: 'gpu'});
  assert.deepEqual(await kept(), first); // also when that was
  await knowing(page, {matvec: 'bytes', matmul: 'bytes', subgroups: true});
  await load(page, SMOLLM2, {device: 'gpu'});
  const {tokens, timings} = await generate(page, ASKED);
  assert.match(timings.kernel, /Bytes, Bytes/);
  await load(page, SMOLLM2, {device: 'cpu'});
  assert.deepEqual(tokens, (await generate(page, ASKED)).tokens);
  // What this adapter does not offer is not used; software adapters have no f16.
  await knowing(page, {matvec: 'f32', matmul: 'f16', subgroups: false});
  await loadTiny(page, {device: 'gpu'});
  assert.match((await generate(page, {tokens: [1, 2], max_tokens: 1})).timings.kernel, /F32, F32/);
}, {gpu: true}));

test('an adapter that chooses other tokens than its logits say is found out', () => withFault(corrupted('u32(likeliest.y)', '(u32(likeliest.y) + 1u)'), async ({page}) => {
  await knowing(page);
  assert.equal((await loadTiny(page, {device: 'auto'})).timings.device, 'cpu');
  const {why, message} = await verdict(page);
  assert.equal(why, 'failed');
  assert.match(message, /other tokens/);
}));

for (const [when, fault, asked] of [
  ['in mid-prompt', lostAt('submit', 2), LONG],
  ['in mid-answer', lostAt('submit', 7), ASKED],
]) {
  test(`a device lost ${when}: the CPU goes on`, () => withFault(fault, async ({page}) => {
    await knowing(page);
    await load(page, SMOLLM2, {device: 'cpu'});
    const expected = await generate(page, asked);
    const {timings, message} = await load(page, SMOLLM2, {device: 'gpu'});
    assert.equal(timings?.device, 'gpu', message);
    const answer = await generate(page, asked);
    assert.equal(answer.text, expected.text, answer.message);
    assert.deepEqual(answer.tokens, expected.tokens);
    assert.equal(answer.timings.device, 'cpu');
    const {device, why, message: said} = await verdict(page);
    assert.deepEqual([device, why], ['cpu', 'failed']);
    assert.match(said, /lost/);
    assert.deepEqual((await generate(page, asked)).tokens, expected.tokens, 'and the next answer is the CPU\'s');
  }));
}

/** The device is lost when the worker is asked for this. */
const lostOn = action => `
  const request = GPUAdapter.prototype.requestDevice;
  let device;
  GPUAdapter.prototype.requestDevice = async function (...all) { return device = await request.apply(this, all); };
  addEventListener('message', ({data}) => { if (data.action === '${action}') device?.destroy(); });`;

const STEPS = {tokens: Array.from({length: 30}, (_, i) => 1 + i), max_tokens: 5, temperature: 0, repetition_penalty: 1, ignore_eos: true};

test('a device lost in making a vector: the CPU makes it', () => withFault(lostOn('embed'), async ({page}) => {
  await knowing(page);
  const embed = () => page.evaluate(async () => {
    const {vector, tokens} = await window.model.embed([1, 2, 3, 4]).catch(({code, message}) => ({vector: [code, message]}));
    return {vector: [...vector], tokens};
  });
  await loadTiny(page, {device: 'cpu'});
  const expected = await embed();
  assert.equal(expected.tokens, 4);
  assert.equal((await loadTiny(page, {device: 'gpu'})).timings?.device, 'gpu');
  assert.deepEqual(await embed(), expected);
  assert.deepEqual([(await verdict(page)).why, (await generate(page, STEPS)).timings.device], ['failed', 'cpu']);
}));

test('a device lost in saving: the CPU reads the conversation again and saves it', () => withFault(lostOn('save'), async ({page}) => {
  await knowing(page);
  const {timings, message} = await loadTiny(page, {device: 'gpu'});
  assert.equal(timings?.device, 'gpu', message);
  const {tokens} = await generate(page, STEPS);
  assert.equal(tokens.length, 5);
  // What is called meanwhile waits for the CPU.
  const [saved, said] = await page.evaluate(() => Promise.all([
    window.model.save().then(bytes => { window.saved = bytes; }, ({code, message}) => `${code}: ${message}`),
    window.model.tokenize('he').catch(({code}) => code),
  ]));
  assert.deepEqual([saved, said, (await verdict(page)).why], [undefined, [256], 'failed']);
  const more = {...STEPS, tokens: [...STEPS.tokens, ...tokens]};
  const next = await generate(page, more);
  assert.deepEqual([next.timings.device, next.timings.prompt_tokens], ['cpu', 1], 'the rest is cached');
  await loadTiny(page, {device: 'cpu'});
  const expected = (await generate(page, more)).tokens;
  assert.deepEqual(next.tokens, expected);
  await loadTiny(page, {device: 'cpu'});
  await page.evaluate(() => window.model.restore(window.saved));
  const restored = await generate(page, more);
  assert.deepEqual([restored.tokens, restored.timings.prompt_tokens], [expected, 1], 'and saved with its cache');
}));

test('a device lost during upload is refused when asked for, and passed over otherwise', () => withFault(
  lostAt('writeBuffer', 20), async ({page}) => {
    await knowing(page);
    const {code, message} = await load(page, SMOLLM2, {device: 'gpu'});
    assert.equal(code, 'gpu', message);
    assert.match(message, /lost/);
    assert.equal((await load(page, SMOLLM2)).timings.device, 'cpu');
    assert.equal((await verdict(page)).why, 'failed');
    assert.equal((await generate(page, {...ASKED, max_tokens: 2})).tokens.length, 2);
  }));

for (const [what, type, told] of [
  ['memory that runs out', 'GPUOutOfMemoryError', 'Out of Memory'], ['a refused command', 'GPUValidationError', 'not valid'],
]) {
  const error = `new GPUUncapturedErrorEvent('uncapturederror', {error: new ${type}('${told}')})`;
  test(`${what} in mid-answer: the CPU goes on`, () => withFault(atCall('submit', 7, `device.dispatchEvent(${error})`), async ({page}) => {
    await knowing(page);
    await loadTiny(page, {device: 'cpu'});
    const expected = await generate(page, ASKED);
    await loadTiny(page, {device: 'gpu'});
    const answer = await generate(page, ASKED);
    assert.deepEqual(answer.tokens, expected.tokens, answer.message);
    assert.equal(answer.timings.tokens, ASKED.max_tokens);
    const {why, message} = await verdict(page);
    assert.equal(why, 'failed');
    assert.match(message, new RegExp(told));
  }));
}

/** The adapter lets a kernel see no more than so many bytes at once. */
const mostBytes = bytes => `
  for (const name of ['maxStorageBufferBindingSize', 'maxBufferSize']) {
    Object.defineProperty(GPUSupportedLimits.prototype, name, {get: () => ${bytes}});
  }`;

test('limits too small for what the model needs are said', () => withFault(mostBytes(3000), async ({page}) => {
  const {code, message} = await loadTiny(page, {device: 'gpu'});
  assert.equal(code, 'gpu');
  assert.match(message, /too long for this adapter/);
  assert.equal((await loadTiny(page, {device: 'auto'})).timings.device, 'cpu');
  assert.equal((await verdict(page)).why, 'failed');
}));

test('weights larger than what a kernel may see are cut', async () => {
  const answer = async ({page}) => {
    await knowing(page);
    const {timings, message} = await loadTiny(page, {device: 'gpu'});
    assert.equal(timings?.device, 'gpu', message);
    const options = {tokens: [1, 2, 3, 4], max_tokens: 30, temperature: 0, repetition_penalty: 1, ignore_eos: true};
    const {tokens, timings: after} = await generate(page, options);
    assert.equal(after.device, 'gpu');
    return tokens;
  };
  let whole;
  let cut;
  await inBrowser(async given => { whole = await answer(given); }, {gpu: true});
  await withFault(mostBytes(20_000), async given => { cut = await answer(given); });
  assert.equal(whole.length, 30);
  assert.deepEqual(cut, whole);
});

test('two tabs share an adapter', () => inBrowser(async ({page, context, host}) => {
  await knowing(page);
  const other = await context.newPage();
  await other.goto(host.url);
  const pages = [page, other];
  for (const {timings, message} of await Promise.all(pages.map(page => loadTiny(page, {device: 'gpu'})))) {
    assert.equal(timings?.device, 'gpu', message);
  }
  const asked = {tokens: [1, 2, 3, 4], max_tokens: 20, temperature: 0, repetition_penalty: 1, ignore_eos: true};
  const answers = await Promise.all(pages.map(page => generate(page, asked)));
  assert.equal(answers[0].tokens?.length, 20, answers[0].message);
  assert.deepEqual(answers[0].tokens, answers[1].tokens);
  assert.deepEqual(answers.map(({timings}) => timings.device), ['gpu', 'gpu']);
}, {gpu: true}));
