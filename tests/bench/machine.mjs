// What the figures depend on besides the engines.
import {cpus, loadavg} from 'node:os';
import {tab} from './tab.mjs';

/** Facts about the machine and the `peers` (versions by name), and its memory's bandwidth for each of `threads`, in a tab. */
export async function machine(threads, peers, host, profile) {
  const load = loadavg().map(number => number.toFixed(2)); // first, before we add to it
  const {page, version, close} = await tab(profile, host.blank);
  const bandwidth = await page.evaluate(async threads => {
    const {Hearth} = await import('/hearth.js');
    return (await (await Hearth.open()).measure({threads, budget_ms: 100})).bandwidth;
  }, threads);
  await close();
  const names = Object.entries({Chromium: version, ...peers}).map(([name, version]) => `${name} ${version}`);
  return {
    facts: [`${cpus()[0].model.trim()}, ${cpus().length} cores; load before the start ${load.join(' ')}`, names.join(', ')],
    bandwidth,
  };
}
