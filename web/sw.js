// Keeps the page for visits without a network. The network comes first, so a new version shows at once; what it gave last
// answers when it is gone. Shards are not its business: they live in IndexedDB.
const CACHE = 'hearth-page-1';

const ours = request => request.method === 'GET' && new URL(request.url).origin === location.origin
  && !/\.(bin|gguf)$/.test(new URL(request.url).pathname) && !request.headers.has('range');

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()));

async function keep(urls) {
  const cache = await caches.open(CACHE);
  const wanted = urls.map(url => new Request(url)).filter(ours);
  await Promise.allSettled(wanted.map(async request => {
    if (!await cache.match(request)) await cache.add(request);
  }));
}

self.addEventListener('message', event => event.waitUntil(keep(event.data.keep)));

self.addEventListener('fetch', event => {
  if (!ours(event.request)) return;
  event.respondWith((async () => {
    const cache = await caches.open(CACHE);
    try {
      const response = await fetch(event.request);
      if (response.ok) event.waitUntil(cache.put(event.request, response.clone()));
      return response;
    } catch (error) {
      const kept = await cache.match(event.request);
      if (kept) return kept;
      throw error;
    }
  })());
});
