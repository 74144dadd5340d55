// Markdown as elements. Marked finds out what is what; the elements are made here, one by one, and everything else is text: nothing
// a model writes can be a script, a style, a form, or an image, which would be fetched and could carry words out of this tab.
import {Marked} from '../../../vendor/marked/marked.esm.js';
import {h} from '../../dom.js';
import {t} from '../../i18n.js';
import {codeBlock} from './code.js';
import {formula, mathExtensions} from './math.js';

/**
 * `**bold**` by what stands within alone. CommonMark also asks for spaces outside where there is punctuation within, which Chinese
 * has none of: `**“炉”**边`.
 */
const strong = {
  name: 'strong', level: 'inline', start: src => src.indexOf('**'),
  tokenizer(src) {
    const [raw, text] = /^\*\*(?![\s*])((?:[^*\n]|\*(?!\*))*?[^\s*])\*\*(?!\*)/.exec(src) ?? [];
    return raw && {type: 'strong', raw, text, tokens: this.lexer.inlineTokens(text)};
  },
};

const marked = new Marked({gfm: true});
marked.use({
  extensions: [...mathExtensions, strong],
  // A line below a text makes no heading of it: each list in the making would flash up as one.
  tokenizer: {lheading: () => undefined},
});

/** The blocks of a text as Marked's tokens. */
export const blocks = text => marked.lexer(text);

/** `&lt;` and the like; a textarea's content is never markup. */
const entities = document.createElement('textarea');
function plain(text) {
  return text.replace(/&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z][a-z\d]{1,31});/gi, entity => {
    entities.innerHTML = entity;
    return entities.value;
  });
}

function link({href, tokens}) {
  const children = inline(tokens);
  return /^(?:https?:|mailto:)/i.test(href)
    ? h('a', {href, title: href, target: '_blank', rel: 'noopener noreferrer'}, children) : children;
}

const INLINE = {
  text: token => token.tokens ? inline(token.tokens) : plain(token.text),
  escape: ({text}) => text,
  strong: ({tokens}) => h('strong', {}, inline(tokens)),
  em: ({tokens}) => h('em', {}, inline(tokens)),
  del: ({tokens}) => h('del', {}, inline(tokens)),
  codespan: ({text}) => h('code', {}, text),
  br: () => h('br'),
  html: ({text}) => /^<br\s*\/?>$/i.test(text) ? h('br') : text,
  link,
  image: ({href, text}) => link({href, tokens: [{type: 'escape', text: t('chat.image', {name: text || href})}]}),
  math: formula,
};

const inline = tokens => tokens.flatMap(token => INLINE[token.type]?.(token) ?? token.raw);

const cell = name => ({tokens, align}) =>
  h(name, {class: align && `to-${align}`, scope: name === 'th' ? 'col' : null}, inline(tokens));

function item({task, checked, tokens, loose}) {
  const box = task ? [checked ? '☑ ' : '☐ '] : [];
  // In a tight list texts stand by themselves, without paragraphs.
  const part = token => token.type === 'text' && !loose ? inline([token]) : block(token);
  return h('li', {class: task && 'task'}, box, tokens.filter(({type}) => type !== 'checkbox').flatMap(part));
}

const BLOCK = {
  space: () => [],
  def: () => [],
  paragraph: ({tokens}) => h('p', {}, inline(tokens)),
  text: token => h('p', {}, inline([token])),
  html: ({text}) => h('p', {}, text.trimEnd()),
  heading: ({depth, tokens}) => h(`h${Math.min(6, depth + 2)}`, {}, inline(tokens)),
  blockquote: ({tokens}) => h('blockquote', {}, tokens.flatMap(block)),
  list: ({ordered, start, items}) => h(ordered ? 'ol' : 'ul', {start: ordered && start !== 1 && start}, items.map(item)),
  code: codeBlock,
  hr: () => h('hr'),
  table: ({header, rows}) => h('div', {class: 'scroll', tabindex: 0, role: 'group', 'aria-label': t('chat.table')}, h('table', {},
    h('thead', {}, h('tr', {}, header.map(cell('th')))), h('tbody', {}, rows.map(row => h('tr', {}, row.map(cell('td'))))))),
  mathBlock: token => h('div', {class: 'scroll', tabindex: 0, role: 'group', 'aria-label': t('chat.formula')}, formula(token)),
};

/** The element of a block, or none. */
export const block = token => [(BLOCK[token.type] ?? (({raw}) => h('p', {}, raw)))(token)].flat();

/**
 * A text that is still being written, its open emphasis or code closed for now: stars and ticks do not flash up before they
 * mean something.
 */
export function closed(text) {
  if ((text.match(/^ {0,3}(?:```|~~~)/gm) ?? []).length % 2 === 1) return text;
  const last = text.slice(text.lastIndexOf('\n') + 1);
  const outside = last.replace(/`[^`]*`/g, '');
  for (const mark of ['`', '**', '~~']) {
    if (outside.split(mark).length % 2 === 1) continue;
    return outside.endsWith(mark) ? text.slice(0, -mark.length) : /\s$/.test(text) ? text : text + mark;
  }
  return text;
}
