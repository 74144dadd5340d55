// How conversations are kept: by several tabs, on a full disk, with a database that is lost, and where there is none. With a model that
// says what it is told to.
import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import {test} from 'node:test';
import {inBrowser, until} from './browser.mjs';
import {answers, ask, records, settled, speak, stored, wait} from './words.mjs';

test('conversations are kept', {timeout: 600_000}, t => inBrowser(async ({page, host, context}) => {
  await t.test('what other tabs change is seen, and what cannot be kept is told', async () => {
    await page.evaluate(async () => {
      const {add} = await import('/page/chat/archive.js');
      const turns = [{id: 'far1', parent: null, role: 'user', content: 'x'}];
      await add([{id: 'far', title: 'From afar', created: 1, changed: Date.now(), leaf: 'far1', turns}]);
      new BroadcastChannel('hearth-chat').postMessage('changed');
    });
    await page.waitForSelector('.conversations .title:has-text("From afar")');
    await page.evaluate(() => {
      window.put = IDBObjectStore.prototype.put;
      IDBObjectStore.prototype.put = () => { throw new DOMException('no room', 'QuotaExceededError'); };
    });
    await page.click('#new-chat');
    await speak(page, ['still here']);
    await ask(page, 'Full?');
    assert.match(await page.textContent('.notice'), /could not be kept; it is still on this page.*no room/);
    assert.deepEqual(await answers(page), ['still here']);
    // Who has read that is not told at every word.
    await page.click('.notice .quiet');
    await ask(page, 'More?');
    await new Promise(resolve => setTimeout(resolve, 1500));
    assert.equal(await page.locator('.notice').count(), 0);
    // It can be left, opened again and exported, and is kept once there is room.
    await page.click('#new-chat');
    const row = page.locator('.conversations li', {hasText: 'Full?'});
    await row.locator('.title').click();
    await wait(page, () => document.querySelector('.answer .md')?.textContent === 'still here');
    await row.locator('.more').click();
    const [file] = await Promise.all([page.waitForEvent('download'), page.click('[role=menuitem]:text("JSON")')]);
    const [{turns}] = JSON.parse(await readFile(await file.path(), 'utf8')).conversations;
    assert.deepEqual(turns.map(({content}) => content), ['Full?', 'still here', 'More?', 'still here']);
    await row.locator('.title').dblclick();
    await page.keyboard.type('Full');
    await page.keyboard.press('Enter');
    await page.evaluate(() => { IDBObjectStore.prototype.put = window.put; });
    await page.click('.notice button:text("Try again")');
    await wait(page, () => !document.querySelector('.notice'));
    await settled(page);
    await page.reload();
    await wait(page, () => document.querySelector('.answer .md')?.textContent === 'still here');
    await page.click('#new-chat');
    // What another tab has deleted for good cannot be opened, which is told.
    await page.evaluate(async () => {
      const [{id}] = (await import('/page/store.js')).state.conversations;
      await (await (await import('/page/chat/archive.js')).archive()).write({remove: {conversations: [id]}});
    });
    await page.click('.conversations .title:has-text("Full")');
    await page.waitForSelector('.notice');
    assert.match(await page.textContent('.notice'), /no longer here.*another tab/);
    await page.evaluate(() => new BroadcastChannel('hearth-chat').postMessage('changed'));
    await wait(page, () => !document.querySelector('.conversations').textContent.includes('Full'));
    await page.click('.notice .quiet');
  });

  await t.test('a connection to the database that is lost is made anew; what it did not write is written then', async () => {
    const titles = () => page.locator('.conversations .title > span:first-child').allTextContents();
    const before = await titles();
    await page.evaluate(async () => {
      const {transaction} = IDBDatabase.prototype;
      IDBDatabase.prototype.transaction = function (...given) {
        if (this.name === 'hearth-chat') window.connection = this;
        return transaction.apply(this, given);
      };
      await (await import('/page/chat/archive.js')).list();
      IDBDatabase.prototype.transaction = transaction;
      window.connection.close();
    });
    await page.locator('.conversations .title', {hasText: 'From afar'}).focus();
    await page.keyboard.press('F2');
    await page.keyboard.type('From near');
    await page.keyboard.press('Enter');
    await page.evaluate(() => window.connection.dispatchEvent(new Event('close')));
    await new Promise(resolve => setTimeout(resolve, 1500));
    assert.deepEqual(await page.locator('.notice').allTextContents(), []);
    await settled(page);
    await page.reload();
    await page.waitForSelector('.conversations .title');
    assert.deepEqual(await titles(), before.map(title => title === 'From afar' ? 'From near' : title));
  });

  await t.test('what another tab deletes or renames while it is shown goes on here, whole', async () => {
    await page.click('#new-chat');
    await speak(page, ['one', 'two', 'three', 'four']);
    await ask(page, 'Shared');
    const other = await context.newPage();
    await other.goto(host.url);
    const row = other.locator('.conversations li', {hasText: 'Shared'});
    const remove = async () => {
      await row.locator('.title').focus();
      await other.keyboard.press('Delete');
      await wait(page, () => ![...document.querySelectorAll('.conversations .title')].some(one => /Shared/.test(one.textContent)));
    };
    const whole = async contents => {
      const {conversations, turns} = await stored(page);
      const {id} = conversations.find(({title, deleted}) => /^Shared/.test(title) && !deleted);
      assert.deepEqual(turns.filter(({conversation}) => conversation === id).map(({content}) => content), contents);
    };
    await remove();
    await ask(page, 'Still?');
    await other.click('.toast .more');
    await other.waitForSelector('.toast', {state: 'hidden'});
    await new Promise(resolve => setTimeout(resolve, 300));
    await whole(['Shared', 'one', 'Still?', 'two']);
    // Gone for good, it is kept anew.
    await row.waitFor();
    await remove();
    await other.click('.toast .more');
    await until(async () => !(await records(page, 'turns')).some(({content}) => content === 'Still?'));
    await ask(page, 'And now?');
    await whole(['Shared', 'one', 'Still?', 'two', 'And now?', 'three']);
    await row.locator('.title').focus();
    await other.keyboard.press('F2');
    await other.keyboard.type('Shared by both');
    await other.keyboard.press('Enter');
    await page.waitForSelector('.conversations .title:has-text("by both")');
    await ask(page, 'Renamed?');
    assert.equal(await page.locator('.conversations .title').first().textContent(), 'Shared by both');
    await other.close();
    await page.click('#new-chat');
  });

  await t.test('what was chosen last is shown, however long another takes to be read', async () => {
    await speak(page, ['so']);
    for (const title of ['Slow', 'Shown', 'Third']) {
      await page.click('#new-chat');
      await ask(page, title);
    }
    const opened = await page.evaluate(async () => {
      const {deleteChats, newChat, openChat} = await import('/page/actions.js');
      const {dropUndo, open} = await import('/page/chat/conversations.js');
      const {set, state} = await import('/page/store.js');
      const [shown, slow, third] = ['Shown', 'Slow', 'Third'].map(title => state.conversations.find(one => one.title === title).id);
      const seen = [];
      const both = async (...calls) => {
        await Promise.all(calls);
        await dropUndo();
        seen.push(state.conversation?.title ?? '');
      };
      await openChat(shown);
      await both(openChat(slow), openChat(shown));
      await both(openChat(slow), newChat());
      // As at the start, where it is read and already marked.
      set({open: shown});
      await both(open(shown), openChat(shown));
      await both(openChat(slow), deleteChats([shown]));
      await openChat(third);
      await both(openChat(slow), deleteChats([slow]));
      return seen;
    });
    assert.deepEqual(opened, ['Shown', '', 'Shown', 'Slow', 'Third']);
    await page.click('#new-chat');
  });

  await t.test('with its conversation an answer that grows is deleted, too', async () => {
    await speak(page, ['word '.repeat(500)], {pause: 60}); // longer than anything waits
    await page.fill('#ask', 'To be deleted');
    await page.press('#ask', 'Enter');
    await wait(page, () => document.querySelector('.answer .md')?.textContent.length > 300);
    await page.locator('.conversations .title', {hasText: 'To be deleted'}).focus();
    await page.keyboard.press('Delete');
    await wait(page, () => document.querySelector('[aria-busy=false]') && document.querySelectorAll('.turn').length === 0);
    await page.click('.toast .more');
    await until(async () => !(await records(page, 'conversations')).some(({title}) => title === 'To be deleted'));
    await new Promise(resolve => setTimeout(resolve, 1500)); // nor comes anything of it later
    assert.ok(!(await stored(page)).turns.some(({content}) => /deleted|^word/.test(content)), 'nothing of it is left');
    assert.equal(await page.locator('[aria-busy=true], .notice').count(), 0);
  });

  await t.test('what has been said is kept while it is said; a crash loses a second at most', async () => {
    await page.fill('#s-max_tokens', '2048');
    await speak(page, ['word '.repeat(2000)], {pause: 8});
    await page.fill('#ask', 'Long');
    await page.press('#ask', 'Enter');
    const grown = length => wait(page, length => document.querySelector('.answer .md')?.textContent.length > length, length);
    await grown(900);
    const length = await page.evaluate(() => document.querySelector('.answer .md').textContent.length);
    await grown(length + 1250); // what it says in two seconds
    await page.goto('about:blank');
    await page.goto(host.url);
    await wait(page, () => document.querySelector('.answer .md'));
    assert.ok((await answers(page))[0].length >= length, `${(await answers(page))[0].length} of ${length}`);
    assert.match(await page.textContent('.answer .meta'), /broken off/);
    await speak(page, ['on']);
    await page.waitForSelector('#goon-1');
  });

  await t.test('a conversation of before the database is taken over where localStorage is full, too', async () => {
    await page.evaluate(() => localStorage.setItem('hearth.messages', JSON.stringify([{role: 'user', content: 'Of before'}])));
    const full = await context.newPage();
    await full.addInitScript(() => {
      Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };
    });
    await full.goto(host.url);
    await full.waitForSelector('.conversations .title:has-text("Of before")');
    await until(() => full.evaluate(() => localStorage.getItem('hearth.messages') === null));
    await full.close();
  });

  await t.test('without a database conversations last as long as the tab, and it says so', async () => {
    const other = await context.newPage();
    await other.addInitScript(() => {
      IDBFactory.prototype.open = new Proxy(IDBFactory.prototype.open, {apply(open, self, [name, ...more]) {
        if (name === 'hearth-chat') throw new DOMException('not here', 'InvalidStateError');
        return open.call(self, name, ...more);
      }});
    });
    await other.goto(host.url);
    await wait(other, () => /as long as this tab/.test(document.querySelector('.conversations').textContent));
    await speak(other, ['one', 'two']);
    await ask(other, 'First');
    await other.click('#new-chat');
    await ask(other, 'Second');
    await other.click('.conversations .title:has-text("First")');
    await wait(other, () => document.querySelector('.answer .md')?.textContent === 'one');
    await other.close();
  });
}, {viewport: {width: 1280, height: 800}}));
