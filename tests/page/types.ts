// Compiled, never run: how page authors use the API, and that what OpenAI's types promise of an answer is there.
import type {OpenAI as Theirs} from 'openai';
import {Hearth, HearthError, memoryForecast, typed, type Figure, type Lab, type Model, type Recipe, type Step} from '../../web/hearth.js';
import {OpenAI} from '../../web/openai.js';

export async function use(files: FileList): Promise<void> {
  const hearth = await Hearth.open();
  const model: Model = await hearth.load(files, {device: 'auto', onProgress: ({loaded, total}) => loaded / total});
  const steps: Step[] = [];
  for await (const step of model.generate({messages: [{role: 'user', content: 'Hi'}], top_k: 40, logprobs: 3})) steps.push(step);
  const begun = {tokens: [1, 2], text: 'Hi'};
  for await (const step of model.generate({messages: [{role: 'user', content: 'Hi'}], begun})) console.log(step.begun, step.text);
  const best: number | undefined = steps[0]?.logprobs?.top[0]?.logprob;
  const {vector}: {vector: Float32Array} = await model.embed('text', {pooling: 'mean', dimensions: 64});
  await model.restore(await model.save());
  console.log(best, vector.length, model.timings.decode_ms, model.info.template);
  try {
    // @ts-expect-error: there is no such option.
    model.generate({temprature: 1});
    // @ts-expect-error: nor such a device.
    await hearth.load('id', {device: 'tpu'});
  } catch (error) {
    if (error instanceof HearthError) console.log(error.code);
  }
}

export async function smaller(hearth: Hearth, text: string): Promise<Model> {
  const lab: Lab = await hearth.lab('id', {threads: 2, onProgress: ({phase, loaded}) => console.log(phase, loaded)});
  const recipe: Recipe = {version: 1, steps: [{method: 'quantize', format: 'IQ4_NL', damping: 0.05}]};
  const {file, ms} = await lab.compress(recipe, {text, onProgress: ({what, done, of}) => console.log(what, done / of)});
  const found = await lab.evaluate(file, {text: 'another', calibration: text, protocol: lab.protocols[0]!.name});
  const {low}: Figure = 'kl' in found ? found.kl : found.cosine;
  const {tensors} = await lab.sensitivity({text, formats: ['Q4_0']});
  const [most] = lab.methods.flatMap(({options}) => options.map(({kind}) => ('number' in kind ? kind.number.max : 0)));
  const {macs_per_token} = await lab.work(null);
  console.log(ms, low, most, tensors[0]?.errors['Q4_0'], lab.presets[0]?.recipe.gates?.kl, macs_per_token);
  // @ts-expect-error: nothing to predict.
  await lab.evaluate(file, {});
  lab.close();
  return hearth.load(file);
}

export async function compare(model: Model): Promise<void> {
  const ours = new OpenAI(model);
  const messages = [{role: 'user' as const, content: 'Hi'}];
  const answer = await ours.chat.completions.create({messages});
  const message: Pick<Theirs.Chat.ChatCompletionMessage, 'role' | 'content' | 'refusal'> = answer.choices[0]!.message;
  const reason: Theirs.Chat.ChatCompletion.Choice['finish_reason'] = answer.choices[0]!.finish_reason;
  const usage: Theirs.CompletionUsage = answer.usage;
  const logprobs: Theirs.Chat.ChatCompletion.Choice['logprobs'] = answer.choices[0]!.logprobs;
  for await (const chunk of await ours.chat.completions.create({messages, stream: true})) {
    const delta: Theirs.Chat.ChatCompletionChunk.Choice.Delta = chunk.choices[0]!.delta;
    console.log(delta.content);
  }
  const text = await ours.completions.create({prompt: 'Once', max_tokens: 4});
  const finished: string = text.choices[0]!.text;
  const {data} = await ours.embeddings.create({input: ['a', 'b'], dimensions: 8});
  console.log(message, reason, usage, logprobs, finished, data.length);
  // Its `fetch` is what their client takes.
  const theirs: ConstructorParameters<typeof Theirs>[0] = {apiKey: 'none', baseURL: 'http://tab/v1', fetch: ours.fetch};
  console.log(theirs);
}

export async function kept({storage, load}: Hearth, files: FileList): Promise<void> {
  if (!storage.keeps || !(await storage.persist())) console.log(await storage.room());
  const source: string = await storage.import(files, {onProgress: ({phase, loaded, total}) => console.log(phase, loaded / total)});
  const {need_bytes, memory} = await storage.forecast(typed('org/repo/file.gguf'), {network: {hub: 'https://mirror.example'}});
  console.log(need_bytes, memory.verdict === memoryForecast(1e9).verdict);
  await load(source, {network: {connections: 1, budget_bytes: 1e8}, mirrors: ['https://mirror.example/file.gguf'], store: false});
  for (const {plan, used_ms, held} of await storage.list()) {
    const {repaired}: {repaired: number} = await storage.verify(plan.key);
    console.log(used_ms, held, repaired, (await storage.export(plan.key))[0]?.name);
  }
}
