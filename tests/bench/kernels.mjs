// The speed of every kernel, natively and in each build of the browser's engine, beside the plain loop over decoded rows:
// cargo xtask bench --kernels [--json]
import {execFileSync} from 'node:child_process';
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {report} from '../../web/page/bench/report.js';
import {host, ROOT} from './host.mjs';
import {machine} from './machine.mjs';
import {tab} from './tab.mjs';

const BUILDS = ['base', 'threads', 'threads-relaxed'];

const measure = async build => {
  const {Hearth} = await import('/hearth.js');
  return (await (await Hearth.open({build})).measure({kernels: true})).kernels;
};

const json = process.argv.includes('--json');
const native = JSON.parse(execFileSync(join(ROOT, 'target/release/hearth'), ['kernels', '--json'], {encoding: 'utf8'}));
const kernels = {native};
const server = await host([]);
const profile = await mkdtemp(join(tmpdir(), 'hearth-kernels-'));
try {
  const facts = await machine([1], {}, server, profile);
  const {page, close} = await tab(profile, server.blank);
  for (const build of BUILDS) kernels[build] = await page.evaluate(measure, build);
  await close();
  const whole = {...facts, settings: {}, results: [], kernels};
  console.log(json ? JSON.stringify(whole) : report(whole));
} finally {
  await server.close();
  await rm(profile, {recursive: true, force: true});
}
