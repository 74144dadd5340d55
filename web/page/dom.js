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

export const $ = id => document.getElementById(id);

/** Draws anew what is in an element; the focus goes back to what has the same id. */
export function redraw(element, ...children) {
  const id = element.contains(document.activeElement) ? document.activeElement.id : '';
  element.replaceChildren(...children.flat().filter(Boolean));
  if (id) $(id)?.focus({preventScroll: true});
}

/** Gives a file to keep. */
export function save(file, name = file.name) {
  const url = URL.createObjectURL(file);
  h('a', {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Lets a person choose files, of the kinds that `accept` names; `take` gets them. */
export function choose(take, accept) {
  const input = h('input', {type: 'file', multiple: true, accept});
  input.onchange = () => take([...input.files]);
  input.click();
}
