// A conversation is a tree of turns, `{id, parent, role, content, ...}`: to edit a question or to make another answer adds a turn
// beside the one there was. What is read is one path through it, from the first question down to a leaf. `turns`: a Map by id.

let made = 0;

/** An id that sorts by when it was made. */
export function newId() {
  const order = (made++ % 1296).toString(36).padStart(2, '0');
  return `${Date.now().toString(36)}${order}${Math.floor(Math.random() * 36 ** 6).toString(36).padStart(6, '0')}`;
}

/** The turns from the first one to `leaf`. */
export function path(turns, leaf) {
  const found = [];
  for (let turn = turns.get(leaf); turn; turn = turns.get(turn.parent)) found.unshift(turn);
  return found;
}

/** The turns that follow `parent`, the oldest first. */
export const after = (turns, parent) =>
  [...turns.values()].filter(turn => turn.parent === parent).sort((a, b) => a.id < b.id ? -1 : 1);

/** Where one comes from a turn by following the newest turn again and again. */
export function leafBelow(turns, id) {
  for (let below = after(turns, id); below.length > 0; below = after(turns, id)) id = below.at(-1).id;
  return id;
}
