// The page's side of its keeper, sw.js: headers for threads, files for visits without a network, new versions.
import {offered} from '../../worker/start.js';
import {set} from '../store.js';

const TRIED = 'hearth.isolation';
const PATIENCE_MS = 3000;

let registering;

/** Registers the keeper and watches it, once. */
function register() {
  registering ??= navigator.serviceWorker.register('sw.js', {updateViaCache: 'none'}).then(registration => {
    watch(registration);
    return registration;
  });
  return registering;
}

const late = () => new Promise((_, reject) => {
  setTimeout(reject, PATIENCE_MS, new Error('the service worker is late'));
});

/** Whether the keeper's headers would give the page threads that it has not. */
function isWorthIt() {
  return globalThis.crossOriginIsolated === false && isSecureContext && 'serviceWorker' in navigator
    && window === window.top && navigator.hardwareConcurrency > 1;
}

/**
 * Where the host sets no headers: loads the page once more, through the keeper, which does. True if it is loaded anew. It is tried
 * once in a tab, and again only after it has worked.
 */
export async function isolate() {
  try {
    if (globalThis.crossOriginIsolated) sessionStorage.removeItem(TRIED);
    if (!isWorthIt() || sessionStorage.getItem(TRIED)) return false;
    sessionStorage.setItem(TRIED, 'yes');
    await Promise.race([register().then(() => navigator.serviceWorker.ready), late()]);
    location.reload();
    return true;
  } catch (error) {
    console.warn('Hearth: no isolation, so no threads', error);
    return false;
  }
}

const reload = () => location.reload();

/** Another tab has taken a newer version. */
let stale = false;

/** Whether files that are fetched now are a newer version's, and not for this one; then that is offered again. */
export function isStale() {
  if (stale) set({update: reload});
  return stale;
}

/** Tells when a version lies ready, and when another tab has taken it. */
function watch(registration) {
  let controlled = Boolean(navigator.serviceWorker.controller);
  let taking = false;
  const take = () => {
    taking = true;
    registration.waiting?.postMessage({take: true});
  };
  const offer = () => {
    if (registration.active && registration.waiting) set({update: take});
  };
  registration.addEventListener('updatefound', () => {
    registration.installing?.addEventListener('statechange', offer);
  });
  navigator.serviceWorker.addEventListener('controllerchange', () => {
    if (taking) return reload();
    // The first one takes nothing away from the page; where site data are deleted there is none.
    stale ||= controlled && Boolean(navigator.serviceWorker.controller);
    isStale();
    controlled = true;
  });
  offer();
}

/** Looks for a version that may take this one's place, even should this one not start; at a first visit there is none. */
export async function watchVersions() {
  if (navigator.serviceWorker?.controller) await register();
}

/** The build that the next visit, which has the keeper's headers, uses. */
const nextBuild = build => globalThis.crossOriginIsolated !== false ? build : offered().relaxed ? 'threads-relaxed' : 'threads';

/** Keeps the page with the modules of the next visit's build, and of the one that runs without headers or where memory is refused. */
export async function keepPage(build) {
  if (!('serviceWorker' in navigator)) return;
  await register();
  const {active} = await navigator.serviceWorker.ready;
  const {port1, port2} = new MessageChannel();
  const answered = new Promise(resolve => {
    port1.onmessage = ({data}) => resolve(data);
  });
  const best = nextBuild(build);
  const lab = best === 'base' ? 'base/lab' : 'threads/lab';
  active.postMessage({keep: [`${best}/engine`, lab, 'base/engine', 'base/lab']}, [port2]);
  set({kept: await answered});
}
