// The command line.
import {cpus} from 'node:os';
import {parseArgs} from 'node:util';

export const USAGE = `\
node tests/bench/bench.mjs [--device cpu] [--peers] [--model ID | FILE.gguf]... [--threads 1,2] [--prompt 128,512]
                           [--gen 64] [--runs 5] [--json]
node tests/bench/bench.mjs --device gpu [--adapter any] [--peers] [--model ID | FILE.gguf]... [--prompt 64] [--gen 16]
                           [--limit 120] [--runs 3] [--json]
  --device    cpu or gpu
  --adapter   any: a real one, or else one in software; software: that one in any case
  --peers     also wllama, in the same browser, and llama.cpp, native; on the GPU onnxruntime-web, in the same browser;
              the first time they are installed
  --model     of models/files, or any file; by itself SmolLM2 in three formats and Gemma 3, on the GPU SmolLM2 in Q4_1
  --threads   by itself 1 and, on a machine with more cores, 2
  --prompt    tokens to be read, --gen tokens to be made
  --limit     seconds after which a peer on the GPU is stopped in mid-answer
  --runs      of each, in turns
  --json      one object on standard output instead of the tables`;

// Software does on one adapter what a card does on another: what is usual for a processor would take hours.
const USUAL = {cpu: {prompt: '128,512', gen: '64', runs: '5'}, gpu: {prompt: '64', gen: '16', runs: '3'}};

/** What the asker can put right: told without a stack. */
export class Mistake extends Error {}

const whole = (name, text) => {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new Mistake(`--${name}: ${text} is no number from 1 on\n\n${USAGE}`);
  return number;
};

function one(name, text, known) {
  if (!known.includes(text)) throw new Mistake(`--${name}: ${text} is none of ${known.join(', ')}\n\n${USAGE}`);
}

export function options(args) {
  const given = parse(args).values;
  one('device', given.device, Object.keys(USUAL));
  one('adapter', given.adapter, ['any', 'software']);
  const values = {...USUAL[given.device], ...given};
  const list = name => values[name].split(',').map(text => whole(name, text));
  if (Math.max(...list('threads')) > cpus().length) throw new Mistake(`--threads: this machine has ${cpus().length} cores`);
  return {
    device: values.device, adapter: values.adapter, limit_ms: whole('limit', values.limit) * 1000,
    peers: values.peers, models: values.model, json: values.json,
    // The GPU's work is handed out by one thread.
    threads: values.device === 'gpu' ? [1] : list('threads'), prompts: list('prompt'),
    // Decoding is timed between the first token and the last one.
    gen: Math.max(2, whole('gen', values.gen)), runs: whole('runs', values.runs),
  };
}

function parse(args) {
  try {
    return parseArgs({args, options: {
      device: {type: 'string', default: 'cpu'},
      adapter: {type: 'string', default: 'any'},
      limit: {type: 'string', default: '120'},
      peers: {type: 'boolean', default: false},
      json: {type: 'boolean', default: false},
      model: {type: 'string', multiple: true, default: []},
      threads: {type: 'string', default: cpus().length > 1 ? '1,2' : '1'},
      prompt: {type: 'string'},
      gen: {type: 'string'},
      runs: {type: 'string'},
    }});
  } catch (error) {
    throw new Mistake(`${error.message}\n\n${USAGE}`);
  }
}
