// What this page has asked of any server since it was opened: by the browser's own records, from the page, its workers, and the
// keeper that fetches its files for visits without a network. It is kept nowhere.
import {onRequests} from '../../hearth.js';

const HOME = new URL('../../', import.meta.url).href;
const bus = new EventTarget();

/** `[{who, address, bytes, from, why, at}]`; `bytes` undefined where the server does not let the browser tell. */
export const ledger = [];

/** What the file at an address of our own is for; by the beginning of its path. */
const OURS = [
  ['engine/', 'engine'], ['models/catalog.json', 'catalog'], ['models/', 'model'], ['texts/', 'lab'], ['vendor/', 'lab'],
];

function whyOf(who, address) {
  const path = address.startsWith(HOME) ? address.slice(HOME.length) : undefined;
  if (path?.includes('?control')) return 'control';
  if (path?.includes('?secret=')) return 'trial';
  const known = path !== undefined && OURS.find(([start]) => path.startsWith(start));
  if (known) return known[1];
  if (who === 'store' && !path?.startsWith('worker/')) return 'model';
  return path === undefined ? 'other' : 'page';
}

/** Where the answer came from: 'kept', from this browser's storage or cache, 'network', or 'nowhere': refused, not answered, or broken off. */
function fromOf({serverTiming = [], transferSize, encodedBodySize, responseStatus}, ours) {
  if (responseStatus === 0 && transferSize + encodedBodySize === 0) return 'nowhere';
  const kept = serverTiming.some(({name}) => name === 'kept');
  return kept || (ours && transferSize === 0 && encodedBodySize > 0) ? 'kept' : 'network';
}

function note(who, entries, origin = performance.timeOrigin) {
  for (const entry of entries) {
    const {name: address, transferSize, encodedBodySize, startTime} = entry;
    if (!/^(https?|wss?):/.test(address)) continue; // what is in the tab already
    const from = fromOf(entry, address.startsWith(HOME));
    const bytes = from !== 'network' ? 0 : transferSize || encodedBodySize || undefined;
    ledger.push({who, address, bytes, from, why: whyOf(who, address), at: startTime + origin - performance.timeOrigin});
  }
  bus.dispatchEvent(new Event('change'));
}

/** Begins to note; what came before is in the browser's record. */
export function keepLedger() {
  const observer = new PerformanceObserver(list => note('page', list.getEntries()));
  for (const type of ['navigation', 'resource']) observer.observe({type, buffered: true});
  onRequests(note);
  navigator.serviceWorker?.addEventListener('message', ({data}) => data.requests && note('keeper', data.requests, data.origin));
}

/** Calls `draw` when something was noted, at most once a frame. */
export function onLedger(draw) {
  let waiting = false;
  bus.addEventListener('change', () => {
    if (!waiting) requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
    waiting = true;
  });
}

/** Whether a worker that sees text has asked for anything but what the trial of the wall makes it ask for. */
export const isBreached = () => ledger.some(({who, why}) => ['engine', 'lab'].includes(who) && why !== 'trial');

/** The requests that belong together: `[{key, why, who, host, from, requests, bytes, unknown}]`; `unknown` of them are of unknown size. */
export function grouped() {
  const groups = new Map();
  for (const request of ledger) {
    const {who, address, bytes, from, why} = request;
    const {host} = new URL(address);
    const key = [why, host, from].join(' ');
    const group = groups.get(key) ?? {key, why, who: new Set(), host, from, requests: [], bytes: 0, unknown: 0};
    groups.set(key, group);
    group.who.add(who);
    group.requests.push(request);
    group.bytes += bytes ?? 0;
    if (bytes === undefined) group.unknown += 1;
  }
  return [...groups.values()];
}
