// The modules of dist/engine: their size, and that each is fetched when it is needed.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {homedir} from 'node:os';
import {test} from 'node:test';
import {brotliCompressSync, constants} from 'node:zlib';
import {inBrowser} from './browser.mjs';
import {ROOT} from './server.mjs';

const MOST_BYTES = 1.2e6;
const module = path => readFileSync(`${ROOT}dist/engine/${path}_bg.wasm`);
const exported = path => WebAssembly.Module.exports(new WebAssembly.Module(module(path))).map(({name}) => name);

test('the largest build of the engine, compressed, is small', () => {
  const all = ['base', 'threads', 'threads-relaxed'].map(build => module(`${build}/engine`));
  const largest = all.reduce((a, b) => (a.length > b.length ? a : b));
  const params = {[constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24};
  const {length} = brotliCompressSync(largest, {params});
  assert.ok(length <= MOST_BYTES, `${length} bytes`);
});

test('modules have their own classes, and nothing for C', () => {
  const [engine, lab] = [exported('base/engine'), exported('base/lab')];
  assert.ok(engine.includes('loader_new') && !engine.some(name => name.startsWith('lab_')));
  assert.ok(lab.includes('lab_new') && !lab.some(name => name.startsWith('loader_')));
  assert.deepEqual([...engine, ...lab].filter(name => name.startsWith('llg_')), []);
});

test('nothing tells of the machine that compiled them', () => {
  const files = ['store/engine', ...['base', 'threads'].flatMap(build => [`${build}/engine`, `${build}/lab`]), 'threads-relaxed/engine'];
  for (const file of files) {
    const bytes = module(file);
    for (const place of [homedir(), ROOT, 'registry/src/']) assert.ok(!bytes.includes(place), `${place} in ${file}`);
    assert.ok(bytes.includes('src/lib.rs'), 'panics name their file');
  }
});

test('the lab is fetched when it is opened, once, and asked for again where that failed', () => inBrowser(async ({page, host}) => {
  const asked = () => host.requests.filter(url => url.includes('lab_bg'));
  const open = () => page.evaluate(async () => {
    const file = new File([await (await fetch('/fixture.gguf')).blob()], 'fixture.gguf');
    return window.hearth.lab(file).then(lab => lab.info.architecture, ({code, message}) => `${code}: ${message}`);
  });
  let refuse = true;
  host.intercept = (request, response) => {
    if (request.url === '/fixture.gguf') response.end(readFileSync(`${ROOT}tests/fixtures/tiny-llama.gguf`));
    else if (refuse && request.url.includes('lab_bg')) response.writeHead(503).end();
    else return false;
    return true;
  };
  await page.evaluate(async () => { window.hearth = await (await import('/hearth.js')).Hearth.open(); });
  assert.ok(host.requests.includes('/engine/threads-relaxed/engine_bg.wasm'));
  assert.deepEqual(asked(), []);
  assert.match(await open(), /^not_found: engine\/threads\/lab_bg\.wasm is missing on the server \(503\)/);
  refuse = false;
  host.requests.length = 0;
  assert.deepEqual([await open(), await open()], ['llama', 'llama']);
  assert.deepEqual(asked(), ['/engine/threads/lab_bg.wasm']);
}, {serviceWorkers: 'block'})); // which may fetch ahead
