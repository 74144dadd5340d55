// What we compare with, and the Python that makes model files: installed into target/peers when they are not there.
//
//   node tests/bench/peers.mjs    installs them and does nothing else
import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {PEERS} from './host.mjs';

const NODE = {'@wllama/wllama': '3.8.1', 'onnxruntime-web': '1.30.0'};
const PYTHON = {xllamacpp: '2026.10.11549', gguf: '0.19.0', numpy: '2.4.6', onnx: '1.23.2'};

export const python = join(PEERS, process.platform === 'win32' ? 'python/Scripts/python.exe' : 'python/bin/python');

// What installers print belongs to the progress, not to the result.
const run = (program, ...args) => execFileSync(program, args, {cwd: PEERS, stdio: ['ignore', 2, 2]});

export function install() {
  mkdirSync(PEERS, {recursive: true});
  installNode();
  installPython();
}

function installNode() {
  const installed = name => {
    const description = join(PEERS, 'node_modules', name, 'package.json');
    return existsSync(description) ? JSON.parse(readFileSync(description)).version : undefined;
  };
  if (Object.entries(NODE).every(([name, version]) => installed(name) === version)) return;
  // A package of its own: npm would otherwise install into the nearest folder above that has one.
  writeFileSync(join(PEERS, 'package.json'), '{"private": true}\n');
  const wanted = Object.entries(NODE).map(([name, version]) => `${name}@${version}`);
  run('npm', 'install', ...wanted, '--no-audit', '--no-fund', '--ignore-scripts');
}

function installPython() {
  if (!existsSync(python)) run('python3', '-m', 'venv', 'python');
  const packages = Object.keys(PYTHON);
  const question = `
import importlib.metadata as metadata, json
installed = {found.metadata["Name"]: found.version for found in metadata.distributions()}
print(json.dumps({name: installed.get(name) for name in ${JSON.stringify(packages)}}))`;
  const installed = JSON.parse(execFileSync(python, ['-c', question]));
  const missing = packages.filter(name => installed[name] !== PYTHON[name]);
  if (missing.length === 0) return;
  const wanted = missing.map(name => `${name}==${PYTHON[name]}`);
  run(python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...wanted);
}

/** Names and versions of the peers on each device, for the report. */
export const versions = {
  cpu: {wllama: NODE['@wllama/wllama'], 'llama.cpp': `xllamacpp ${PYTHON.xllamacpp}`},
  gpu: {'onnxruntime-web': NODE['onnxruntime-web']},
};

if (process.argv[1] === import.meta.filename) install();
