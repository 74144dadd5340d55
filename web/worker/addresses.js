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
const SAFETENSORS = /\.safetensors$/;
/** Files whose names say that they are all, or a part, of what a folder's address stands for. */
const OF_FOLDER = /\/model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?([?#].*)?$/;

/** Without what is asked or pointed at. */
const bare = address => address.replace(/[?#].*$/, '');

/**
 * The address of the file, or of the folder (it ends in a slash), for that of Hugging Face's page about it, for a name there
 * (`hf:ORG/NAME/FILE`, `hf:ORG/NAME`), or of weights that are nothing without the files beside them.
 */
export function direct(address) {
  return address
    .replace(/^hf:\/*([^/?#]+\/[^/?#]+)\/(.+)$/, 'https://huggingface.co/$1/resolve/main/$2')
    .replace(/^hf:\/*/, 'https://huggingface.co/')
    .replace(/^(https:\/\/huggingface\.co\/[^/]+\/[^/]+)\/blob\//, '$1/resolve/')
    .replace(MODEL_PAGE, (_, model, revision = 'main') => `${model}/resolve/${revision}/`)
    .replace(/\/resolve\/([^/?#]+)$/, '/resolve/$1/')
    .replace(OF_FOLDER, '/');
}

/** The addresses of all parts of a file, for that of one; undefined for other addresses. */
function partsOf(address) {
  const [, before, , count, ending, after] = PART.exec(address) ?? [];
  if (!['.gguf', '.safetensors'].includes(ending)) return undefined;
  const number = index => String(index + 1).padStart(5, '0');
  return Array.from({length: Number(count)}, (_, index) => `${before}${number(index)}-of-${count}${ending}${after}`);
}

/** What stands for the model that the file at this address belongs to: its folder, its first part, or itself. */
function homeOf(address) {
  const path = bare(address);
  const text = [...TEXTS, INDEX].findLast(name => path.endsWith(`/${name}`));
  if (text) return path.slice(0, -text.length);
  if (SAFETENSORS.test(path)) return path.replace(/[^/]*$/, '');
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
  const plans = [];
  const weights = async () => {
    for (const url of partsOf(address) ?? [address]) plans.push(await plan(url));
    return plans;
  };
  const folder = address.endsWith('/');
  if (!folder && !SAFETENSORS.test(bare(address))) return weights();
  const file = async name => plans.push({...await plan(new URL(name, address).href), name});
  /** False if it is not there; without a network, what is not stored is not there. */
  const perhaps = name => file(name).catch(error => {
    if (['not_found', 'imported'].includes(error.code) || (error.code === 'network' && !navigator.onLine)) return false;
    throw error;
  });
  await file(CONFIG);
  for (const name of TEXTS.slice(1)) await perhaps(name);
  if (!folder) return weights();
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
  const paths = new Set(urls.map(bare));
  const has = name => paths.has(`${home}${name}`);
  const weights = [...paths].filter(path => SAFETENSORS.test(path));
  const whole = (partsOf(weights[0] ?? '') ?? weights.slice(0, 1)).every(path => paths.has(path));
  return has(CONFIG) && has(TOKENIZER) && weights.length > 0 && whole;
}

/** By which address the model in a folder is to be had: the folder's, or that of weights that are called otherwise. */
function askedAs(home, urls) {
  const weights = home.endsWith('/') ? urls.filter(url => SAFETENSORS.test(bare(url))) : [];
  return weights.length === 0 || weights.some(url => direct(url) === home) ? home : weights[0];
}

/** What a person typed as an address: `ORG/NAME/FILE` and `ORG/NAME` are names at Hugging Face. */
export const typed = text => direct(/^[\w.-]+\/[\w.-]+(\/[^?#]+)?$/.test(text) ? `hf:${text}` : text);

function groupedBy(files, keyOf) {
  const groups = new Map();
  for (const file of files) groups.set(keyOf(file), [...groups.get(keyOf(file)) ?? [], file]);
  return [...groups.values()];
}

/** Of each file one version: the whole one, if there is a newer one in part. */
function latest(files) {
  const isWhole = ({plan, stored_bytes}) => stored_bytes === plan.size_bytes;
  return groupedBy(files, ({plan}) => plan.url).map(versions => versions.find(isWhole) ?? versions.at(-1));
}

/** Stored files as models: those that belong together are one, whose key is a list of theirs. `whole`: none is still to be had. */
export function grouped(files) {
  const sum = numbers => numbers.reduce((a, b) => a + b, 0);
  // A model of the catalog is one by itself.
  return groupedBy(files, ({plan: {key, url, folder}}) => (folder ? key : homeOf(url))).map(all => {
    const group = latest(all);
    const plans = group.map(({plan}) => plan);
    const urls = plans.map(({url}) => url);
    const home = homeOf(urls[0]);
    const whole = isWhole(home, urls);
    const url = askedAs(home, urls);
    if (all.length === 1 && url === plans[0].url) return {...group[0], whole};
    const used_ms = Math.max(...group.map(file => file.used_ms ?? 0)) || undefined;
    const plan = {key: all.map(({plan}) => plan.key), name: titleOf(url), url, size_bytes: sum(plans.map(plan => plan.size_bytes))};
    const stored_bytes = sum(group.map(file => file.stored_bytes));
    return {plan, stored_bytes, whole, used_ms, held: group.some(({held}) => held)};
  });
}
