// What a browser lacks, as the settings tell it: the list in Node, and where a host and a browser lack much.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {lacking} from '../../web/page/shell/lacks.js';
import {inBrowser} from './browser.mjs';
import {ROOT} from './server.mjs';

const ALL = Object.fromEntries([
  'secure', 'isolated', 'shared', 'webgpu', 'adapter', 'storage', 'promise', 'keeper', 'relaxed', 'locks',
].map(name => [name, true]));
const without = (...names) => lacking({...ALL, ...Object.fromEntries(names.map(name => [name, false]))});

test('only what is lacking is told, and what follows from it is not', () => {
  assert.deepEqual(lacking(ALL), []);
  for (const name of Object.keys(ALL)) assert.deepEqual(without(name), [name]);
  assert.deepEqual(without('isolated', 'shared'), ['isolated']);
  assert.deepEqual(without('webgpu', 'adapter'), ['webgpu']);
  assert.deepEqual(without('storage', 'promise'), ['storage']);
  // A page that came over http from elsewhere: https brings all but what the browser itself has not.
  const withheld = ['secure', 'isolated', 'shared', 'webgpu', 'adapter', 'promise', 'keeper', 'locks'];
  assert.deepEqual(without(...withheld, 'relaxed'), ['secure', 'relaxed']);
});

test('each has its words in both languages', () => {
  for (const language of ['en', 'zh']) {
    const texts = JSON.parse(readFileSync(`${ROOT}web/page/i18n/${language}.json`));
    for (const name of Object.keys(ALL)) assert.ok(texts[`lacks.${name}`] && texts[`lacks.${name}.so`], `${language}: ${name}`);
  }
});

const told = page => page.locator('#lacks b').allTextContents();

test('the settings tell what this browser lacks and what to do, and of nothing where all is there', () => inBrowser(async ({page, host}) => {
  await page.addInitScript(() => {
    if (location.search === '?all') return Object.defineProperty(Navigator.prototype, 'gpu', {get: () => ({}), configurable: true});
    WebAssembly.validate = () => false;
    for (const name of ['gpu', 'locks']) delete Navigator.prototype[name];
  });
  await page.route('**/?bare', async route => {
    const response = await route.fetch();
    const {'cross-origin-opener-policy': _, 'cross-origin-embedder-policy': __, ...headers} = response.headers();
    await route.fulfill({response, headers});
  });
  await page.goto(`${host.url}?bare`);
  await page.waitForSelector('#get');
  assert.deepEqual(await told(page), ['Threads', 'WebGPU', 'Relaxed SIMD', 'Web Locks']);
  assert.match(await page.textContent('#lacks'), /One core does all the work.*Reload the page/);
  await page.click('#language');
  await page.waitForSelector('html[lang=zh]');
  assert.deepEqual(await told(page), ['多线程', 'WebGPU', 'Relaxed SIMD', 'Web Locks']);
  await page.click('#language');

  await page.goto(`${host.url}?all`);
  await page.waitForSelector('#get');
  assert.deepEqual(await told(page), []);
  assert.match(await page.textContent('#lacks'), /Nothing: it has all/);
}, {serviceWorkers: 'block'})); // which would bring the headers

test('over http from elsewhere it is said that https is what lacks', () => inBrowser(async ({page, host}) => {
  await page.goto(host.url.replace('127.0.0.1', 'hearth.test'));
  await page.waitForSelector('#get');
  assert.equal(await page.evaluate(() => isSecureContext), false);
  assert.deepEqual(await told(page), ['A safe address']);
}, {more: ['--host-resolver-rules=MAP hearth.test 127.0.0.1']}));
