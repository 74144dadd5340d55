// Which device runs a model: the CPU always can; the GPU does where a trial found it right and faster. Found once for each
// adapter, browser, build, number of threads asked for and size of model, and remembered where the browser lets us.

/** Tokens of the answer by which speeds are compared. */
const USUAL = {prompt: 200, made: 200};

/**
 * How far the logits of both may be apart, relative. The CPU's kernels round activations to bytes, which made 0.012 to 0.034 on
 * the models at hand; one wrong factor in a kernel made more than 0.3.
 */
const APART = 0.1;

/** How long a failure is remembered: it may have been the driver's, or memory that others had. */
const FAILED_MS = 24 * 3600 * 1000;

/** What the browser says of its adapter, `{key, name, subgroups}`, or undefined where it has none. */
export async function findAdapter() {
  const adapter = await navigator.gpu?.requestAdapter({powerPreference: 'high-performance'}).catch(() => null);
  if (!adapter) return undefined;
  const {vendor = '', architecture = '', device = '', description = ''} = adapter.info ?? {};
  const name = [description || device, architecture, vendor].filter(Boolean).join(', ') || 'WebGPU';
  return {key: [vendor, architecture, device, description].join('/'), name, subgroups: adapter.features.has('subgroups')};
}

const keyOf = (adapter, build, threads, size) => `hearth.device.1/${build}/${threads}/${size}/${adapter.key}`;

export const verdicts = {
  /** What was found before, or undefined. */
  read(...about) {
    try {
      const {browser, when, verdict} = JSON.parse(localStorage.getItem(keyOf(...about)));
      const known = browser === navigator.userAgent && ['cpu', 'gpu'].includes(verdict.device) && typeof verdict.why === 'string';
      return known && (verdict.why !== 'failed' || Date.now() - when < FAILED_MS) ? verdict : undefined;
    } catch {
      return undefined;
    }
  },

  keep(verdict, ...about) {
    try {
      const kept = {browser: navigator.userAgent, when: Date.now(), verdict};
      localStorage.setItem(keyOf(...about), JSON.stringify(kept));
    } catch {
      // The trial is made again at the next load.
    }
  },

  forget(...about) {
    try {
      localStorage.removeItem(keyOf(...about));
    } catch {
      // Nothing was kept either.
    }
  },
};

/** |a - b| / |b|, or infinity if it is no number. */
function relativeError(a, b) {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    size += b[i] ** 2;
  }
  const error = a.length === b.length ? Math.sqrt(difference / size) : Infinity;
  return Number.isNaN(error) ? Infinity : error;
}

const seconds = ({prompt_per_second, decode_per_second}) =>
  USUAL.prompt / prompt_per_second + USUAL.made / decode_per_second;

const speeds = ({prompt_per_second, decode_per_second}) => ({prompt_per_second, decode_per_second});

/**
 * The faster device that is right, by a trial of both: `{device, why: 'faster' | 'slower' | 'wrong', error, cpu, gpu}`, where
 * `error` is how far their logits are apart and the last two are speeds, `{prompt_per_second, decode_per_second}`.
 */
export function judge(cpu, gpu) {
  const error = relativeError(gpu.logits, cpu.logits);
  const found = {error, cpu: speeds(cpu), gpu: speeds(gpu)};
  if (!(error <= APART)) return {device: 'cpu', why: 'wrong', ...found};
  const faster = seconds(gpu) < seconds(cpu);
  return {device: faster ? 'gpu' : 'cpu', why: faster ? 'faster' : 'slower', ...found};
}
