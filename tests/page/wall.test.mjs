// The wall: the worker that sees text can reach nothing.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {generate, inBrowser, load, quiet, SMOLLM2} from './browser.mjs';

const WAYS = [
  'fetch', 'XMLHttpRequest', 'WebSocket', 'EventSource', 'WebTransport', 'caches', 'FontFace', 'import', 'importScripts', 'Worker',
];

test('no way leads out of the engine\'s worker', () => inBrowser(async ({page, host}) => {
  await load(page, SMOLLM2);
  const secret = `secret-${Math.random()}`;
  for (const way of WAYS) {
    const outcome = await page.evaluate(
      ([way, url]) => window.model.tryToEscape(way, url), [way, `${host.url}worker/rpc.js?text=${secret}`],
    );
    assert.match(outcome, /^refused: \w+ \([\w-]+-src(-elem)?\)$/, way);
  }
  // The same ways are open on the page itself, or the test would prove nothing.
  assert.ok(await page.evaluate(url => fetch(url).then(response => response.ok), `${host.url}worker/rpc.js?text=control`));
  assert.ok(host.requests.some(url => url.includes('control')));
  assert.deepEqual(host.requests.filter(url => url.includes(secret)), []);
}));

test('nothing is requested during a chat', () => inBrowser(async ({page, host, context}) => {
  await load(page, SMOLLM2);
  await quiet(page);
  const asked = [];
  context.on('request', request => asked.push(request.url()));
  host.requests.length = 0;
  for (const content of ['What is the sea?', 'Tell me a secret about https://example.org/?q=text']) {
    assert.ok((await generate(page, {messages: [{role: 'user', content}], max_tokens: 24})).text.length > 0);
  }
  assert.deepEqual([asked, host.requests], [[], []]);
  // The recorder works.
  await page.evaluate(() => fetch('/hearth.js?control'));
  assert.ok(asked.length > 0);
}));
