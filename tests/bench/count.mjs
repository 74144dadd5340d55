// What making a token asks of WebGPU: calls, bytes and things made, counted by standing in front of the browser's own methods.
// Never while speed is measured.

/** Prefix of a program, for a page or a worker: it counts into `webgpuCounts` there. */
export const COUNTER = `(${count})();\n`;

function count() {
  const counts = globalThis.webgpuCounts = {};
  const add = (name, number = 1) => { counts[name] = (counts[name] ?? 0) + number; };

  // In elements where the data has them, else in bytes.
  const written = (buffer, offset, data, from = 0, size = (data.length ?? data.byteLength) - from) =>
    size * (data.BYTES_PER_ELEMENT ?? 1);
  const beside = {
    'GPUQueue.writeBuffer': (queue, given) => add('uploaded', written(...given)),
    'GPUDevice.createBuffer': (device, [{size, mappedAtCreation}]) => add('uploaded', mappedAtCreation ? size : 0),
    'GPUBuffer.mapAsync'(buffer, [mode, offset = 0, size = buffer.size - offset]) {
      add(mode & GPUMapMode.READ ? 'downloaded' : 'uploaded', size);
    },
  };
  for (const type of [GPUDevice, GPUQueue, GPUCommandEncoder, GPUComputePassEncoder, GPUBuffer]) {
    for (const [method, {value, ...rest}] of Object.entries(Object.getOwnPropertyDescriptors(type.prototype))) {
      if (typeof value !== 'function' || method === 'constructor') continue;
      const name = `${type.name}.${method}`;
      Object.defineProperty(type.prototype, method, {...rest, value(...given) {
        add(name);
        beside[name]?.(this, given);
        return value.apply(this, given);
      }});
    }
  }
}

/** All that a page and its workers have counted so far. */
async function counted(page) {
  const all = await Promise.all([page, ...page.workers()].map(realm => realm.evaluate(() => globalThis.webgpuCounts ?? {})));
  const sum = {};
  for (const [name, number] of all.flatMap(Object.entries)) sum[name] = (sum[name] ?? 0) + number;
  return sum;
}

/**
 * Counts for one token of what `answer(tokens)` makes. A long answer less a short one to the same prompt leaves the tokens
 * between: no prompt is in them, no beginning and no end. The first answer is not counted: pipelines and bind groups may be
 * made once.
 */
export async function perToken(page, answer, [short, long]) {
  const counts = async tokens => {
    const before = await counted(page);
    const made = (await answer(tokens)).tokens;
    if (made !== tokens) throw new Error(`${made} tokens were made to be counted instead of ${tokens}`);
    const after = await counted(page);
    return name => (after[name] ?? 0) - (before[name] ?? 0);
  };
  await counts(long);
  const less = await counts(short);
  const more = await counts(long);
  const names = Object.keys(await counted(page)).sort();
  const each = Object.fromEntries(names.map(name => [name, (more(name) - less(name)) / (long - short)]));
  const sum = matches => names.filter(matches).reduce((sum, name) => sum + each[name], 0);
  return {
    between: [short, long],
    dispatches: sum(name => name.startsWith('GPUComputePassEncoder.dispatch')),
    passes: sum(name => name === 'GPUCommandEncoder.beginComputePass'),
    submits: sum(name => name === 'GPUQueue.submit'),
    calls: sum(name => name.includes('.')),
    uploaded: each.uploaded ?? 0,
    downloaded: each.downloaded ?? 0,
    buffers: sum(name => name === 'GPUDevice.createBuffer'),
    bindGroups: sum(name => name === 'GPUDevice.createBindGroup'),
    pipelines: sum(name => name.startsWith('GPUDevice.createComputePipeline')),
    each: Object.fromEntries(Object.entries(each).filter(([, number]) => number !== 0)),
  };
}
