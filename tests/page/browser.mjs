// A fresh browser for a test: its own profile on disk (a private one would keep IndexedDB in memory) and its own server.
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {chromium} from 'playwright-core';
import {serve} from './server.mjs';

export const SMOLLM2 = 'smollm2-135m-instruct-q4_1';
export const GEMMA = 'gemma-3-270m-q4_k_m';

const ARGUMENTS = [
  '--headless', '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
];

/** WebGPU without a graphics card. */
const SOFTWARE_GPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

/** What a person may wait for comes within this, also where other programs have the cores; how quick it is, other lines test. */
const PATIENCE_MS = 120_000;

/** What hangs for so long ends, so that it is told which test it was. What is no test may take as long as a timer can be set for. */
const HANG_MS = 900_000;
export const FOREVER = 2 ** 31 - 1;

/**
 * Runs `task({page, host, context, profile})`, with an adapter if `gpu` and `more` arguments of the browser, for `most` milliseconds;
 * fails if the page had an uncaught error.
 */
export async function inBrowser(task, {gpu = false, more = [], most = HANG_MS, ...options} = {}) {
  const profile = await mkdtemp(join(tmpdir(), 'hearth-'));
  const host = await serve();
  let context;
  const hang = setTimeout(() => context?.close(), most); // what is awaited of it then fails
  try {
    context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', locale: 'en', ...options,
      args: [...ARGUMENTS, ...gpu ? SOFTWARE_GPU : [], ...more],
    });
    context.setDefaultTimeout(PATIENCE_MS);
    const errors = [];
    context.on('weberror', event => errors.push(event.error()));
    const page = await context.newPage();
    await page.goto(host.url);
    await task({page, host, context, profile});
    if (errors.length > 0) throw errors[0];
  } finally {
    clearTimeout(hang);
    try {
      await context?.close();
    } finally {
      await host.close();
      // A process of the browser may outlive it for a while, and write.
      await rm(profile, {recursive: true, force: true, maxRetries: 20});
    }
  }
}

/** Loads a model through the API in `page` and keeps it as `window.model`; returns what `load` gave or the error's code. */
export function load(page, source, options = {}) {
  return page.evaluate(async ([source, options]) => {
    const {Hearth} = await import('/hearth.js');
    window.hearth ??= await Hearth.open();
    window.progress = [];
    try {
      window.model = await window.hearth.load(source, {...options, onProgress: step => window.progress.push(step)});
      return {info: window.model.info, timings: window.model.timings};
    } catch (error) {
      return {code: error.code, message: error.message};
    }
  }, [source, options]);
}

/** Makes an answer with `window.model`. */
export function generate(page, options) {
  return page.evaluate(async options => {
    const steps = [];
    try {
      for await (const step of window.model.generate(options)) steps.push(step);
    } catch (error) {
      return {code: error.code, message: error.message};
    }
    const tokens = steps.map(({token}) => token).filter(token => token !== null);
    return {text: steps.map(({text}) => text).join(''), tokens, finish: steps.at(-1)?.finish, timings: window.model.timings};
  }, options);
}

/**
 * Waits until `check`, which may be async, holds. (`page.waitForFunction` looks in the page itself, at every frame, but takes a
 * promise for a yes.)
 */
export async function until(check) {
  for (const end = Date.now() + PATIENCE_MS; !await check(); await new Promise(resolve => setTimeout(resolve, 20))) {
    if (Date.now() > end) throw new Error(`waited in vain for ${check}`);
  }
}

/** Waits for the page to be kept for visits without a network; what it says of that. */
export const kept = page => page.evaluate(async () => {
  const {on, state} = await import('/page/store.js');
  return new Promise(resolve => on(['kept'], () => state.kept && resolve(state.kept)));
});

/** Waits until the page has fetched all that it fetches by itself. */
export const quiet = page => Promise.all([kept(page), page.evaluate(async () => {
  await (await import('/page/i18n.js')).loadOtherTexts();
})]);

/** The shards that were asked for, by their numbers. */
export const shards = host => host.requests.map(url => /(\d+)\.bin$/.exec(url)?.[1]).filter(Boolean).map(Number);

/** Lets shards from number `first` on wait until what it gives is called, so that a download stays where it then is. */
export function hold(host, first) {
  let goOn;
  const gate = new Promise(resolve => { goOn = resolve; });
  host.intercept = async (request, response) => {
    if (shards({requests: [request.url]}).some(index => index >= first)) await gate;
    return response.destroyed;
  };
  return goOn;
}

/** The page knows `kernels` to be the best of its adapter. */
export const knowing = (page, kernels) => page.evaluate(async kernels => {
  const {findAdapter, kernelsOf, PLAIN} = await import('/worker/device.js');
  const {Hearth} = await import('/hearth.js');
  window.hearth ??= await Hearth.open();
  kernelsOf.keep(kernels ?? PLAIN, window.hearth.build, (await findAdapter()).key);
}, kernels);
