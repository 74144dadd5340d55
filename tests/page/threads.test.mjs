// The engine's three builds, its threads, and everything a browser may refuse them.
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {generate, inBrowser, load, SMOLLM2} from './browser.mjs';
import {processes, signal} from '../bench/memory.mjs';
import {ROOT} from './server.mjs';

const TINY = readFileSync(`${ROOT}tests/fixtures/tiny-llama.gguf`);
const greedy = {temperature: 0, repetition_penalty: 1, ignore_eos: true};
const tiny = {tokens: [1, 2, 3, 4, 5], max_tokens: 12, ...greedy};

/** Serves the tiny model at /tiny.gguf; `more(request, response)` as in server.mjs. */
const serveTiny = (host, more) => {
  host.intercept = (request, response) => {
    if (request.url === '/tiny.gguf') return response.writeHead(200, {'Content-Length': TINY.length}).end(TINY);
    return more?.(request, response);
  };
};

/** Loads the tiny model in a page that `script` has changed first, and gives the load's result with an answer's tokens. */
const inChangedPage = (script, options = {}, more = undefined) => {
  let result;
  return inBrowser(async ({page, host}) => {
    serveTiny(host, more);
    await page.addInitScript(script);
    await page.goto(host.url);
    result = await load(page, `${host.url}tiny.gguf`, options);
    if (result.code) return;
    const {tokens, message} = await generate(page, tiny);
    assert.equal(tokens?.length, tiny.max_tokens, message);
    result.tokens = tokens;
  }).then(() => result);
};

/** What every build and number of threads must answer. */
const expected = JSON.parse(execFileSync(`${ROOT}target/debug/hearth`, [
  'run', `${ROOT}models/files/${SMOLLM2}.gguf`, '--prompt', 'The sea is', '--greedy', '--tokens', '40', '--ignore-eos', '--ids',
]));

test('every build answers alike with one thread and with two, and says what it used', () => inBrowser(async ({page}) => {
  for (const [build, threads, used] of [
    ['base', 1, 1], ['base', 2, 1], ['threads', 1, 1], ['threads', 2, 2], ['threads-relaxed', 1, 1], ['threads-relaxed', 2, 2],
  ]) {
    await page.evaluate(async build => {
      window.model?.unload();
      const {Hearth} = await import('/hearth.js');
      window.hearth = await Hearth.open({build});
    }, build);
    const {timings} = await load(page, SMOLLM2, {threads});
    assert.deepEqual([timings.build, timings.threads], [build, used]);
    const {tokens} = await generate(page, {prompt: 'The sea is', max_tokens: 40, ...greedy});
    assert.deepEqual(tokens, expected, `${build}, ${threads} threads`);
  }
}));

test('by itself the best build is taken, timed once and remembered', () => inBrowser(async ({page, host}) => {
  serveTiny(host);
  const {timings} = await load(page, `${host.url}tiny.gguf`);
  assert.equal(timings.build, 'threads-relaxed');
  const kept = () => page.evaluate(() => ({...localStorage}));
  const [[key, value]] = Object.entries(await kept()).filter(([key]) => key.startsWith('hearth.tuning'));
  assert.match(value, /"kernel":"(relaxed16|relaxed32)"/);
  const {threads} = JSON.parse(value);
  assert.ok(threads >= 1 && threads <= await page.evaluate(() => navigator.hardwareConcurrency));
  assert.equal(timings.threads, threads);
  await page.evaluate(([key]) => localStorage.setItem(key, '{"kernel":"relaxed32","threads":1}'), [key]);
  const again = await load(page, `${host.url}tiny.gguf`);
  assert.deepEqual([again.timings.kernel, again.timings.threads], ['relaxed32', 1]);
}));

test('guessing ahead is right where text is copied, and changes nothing', () => inBrowser(async ({page}) => {
  await load(page, SMOLLM2, {threads: 1});
  const list = Array.from({length: 12}, (_, i) => `{"id": ${i}, "name": "lamp ${i}", "room": "hall"}`).join('\n');
  const prompt = `${list}\n\nThe same list again:\n${list.slice(0, 120)}`;
  const plain = await generate(page, {prompt, max_tokens: 120, ...greedy, lookup: false});
  const ahead = await generate(page, {prompt, max_tokens: 120, ...greedy});
  assert.equal(ahead.text, plain.text);
  assert.deepEqual(plain.timings.guesses, {guessed: 0, right: 0});
  assert.ok(ahead.timings.guesses.right > 40, JSON.stringify(ahead.timings.guesses));
}));

test('without the two headers the build without threads works', () => inBrowser(async ({page, host}) => {
  serveTiny(host);
  await page.route(host.url, async route => {
    const response = await route.fetch();
    const headers = response.headers();
    delete headers['cross-origin-opener-policy'];
    delete headers['cross-origin-embedder-policy'];
    await route.fulfill({response, headers});
  });
  await page.goto(host.url);
  assert.equal(await page.evaluate(() => crossOriginIsolated), false);
  const {timings} = await load(page, `${host.url}tiny.gguf`, {threads: 4});
  assert.deepEqual([timings.build, timings.threads], ['base', 1]);
  assert.equal((await generate(page, tiny)).tokens.length, 12);
}, {serviceWorkers: 'block'})); // which would bring the headers

test('without SharedArrayBuffer, without relaxed SIMD', async () => {
  const without = await inChangedPage(() => { delete globalThis.SharedArrayBuffer; });
  assert.equal(without.timings.build, 'base');
  const plain = await inChangedPage(() => { WebAssembly.validate = () => false; }, {threads: 2});
  assert.deepEqual([plain.timings.build, plain.timings.threads], ['threads', 2]);
  assert.deepEqual(plain.tokens, without.tokens);
});

test('a memory that is refused is asked for smaller, then done without', async () => {
  const refuse = most => `{
    const {Memory} = WebAssembly;
    WebAssembly.Memory = function (description) {
      if (description.shared && description.maximum > ${most}) throw new RangeError('could not allocate memory');
      return new Memory(description);
    };
  }`;
  const smaller = await inChangedPage(refuse(20_000), {threads: 2});
  assert.deepEqual([smaller.timings.build, smaller.timings.threads], ['threads-relaxed', 2]);
  const none = await inChangedPage(refuse(0), {threads: 2});
  assert.deepEqual([none.timings.build, none.timings.threads], ['base', 1]);
  assert.deepEqual(none.tokens, smaller.tokens);
});

test('a helper that does not start is done without', async () => {
  const broken = (request, response) => request.url === '/worker/helper.js'
    && response.writeHead(200, {'Content-Type': 'text/javascript'}).end('throw new Error("no helpers today")');
  const whole = await inChangedPage('', {threads: 2});
  assert.equal(whole.timings.threads, 2);
  const {timings, tokens} = await inChangedPage('', {threads: 2}, broken);
  assert.equal(timings.threads, 1);
  assert.deepEqual(tokens, whole.tokens);
  // One that fails in its own time, one that never says a word, and one that may not even be made.
  for (const program of ['onmessage = () => postMessage({failed: "no room"})', '']) {
    const other = (request, response) => request.url === '/worker/helper.js'
      && response.writeHead(200, {'Content-Type': 'text/javascript'}).end(program);
    assert.equal((await inChangedPage('', {threads: 2}, other)).timings.threads, 1, program);
  }
});

test('what was remembered of this device and cannot be right is found anew', () => inBrowser(async ({page, host}) => {
  serveTiny(host);
  await load(page, `${host.url}tiny.gguf`);
  const keys = () => page.evaluate(() => Object.keys(localStorage).filter(key => key.startsWith('hearth.tuning')));
  const [key] = await keys();
  for (const broken of ['{"kernel":5,"threads":1}', '{"kernel":"plain","threads":-1}', '{"kernel":"plain","threads":"x"}', '5', '{']) {
    await page.evaluate(([key, value]) => localStorage.setItem(key, value), [key, broken]);
    assert.equal((await load(page, `${host.url}tiny.gguf`)).code, undefined, broken);
    assert.match(await page.evaluate(key => localStorage.getItem(key), key), /"kernel":"\w+","threads":[1-9]/, broken);
  }
  // Another model has its own best.
  await load(page, SMOLLM2);
  assert.equal((await keys()).length, 2);
}));

test('a load that is stopped while helpers start leaves nothing behind', () => inBrowser(async ({page, host}) => {
  serveTiny(host);
  const code = await page.evaluate(async url => {
    const {Hearth} = await import('/hearth.js');
    window.hearth = await Hearth.open();
    const stop = new AbortController();
    const onProgress = ({phase}) => phase === 'load' && stop.abort();
    return window.hearth.load(url, {threads: 2, onProgress, signal: stop.signal}).then(() => 'loaded', ({code}) => code);
  }, `${host.url}tiny.gguf`);
  assert.equal(code, 'aborted');
  assert.equal(await page.locator('iframe').count(), 0);
  assert.equal((await load(page, `${host.url}tiny.gguf`, {threads: 2})).timings.threads, 2);
}));

test('a measurement that is stopped does not wait for helpers on their way', () => inBrowser(async ({page, host}) => {
  host.intercept = (request, response) => request.url === '/worker/helper.js'
    && response.writeHead(200, {'Content-Type': 'text/javascript'}).end('onmessage = () => {};');
  await page.goto(host.url);
  const {code, seconds} = await page.evaluate(async () => {
    const {Hearth} = await import('/hearth.js');
    const hearth = await Hearth.open();
    const stop = new AbortController();
    const measured = hearth.measure({threads: [2], signal: stop.signal}).then(() => 'measured', ({code}) => code);
    while (!document.querySelector('iframe')) await new Promise(resolve => setTimeout(resolve, 20));
    await new Promise(resolve => setTimeout(resolve, 1500)); // they are waited for, for ten seconds
    const start = performance.now();
    stop.abort();
    return {code: await measured, seconds: (performance.now() - start) / 1000};
  });
  assert.equal(code, 'aborted');
  assert.ok(seconds < 5, `${seconds} s`);
}, {serviceWorkers: 'block'}));

test('senseless numbers of threads', () => inBrowser(async ({page, host}) => {
  serveTiny(host);
  for (const threads of [0, -1, 1.5, 'many']) {
    const {code, message} = await load(page, `${host.url}tiny.gguf`, {threads});
    assert.equal(code, 'invalid_input');
    assert.match(message, new RegExp(`threads is ${threads}; give a whole number`));
  }
  const {timings} = await load(page, `${host.url}tiny.gguf`, {threads: 1000});
  assert.equal(timings.threads, await page.evaluate(() => Math.min(navigator.hardwareConcurrency, 64)));
  assert.equal((await generate(page, tiny)).tokens.length, 12);
}));

test('a tab that is suspended in mid-answer goes on when it wakes', () => inBrowser(async ({page, profile}) => {
  await load(page, SMOLLM2, {threads: 2});
  const answer = page.evaluate(async options => {
    window.times = [];
    const tokens = [];
    for await (const {token} of window.model.generate(options)) {
      if (token === null) continue;
      window.times.push(performance.now());
      tokens.push(token);
    }
    return {tokens, times: window.times};
  }, {prompt: 'The sea is', max_tokens: 400, ...greedy});
  await page.waitForFunction(() => window.times?.length > 3);
  // As a system does that puts a tab to sleep; the browser's own freezing leaves a tab in front alone.
  const tabs = processes(`--user-data-dir=${profile}`, '--type=renderer');
  assert.ok(tabs.length > 0);
  tabs.forEach(id => signal(id, 'SIGSTOP'));
  await new Promise(resolve => setTimeout(resolve, 1500));
  tabs.forEach(id => signal(id, 'SIGCONT'));
  const {tokens, times} = await answer;
  assert.equal(tokens.length, 400);
  assert.deepEqual(tokens.slice(0, expected.length), expected);
  const longest = Math.max(...times.slice(1).map((time, i) => time - times[i]));
  assert.ok(longest > 1000, `the pause shows: ${longest} ms between two tokens`);
}));
