// The bench as a panel: runs on the model in use, can be stopped, and its result can be copied.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {inBrowser} from './browser.mjs';
import {ROOT} from './server.mjs';

const numbers = (text, pattern) => [...text.matchAll(pattern)].map(([, number]) => Number(number));

test('the bench measures the model in use, and its result is text to take along', () => inBrowser(async ({page, context}) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.waitForSelector('#get');
  await page.click('.tab.bench');
  assert.equal(await page.textContent('#bench-run'), 'Choose a model');
  await page.click('#bench-run');
  await page.setInputFiles('input[type=file]', `${ROOT}tests/fixtures/tiny-llama.gguf`);
  await page.waitForSelector('#chat .welcome h1');
  await page.click('.tab.bench');

  await page.click('#bench-run');
  await page.waitForFunction(() => document.querySelector('#bench-run').textContent === 'Stop');
  assert.ok(await page.isVisible('#bench progress'));
  await page.click('#bench-run');
  await page.waitForFunction(() => document.querySelector('#bench-run').textContent === 'Measure');
  assert.equal(await page.locator('#bench-rate').count(), 0, 'what was stopped shows nothing');
  // Stopped in the midst of what would take minutes.
  const ended = await page.evaluate(async () => {
    const {Hearth} = await import('/hearth.js');
    const hearth = await Hearth.open();
    const start = performance.now();
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 500);
    const code = await hearth.measure({kernels: true, budget_ms: 2000, signal: controller.signal}).catch(({code}) => code);
    return {code, seconds: (performance.now() - start) / 1000};
  });
  assert.equal(ended.code, 'aborted');
  assert.ok(ended.seconds < 30, `${ended.seconds} s`);

  await page.click('#bench-run');
  await page.waitForSelector('#bench-rate');
  assert.ok(Number.parseFloat((await page.textContent('#bench-rate')).replaceAll(',', '')) > 1);
  // It says so for two seconds: the page itself looks for that.
  const copied = page.waitForFunction(() => [...document.querySelectorAll('#bench button')].some(one => one.textContent === 'Copied'));
  await page.click('text=Copy as text');
  await copied;
  const text = await page.evaluate(() => navigator.clipboard.readText());
  const speeds = numbers(text, /^tiny-llama +\d+ +\d+ +hearth +([\d.]+)/gm);
  assert.ok(speeds.length >= 1 && speeds.every(speed => speed > 1), text);
  const shown = await page.locator('#bench-results .card').first().locator('tbody tr').count();
  assert.equal(shown, speeds.length, 'the table shows what is copied');
  const kernels = numbers(text, /^Q4_0 +relaxed16 +1 +([\d.]+)/gm);
  assert.ok(kernels.length === 1 && kernels[0] > 0, text);
  assert.match(text, /memory is read at [\d.]+ GB\/s by 1 thread/);
  assert.deepEqual(await page.evaluate(() => document.querySelectorAll('#messages .it').length), 0, 'the chat is untouched');
}));
