// TeX in Markdown, `$x$`, `$$x$$`, `\(x\)`, `\[x\]`, as MathML, which browsers draw themselves. Temml is fetched with the first
// formula; until then, and where a formula is wrong, its source is shown.
import {h} from '../../dom.js';

/** A closing dollar stands behind no space and before no digit: prices are not formulas. */
const INLINE = [
  [/^\$\$([^$]+?)\$\$/, true], [/^\$(?![\s$])((?:\\.|[^\\$\n])*?[^\\\s$])\$(?!\d)/, false], [/^\\\(([^]+?)\\\)/, false],
  [/^\\\[([^]+?)\\\]/, true],
];
const BLOCK = [/^ {0,3}\$\$([^]+?)\$\$[ \t]*(?:\n+|$)/, /^ {0,3}\\\[([^]+?)\\\][ \t]*(?:\n+|$)/];

const found = (type, src, rules) => {
  for (const [rule, display] of rules) {
    const [raw, tex] = rule.exec(src) ?? [];
    if (tex?.trim()) return {type, raw, tex: tex.trim(), display};
  }
  return undefined;
};

/** Where a formula may begin. It is being written then: time to fetch what draws it. */
function startAt(src, sign) {
  const at = src.search(sign);
  if (at >= 0) load();
  return at;
}

/** For Marked. */
export const mathExtensions = [
  {
    name: 'mathBlock', level: 'block', start: src => startAt(src, /^ {0,3}(?:\$\$|\\\[)/m),
    tokenizer: src => found('mathBlock', src, BLOCK.map(rule => [rule, true])),
  },
  {name: 'math', level: 'inline', start: src => startAt(src, /\$|\\[([]/), tokenizer: src => found('math', src, INLINE)},
];

let loading;

/** Temml is a plain script that makes a global. */
function load() {
  loading ??= new Promise((resolve, reject) => {
    const src = new URL('../../../vendor/temml/temml.min.js', import.meta.url);
    document.head.append(h('script', {src, onload: resolve, onerror: reject}));
  }).then(drawWaiting, () => {
    loading = undefined;
  });
}

function drawWaiting() {
  for (const element of document.querySelectorAll('.tex')) element.replaceWith(formula(element.dataset));
}

/** A formula's element; `display`: on a line of its own. */
export function formula({tex, display}) {
  const source = h('code', {class: 'tex', 'data-tex': tex, 'data-display': display ? 'true' : null}, tex);
  if (!globalThis.temml) {
    load();
    return source;
  }
  const home = h('span');
  try {
    const limits = {throwOnError: true, trust: false, maxExpand: 500, maxSize: [20, 200]};
    globalThis.temml.render(tex, home, {displayMode: Boolean(display), ...limits});
  } catch {
    source.className = '';
    return source;
  }
  return home.firstElementChild;
}
