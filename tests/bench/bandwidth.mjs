// How fast this machine's memory can be read by one or more threads: the bound of any engine that reads all weights for
// each token. By vector instructions of WebAssembly, as in a tab and in the same V8; nothing is computed but a sum.
// (Native code reads as fast, or up to 1.7 times as fast where it gets large pages, which a tab does not.)
import {isMainThread, parentPort, Worker, workerData} from 'node:worker_threads';
import {fileURLToPath} from 'node:url';

// Far more than any cache holds.
const BYTES = 512 << 20;
const PASSES = 5;

// A module in binary: (func (export "read") (param $at i32) (param $end i32) (result i32)); locals 2 to 5 are sums.
function program(pages) {
  const number = value => value < 128 ? [value] : [value & 127 | 128, ...number(value >> 7)];
  const part = (id, bytes) => [id, ...number(bytes.length), ...bytes];
  const get = local => [0x20, local];
  const add = [0xfd, 0xce, 0x01]; // i64x2.add
  const load = offset => [0xfd, 0x00, 0x04, ...number(offset)]; // v128.load
  const step = index => [...get(2 + index % 4), ...get(0), ...load(16 * index), ...add, 0x21, 2 + index % 4];
  const first = [0xfd, 0x1b, 0]; // i32x4.extract_lane 0
  const loop = [
    0x03, 0x40, ...Array.from({length: 8}, (_, index) => step(index)).flat(),
    // $at += 128; again if $at < $end
    ...get(0), 0x41, 0x80, 0x01, 0x6a, 0x22, 0, ...get(1), 0x49, 0x0d, 0, 0x0b,
  ];
  const sum = [...get(2), ...get(3), ...add, ...get(4), ...add, ...get(5), ...add, ...first];
  const body = [1, 4, 0x7b, ...loop, ...sum, 0x0b];
  return new Uint8Array([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...part(1, [1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f]), ...part(3, [1, 0]), ...part(5, [1, 0, ...number(pages)]),
    ...part(7, [2, 4, ...Buffer.from('read'), 0, 0, 6, ...Buffer.from('memory'), 2, 0]),
    ...part(10, [1, ...number(body.length), ...body]),
  ]);
}

/** Bytes a second that `threads` read together: the best of a few passes. */
export async function bandwidth(threads) {
  const share = Math.floor(BYTES / threads / 65536) * 65536;
  const workers = Array.from({length: threads}, () => new Worker(fileURLToPath(import.meta.url), {workerData: share}));
  const answers = () => Promise.all(workers.map(worker => new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  })));
  await answers(); // the memory is there
  let best = Infinity;
  for (let pass = 0; pass < PASSES; pass++) {
    const done = answers();
    const start = performance.now();
    for (const worker of workers) worker.postMessage('read');
    await done;
    best = Math.min(best, performance.now() - start);
  }
  await Promise.all(workers.map(worker => worker.terminate()));
  return share * threads / best * 1000;
}

if (!isMainThread && parentPort && typeof workerData === 'number') {
  const {exports} = new WebAssembly.Instance(new WebAssembly.Module(program(workerData / 65536)));
  // Pages never written to would all be the same page of zeros.
  new Uint8Array(exports.memory.buffer).fill(1);
  parentPort.on('message', () => parentPort.postMessage(exports.read(0, workerData)));
  parentPort.postMessage('ready');
}
