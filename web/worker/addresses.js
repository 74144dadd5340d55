// Models at addresses: which files there are to fetch for one, and which of the stored ones belong together.
import {HearthError} from './start.js';

const CONFIG = 'config.json';
const TOKENIZER = 'tokenizer.json';
const WEIGHTS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
/** Files of a Hugging Face folder that are not weights; only the first two must be there. */
const TEXTS = [
  CONFIG, TOKENIZER, 'tokenizer_config.json', 'special_tokens_map.json', 'generation_config.json', 'chat_template.jinja',
  'modules.json', '1_Pooling/config.json',
];
const MODEL_PAGE = /^(https:\/\/huggingface\.co\/[^/?#]+\/[^/?#]+)(?:\/tree\/([^/?#]+))?\/?$/;
const PART = /^([^?#]*-)(\d{5})-of-(\d{5})(\.\w+)((?:[?#].*)?)$/;

/** The address of the file, or of the folder (it ends in a slash), for that of Hugging Face's page about it. */
export function direct(address) {
  return address
    .replace(/^(https:\/\/huggingface\.co\/[^/]+\/[^/]+)\/blob\//, '$1/resolve/')
    .replace(MODEL_PAGE, (_, model, revision = 'main') => `${model}/resolve/${revision}/`)
    .replace(/\/resolve\/([^/?#]+)$/, '/resolve/$1/');
}

/** The addresses of all parts of a GGUF file, for that of one; undefined for other addresses. */
function partsOf(address) {
  const [, before, , count, ending, after] = PART.exec(address) ?? [];
  if (ending !== '.gguf') return undefined;
  const number = index => String(index + 1).padStart(5, '0');
  return Array.from({length: Number(count)}, (_, index) => `${before}${number(index)}-of-${count}${ending}${after}`);
}

/** What stands for the model that the file at this address belongs to: its folder, its first part, or itself. */
function homeOf(address) {
  const text = [...TEXTS, INDEX].findLast(name => address.endsWith(`/${name}`));
  if (text) return address.slice(0, -text.length);
  if (/\.safetensors$/.test(address)) return address.replace(/[^/]*$/, '');
  return partsOf(address)?.[0] ?? address;
}

/** A path as people write it; as it is where it is not written in this way. */
function readable(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** What to call the model at an address. */
export function titleOf(address) {
  const {pathname} = new URL(address);
  const way = readable(pathname).replace(/-\d{5}-of-\d{5}(?=\.gguf$)/, '');
  if (!way.endsWith('/')) return way.split('/').at(-1);
  return way.replace(/\/resolve\/[^/]+\/$/, '/').split('/').filter(Boolean).slice(-2).join('/');
}

/**
 * The plans of all files of the model at `address`. `plan(url)` asks for one, which may fail with 'not_found'; `read(plan)` gives
 * a file's text.
 */
export async function plansAt(address, plan, read) {
  const parts = partsOf(address);
  const plans = [];
  if (parts) {
    for (const url of parts) plans.push(await plan(url));
    return plans;
  }
  if (!address.endsWith('/')) return [await plan(address)];
  const file = async name => plans.push({...await plan(new URL(name, address).href), name});
  /** False if it is not there; without a network, what is not stored is not there. */
  const perhaps = name => file(name).catch(error => {
    if (error.code === 'not_found' || (error.code === 'network' && !navigator.onLine)) return false;
    throw error;
  });
  await file(CONFIG);
  for (const name of TEXTS.slice(1)) await perhaps(name);
  if (await perhaps(WEIGHTS)) return plans;
  await file(INDEX);
  for (const name of weightsIn(await read(plans.at(-1)))) await file(name);
  return plans;
}

/** The files that an index names. */
function weightsIn(text) {
  try {
    const names = [...new Set(Object.values(JSON.parse(text).weight_map))];
    // Beside the index, and nowhere else.
    if (names.length > 0 && names.every(name => /^[\w.-]+\.safetensors$/.test(name))) return names;
  } catch {
    // Said below.
  }
  throw new HearthError('bad_files', `${INDEX} does not name files beside it`);
}

/** Whether all files of a model are known of. */
function isWhole(home, urls) {
  const parts = partsOf(home);
  if (parts) return parts.every(url => urls.includes(url));
  if (!home.endsWith('/')) return true;
  const has = name => urls.includes(`${home}${name}`);
  const shards = urls.map(url => PART.exec(url)).filter(Boolean);
  return has(CONFIG) && has(TOKENIZER) && (has(WEIGHTS) || (shards.length > 0 && shards.length === Number(shards[0][3])));
}

/** Stored files as models: those that belong together are one, whose key is a list of theirs. `whole`: none is still to be had. */
export function grouped(files) {
  const groups = new Map();
  for (const file of files) {
    const home = homeOf(file.plan.url);
    groups.set(home, [...groups.get(home) ?? [], file]);
  }
  const sum = numbers => numbers.reduce((a, b) => a + b, 0);
  return [...groups].map(([url, group]) => {
    const plans = group.map(({plan}) => plan);
    const whole = isWhole(url, plans.map(plan => plan.url));
    if (group.length === 1 && url === plans[0].url) return {...group[0], whole};
    const plan = {key: plans.map(({key}) => key), name: titleOf(url), url, size_bytes: sum(plans.map(plan => plan.size_bytes))};
    return {plan, stored_bytes: sum(group.map(file => file.stored_bytes)), whole};
  });
}
