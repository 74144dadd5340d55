// Downloads that are interrupted, damaged, refused or shared: what arrived stays, and only the rest is fetched again.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {hold, inBrowser, load, shards, SMOLLM2, until} from './browser.mjs';
import {ROOT} from './server.mjs';

const COUNT = 24;
/** A server that fails is given up soon. */
const hasty = {network: {attempts: 2}};
const FILE = `files/${SMOLLM2}.gguf`;

/** Answers requests whose address matches with `status`, or cuts the connection for 'gone'. */
function fail(host, matches, status) {
  host.intercept = (request, response) => {
    if (!matches.test(request.url)) return false;
    if (status === 'gone') request.socket.destroy();
    else response.writeHead(status).end();
    return true;
  };
}

const stored = page => page.evaluate(id => window.hearth.storedBytes(id), SMOLLM2);

test('a reload in the middle fetches the missing shards only', () => inBrowser(async ({page, host}) => {
  hold(host, 12); // for ever
  load(page, SMOLLM2).catch(() => {}); // cut off by the reload
  const bytes = () => page.evaluate(id => window.hearth?.storedBytes(id), SMOLLM2);
  await until(async () => await bytes() >= 12 * (4 << 20));
  await page.reload();
  host.intercept = undefined;
  host.requests.length = 0;
  assert.ok((await load(page, SMOLLM2)).info);
  assert.deepEqual(shards(host).sort((a, b) => a - b), Array.from({length: 12}, (_, i) => i + 12));
}));

test('a damaged shard is fetched once more; damaged twice, it is named', () => inBrowser(async ({page, host}) => {
  let damaged = 0;
  let times = 1;
  host.intercept = (request, response) => {
    if (!request.url.endsWith('/00003.bin') || damaged >= times) return false;
    damaged += 1;
    const bytes = readFileSync(`${ROOT}models/shards/${SMOLLM2}/00003.bin`);
    bytes[1000] ^= 1;
    response.writeHead(200, {'Content-Length': bytes.length}).end(bytes);
    return true;
  };
  times = Infinity;
  const {code, message} = await load(page, SMOLLM2, hasty);
  assert.equal(code, 'shard_hash');
  assert.match(message, /shard 4 of 24/);
  assert.equal(damaged, 2);
  damaged = 0;
  times = 1;
  assert.ok((await load(page, SMOLLM2)).info);
  assert.equal(damaged, 1);
}));

for (const [status, code] of [['gone', 'network'], [404, 'not_found'], [416, 'range'], [503, 'http']]) {
  test(`${status} in mid-download keeps what arrived`, () => inBrowser(async ({page, host}) => {
    // The file as a whole, by ranges; from the eleventh shard on the server fails.
    host.intercept = (request, response) => {
      const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      if (!request.url.includes(FILE) || start < 10 * (4 << 20)) return false;
      if (status === 'gone') request.socket.destroy();
      else response.writeHead(status).end();
      return true;
    };
    const url = host.url + FILE;
    const failed = await load(page, url, hasty);
    assert.equal(failed.code, code, failed.message);
    const [file] = await page.evaluate(() => window.hearth.stored());
    assert.ok(file.stored_bytes >= 8 * (4 << 20), `${file.stored_bytes} bytes are kept`);
    host.intercept = undefined;
    host.requests.length = 0;
    assert.ok((await load(page, url)).info);
    const fetched = host.requests.filter(request => request.includes(FILE)).length - 1; // one request asks for the size
    assert.equal(fetched, COUNT - file.stored_bytes / (4 << 20));
  }));
}

test('without shards on the server, the catalog\'s address on the web is used', () => inBrowser(async ({page, host, context}) => {
  fail(host, /\.bin$/, 404);
  const asked = [];
  await context.route('https://huggingface.co/**', route => {
    asked.push(route.request().url());
    route.fulfill({status: 404, headers: {'Access-Control-Allow-Origin': '*'}});
  });
  // As the page does it, whose policy lets no other worker reach other hosts.
  await page.evaluate(async () => {
    const {Hearth} = await import('/hearth.js');
    window.hearth = await Hearth.open({networkWorker: 'file'});
  });
  assert.equal((await load(page, SMOLLM2, hasty)).code, 'not_found');
  assert.match(asked[0], /resolve\/.*\.gguf$/);
}, {serviceWorkers: 'block'}));

test('too little room is said before the download, with the numbers', () => inBrowser(async ({page, host}) => {
  host.intercept = (request, response) => {
    if (!request.url.endsWith('/worker/store.js')) return false;
    const estimate = 'navigator.storage.estimate = async () => ({quota: 60e6, usage: 10e6});\n';
    response.end(estimate + readFileSync(`${ROOT}web/worker/store.js`));
    return true;
  };
  const {code, message} = await load(page, SMOLLM2);
  assert.equal(code, 'quota');
  assert.match(message, /needs 99 MB more, .* only 50 MB/);
  assert.deepEqual(shards(host), []);
}));

test('a disk that fills up in mid-download is told as that', () => inBrowser(async ({page, host, context}) => {
  const session = await context.newCDPSession(page);
  await session.send('Storage.overrideQuotaForOrigin', {origin: host.url.slice(0, -1), quotaSize: 50_000_000});
  assert.equal((await load(page, SMOLLM2)).code, 'quota');
  await session.send('Storage.overrideQuotaForOrigin', {origin: host.url.slice(0, -1)});
  assert.ok((await load(page, SMOLLM2)).info, 'with room again it goes on');
}));

test('two tabs loading at once fetch every shard once', () => inBrowser(async ({page, host, context}) => {
  const goOn = hold(host, 12);
  const other = await context.newPage();
  await other.goto(host.url);
  const loading = Promise.all([load(page, SMOLLM2), load(other, SMOLLM2)]);
  const waits = tab => tab.waitForFunction(() => window.progress?.some(({elsewhere}) => elsewhere));
  await Promise.any([page, other].map(waits));
  goOn();
  const both = await loading;
  assert.ok(both.every(({info}) => info), JSON.stringify(both));
  assert.deepEqual(shards(host).sort((a, b) => a - b), Array.from({length: COUNT}, (_, i) => i));
  const waited = await Promise.all([page, other].map(tab => tab.evaluate(() => window.progress.some(({elsewhere}) => elsewhere))));
  assert.deepEqual(waited.sort(), [false, true], 'the tab that waits says so');
  assert.equal(await stored(page), 98_362_432);
}));

test('files that are no models are refused and leave the tab usable', () => inBrowser(async ({page}) => {
  const codes = await page.evaluate(async bytes => {
    const {Hearth} = await import('/hearth.js');
    const hearth = await Hearth.open();
    const tiny = Uint8Array.from(bytes);
    const sources = [new Blob(['hello']), new Blob([]), new Blob([tiny.slice(0, 9000)]), tiny.buffer];
    const codes = [];
    for (const source of sources) codes.push(await hearth.load(source).then(() => 'loaded', error => error.code));
    return codes;
  }, [...readFileSync(`${ROOT}tests/fixtures/tiny-llama-q8_0.gguf`)]);
  assert.deepEqual(codes, ['not_gguf', 'truncated', 'truncated', 'loaded']);
}));
