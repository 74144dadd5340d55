// Text files that a person puts beside a question: how they are read, and how the model sees them.

const MOST_BYTES = 4e6;

const problem = why => Object.assign(new Error(why), {why});

/** `bytes` as text in `encoding`; undefined if they are none. */
function decoded(bytes, encoding) {
  try {
    const text = new TextDecoder(encoding, {fatal: true}).decode(bytes);
    return /[\u0000-\u0008\u000e-\u001a\ufffe\uffff]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

/** A file's text, `{name, text}`. Throws an error with `why` ('big' | 'empty' | 'binary') for what is none. */
export async function readText(file) {
  if (file.size > MOST_BYTES) throw problem('big');
  const bytes = new Uint8Array(await file.arrayBuffer());
  const marked = {'255,254': 'utf-16le', '254,255': 'utf-16be'}[`${bytes[0]},${bytes[1]}`];
  // Older Chinese files are GB 18030, which is so dense that only what is no UTF-8 may be taken for it.
  const text = marked ? decoded(bytes, marked) : decoded(bytes, 'utf-8') ?? decoded(bytes, 'gb18030');
  if (text === undefined) throw problem('binary');
  if (!text.trim()) throw problem('empty');
  return {name: file.name, text: text.replace(/\r\n?/g, '\n').replace(/\n+$/, '')};
}

/** What the model is told of a question: its files, each in a fence that is longer than any within, then the question. */
export function written({content, files = []}) {
  const fenced = files.map(({name, text}) => {
    const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map(run => run.length));
    const fence = '`'.repeat(longest + 1);
    return `${name}\n${fence}\n${text}\n${fence}`;
  });
  return [...fenced, content].filter(Boolean).join('\n\n');
}
