// What a download through the store reaches of a bare loop of fetch and put in the same browser, and of reading. Not a test:
// `node tests/page/throughput.mjs [MB]`.
import {randomBytes} from 'node:crypto';
import {FOREVER, inBrowser, kept} from './browser.mjs';

const SIZE = Number(process.argv[2] ?? 256) * 1e6;
const ROUNDS = 5;
const CHUNK = 4 << 20;
const bytes = randomBytes(CHUNK);

/** Every chunk of the file is the same, so that the server takes no time. */
function answer(request, response) {
  if (!request.url.endsWith('.gguf')) return false;
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range).map(Number);
  const start = from % CHUNK;
  response.writeHead(206, {'Content-Length': to - from + 1, 'Content-Range': `bytes ${from}-${to}/${SIZE}`});
  response.end(bytes.subarray(start, start + to - from + 1));
  return true;
}

/** Seconds of the bare loops, in a worker as the store is, with as many requests at once. */
const bare = (page, url) => page.evaluate(async ([url, size, chunk]) => {
  const program = async ({data: [url, size, chunk]}) => {
    const opened = indexedDB.open('bare', 1);
    opened.onupgradeneeded = () => opened.result.createObjectStore('chunks');
    await new Promise(resolve => { opened.onsuccess = resolve; });
    const done = request => new Promise((resolve, reject) => { request.onsuccess = () => resolve(request.result); request.onerror = reject; });
    const store = mode => opened.result.transaction('chunks', mode).objectStore('chunks');
    const count = Math.ceil(size / chunk);
    let next = 0;
    const one = async () => {
      while (next < count) {
        const index = next++;
        const range = `bytes=${index * chunk}-${Math.min(size, (index + 1) * chunk) - 1}`;
        const response = await fetch(url, {headers: {range}, cache: 'no-store'});
        const blob = new Blob([await response.arrayBuffer()]); // a transaction does not wait for it
        await done(store('readwrite').put(blob, index));
      }
    };
    const start = performance.now();
    await Promise.all([one(), one(), one(), one()]);
    const written = performance.now();
    for (let index = 0; index < count; index++) await (await done(store('readonly').get(index))).arrayBuffer();
    postMessage([written - start, performance.now() - written]);
    opened.result.close();
    indexedDB.deleteDatabase('bare');
  };
  const worker = new Worker(URL.createObjectURL(new Blob([`onmessage = ${program}`])));
  worker.postMessage([url, size, chunk]);
  const times = await new Promise(resolve => { worker.onmessage = ({data}) => resolve(data); });
  worker.terminate();
  return times;
}, [url, SIZE, CHUNK]);

const ours = (page, url) => page.evaluate(async url => {
  const {Hearth} = await import('/hearth.js');
  window.hearth ??= await Hearth.open();
  const start = performance.now();
  const {files, read} = await window.hearth.storage.fetch(url, {});
  const written = performance.now();
  for (let at = 0; at < files[0].size_bytes;) at += (await read(0, at, Infinity)).byteLength;
  const end = performance.now();
  for (const {plan} of await window.hearth.stored()) await window.hearth.remove(plan.key);
  return [written - start, end - written];
}, url);

await inBrowser(async ({page, host}) => {
  host.intercept = async (request, response) => answer(request, response);
  await kept(page); // or the keeper's fetching would count
  const rate = ms => (SIZE / ms / 1000).toFixed(0).padStart(5);
  const shares = {write: [], read: []};
  for (let round = 0; round < ROUNDS; round++) {
    const [put, got] = await bare(page, `${host.url}bare-${round}.gguf`);
    const [fetched, read] = await ours(page, `${host.url}ours-${round}.gguf`);
    shares.write.push(put / fetched);
    shares.read.push(got / read);
    console.log(`write: bare ${rate(put)} MB/s, ours ${rate(fetched)} (${(put / fetched * 100).toFixed(0)} %)`
      + `   read: bare ${rate(got)} MB/s, ours ${rate(read)} (${(got / read * 100).toFixed(0)} %)`);
  }
  for (const [what, list] of Object.entries(shares)) {
    console.log(`${what}: median ${(list.sort((a, b) => a - b)[list.length >> 1] * 100).toFixed(0)} %`);
  }
}, {most: FOREVER});
