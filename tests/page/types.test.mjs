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

test('what the types say is there, is there', () => {
  for (const name of ['hearth', 'openai']) {
    const types = readFileSync(`${ROOT}web/${name}.d.ts`, 'utf8');
    const files = name === 'hearth' ? ['hearth', 'model'] : [name];
    const code = files.map(file => readFileSync(`${ROOT}web/${file}.js`, 'utf8')).join('\n');
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
