// How fast and how large Hearth is, beside its peers: cargo xtask bench. See README.md.
import {rmSync, statSync} from 'node:fs';
import {mkdtemp} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {basename, join} from 'node:path';
import {findAdapter} from './adapter.mjs';
import {perToken} from './count.mjs';
import {gpuReport} from './gpureport.mjs';
import * as hearth from './hearth.mjs';
import {host} from './host.mjs';
import * as llamacpp from './llamacpp.mjs';
import {machine} from './machine.mjs';
import {files} from './models.mjs';
import * as onnxruntime from './onnxruntime.mjs';
import {Mistake, options} from './options.mjs';
import {install, versions} from './peers.mjs';
import {prompt} from '../../web/page/bench/prompts.js';
import {report} from '../../web/page/bench/report.js';
import {speeds, spread} from '../../web/page/bench/statistics.js';
import * as wllama from './wllama.mjs';

const LOADS = 3;
const PEERS = {cpu: [wllama, llamacpp], gpu: [onnxruntime]};

const say = text => process.stderr.write(`${text}\n`);

/** Every engine in turn, beginning with another one each time: what changes on the machine meets all of them alike. */
const inTurn = (engines, turn) => engines.map((_, index) => engines[(index + turn) % engines.length]);

class Bench {
  #turn = 0;

  constructor(settings, contenders, server, folder, adapter) {
    Object.assign(this, {settings, contenders, server, folder, adapter});
    const longest = Math.max(...settings.prompts) + settings.gen;
    this.context = Math.ceil(longest / 256) * 256;
  }

  /** All about one file with one number of threads. */
  async measure(model, threads) {
    const name = basename(model, '.gguf');
    const where = this.adapter?.name ?? `threads ${threads}`;
    const engines = [];
    try {
      for (const contender of this.contenders) engines.push(await this.#prepare(contender, model, threads));
      const ready = () => engines.filter(({failed}) => !failed);
      for (let load = 0; load < LOADS; load++) {
        for (const engine of inTurn(ready(), load)) await this.#try(engine, () => this.#load(engine));
      }
      let asked;
      for (const size of this.settings.prompts) asked = await this.#runs(ready, size, `${name}, ${where}`);
      for (const engine of ready()) engine.answering = await engine.loaded.memory();
      if (this.adapter) {
        // What was measured so far is not lost by this.
        for (const engine of ready()) await this.#count(engine, asked).catch(error => say(error.message));
      }
    } finally {
      for (const engine of engines) await engine.loaded?.close().catch(error => say(error.message));
    }
    const {info} = engines.find(({contender}) => contender === hearth);
    return {
      model: name, threads, file_bytes: statSync(model).size, bytes_per_token: info?.weight_bytes_per_token,
      layers: info?.layers,
      kv_bytes: info && info.cache_bytes_per_token * this.context,
      engines: Object.fromEntries(engines.map(engine => [engine.contender.name, this.#result(engine)])),
    };
  }

  /** Loads once, uncounted, so that the file and the compiled code are in the browser's cache. */
  async #prepare(contender, model, threads) {
    const profile = join(this.folder, contender.name);
    const engine = {contender, loads: [], prompts: {}};
    const {settings: {device}, adapter, context} = this;
    const given = {host: this.server, profile, model, device, threads, context, flags: adapter?.flags};
    engine.open = () => contender.load(given);
    await this.#try(engine, async () => (await engine.open()).close());
    return engine;
  }

  /** An engine that fails is out of this table, and nothing else is lost. */
  async #try(engine, task) {
    try {
      await task();
    } catch (error) {
      engine.failed = error.message.split('\n')[0];
      say(`${engine.contender.name} failed: ${engine.failed}`);
    }
  }

  async #load(engine) {
    await engine.loaded?.close();
    engine.loaded = undefined;
    engine.loaded = await engine.open();
    engine.loads.push(engine.loaded.load_ms);
    engine.info = engine.loaded.info;
    engine.file_bytes = engine.loaded.file_bytes;
    engine.loading = await engine.loaded.memory();
  }

  /** Gives the last prompt that was asked. */
  async #runs(ready, size, what) {
    const tokenize = ready().map(({loaded}) => loaded.tokenize).find(Boolean);
    if (!tokenize) return;
    for (const engine of ready()) engine.prompts[size] = [];
    let asked;
    // The first is to warm up and does not count.
    for (let run = 0; run <= this.settings.runs; run++) {
      const text = await prompt(tokenize, this.#turn++, size);
      asked = {text, tokens: await tokenize(text)};
      for (const engine of inTurn(ready(), run)) {
        await this.#try(engine, async () => {
          const result = await this.#run(engine, asked);
          if (run > 0) engine.prompts[size].push(result);
          const {prompt, decode} = speeds([result]);
          const figures = `prompt ${prompt.median.toFixed(2)}, decode ${decode.median.toFixed(2)} tok/s`;
          say(`${what}, prompt ${size}, run ${run || 'to warm up'}: ${engine.contender.name} ${figures}`);
        });
      }
    }
    return asked;
  }

  async #run({contender, loaded}, {text, tokens}) {
    const size = tokens.length;
    const result = await loaded.generate(text, this.settings.gen, tokens, this.settings.limit_ms);
    // All begin with the same token where the model wants one; that an engine may have kept.
    if (result.prompt_tokens < size - 1 || result.prompt_tokens > size) {
      throw new Error(`${contender.name} read ${result.prompt_tokens} tokens of a prompt of ${size}`);
    }
    if (!result.stopped && (result.tokens !== this.settings.gen || result.steps !== this.settings.gen)) {
      throw new Error(`${contender.name} made ${result.tokens} tokens in ${result.steps} steps instead of ${this.settings.gen}`);
    }
    return result;
  }

  /** What making a token asks of WebGPU, in a tab of its own: counting takes time. */
  async #count(engine, {text, tokens}) {
    const {server} = this;
    await engine.loaded.close();
    engine.loaded = undefined;
    server.counting = true;
    try {
      engine.loaded = await engine.open();
      const answer = count => engine.loaded.generate(text, count, tokens);
      engine.counts = await perToken(engine.loaded.page, answer, engine.contender.counted);
    } finally {
      server.counting = false;
    }
  }

  #result({loads, file_bytes, prompts, loading, answering, counts, failed}) {
    if (failed) return {failed};
    const figures = Object.entries(prompts).map(([size, runs]) => [size, {...speeds(runs), runs}]);
    const memory = {loading: loading.process, answering: answering.process, wasm: answering.wasm};
    return {load_ms: spread(loads), loads, memory, counts, file_bytes, prompts: Object.fromEntries(figures)};
  }
}

async function main() {
  const settings = options(process.argv.slice(2));
  if (settings.peers) install();
  const models = files(settings.models, settings.device);
  const contenders = [hearth, ...settings.peers ? PEERS[settings.device] : []];
  const folder = await mkdtemp(join(tmpdir(), 'hearth-bench-'));
  // Also when we are interrupted: the browsers' profiles hold the models.
  process.once('exit', () => rmSync(folder, {recursive: true, force: true, maxRetries: 5}));
  const server = await host(models);
  try {
    const peers = settings.peers ? versions[settings.device] : {};
    const facts = await machine(settings.threads, peers, server, join(folder, 'blank'));
    const adapter = settings.device === 'gpu' ? await findAdapter(settings.adapter, server, join(folder, 'adapter')) : undefined;
    const bench = new Bench(settings, contenders, server, folder, adapter);
    const results = [];
    for (const model of models) {
      for (const threads of settings.threads) results.push(await bench.measure(model, threads));
    }
    const whole = {...facts, adapter, settings: {...settings, models: undefined}, results};
    const text = adapter ? gpuReport : report;
    console.log(settings.json ? JSON.stringify(whole, undefined, 1) : text(whole));
  } finally {
    await server.close();
  }
}

main().catch(error => {
  say(error instanceof Mistake ? error.message : error.stack);
  process.exitCode = 1;
});
