// Conversations as files: JSON has all branches of one or many, Markdown is the path one reads, for people and other programs.
// Both can be read back. One is `{id, title, created, changed, leaf, turns: [{id, parent, role, content, ...}]}`.
import {written} from './files.js';
import {newId, path} from './tree.js';

const FORMAT = 'hearth-conversations';
const VERSION = 1;
const ROLES = ['user', 'assistant'];

const problem = why => Object.assign(new Error(why), {why});

export const toJson = conversations => JSON.stringify({format: FORMAT, version: VERSION, conversations}, null, 2);

const text = value => typeof value === 'string';

const isTurn = turn => ROLES.includes(turn?.role) && text(turn.content) && text(turn.id)
  && (turn.parent === null || text(turn.parent))
  && ['reasoning', 'model'].every(key => turn[key] === undefined || text(turn[key]))
  && (turn.files === undefined || (Array.isArray(turn.files) && turn.files.every(file => text(file?.name) && text(file.text))));

/** Whether every turn leads up to a first one. */
function rooted(turns) {
  const known = new Map(turns.map(turn => [turn.id, turn]));
  if (known.size !== turns.length) return false;
  return turns.every(turn => {
    let steps = 0;
    for (; turn && steps <= turns.length; steps++) turn = turn.parent === null ? null : known.get(turn.parent);
    return turn === null;
  });
}

function isConversation(one) {
  return text(one?.id) && text(one.title) && Number.isFinite(one.created) && Number.isFinite(one.changed)
    && Array.isArray(one.turns) && one.turns.length > 0 && one.turns.every(isTurn) && rooted(one.turns)
    && one.turns.some(({id}) => id === one.leaf);
}

/** Conversations from JSON. Throws an error with `why`: 'json' (it is none), 'newer', 'shape'. */
export function fromJson(json) {
  let all;
  try {
    all = JSON.parse(json);
  } catch {
    throw problem('json');
  }
  if (all?.format !== FORMAT) throw problem('shape');
  if (all.version > VERSION) throw problem('newer');
  if (!Array.isArray(all.conversations) || !all.conversations.every(isConversation)) throw problem('shape');
  return all.conversations;
}

// Lines that could be taken for a turn's first are marked by a backslash, as are those that begin so already.
const guarded = content => content.replace(/^(\\*)(?=<!-- hearth:)/gm, '$1\\');
const unguarded = content => content.replace(/^\\(?=\\*<!-- hearth:)/gm, '');
const ofComment = text => text.replace(/--+|[<>\n]/g, ' ');

/** The path to the leaf; `you`: what a person is called. */
export function toMarkdown({title, leaf, turns}, you) {
  const shown = path(new Map(turns.map(turn => [turn.id, turn])), leaf);
  const parts = shown.map(turn => {
    const name = turn.role === 'user' ? you : turn.model || 'Hearth';
    const thoughts = turn.reasoning ? [`<!-- hearth: thoughts -->\n> ${guarded(turn.reasoning).replaceAll('\n', '\n> ')}`] : [];
    const mark = turn.model ? `${turn.role}, ${ofComment(turn.model)}` : turn.role;
    return [`<!-- hearth: ${mark} -->\n## ${name}`, ...thoughts, guarded(written(turn))].join('\n\n');
  });
  return `# ${title.replaceAll('\n', ' ')}\n\n${parts.join('\n\n')}\n`;
}

/** A conversation from what `toMarkdown` wrote. Throws an error with `why` 'shape' if it did not. */
export function fromMarkdown(markdown, now = Date.now()) {
  const [head, ...parts] = markdown.replaceAll('\r\n', '\n').split(/^(?=<!-- hearth: (?:user|assistant)\b.*-->\n## )/m);
  if (parts.length === 0) throw problem('shape');
  const turns = [];
  for (const part of parts) {
    const [, role, model, body] = /^<!-- hearth: (\w+)(?:, (.*?))? -->\n## .*\n\n?([^]*)$/.exec(part) ?? [];
    if (!ROLES.includes(role)) throw problem('shape');
    const [, quoted, rest] = /^<!-- hearth: thoughts -->\n((?:>.*\n?)+)\n*([^]*)$/.exec(body) ?? [null, '', body];
    turns.push({
      id: newId(), parent: turns.at(-1)?.id ?? null, role, content: unguarded(rest.replace(/\n+$/, '')),
      ...model ? {model} : {},
      ...quoted ? {reasoning: unguarded(quoted.replace(/^> ?/gm, '').replace(/\n$/, ''))} : {},
    });
  }
  const title = /^# (.*)$/m.exec(head)?.[1] ?? turns[0].content.slice(0, 60);
  return {id: newId(), title, created: now, changed: now, leaf: turns.at(-1).id, turns};
}

/** A file's name from a title. */
export const nameOf = title => title.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '').slice(0, 60) || 'conversation';
