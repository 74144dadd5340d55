// The little Markdown that small models write: code fences, headings, lists, bold, italics, inline code. Everything becomes
// text nodes of elements made here, so nothing a model writes can be anything but text.
import {h} from '../dom.js';

function inline(text) {
  return text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*|\*[^*\s][^*\n]*\*)/).map(part => {
    if (/^`.+`$/.test(part)) return h('code', {}, part.slice(1, -1));
    if (/^\*\*.+\*\*$/.test(part)) return h('strong', {}, part.slice(2, -2));
    if (/^\*.+\*$/.test(part)) return h('em', {}, part.slice(1, -1));
    return part;
  });
}

const ITEM = /^\s*(?:[-*•]|(\d+)[.)])\s+(.*)$/;

function block(text) {
  const lines = text.split('\n');
  const heading = /^#{1,6}\s+(.*)$/.exec(lines[0]);
  if (heading && lines.length === 1) return [h('h3', {}, inline(heading[1]))];
  const out = [];
  let run = [];
  let list;
  const flush = () => {
    if (run.length) out.push(h('p', {}, inline(run.join('\n'))));
    run = [];
  };
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (!item) {
      list = undefined;
      run.push(line);
      continue;
    }
    flush();
    const name = item[1] ? 'ol' : 'ul';
    if (list?.localName !== name) {
      list = h(name, item[1] ? {start: item[1]} : {});
      out.push(list);
    }
    list.append(h('li', {}, inline(item[2])));
  }
  flush();
  return out;
}

/** Elements for `text`. An open fence is drawn as code already. */
export function markdown(text) {
  return text.split(/^```/m).flatMap((part, i) => {
    if (i % 2 === 1) return h('pre', {}, h('code', {}, part.replace(/^[^\n]*\n?/, '').replace(/\n$/, '')));
    const blocks = part.split(/\n{2,}/).map(piece => piece.replace(/^\n|\n$/g, ''));
    return blocks.filter(piece => piece.trim()).flatMap(block);
  });
}
