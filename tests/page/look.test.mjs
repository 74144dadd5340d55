// How the page looks and reads: no barrier that axe-core finds, no text left in another language, nothing that jumps, quick at
// first sight.
import assert from 'node:assert/strict';
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {gzipSync} from 'node:zlib';
import {inBrowser} from './browser.mjs';
import {ROOT} from './server.mjs';
import {speak} from './words.mjs';

const AXE = readFileSync(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const TINY = join(ROOT, 'tests/fixtures/tiny-llama.gguf');
/** Something of everything that an answer may have. */
const ANSWER = ['What to say?</think># It is', 'a list:', '- one\n- **two**, and `code`', '```js\nconst it = 1;\n```', '| a | b |\n| - | - |\n| 1 | 2 |',
  '$$x^2$$', 'And so on, for a while, and a while, until it ends. '.repeat(8)].join('\n\n');
const VIEWS = ['chat', 'lab', 'models', 'bench', 'privacy', 'settings'];

const textsOf = language => JSON.parse(readFileSync(join(ROOT, `web/page/i18n/${language}.json`)));

/** Looks at a view: through its tab, its badge, or as it stands beside the others. */
const look = (page, view) => page.evaluate(async view => {
  const {set} = await import('/page/store.js');
  set({view});
}, view);

/** Every text that a person is shown or told, with whether it says that it is in another language. */
const texts = page => page.evaluate(() => {
  const shown = element => element.checkVisibility({visibilityProperty: true});
  const foreign = element => Boolean(element.closest('[lang]:not(html), code, .md')); // .md: what a model wrote
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const element = node.parentElement;
    if (node.data.trim() && shown(element) && !['SCRIPT', 'STYLE'].includes(element.tagName)) {
      found.push({text: node.data.trim(), foreign: foreign(element)});
    }
  }
  for (const element of document.querySelectorAll('[aria-label], [placeholder], [title], [alt]')) {
    for (const name of ['aria-label', 'placeholder', 'title', 'alt']) {
      const text = element.getAttribute(name)?.trim();
      if (text && shown(element)) found.push({text, foreign: foreign(element)});
    }
  }
  return found;
});

/** Names that are the same everywhere. */
const {models} = JSON.parse(readFileSync(join(ROOT, 'models/catalog.json')));
const QUESTION = 'What is it?';
const NAMES = [QUESTION, ...models.flatMap(({name, licence}) => [name, licence])];

/** Whether there are two words of English one after the other, but for names. */
const isEnglish = text => /\b[a-z]{2,}[,;:]? [a-z]{2,}\b/.test(NAMES.reduce((rest, name) => rest.replace(name, ''), text));

/** What axe-core objects to. */
const barriers = async page => page.evaluate(async () => {
  const {violations} = await window.axe.run(document, {resultTypes: ['violations']});
  return violations.flatMap(({id, nodes}) => nodes.map(({html, failureSummary}) => [id, html.slice(0, 160), failureSummary].join(' · ')));
});

/** A model, an answer, a run of the lab and the trial of the wall. */
async function furnish(page) {
  await page.click('.tab.lab');
  await page.setInputFiles('#lab-file', TINY);
  await page.waitForSelector('#lab-run', {state: 'visible'});
  await page.selectOption('#lab-preset', 'smallest');
  await page.click('#lab-preset-use');
  await page.click('#lab-run');
  await page.waitForSelector('#lab-plot circle[role=button]');
  await look(page, 'chat');
  await speak(page, [ANSWER]);
  await page.fill('#ask', QUESTION);
  await page.keyboard.press('Enter');
  await page.waitForSelector('.meta span');
  await look(page, 'privacy');
  await page.click('#leak');
  await page.waitForSelector('#leak-result table');
}

test('axe-core finds no barrier, and no text is left in another language', () => inBrowser(async ({page}) => {
  const english = textsOf('en');
  const chinese = textsOf('zh');
  // Words that are the same in both are names, units and terms.
  const other = new Set(Object.keys(english).filter(key => english[key] !== chinese[key]).map(key => english[key]));
  await page.waitForSelector('#get');
  await page.evaluate(AXE);
  const found = (await barriers(page)).map(barrier => `first visit: ${barrier}`);
  await furnish(page);
  for (const [language, theme] of [['en', 'light'], ['zh', 'dark']]) {
    await page.evaluate(async ([language, theme]) => {
      await (await import('/page/i18n.js')).speak(language);
      (await import('/page/store.js')).set({theme});
    }, [language, theme]);
    for (const view of VIEWS) {
      await look(page, view);
      if (['lab', 'models', 'bench', 'privacy'].includes(view)) await page.waitForSelector(`#${view} h1`);
      found.push(...(await barriers(page)).map(barrier => `${view}, ${language}, ${theme}: ${barrier}`));
      const left = language === 'zh' ? await texts(page) : [];
      const wrong = left.filter(({text, foreign}) => other.has(text) || (!foreign && isEnglish(text)));
      found.push(...wrong.map(({text}) => `${view}: not translated: ${text}`));
    }
  }
  assert.deepEqual(found, []);
}));

/** What the page's modules may ask for: plain strings, templates as expressions, and what is asked for in so many words. */
function literals() {
  const folder = join(ROOT, 'web/page');
  const modules = readdirSync(folder, {recursive: true}).filter(name => name.endsWith('.js'));
  const text = [join(ROOT, 'web/index.html'), ...modules.map(name => join(folder, name))].map(path => readFileSync(path, 'utf8')).join('\n');
  const all = expression => [...text.matchAll(expression)].map(match => match.slice(1).find(Boolean));
  // A template that may begin with anything would ask for every text; one of these does.
  const asks = template => /^\w+\./.test(template) || template === '${phase}.title';
  const templates = all(/`([\w.]*\$\{[^`]*)`/g).filter(asks).map(template => {
    const parts = template.split(/\$\{[^}]*\}/).map(part => part.replace(/[^\w\s]/g, '\\$&'));
    return {template, expression: new RegExp(`^${parts.join('.+')}$`)};
  });
  return {
    plain: new Set(all(/'([\w.]+)'|data-i18n="([\w.]+)"/g)), templates,
    asked: all(/\bt\('([\w.]+)'|\bword\('\w+', '([\w.]+)'|data-i18n="([\w.]+)"/g),
  };
}

test('both languages say the same, and all that is asked for', () => {
  const english = textsOf('en');
  const chinese = textsOf('zh');
  const {plain, templates, asked} = literals();
  assert.deepEqual(Object.keys(chinese), Object.keys(english));
  const braces = text => [...text.matchAll(/\{\w+\}/g)].map(String).sort().join();
  assert.deepEqual(Object.keys(english).filter(key => braces(english[key]) !== braces(chinese[key])), [], 'other values');
  assert.deepEqual(asked.filter(key => !(key in english)), [], 'missing');
  const used = key => plain.has(key) || templates.some(({expression}) => expression.test(key));
  assert.deepEqual(Object.keys(english).filter(key => !used(key)), [], 'nobody asks for these');
});

test('at first sight: quick, small, and nothing jumps; not while an answer is written, either', t => inBrowser(async ({page, host}) => {
  await page.addInitScript(() => {
    window.jumps = [];
    new PerformanceObserver(list => window.jumps.push(...list.getEntries().filter(entry => !entry.hadRecentInput).map(entry =>
      [entry.value, ...entry.sources.map(({node}) => node?.outerHTML?.slice(0, 80))]))).observe({type: 'layout-shift', buffered: true});
  });
  // A second; on a machine that is busy, what a page of one word tells. Others only ever make it later: so the best of some counts.
  host.intercept = (request, response) =>
    request.url === '/word' && response.writeHead(200, {'Content-Type': 'text/html'}).end('<!doctype html><p>word');
  const firstPaint = async url => {
    await page.goto(url);
    return page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime).then(time => time.jsonValue());
  };
  const paints = [];
  const isQuick = ([ours, word]) => ours < Math.max(1000, 12 * word);
  while (paints.length < 5 && !paints.some(isQuick)) {
    const word = await firstPaint(`${host.url}word`);
    paints.push([await firstPaint(host.url), word]);
  }
  assert.ok(paints.some(isQuick), `first paint, and of a word: ${JSON.stringify(paints)} ms`);
  await page.waitForSelector('#get');
  // The catalog is the last thing that the first view needs.
  const seen = await page.evaluate(() => {
    const all = performance.getEntriesByType('resource');
    const until = all.find(({name}) => name.endsWith('/catalog.json')).responseEnd;
    return all.filter(({startTime}) => startTime < until).map(({name}) => new URL(name).pathname);
  });
  const shell = ['/index.html', ...new Set(seen)].filter(path => !/^\/(engine|models\/shards)\//.test(path));
  const bytes = shell.reduce((sum, path) => sum + gzipSync(readFileSync(join(ROOT, 'dist', path))).length, 0);
  assert.ok(bytes < 150_000, `${bytes} bytes, compressed: ${shell.join()}`);
  const jumped = () => page.evaluate(() => window.jumps);
  const sum = jumps => jumps.reduce((sum, [value]) => sum + value, 0);
  const first = await jumped();
  assert.ok(sum(first) < 0.01, JSON.stringify(first));
  const best = Math.min(...paints.map(([ours]) => ours));
  t.diagnostic(`first paint ${best.toFixed(0)} ms, ${(bytes / 1000).toFixed(1)} kB in ${shell.length} files, shift ${sum(first).toFixed(4)}`);

  await speak(page, [ANSWER], {pause: 20});
  await page.fill('#ask', QUESTION);
  await page.waitForTimeout(600); // what follows a person's doing at once is no jump
  await page.evaluate(() => {
    window.jumps.length = 0;
    document.querySelector('#form').requestSubmit();
  });
  await page.waitForSelector('.meta span');
  assert.ok(sum(await jumped()) < 0.01, JSON.stringify(await jumped()));
}, {viewport: {width: 1280, height: 800}, serviceWorkers: 'block'}));

test('whoever wants less motion or more contrast gets it', () => inBrowser(async ({page}) => {
  await page.waitForSelector('#get');
  await page.evaluate(async () => (await import('/page/store.js')).set({answering: true}));
  const moving = () => page.evaluate(() => document.getAnimations().length);
  assert.ok(await moving() > 0);
  await page.emulateMedia({reducedMotion: 'reduce'});
  assert.equal(await moving(), 0);

  const contrast = (one, other) => page.evaluate(names => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d');
    const [a, b] = names.map(name => {
      document.body.style.outlineColor = `var(${name})`;
      canvas.fillStyle = getComputedStyle(document.body).outlineColor;
      canvas.fillRect(0, 0, 1, 1);
      const [red, green, blue] = [...canvas.getImageData(0, 0, 1, 1).data].map(part => {
        const share = part / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
    });
    return Math.max(a, b) / Math.min(a, b);
  }, [one, other]);
  for (const theme of ['light', 'dark']) {
    await page.evaluate(async theme => (await import('/page/store.js')).set({theme}), theme);
    await page.emulateMedia({contrast: 'more'});
    assert.ok(await contrast('--soft', '--paper') > 7, `${theme}: secondary text`);
    assert.ok(await contrast('--line', '--card') > 3, `${theme}: edges`);
    await page.emulateMedia({contrast: null});
  }
  // Where the system chooses the colours, what is drawn with backgrounds stays visible.
  await page.emulateMedia({forcedColors: 'active'});
  await page.evaluate(async () => (await import('/page/store.js')).set({
    answering: false, phase: 'load', wanted: {source: 'x', name: 'x'}, progress: {loaded: 50, total: 100},
  }));
  const cell = page.locator('.shards i:visible').first();
  assert.notEqual(await cell.evaluate(element => getComputedStyle(element).backgroundImage), 'none');
}));
