// The GPU of this machine as a tab has it: a real one, or else Chromium's in software.
import {tab} from './tab.mjs';

// Chromium does not trust every driver by itself; on Linux it reaches them through Vulkan.
const REAL = ['--enable-unsafe-webgpu', ...process.platform === 'linux' ? ['--enable-features=Vulkan'] : []];
const SOFTWARE = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

/**
 * The adapter: `{name, software, flags, copied, read}`; `flags` are the browser's that lead to it, the last two bytes a second.
 * With `choice` 'any' it is a real one where there is one, with 'software' never.
 */
export async function findAdapter(choice, host, profile) {
  const found = choice === 'any' && await ask(REAL, host, `${profile}-real`, ({software}) => !software)
    || await ask(SOFTWARE, host, `${profile}-software`);
  if (!found) throw new Error('this browser has no WebGPU adapter, not even one in software');
  return found;
}

/** What a browser with `flags` has, if it is one that is `wanted`. */
async function ask(flags, host, profile, wanted = () => true) {
  const {page, close} = await tab(profile, host.blank, flags);
  try {
    const adapter = await page.evaluate(describe);
    if (!adapter || !wanted(adapter)) return undefined;
    const {name, software} = adapter;
    return {name: software ? `${name} (software adapter)` : name, software, flags, ...await page.evaluate(bandwidth)};
  } finally {
    await close();
  }
}

async function describe() {
  const adapter = await navigator.gpu?.requestAdapter({powerPreference: 'high-performance'});
  if (!adapter) return undefined;
  const {vendor, architecture, device, description, isFallbackAdapter} = adapter.info;
  const name = [description || device, architecture, vendor].filter(Boolean).join(', ') || 'WebGPU';
  return {name, software: isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe|basic render/i.test(name)};
}

/** How fast the device copies a buffer, in bytes read and bytes written, and how fast a shader reads one. In the page. */
async function bandwidth() {
  const BYTES = 64 << 20;
  const ROUND_MS = 250;
  const ROUNDS = 5;
  const adapter = await navigator.gpu.requestAdapter({powerPreference: 'high-performance'});
  const device = await adapter.requestDevice();
  const {STORAGE, COPY_SRC, COPY_DST} = GPUBufferUsage;
  const [from, to] = [1, 2].map(() => device.createBuffer({size: BYTES, usage: STORAGE | COPY_SRC | COPY_DST}));
  // Memory that was never written may not be there yet.
  device.queue.writeBuffer(from, 0, Uint32Array.from({length: BYTES / 4}, (_, index) => index));

  // Neighbours read neighbours: what the hardware likes best.
  const code = `
    @group(0) @binding(0) var<storage, read> input: array<vec4<u32>>;
    @group(0) @binding(1) var<storage, read_write> output: array<u32>;
    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
      var sum = vec4<u32>();
      let start = group.x * 64u * 256u + index;
      for (var i = 0u; i < 256u; i++) { sum ^= input[start + i * 64u]; }
      output[group.x * 64u + index] = sum.x ^ sum.y ^ sum.z ^ sum.w;
    }`;
  const pipeline = await device.createComputePipelineAsync({
    layout: 'auto', compute: {module: device.createShaderModule({code})},
  });
  const bindings = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0), entries: [from, to].map((buffer, binding) => ({binding, resource: {buffer}})),
  });
  const copy = encoder => encoder.copyBufferToBuffer(from, 0, to, 0, BYTES);
  const read = encoder => {
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindings);
    pass.dispatchWorkgroups(BYTES / 16 / 64 / 256);
    pass.end();
  };

  const time = async (task, count) => {
    const start = performance.now();
    const encoder = device.createCommandEncoder();
    for (let i = 0; i < count; i++) task(encoder);
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    return performance.now() - start;
  };
  /** The best of some rounds, each long enough for the clock and for the way to the device and back. */
  const times = async task => {
    let count = 1;
    while (await time(task, count) < ROUND_MS) count *= 2;
    let best = Infinity;
    for (let round = 0; round < ROUNDS; round++) best = Math.min(best, await time(task, count) / count);
    return best;
  };
  const copied = 2 * BYTES / await times(copy) * 1000;
  const result = {copied, read: BYTES / await times(read) * 1000};
  device.destroy();
  return result;
}
