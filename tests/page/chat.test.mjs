// Conversations as a person keeps them: branches, search, files; Markdown while it grows; token by token. With a model that says
// what it is told to.
import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import {test} from 'node:test';
import {inBrowser, until} from './browser.mjs';
import {answers, ask, records, settled, speak, stored, wait} from './words.mjs';

const MARKDOWN = `Light **counts** out, in *ten* seconds: 3 < 4 &amp; $5. 看**“炉”**边。

## How

1. First \`count\`
2. Then the dark
   - nested

| Light | Flash |
|:--|--:|
| Ar-Men | 3 |

\`\`\`python
def flash(s):
    return "dark"
\`\`\`

The period is $T = \\frac{1}{f}$, and

$$\\int_0^T P(t)\\,dt$$

[log](https://example.org/log) [bad](javascript:alert(1)) ![picture](https://evil.example/leak.png)
<img src=x onerror="window.hacked = 1"><script>window.hacked = 1</script>`;

/** Presses what asks for files, and gives one. */
async function choose(page, button, name, text) {
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.click(button)]);
  await chooser.setFiles({name, mimeType: 'text/plain', buffer: Buffer.from(text)});
}

const idle = page => page.waitForSelector('[aria-busy=false]');
test('the chat', {timeout: 600_000}, t => inBrowser(async ({page, host, context}) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const elsewhere = [];
  context.on('request', request => /^https?:/.test(request.url()) && !request.url().startsWith(host.url) && elsewhere.push(request.url()));
  await page.evaluate(() => {
    const old = [{role: 'user', content: 'An old question'}, {role: 'assistant', content: 'An old answer', meta: {}}];
    localStorage.setItem('hearth.messages', JSON.stringify(old));
  });
  // One tab takes it over and ends before it has removed it.
  const first = await context.newPage();
  await first.addInitScript(() => { Storage.prototype.removeItem = () => {}; });
  await first.goto(host.url);
  await wait(first, () => document.querySelector('.answer .md')?.textContent === 'An old answer');
  await first.close();
  await page.reload();

  await t.test('the one conversation of before the database is taken over', async () => {
    await wait(page, () => document.querySelector('.answer .md')?.textContent === 'An old answer');
    assert.deepEqual(await page.locator('.conversations .title').allTextContents(), ['An old question']);
    assert.equal(await page.evaluate(() => localStorage.getItem('hearth.messages')), null);
    assert.equal((await stored(page)).turns.length, 2);
  });

  await t.test('Markdown is drawn, and nothing of it is more than text', async () => {
    await page.click('#new-chat');
    await speak(page, [MARKDOWN], {pause: 4});
    await ask(page, 'How do lighthouses work?');
    const md = page.locator('.md').last();
    for (const [selector, text] of [
      ['strong', 'counts'], ['strong:nth-of-type(2)', '“炉”'], ['em', 'ten'], ['h4', 'How'],
      ['ol > li:first-child code', 'count'], ['ol li ul li', 'nested'], ['td.to-right', '3'],
      ['figure.code code', 'def flash(s):\n    return "dark"'], ['a', 'log'],
    ]) assert.equal(await md.locator(selector).first().textContent(), text, selector);
    assert.match(await md.locator('p').first().textContent(), /3 < 4 & \$5/);
    await page.waitForSelector('.md .hljs-keyword');
    await page.waitForSelector('.md math mfrac');
    assert.equal(await md.locator('math').count(), 2);
    assert.equal(await md.locator('a[rel~=noreferrer]').count(), 2, 'the log, and the picture, which is not fetched');
    assert.equal(await md.locator('img, script, [onerror], [href^=javascript]').count(), 0);
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    assert.match(await md.textContent(), /<img src=x onerror/);
    assert.deepEqual(elsewhere, []);
    await md.locator('.copy').click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'def flash(s):\n    return "dark"');
    await page.click('.answer .meta button:text-is("Copy")');
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), MARKDOWN);
  });

  await t.test('of long code that grows the beginning is coloured, and all of it in the end', async () => {
    const {open, closed} = await page.evaluate(async () => {
      const {codeBlock} = await import('/page/ui/chat/code.js');
      const {default: hljs} = await import('/vendor/highlight/core.min.js');
      hljs.registerLanguage('python', (await import('/vendor/highlight/languages/python.min.js')).default);
      const text = 'x = 1\n'.repeat(1000);
      const coloured = raw => codeBlock({text, raw, lang: 'python'}).querySelectorAll('.hljs-number').length;
      return {open: coloured('```python\n' + text), closed: coloured('```python\n' + text + '```')};
    });
    assert.deepEqual([open, closed], [500, 1000]);
  });

  await t.test('while an answer grows what is done stays as it is, and nothing moves', async () => {
    await page.click('#new-chat');
    const list = Array.from({length: 12}, (_, i) => `${i + 1}. Number **${i}** of \`twelve\`, with some more words`).join('\n');
    await speak(page, [`# Head\n\nFirst paragraph.\n\n${list}\n\n${MARKDOWN}`], {pause: 6});
    await page.evaluate(() => {
      window.seen = {long: [], shift: 0, removed: [], carets: 0};
      new PerformanceObserver(all => window.seen.long.push(...all.getEntries().map(({duration}) => duration)))
        .observe({type: 'longtask'});
      new PerformanceObserver(all => all.getEntries().forEach(({value, hadRecentInput}) => {
        if (!hadRecentInput) window.seen.shift += value;
      })).observe({type: 'layout-shift'});
      new MutationObserver(records => records.forEach(({target, removedNodes}) => {
        const block = target.closest?.('.md > *');
        const settled = block && [...block.parentElement.children].indexOf(block) < block.parentElement.childElementCount - 3;
        if (!settled && !target.matches?.('.md')) return;
        window.seen.removed.push(...[...removedNodes].filter(({className}) => className !== 'caret').map(node => node.textContent));
      })).observe(document.querySelector('#messages'), {childList: true, subtree: true});
    });
    await page.fill('#ask', 'A long one');
    await page.press('#ask', 'Enter');
    await page.waitForSelector('.md h3 + p');
    await page.evaluate(() => {
      window.first = document.querySelector('.md p');
      getSelection().selectAllChildren(window.first);
    });
    await idle(page);
    await page.waitForSelector('.answer .meta span');
    const {long, shift, removed, same, selected} = await page.evaluate(() => ({
      ...window.seen, same: document.querySelector('.md p') === window.first, selected: getSelection().toString(),
    }));
    assert.deepEqual([same, selected], [true, 'First paragraph.'], 'what was selected still is');
    // A block may become another while it is the last: a line of a table is a paragraph first.
    assert.ok(removed.every(text => text.length < 60), removed.join('|'));
    assert.ok(shift < 0.005, `layout shift ${shift}`);
    t.diagnostic(`layout shift ${shift.toFixed(4)}, tasks above 50 ms: ${long.map(Math.round).join(' ') || 'none'}`);
  });

  await t.test('what grows word by word looks in the end like what is read at once', async () => {
    const texts = [
      'So:\n\n$$\nx = a\n + b\n - c\n\n* d\n$$\n\nand\n\n\\[\ny = a\n\n - b\n\\]\n\nThen, a [log][1], $5 and\n\n- one\n- two\n\nmore\n\n[1]: https://example.org/log\n',
    ];
    const drawn = await page.evaluate(async texts => {
      const {loadRich, writer} = await import('/page/ui/chat/markdown.js');
      await loadRich();
      return texts.map(text => [text.match(/\s*\S+|\s+$/g), [text]].map(parts => {
        const element = document.createElement('div');
        const {write} = writer(element);
        parts.forEach((_, i) => write(parts.slice(0, i + 1).join(''), false));
        const formulas = element.querySelectorAll('math').length;
        write(text, true);
        return [element.innerHTML, formulas];
      }));
    }, texts);
    for (const [[grown, before], [whole]] of drawn) {
      assert.equal(grown, whole);
      assert.deepEqual([before, whole.match(/<math/g).length], [2, 2], whole);
      assert.match(whole, /<a href="https:\/\/example.org\/log"/);
    }
  });

  await t.test('a question is edited, an answer made again, and the branches are walked', async () => {
    await speak(page, ['one', 'two', 'three', 'four']);
    await page.click('#new-chat');
    await ask(page, 'First?');
    await page.click('#again-1');
    await wait(page, () => document.querySelector('.answer .md').textContent === 'two');
    await ask(page, 'And then?');
    assert.deepEqual(await answers(page), ['two', 'three']);
    await page.click('#earlier-1');
    assert.deepEqual(await answers(page), ['one'], 'what follows belongs to the other branch');
    assert.equal(await page.textContent('.branches .of'), '1/2');
    await page.focus('#later-1');
    await page.keyboard.press('Enter');
    assert.deepEqual(await answers(page), ['two', 'three']);
    // By keyboard: an arrow up in the empty box edits the last question.
    await page.focus('#ask');
    await page.keyboard.press('ArrowUp');
    assert.equal(await page.inputValue('.editor textarea'), 'And then?');
    await page.keyboard.press('Escape');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'edit-2');
    await page.click('#edit-0');
    await page.focus('.editor .quiet');
    await page.keyboard.press('Enter');
    assert.deepEqual([await page.locator('.editor').count(), await answers(page)], [0, ['two', 'three']], 'Enter presses what has the focus');
    await page.click('#edit-0');
    await page.fill('.editor textarea', 'First of all?');
    await page.evaluate(async () => (await import('/page/store.js')).set({answering: true}));
    await page.keyboard.press('Enter');
    assert.equal(await page.locator('.editor').count(), 1, 'one answer at a time');
    await page.evaluate(async () => (await import('/page/store.js')).set({answering: false}));
    await page.keyboard.press('Enter');
    await wait(page, () => document.querySelector('.answer .md')?.textContent === 'four');
    assert.deepEqual(await page.evaluate(() => window.asked.at(-1).messages), [{role: 'user', content: 'First of all?'}]);
    // What is shown is shown after a reload, too, with its branches.
    await settled(page);
    await page.reload();
    await wait(page, () => document.querySelector('.answer .md')?.textContent === 'four');
    await page.click('#earlier-0');
    assert.deepEqual(await answers(page), ['two', 'three']);
  });

  await t.test('conversations are found, renamed, deleted and had back', async () => {
    const titles = () => page.locator('.conversations .title > span:first-child').allTextContents();
    assert.deepEqual(await titles(), ['First?', 'A long one', 'How do lighthouses work?', 'An old question']);
    await page.keyboard.press('Control+k');
    await page.keyboard.type('OLD ans');
    await page.waitForSelector('.found mark');
    assert.deepEqual(await titles(), ['An old question']);
    assert.equal(await page.textContent('.found mark'), 'old ans');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await wait(page, () => document.querySelector('.answer .md')?.textContent === 'An old answer');
    await page.fill('#find', 'nowhere');
    await wait(page, () => /Nothing found/.test(document.querySelector('.conversations').textContent));
    await page.fill('#find', '');

    await page.locator('.conversations li', {hasText: 'First?'}).locator('.more').click();
    await page.click('[role=menuitem]:text("Rename")');
    await page.keyboard.type('Renamed');
    await page.keyboard.press('Enter');
    assert.deepEqual(await titles(), ['Renamed', 'A long one', 'How do lighthouses work?', 'An old question']);

    await page.locator('.conversations li', {hasText: 'An old'}).locator('.more').click();
    await page.keyboard.press('End');
    await page.keyboard.press('Enter');
    assert.deepEqual(await titles(), ['Renamed', 'A long one', 'How do lighthouses work?']);
    assert.equal(await page.locator('.turn').count(), 0);
    assert.match(await page.textContent('.toast'), /Deleted “An old question”/);
    await page.click('#undo');
    await wait(page, () => document.querySelectorAll('.conversations li').length === 4);
    // What is typed stays when another tab changes something meanwhile, and the focus stays where a row was.
    await page.locator('.conversations li', {hasText: 'Renamed'}).locator('.title').dblclick();
    await page.keyboard.type('Named');
    await page.evaluate(async () => {
      const {on, state} = await import('/page/store.js');
      const {conversations} = state;
      const changed = new Promise(resolve => on(['conversations'], () => state.conversations !== conversations && resolve()));
      new BroadcastChannel('hearth-chat').postMessage('changed');
      await changed;
    });
    await page.keyboard.type(' again');
    await page.keyboard.press('Enter');
    assert.equal((await titles())[0], 'Named again');
    await page.keyboard.press('F2');
    await page.keyboard.type('Renamed');
    await page.keyboard.press('Enter');
    const focused = () => page.evaluate(() => document.activeElement.textContent);
    await page.locator('.conversations li', {hasText: 'A long one'}).locator('.title').focus();
    await page.keyboard.press('Delete');
    await wait(page, () => document.querySelectorAll('.conversations li').length === 3);
    assert.equal(await focused(), 'How do lighthouses work?');
    await page.click('#undo');
    await wait(page, () => document.querySelectorAll('.conversations li').length === 4);
    await page.locator('.conversations li', {hasText: 'An old'}).locator('.title').focus();
    await page.keyboard.press('Delete');
    await page.click('.toast .more');
    await until(async () => (await records(page, 'conversations')).length === 3);
    assert.ok(!(await stored(page)).turns.some(({content}) => /old/.test(content)), 'nothing of it is left');
  });

  await t.test('conversations are exported and imported', async () => {
    const download = async item => {
      const [file] = await Promise.all([page.waitForEvent('download'), page.click(`[role=menuitem]:text("${item}")`)]);
      return {name: file.suggestedFilename(), text: await readFile(await file.path(), 'utf8')};
    };
    const renamed = page.locator('.conversations li', {hasText: 'Renamed'});
    await renamed.locator('.more').click();
    const markdown = await download('Markdown');
    assert.equal(markdown.name, 'Renamed.md');
    assert.match(markdown.text, /^# Renamed\n\n<!-- hearth: user -->\n## You\n\nFirst\?\n\n/);
    assert.match(markdown.text, /<!-- hearth: assistant, Words -->\n## Words\n\ntwo\n/);
    await page.click('#list-more');
    const json = await download('Export all');
    const before = await stored(page);
    await page.click('#list-more');
    await page.click('[role=menuitem]:text("Delete all")');
    await page.click('.toast .more');
    await wait(page, () => document.querySelectorAll('.conversations li').length === 0);
    const give = async (name, text) => {
      await page.click('#list-more');
      await choose(page, '[role=menuitem]:text("Import")', name, text);
    };
    await give('a.json', json.text);
    await wait(page, () => document.querySelectorAll('.conversations li').length === 3);
    assert.deepEqual((await stored(page)).turns, before.turns);
    await give('a.json', json.text);
    await give('b.md', markdown.text);
    await wait(page, () => document.querySelectorAll('.conversations li').length === 4);
    assert.equal((await stored(page)).turns.length, before.turns.length + 4, 'what is here already is not added again');
    await give('c.json', '{}');
    await page.waitForSelector('.notice');
    assert.match(await page.textContent('.notice'), /cannot be imported.*not exported from Hearth/);
    await page.click('.notice .quiet');
  });

  await t.test('thoughts are folded and not told to the model again', async () => {
    await page.click('#new-chat');
    await speak(page, ['Two and two.</think>Four']);
    await ask(page, 'Sum?');
    assert.equal(await page.locator('.thoughts[open]').count(), 0);
    assert.equal(await page.textContent('.thoughts p'), 'Two and two.');
    assert.deepEqual(await answers(page), ['Four']);
    await ask(page, 'Sure?');
    assert.deepEqual((await page.evaluate(() => window.asked.at(-1).messages)).map(({content}) => content), ['Sum?', 'Four', 'Sure?']);
  });

  await t.test('text files stand beside a question; what is too long is told', async () => {
    await page.click('#new-chat');
    await speak(page, ['It is short.'], {context: 200});
    const give = (name, text) => choose(page, '#attach', name, text);
    await give('picture.png', Buffer.from([0x89, 0x50, 0, 1]));
    await wait(page, () => /picture\.png is not a text file/.test(document.querySelector('#box-note').textContent));
    await give('long.txt', 'word '.repeat(400));
    await wait(page, () => /more than the 200/.test(document.querySelector('#box-note').textContent));
    // What was refused stays said until something else is given.
    assert.doesNotMatch(await page.textContent('#box-note'), /picture/);
    await give('picture.png', Buffer.from([0x89, 0x50, 0, 1]));
    await wait(page, () => /picture\.png is not a text file.*more than the 200/.test(document.querySelector('#box-note').textContent));
    await page.evaluate(() => Object.assign(window, {
      said: document.querySelector('#box-note p'), counted: document.querySelector('#context').textContent,
    }));
    await page.fill('#ask', 'and');
    await wait(page, () => document.querySelector('#context').textContent !== window.counted);
    assert.ok(await page.evaluate(() => window.said.isConnected), 'it is not said anew at each count');
    await give('long.txt', 'word '.repeat(401));
    await wait(page, () => !/picture/.test(document.querySelector('#box-note').textContent));
    await give('picture.png', Buffer.from([0x89, 0x50, 0, 1]));
    await wait(page, () => /picture/.test(document.querySelector('#box-note').textContent));
    await page.click('#new-chat');
    assert.doesNotMatch(await page.textContent('#box-note'), /picture/, 'it belongs to what was left');
    await give('long.txt', 'word '.repeat(401));
    await wait(page, () => /more than the 200/.test(document.querySelector('#box-note').textContent));
    await page.click('#box-note button');
    await wait(page, () => document.querySelector('#box-note').textContent === ''
      && /tokens$/.test(document.querySelector('#context').textContent));
    await page.click('#files button');
    assert.equal(await page.locator('#files .attached').count(), 0);
    await page.evaluate(() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(['day one\nday two'], 'log.txt'));
      document.querySelector('#chat').dispatchEvent(new DragEvent('drop', {dataTransfer: transfer, bubbles: true}));
    });
    await page.waitForSelector('#files .attached');
    await ask(page, 'What is it?');
    assert.equal(await page.locator('#files .attached').count(), 0);
    assert.match(await page.textContent('.you'), /log\.txt2 lines/);
    const [{content}] = await page.evaluate(() => window.asked.at(-1).messages);
    assert.equal(content, 'log.txt\n```\nday one\nday two\n```\n\nWhat is it?');
    await wait(page, () => /^\d+ of 200 tokens$/.test(document.querySelector('#context').textContent));
  });

  await t.test('presets and system prompts have names and reach the model', async () => {
    await page.click('#new-chat');
    await speak(page, ['ok']);
    const focused = () => page.evaluate(() => document.activeElement.id);
    for (const [id, label] of [['s-device', 'Processor (CPU)'], ['s-prompt', 'None'], ['s-preset', 'Precise']]) {
      await page.focus(`#${id}`);
      await page.selectOption(`#${id}`, {label});
      assert.equal(await focused(), id);
    }
    await page.selectOption('#s-device', 'auto');
    assert.equal(await page.inputValue('#s-temperature'), '0');
    await page.fill('#s-temperature', '0.3');
    assert.equal(await page.locator('#preset option:checked').textContent(), 'As set');
    await page.click('#samplings button');
    await page.keyboard.type('Not');
    await page.keyboard.press('Escape');
    assert.deepEqual([await focused(), await page.locator('.naming').count()], ['s-preset', 0]);
    await page.click('#samplings button');
    await page.keyboard.type('Mine');
    await page.keyboard.press('Enter');
    assert.equal(await focused(), 's-preset');
    assert.equal(await page.locator('#preset option:checked').textContent(), 'Mine');
    await page.fill('#system', 'Be brief.');
    await page.click('#prompts button');
    await page.keyboard.type('Brief');
    await page.keyboard.press('Enter');
    await page.selectOption('#s-prompt', {label: 'None'});
    assert.equal(await page.inputValue('#system'), '');
    await page.reload();
    await page.waitForSelector('#s-prompt');
    await page.selectOption('#s-prompt', {label: 'Brief'});
    await speak(page, ['ok']);
    await ask(page, 'Go');
    const {messages, temperature} = await page.evaluate(() => window.asked.at(-1));
    assert.deepEqual([messages[0], temperature], [{role: 'system', content: 'Be brief.'}, 0.3]);
    await page.click('#samplings button');
    await page.click('#prompts button');
    await page.selectOption('#preset', {label: 'Balanced'});
    assert.deepEqual(await page.locator('#preset option:not([hidden])').allTextContents(), ['Balanced', 'Precise', 'Creative']);
    await page.click('.quiet:text("Back to defaults")');
  });

  /** Asks in a new chat and looks at the answer token by token. */
  const byToken = async (question, says) => {
    await page.click('#new-chat');
    await speak(page, says);
    await ask(page, question);
    await page.click('#tokens-1');
    await page.waitForSelector('.token.end');
  };

  await t.test('each token tells what else could have stood there, and the answer goes on from it', async () => {
    await byToken('Well?', ['the light is out', ' and stays so']);
    assert.deepEqual(await page.locator('.token').allTextContents(), ['the', ' light', ' is', ' out', 'end']);
    assert.match(await page.textContent('.tokens'), /On average 60% a token.*0 of 5 below 20%/);
    assert.equal(await page.locator('.token.level1').count(), 5);
    // By keyboard: one stop of Tab, arrows from token to token.
    await page.focus('.token');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    assert.deepEqual(await page.locator('.alternatives .word').allTextContents(), ['·light', '·other', 'end']);
    assert.deepEqual(await page.locator('.alternatives .percent').allTextContents(), ['60%', '30%', '5.0%']);
    await page.keyboard.press('Escape');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), ' light');
    await page.keyboard.press('Enter');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await wait(page, () => document.querySelector('.answer .md').textContent === 'the other and stays so');
    assert.equal((await page.evaluate(() => window.asked.at(-1).begun)).text, 'the other');
    assert.equal(await page.textContent('.branches .of'), '2/2');
    // The model could have ended there.
    await page.click('#earlier-1');
    await page.click('#tokens-1');
    await page.waitForSelector('.token.end');
    assert.equal(await page.locator('.token').count(), 5, 'the first answer still has its own');
    await page.locator('.token').nth(2).click();
    await page.click('.alternatives button:has-text("end")');
    await wait(page, () => document.querySelector('.answer .md').textContent === 'the light');
    assert.equal(await page.textContent('.branches .of'), '3/3');
    await page.click('#tokens-1');
    await page.waitForSelector('.token.end');
    assert.deepEqual(await page.locator('.token').allTextContents(), ['the', ' light', 'end']);
  });

  await t.test('lines break between tokens as they do in the text', async () => {
    await byToken('Haiku?', ['name,\nten\n\ngold']);
    const tops = await page.locator('.token:not(.end)').evaluateAll(all => all.map(({offsetTop}) => offsetTop));
    const line = tops[1] - tops[0];
    assert.ok(line > 10 && tops[2] - tops[1] > 1.5 * line, tops.join());
  });

  await t.test('a token that is a part of a character can be seen and taken', async () => {
    await byToken('A face?', ['😀 light', ' on']);
    assert.deepEqual(await page.locator('.token').allTextContents(), ['', '', '', '😀', ' light', 'end']);
    const wide = await page.locator('.token').evaluateAll(all => all.map(one => one.getBoundingClientRect().width > 4));
    assert.deepEqual(wide, Array(6).fill(true));
    await page.locator('.token').nth(1).click();
    assert.deepEqual(await page.locator('.alternatives .word').allTextContents(), ['<0x9F>', '·other', 'end']);
    await page.keyboard.press('Escape');
  });

  await t.test('an answer that ended early goes on; one without probabilities is weighed', async () => {
    await page.click('#new-chat');
    await speak(page, ['a b c d', ' e f'], {device: 'gpu'});
    await page.evaluate(async () => {
      const {set, state} = await import('/page/store.js');
      set({sampling: {...state.sampling, max_tokens: 2}});
    });
    await ask(page, 'Letters');
    assert.match(await page.textContent('.answer .meta'), /longest answer/);
    assert.equal(await page.evaluate(() => window.asked.at(-1).logprobs), undefined, 'the GPU is not held up');
    await page.click('#goon-1');
    await wait(page, () => document.querySelector('.answer .md').textContent === 'a b e f'
      && document.querySelector('[aria-busy=false]'));
    assert.equal((await stored(page)).turns.filter(({content}) => content === 'a b e f').length, 1);
    assert.equal(await page.locator('.branches').count(), 0, 'it is the same answer');
    assert.match(await page.textContent('.answer .meta'), /4 tokens/);
    await page.click('#tokens-1');
    await page.click('.tokens button:text("Find out")');
    await page.waitForSelector('.token');
    assert.deepEqual(await page.locator('.token').allTextContents(), ['a', ' b', ' e', ' f', 'end']);
    await page.evaluate(async () => {
      const {set, SAMPLING} = await import('/page/store.js');
      set({sampling: SAMPLING});
    });
  });

  await t.test('what one model has thought stays when another goes on', async () => {
    await page.click('#new-chat');
    await speak(page, ['Two and two.</think>Four']);
    await page.evaluate(async () => {
      const {set, state} = await import('/page/store.js');
      set({sampling: {...state.sampling, max_tokens: 2}});
    });
    await ask(page, 'Sum of two?');
    assert.deepEqual([await page.textContent('.thoughts p'), await answers(page)], ['Two and', ['']]);
    await page.evaluate(async () => {
      const {set, SAMPLING} = await import('/page/store.js');
      set({sampling: SAMPLING});
    });
    await speak(page, ['Four, I think'], {name: 'Others'});
    await page.click('#goon-1');
    await wait(page, () => document.querySelector('.answer .md')?.textContent === 'Four, I think'
      && document.querySelector('[aria-busy=false]'));
    assert.equal(await page.textContent('.branches .of'), '2/2');
    await page.click('#earlier-1');
    assert.equal(await page.textContent('.thoughts p'), 'Two and');
  });

  await t.test('single keys, and the sheet that tells of them', async () => {
    await page.click('#new-chat');
    await speak(page, ['uno', 'due', 'tre']);
    await ask(page, 'Conta');
    const away = () => page.evaluate(() => document.activeElement.blur());
    await away();
    await page.keyboard.press('r');
    await wait(page, () => document.querySelector('.answer .md').textContent === 'due');
    await page.keyboard.press('[');
    assert.deepEqual(await answers(page), ['uno']);
    await away();
    await page.keyboard.press(']');
    assert.deepEqual(await answers(page), ['due']);
    await away();
    await page.keyboard.press('t');
    await page.waitForSelector('.token');
    await page.keyboard.press('t');
    assert.equal(await page.locator('.token').count(), 0);
    await page.keyboard.press('/');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'ask');
    await page.keyboard.type('r?');
    assert.equal(await page.inputValue('#ask'), 'r?', 'keys are letters while one writes');
    await page.fill('#ask', '');
    await away();
    await page.keyboard.press('?');
    assert.match(await page.textContent('dialog.sheet[open]'), /Regenerate/);
    await page.click('#single-keys');
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('dialog[open]').count(), 0);
    await away();
    await page.keyboard.press('r');
    await page.keyboard.press('?');
    assert.equal(await page.locator('dialog[open]').count(), 0, 'single keys are off');
    assert.deepEqual(await answers(page), ['due']);
    await page.keyboard.press('Control+Shift+o');
    assert.equal(await page.locator('.turn').count(), 0);
  });

  await t.test('however many conversations there are, the box stays in sight', async () => {
    await page.evaluate(async () => {
      const turns = id => [{id: `${id}1`, parent: null, role: 'user', content: id}];
      const {add} = await import('/page/chat/archive.js');
      const about = i => ({title: `Many ${i}`, created: 1, changed: i});
      await add(Array.from({length: 40}, (_, i) => ({id: `m${i}`, ...about(i), leaf: `m${i}1`, turns: turns(`m${i}`)})));
      new BroadcastChannel('hearth-chat').postMessage('changed');
    });
    await wait(page, () => document.querySelectorAll('.conversations .title').length > 40);
    const [all, box, foot] = await page.evaluate(() => [document.documentElement.scrollHeight, ...['#form', '.foot'].map(selector =>
      document.querySelector(selector).getBoundingClientRect().bottom)]);
    assert.ok(Math.max(all, box, foot) <= 800, [all, box, foot].join());
  });

  await t.test('on a phone the conversations are in a drawer', async () => {
    await page.setViewportSize({width: 390, height: 844});
    assert.equal(await page.locator('.conversations').isVisible(), false);
    await page.click('#drawer');
    assert.equal(await page.locator('.conversations .title').first().isVisible(), true);
    await page.locator('.conversations .title', {hasText: 'Sum?'}).click();
    await wait(page, () => document.querySelector('.answer .md')?.textContent === 'Four');
    assert.equal(await page.locator('dialog[open]').count(), 0);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${wide} px too wide`);
    await page.setViewportSize({width: 1280, height: 800});
    await page.locator('.conversations').waitFor();
  });
}, {viewport: {width: 1280, height: 800}}));
