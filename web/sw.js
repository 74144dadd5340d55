// The page's keeper. After the first visit the page needs no network; and where a host cannot set headers, it gets those that
// threads need from here.
//
// files.js, made with the bundle, names each file's SHA-256: that list is a version of the page. Files are kept by path and hash, so
// that a new version fetches what has changed and no more. It is fetched whole and checked before it is offered, and takes over
// when the person wants it or no tab is open any more. Models are not kept here: they lie in IndexedDB.
importScripts('files.js');

const {FILES, registration} = self;
/** Another folder of this host may have a Hearth of its own. */
const CACHE = `hearth files ${registration.scope}`;
performance.setResourceTimingBufferSize(10_000);

/** What a page must say of itself, and of its workers, to be cross-origin isolated. */
const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/** The modules of the engine's builds, such as threads/lab: a browser needs a few of them. */
const moduleOf = path => /^engine\/((base|threads[^/]*)\/(engine|lab))(_bg)?\./.exec(path)?.[1];

async function sha256(bytes) {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...hash].map(byte => byte.toString(16).padStart(2, '0')).join('');
}

/** Is kept beside the files once a keep of this version has come to its end: until then files of another might be among the rest. */
const MARK = sha256(new TextEncoder().encode(JSON.stringify(FILES))).then(version => `${registration.scope}?version=${version}`);
let whole = false;

async function isWhole() {
  whole ||= Boolean(await caches.match(await MARK, {cacheName: CACHE}));
  return whole;
}

const addressOf = path => new URL(path, registration.scope).href;
const keyOf = path => `${addressOf(path)}?sha256=${FILES[path]}`;

/** What a request asks for, from this folder on. */
function pathOf({url}) {
  const {origin, pathname} = new URL(url);
  return `${origin}${pathname}`.slice(registration.scope.length) || 'index.html';
}

/** Whether it is for a listed file as it is. */
const isListed = ({url, mode, headers}, path) =>
  path in FILES && (!new URL(url).search || mode === 'navigate') && !headers.has('range');

/** Whether it is for a page or a worker of ours: below this folder others may have theirs. The list may be empty. */
const needsHeaders = ({mode, destination}, path) => (mode === 'navigate' || destination.endsWith('worker'))
  && (path === 'index.html' || path.startsWith('worker/') || path in FILES);

function isolated(response, more) {
  if (response.status === 0) return response; // a redirection, which only the browser may look into
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries({...ISOLATION, ...more})) headers.set(name, value);
  const {status, statusText} = response;
  return new Response(response.body, {status, statusText, headers});
}

async function fetchFile(path) {
  const response = await fetch(addressOf(path), {cache: 'no-cache', priority: 'low'});
  const bytes = await response.clone().arrayBuffer();
  if (!response.ok || await sha256(bytes) !== FILES[path]) throw new Error(`${path} is not the one that was listed (${response.status})`);
  // The page's list of requests tells by the last header what came from here.
  return isolated(response, {'Server-Timing': 'kept'});
}

/** Keeps all files but those of modules that are not in `modules`. */
async function keep(modules) {
  const cache = await caches.open(CACHE);
  const kept = new Set((await cache.keys()).map(({url}) => url));
  const wanted = Object.keys(FILES).filter(path => !moduleOf(path) || modules.includes(moduleOf(path)));
  const missing = wanted.filter(path => !kept.has(keyOf(path)));
  try {
    await Promise.all(missing.map(async path => cache.put(keyOf(path), await fetchFile(path))));
    await cache.put(await MARK, new Response());
  } finally {
    await tell(missing);
  }
  return wanted.length;
}

/** Tells all tabs, for their lists of requests, what the browser noted when these files were fetched. */
async function tell(paths) {
  const records = paths.flatMap(path => performance.getEntriesByName(addressOf(path)).slice(-1));
  const requests = JSON.parse(JSON.stringify(records)); // as they are they cannot be posted
  const tabs = records.length > 0 ? await self.clients.matchAll({includeUncontrolled: true}) : [];
  tabs.forEach(tab => tab.postMessage({requests, origin: performance.timeOrigin}));
}

/** The modules of which something is kept. */
async function modulesKept() {
  const cache = await caches.open(CACHE);
  const modules = (await cache.keys()).map(({url}) => moduleOf(url.slice(registration.scope.length)));
  return [...new Set(modules.filter(Boolean))];
}

/** Lets go of what only other versions have. */
async function tidy() {
  await caches.delete('hearth-page-1'); // where the page was kept before it had versions
  const cache = await caches.open(CACHE);
  const listed = new Set([await MARK, ...Object.keys(FILES).map(keyOf)]);
  for (const request of await cache.keys()) if (!listed.has(request.url)) await cache.delete(request);
}

self.addEventListener('install', event => {
  // The first has nothing to replace: the page waits for its headers alone, and says later which modules are to be kept.
  if (registration.active) event.waitUntil(modulesKept().then(keep));
});

self.addEventListener('activate', event => event.waitUntil(Promise.all([tidy(), self.clients.claim()])));

self.addEventListener('message', event => {
  const {data, ports: [port]} = event;
  if (data.take) event.waitUntil(self.skipWaiting());
  if (data.keep) {
    const failed = error => ({message: error.message});
    event.waitUntil(keep(data.keep).then(files => ({files}), failed).then(answer => port.postMessage(answer)));
  }
});

self.addEventListener('fetch', event => {
  const {request} = event;
  if (request.method !== 'GET' || !request.url.startsWith(registration.scope)) return;
  const path = pathOf(request);
  const listed = isListed(request, path);
  if (!listed && !needsHeaders(request, path)) return;
  event.respondWith((async () => {
    const kept = listed && await isWhole() && await caches.match(keyOf(path), {cacheName: CACHE});
    return kept || isolated(await fetch(request));
  })());
});
