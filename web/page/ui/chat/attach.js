// Text files beside a question: chosen, dropped or pasted, shown as chips.
import {readText} from '../../chat/files.js';
import {h} from '../../dom.js';
import {number, t} from '../../i18n.js';
import {set, state} from '../../store.js';

const lines = text => text.split('\n').length;

/** Files as chips that open to show their text; with `remove`, which takes one away. */
export function chips(files, remove) {
  if (files.length === 0) return null;
  const chip = file => {
    const {name, text} = file;
    const count = lines(text);
    const size = h('span', {class: 'small'}, t(count === 1 ? 'attach.line' : 'attach.lines', {n: number(count)}));
    const away = {type: 'button', class: 'more', 'aria-label': t('attach.remove', {name}), onclick: () => remove(file)};
    return h('div', {class: 'attached'},
      h('details', {}, h('summary', {}, h('b', {}, name), size), h('pre', {tabindex: 0}, text)),
      remove && h('button', away, '×'));
  };
  return h('div', {class: 'files'}, files.map(chip));
}

/** Reads files and puts them beside the question; `refused({name, why})` hears of those that are none. */
export async function attach(files, refused) {
  for (const file of files) {
    try {
      const read = await readText(file);
      set({files: [...state.files.filter(({name}) => name !== read.name), read]});
    } catch ({why = 'unreadable'}) {
      refused({name: file.name, why});
    }
  }
}

/** Lets files be dropped on `area` and pasted into `box`. */
export function dropping(area, box, take) {
  const has = event => event.dataTransfer?.types.includes('Files');
  area.addEventListener('dragover', event => {
    if (!has(event)) return;
    event.preventDefault();
    area.classList.add('dropping');
  });
  area.addEventListener('dragleave', ({relatedTarget}) => {
    if (!area.contains(relatedTarget)) area.classList.remove('dropping');
  });
  area.addEventListener('drop', event => {
    area.classList.remove('dropping');
    if (!has(event)) return;
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
  box.addEventListener('paste', event => {
    if (event.clipboardData.files.length === 0) return;
    event.preventDefault();
    take([...event.clipboardData.files]);
  });
}
