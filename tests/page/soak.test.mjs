// Two hundred answers of a real model: what the page, its workers and the browser hold for it is no more in the end than it was
// after the first forty.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {inBrowser, until} from './browser.mjs';
import {records} from './words.mjs';
import {processes} from '../bench/memory.mjs';

const ROUNDS = 10;
const WARM = 2; // rounds: caches fill, code is compiled, memories come to what the longest conversation needs
const MOST = 1.05;

/**
 * What is looked at, with what it may grow by where that is more than a twentieth. A heap comes and goes by more than half a megabyte
 * with the code and the feedback that the browser keeps or drops; 1.5 are nine kilobytes for each answer.
 */
const ALLOWED = {wasm: 0, nodes: 50, listeners: 20, documents: 1, page: 1.5e6, workers: 200_000, processes: 0};

/** Sessions with the page's workers that answer: helpers are in WebAssembly as long as the model is loaded. */
async function workersOf(cdp) {
  const calls = new Map();
  const found = [];
  cdp.on('Target.attachedToTarget', ({sessionId, targetInfo}) => targetInfo.type === 'worker' && found.push(sessionId));
  cdp.on('Target.receivedMessageFromTarget', ({message}) => {
    const {id, result} = JSON.parse(message);
    calls.get(id)?.(result);
  });
  let next = 1;
  const send = (sessionId, method) => {
    const id = next++;
    const answered = new Promise(resolve => calls.set(id, resolve));
    return cdp.send('Target.sendMessageToTarget', {sessionId, message: JSON.stringify({id, method})}).then(() => answered);
  };
  await cdp.send('Target.setAutoAttach', {autoAttach: true, waitForDebuggerOnStart: false, flatten: false});
  const late = new Promise(resolve => setTimeout(resolve, 10_000));
  const answering = await Promise.all(found.map(id => Promise.race([send(id, 'HeapProfiler.collectGarbage'), late])));
  return found.filter((_, i) => answering[i]).map(id => method => send(id, method));
}

/** The heap's bytes behind a session, once all that nobody holds is gone. */
async function heap(send) {
  for (let i = 0; i < 2; i++) await send('HeapProfiler.collectGarbage');
  const {usedSize, embedderHeapUsedSize, backingStorageSize} = await send('Runtime.getHeapUsage');
  return usedSize + embedderHeapUsedSize + backingStorageSize;
}

/** Bytes of the tab's processes, without the browser's program, which other browsers may share. NaN where nobody tells. */
function resident(profile) {
  const kilobytes = processes(`--user-data-dir=${profile}`, '--type=renderer').map(id => {
    try {
      const text = readFileSync(`/proc/${id}/smaps_rollup`, 'utf8');
      return [...text.matchAll(/^Pss_(?:Anon|Shmem):\s*(\d+)/gm)].reduce((sum, [, size]) => sum + Number(size), 0);
    } catch {
      return 0; // not Linux, or ended meanwhile
    }
  });
  return 1024 * kilobytes.reduce((sum, one) => sum + one, 0) || NaN;
}

async function look(page, profile, cdp, workers) {
  const send = method => cdp.send(method);
  const heaps = [];
  for (const one of [send, ...workers]) heaps.push(await heap(one));
  const [ours, ...theirs] = heaps;
  const {documents, nodes, jsEventListeners} = await send('Memory.getDOMCounters');
  const wasm = await page.evaluate(async () => (await import('/page/store.js')).state.model.timings.peak_memory_bytes);
  return {
    wasm, nodes, listeners: jsEventListeners, documents, page: ours, workers: theirs.reduce((sum, one) => sum + one, 0),
    processes: resident(profile),
  };
}

/** The least of some looks: what is still being written to the archive passes, and a leak stays. */
async function measure(page, ...more) {
  let least = await look(page, ...more);
  for (let i = 0; i < 3; i++) {
    await page.waitForTimeout(400);
    const now = await look(page, ...more);
    least = Object.fromEntries(Object.entries(now).map(([name, value]) => [name, Math.min(value, least[name])]));
  }
  return least;
}

test('two hundred answers leave nothing behind', {timeout: 1_800_000}, t => inBrowser(async ({page, context, profile}) => {
  await page.click('#get');
  await page.waitForSelector('.examples');
  await page.fill('#s-max_tokens', '16');
  await page.fill('#s-seed', '1'); // rounds alike: what is fetched late, as for a first formula, comes in the first
  let answers = 0;

  /** Does what begins an answer, and waits for its end. */
  const answered = async begin => {
    await page.evaluate(async () => {
      const {on, state} = await import('/page/store.js');
      let begun = false;
      window.over = new Promise(resolve => {
        const end = on(['answering'], () => {
          begun ||= state.answering;
          if (!begun || state.answering) return;
          end();
          resolve();
        });
      });
    });
    await begin();
    await page.evaluate(() => window.over);
    await page.waitForFunction(() => {
      const last = document.querySelector('#messages[aria-busy=false] > :last-child');
      return Boolean(last?.matches('.answer:not(.growing)') && last.querySelector('.meta span'));
    });
    answers += 1;
  };
  // What is typed can be undone, a thousand times: that the browser keeps, and not the page.
  const write = (selector, text) => page.locator(selector).evaluate((box, text) => {
    box.value = text;
    box.dispatchEvent(new Event('input', {bubbles: true}));
  }, text);
  const ask = text => answered(async () => {
    await write('#ask', text);
    await page.press('#ask', 'Enter');
  });
  // Not page.waitForSelector, which holds what it has found.
  const there = selector => page.locator(selector).first().waitFor();
  const last = (name, more = '') => `#messages > :last-child [id^=${name}-]${more}`;

  /** Twenty answers: a conversation that grows long, other answers, a changed question, one that goes on, others, to and fro. */
  async function round() {
    for (let i = 0; i < 9; i++) await ask(`Tell me of **${i + 1}** ships, as a list, please.`);
    for (let i = 0; i < 3; i++) await answered(() => page.click(last('again', ':enabled')));
    await page.click(last('tokens'));
    await there('.token');
    await page.click(last('tokens'));
    if (await page.locator(last('goon')).count()) await answered(() => page.click(last('goon')));
    else await ask('Go on.');
    await page.locator('[id^=edit-]').last().click();
    await write('.editor textarea', 'Say it in `code`.');
    await answered(() => page.press('.editor textarea', 'Enter'));
    await page.click(last('tokens'));
    await there('.token');
    for (let i = 0; i < 2; i++) {
      await page.click('#new-chat');
      await ask(`What is ${i} + 1?`);
    }
    for (let i = 0; i < 4; i++) {
      const id = await page.locator('.conversations li').nth(i % 2 + 1).getAttribute('data-id');
      await page.click(`[data-id="${id}"] .title`);
      await there(`.here[data-id="${id}"]`);
      await ask('And why?');
    }
    await page.click('#list-more');
    await page.click('.menu button:last-child');
    await page.click('.toast .more');
    await there('.examples');
    await until(async () => (await records(page, 'turns')).length === 0);
  }

  const seen = [];
  let cdp;
  let workers;
  for (let i = 0; i < ROUNDS; i++) {
    await round();
    if (i + 1 < WARM) continue;
    cdp ??= await context.newCDPSession(page);
    workers ??= await workersOf(cdp);
    assert.ok(workers.length > 0, 'no worker answers');
    seen.push(await measure(page, profile, cdp, workers));
    t.diagnostic(`${answers} answers: ${JSON.stringify(seen.at(-1))}`);
  }
  assert.equal(answers, 20 * ROUNDS);
  for (const [name, allowed] of Object.entries(ALLOWED)) {
    const [first, end] = [seen[0][name], seen.at(-1)[name]];
    if (Number.isNaN(first)) continue;
    assert.ok(end <= Math.max(first * MOST, first + allowed), `${name}: ${seen.map(one => one[name]).join(' ')}`);
  }
}, {viewport: {width: 1280, height: 800}, most: 1_800_000}));
