// Which device runs a model: the CPU always can; the GPU does where a trial found it right and faster. Found once for each
// adapter, browser, build, number of threads asked for and size of model, and remembered where the browser lets us. And which
// kernels an adapter has, found by `gpu/src/tune.rs` once for adapter, browser and build.

/** Tokens of the answer by which speeds are compared. */
const USUAL = {prompt: 200, made: 200};

/**
 * How far the logits of both may be apart, relative. The CPU's kernels round activations to bytes, which made 0.012 to 0.034 on
 * the models at hand; one wrong factor in a kernel made more than 0.3.
 */
const APART = 0.1;

const DAY_MS = 24 * 3600 * 1000;

/** How long a failure is remembered: it may have been the driver's, or memory that others had. */
const FAILED_MS = DAY_MS;

/** How long kernels are: drivers change without a word, and not every browser tells adapters apart. */
const KERNELS_MS = 30 * DAY_MS;

/** Ways of making products, as `gpu/src/kernels.rs` has them. */
const PRODUCTS = ['f32', 'codes', 'f16', 'bytes'];

/** Kernels that every adapter has. */
export const PLAIN = {matvec: 'f32', matmul: 'f32', subgroups: false};

/** What the browser says of its adapter, `{key, name}`, or undefined where it has none. */
export async function findAdapter() {
  const adapter = await navigator.gpu?.requestAdapter({powerPreference: 'high-performance'}).catch(() => null);
  if (!adapter) return undefined;
  const {vendor = '', architecture = '', device = '', description = ''} = adapter.info ?? {};
  const name = [description || device, architecture, vendor].filter(Boolean).join(', ') || 'WebGPU';
  return {key: [vendor, architecture, device, description].join('/'), name};
}

/** Things found in this browser, under keys that begin with `hearth.NAME/`; kept where the browser lets us. */
const kept = name => {
  const keyOf = about => [`hearth.${name}`, ...about].join('/');
  return {
    /** `{when, what}`, or undefined. */
    read(...about) {
      try {
        const {browser, when, what} = JSON.parse(localStorage.getItem(keyOf(about)));
        return browser === navigator.userAgent ? {when, what} : undefined;
      } catch {
        return undefined;
      }
    },

    keep(what, ...about) {
      try {
        localStorage.setItem(keyOf(about), JSON.stringify({browser: navigator.userAgent, when: Date.now(), what}));
      } catch {
        // It is found out again at the next load.
      }
    },

    forget(...about) {
      try {
        localStorage.removeItem(keyOf(about));
      } catch {
        // Nothing was kept either.
      }
    },
  };
};

const keptVerdicts = kept('device.2');

/** Verdicts, by build, threads asked for, size of model and adapter. */
export const verdicts = {
  ...keptVerdicts,

  /** What was found before, or undefined. */
  read(...about) {
    const {when, what} = keptVerdicts.read(...about) ?? {};
    const sound = ['cpu', 'gpu'].includes(what?.device) && typeof what.why === 'string' && (what.device === 'cpu' || known(what.kernels));
    return sound && (what.why !== 'failed' || Date.now() - when < FAILED_MS) ? what : undefined;
  },
};

/** Of another number when a shader changes in a way that kernels must be tried again for. */
const keptKernels = kept('kernels.1');

const known = kernels =>
  PRODUCTS.includes(kernels?.matvec) && PRODUCTS.includes(kernels.matmul) && typeof kernels.subgroups === 'boolean';

/** Kernels that are best, by build and adapter. */
export const kernelsOf = {
  ...keptKernels,

  /** What was found before, or undefined. */
  read(...about) {
    const {when, what} = keptKernels.read(...about) ?? {};
    return known(what) && Date.now() - when < KERNELS_MS ? what : undefined;
  },
};

/** Whether these are the kernels that every adapter has. */
export const arePlain = ({matvec, matmul, subgroups}) => matvec === PLAIN.matvec && matmul === PLAIN.matmul && !subgroups;

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
