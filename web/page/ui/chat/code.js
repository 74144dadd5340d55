// Code of an answer: its language, a button to copy it, and colours once the language's grammar is here, each fetched when it is
// first needed.
import {h} from '../../dom.js';
import {t} from '../../i18n.js';

/** The grammars we have, with what else they are called. */
const GRAMMARS = {
  bash: 'sh zsh console terminal', c: 'h', cpp: 'c++ cc hpp', csharp: 'cs c#', css: '', diff: 'patch', dockerfile: 'docker',
  go: 'golang', ini: 'toml', java: '', javascript: 'js jsx mjs node', json: 'jsonc json5', kotlin: 'kt', latex: 'tex',
  lua: '', makefile: 'make', markdown: 'md', php: '', python: 'py python3', r: '', ruby: 'rb', rust: 'rs', scala: '', shell: 'shellsession',
  sql: 'sqlite mysql postgresql', swift: '', typescript: 'ts tsx', xml: 'html svg xhtml vue', yaml: 'yml',
};
const NAMES = new Map(Object.entries(GRAMMARS).flatMap(([name, more]) => [name, ...more.split(' ')].map(one => [one, name])));

/** Longer code stays plain: colours would take longer than a frame. */
const MOST = 30_000;

/** Of code that is still being written, which is coloured once a frame, as much as a frame has time for. */
const MOST_GROWING = 3000;
const CLOSED = /\n *(?:`{3,}|~{3,})\s*$/;

const loading = new Map();
let hljs;

async function load(name) {
  const [core, {default: grammar}] = await Promise.all(
    ['core', `languages/${name}`].map(path => import(`../../../vendor/highlight/${path}.min.js`)));
  hljs = core.default;
  hljs.registerLanguage(name, grammar);
  for (const element of document.querySelectorAll(`code[data-language="${name}"]`)) {
    element.replaceChildren(...coloured(element.textContent, name));
  }
}

/** Text and spans of a class, whatever else the markup may have. */
function copied(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.data;
  return h('span', {class: node.className}, [...node.childNodes].map(copied));
}

function coloured(text, name) {
  if (!name || text.length > MOST) return [text];
  if (!hljs?.getLanguage(name)) {
    if (!loading.has(name)) loading.set(name, load(name).catch(() => loading.delete(name)));
    return [text];
  }
  const {value} = hljs.highlight(text, {language: name, ignoreIllegals: true});
  return [...new DOMParser().parseFromString(value, 'text/html').body.childNodes].map(copied);
}

export function codeBlock({text, raw, lang = ''}) {
  const said = lang.split(/\s/)[0].toLowerCase();
  const name = NAMES.get(said);
  const ready = text.length <= MOST_GROWING || CLOSED.test(raw) ? text.length : text.lastIndexOf('\n', MOST_GROWING) + 1;
  return h('figure', {class: 'code'},
    h('figcaption', {}, h('span', {}, said), navigator.clipboard && h('button', {type: 'button', class: 'copy'}, t('act.copy'))),
    h('pre', {tabindex: 0}, h('code', {'data-language': name}, coloured(text.slice(0, ready), name), text.slice(ready))));
}
