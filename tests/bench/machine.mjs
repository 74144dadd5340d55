// What the figures depend on besides the engines.
import {cpus, loadavg} from 'node:os';
import {bandwidth} from './bandwidth.mjs';
import {versions} from './peers.mjs';
import {tab} from './tab.mjs';

/** Facts about the machine, its memory's bandwidth for each of `threads`. */
export async function machine(threads, peers, host, profile) {
  const load = loadavg(); // first, before we add to it
  const {version, close} = await tab(profile, host.blank);
  await close();
  const read = {};
  for (const count of threads) read[count] = await bandwidth(count);
  return {
    cpu: cpus()[0].model.trim(), cores: cpus().length, load, bandwidth: read,
    versions: {Chromium: version, ...peers ? versions : {}},
  };
}
