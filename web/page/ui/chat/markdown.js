// A text with Markdown that grows. Blocks that are done are never touched again; of what is being written only the last blocks are
// read anew, once a frame at most, and only what differs is changed. What reads Markdown is fetched with the first text; without
// it texts are shown as they are.
import {h} from '../../dom.js';
import {morph} from './morph.js';

/** Blocks that may still become something else by what follows: a list goes on after what looks like a paragraph. */
const OPEN = 2;

/** Whether a paragraph has a formula on lines of its own that is not closed: what follows is part of it. */
const openFormula = ({type, raw}) => type === 'paragraph'
  && (/^ {0,3}\$\$/m.test(raw) && raw.split('$$').length % 2 === 0 || /^ {0,3}\\\[(?![^]*\\\])/m.test(raw));

/** Where a link leads that stands elsewhere: `[1]: https://...` */
const TARGET = /^ {0,3}\[[^\]]+\]:/m;

let rich;
let loading;

/** Fetches what reads Markdown; calls of `write` before are made up for. */
export function loadRich() {
  loading ??= import('./blocks.js').then(module => {
    rich = module;
    waiting.forEach(again => again());
    waiting.clear();
  }, error => {
    console.warn('Hearth: texts are shown without Markdown', error);
    loading = undefined;
  });
  return loading;
}

const waiting = new Set();

/** `{write(text, last)}` into `element`: all of the text so far; `last`: nothing follows. */
export function writer(element) {
  let done = '';
  let nodes = 0;
  let latest;

  function write(text, last = false) {
    latest = [text, last];
    if (!rich) {
      element.replaceChildren(h('p', {class: 'plain'}, text));
      waiting.add(redo);
      loadRich();
      return;
    }
    const all = text.replace(/\r\n?/g, '\n');
    // A link may be told only at the very end where it leads; to read all of a long answer anew takes longer than a frame.
    if (last && TARGET.test(all) || !all.startsWith(done)) {
      done = '';
      nodes = 0;
    }
    const tail = all.slice(done.length);
    const tokens = rich.blocks(last ? tail : rich.closed(tail));
    const drawn = tokens.map(rich.block);
    morph(element, drawn.flat(), nodes);
    let open = last ? 0 : OPEN;
    const formula = tokens.findIndex(openFormula);
    let ready = formula < 0 ? tokens.length : formula;
    while (ready > 0 && open > 0) if (tokens[--ready].type !== 'space') open -= 1;
    const settled = tokens.slice(0, ready).map(({raw}) => raw).join('');
    if (!tail.startsWith(settled)) return;
    done += settled;
    nodes += drawn.slice(0, ready).flat().length;
  }

  const redo = () => {
    element.replaceChildren();
    write(...latest);
  };

  return {write};
}
