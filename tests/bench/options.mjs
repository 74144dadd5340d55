// The command line.
import {cpus} from 'node:os';
import {parseArgs} from 'node:util';

export const USAGE = `\
node tests/bench/bench.mjs [--peers] [--model ID | FILE.gguf]... [--threads 1,2] [--prompt 128,512] [--gen 64]
                           [--runs 5] [--json]
  --peers     also wllama, in the same browser, and llama.cpp, native; the first time they are installed
  --model     of models/files, or any file; by itself SmolLM2 in three formats and Gemma 3
  --threads   by itself 1 and, on a machine with more cores, 2
  --prompt    tokens to be read, --gen tokens to be made
  --runs      of each, in turns
  --json      one object on standard output instead of the tables`;

/** What the asker can put right: told without a stack. */
export class Mistake extends Error {}

const whole = (name, text) => {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new Mistake(`--${name}: ${text} is no number from 1 on\n\n${USAGE}`);
  return number;
};

export function options(args) {
  const {values} = parse(args);
  const list = name => values[name].split(',').map(text => whole(name, text));
  if (Math.max(...list('threads')) > cpus().length) throw new Mistake(`--threads: this machine has ${cpus().length} cores`);
  return {
    peers: values.peers, models: values.model, json: values.json, threads: list('threads'), prompts: list('prompt'),
    // Decoding is timed between the first token and the last one.
    gen: Math.max(2, whole('gen', values.gen)), runs: whole('runs', values.runs),
  };
}

function parse(args) {
  try {
    return parseArgs({args, options: {
      peers: {type: 'boolean', default: false},
      json: {type: 'boolean', default: false},
      model: {type: 'string', multiple: true, default: []},
      threads: {type: 'string', default: cpus().length > 1 ? '1,2' : '1'},
      prompt: {type: 'string', default: '128,512'},
      gen: {type: 'string', default: '64'},
      runs: {type: 'string', default: '5'},
    }});
  } catch (error) {
    throw new Mistake(`${error.message}\n\n${USAGE}`);
  }
}
