// Making elements without a framework.

/** `h('button', {class: 'quiet', onclick}, 'text', child)`; attributes that are null or false are left out. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/** A line drawing from path data. */
export function icon(path) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const line = document.createElementNS(SVG, 'path');
  line.setAttribute('d', path);
  svg.append(line);
  return svg;
}

/** Enter or Escape that ends the choice of a Chinese character is not meant for us; Safari tells by the key code alone. */
export const composing = event => event.isComposing || event.keyCode === 229;

export const $ = id => document.getElementById(id);

/** Draws anew what is in an element; the focus goes back to what has the same id. */
export function redraw(element, ...children) {
  const id = element.contains(document.activeElement) ? document.activeElement.id : '';
  element.replaceChildren(...children.flat().filter(Boolean));
  if (id) $(id)?.focus({preventScroll: true});
}

/** Makes `elements` the children of `list`. What is in place already is not moved: that would lose focus, selection and clicks. */
export function arrange(list, elements) {
  [...list.children].filter(child => !elements.includes(child)).forEach(child => child.remove());
  elements.forEach((element, i) => {
    if (list.children[i] !== element) list.insertBefore(element, list.children[i] ?? null);
  });
}

/**
 * `fresh`, but of `old` whatever looks the same as one of them: a press under way must end on the element it began on. So what one
 * does must follow from how it looks, and no two of `fresh` may look alike.
 */
export const reused = (old, fresh) => fresh.map(node => [...old].find(one => one.isEqualNode(node)) ?? node);

/** Makes `fresh` the children of `list`, of which those that look the same stay; the focus goes back to what has the same id. */
export function rearrange(list, fresh) {
  const id = list.contains(document.activeElement) ? document.activeElement.id : '';
  arrange(list, reused(list.children, fresh));
  if (id && !list.contains(document.activeElement)) $(id)?.focus({preventScroll: true});
}

/** Gives a file to keep. */
export function save(file, name = file.name) {
  const url = URL.createObjectURL(file);
  h('a', {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** What asks for files at the time. An element that nobody holds may be collected while the person still chooses. */
let chooser;

/** Lets a person choose files, of the kinds that `accept` names; `take` gets them. */
export function choose(take, accept) {
  chooser = h('input', {type: 'file', multiple: true, accept, onchange: ({target}) => take([...target.files])});
  chooser.click();
}
