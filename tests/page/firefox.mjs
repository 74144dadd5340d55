// A fresh headless Firefox for a test, driven through geckodriver by WebDriver (https://www.w3.org/TR/webdriver2), and a server.
import {spawn} from 'node:child_process';
import {serve} from './server.mjs';

const {GECKODRIVER = 'geckodriver', FIREFOX} = process.env;
const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';
const ENTER = '\uE007';
const PATIENCE_MS = 120_000;

/** What pages and their workers tell the console goes to Firefox's output. */
const PREFS = {'devtools.console.stdout.content': true, 'devtools.console.stdout.chrome': false, 'intl.accept_languages': 'en'};

/** In Firefox's output: an error that nobody caught, in a page or a worker, and what was told the console as one or as a warning. */
const TROUBLE = /^JavaScript error: (blob:)?http:|^console\.(error|warn): ["(]/;

/** Starts geckodriver; `{url, trouble, end}`: `trouble` has the lines of errors so far. */
async function startDriver() {
  const driver = spawn(GECKODRIVER, ['--port', '0'], {stdio: ['ignore', 'pipe', 'pipe']});
  const trouble = [];
  const url = await new Promise((resolve, reject) => {
    driver.on('error', reject);
    driver.on('exit', code => reject(new Error(`geckodriver ended with ${code}`)));
    for (const stream of [driver.stdout, driver.stderr]) {
      let rest = '';
      stream.setEncoding('utf8').on('data', data => {
        const lines = (rest + data).split('\n');
        rest = lines.pop();
        trouble.push(...lines.filter(line => TROUBLE.test(line)));
        const [, port] = lines.map(line => /Listening on [\d.]+:(\d+)/.exec(line)).find(Boolean) ?? [];
        if (port) resolve(`http://127.0.0.1:${port}`);
      });
    }
  });
  return {url, trouble, end: () => driver.kill()};
}

async function command(url, method, body) {
  const headers = {'Content-Type': 'application/json'};
  const response = await fetch(url, {method, headers, body: body && JSON.stringify(body)});
  const {value} = await response.json();
  if (!response.ok) throw Object.assign(new Error(`${method} ${new URL(url).pathname}: ${value.message}`), {code: value.error});
  return value;
}

/** A tab: as much of WebDriver as the tests need. */
class Page {
  #session;

  constructor(session) {
    this.#session = session;
  }

  #post(path, body = {}) {
    return command(`${this.#session}/${path}`, 'POST', body);
  }

  /** Also to where it is already: WebDriver's own reload passes the service worker by. */
  goto(url) {
    return this.#post('url', {url});
  }

  /** What `task` returns in the page, at last; it may have arguments. */
  evaluate(task, ...args) {
    return this.#post('execute/sync', {script: `return (${task}).apply(null, arguments)`, args});
  }

  /** Does to an element what a person does; anew where the page has just drawn another in its place. */
  async #act(selector, what, body) {
    await this.waitFor(selector => document.querySelector(selector)?.checkVisibility(), selector);
    const {[ELEMENT]: element} = await this.#post('element', {using: 'css selector', value: selector});
    await this.#post(`element/${element}/${what}`, body).catch(error => {
      if (error.code !== 'stale element reference') throw error;
      return this.#act(selector, what, body);
    });
  }

  click(selector) {
    return this.#act(selector, 'click');
  }

  type(selector, text) {
    return this.#act(selector, 'value', {text: text.replaceAll('\n', ENTER)});
  }

  text(selector) {
    return this.evaluate(selector => document.querySelector(selector)?.textContent, selector);
  }

  /** Waits until `test` holds in the page. */
  async waitFor(test, ...args) {
    const until = Date.now() + PATIENCE_MS;
    while (!await this.evaluate(`(...args) => Boolean((${test})(...args))`, ...args)) {
      if (Date.now() > until) throw new Error(`waited in vain for ${test} ${args}`);
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  }

  resize(width, height) {
    return this.#post('window/rect', {width, height});
  }
}

/** Runs `task({page, host})`; fails if a page or a worker told of an error. */
export async function inFirefox(task) {
  const host = await serve();
  const options = {args: ['-headless'], prefs: PREFS, ...FIREFOX ? {binary: FIREFOX} : {}};
  let driver;
  try {
    driver = await startDriver();
    const {sessionId} = await command(`${driver.url}/session`, 'POST', {
      capabilities: {alwaysMatch: {'moz:firefoxOptions': options, timeouts: {script: PATIENCE_MS}}},
    });
    const session = `${driver.url}/session/${sessionId}`;
    try {
      const page = new Page(session);
      await page.goto(host.url);
      await task({page, host});
      if (driver.trouble.length > 0) throw new Error(driver.trouble.join('\n'));
    } finally {
      await command(session, 'DELETE');
    }
  } finally {
    driver?.end();
    await host.close();
  }
}
