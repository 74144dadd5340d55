// The page as a person uses it: first visit, chat, settings, languages, themes, phone, keyboard, errors.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {hold, inBrowser, kept, shards, until} from './browser.mjs';

const answered = async page => {
  await page.waitForSelector('[aria-busy=false]');
  await page.waitForSelector('.meta span');
};

async function begin(page) {
  await page.click('#get');
  await page.waitForSelector('.examples');
}

test('first visit: download, ask, read; then come back without a network', () => inBrowser(async ({page, host}) => {
  host.intercept = async request => {
    if (request.url.endsWith('.bin')) await new Promise(resolve => setTimeout(resolve, 150));
    return false;
  };
  await page.waitForSelector('#get');
  await page.fill('#s-temperature', '0');
  assert.match(await page.textContent('.welcome'), /98 MB.*Apache-2\.0/);
  await page.click('#get');
  await page.waitForFunction(() => /of 98 MB · .* MB\/s · .* left/.test(document.querySelector('.progress')?.textContent));
  // A question can be asked while the model is on its way.
  await page.fill('#ask', 'What is the capital of France?');
  await page.keyboard.press('Enter');
  assert.match(await page.textContent('#messages'), /capital of France/);
  await answered(page);
  assert.match(await page.textContent('.it'), /Paris/);
  assert.match(await page.textContent('.meta'), /\d+ tokens.*tok\/s.*first token/);
  assert.ok(Number.parseFloat(await page.textContent('#rate')) > 0);
  assert.match(await page.textContent('#context'), /^\d+ of 8,192 tokens$/);

  // The page is kept for later: then its server can go.
  await kept(page);
  await host.close();
  await page.reload();
  await page.waitForFunction(() => /CPU/.test(document.querySelector('#chip')?.textContent));
  assert.match(await page.textContent('.it'), /Paris/, 'the conversation is still there');
  await page.fill('#ask', 'And of Italy?');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('.meta span').length > 4);
  assert.match(await page.locator('.answer .md').last().textContent(), /Rome/);
}));

test('streaming, stop, regenerate, new chat, by keyboard alone', () => inBrowser(async ({page}) => {
  await begin(page);
  await page.fill('#s-temperature', '0'); // so that it is long, always
  await page.focus('#ask');
  await page.keyboard.type('Write a very long story about the sea.');
  await page.keyboard.press('Enter');
  const grown = length => page.waitForFunction(n => document.querySelector('.answer.growing .md')?.textContent.length > n, length);
  await grown(40);
  assert.equal(await page.getAttribute('#send', 'aria-label'), 'Stop');
  await grown(80);
  await page.keyboard.press('Escape');
  await answered(page);
  assert.match(await page.textContent('.meta'), /stopped/);
  await page.click('text=Regenerate');
  await page.waitForSelector('[aria-busy=true]');
  await grown(20);
  await page.click('#send');
  await answered(page);
  assert.equal(await page.locator('.you').count(), 1);
  // While an answer is made, Enter keeps what is written, and a new chat is not filled by the old answer.
  await page.click('text=Regenerate');
  await page.waitForSelector('[aria-busy=true]');
  await page.fill('#ask', 'A second question');
  await page.press('#ask', 'Enter');
  assert.equal(await page.inputValue('#ask'), 'A second question');
  await page.focus('#new-chat');
  await page.keyboard.press('Enter');
  await page.waitForSelector('[aria-busy=false]');
  assert.equal(await page.locator('.you, .it').count(), 0);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'ask');
  await page.fill('#ask', '');
  // An empty question is not sent.
  await page.keyboard.type('   ');
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('.you').count(), 0);
}));

test('settings reach the model and are kept', () => inBrowser(async ({page}) => {
  await begin(page);
  await page.fill('#s-max_tokens', '16');
  await page.fill('#s-temperature', '0');
  await page.fill('#system', 'You only ever talk about cheese.');
  await page.fill('#ask', 'Tell me about the weather.');
  await page.keyboard.press('Enter');
  await answered(page);
  assert.match(await page.textContent('.meta'), /^16 tokens.*longest answer/);
  const first = await page.textContent('.answer .md');
  await page.fill('#system', '');
  await page.click('text=Regenerate');
  await page.waitForSelector('.answer .branches'); // the second answer, once it has ended
  await answered(page);
  assert.notEqual(await page.textContent('.answer .md'), first, 'the system prompt makes a difference');
  await page.reload();
  assert.equal(await page.inputValue('#s-max_tokens'), '16');
}));

test('a broken download says so, keeps what came and goes on; the chat stays', () => inBrowser(async ({page, host}) => {
  host.intercept = (request, response) => {
    if (!/(1[0-9]|2[0-9])\.bin$/.test(request.url)) return false;
    response.writeHead(503).end();
    return true;
  };
  await page.fill('#ask', 'Are you there?');
  await page.keyboard.press('Enter');
  await page.click('#get');
  const notice = page.locator('.notice');
  // All places are asked, patiently.
  await notice.waitFor();
  assert.match(await notice.textContent(), /The download stopped.*503.*MB are kept.*conversation is still here/);
  assert.match(await page.textContent('.you'), /Are you there/);
  host.intercept = undefined;
  host.requests.length = 0;
  await page.click('text=Go on');
  await answered(page);
  assert.ok(shards(host).every(index => index >= 10), shards(host).join());
  assert.equal(await notice.count(), 0);
}));

test('pause keeps what came; a file of one\'s own and a wrong one', () => inBrowser(async ({page, host}) => {
  const goOn = hold(host, 4);
  await page.click('#get');
  await page.waitForFunction(() => /[1-9]\d of 98 MB/.test(document.querySelector('.progress')?.textContent));
  // Of four connections each asks for the next when it has kept one.
  await until(() => shards(host).length >= 8);
  // A finger stays down for a while, and the card must not change under it.
  await page.click('text=Pause', {delay: 200});
  await page.waitForSelector('#get');
  await page.waitForFunction(() => /\d+ of 98 MB are here/.test(document.querySelector('.welcome').textContent));
  goOn();
  assert.equal(await page.locator('.notice').count(), 0, 'a pause is no error');

  await page.click('.tab.models');
  await page.setInputFiles('input[type=file]', {name: 'notes.gguf', mimeType: 'text/plain', buffer: Buffer.from('not a model')});
  await page.waitForSelector('.notice');
  assert.match(await page.textContent('.notice'), /not a GGUF file/);
  await page.click('.tab.models');
  await page.setInputFiles('input[type=file]', new URL('../fixtures/tiny-llama.gguf', import.meta.url).pathname);
  await page.waitForFunction(() => /tiny-llama.*CPU/.test(document.querySelector('#chip').textContent));
}));

test('a model that is paused or replaced while it waits for an answer to end is not taken', () => inBrowser(async ({page}) => {
  const tiny = readFileSync(new URL('../fixtures/tiny-llama.gguf', import.meta.url)).toString('base64');
  const said = await page.evaluate(async tiny => {
    const {answer, ask, load, pause} = await import('/page/actions.js');
    const {on, set, state} = await import('/page/store.js');
    const file = new Blob([Uint8Array.from(atob(tiny), c => c.charCodeAt(0))]);
    const names = [];
    on(['name'], () => names.push(state.name));
    set({device: 'cpu'});
    await load(file, 'first');
    const first = state.model;
    /** An answer that is slow to stop for a model on its way: `free` lets it. */
    const loadOver = async name => {
      let free;
      const {model} = state;
      const {generate} = model;
      const stopped = new Promise(resolve => {
        model.generate = async function* ({signal}) {
          signal.addEventListener('abort', resolve);
          await new Promise(resolve => { free = resolve; });
        };
      });
      ask('Hi');
      const loading = load(file, name);
      answer(); // waits for the new one
      await stopped;
      model.generate = generate;
      return {free, loading};
    };
    const paused = await loadOver('second');
    pause();
    paused.free();
    await paused.loading;
    const after = {same: state.model === first, phase: state.phase, answering: state.answering};
    await new Promise(resolve => on(['answering'], () => !state.answering && resolve()));
    const replaced = await loadOver('third');
    const last = load(file, 'fourth');
    replaced.free();
    await Promise.all([replaced.loading, last]);
    return {after, names};
  }, tiny);
  assert.deepEqual(said.after, {same: true, phase: 'ready', answering: true}, 'what waited is answered by the model in use');
  assert.deepEqual(said.names, ['', 'first', 'fourth']);
}));

test('several files are chosen or dropped together', () => inBrowser(async ({page}) => {
  const folder = new URL('../fixtures/folders/tiny-llama-gguf/', import.meta.url);
  const names = [1, 2, 3].map(n => `tiny-llama-0000${n}-of-00003.gguf`);
  const paths = names.map(name => new URL(name, folder).pathname);
  await page.click('.tab.models');
  await page.setInputFiles('input[type=file]', paths.slice(0, 2));
  await page.waitForSelector('.notice');
  assert.match(await page.textContent('.notice'), /do not make one model.*tiny-llama-00003-of-00003\.gguf/s);
  await page.click('.tab.models');
  await page.setInputFiles('input[type=file]', paths);
  await page.waitForFunction(() => /tiny-llama.*CPU/.test(document.querySelector('#chip').textContent));

  await page.reload();
  await page.click('.tab.models');
  const texts = names.map((name, i) => [name, readFileSync(paths[i]).toString('base64')]);
  await page.evaluate(texts => {
    const transfer = new DataTransfer();
    for (const [name, text] of texts) transfer.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name));
    document.querySelector('input[type=file]').closest('.card').dispatchEvent(new DragEvent('drop', {dataTransfer: transfer, bubbles: true}));
  }, texts);
  await page.waitForFunction(() => /tiny-llama.*CPU/.test(document.querySelector('#chip').textContent));
}));

test('a model of which a part is missing goes on', () => inBrowser(async ({page, host}) => {
  let refusing = true;
  host.intercept = (request, response) => {
    const name = /^\/parts\/(tiny-llama-0000\d-of-00003\.gguf)$/.exec(request.url)?.[1];
    if (!name) return false;
    const bytes = readFileSync(new URL(`../fixtures/folders/tiny-llama-gguf/${name}`, import.meta.url));
    // Of the second the size is told, to who asks for a byte, and nothing more for a while.
    if (name.includes('-00002-') && refusing && !request.headers.range) response.writeHead(404).end();
    else response.writeHead(200, {'Content-Length': bytes.length}).end(bytes);
    return true;
  };
  await page.click('.tab.models');
  await page.fill('#address', `${host.url}parts/tiny-llama-00003-of-00003.gguf`);
  await page.press('#address', 'Enter');
  await page.waitForSelector('.notice');
  refusing = false;
  await page.reload();
  await page.click('.tab.models');
  const row = page.locator('.model', {hasText: 'tiny-llama'});
  assert.match(await row.textContent(), /MB here, more is missing.*Go on/);
  await row.locator('.main').click();
  await page.waitForFunction(() => /tiny-llama.*CPU/.test(document.querySelector('#chip').textContent));
  await page.click('.tab.models');
  assert.match(await row.textContent(), /in use/);
}));

test('a conversation that has grown too long says so and stays', () => inBrowser(async ({page}) => {
  await page.click('.tab.models');
  await page.setInputFiles('input[type=file]', new URL('../fixtures/tiny-llama.gguf', import.meta.url).pathname);
  await page.waitForSelector('.examples');
  await page.fill('#ask', 'a long question '.repeat(10));
  await page.keyboard.press('Enter');
  await page.waitForSelector('.notice');
  assert.match(await page.textContent('.notice'), /longer than the model can hold.*New chat/);
  assert.match(await page.textContent('.you'), /a long question/);
}));

const english = JSON.parse(readFileSync(new URL('../../web/page/i18n/en.json', import.meta.url)));
const beginnings = new Set(Object.keys(english).filter(key => key.includes('.')).map(key => key.split('.')[0]));
const KEYS = `\\b(${[...beginnings].join('|')})\\.[a-z_]`;

for (const [name, width, height] of [['desktop', 1440, 900], ['tablet', 900, 1100], ['phone', 360, 740]]) {
  test(`both languages and themes on a ${name}`, () => inBrowser(async ({page}) => {
    await page.waitForSelector('#get');
    for (const language of ['en', 'zh']) {
      await page.waitForSelector(`html[lang=${language}]`);
      for (const view of ['models', 'settings', 'chat']) {
        const tab = page.locator(`.tab.${view}`);
        if (!await tab.isVisible()) continue;
        await tab.click();
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${language} ${view} is ${wide} px too wide`);
        // What has no text is shown by its key.
        const left = await page.evaluate(keys => new RegExp(keys).exec(document.body.innerText)?.[0], KEYS);
        assert.equal(left, undefined, 'a text is missing');
      }
      await page.click('#language');
    }
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await paper();
    await page.click('#theme');
    assert.notEqual(await paper(), light);
    await page.reload();
    assert.notEqual(await paper(), light, 'the theme is kept');
  }, {viewport: {width, height}}));
}

test('both languages have the same texts', async () => {
  const {readFile} = await import('node:fs/promises');
  const texts = await Promise.all(['en', 'zh'].map(async language =>
    JSON.parse(await readFile(new URL(`../../web/page/i18n/${language}.json`, import.meta.url)))));
  assert.deepEqual(Object.keys(texts[1]), Object.keys(texts[0]));
});
