// The chat with a real model: how soon it stops, and answers that go on from a beginning.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {inBrowser} from './browser.mjs';

test('a real model stops at once, answers go on', {timeout: 600_000}, t => inBrowser(async ({page}) => {
  await page.click('#get');
  await page.waitForSelector('.examples');
  await page.fill('#s-temperature', '0');
  const grown = n => document.querySelector('.growing .md')?.textContent.length > n;
  const long = length => page.waitForFunction(grown, length);
  await page.fill('#ask', 'Write a very long story about the sea, as a numbered list.');
  await page.press('#ask', 'Enter');
  await long(400);
  const stops = [];
  for (let i = 0; i < 7; i++) {
    if (i > 0) {
      await page.click('#again-1');
      await long(60);
    }
    stops.push(await page.evaluate(async () => {
      const {state, on} = await import('/page/store.js');
      const {timings, answering} = state;
      if (!answering) throw new Error('the answer has ended by itself');
      const start = performance.now();
      document.querySelector('#send').click();
      const shown = await new Promise(resolve => {
        (function look() {
          if (document.querySelector('[aria-busy=false]')) resolve(performance.now() - start);
          else setTimeout(look);
        })();
      });
      const free = await new Promise(resolve => {
        on(['timings'], () => state.timings !== timings && resolve(performance.now() - start));
      });
      return {shown, free};
    }));
    await page.waitForSelector('#again-1:enabled');
  }
  const median = list => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
  t.diagnostic(`stopped after ${stops.map(({shown, free}) => `${shown.toFixed(0)} ms (engine ${free.toFixed(0)} ms)`).join(', ')}`);
  assert.ok(median(stops.map(({shown}) => shown)) < 100);
  // It ends the token, or the piece of the prompt, that it is at.
  assert.ok(median(stops.map(({free}) => free)) < 300);
  assert.match(await page.textContent('.answer .meta'), /stopped/);

  // Greedy, an answer is the same whether it was begun by itself or given its beginning.
  const whole = await page.evaluate(async () => {
    const {state} = await import('/page/store.js');
    const options = {messages: [{role: 'user', content: 'Name three colours.'}], temperature: 0, max_tokens: 24, logprobs: 3};
    const run = async more => {
      const steps = [];
      for await (const step of state.model.generate({...options, ...more})) steps.push(step);
      return steps;
    };
    const first = (await run()).filter(({token}) => token !== null);
    const begin = first.slice(0, 8);
    const second = await run({begun: {tokens: begin.map(({token}) => token), text: begin.map(({text}) => text).join('')}});
    const said = steps => steps.map(({content}) => content).join('');
    const made = second.filter(({token}) => token !== null).length;
    return {first: said(first), second: said(second), begun: second[0].begun, made, of: first.length};
  });
  assert.equal(whole.second, whole.first);
  assert.deepEqual([whole.begun, whole.made], [true, whole.of - 8]);

  await page.click('#tokens-1');
  await page.waitForSelector('.token');
  const at5 = page.locator('.token').nth(5);
  const before = await page.locator('.token').evaluateAll(all => all.slice(0, 5).map(one => one.textContent).join(''));
  await at5.click();
  const other = page.locator('.alternatives button:not(.said)').first();
  const word = (await other.locator('.word').textContent()).replaceAll('·', ' ').replaceAll('↵', '\n');
  await other.click();
  await long(60);
  await page.press('body', 'Escape');
  await page.waitForSelector('[aria-busy=false]');
  const {content} = await page.evaluate(async () => (await import('/page/store.js')).state.messages.at(-1));
  assert.ok(content.startsWith(before + word), `${content.slice(0, 60)} | ${before} | ${word}`);
}, {viewport: {width: 1280, height: 800}}));
