// The lab as a person uses it: a base, a recipe made by keyboard, a run, its figures, and what becomes of them.
import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import {test} from 'node:test';
import {inBrowser, quiet} from './browser.mjs';
import {ROOT} from './server.mjs';
import {clock} from '../../web/page/lab/clock.js';
import {compared, together} from '../../web/page/lab/compare.js';
import {facts} from '../../web/page/lab/facts.js';
import {begin, edit, redo, undo} from '../../web/page/lab/history.js';
import {front, points} from '../../web/page/lab/pareto.js';
import {distance, failed} from '../../web/page/lab/quality.js';
import {
  add, choose, commandLine, EMPTY, fromJson, fromRecipe, gate, move, override, remove, summary, toggle, toRecipe,
} from '../../web/page/lab/recipe.js';
import {groups, original} from '../../web/page/lab/runs.js';
import {fewestBits, searchable} from '../../web/page/lab/search.js';

const METHODS = [
  {name: 'awq', does: '', options: [{name: 'steps', does: '', kind: {number: {min: 1, max: 40, default: 10}}}]},
  {name: 'quantize', does: '', options: [
    {name: 'format', does: '', kind: {choice: {of: ['Q8_0', 'Q4_0'], default: 'Q4_0'}}},
    {name: 'act_order', does: '', kind: {flag: {default: true}}},
    {name: 'tensors', does: '', kind: {tensors: {of: ['Q8_0', 'Q4_0']}}},
  ]},
];

test('recipes are built, written, read and refused', () => {
  const [format, order] = METHODS[1].options;
  let bench = add(add(EMPTY, 'quantize'), 'awq');
  bench = move(bench, 2, -1);
  assert.deepEqual(bench.steps.map(({method}) => method), ['awq', 'quantize']);
  assert.deepEqual(move(bench, 2, -1).steps, bench.steps, 'there is nothing above the first');
  bench = choose(choose(bench, 1, format, 'Q8_0'), 1, order, false);
  bench = override(bench, 1, 'blk.0.ffn_down.weight', 'Q8_0');
  const recipe = {
    version: 1, calibration: {tokens: 8192, length: 512},
    steps: [{method: 'awq'}, {method: 'quantize', format: 'Q8_0', act_order: false, tensors: {'blk.0.ffn_down.weight': 'Q8_0'}}],
  };
  assert.deepEqual(toRecipe(bench), recipe);
  assert.deepEqual(toRecipe(fromJson(JSON.stringify(recipe), METHODS)), recipe);
  assert.deepEqual(toRecipe(fromRecipe({...recipe, steps: [{method: 'awq', steps: 10}]}, METHODS)).steps, [{method: 'awq'}]);
  assert.deepEqual(toRecipe(toggle(bench, 2)).steps.length, 1, 'a step that is off is not written');
  assert.deepEqual(toRecipe(remove(bench, 1)).steps, [{method: 'awq'}]);
  assert.deepEqual(choose(bench, 1, format, 'Q4_0').steps[1].options.format, undefined, 'what is as by default is not written');
  assert.deepEqual(override(bench, 1, 'blk.0.ffn_down.weight').steps[1].options.tensors, undefined);
  assert.equal(summary(recipe, METHODS), 'awq + quantize Q8_0 no act_order tensors × 1');
  // Gates, and what an imported recipe says beside, are kept.
  const more = {...recipe, gates: {kl: 0.1}, author: 'Ann'};
  assert.deepEqual(toRecipe(fromRecipe(more, METHODS)), more);
  assert.deepEqual(toRecipe(gate(fromRecipe(more, METHODS), 'kl', undefined)).gates, undefined);
  for (const [text, why] of [
    ['{', 'json'], ['[]', 'shape'], ['null', 'shape'], ['{"version": 1}', 'shape'], ['{"version": 2, "steps": []}', 'newer'],
    ['{"version": 1, "steps": [{"method": "magic"}]}', 'method'], ['{"version": 1, "steps": [null]}', 'method'],
    ['{"version": 1, "steps": [{"method": "awq", "bits": 4}]}', 'option'],
  ]) assert.throws(() => fromJson(text, METHODS), {why}, text);
});

test('a command line is one word each for a shell', () => {
  const named = {...add(EMPTY, 'awq'), name: "Ann's"};
  const line = commandLine(named, {base: 'a.gguf', output: 'b.gguf', text: 'calibration.txt'});
  assert.equal(line, `hearth compress a.gguf b.gguf --recipe '{"version":1,"name":"Ann'\\''s","calibration":{"tokens":8192,"length":512},`
    + `"steps":[{"method":"awq"}]}' --text calibration.txt`);
});

test('undo and redo go back and forth; a change ends what could be redone', () => {
  let edits = edit(edit(begin('a'), 'b'), 'c');
  assert.equal((edits = undo(edits)).now, 'b');
  assert.equal((edits = undo(edits)).now, 'a');
  assert.equal(undo(edits).now, 'a');
  assert.equal((edits = redo(edits)).now, 'b');
  assert.equal(redo(edits).now, 'c');
  assert.equal(redo(edit(edits, 'd')).now, 'd');
});

const figure = value => ({value, low: value * 0.9, high: value * 1.1, median: value});

const run = (id, mb, kl, decode) => ({
  id, n: 1, name: id, base: {name: 'base', size_bytes: 100e6}, test: {name: 'en', hash: '0', protocol: 'disjoint', context: 64, tokens: 512},
  quality: {
    positions: 512, kl: figure(kl), kl_percentiles: [[0.5, kl / 2], [0.95, kl * 3], [1, kl * 9]], same_top: figure(0.8), rms_dp: figure(0.1),
    perplexity: figure(12), original_perplexity: figure(10), perplexity_ratio: figure(1.2),
  },
  recipe: {version: 1, steps: []}, sizes: {file_bytes: mb * 1e6}, ...decode && {speed: {decode: figure(decode), prompt: figure(9)}},
});

test('a run is dominated by one that is no larger and no farther away, or no slower', () => {
  const runs = [run('small', 50, 0.2), run('good', 60, 0.1), run('worse', 60, 0.15), run('large', 80, 0.1), run('twin', 60, 0.1)];
  const found = points([...runs, original(runs)], 'file');
  const by = Object.fromEntries(found.map(({run, by}) => [run.id, by?.id ?? null]));
  assert.deepEqual(by, {small: null, good: null, worse: 'good', large: 'good', twin: null, base: null});
  assert.deepEqual(front(found).map(({run}) => run.id), ['small', 'good', 'twin', 'base']);
  // Fast is to the right, and what was not timed has no place there.
  const fast = points([run('slow', 50, 0.2, 10), run('fast', 90, 0.1, 20)], 'speed');
  assert.deepEqual(fast.map(({by}) => by?.id ?? null), ['fast', null]);
  assert.deepEqual(points(runs, 'speed'), []);
});

test('runs are grouped by what they were measured on, the newest first', () => {
  const other = {...run('other', 50, 0.3), test: {...run('', 1, 1).test, tokens: 99}};
  const found = groups([run('a', 50, 0.2), other, run('b', 40, 0.3)]);
  assert.deepEqual(found.map(({runs}) => runs.map(({id}) => id)), [['a', 'b'], ['other']]);
});

test('gates, distances and facts', () => {
  const {quality} = run('a', 50, 0.1);
  assert.deepEqual(failed(quality, undefined), []);
  assert.deepEqual(failed(quality, {kl: 0.1, same_top: 0.8}), []);
  assert.deepEqual(failed(quality, {kl: 0.09, same_top: 0.81, perplexity_ratio: 1.1}), ['kl', 'same_top', 'perplexity_ratio']);
  assert.deepEqual(failed({...quality, kl: {value: NaN}}, {kl: 1}), ['kl'], 'what is no number passes nothing');
  const vectors = {texts: 30, cosine: {value: 0.75, low: 0.5, high: 1}, least_cosine: 0.5, overlap_at_10: figure(0.5)};
  assert.deepEqual(distance(vectors), {value: 0.25, low: 0, high: 0.5});
  const list = facts({...run('a', 50, 0.1), quality: vectors, ms: 5});
  assert.deepEqual(list.map(({key}) => key), ['cosine', 'least_cosine', 'overlap_at_10', 'texts', 'file', 'made']);
  assert.ok(facts(run('a', 50, 0.1)).every(({unit, source}) => unit && ['measured', 'counted'].includes(source)));
});

test('the fewest bits that pass are found by halving', () => {
  const recipe = {version: 1, gates: {kl: 0.1}, steps: [{method: 'quantize', format: 'mix', bits: 5}]};
  assert.ok(searchable(recipe));
  assert.ok(!searchable({...recipe, gates: {}}) && !searchable({...recipe, steps: [{method: 'quantize', format: 'Q4_0'}]}));
  const find = enough => {
    const tries = fewestBits(recipe);
    let count = 0;
    let next = tries.next();
    for (; !next.done; count++) {
      const [{bits}] = next.value.steps;
      next = tries.next({bits, quality: {kl: {value: bits < enough ? 0.2 : 0.05}}});
    }
    assert.ok(count <= 6, `${count} tries`);
    return next.value?.bits;
  };
  assert.ok(find(5.3) >= 5.3 && find(5.3) < 5.5);
  assert.ok(find(0) < 4.7);
  assert.equal(find(9), undefined, 'nothing passes');
});

test('the time that is left is that of the part under way', () => {
  let time = 0;
  const tick = clock(() => time);
  tick({what: 'calibrating', done: 0, of: 4});
  time = 100;
  // Its word alternates, its count goes on.
  assert.equal(tick({what: 'compressing', done: 1, of: 4, peak_memory_bytes: 7}).left_ms, 300);
  time = 150;
  const next = tick({what: 'reading', done: 0, of: 10});
  assert.deepEqual([next.left_ms, next.peak_memory_bytes], [undefined, 7]);
  time = 160;
  assert.equal(tick({what: 'reading', done: 1, of: 10}).left_ms, 90);
});

test('tokens are compared one by one', () => {
  const bytes = text => [...new TextEncoder().encode(text)];
  const step = (id, text, logprob, ...more) => ({id, bytes: bytes(text), logprob, top: [{id, bytes: bytes(text), logprob}, ...more]});
  const said = [step(1, 'a', Math.log(0.5)), step(2, 'b', Math.log(0.5))];
  const other = {id: 9, bytes: bytes('c'), logprob: Math.log(0.75)};
  const found = compared(said, [{top: [other, {id: 1, bytes: bytes('a'), logprob: Math.log(0.25)}]}, {top: [other]}]);
  assert.deepEqual(found.map(({same, rare}) => [same, rare]), [[false, false], [false, true]]);
  assert.ok(Math.abs(found[0].q - 0.25) < 1e-9 && Math.abs(found[1].q - 0.75) < 1e-9);
  assert.equal(together(said, [said[0], step(9, 'c', 0)]), 1);
  assert.equal(together(said, said), 2);
});

const TINY = `${ROOT}tests/fixtures/tiny-llama.gguf`;

async function openTiny(page) {
  await page.click('.tab.lab');
  await page.setInputFiles('#lab-file', TINY);
  await page.waitForSelector('#lab-run', {state: 'visible'});
}

/** Adds a step by the keyboard alone. */
async function addStep(page, method) {
  await page.focus('#lab-add');
  for (let i = 0; await page.inputValue('#lab-add') !== method; i++) {
    assert.ok(i < 40, `no method ${method}`);
    await page.keyboard.press(i < 20 ? 'ArrowUp' : 'ArrowDown');
    if (i < 20 && await page.evaluate(() => document.activeElement.selectedIndex === 0)) i = 20;
  }
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
}

const steps = page => page.locator('#lab-steps .step b').allTextContents();
const finished = page => page.waitForFunction(() => document.querySelector('#lab-run').textContent === 'Make it smaller');

async function make(page) {
  await page.focus('#lab-run');
  await page.keyboard.press('Enter');
  await finished(page);
}

async function saved(page, selector) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(selector)]);
  return [download.suggestedFilename(), await readFile(await download.path())];
}

test('a recipe by keyboard, a run, its point and figures, reports, the file in the chat', () => inBrowser(async ({page, host}) => {
  await page.waitForSelector('#get');
  await openTiny(page);
  assert.match(await page.textContent('#lab-base-now'), /tiny-llama.*llama · 2 layers/);
  assert.ok(await page.isDisabled('#lab-run'), 'nothing to do yet');

  // Build, move, undo, redo: no pointer is needed.
  await addStep(page, 'quantize');
  await addStep(page, 'channels');
  assert.deepEqual(await steps(page), ['Quantize', 'Drop channels']);
  await page.focus('#step-2-up');
  await page.keyboard.press('Enter');
  assert.deepEqual(await steps(page), ['Drop channels', 'Quantize']);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'step-2-name', 'the focus moves with the step');
  await page.keyboard.press('Control+z');
  assert.deepEqual(await steps(page), ['Quantize', 'Drop channels']);
  await page.keyboard.press('Control+Shift+z');
  assert.deepEqual(await steps(page), ['Drop channels', 'Quantize']);
  await page.focus('#step-2-remove');
  await page.keyboard.press('Enter');
  assert.deepEqual(await steps(page), ['Quantize']);
  await page.selectOption('#step-1-format', 'Q8_0');
  await page.selectOption('#step-1-rounding', 'nearest');

  await page.click('details:has(#lab-export) > summary');
  const [, exported] = await saved(page, '#lab-export');
  assert.deepEqual(JSON.parse(exported).steps, [{method: 'quantize', format: 'Q8_0', rounding: 'nearest'}]);

  await page.fill('#lab-gate-kl', '0.5');
  await page.press('#lab-gate-kl', 'Tab');
  await quiet(page);
  host.requests.length = 0;
  await make(page);
  await page.waitForSelector('#lab-plot circle[role=button]');
  assert.deepEqual(host.requests, [], 'nothing was requested');
  assert.match(await page.textContent('#lab-verdict'), /^Verified/);
  const kl = Number.parseFloat(await page.textContent('#lab-distance'));
  assert.ok(kl > 0 && kl < 0.5, `KL is ${kl}`);
  assert.equal(await page.locator('#lab-plot circle[role=button]').count(), 2, 'the run and the original');

  // A coarser grid is farther away, and fails a gate.
  await page.selectOption('#step-1-format', 'Q4_0');
  await page.fill('#lab-gate-kl', '0.000001');
  await page.press('#lab-gate-kl', 'Tab');
  await make(page);
  assert.match(await page.textContent('#lab-verdict'), /^Not verified: KL is/);
  assert.ok(Number.parseFloat(await page.textContent('#lab-distance')) > kl);
  await page.focus('#lab-plot circle[role=button]');
  assert.match(await page.textContent('#lab-reading'), /MB · KL/);

  // Reports say what was found, each figure with its unit and source.
  const [, json] = await saved(page, '#lab-json');
  const report = JSON.parse(json);
  assert.match(report.verdict, /^fails kl/);
  assert.equal(report.recipe.steps[0].rounding, 'nearest');
  assert.ok(report.facts.find(({key}) => key === 'kl').low > 0);
  assert.ok(report.facts.every(({unit, source}) => unit && source));
  assert.equal(report.test.hash, undefined);
  const [, html] = await saved(page, '#lab-html');
  for (const part of ['<svg', 'nats/token', 'measured', 'counted', 'Not verified', '&#34;rounding&#34;']) assert.ok(String(html).includes(part), part);
  assert.ok(!/src=|href=/.test(String(html)), 'it needs nothing else');

  const [file, bytes] = await saved(page, '#lab-download');
  assert.match(file, /^tiny-llama-.*\.gguf$/);
  assert.equal(bytes.subarray(0, 4).toString(), 'GGUF');
  await page.click('#lab-chat');
  await page.waitForFunction(() => /tiny-llama · .*CPU/.test(document.querySelector('#chip').textContent));

  // A reload loses no figure, only the files.
  await page.reload();
  await page.click('.tab.lab');
  await page.waitForSelector('#lab-plot circle[role=button]');
  assert.equal(await page.locator('#lab tbody .link').count(), 3);
  await page.click('#lab tbody tr:last-child .link');
  assert.match(await page.textContent('#lab-detail'), /Not verified.*file was in a tab/s);
}, {acceptDownloads: true}));

test('a run can be stopped at any moment, and the base is as it was', () => inBrowser(async ({page}) => {
  await openTiny(page);
  await addStep(page, 'quantize');
  await page.click('#lab-run');
  await page.click('#lab-stop');
  await finished(page);
  assert.equal(await page.locator('#lab-error .notice').count(), 0, 'to stop is no error');
  assert.equal(await page.locator('#lab tbody .link').count(), 0);
  await make(page);
  assert.equal(await page.locator('#lab tbody .link').count(), 2);
}));

test('what the lab refuses is said, and nothing is lost', () => inBrowser(async ({page}) => {
  await openTiny(page);
  await addStep(page, 'quantize');
  for (const use of ['calibration', 'test']) {
    await page.selectOption(`#lab-text-${use}`, 'own');
    await page.fill(`#lab-own-${use}`, 'The same words for both of them, again and again. '.repeat(60));
  }
  await page.click('#lab-run');
  await page.waitForSelector('#lab-error .notice');
  assert.match(await page.textContent('#lab-error'), /cannot take this.*text/s);
  await finished(page);
  await page.click('details:has(#lab-import) > summary');
  const recipe = {version: 9, steps: []};
  await page.setInputFiles('#lab-import', {name: 'r.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(recipe))});
  await page.waitForFunction(() => /newer Hearth/.test(document.querySelector('#lab-error').textContent));
  assert.deepEqual(await steps(page), ['Quantize']);
  // A text of one's own is not kept.
  await page.reload();
  await page.click('.tab.lab');
  assert.ok(!await page.evaluate(() => JSON.stringify(localStorage).includes('The same words')));
}));

test('both models answer the same prompt, token by token', () => inBrowser(async ({page}) => {
  await openTiny(page);
  await addStep(page, 'quantize');
  await make(page);
  await page.fill('#lab-prompt', 'a');
  await page.click('#lab-compare');
  await page.waitForSelector('.token');
  await page.focus('.token[tabindex="0"]');
  await page.keyboard.press('ArrowRight');
  assert.match(await page.textContent('.answers ~ .reading'), /original \d.*smaller/);
}));

test('the map shows what matters, and gives a tensor a format of its own', () => inBrowser(async ({page}) => {
  await openTiny(page);
  await page.click('#lab-map-draw');
  await page.waitForSelector('.cell');
  assert.match(await page.textContent('#lab .heat'), /ffn_down/);
  await page.focus('.cell[tabindex="0"]');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  const name = await page.textContent('#lab-tensor code');
  await page.check('#format-Q8_0');
  // The recipe had no step that could say so.
  assert.deepEqual(await steps(page), ['Quantize']);
  assert.match(await page.textContent('.overrides'), new RegExp(`${name} Q8_0`));
  assert.equal(await page.locator('.cell.own').count(), 1);
  await make(page);
  await page.click('details:has(#lab-export) > summary');
  const [, exported] = await saved(page, '#lab-export');
  assert.deepEqual(JSON.parse(exported).steps[0].tensors, {[name]: 'Q8_0'});
  await page.click('#lab-undo');
  assert.deepEqual(await steps(page), [], 'step and format were one change');
}, {acceptDownloads: true}));

test('presets are there, and the smallest that passes is looked for', () => inBrowser(async ({page}) => {
  await openTiny(page);
  await page.selectOption('#lab-preset', 'smallest');
  await page.click('#lab-preset-use');
  assert.deepEqual(await steps(page), ['AWQ', 'Quantize']);
  assert.equal(await page.inputValue('#lab-gate-kl'), '0.05');
  await page.click('details:has(#lab-speed) > summary');
  await page.uncheck('#lab-speed');
  await page.fill('#lab-check-tokens', '256');
  await page.press('#lab-check-tokens', 'Tab');
  await page.click('#lab-search');
  await finished(page);
  const runs = await page.locator('#lab tbody .link').count();
  assert.ok(runs >= 5, `${runs} runs`);
  assert.match(await page.textContent('#lab-verdict'), /^Verified/);
}));

for (const [name, width] of [['desktop', 1280], ['phone', 360]]) {
  test(`the lab in both languages on a ${name}`, () => inBrowser(async ({page}) => {
    await openTiny(page);
    await addStep(page, 'quantize');
    await make(page);
    for (const language of ['en', 'zh']) {
      assert.equal(await page.getAttribute('html', 'lang'), language);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${language} is ${wide} px too wide`);
      const left = await page.evaluate(() => document.body.innerText.match(/\blab\.[a-z.]+\b/)?.[0]);
      assert.equal(left, undefined, 'a text is missing');
      await page.click('#language');
    }
    // Every method, option and choice of words has a name in Chinese.
    await page.click('#language');
    const methods = await page.locator('#lab-add option').allTextContents();
    assert.deepEqual(methods.filter(name => !/[\u4e00-\u9fff]|^AWQ$/.test(name)), []);
  }, {viewport: {width, height: 800}}));
}
