// What a GGUF file says about itself: sizes that the speeds are compared with.
import {closeSync, openSync, readSync, statSync} from 'node:fs';

// Names by number, as GGUF stores a value's type. A text is 8, a list 9.
const READERS = [
  ['readUInt8', 1], ['readInt8', 1], ['readUInt16LE', 2], ['readInt16LE', 2], ['readUInt32LE', 4], ['readInt32LE', 4],
  ['readFloatLE', 4], ['readUInt8', 1], undefined, undefined, ['readBigUInt64LE', 8], ['readBigInt64LE', 8],
  ['readDoubleLE', 8],
];
// Enough for the largest of today's vocabularies.
const HEAD = 64 << 20;

/** `{file_bytes, bytes_per_token, kv_bytes}`: `kv_bytes` for one position, in f16. */
export function sizes(path) {
  const {metadata, tensors, data} = parse(head(path));
  const file_bytes = statSync(path).size;
  const size = name => {
    const index = tensors.findIndex(tensor => tensor.name === name);
    return index < 0 ? 0 : (tensors[index + 1]?.offset ?? file_bytes - data) - tensors[index].offset;
  };
  // A table of its own is read one row a token; the one that is the head as well is read whole.
  const unread = size('output.weight') > 0 ? size('token_embd.weight') : 0;
  const of = key => metadata[`${metadata['general.architecture']}.${key}`];
  const length = of('embedding_length') / of('attention.head_count');
  const heads = of('attention.head_count_kv') ?? of('attention.head_count');
  const elements = heads * ((of('attention.key_length') ?? length) + (of('attention.value_length') ?? length));
  return {file_bytes, bytes_per_token: file_bytes - data - unread, kv_bytes: 2 * of('block_count') * elements};
}

function head(path) {
  const file = openSync(path);
  const bytes = Buffer.alloc(Math.min(HEAD, statSync(path).size));
  readSync(file, bytes, 0, bytes.length, 0);
  closeSync(file);
  return bytes;
}

function parse(bytes) {
  let at = 8; // after the magic number and the version
  const take = type => {
    const [read, size] = READERS[type];
    at += size;
    return Number(bytes[read](at - size));
  };
  const text = () => {
    const length = take(10);
    at += length;
    return bytes.toString('utf8', at - length, at);
  };
  const list = () => {
    const type = take(4);
    return Array.from({length: take(10)}, () => value(type));
  };
  const value = type => type === 8 ? text() : type === 9 ? list() : take(type);
  const [tensorCount, metadataCount] = [take(10), take(10)];
  const metadata = {};
  for (let index = 0; index < metadataCount; index++) {
    const key = text();
    metadata[key] = value(take(4));
  }
  const tensors = Array.from({length: tensorCount}, () => {
    const name = text();
    const dimensions = Array.from({length: take(4)}, () => take(10));
    return {name, dimensions, type: take(4), offset: take(10)};
  });
  const alignment = metadata['general.alignment'] ?? 32;
  return {metadata, tensors: tensors.sort((a, b) => a.offset - b.offset), data: Math.ceil(at / alignment) * alignment};
}
