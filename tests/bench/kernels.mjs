// The speed of every kernel, natively and in each build of the browser's engine, beside the plain loop over decoded rows:
// cargo xtask bench --kernels [--json]
import {execFileSync} from 'node:child_process';
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {host, ROOT} from './host.mjs';
import {tab} from './tab.mjs';

const BUILDS = ['base', 'threads', 'threads-relaxed'];
const BUDGET_MS = 20;

/** In the page: the engine's module in a worker of its own. */
async function measure([build, budget]) {
  const glue = await (await fetch(`/engine/${build}/engine.js`)).text();
  const module = await WebAssembly.compileStreaming(fetch(`/engine/${build}/engine_bg.wasm`));
  const program = `${glue}
    onmessage = async ({data: {module, memory, budget}}) => {
      await wasm_bindgen({module_or_path: module, memory});
      postMessage(wasm_bindgen.kernels(budget));
    };`;
  const worker = new Worker(URL.createObjectURL(new Blob([program], {type: 'text/javascript'})));
  const memory = build === 'base' ? undefined : new WebAssembly.Memory({initial: 64, maximum: 4096, shared: true});
  return new Promise((resolve, reject) => {
    worker.onmessage = ({data}) => resolve(data);
    worker.onerror = event => reject(new Error(event.message));
    worker.postMessage({module, memory, budget});
  });
}

function table(title, speeds) {
  const rows = speeds.map(({format, kernel, tokens, gmacs, gigabytes}) => {
    const plain = speeds.find(other => other.format === format && other.tokens === tokens && other.kernel === 'naive');
    return [format, kernel, tokens === 1 ? 'decode' : `prompt ${tokens}`, gmacs.toFixed(1), gigabytes.toFixed(1),
      `${(gmacs / plain.gmacs).toFixed(1)}×`];
  });
  const lines = [['format', 'kernel', 'tokens', 'GMAC/s', 'GB/s', 'naive'], ...rows];
  const width = at => Math.max(...lines.map(line => line[at].length));
  const line = cells => cells.map((cell, at) => at < 3 ? cell.padEnd(width(at)) : cell.padStart(width(at))).join('  ');
  return `${title}\n${lines.map(cells => `  ${line(cells)}`).join('\n')}\n`;
}

const json = process.argv.includes('--json');
const native = JSON.parse(execFileSync(join(ROOT, 'target/release/hearth'), ['kernels', '--json'], {encoding: 'utf8'}));
const results = {native};
const server = await host([]);
const profile = await mkdtemp(join(tmpdir(), 'hearth-kernels-'));
try {
  const {page, close} = await tab(profile, server.blank);
  for (const build of BUILDS) results[build] = await page.evaluate(measure, [build, BUDGET_MS]);
  await close();
} finally {
  await server.close();
  await rm(profile, {recursive: true, force: true});
}
if (json) console.log(JSON.stringify(results));
else for (const [name, speeds] of Object.entries(results)) console.log(table(name, speeds));
