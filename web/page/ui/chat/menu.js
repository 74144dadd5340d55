// A small menu below a button: arrow keys go through it, Escape and a click elsewhere close it.
import {h} from '../../dom.js';

let open;

/** Opens a menu of `[[text, act]]` at `button`, or closes it if it is there. */
export function menu(button, items) {
  const mine = open?.button === button;
  open?.close();
  if (mine) return;
  const row = ([text, act]) => h('button', {type: 'button', role: 'menuitem', tabindex: -1, onclick: () => {
    close(true);
    act();
  }}, text);
  const rows = items.filter(Boolean).map(row);
  const element = h('div', {class: 'menu', role: 'menu'}, rows);
  const elsewhere = ({target}) => {
    if (!element.contains(target) && !button.contains(target)) close(false);
  };
  function close(back) {
    element.remove();
    button.setAttribute('aria-expanded', 'false');
    document.removeEventListener('pointerdown', elsewhere);
    open = undefined;
    if (back) button.focus();
  }
  element.addEventListener('keydown', event => {
    const at = rows.indexOf(document.activeElement);
    const next = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1}[event.key];
    if (event.key === 'Escape') {
      event.stopPropagation();
      event.preventDefault(); // what it lies in stays open
      close(true);
    } else if (event.key === 'Tab') close(false);
    else if (next !== undefined) {
      event.preventDefault();
      rows[(next + rows.length) % rows.length].focus();
    }
  });
  document.addEventListener('pointerdown', elsewhere);
  open = {button, close};
  // Within what it belongs to: a dialog would cover it.
  button.closest('dialog, nav, main').append(element);
  const {left, right, top, bottom} = button.getBoundingClientRect();
  const {offsetWidth, offsetHeight} = element;
  element.style.left = `${left + offsetWidth + 8 > innerWidth ? Math.max(8, right - offsetWidth) : left}px`;
  element.style.top = `${bottom + offsetHeight + 8 > innerHeight ? Math.max(8, top - offsetHeight - 4) : bottom + 4}px`;
  button.setAttribute('aria-expanded', 'true');
  rows[0]?.focus();
}
