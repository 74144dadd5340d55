// llama.cpp itself, native, as its Python package has it prebuilt (AVX2), in a process of its own (native.py).
import {spawn} from 'node:child_process';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {watch} from './memory.mjs';
import {python} from './peers.mjs';

export const name = 'llama.cpp';
const PROGRAM = fileURLToPath(new URL('native.py', import.meta.url));

/** Loads a model in a new process; gives `{load_ms, tokenize, generate, memory, close}`. */
export async function load({model, threads, context}) {
  const child = spawn(python, [PROGRAM], {stdio: ['pipe', 'pipe', 'ignore']});
  const lines = createInterface({input: child.stdout})[Symbol.asyncIterator]();
  const ask = async (action, data = {}) => {
    child.stdin.write(`${JSON.stringify({action, ...data})}\n`);
    const {value, done} = await lines.next();
    if (done) throw new Error(`llama.cpp ended during '${action}'`);
    const answer = JSON.parse(value);
    if (answer.error) throw new Error(answer.error);
    return answer;
  };
  await ask('ready');
  const watched = watch([child.pid]);
  const close = async () => {
    watched.stop();
    const exited = new Promise(resolve => child.once('exit', resolve));
    child.stdin.end();
    if (child.exitCode === null && child.signalCode === null) await exited;
  };
  const {load_ms} = await ask('load', {path: model, threads, context}).catch(async error => {
    await close();
    throw error;
  });
  return {
    load_ms,
    tokenize: async text => (await ask('tokenize', {text})).tokens,
    generate: (prompt, count) => ask('generate', {prompt, count}),
    memory: async () => ({process: watched.growth()}),
    close,
  };
}
