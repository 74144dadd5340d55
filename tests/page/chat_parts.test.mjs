// What conversations are made of, without a browser: the tree of turns, files, tokens.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {readText, written} from '../../web/page/chat/files.js';
import {forgive, owe, owing, withOwed} from '../../web/page/chat/owed.js';
import {alone, begun, pack, retold, sureness, texts, weighed} from '../../web/page/chat/tokens.js';
import {spelled, unseen} from '../../web/page/pieces.js';
import {makeStore} from '../../web/page/store.js';
import {fromJson, fromMarkdown, nameOf, toJson, toMarkdown} from '../../web/page/chat/transfer.js';
import {after, leafBelow, newId, path} from '../../web/page/chat/tree.js';

const turn = (id, parent, role, content, more = {}) => ({id, parent, role, content, ...more});

test('a conversation is a tree, of which one path is shown', () => {
  const turns = new Map([
    turn('a', null, 'user', 'q'), turn('b', 'a', 'assistant', 'one'), turn('c', 'a', 'assistant', 'two'),
    turn('d', 'c', 'user', 'more'), turn('e', null, 'user', 'other'),
  ].map(one => [one.id, one]));
  assert.deepEqual(path(turns, 'd').map(({id}) => id), ['a', 'c', 'd']);
  assert.deepEqual(path(turns, 'gone'), []);
  assert.deepEqual(after(turns, 'a').map(({id}) => id), ['b', 'c']);
  assert.deepEqual(after(turns, null).map(({id}) => id), ['a', 'e']);
  assert.equal(leafBelow(turns, 'a'), 'd');
  assert.equal(leafBelow(turns, 'b'), 'b');
  const ids = Array.from({length: 500}, newId);
  assert.deepEqual(ids.toSorted(), ids, 'ids sort by when they were made');
});

const conversation = turns => ({id: 'x', title: 'Lights & dark', created: 1, changed: 2, leaf: turns.at(-1).id, turns});

test('conversations become files and come back', () => {
  const turns = [
    turn('a', null, 'user', 'Look:', {files: [{name: 'log.txt', text: 'day 1'}]}),
    turn('b', 'a', 'assistant', '## Head\n\n<!-- hearth: user -->\n## You\n\nnot said by you', {
      model: 'Small -- one', reasoning: 'first\n\nthen',
    }),
    turn('c', 'a', 'assistant', 'another branch'),
    turn('d', 'b', 'user', '谢谢'),
  ];
  const whole = conversation(turns);
  assert.deepEqual(fromJson(toJson([whole])), [whole]);

  const read = fromMarkdown(toMarkdown(whole, 'You'));
  assert.equal(read.title, whole.title);
  const roles = read.turns.map(({role}) => role);
  assert.deepEqual(roles, ['user', 'assistant', 'user'], 'the path, and nothing of what was said taken for a turn');
  assert.equal(read.turns[0].content, written(turns[0]));
  assert.equal(read.turns[1].content, turns[1].content);
  assert.equal(read.turns[1].reasoning, turns[1].reasoning);
  assert.equal(read.leaf, read.turns[2].id);
  const again = fromMarkdown(toMarkdown(read, 'You'));
  assert.deepEqual(again.turns.map(({content}) => content), read.turns.map(({content}) => content));

  const json = change => {
    const one = structuredClone(whole);
    change(one);
    return JSON.stringify({format: 'hearth-conversations', version: 1, conversations: [one]});
  };
  for (const [text, why] of [
    ['{', 'json'], ['[]', 'shape'],
    ['{"format":"hearth-conversations","version":2}', 'newer'], ['{"format":"hearth-conversations","version":1}', 'shape'],
    [json(one => { one.turns[0].role = 'system'; }), 'shape'], [json(one => { one.leaf = 'none'; }), 'shape'],
    [json(one => { one.turns[0].parent = 'd'; }), 'shape'], [json(one => { one.turns[3].parent = 'none'; }), 'shape'],
    [json(one => { one.turns[1].content = 5; }), 'shape'], [json(one => { one.turns[3].id = 'a'; }), 'shape'],
  ]) assert.throws(() => fromJson(text), {why}, text);
  assert.throws(() => fromMarkdown('# Notes\n\nHello'), {why: 'shape'});
  assert.equal(nameOf('Why? «炉边» / a'), 'Why-炉边-a');
});

test('what cannot be written is read all the same, and written with what comes next', async () => {
  const there = [];
  let full = true;
  const archive = withOwed({
    get: async (name, id) => there.find(record => record.id === id),
    all: async () => there, of: async () => there,
    async write({put = {}, remove = {}}) {
      if (full && put.turns) throw new Error('full');
      there.push(...put.turns ?? []);
      if (remove.turns) there.splice(0);
    },
  });
  const ids = async () => (await archive.of('turns', 'x')).map(({id}) => id);
  owe({turns: [{id: 'a', conversation: 'x', content: 'one'}, {id: 'b', conversation: 'y'}]});
  await assert.rejects(archive.settle());
  assert.deepEqual([await ids(), (await archive.get('turns', 'a')).content, owing()], [['a'], 'one', true]);
  owe({turns: [{id: 'c', conversation: 'x'}]});
  full = false;
  const settled = archive.settle();
  owe({turns: [{id: 'a', conversation: 'x', content: 'two'}]});
  await settled;
  assert.deepEqual(there.map(({id}) => id), ['a', 'b', 'c']);
  assert.deepEqual([owing(), (await archive.get('turns', 'a')).content], [true, 'two'], 'what changed meanwhile is still owed');
  await archive.write({remove: {turns: ['a']}});
  assert.deepEqual([owing(), await ids()], [false, []]);
  owe({turns: [{id: 'd', conversation: 'x'}]});
  forgive();
  assert.equal(owing(), false);
});

test('text files are read, others refused', async () => {
  const file = (bytes, name = 'a.txt') => new File([bytes], name);
  assert.deepEqual(await readText(file('one\r\ntwo\n')), {name: 'a.txt', text: 'one\ntwo'});
  assert.equal((await readText(file(Uint8Array.of(0xff, 0xfe, 0x42, 0, 0x43, 0)))).text, 'BC');
  assert.equal((await readText(file(Uint8Array.of(0xc4, 0xe3, 0xba, 0xc3)))).text, '你好', 'older Chinese files');
  for (const [bytes, why] of [[Uint8Array.of(0x89, 0x50, 0, 1), 'binary'], ['  \n', 'empty'], [new Uint8Array(4e6 + 1), 'big']]) {
    await assert.rejects(readText(file(bytes)), {why});
  }
  assert.equal(written({content: 'Why?', files: [{name: 'a.md', text: '```\nx\n```'}]}), 'a.md\n````\n```\nx\n```\n````\n\nWhy?');
});

test('tokens are kept with bytes, of which characters come together again', () => {
  const bytes = [...new TextEncoder().encode('é炉')];
  const list = bytes.map((byte, id) => pack({logprobs: {id, bytes: [byte], logprob: -1, top: []}}));
  assert.equal(begun(list).text, 'é炉');
  assert.equal(begun(list.slice(0, 3)).text, 'é', 'a character that is not complete waits');
  assert.deepEqual(begun(list).tokens, [0, 1, 2, 3, 4]);
  assert.equal(weighed(list), true);
  assert.equal(weighed([...list, pack({token: 7, text: 'x'})]), false);
  assert.deepEqual(texts([pack({token: 7, text: '炉'}), ...retold([1, 2], '边')]), ['炉', '边', '']);
  assert.deepEqual(sureness(list, 0.5), {mean: Math.exp(-1), rare: 5});
});

test('a token that is a part of a character shows its bytes', () => {
  const [one, two, three, four] = new TextEncoder().encode('😀');
  const said = [[0x20, one, two], [three, four], [...new TextEncoder().encode('é炉')]];
  const list = said.map((bytes, id) => pack({logprobs: {id, bytes, logprob: -1, top: []}}));
  assert.deepEqual(texts(list), [' ', '😀', 'é炉']);
  assert.deepEqual(list.map(alone), [' <0xF0><0x9F>', '<0x98><0x80>', 'é炉']);
  // What has the form of a character and is none; the mark of order, which is one.
  const odd = [[0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xef, 0xbb, 0xbf]];
  assert.deepEqual(odd.map(spelled), ['<0xED><0xA0><0x80>', '<0xF4><0x90><0x80><0x80>', '\ufeff']);
  assert.deepEqual(['', '\u0301', '\u200d', '\ufe0f', ' ', 'e\u0301'].map(unseen), [true, true, true, true, false, false]);
});

test('what a tab no longer has room for does not come back as what it was before', () => {
  const shelf = (room, items = new Map()) => ({
    getItem: key => items.get(key) ?? null,
    setItem(key, value) {
      if (value.length > room) throw new Error('full');
      items.set(key, value);
    },
    removeItem: key => items.delete(key),
  });
  Object.assign(globalThis, {localStorage: shelf(20), sessionStorage: shelf(20)});
  const open = () => makeStore({draft: '', files: []}, ['draft'], 'test', ['files']);
  const {set} = open();
  set({draft: 'short', files: ['short']});
  assert.deepEqual(open().state, {draft: 'short', files: ['short']});
  set({draft: 'far too long for that', files: ['far too long for that']});
  assert.deepEqual(open().state, {draft: 'short', files: []});
  delete globalThis.localStorage;
  delete globalThis.sessionStorage;
});

test('what draws Markdown is not fetched for the first paint', () => {
  const seen = new Set();
  const walk = url => {
    if (seen.has(url.href)) return;
    seen.add(url.href);
    const source = readFileSync(url, 'utf8');
    for (const [, path] of source.matchAll(/^(?:import|export)\s[^;]*?from '(\.[^']+)'/gm)) walk(new URL(path, url));
  };
  walk(new URL('../../web/page/main.js', import.meta.url));
  const vendor = [...seen].map(url => /\/vendor\/(\w+)/.exec(url)?.[1]).filter(Boolean);
  assert.deepEqual(vendor, ['idb']);
});
