// What may befall a tab, through the page, with the real model: each fault is said in plain words, what has been said stays, and
// there is a way on. (Downloads: download.test.mjs, storage.test.mjs. What a GPU may do: device.test.mjs. The lab: lab_api.test.mjs.)
import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {test} from 'node:test';
import {processes, signal} from '../bench/memory.mjs';
import {hold, inBrowser, knowing, shards} from './browser.mjs';
import {inFrontOfEngine, lostAt} from './gpu_faults.mjs';
import {ROOT} from './server.mjs';
import {settled} from './words.mjs';

/** Before the page: workers are known, so that one can be ended as a browser does, without a word; memory can be made scarce. */
const FAULTS = `{
  const {Worker} = window;
  const {Memory} = WebAssembly;
  top.ended ??= {engine: [], helpers: [], store: []};
  window.Worker = class extends Worker {
    constructor(url) {
      super(url);
      const {engine, helpers, store} = top.ended;
      if (window === top) store.push(this);
      else if (!window.leader) engine.push(window.leader = this);
      else helpers.push(this);
    }
  };
  WebAssembly.Memory = function (description) {
    return new Memory({...description, maximum: Math.min(top.pages ?? Infinity, description.maximum)});
  };
}`;

const faulty = (task, options) => inBrowser(async given => {
  await given.page.addInitScript(FAULTS);
  await given.page.goto(given.host.url);
  await task(given);
}, options);

const kill = (page, which) => page.evaluate(which => window.ended[which].at(-1).terminate(), which);

const wait = (page, check, argument) => page.waitForFunction(check, argument);

async function begin(page) {
  await page.waitForSelector('#get');
  await page.fill('#s-temperature', '0');
  await page.click('#get');
  await page.waitForSelector('.examples');
}

async function ask(page, text) {
  await page.fill('#ask', text);
  await page.press('#ask', 'Enter');
}

/** Waits for the `count`-th answer's end. */
const answered = (page, count = 1) => page.waitForFunction(count => {
  const answers = document.querySelectorAll('.answer');
  return answers.length === count && answers[count - 1].querySelector('.meta span') && document.querySelector('[aria-busy=false]');
}, count);
const grown = (page, length) => wait(page, length => document.querySelector('.answer .md')?.textContent.length > length, length);
/** Ends a worker in mid-answer, surely: as soon as the page shows more than `length`, and before it hears anything else. */
const killAt = (page, which, length) => wait(page, ([which, length]) => {
  const there = document.querySelector('.answer .md')?.textContent.length > length;
  if (there) window.ended[which].at(-1).terminate();
  return there;
}, [which, length]);
const answers = page => page.locator('.answer .md').allTextContents();

async function noticed(page, pattern) {
  await page.waitForSelector('#notice .notice');
  assert.match(await page.textContent('#notice .notice'), pattern);
}

const STORY = 'Write a very long story about the sea.';

for (const which of ['engine', 'helpers']) {
  test(`a worker that is killed in mid-answer (${which}): the answer goes on where it was`, () => faulty(async ({page, host}) => {
    await begin(page);
    // Long enough: a helper that is at work is ended after two seconds.
    await page.fill('#s-max_tokens', '400');
    await page.fill('#s-repetition_penalty', '1');
    await ask(page, STORY);
    await answered(page);
    const [whole] = await answers(page);
    await page.click('#new-chat');
    await ask(page, STORY);
    await killAt(page, which, 150);
    await noticed(page, /The engine stopped working.*the browser has ended the worker.*conversation is still here/);
    const [part] = await answers(page);
    assert.ok(part.length > 100 && whole.startsWith(part.trimEnd()), part);
    host.requests.length = 0;
    await page.click('.notice >> text=Go on');
    await wait(page, length => document.querySelector('.answer .md').textContent.length > length + 50, part.length);
    await answered(page);
    // Its beginning is read together now, and rounded otherwise; so much of it is the same.
    const [more] = await answers(page);
    assert.ok(more.startsWith(part.trimEnd()), more);
    assert.equal(await page.locator('.answer').count(), 1, 'no second answer was begun');
    assert.deepEqual(shards(host), [], 'the model was here');
    assert.equal(await page.locator('.notice').count(), 0);
  }));
}

test('a worker that is killed while nothing is asked of it is started again', () => faulty(async ({page, host}) => {
  await begin(page);
  await ask(page, 'What is the capital of France?');
  await answered(page);
  await kill(page, 'engine');
  await noticed(page, /The engine stopped working/);
  assert.match(await page.textContent('.answer .md'), /Paris/);
  await page.click('.notice >> text=Try again');
  await wait(page, () => /CPU/.test(document.querySelector('#chip').textContent));
  await ask(page, 'And of Italy?');
  await answered(page, 2);
  assert.match((await answers(page))[1], /Rome/);

  // A question that comes meanwhile is answered, too.
  await kill(page, 'engine');
  await noticed(page, /The engine stopped working/);
  await page.click('.notice >> text=Dismiss');
  await ask(page, 'And of Spain?');
  await page.click('#get');
  await answered(page, 3);
  assert.match((await answers(page))[2], /Spain/);
}));

test('the worker that keeps models is killed in mid-download: nothing is fetched twice', () => faulty(async ({page, host}) => {
  const goOn = hold(host, 12);
  await page.click('#get');
  await wait(page, () => /50 of 98 MB/.test(document.querySelector('.progress')?.textContent));
  await kill(page, 'store');
  goOn();
  await noticed(page, /The engine stopped working|download stopped/);
  const have = await page.evaluate(async () => {
    const {hearth} = await import('/page/actions.js');
    return (await (await hearth()).stored()).reduce((sum, {stored_bytes}) => sum + stored_bytes, 0);
  });
  assert.ok(have > 0);
  host.requests.length = 0;
  await page.click('.notice >> text=/Try again|Go on/');
  await page.waitForSelector('.examples');
  assert.equal(new Set(shards(host)).size, shards(host).length);
  assert.equal(shards(host).length, Math.ceil((98362432 - have) / (4 << 20)));
}));

test('memory that is refused at load: a smaller model is offered, and the one in use can be closed first', () => faulty(async ({page}) => {
  const within = megabytes => page.evaluate(megabytes => { window.pages = megabytes * 16; }, megabytes);
  await within(150);
  await page.fill('#s-max_tokens', '32');
  await page.fill('#s-temperature', '0');
  await page.click('.tab.models');
  await page.click(`.model:has-text("Gemma 3 270M") button.main`);
  await noticed(page, /too little memory/);
  await page.click('.notice >> text=Use SmolLM2 135M Instruct');
  await wait(page, () => /SmolLM2.*CPU/.test(document.querySelector('#chip').textContent));
  await ask(page, 'What is the capital of France?');
  await answered(page);
  assert.match((await answers(page))[0], /Paris/);

  // The model in use stays until another is ready.
  await page.click('.tab.models');
  await page.click(`.model:has-text("Gemma 3 270M") button.main`);
  await noticed(page, /too little memory.*conversation is still here/);
  assert.match(await page.textContent('#chip'), /SmolLM2/);
  await within(4000);
  await page.click('.notice >> text=Close SmolLM2 135M Instruct first');
  await wait(page, () => /Gemma.*CPU/.test(document.querySelector('#chip').textContent));
  await ask(page, 'And of Italy?');
  await answered(page, 2);
  assert.ok((await answers(page))[1].length > 0);
}));

test('memory that is refused in mid-answer: what was said stays, and there is a way on', () => faulty(async ({page, host}) => {
  await begin(page);
  const loaded = async () => {
    await page.addInitScript(`top.pages = ${Math.ceil(limit / 65536)};`);
    await page.reload();
    await wait(page, () => /CPU/.test(document.querySelector('#chip')?.textContent));
    return page.evaluate(async () => (await import('/page/store.js')).state.model.timings.peak_memory_bytes);
  };
  let limit = 2 ** 32;
  limit = await loaded() + 2 ** 20;
  await loaded();
  await page.fill('#s-max_tokens', '256');
  // Memory is taken for 256 positions at a time, and some megabytes are left over from loading.
  await ask(page, `${'The sea is wide. '.repeat(150)}${STORY}`);
  for (let turn = 1; turn < 6; turn++) {
    await Promise.race([answered(page, turn), page.waitForSelector('.notice')]);
    if (await page.locator('.notice').count() > 0) break;
    await ask(page, 'Tell another one, as long.');
  }
  await noticed(page, /too little memory.*conversation is still here/);
  assert.ok((await answers(page)).join('').length > 50, 'what was said stays');
  await page.click('.notice >> text=New chat');
  await ask(page, 'What is the capital of France?');
  await answered(page);
  assert.match((await answers(page))[0], /Paris/);
}));

test('a tab that sleeps in mid-download and in mid-answer, and loses its connections: both go on by themselves', () =>
  faulty(async ({page, host, profile}) => {
    const sleep = async () => {
      // As a system does that puts a tab to sleep; the browser's own freezing leaves a tab in front alone.
      const tabs = processes(`--user-data-dir=${profile}`, '--type=renderer');
      assert.ok(tabs.length > 0);
      tabs.forEach(id => signal(id, 'SIGSTOP'));
      await new Promise(resolve => setTimeout(resolve, 1500));
      tabs.forEach(id => signal(id, 'SIGCONT'));
    };
    const goOn = hold(host, 8);
    const open = new Set();
    const {intercept} = host;
    host.intercept = (request, response) => {
      open.add(response.socket);
      return intercept(request, response);
    };
    await page.click('#get');
    await wait(page, () => /34 of 98 MB/.test(document.querySelector('.progress')?.textContent));
    const asleep = sleep();
    open.forEach(socket => socket.destroy());
    await asleep;
    goOn();
    await page.waitForSelector('.examples');
    assert.equal(await page.locator('.notice').count(), 0);

    await page.fill('#s-max_tokens', '160');
    await page.fill('#s-temperature', '0');
    await ask(page, STORY);
    await grown(page, 100);
    await sleep();
    await answered(page);
    assert.equal(await page.locator('.notice').count(), 0);
    assert.ok((await answers(page))[0].length > 300);
  }));

for (const [what, before, befall] of [
  ['graphics processor that is lost', lostAt('submit', 12), () => {}],
  ['worker at a graphics processor that is killed', '', page => killAt(page, 'engine', 3)],
]) {
  test(`a ${what} in mid-answer: it is said, and the processor goes on`, () => faulty(async ({page, host}) => {
    inFrontOfEngine(host, before);
    await page.goto(host.url);
    await page.waitForSelector('#get');
    await knowing(page);
    await page.selectOption('#s-device', 'gpu');
    await page.click('.tab.models');
    await page.setInputFiles('input[type=file]', join(ROOT, 'tests/fixtures/tiny-llama.gguf'));
    await wait(page, () => /tiny-llama.*GPU/.test(document.querySelector('#chip').textContent));
    await page.click('.tab.chat');
    await page.fill('#s-max_tokens', '128');
    await page.fill('#s-temperature', '0');
    await ask(page, 'Hello');
    await befall(page);
    await noticed(page, /Graphics failed\. The processor takes over/);
    await answered(page);
    assert.match(await page.textContent('#chip'), /CPU/);
    assert.match(await page.textContent('#verdict'), /graphics failed/);
    assert.match(await page.textContent('.answer .meta'), /5\d tokens.*the context is full/);
  }, {gpu: true, serviceWorkers: 'block'}));
}

test('storage that is emptied under us: the conversation is put back, the model in use works on', () => faulty(async ({page, host, context}) => {
  await begin(page);
  await ask(page, 'What is the capital of France?');
  await answered(page);
  await page.click('#new-chat');
  await ask(page, 'What is the capital of Italy?');
  await answered(page);
  const session = await context.newCDPSession(page);
  await session.send('Storage.clearDataForOrigin', {origin: new URL(host.url).origin, storageTypes: 'all'});
  await noticed(page, /thrown away.*put back/);
  assert.match(await page.textContent('.answer .md'), /Rome/);
  assert.equal(await page.locator('.conversations .title').count(), 1, 'the other is gone, and no longer listed');
  await page.click('.notice >> text=Dismiss');
  await ask(page, 'What is the capital of France?');
  await answered(page, 2);
  assert.match((await answers(page))[1], /Paris/);
  await settled(page);
  await page.reload();
  await wait(page, () => document.querySelectorAll('.answer').length === 2);
  assert.match((await answers(page))[1], /Paris/);
  // The model is no longer here, and comes again.
  host.requests.length = 0;
  await page.click('#new-chat');
  await page.click('#get');
  await page.waitForSelector('.examples');
  assert.equal(shards(host).length, 24);
}));

test('storage that is emptied in mid-download: it is said, and what is lacking comes again by itself', () => faulty(async ({page, host, context}) => {
  const goOn = hold(host, 12);
  await page.waitForSelector('#get');
  await page.fill('#s-temperature', '0');
  await page.click('#get');
  await wait(page, () => /50 of 98 MB/.test(document.querySelector('.progress')?.textContent));
  const session = await context.newCDPSession(page);
  await session.send('Storage.clearDataForOrigin', {origin: new URL(host.url).origin, storageTypes: 'indexeddb'});
  await noticed(page, /thrown away/);
  goOn();
  await page.waitForSelector('.examples');
  await ask(page, 'What is the capital of France?');
  await answered(page);
  assert.match((await answers(page))[0], /Paris/);
}));

test('the lab\'s worker is killed: it is said, and the lab goes on', () => faulty(async ({page}) => {
  const files = [...await readFile(join(ROOT, 'tests/fixtures/tiny-llama.gguf'))];
  const said = await page.evaluate(async bytes => {
    const {Hearth} = await import('/hearth.js');
    const hearth = await Hearth.open();
    const lab = await hearth.lab(new File([new Uint8Array(bytes)], 'tiny.gguf'));
    const compress = onProgress => lab.compress({version: 1, steps: [{method: 'quantize', rounding: 'nearest'}]}, {onProgress})
      .then(({file}) => file.size, ({code, message}) => `${code}: ${message}`);
    const kill = () => window.ended.engine.at(-1).terminate();
    const killed = await compress(kill);
    const after = await compress();
    kill();
    // It is missed as soon as the browser tells that it has ended; then its frame goes.
    while (document.querySelector('iframe')) await new Promise(resolve => setTimeout(resolve, 20));
    return {killed, after, again: await compress()};
  }, files);
  assert.match(said.killed, /^crashed: the browser has ended the worker/);
  assert.ok(said.after > 1000, said.after);
  assert.equal(said.again, said.after);
}));
