// The files that are measured: those of models/catalog.json, and others in other formats that are made from them.
import {execFileSync} from 'node:child_process';
import {existsSync, statSync} from 'node:fs';
import {basename, join, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {PEERS, ROOT} from './host.mjs';
import {Mistake} from './options.mjs';
import {python} from './peers.mjs';

const SOURCE = 'smollm2-135m-instruct-q4_1';
const MADE = {'smollm2-135m-instruct-q4_0': 'q4_0', 'smollm2-135m-instruct-q8_0': 'q8_0'};
const USUAL = [SOURCE, ...Object.keys(MADE), 'gemma-3-270m-q4_k_m'];
const program = name => fileURLToPath(new URL(name, import.meta.url));

const place = id => join(ROOT, 'models/files', `${id}.gguf`);

/** Paths of the files, for ids or paths; for none, of the device's usual ones. Makes what is missing and can be made. */
export function files(asked, device) {
  if (asked.length > 0) return asked.map(file);
  if (device === 'gpu') return [file(SOURCE)];
  // Without the peers there may be no Python to make files with.
  return USUAL.filter(id => existsSync(place(id)) || !MADE[id] || existsSync(python)).map(file);
}

function file(name) {
  const path = name.endsWith('.gguf') ? resolve(name) : place(name);
  if (existsSync(path)) return path;
  if (!MADE[name]) throw new Mistake(`${path} is missing; for a model of the catalog: cargo xtask models ${name}`);
  if (!existsSync(python)) throw new Mistake(`${name} is made with Python packages: node tests/bench/peers.mjs`);
  execFileSync(python, [program('requantize.py'), file(SOURCE), MADE[name]], {stdio: ['ignore', 2, 2]});
  return path;
}

/** Path of the same model as ONNX; made unless it is newer than what it is made from. */
export function onnx(model) {
  const path = join(PEERS, `${basename(model, '.gguf')}.onnx`);
  const age = file => statSync(file).mtimeMs;
  const sources = [model, program('make_onnx.py')];
  if (!existsSync(path) || sources.some(source => age(source) > age(path))) {
    execFileSync(python, [program('make_onnx.py'), model, path], {stdio: ['ignore', 2, 2]});
  }
  return path;
}
