// The page's shell: it works without a network after the first visit, gets its own headers where a host sets none, and never
// changes under a person's hands.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {createHash} from 'node:crypto';
import {existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {test} from 'node:test';
import {filesIn} from '../../crate/xtask/files.mjs';
import {inBrowser, kept, until} from './browser.mjs';
import {ROOT} from './server.mjs';

const DIST = join(ROOT, 'dist');
const TINY = join(ROOT, 'tests/fixtures/tiny-llama.gguf');

const sha256 = bytes => createHash('sha256').update(bytes).digest('hex');

/** The tiny model of the fixtures, opened from disk. */
async function open(page) {
  await page.click('.tab.models');
  await page.setInputFiles('input[type=file]', TINY);
  await page.waitForFunction(() => /tiny-llama.*CPU/.test(document.querySelector('#chip').textContent));
}

/** The bundle's list, as the page's keeper reads it. */
function listed() {
  const self = {};
  new Function('self', readFileSync(join(DIST, 'files.js'), 'utf8'))(self);
  return self.FILES;
}

test('the list of files to keep is that of the bundle', () => {
  assert.deepEqual(listed(), filesIn(DIST));
  for (const path of ['index.html', 'page/main.js', 'engine/base/engine_bg.wasm', 'models/catalog.json', 'texts/en-test.txt']) {
    assert.ok(listed()[path], path);
  }
});

test('what hosts do not serve is not listed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-files-'));
  const unserved = ['_headers', '_redirects', '.htaccess', '.nojekyll', 'page/.DS_Store', '.stage/index.html', 'models/shards/a/0.bin'];
  for (const path of ['index.html', 'page/a_b.js', ...unserved]) {
    mkdirSync(dirname(join(folder, path)), {recursive: true});
    writeFileSync(join(folder, path), path);
  }
  assert.deepEqual(filesIn(folder), {'index.html': sha256('index.html'), 'page/a_b.js': sha256('page/a_b.js')});
  rmSync(folder, {recursive: true});
});

test('after the first visit everything works without a network', () => inBrowser(async ({page, host}) => {
  assert.deepEqual(await kept(page), {files: Object.keys(listed()).filter(path => !path.startsWith('engine/threads/engine')).length});
  await host.close();
  await page.reload();
  assert.ok(await page.evaluate(() => crossOriginIsolated));
  await open(page);
  assert.match(await page.textContent('#chip'), /CPU × [1-9]/);
  await page.click('.tab.lab');
  await page.waitForSelector('#lab h1');
  // What is fetched when it is needed: every file there is, but for the build that this browser does not use.
  const missing = await page.evaluate(async paths => {
    const tried = await Promise.all(paths.map(path => fetch(path).then(({ok}) => !ok && path, () => path)));
    return tried.filter(Boolean);
  }, Object.keys(listed()));
  assert.deepEqual(missing, ['engine/threads/engine.js', 'engine/threads/engine_bg.wasm']);
}));

/** The page waits longer for its keeper than for the sake of a person: how long is not what is tested. */
const patient = page => page.addInitScript(patience => {
  const {setTimeout: real} = window;
  window.setTimeout = (call, ms, ...more) => real(call, ms === patience ? 60_000 : ms, ...more);
}, Number(/PATIENCE_MS = (\d+)/.exec(readFileSync(join(DIST, 'page/shell/keeper.js'), 'utf8'))[1]));

/** Serves `dist` as `python3 -m http.server` does, which sets no headers. */
async function plainHost() {
  const server = spawn('python3', ['-u', '-m', 'http.server', '0', '--bind', '127.0.0.1', '--directory', DIST], {stdio: 'pipe'});
  server.stderr.resume();
  const line = await new Promise(resolve => server.stdout.once('data', resolve));
  return {url: `http://127.0.0.1:${/port (\d+)/.exec(line)[1]}/`, end: () => server.kill()};
}

test('a host without headers: one reload by itself, then threads', () => inBrowser(async ({page}) => {
  const plain = await plainHost();
  try {
    const loads = [];
    page.on('framenavigated', frame => frame === page.mainFrame() && loads.push(frame.url()));
    await patient(page);
    await page.goto(plain.url);
    await page.waitForFunction(() => crossOriginIsolated && document.querySelector('#get, .examples'));
    await open(page);
    assert.deepEqual(loads, [plain.url, plain.url]);
    assert.equal(await page.evaluate(async () => (await import('/page/store.js')).state.model.timings.build), 'threads-relaxed');
    assert.equal((await kept(page)).message, undefined);
    // Later visits are right at once.
    loads.length = 0;
    await page.goto(`${plain.url}?from=elsewhere`);
    await page.waitForSelector('#get, .examples');
    assert.ok(await page.evaluate(() => crossOriginIsolated));
    assert.equal(loads.length, 1);
  } finally {
    plain.end();
  }
}));

test('a first visit without headers, and the next, which has them, without a network', () => inBrowser(async ({page}) => {
  const plain = await plainHost();
  try {
    // For one core alone the page is not loaded anew.
    await page.addInitScript(() => Object.defineProperty(navigator, 'hardwareConcurrency', {value: 1}));
    await page.goto(plain.url);
    assert.equal((await kept(page)).message, undefined);
    assert.equal(await page.evaluate(() => crossOriginIsolated), false);
  } finally {
    plain.end();
  }
  await page.reload();
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  await open(page);
  await page.click('.tab.lab');
  await page.waitForSelector('#lab h1');
  assert.equal(await page.evaluate(() => fetch('engine/threads/lab_bg.wasm').then(({ok}) => ok)), true);
}));

test('what else lies on the host is left as it is', () => inBrowser(async ({page, host}) => {
  host.intercept = (request, response) => {
    if (request.url !== '/blog/') return false;
    response.writeHead(200, {'Content-Type': 'text/html'}).end('<title>Not ours</title>');
    return true;
  };
  await kept(page);
  const response = await page.goto(`${host.url}blog/`);
  assert.equal(await page.title(), 'Not ours');
  assert.equal(response.headers()['cross-origin-embedder-policy'], undefined);
  assert.equal(await page.evaluate(() => crossOriginIsolated), false);
}));

test('where the keeper cannot help there is no second reload', () => inBrowser(async ({page, host}) => {
  // A keeper that adds no headers.
  host.intercept = async (request, response) => {
    const {pathname} = new URL(request.url, host.url);
    const file = join(DIST, pathname.replace(/\/$/, '/index.html'));
    if (!existsSync(file) || pathname.endsWith('.bin')) return false;
    const type = {html: 'text/html', js: 'text/javascript', css: 'text/css', json: 'application/json'}[file.split('.').at(-1)];
    const empty = "self.addEventListener('activate', event => event.waitUntil(clients.claim()));";
    response.writeHead(200, {'Content-Type': type ?? 'application/octet-stream'});
    response.end(pathname === '/sw.js' ? empty : readFileSync(file));
    return true;
  };
  const loads = [];
  page.on('framenavigated', frame => frame === page.mainFrame() && loads.push(frame.url()));
  await patient(page);
  await page.goto(`${host.url}?bare`);
  await page.waitForSelector('#get');
  assert.equal(loads.length, 2);
  assert.equal(await page.evaluate(() => crossOriginIsolated), false);
  await page.reload();
  await page.waitForSelector('#get, .examples');
  assert.equal(loads.length, 3);
}));

test('a version that is kept in part is not mixed with another from the network', () => inBrowser(async ({context, host}) => {
  let newer = false;
  const english = JSON.parse(readFileSync(join(DIST, 'page/i18n/en.json')));
  host.intercept = (request, response) => {
    const text = {
      '/page/i18n/zh.json': '{}', // is never what was listed
      '/page/i18n/en.json': newer && JSON.stringify({...english, 'chat.new': 'A newer chat'}),
    }[request.url];
    if (!text) return false;
    response.writeHead(200, {'Content-Type': 'application/json'}).end(text);
    return true;
  };
  // An origin of its own: the first page has begun to keep already.
  const page = await context.newPage();
  await page.goto(host.url.replace('127.0.0.1', 'localhost'));
  assert.match((await kept(page)).message, /zh\.json is not the one that was listed/);
  await until(() => page.evaluate(async () => {
    const [name] = await caches.keys();
    return (await (await caches.open(name)).keys()).some(({url}) => url.includes('en.json'));
  }));
  newer = true;
  await page.reload();
  await page.waitForSelector('#get');
  assert.equal(await page.textContent('#new-chat'), 'A newer chat');
}));

/** Serves a version whose English has `texts`; each file by `answer(response, text, url)`, which may take its time. */
function serveNew(host, texts, answer = (response, text) => response.end(text)) {
  const english = JSON.parse(readFileSync(join(DIST, 'page/i18n/en.json')));
  const changed = JSON.stringify({...english, ...texts});
  const files = {...listed(), 'page/i18n/en.json': sha256(changed)};
  const served = {
    '/files.js': ['text/javascript', `self.FILES = ${JSON.stringify(files)}`], '/page/i18n/en.json': ['application/json', changed],
  };
  host.intercept = async (request, response) => {
    if (!served[request.url]) return false;
    const [type, text] = served[request.url];
    response.writeHead(200, {'Content-Type': type});
    await answer(response, text, request.url);
    return true;
  };
}

test('a version that does not start can be replaced by one that came meanwhile', () => inBrowser(async ({page, host}) => {
  await kept(page);
  await page.addInitScript(() => { delete globalThis.WebAssembly; });
  let free;
  const gate = new Promise(resolve => { free = resolve; });
  serveNew(host, {'chat.new': 'A newer chat'}, async (response, text, url) => {
    if (url !== '/files.js') await gate;
    response.end(text);
  });
  await page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).update());
  await page.reload();
  await page.waitForSelector('#notice .notice');
  assert.equal(await page.locator('#update .notice').count(), 0, 'it is not whole yet');
  free();
  await page.waitForSelector('#update .notice');
  await page.click('#notice >> text=Try again');
  await page.waitForFunction(() => document.querySelector('#new-chat')?.textContent === 'A newer chat');
}));

test('a new version is offered, fetches what has changed, and waits to be taken', () => inBrowser(async ({page, host, context}) => {
  await kept(page);
  const other = await context.newPage();
  host.requests.length = 0;
  await other.goto(host.url);
  await other.waitForSelector('#get');
  // A while after such a visit the browser looks for a newer keeper by itself.
  await until(() => host.requests.includes('/files.js'));
  const english = JSON.parse(readFileSync(join(DIST, 'page/i18n/en.json')));
  const changed = JSON.stringify({...english, 'welcome.title': 'A newer title'});
  let broken = true;
  host.intercept = (request, response) => {
    if (request.url === '/files.js') {
      const files = {...listed(), 'page/i18n/en.json': sha256(changed)};
      response.writeHead(200, {'Content-Type': 'text/javascript'}).end(`self.FILES = ${JSON.stringify(files)}`);
    } else if (request.url === '/page/i18n/en.json') {
      response.writeHead(200, {'Content-Type': 'application/json'}).end(broken ? '{}' : changed);
    } else return false;
    return true;
  };
  // One that is not what its list says is not offered.
  const update = () => page.evaluate(async () => {
    const {installing} = await (await navigator.serviceWorker.getRegistration()).update();
    return new Promise(resolve => {
      installing.onstatechange = () => resolve(installing.state);
    });
  });
  assert.equal(await update(), 'redundant');
  assert.equal(await page.locator('#update .notice').count(), 0);

  broken = false;
  host.requests.length = 0;
  assert.equal(await update(), 'installed');
  await page.waitForSelector('#update .notice');
  assert.deepEqual(host.requests.filter(url => !/^\/(sw|files)\.js$/.test(url)), ['/page/i18n/en.json']);
  assert.match(await page.textContent('#update'), /A new version of Hearth is here/);
  await page.fill('#ask', 'half a question');
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.click('#attach')]);
  await chooser.setFiles({name: 'log.txt', mimeType: 'text/plain', buffer: Buffer.from('day one')});
  await page.waitForSelector('#files .attached');
  await page.reload();
  await page.waitForSelector('#get');
  assert.doesNotMatch(await page.textContent('.welcome'), /A newer title/, 'not before it is wanted');
  await page.click('#update .main');
  await page.waitForFunction(() => /A newer title/.test(document.querySelector('.welcome')?.textContent));
  assert.equal(await page.inputValue('#ask'), 'half a question');
  assert.match(await page.textContent('#files .attached'), /log\.txt1 line.*day one/);
  // The other tab is told, and left alone.
  await other.waitForSelector('#update .notice');
  assert.doesNotMatch(await other.textContent('.welcome'), /A newer title/);
  // What it would fetch now is not for it: that is said, and the version is offered again.
  await other.click('#update .quiet');
  await other.click('.tab.privacy');
  assert.match(await other.textContent('#privacy'), /Another tab uses a newer version/);
  assert.equal(await other.locator('#privacy h1').count(), 0);
  const error = await other.evaluate(async () => {
    await (await import('/page/lab/actions.js')).open('tiny', 'tiny');
    return (await import('/page/lab/state.js')).lab.error.code;
  });
  assert.equal(error, 'stale');
  await other.click('#update .main');
  await other.waitForFunction(() => /A newer title/.test(document.querySelector('.welcome')?.textContent));
  await other.click('.tab.privacy');
  await other.waitForSelector('#privacy h1');
}));
