// Privacy that can be checked: the page's policy, the list of its requests, the trial of the wall.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {inBrowser, kept} from './browser.mjs';
import {ROOT, serve} from './server.mjs';

const TINY = readFileSync(`${ROOT}tests/fixtures/tiny-llama.gguf`);

/** Another host, with a model and a script; `/moved.gguf` is at `elsewhere`. */
async function otherHost(elsewhere) {
  const other = await serve();
  other.intercept = (request, response) => {
    const type = {'/tiny.gguf': 'application/octet-stream', '/script.js': 'text/javascript'}[request.url];
    const headers = {'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin'};
    const moved = request.url === '/moved.gguf';
    if (moved) response.writeHead(302, {...headers, Location: elsewhere}).end();
    if (type) response.writeHead(200, {...headers, 'Content-Type': type, 'Content-Length': TINY.length}).end(TINY);
    return moved || Boolean(type);
  };
  return other;
}

test('the page has nothing of other hosts and gives them nothing; only models come from there', () => inBrowser(async ({page}) => {
  const other = await otherHost();
  try {
    const outcomes = await page.evaluate(async url => {
      const loads = (name, source) => new Promise(resolve => {
        const element = document.createElement(name);
        element.onload = () => resolve('loaded');
        element.onerror = () => resolve('refused');
        Object.assign(element, source);
        document.head.append(element);
      });
      const settled = promise => promise.then(() => 'loaded', () => 'refused');
      const inline = document.createElement('script');
      inline.textContent = 'window.ran = true';
      document.head.append(inline);
      return {
        script: await loads('script', {src: `${url}script.js`}),
        module: await settled(import(`${url}script.js`)),
        style: await loads('link', {rel: 'stylesheet', href: `${url}script.js`}),
        image: await loads('img', {src: `${url}script.js`}),
        fetch: await settled(fetch(`${url}tiny.gguf`)),
        inline: window.ran ? 'ran' : 'refused',
        eval: (() => { try { return Function('return "ran"')(); } catch { return 'refused'; } })(),
        beacon: navigator.sendBeacon(`${url}tiny.gguf`, 'secret'),
      };
    }, other.url);
    const {beacon: _, ...told} = outcomes; // a beacon never tells
    assert.deepEqual([...new Set(Object.values(told))], ['refused'], JSON.stringify(outcomes));
    assert.deepEqual(other.requests, []);

    await page.click('.tab.models');
    await page.fill('#address', `${other.url}tiny.gguf`);
    await page.press('#address', 'Enter');
    await page.waitForFunction(() => /tiny.*CPU/.test(document.querySelector('#chip').textContent));
    assert.ok(other.requests.length > 0 && other.requests.every(url => url === '/tiny.gguf'), other.requests.join());
    // And the list of requests says so.
    await page.click('.wall');
    const group = page.locator('#requests details', {hasText: 'Models you asked for'});
    assert.match(await group.first().textContent(), new RegExp(new URL(other.url).host));
    // What was not read to its end stands by itself.
    assert.equal(await group.locator('li').count(), other.requests.length);
    assert.match(await page.locator('#requests details', {hasText: 'Other addresses'}).textContent(), /refused, or not answered/);
  } finally {
    await other.close();
  }
}));

test('where an address sends on to another host, both are listed', () => inBrowser(async ({page}) => {
  const second = await otherHost();
  const first = await otherHost(`${second.url}tiny.gguf`);
  try {
    await page.click('.tab.models');
    await page.fill('#address', `${first.url}moved.gguf`);
    await page.press('#address', 'Enter');
    await page.waitForFunction(() => /moved.*CPU/.test(document.querySelector('#chip').textContent));
    assert.ok(second.requests.length > 0);
    await page.click('.wall');
    await page.waitForSelector('#requests li', {state: 'attached'});
    const models = await page.locator('#requests details', {hasText: 'Models you asked for'}).allTextContents();
    for (const {url} of [first, second]) assert.ok(models.some(text => text.includes(url)), `${url}: ${models}`);
  } finally {
    await Promise.all([first.close(), second.close()]);
  }
}));

test('every request is listed, and after the first visit none is made', () => inBrowser(async ({page, host}) => {
  await kept(page);
  await page.click('.wall');
  // What the server saw, but for the keeper's own two files, which the browser fetches by itself, whenever it likes.
  const seen = () => host.requests.filter(url => !/^\/(sw|files)\.js$/.test(url));
  await page.waitForFunction(seen => {
    const shown = new Set([...document.querySelectorAll('#requests li code')].map(({textContent}) => new URL(textContent).pathname));
    return seen.every(path => shown.has(path));
  }, seen());
  assert.match(await page.textContent('#privacy-answer'), /Nothing you wrote.*since it was opened: \d+, [\d.]+ MB in all/);

  await page.reload();
  await page.waitForSelector('#get');
  await page.click('.wall');
  await page.waitForFunction(() => /is kept in this browser/.test(document.querySelector('#privacy-answer')?.textContent));
  assert.match(await page.textContent('#privacy-offline'), /works without a network/);
  await page.evaluate(async () => (await import('/page/i18n.js')).loadOtherTexts());
  await page.waitForFunction(() => [...document.querySelectorAll('#requests li code')].some(one => /zh\.json$/.test(one.textContent)));
  host.requests.length = 0;
  const before = await page.locator('#requests li').count();
  await page.evaluate(() => fetch('/texts/en-test.txt'));
  await page.evaluate(() => fetch('/page/main.js?not-kept'));
  await page.waitForFunction(() => /since it was opened: 1,/.test(document.querySelector('#privacy-answer')?.textContent));
  await page.waitForFunction(count => document.querySelectorAll('#requests li').length === count, before + 2);
  assert.deepEqual(seen(), ['/page/main.js?not-kept']);
}));

test('a secret is tried to be leaked, and every way is shown to be refused by the policy', () => inBrowser(async ({page, host}) => {
  await page.waitForSelector('#get');
  await page.focus('.wall');
  await page.keyboard.press('Enter');
  await page.click('#leak');
  await page.waitForSelector('#leak-result table');
  const rows = await page.locator('#leak-result tr').allTextContents();
  assert.deepEqual(rows, [
    'fetchrefused by connect-src', 'XMLHttpRequestrefused by connect-src', 'WebSocketrefused by connect-src',
    'EventSourcerefused by connect-src', 'WebTransportrefused by connect-src', 'cachesrefused by connect-src',
    'FontFacerefused by font-src', 'importrefused by script-src-elem', 'importScriptsrefused by script-src-elem',
    'Workerrefused by worker-src',
  ]);
  const said = await page.textContent('#leak-result p');
  assert.match(said, /did not get out: all 10 ways were refused/);
  const [, secret] = /“(\w+)”/.exec(said);
  assert.deepEqual(host.requests.filter(url => url.includes(secret)), []);
  assert.ok(host.requests.some(url => url.endsWith('leak.js?control')), 'the page itself gets there');
  assert.match(await page.textContent('#privacy-answer'), /Nothing you wrote/);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'leak');
  const policies = await page.locator('#privacy pre').allTextContents();
  assert.match(policies[0], /connect-src 'self';/);
  assert.equal(policies[1], "default-src 'none';\nscript-src 'wasm-unsafe-eval';\nworker-src blob:");

  // A wall with a hole is told of.
  await page.evaluate(() => navigator.serviceWorker.getRegistration().then(registration => registration?.unregister()));
  await page.route('**/worker/start.js', async route => {
    const response = await route.fetch();
    const weaker = (await response.text()).replace("default-src 'none'; script-src", "default-src 'none'; font-src *; script-src");
    await route.fulfill({response, body: weaker});
  });
  await page.reload();
  await page.waitForSelector('#get');
  await page.click('.wall');
  await page.click('#leak');
  await page.waitForSelector('#leak-result table');
  assert.match(await page.textContent('#leak-result'), /may have got out.*FontFacefailed, without a reason/s);
  const [, lost] = /“(\w+)”/.exec(await page.textContent('#leak-result p'));
  assert.ok(host.requests.some(url => url.includes(lost)));

  // The browser's record of a worker that sees text is watched.
  await page.evaluate(async () => {
    const {ledger} = await import('/page/privacy/ledger.js');
    ledger.push({who: 'engine', address: 'https://example.org/', from: 'network', why: 'other', at: 1});
  });
  await page.click('.tab.chat');
  await page.click('.wall');
  assert.match(await page.textContent('#privacy-answer'), /has asked something of a server/);
}));
