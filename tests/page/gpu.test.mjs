// The GPU in the tab, on Chromium's software adapter: slow, but the same shaders and the same calls.
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {test} from 'node:test';
import {generate, inBrowser, knowing, load, SMOLLM2} from './browser.mjs';

/** What the plain loops say, natively: the GPU's numbers are as exact, those of the CPU's kernels are rounded to bytes. */
function oracle(model) {
  const file = new URL(`../../models/files/${model}.gguf`, import.meta.url).pathname;
  const hearth = new URL('../../target/debug/hearth', import.meta.url).pathname;
  const options = ['--executor', 'naive', '--greedy', '--ignore-eos', '--ids'];
  return JSON.parse(execFileSync(hearth, ['run', file, '--prompt', ASKED.prompt, '--tokens', ASKED.max_tokens, ...options]));
}

const ASKED = {prompt: 'The capital of France is', max_tokens: 6, temperature: 0, repetition_penalty: 1, ignore_eos: true};

test('texts and tokens become each other while the GPU makes an answer', () => inBrowser(async ({page}) => {
  await knowing(page);
  await load(page, SMOLLM2, {device: 'gpu'});
  const said = await page.evaluate(async asked => {
    const {model} = window;
    let answering = true;
    const answer = (async () => {
      for await (const step of model.generate(asked)) if (step.finish) return step.finish;
    })().finally(() => { answering = false; });
    const said = [];
    while (answering) {
      const ids = await model.tokenize('The sea').catch(({code}) => code);
      const text = await model.detokenize([504, 7032]).catch(({code}) => code);
      const prompt = await model.render([{role: 'user', content: 'Hi'}]).catch(({code}) => code);
      if (answering) said.push([ids, text, typeof prompt === 'string' && prompt.includes('Hi')]);
      await new Promise(resolve => setTimeout(resolve, 10));
    }
    return {finish: await answer, said, ids: await model.tokenize('The sea'), text: await model.detokenize([504, 7032])};
  }, ASKED);
  assert.equal(said.finish, 'length');
  assert.ok(said.said.length > 5, `asked ${said.said.length} times`);
  for (const one of said.said) assert.deepEqual(one, [said.ids, said.text, true]);
}, {gpu: true}));

for (const build of ['threads-relaxed', 'base']) {
  test(`the GPU answers as the oracle does, build ${build}`, () => inBrowser(async ({page}) => {
    await page.evaluate(async build => { window.hearth = await (await import('/hearth.js')).Hearth.open({build}); }, build);
    await knowing(page);
    const {timings, code, message} = await load(page, SMOLLM2, {device: 'gpu'});
    assert.equal(code, undefined, message);
    assert.equal(timings.device, 'gpu');
    assert.equal(timings.kernel, 'wgsl: F32, F32');
    const answer = await generate(page, ASKED);
    // Weights go to the device as they come, 92 MB of them.
    assert.ok(answer.timings.peak_memory_bytes < 60e6, `${answer.timings.peak_memory_bytes} bytes in the module`);
    assert.equal(answer.tokens?.length, 6, answer.message);
    // What is cached is not read again, and going on is the same as having asked for more.
    const again = await generate(page, ASKED);
    assert.deepEqual(again.tokens, answer.tokens);
    assert.equal(again.timings.prompt_tokens, 1);
    assert.deepEqual(answer.tokens, oracle(SMOLLM2));
  }, {gpu: true}));
}

test('without an adapter the GPU is refused and the CPU still works', () => inBrowser(async ({page}) => {
  const {code, message} = await load(page, SMOLLM2, {device: 'gpu'});
  assert.equal(code, 'gpu');
  assert.match(message, /adapter/);
  assert.equal((await load(page, SMOLLM2)).code, undefined);
  assert.equal((await generate(page, {...ASKED, max_tokens: 2})).tokens.length, 2);
}));
