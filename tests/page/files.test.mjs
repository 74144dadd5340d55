// A model's files, given or at addresses, as web/worker/files.js and addresses.js see them: in Node, without a browser.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {direct, grouped, plansAt, titleOf, typed} from '../../web/worker/addresses.js';
import {given, nameOf, pathOf, stored, wanted} from '../../web/worker/files.js';

globalThis.FileList ??= class {};
const HUB = 'https://huggingface.co/org/model';
const BASE = `${HUB}/resolve/main/`;

/** A server with these files, whose texts are given. */
function server(files) {
  const asked = [];
  const plan = async url => {
    asked.push(url);
    if (!(url in files)) throw Object.assign(new Error('gone'), {code: 'not_found'});
    return {key: `k${asked.length}`, url, name: url.split('/').at(-1), size_bytes: files[url].length, shard_bytes: 4};
  };
  return {asked, plan, read: async ({url}) => files[url]};
}

const at = names => Object.fromEntries(names.map(name => [`${BASE}${name}`, name]));

test('addresses of pages become those of files and folders', () => {
  for (const page of [HUB, `${HUB}/`, `${HUB}/tree/main`, `${HUB}/resolve/main`, BASE]) assert.equal(direct(page), BASE, page);
  assert.equal(direct(`${HUB}/tree/v2`), `${HUB}/resolve/v2/`);
  assert.equal(direct(`${HUB}/blob/main/a.gguf`), `${BASE}a.gguf`);
  assert.equal(direct('https://example.org/a.gguf?x=1'), 'https://example.org/a.gguf?x=1');
  for (const file of ['model.safetensors', 'model-00002-of-00003.safetensors', 'model.safetensors.index.json']) {
    assert.equal(direct(`${BASE}${file}?download=true`), BASE, file);
    assert.equal(direct(`${HUB}/blob/main/${file}`), BASE, file);
  }
  assert.equal(direct(`${BASE}other.safetensors`), `${BASE}other.safetensors`);
  assert.equal(direct('hf:org/model'), BASE);
  for (const name of ['hf:org/model/way/a.gguf', 'hf://org/model/way/a.gguf']) assert.equal(direct(name), `${BASE}way/a.gguf`);
  assert.equal(typed('org/model/way/a.gguf'), `${BASE}way/a.gguf`);
  assert.equal(typed('org/model'), BASE);
  assert.equal(typed('https://example.org/a.gguf'), 'https://example.org/a.gguf');
  assert.equal(titleOf(BASE), 'org/model');
  assert.equal(titleOf('https://example.org/m/a-00002-of-00003.gguf?x=1'), 'a.gguf');
});

test('a part stands for all', async () => {
  const files = Object.fromEntries([1, 2, 3].map(n => [`https://h/a-0000${n}-of-00003.gguf?x=1`, 'x']));
  const {plan, asked} = server(files);
  assert.equal((await plansAt('https://h/a-00002-of-00003.gguf?x=1', plan)).length, 3);
  assert.deepEqual(asked, Object.keys(files));
  await assert.rejects(plansAt('https://h/a-00001-of-00004.gguf?x=1', plan), {code: 'not_found'});
  assert.equal((await plansAt(asked[0].replace('-00001-of-00003', ''), async url => url)).length, 1);
});

test('a folder has texts and weights, one file or those of an index', async () => {
  const names = ['config.json', 'tokenizer.json', '1_Pooling/config.json', 'model.safetensors'];
  const whole = server(at(names));
  assert.deepEqual((await plansAt(BASE, whole.plan, whole.read)).map(({name}) => name).sort(), names.sort());

  const index = `${BASE}model.safetensors.index.json`;
  const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
  const weight_map = {a: shards[0], b: shards[1], c: shards[0]};
  const files = {...at(['config.json', 'tokenizer.json', ...shards]), [index]: JSON.stringify({weight_map})};
  const sharded = server(files);
  assert.deepEqual((await plansAt(BASE, sharded.plan, sharded.read)).map(({url}) => url).sort(), Object.keys(files).sort());

  for (const text of ['{', '{}', '{"weight_map": {}}', '{"weight_map": {"a": "https://evil/x.safetensors"}}']) {
    const wrong = server({...files, [index]: text});
    await assert.rejects(plansAt(BASE, wrong.plan, wrong.read), {code: 'bad_files'}, text);
  }
  await assert.rejects(plansAt(BASE, server({}).plan), {code: 'not_found'});
});

test('weights are fetched with their folder, whatever they are called', async () => {
  const texts = ['config.json', 'tokenizer.json', 'tokenizer_config.json'];
  for (const weights of [['other.safetensors'], ['a-00001-of-00002.safetensors', 'a-00002-of-00002.safetensors']]) {
    const address = `${BASE}${weights[0]}?download=true`;
    const files = {...at(texts), ...Object.fromEntries(weights.map(name => [`${BASE}${name}?download=true`, 'x']))};
    const {plan} = server(files);
    const plans = await plansAt(address, plan);
    assert.deepEqual(plans.map(({url}) => url).sort(), Object.keys(files).sort());
    // Stored, they are a model that is asked for as before.
    const stored = plans.map(plan => ({plan, stored_bytes: 1}));
    assert.deepEqual(grouped(stored).map(({plan, whole}) => [plan.url, whole]), [[address, true]]);
    assert.equal(grouped(stored.slice(0, -1))[0].whole, false);
    await assert.rejects(plansAt(address, server({[address]: 'x'}).plan), {code: 'not_found'}, 'there is no config.json');
  }
});

test('stored files that belong together are one model', () => {
  const file = url => ({plan: {key: url, url, name: 'n', size_bytes: 10}, stored_bytes: 4});
  const files = ['config.json', 'tokenizer.json', '1_Pooling/config.json', 'model.safetensors'].map(name => file(BASE + name));
  const parts = [1, 2].map(n => file(`https://h/a-0000${n}-of-00002.gguf`));
  const groups = grouped([file('https://h/b.gguf'), ...files, ...parts]);
  assert.deepEqual(groups.map(({plan, stored_bytes, whole}) => [plan.url, plan.size_bytes, stored_bytes, whole]), [
    ['https://h/b.gguf', 10, 4, true], [BASE, 40, 16, true], ['https://h/a-00001-of-00002.gguf', 20, 8, true],
  ]);
  assert.equal(groups[1].plan.name, 'org/model');
  assert.deepEqual(groups[2].plan.key, parts.map(({plan}) => plan.key));
  for (const some of [files.slice(1), files.slice(0, 3), parts.slice(1), [file(`${BASE}a-00001-of-00002.safetensors`)]]) {
    assert.equal(grouped(some)[0].whole, false);
  }
  // Two versions of a part are one part.
  const shards = ['config.json', 'tokenizer.json', 'model-00001-of-00002.safetensors'].map(name => file(BASE + name));
  assert.equal(grouped([...shards, shards[2]])[0].whole, false);
  assert.equal(grouped([...shards, file(`${BASE}model-00002-of-00002.safetensors`)])[0].whole, true);
  // Of two versions of a file the whole one counts; both go when the model goes.
  const versions = [['new', 4], ['old', 10], ['newer', 5]].map(([key, stored_bytes]) => ({plan: {...file('https://h/b.gguf').plan, key}, stored_bytes}));
  const [both, ...none] = grouped(versions);
  assert.deepEqual([both.plan.key, both.plan.size_bytes, both.stored_bytes, none.length], [['new', 'old', 'newer'], 10, 10, 0]);
  // A model of the catalog and the same file from its address are two.
  const catalogued = {...versions[1], plan: {...versions[1].plan, folder: 'https://h/shards/b', key: 'sha256-1'}};
  assert.deepEqual(grouped([catalogued, file('https://h/b.gguf')]).map(({plan}) => plan.key), ['sha256-1', 'https://h/b.gguf']);
});

test('wanted bytes come in order, from files or shards', async () => {
  const text = 'abcdefghijkl';
  const wants = [{file: 1, offset: 2, bytes: 7}, {file: 0, offset: 0, bytes: 3}, null];
  const expected = 'cdefghiabc';
  const read = async set => {
    const asked = [...wants];
    let all = '';
    for await (const bytes of wanted(set, async () => asked.shift())) all += new TextDecoder().decode(bytes);
    return all;
  };
  const blob = new File([text], 'model.safetensors');
  const set = given([blob, new File([text], 'config.json')]);
  assert.deepEqual(set.files, [{name: 'model.safetensors', size_bytes: 12}, {name: 'config.json', size_bytes: 12}]);
  assert.equal(set.size, 12, 'of the weights');
  assert.equal(await read(set), expected);
  const shard = async (key, index) => new TextEncoder().encode(text.slice(index * 5, index * 5 + 5)).buffer;
  const plans = [{key: 'a', name: 'a.gguf', size_bytes: 12, shard_bytes: 5}, {key: 'b', name: 'b.gguf', size_bytes: 12, shard_bytes: 5}];
  assert.equal(await read(stored(plans, shard)), expected);
  await assert.rejects(read(given([new Blob(['a']), new Blob(['abc'])])), {code: 'changed'});
  assert.throws(() => given([]), {code: 'invalid_input'});
  assert.throws(() => given('text'), {code: 'invalid_input'});
  assert.equal(given(new Uint8Array(5).buffer).size, 5);
});

test('imported files lie below their model', () => {
  const file = {name: 'a b.gguf'};
  assert.equal(pathOf(file, [file]), 'a%20b.gguf');
  const weights = {name: 'model.safetensors', webkitRelativePath: 'tiny/model.safetensors'};
  assert.equal(pathOf(weights, [weights, file]), 'tiny/model.safetensors');
  assert.equal(pathOf({name: 'config.json'}, [{name: 'config.json'}, {name: 'tiny.safetensors'}]), 'tiny/config.json');
  // Where all are called as every model's files are, those of another are not among them.
  const model = (size, names = ['config.json', 'model.safetensors']) => names.map((name, i) => ({name, size: size + i, lastModified: 1}));
  const home = files => pathOf(files[0], files).replace('/config.json', '');
  assert.match(home(model(5)), /^model-\w+$/);
  assert.equal(home(model(5)), home(model(5)));
  assert.notEqual(home(model(5)), home(model(6)));
  const names = ['config.json', 'tokenizer.json', 'tiny.safetensors'];
  const files = names.map((name, i) => ({plan: {key: name, url: `import:///tiny/${name}`, name, size_bytes: 1}, stored_bytes: 1, used_ms: i}));
  const [tiny, ...more] = grouped(files);
  assert.deepEqual([tiny.plan.url, tiny.whole, tiny.used_ms, more.length], ['import:///tiny/tiny.safetensors', true, 2, 0]);
});

test('a model is called as its folder or its weights', () => {
  assert.equal(nameOf([{name: 'config.json'}, {name: 'tiny-00001-of-00003.gguf'}]), 'tiny');
  assert.equal(nameOf([{name: 'model.safetensors', webkitRelativePath: 'way/tiny/model.safetensors'}]), 'tiny');
  assert.equal(nameOf([{name: 'notes.gguf'}]), 'notes');
});
