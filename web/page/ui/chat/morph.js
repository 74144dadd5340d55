// Brings what is shown to what should be shown by changing only what differs: a selection in the rest survives, nothing flickers,
// and the browser lays out little anew.

/** Makes `parent`'s nodes from number `from` on the same as `fresh`, a list of nodes, which are used up. */
export function morph(parent, fresh, from = 0) {
  const before = [...parent.childNodes].slice(from);
  fresh.forEach((node, i) => {
    if (!before[i]) parent.append(node);
    else if (!before[i].isEqualNode(node)) change(before[i], node);
  });
  before.slice(fresh.length).forEach(node => node.remove());
}

function change(old, node) {
  if (old.nodeName !== node.nodeName || old.localName === 'math') old.replaceWith(node);
  else if (old.nodeType === Node.TEXT_NODE) grow(old, node.data);
  else {
    for (const {name} of [...old.attributes]) if (!node.hasAttribute(name)) old.removeAttribute(name);
    for (const {name, value} of node.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    morph(old, [...node.childNodes]);
  }
}

function grow(text, data) {
  if (data.startsWith(text.data)) text.appendData(data.slice(text.data.length));
  else text.data = data;
}
