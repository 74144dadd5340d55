// Pictures of the page for those who look after it: every panel in both languages, both themes, on a desktop and on a phone.
// `node tests/page/shots.mjs [DIRECTORY] [WORD...]` puts NAME-LANGUAGE-THEME-DEVICE.png there, of names that have one of the words,
// and tells what can be told without eyes: what is wider than the screen, and what is too small for a finger.
import {mkdir} from 'node:fs/promises';
import {join} from 'node:path';
import {FOREVER, inBrowser, SMOLLM2} from './browser.mjs';
import {ROOT} from './server.mjs';
import {talk} from './talk.mjs';
import {speak} from './words.mjs';

const [directory = '/tmp/shots', ...wanted] = process.argv.slice(2);
const TINY = join(ROOT, 'tests/fixtures/tiny-llama.gguf');
const NAME = 'SmolLM2 135M Instruct';
const DEVICES = {
  desktop: {viewport: {width: 1280, height: 800}},
  phone: {viewport: {width: 390, height: 844}, deviceScaleFactor: 2, hasTouch: true, isMobile: true},
};
const FINGER = 40;

const set = (page, changes) => page.evaluate(async changes => (await import('/page/store.js')).set(changes), changes);
const view = name => page => set(page, {view: name});
const panel = name => async page => {
  await view(name)(page);
  await page.waitForSelector(`#${name} h1`);
  await page.evaluate(name => { document.getElementById(name).scrollTop = 0; }, name);
};
const escape = page => page.keyboard.press('Escape');

async function open(page, {language}) {
  await page.evaluate(async language => {
    await (await import('/page/chat/conversations.js')).open(`rich-${language}`);
    (await import('/page/store.js')).set({view: 'chat'});
  }, language);
  await page.waitForSelector('.md math');
}

/** Opens the list of conversations where it is not beside the chat. */
const list = (page, {device}) => device === 'phone' && page.click('#drawer');

const fresh = page => page.evaluate(async () => {
  (await import('/page/actions.js')).newChat();
  (await import('/page/store.js')).set({view: 'chat'});
});

const download = {
  phase: 'download', wanted: {source: SMOLLM2, name: NAME},
  progress: {loaded: 61.4e6, total: 98e6, bytes_per_second: 4.2e6, seconds_left: 9},
};
const timings = {tokens: 214, decode_ms: 3480, first_token_ms: 190, prompt_tokens: 60, prompt_ms: 283, context_used: 312};
const network = {code: 'network', message: 'TypeError: Failed to fetch', kept: {loaded: 61.4e6, total: 98e6}};

/** Shows an error as `fail` does, with something to do about it. */
const wrong = (page, error) => page.evaluate(async error => {
  (await import('/page/store.js')).set({error: {...error, actions: [['error.goon', () => {}]]}});
}, error);

/** `[name, what brings it about, what ends it, whether all of it is shown however long]`, before there is a model ... */
const BARE = [
  ['welcome', view('chat')],
  ['lab-first', panel('lab')],
  ['bench-first', panel('bench')],
  ['download', page => set(page, {view: 'chat', ...download}), page => set(page, {phase: 'none', progress: null, wanted: null})],
  ['error-first', async page => { await view('chat')(page); await wrong(page, network); }, page => set(page, {error: null})],
];

/** ... and with one, conversations, and something done in every panel. */
const FURNISHED = [
  ['empty', fresh],
  ['chat', open, undefined, true],
  ['chat-end', open],
  ['box', async page => {
    const text = 'Day 1: fog.\nDay 2: fog.';
    await set(page, {files: [{name: 'notes-from-the-lighthouse.txt', text}, {name: '灯塔.txt', text}]});
    await page.fill('#ask', 'One line\nand another');
  }, async page => { await set(page, {files: []}); await page.fill('#ask', ''); }],
  ['tokens', async (page, {language}) => {
    await open(page, {language});
    await page.click('#tokens-3');
    await page.locator('.token.level3').first().click();
  }, async page => { await escape(page); await page.click('#tokens-3'); }],
  ['edit', page => page.click('#edit-2', {force: true}), escape],
  ['answering', async page => {
    await fresh(page);
    await speak(page, ['Light counts out its name, ten dark seconds, two of gold. '.repeat(20)], {pause: 120, name: NAME});
    await page.fill('#ask', 'Well?');
    await page.press('#ask', 'Enter');
    await page.waitForSelector('.md p');
  }, async page => { await page.click('#send'); await page.waitForSelector('[aria-busy=false]'); }],
  ['list', async (page, at) => { await open(page, at); await list(page, at); }],
  ['search', async page => { await page.fill('#find', '灯'); await page.waitForSelector('.found'); }, page => page.fill('#find', '')],
  ['menu', page => page.locator('.conversations li .more').nth(1).click(), escape],
  ['list-menu', page => page.click('#list-more'), async (page, {device}) => { await escape(page); if (device === 'phone') await escape(page); }],
  ['undo', page => set(page, {undo: [{title: 'Sort a list in place'}]}), page => set(page, {undo: null})],
  ['keys', page => page.evaluate(async () => (await import('/page/ui/chat/keys.js')).help()), escape],
  ['settings', page => set(page, {view: 'settings', timings}), undefined, true],
  ['models', panel('models'), undefined, true],
  ['lab', panel('lab'), undefined, true],
  ['bench', panel('bench'), undefined, true],
  ['privacy', async page => {
    await view('privacy')(page);
    await page.waitForSelector('#requests details');
    await page.evaluate(() => document.querySelectorAll('#privacy details').forEach(details => { details.open = true; }));
  }, undefined, true],
  ['error', async page => { await view('chat')(page); await wrong(page, network); }, page => set(page, {error: null})],
  ['update', page => page.evaluate(async () => (await import('/page/store.js')).set({update() {}})), page => set(page, {update: null})],
];

/** Runs of the lab, its map and comparison, a model that is stored and one that is half here, a bench, a trial, conversations. */
async function furnish(page) {
  await page.waitForSelector('#get');
  await page.click('#get');
  await until(page, ({state}) => state.progress?.loaded > 2e7);
  await page.locator('.progress .quiet').first().click();
  await view('models')(page);
  await page.setInputFiles('#storage input', TINY);
  await page.waitForSelector('.stored li:nth-child(2)');
  await view('lab')(page);
  await page.setInputFiles('#lab-file', TINY);
  await page.waitForSelector('#lab-run', {state: 'visible'});
  await page.selectOption('#lab-add', 'quantize');
  await page.click('#lab-add-step');
  await page.fill('#lab-gate-kl', '0.01');
  await page.press('#lab-gate-kl', 'Tab');
  for (const [i, format] of ['Q8_0', 'Q4_0', 'Q6_K'].entries()) {
    await page.selectOption('#step-1-format', format);
    await page.click('#lab-run');
    await until(page, ({lab}, i) => !lab.busy && lab.runs.length > i, i);
  }
  await page.click('#lab-compare');
  await until(page, ({lab}) => !lab.busy && lab.comparison);
  await page.click('#lab-map-draw');
  await until(page, ({lab}) => !lab.busy && lab.map);
  await page.locator('.cell').nth(5).click();
  await page.click('#lab-chat');
  await page.waitForSelector('#chat .welcome h1');
  await view('bench')(page);
  await page.click('#bench-run');
  await page.waitForSelector('#bench-rate');
  await view('privacy')(page);
  await page.click('#leak');
  await page.waitForSelector('#leak-result table');
  for (const language of ['zh', 'en']) await page.evaluate(async ({conversations, tokens}) => {
    await (await import('/page/chat/conversations.js')).take(conversations);
    await (await import('/page/chat/conversations.js')).keep({tokens});
  }, talk(language, NAME));
  await speak(page, ['So it is.'], {name: NAME});
  await set(page, {verdict: {why: 'no_adapter'}});
}

/** Waits until something holds of the page's or the lab's state. */
async function until(page, check, given) {
  const states = "Promise.all([import('/page/store.js'), import('/page/lab/state.js')])";
  while (!await page.evaluate(`${states}.then(([{state}, {lab}]) => (${check})({state, lab}, ${given}))`)) await page.waitForTimeout(100);
}

/** What is wider than the screen, cut off, or too small for a finger. */
const measure = (page, finger) => page.evaluate(finger => {
  const shown = [...document.body.querySelectorAll('*')]
    .filter(element => element.checkVisibility({visibilityProperty: true, opacityProperty: true}));
  const box = element => element.getBoundingClientRect();
  const overflow = element => getComputedStyle(element).overflowX;
  const scrolls = element => element && (overflow(element) !== 'visible' || scrolls(element.parentElement));
  const wide = element => box(element).right > innerWidth + 1 && !scrolls(element.parentElement);
  const cut = element => element.childElementCount === 0 && overflow(element) === 'hidden'
    && element.clientWidth > 1 && element.scrollWidth > element.clientWidth + 1;
  const pressed = [...(document.querySelector('dialog[open]') ?? document).querySelectorAll('button, select, input, summary, .file, label:has(input)')];
  // Words are as large as they are, and a label is pressed for what is in it.
  const apart = element => [null, element].includes(element.closest('.flowing, label:has(input), .hidden'));
  const small = element => shown.includes(element) && apart(element) && Math.min(box(element).width, box(element).height) < finger;
  const {scrollWidth, scrollHeight} = document.documentElement;
  const tell = (fault, elements) => elements.map(element => {
    const {width, height} = box(element);
    const words = (element.ariaLabel ?? element.textContent).trim().slice(0, 30);
    return `${fault}, ${Math.round(width)} × ${Math.round(height)}: ${element.localName} ${element.id || element.className} “${words}”`;
  });
  return [
    ...scrollWidth > innerWidth || scrollHeight > innerHeight ? ['the page itself scrolls'] : [],
    ...tell('too wide', shown.filter(wide)), ...tell('cut off', shown.filter(cut)), ...tell('too small', finger ? pressed.filter(small) : []),
  ];
}, finger);

/** The window is made as high as what is to be seen in it. */
async function fit(page, {width, height}, whole) {
  await page.setViewportSize({width, height});
  if (!whole) return;
  const more = await page.evaluate(() =>
    Math.max(...[...document.querySelectorAll('.view, .flow')].map(({scrollHeight, clientHeight}) => scrollHeight - clientHeight)));
  await page.setViewportSize({width, height: height + more});
}

async function shoot(page, scenes, device) {
  const {viewport} = DEVICES[device];
  const told = new Map();
  for (const language of ['en', 'zh']) {
    await page.evaluate(async language => (await import('/page/i18n.js')).speak(language), language);
    for (const [name, begin, end, whole] of scenes) {
      await begin(page, {language, device});
      if (wanted.length === 0 || wanted.some(word => name.includes(word))) {
        await page.waitForTimeout(300);
        await fit(page, viewport, whole);
        for (const theme of ['light', 'dark']) {
          await set(page, {theme});
          await page.screenshot({path: join(directory, `${name}-${language}-${theme}-${device}.png`)});
        }
        for (const fault of await measure(page, device === 'phone' && FINGER)) {
          if (!told.has(fault)) told.set(fault, `${name}-${language}`);
        }
        await fit(page, viewport);
      }
      await end?.(page, {language, device});
    }
  }
  for (const [fault, where] of told) console.log(`${device} ${where}: ${fault}`);
}

await mkdir(directory, {recursive: true});
for (const [device, options] of Object.entries(DEVICES)) {
  await inBrowser(async ({page}) => {
    await page.waitForSelector('#get');
    await shoot(page, BARE, device);
    await page.evaluate(async () => (await import('/page/i18n.js')).speak('en'));
    await view('chat')(page);
    await furnish(page);
    await shoot(page, FURNISHED, device);
  }, {...options, most: FOREVER});
}
