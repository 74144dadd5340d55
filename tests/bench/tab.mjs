// One Chromium with one page, for one contender: started anew for each load, so that each load is a second visit, and
// memory is counted from nothing. What is stored stays in its profile.
import {createRequire} from 'node:module';
import {processes, watch} from './memory.mjs';

// The driver belongs to the page's tests and is installed with them.
const {chromium} = createRequire(new URL('../page/package.json', import.meta.url))('playwright-core');

// As in tests/page/browser.mjs.
const ARGUMENTS = [
  '--headless', '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
];

/** Opens `address`, in a browser with more `flags`; gives `{page, version, begin, memory, close}`. */
export async function tab(profile, address, flags = []) {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: [...ARGUMENTS, ...flags], locale: 'en',
  });
  const failures = [];
  context.on('weberror', event => failures.push(event.error()));
  const page = await context.newPage();
  await page.goto(address);
  // A page's workers live in its process. The others are for the first tab and in reserve, and do not grow. With flags for a
  // GPU, the process that drives it counts as well: an adapter in software has its buffers there.
  const types = ['--type=renderer', ...flags.length > 0 ? ['--type=gpu-process'] : []];
  const watched = watch(types.flatMap(type => processes(`--user-data-dir=${profile}`, type)));
  const close = async () => {
    watched.stop();
    await context.close();
    if (failures.length > 0) throw failures[0];
  };
  return {
    page,
    version: context.browser()?.version(),
    /** Runs `task` in the page; if it fails, nothing is left open. */
    async begin(task, argument) {
      try {
        return await page.evaluate(task, argument);
      } catch (error) {
        await close();
        throw error;
      }
    },
    /** The most memory that the page's process had since last asked, less what it had with nothing in it. */
    memory: watched.growth,
    close,
  };
}
