// The typings: they compile, catch what is wrong, fit OpenAI's, and name what the modules really export.
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {ROOT} from './server.mjs';

test('page authors get types that hold', () => {
  const tsc = `${ROOT}tests/page/node_modules/typescript/bin/tsc`;
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'nodenext', '--lib', 'es2022,dom,dom.iterable'];
  try {
    execFileSync('node', [tsc, ...options, 'types.ts'], {cwd: `${ROOT}tests/page`, encoding: 'utf8'});
  } catch (error) {
    assert.fail(error.stdout);
  }
});

/** The names in an interface of hearth.d.ts, and in what it extends. */
function namesOf(types, name) {
  const [, parent, body] = new RegExp(`^export interface ${name} (?:extends (\\w+) )?{\n(.*?)^}`, 'ms').exec(types);
  const own = [...body.matchAll(/^ {2}(\w+)\??:/gm)].map(match => match[1]);
  return [...own, ...parent ? namesOf(types, parent) : []].sort();
}

test('options are the same in types and code', () => {
  const types = readFileSync(`${ROOT}web/hearth.d.ts`, 'utf8');
  const code = ['model', 'lab', 'storage', 'hearth'].map(file => readFileSync(`${ROOT}web/${file}.js`, 'utf8')).join('\n');
  const list = name => [...new RegExp(`^const ${name} = \\[(.*?)\\];`, 'ms').exec(code)[1].matchAll(/'(\w+)'/g)].map(match => match[1]);
  /** What a method takes out of its options. */
  const taken = method =>
    [...new RegExp(`^  async\\*? ${method}\\((?:\\w+, )?{(.*?)} = {}\\)`, 'ms').exec(code)[1].matchAll(/(?:^|,)\s*(\w+)/g)]
      .map(match => match[1]);
  assert.deepEqual([...list('OPTIONS'), ...list('TURN'), ...taken('generate')].sort(), namesOf(types, 'GenerateOptions'));
  assert.deepEqual(taken('embed').sort(), namesOf(types, 'EmbedOptions'));
  assert.deepEqual(taken('load').sort(), namesOf(types, 'LoadOptions'));
  assert.deepEqual(taken('compress').sort(), namesOf(types, 'CompressOptions'));
  assert.deepEqual(taken('evaluate').sort(), namesOf(types, 'EvaluateOptions'));
  assert.deepEqual(taken('sensitivity').sort(), namesOf(types, 'SensitivityOptions'));
  const render = /^ {2}render\([^;]*Pick<GenerateOptions,\s*([^>]*?)\s*>/m.exec(types)[1];
  assert.deepEqual(list('TURN').map(name => `'${name}'`).join(' | '), render);
});

test('what the types say is there, is there', async () => {
  const {OpenAI} = await import('../../web/openai.js');
  const [, properties] = readFileSync(`${ROOT}web/openai.d.ts`, 'utf8').split(/^export class OpenAI/m);
  const names = [...properties.matchAll(/^ {2}readonly (\w+)/gm)].map(match => match[1]);
  assert.ok(names.length > 0);
  assert.deepEqual(names.filter(name => !(name in new OpenAI({}))), []);
  for (const name of ['hearth', 'openai']) {
    const types = readFileSync(`${ROOT}web/${name}.d.ts`, 'utf8');
    const files = name === 'hearth' ? ['hearth', 'storage', 'model', 'lab'] : [name];
    const code = files.map(file => readFileSync(`${ROOT}web/${file}.js`, 'utf8')).join('\n');
    const real = await import(`../../web/${name}.js`);
    const exported = [...types.matchAll(/^export (?:class|function|const) (\w+)/gm)].map(match => match[1]);
    assert.deepEqual(exported.filter(one => !(one in real)), []);
    const [, ...classes] = types.split(/^export class /m);
    assert.ok(classes.length > 0);
    for (const body of classes) {
      const methods = [...body.split(/^}/m)[0].matchAll(/^ {2}(?:static )?(\w+)\(/gm)].map(match => match[1]);
      for (const method of methods.filter(method => method !== 'constructor')) {
        assert.match(code, new RegExp(`^  (static )?(async )?(\\*\\s?)?${method}\\(|^  async\\* ${method}\\(`, 'm'), `${name}.js has no ${method}`);
      }
    }
  }
});
