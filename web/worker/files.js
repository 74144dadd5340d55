// The files of a model, whoever has them: `{files: [{name, size_bytes}], size, read(file, offset, most)}`. `size` is that of the
// weights; `read` gives an ArrayBuffer of at most `most` bytes of a file from `offset` on, at least one.
import {HearthError} from './start.js';

const SLICE = 4 << 20;
/** Chunks that are read behind the one that is used. Of a bare loop's speed one gives 54 %, two 65, three no more. */
const AHEAD = 2;
const WEIGHTS = /\.(gguf|safetensors)$/i;

const isBytes = value => value instanceof Blob || value instanceof ArrayBuffer || ArrayBuffer.isView(value);

/** Bytes of the files that have weights; of all, if none has a name that says so. */
function weightBytes(files) {
  const weights = files.filter(({name}) => WEIGHTS.test(name));
  return (weights.length > 0 ? weights : files).reduce((sum, {size_bytes}) => sum + size_bytes, 0);
}

/** The bytes of one small file that the page has in its hands. */
export async function fileBytes(what, source) {
  if (!isBytes(source)) throw new HearthError('invalid_input', `${what} is given by a File, a Blob or an ArrayBuffer`);
  return (source instanceof Blob ? source : new Blob([source])).arrayBuffer();
}

/** Files that the page has in its hands: one, or those of a model together. */
export function given(source) {
  const list = Array.isArray(source) || source instanceof FileList ? [...source] : [source];
  if (list.length === 0 || !list.every(isBytes)) {
    const what = 'a model is given by an id, an address, a File, a Blob, an ArrayBuffer, or several files together';
    throw new HearthError('invalid_input', what);
  }
  const blobs = list.map(one => (one instanceof Blob ? one : new Blob([one])));
  const files = blobs.map(blob => ({name: blob.webkitRelativePath || blob.name || '', size_bytes: blob.size}));
  const read = (file, offset, most) => blobs[file].slice(offset, offset + Math.min(most, SLICE)).arrayBuffer();
  return {files, size: weightBytes(files), read};
}

/** Files that are stored: `plans` of them, and `shard(key, index)`. */
export function stored(plans, shard) {
  const files = plans.map(({name, size_bytes}) => ({name, size_bytes}));
  // Chunks of a file that are being read, the one that is wanted next first.
  let coming = [];
  const take = (file, index, last) => {
    const known = coming.findIndex(one => one.file === file && one.index === index);
    coming = known < 0 ? [] : coming.slice(known);
    for (let next = index + coming.length; next <= Math.min(last, index + AHEAD); next++) {
      const bytes = shard(plans[file].key, next);
      bytes.catch(() => {}); // told when it is awaited
      coming.push({file, index: next, bytes});
    }
    return coming.shift().bytes;
  };
  const read = async (file, offset, most) => {
    const {shard_bytes, size_bytes} = plans[file];
    const index = Math.floor(offset / shard_bytes);
    const last = Math.floor((Math.min(size_bytes, offset + most) - 1) / shard_bytes);
    const bytes = await take(file, index, last);
    const start = offset - index * shard_bytes;
    return start === 0 && bytes.byteLength <= most ? bytes : bytes.slice(start, start + most);
  };
  return {files, size: weightBytes(files), read};
}

/** The bytes that are wanted, in order; `ask` tells the next want. A piece is read while the one before it is used. */
export async function* wanted({files, read}, ask) {
  for (let want; (want = await ask());) {
    let {file, offset, bytes: left} = want;
    let next = read(file, offset, left);
    while (left > 0) {
      const bytes = await next;
      if (bytes.byteLength === 0) throw new HearthError('changed', `${files[file].name} has become shorter`);
      offset += bytes.byteLength;
      left -= bytes.byteLength;
      next = left > 0 ? read(file, offset, left) : undefined;
      next?.catch(() => {}); // told when it is awaited
      yield bytes;
    }
  }
}

/** What to call the model in these files: as its folder, or as its weights without number and ending. */
export function nameOf(files) {
  const list = [...files];
  const {name, webkitRelativePath = ''} = list.find(({name}) => WEIGHTS.test(name)) ?? list[0];
  const folder = webkitRelativePath.split('/').slice(0, -1).at(-1);
  return folder ?? name.replace(/(-\d{5}-of-\d{5})?\.\w+$/, '');
}

/** Tells models apart whose files are all called alike. */
const marked = files => files.reduce((mark, {name, size, lastModified}) =>
  [...`${name} ${size} ${lastModified}`].reduce((mark, letter) => (Math.imul(mark, 31) + letter.codePointAt(0)) >>> 0, mark), 0).toString(36);

/** Where a file of a model that is imported lies: below its folder, or below the model's name if there are several. */
export function pathOf(file, all) {
  const home = () => (nameOf(all) === 'model' ? `model-${marked(all)}` : nameOf(all));
  const path = file.webkitRelativePath || (all.length > 1 ? `${home()}/${file.name}` : file.name);
  return path.split('/').map(encodeURIComponent).join('/');
}
