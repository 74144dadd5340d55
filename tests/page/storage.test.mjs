// Downloads on bad networks and in bad storage, through the API, with a made-up file and without an engine; then the page's panel.
import assert from 'node:assert/strict';
import {createHash, randomBytes} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {inBrowser} from './browser.mjs';
import {ROOT} from './server.mjs';

const CHUNK = 4 << 20;
const FILE = randomBytes(3 * CHUNK + 1000);
const COUNT = 4;
const sha256 = bytes => createHash('sha256').update(bytes).digest('hex');
const HASH = sha256(FILE);

/** Serves `FILE` at every address that ends in `.gguf`. `fault(request, response, start)`: true if it dealt with the request. */
function serveFile(host, {parts = true, fault = () => false} = {}) {
  const asked = [];
  host.intercept = async (request, response) => {
    if (!/\.gguf$/.test(request.url)) return false;
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const start = Number(from ?? 0);
    // One byte is only a question.
    if (to !== '0') asked.push({start, range: request.headers.range, when: Date.now(), url: request.url});
    if (to !== '0' && await fault(request, response, start)) return true;
    const body = parts && from ? FILE.subarray(start, Number(to) + 1) : FILE;
    const headers = {'Content-Length': body.length, 'Cross-Origin-Resource-Policy': 'cross-origin'};
    if (parts && from) headers['Content-Range'] = `bytes ${from}-${start + body.length - 1}/${FILE.length}`;
    response.writeHead(parts && from ? 206 : 200, headers).end(body);
    return true;
  };
  return asked;
}

/** Fetches through the API in `page`: `{hash, progress}` of what is here then, or the error. */
const get = (page, source, options = {}) => page.evaluate(async ([source, options]) => {
  const {Hearth} = await import('/hearth.js');
  window.hearth ??= await Hearth.open({networkWorker: 'file'});
  const progress = [];
  try {
    const {files, read} = await window.hearth.storage.fetch(source, {...options, onProgress: step => progress.push(step)});
    const pieces = [];
    for (let at = 0; at < files[0].size_bytes; at += pieces.at(-1).byteLength) pieces.push(await read(0, at, Infinity));
    const digest = await crypto.subtle.digest('SHA-256', await new Blob(pieces).arrayBuffer());
    return {hash: [...new Uint8Array(digest)].map(byte => byte.toString(16).padStart(2, '0')).join(''), last: progress.at(-1)};
  } catch (error) {
    return {code: error.code, message: error.message, last: progress.at(-1)};
  }
}, [source, options]);

/** Changes a byte of a stored chunk behind everybody's back. `older`: it is one of those of which no quick hash was noted. */
const rot = (page, index, older = false) => page.evaluate(async ([index, older]) => {
  const [{plan}] = await window.hearth.stored();
  const opened = indexedDB.open('hearth');
  await new Promise(resolve => { opened.onsuccess = resolve; });
  const key = `${plan.key}/${String(index).padStart(5, '0')}`;
  const shards = mode => opened.result.transaction('shards', mode).objectStore('shards');
  const read = shards('readonly').get(key);
  await new Promise(resolve => { read.onsuccess = resolve; });
  const bytes = new Uint8Array(await read.result.arrayBuffer());
  bytes[1000] ^= 1;
  const {type} = read.result;
  if (!/xxh64/.test(type)) throw new Error(`no quick hash: ${type}`);
  const write = shards('readwrite').put(new Blob([bytes], older ? {} : {type}), key);
  await new Promise(resolve => { write.onsuccess = resolve; });
  opened.result.close();
  return plan.key;
}, [index, older]);

const empty = page => page.evaluate(async () => {
  for (const {plan} of await window.hearth.stored()) await window.hearth.remove(plan.key);
});

test('downloads heal', {timeout: 600_000}, async t => inBrowser(async ({page, host, context}) => {
  const url = `${host.url}made-up.gguf`;
  const each = (name, task) => t.test(name, async () => {
    try {
      await task();
    } finally {
      await empty(page);
    }
  });

  await each('four connections at once, or one', async () => {
    for (const connections of [4, 1]) {
      let [now, most] = [0, 0];
      serveFile(host, {fault: async () => {
        most = Math.max(most, ++now);
        // Long enough for the others to come, too.
        for (let waited = 0; most < 4 && waited < 20; waited++) await new Promise(resolve => setTimeout(resolve, 10 * connections ** 2));
        now -= 1;
        return false;
      }});
      assert.equal((await get(page, url, {network: {connections}})).hash, HASH);
      assert.equal(most, connections);
      await empty(page);
    }
  });

  await each('a connection that breaks goes on where it was', async () => {
    const broken = new Set();
    const asked = serveFile(host, {fault: (request, response, start) => {
      if (start % CHUNK !== 0 || start === 3 * CHUNK || broken.has(start)) return false;
      broken.add(start);
      const headers = {'Content-Length': CHUNK, 'Content-Range': `bytes ${start}-${start + CHUNK - 1}/${FILE.length}`};
      response.writeHead(206, headers).write(FILE.subarray(start, start + CHUNK / 2), () => setTimeout(() => request.socket.destroy(), 50));
      return true;
    }});
    const {hash, last} = await get(page, url);
    assert.equal(hash, HASH);
    assert.equal(broken.size, 3);
    assert.ok(last.received < FILE.length + CHUNK / 2, `${last.received} bytes came for ${FILE.length}`);
    assert.ok(asked.some(({start}) => start % CHUNK !== 0), 'the rest of a chunk was asked for');
  });

  await each('a server that wants to be left alone is', async () => {
    let refused;
    const asked = serveFile(host, {fault: (request, response) => {
      if (refused) return false;
      refused = Date.now();
      response.writeHead(429, {'Retry-After': '2'}).end();
      return true;
    }});
    assert.equal((await get(page, url, {network: {connections: 1}})).hash, HASH);
    assert.ok(asked[1].when - refused >= 1900, `it was asked again after ${asked[1].when - refused} ms`);
  });

  await each('a server that gives no parts', async () => {
    let broken = 0;
    const asked = serveFile(host, {parts: false, fault: (request, response) => {
      if (broken++ > 0) return false;
      response.writeHead(200, {'Content-Length': FILE.length});
      response.write(FILE.subarray(0, 2 * CHUNK + 5), () => setTimeout(() => request.socket.destroy(), 50));
      return true;
    }});
    assert.equal((await get(page, url)).hash, HASH);
    assert.deepEqual(asked.map(({range}) => range), [undefined, undefined]);
  });

  await each('a mirror has what a server has not', async () => {
    const asked = serveFile(host, {fault: (request, response) => {
      if (request.url.includes('/mirror/')) return false;
      response.writeHead(503).end();
      return true;
    }});
    assert.equal((await get(page, url, {mirrors: [`${host.url}mirror/made-up.gguf`], network: {connections: 1}})).hash, HASH);
    assert.equal(asked.filter(({url}) => !url.includes('/mirror/')).length, 1, 'it is not asked for every chunk');
  });

  await each('a data cap pauses, and the rest is fetched another time', async () => {
    const asked = serveFile(host);
    const {code, message, last} = await get(page, url, {network: {budget_bytes: 2 * CHUNK + 100}});
    assert.equal(code, 'data_cap', message);
    assert.ok(last.received <= 2 * CHUNK + 100);
    assert.equal((await get(page, url)).hash, HASH);
    assert.equal(asked.length, COUNT, 'no chunk is fetched twice');
  });

  await each('what rots in storage is noticed when it is read or checked, and mended', async () => {
    const asked = serveFile(host);
    await get(page, url);
    for (const how of ['read', 'read an older one', 'check']) {
      const key = await rot(page, 1, how !== 'read');
      asked.length = 0;
      if (how !== 'check') assert.equal((await get(page, url)).hash, HASH);
      else assert.deepEqual(await page.evaluate(key => window.hearth.storage.verify(key), key), {chunks: COUNT, repaired: 1, whole: false});
      assert.deepEqual(asked.map(({start}) => start), [CHUNK], how);
    }
    const key = await rot(page, 2);
    host.intercept = (request, response) => /\.gguf$/.test(request.url) && !!response.writeHead(404).end();
    const failed = await page.evaluate(key => window.hearth.storage.verify(key).catch(({code, message}) => ({code, message})), key);
    assert.equal(failed.code, 'rotten');
    assert.match(failed.message, /shard 3 was damaged.*404/);
  });

  await each('storage that is refused: the model runs from memory', async () => {
    const asked = serveFile(host);
    const full = await context.newPage();
    await context.route('**/worker/store.js', async route => route.fulfill({
      contentType: 'text/javascript',
      body: `navigator.storage.estimate = async () => ({quota: 6e6, usage: 5e6});\n${readFileSync(`${ROOT}web/worker/store.js`)}`,
    }));
    await full.goto(host.url);
    assert.equal((await get(full, url)).code, 'quota');
    assert.equal(asked.length, 0);
    assert.equal((await get(full, url, {store: false})).hash, HASH);
    assert.deepEqual(await full.evaluate(async () => (await window.hearth.stored()).map(({held}) => held)), [true]);
    assert.deepEqual(await page.evaluate(() => window.hearth.stored()), [], 'others have nothing of it');
    await context.unroute('**/worker/store.js');
    await full.close();
  });

  await each('what was held in memory is stored when it is to be', async () => {
    const asked = serveFile(host);
    const held = () => page.evaluate(async () => (await window.hearth.stored()).map(({held}) => held));
    assert.equal((await get(page, url, {store: false})).hash, HASH);
    assert.deepEqual(await held(), [true]);
    assert.equal((await get(page, url)).hash, HASH);
    assert.deepEqual(await held(), [false]);
    assert.equal(asked.length, COUNT, 'nothing is fetched again');
    const other = await context.newPage();
    await other.goto(host.url);
    assert.equal((await get(other, url)).hash, HASH);
    assert.equal(asked.length, COUNT, 'another tab has it, too');
    await other.close();
  });

  await each('a full disk takes no notes and gives what it has', async () => {
    const asked = serveFile(host);
    await get(page, url);
    await context.route('**/worker/store.js', async route => route.fulfill({
      contentType: 'text/javascript',
      body: `const {put} = IDBObjectStore.prototype;
        IDBObjectStore.prototype.put = function (value, key) {
          if (value instanceof Blob) return put.call(this, value, key);
          throw new DOMException('full', 'QuotaExceededError');
        };
        ${readFileSync(`${ROOT}web/worker/store.js`)}`,
    }));
    const full = await context.newPage();
    await full.goto(host.url);
    const {hash, message} = await get(full, url);
    assert.equal(hash, HASH, message);
    assert.equal(asked.length, COUNT);
    await context.unroute('**/worker/store.js');
    await full.close();
  });

  await each('names at Hugging Face, with the hash that it tells', async () => {
    let damage = 0;
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${HASH}\nsize ${FILE.length}\n`;
    const headers = {'Access-Control-Allow-Origin': '*', 'Access-Control-Expose-Headers': 'Content-Range'};
    await context.route('https://huggingface.co/**', route => {
      const request = route.request();
      if (request.url() === 'https://huggingface.co/org/name/raw/main/way/made-up.gguf') return route.fulfill({body: pointer, headers});
      if (request.url() !== 'https://huggingface.co/org/name/resolve/main/way/made-up.gguf') return route.fulfill({status: 404, headers});
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers().range);
      const body = Buffer.from(FILE.subarray(Number(from), Number(to) + 1));
      if (body.length > 1 && damage-- > 0) body[5] ^= 1;
      return route.fulfill({status: 206, body, headers: {...headers, 'Content-Range': `bytes ${from}-${Number(from) + body.length - 1}/${FILE.length}`}});
    });
    damage = 1;
    assert.equal((await get(page, 'hf:org/name/way/made-up.gguf')).code, 'file_hash');
    assert.deepEqual(await page.evaluate(() => window.hearth.stored()), [], 'what is wrong is not kept');
    assert.equal((await get(page, 'hf:org/name/way/made-up.gguf')).hash, HASH);
    const [{plan}] = await page.evaluate(() => window.hearth.stored());
    assert.equal(plan.sha256, HASH);
    assert.equal((await page.evaluate(key => window.hearth.storage.verify(key), plan.key)).whole, true);
    await context.unroute('https://huggingface.co/**');
  });

  await each('a file comes in and goes out', async () => {
    const found = await page.evaluate(async () => {
      const bytes = new Uint8Array(9 << 20).map((_, i) => i * 7);
      const {storage} = window.hearth;
      const source = await storage.import([new File([bytes], 'my model.gguf')]);
      const [{plan, stored_bytes, whole}] = await storage.list();
      const [file] = await storage.export(plan.key);
      const same = new Uint8Array(await file.arrayBuffer()).every((byte, i) => byte === bytes[i]);
      // Another of the same name takes its place.
      await storage.import([new File(['GGUF'], 'my model.gguf')]);
      return {source, name: plan.name, whole, stored_bytes, same, out: file.name, files: (await storage.list()).length};
    });
    assert.deepEqual(found, {
      source: 'import:///my%20model.gguf', name: 'my model.gguf', whole: true, stored_bytes: 9 << 20, same: true, out: 'my model.gguf', files: 1,
    });
  });

  await each('what a model takes is told before', async () => {
    const asked = serveFile(host);
    const {size_bytes, need_bytes, free_bytes, memory} = await page.evaluate(url => window.hearth.storage.forecast(url), url);
    assert.deepEqual([size_bytes, need_bytes, memory.verdict, asked.length], [FILE.length, FILE.length, 'fits', 0]);
    assert.ok(free_bytes > 0);
  });
}, {serviceWorkers: 'block'}));

for (const [what, refusal] of [
  ['nothing', "Object.defineProperty(self, 'indexedDB', {value: undefined});"],
  ['no blobs', `{
    const {put} = IDBObjectStore.prototype;
    IDBObjectStore.prototype.put = function (value, key) {
      if (value instanceof Blob) throw new DOMException('not here', 'DataCloneError');
      return put.call(this, value, key);
    };
  }`],
]) {
  test(`a window that stores ${what}`, () => inBrowser(async ({page, host}) => {
    const asked = serveFile(host);
    const file = host.intercept;
    host.intercept = (request, response) => {
      if (!request.url.endsWith('/worker/store.js')) return file(request, response);
      response.setHeader('Content-Type', 'text/javascript');
      response.end(`${refusal}\n${readFileSync(`${ROOT}web/worker/store.js`)}`);
      return true;
    };
    const url = `${host.url}made-up.gguf`;
    assert.equal((await get(page, url)).hash, HASH);
    assert.equal((await get(page, url)).hash, HASH);
    assert.equal(asked.length, COUNT, 'it is held while the tab is open');
    assert.equal(await page.evaluate(() => window.hearth.storage.keeps), false);
    await page.reload();
    await page.click('.tab.models');
    await page.waitForFunction(() => /This window stores nothing/.test(document.querySelector('#storage').textContent));
  }, {serviceWorkers: 'block'})); // which would answer with the page's own file
}

const TINY = `${ROOT}tests/fixtures/tiny-llama.gguf`;
const chip = page => page.waitForFunction(() => /tiny-llama.*CPU/.test(document.querySelector('#chip').textContent));

test('the page shows what is kept, and how', () => inBrowser(async ({page}) => {
  await page.waitForSelector('#get');
  await page.click('.tab.models');
  const kept = page.locator('#storage .stored li', {hasText: 'tiny-llama.gguf'});
  await page.setInputFiles('#storage input[type=file]', TINY);
  await kept.waitFor();
  await kept.getByText('Check', {exact: true}).click();
  await kept.getByText('checked: all 1 parts are as they arrived').waitFor();
  const [download] = await Promise.all([page.waitForEvent('download'), kept.getByText('Save as a file').click()]);
  assert.equal(download.suggestedFilename(), 'tiny-llama.gguf');
  assert.equal(sha256(readFileSync(await download.path())), sha256(readFileSync(TINY)));

  // It is a model as any other, also after a reload.
  await page.reload();
  await page.click('.tab.models');
  const row = page.locator('.model', {hasText: 'tiny-llama.gguf'});
  assert.match(await row.textContent(), /from your disk · in this browser/);
  await row.getByText('Use').click();
  await chip(page);
  await page.click('.tab.models');
  await kept.getByText(/last used today/).waitFor();
  assert.ok(await kept.getByText('Delete').isDisabled(), 'it is in use');

  // What a network may be used for.
  assert.match(await page.locator('.model', {hasText: 'SmolLM2'}).textContent(), /Needs about \d+ MB of memory/);
  await page.click('#network summary');
  await page.check('#n-one');
  await page.fill('#n-cap', '1');
  await page.reload();
  await page.click('.tab.models');
  await page.click('#network summary');
  assert.ok(await page.isChecked('#n-one'));
  await page.locator('.model', {hasText: 'SmolLM2'}).locator('.main').click();
  await page.waitForSelector('.notice');
  assert.match(await page.textContent('.notice'), /Paused: today's data cap is reached/);
}, {timezoneId: 'Asia/Shanghai'}));

test('a model may be dropped anywhere', () => inBrowser(async ({page}) => {
  await page.waitForSelector('#get');
  const bytes = [...readFileSync(TINY)];
  await page.evaluate(bytes => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(bytes)], 'tiny-llama.gguf'));
    document.querySelector('#messages').dispatchEvent(new DragEvent('drop', {dataTransfer: transfer, bubbles: true, cancelable: true}));
  }, bytes);
  await chip(page);
}));
