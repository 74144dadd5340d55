// The page in Firefox: everything on the processor, and the wall. Its GPU is tested in Rust, by tests/tests/gpu.rs.
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {test} from 'node:test';
import {generate, load, shards, SMOLLM2} from './browser.mjs';
import {inFirefox} from './firefox.mjs';
import {ROOT} from './server.mjs';

const isReady = () => /CPU/.test(document.querySelector('#chip')?.textContent);
const isAnswered = count => document.querySelectorAll('.answer').length === count && document.querySelector('#messages[aria-busy=false]');
/** More than so many characters of the last answer are there, and more are to come. */
const isGrowing = length => document.querySelector('#messages[aria-busy=true] .answer.growing .md')?.textContent.length > length;

test('first visit: download, ask, stop; then come back without a network', () => inFirefox(async ({page, host}) => {
  await page.waitFor(() => document.querySelector('#get'));
  assert.ok(await page.evaluate(() => crossOriginIsolated));
  await page.evaluate(() => {
    const slider = document.querySelector('#s-temperature');
    slider.value = 0;
    slider.dispatchEvent(new Event('input'));
  });
  await page.click('#get');
  await page.waitFor(isReady);
  assert.equal(new Set(shards(host)).size, 24);
  await page.type('#ask', 'What is the capital of France?\n');
  await page.waitFor(isAnswered, 1);
  assert.match(await page.text('.it'), /Paris/);
  await page.type('#ask', 'Write a very long story about the sea.\n');
  await page.waitFor(isGrowing, 40);
  await page.click('#send');
  await page.waitFor(isAnswered, 2);
  assert.match(await page.text('.answer:last-child .meta'), /stopped/);

  // Firefox has WebGPU on some systems.
  if (!await page.evaluate(() => 'gpu' in navigator)) assert.match(await page.text('#verdict'), /this browser has no WebGPU/);

  // The page and the model are kept: then the server can go.
  await page.click('.wall');
  await page.waitFor(() => /works without a network/.test(document.querySelector('#privacy-offline')?.textContent));
  await host.close();
  await page.goto(host.url);
  await page.waitFor(isReady);
  assert.match(await page.text('.it'), /Paris/);
  await page.type('#ask', 'And of Italy?\n');
  await page.waitFor(isAnswered, 3);
}));

test('the numbers are those of the command line, with threads and products of bytes', () => inFirefox(async ({page}) => {
  const expected = JSON.parse(execFileSync(`${ROOT}target/debug/hearth`, [
    'run', `${ROOT}models/files/${SMOLLM2}.gguf`, '--prompt', 'The sea is', '--greedy', '--tokens', '40', '--ignore-eos', '--ids',
  ]));
  const {timings, message} = await load(page, SMOLLM2, {threads: 2});
  assert.deepEqual([timings?.build, timings?.threads], ['threads-relaxed', 2], message);
  const greedy = {temperature: 0, repetition_penalty: 1, ignore_eos: true};
  assert.deepEqual((await generate(page, {prompt: 'The sea is', max_tokens: 40, ...greedy})).tokens, expected);
}));

test('every panel opens, says what Firefox lacks, and the wall holds', () => inFirefox(async ({page, host}) => {
  await page.waitFor(() => document.querySelector('#get'));
  for (const [width, privacy] of [[1000, '.tab.privacy'], [450, '.wall']]) {
    await page.resize(width, 800);
    for (const view of ['lab', 'models', 'bench', 'privacy', 'settings', 'chat']) {
      await page.click(view === 'privacy' ? privacy : `.tab.${view}`);
      await page.waitFor(view => document.querySelector(`#${view} h1`), view);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${view} is too wide for ${width}`);
    }
  }
  const webgpu = await page.evaluate(() => 'gpu' in navigator);
  assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('#lacks b')].map(name => name.textContent)), webgpu ? [] : ['WebGPU']);

  await page.click('.wall');
  await page.click('#leak');
  await page.waitFor(() => document.querySelector('#leak-result table'));
  const tried = await page.evaluate(() => [...document.querySelectorAll('#leak-result tr')].map(row => row.textContent));
  // Firefox does not tell a worker why these four failed.
  const silent = ['EventSource', 'WebTransport', 'FontFace', 'Worker'].map(way => `${way}failed, without a reason`);
  assert.deepEqual(tried.filter(row => !/refused by (connect-src|script-src-elem)$/.test(row)), silent);
  const said = await page.text('#leak-result p');
  assert.match(said, /No way was open: 6 of 10 were refused by the policy/);
  const [, secret] = /“(\w+)”/.exec(said);
  assert.deepEqual(host.requests.filter(url => url.includes(secret)), []);
  assert.ok(host.requests.some(url => url.endsWith('leak.js?control')), 'the page itself gets there');
  assert.match(await page.text('#privacy-answer'), /Nothing you wrote/);
}));
