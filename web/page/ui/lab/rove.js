// Many small things as one stop of the Tab key: arrows go from one to the next, Home and End to the ends of a row.

/** Makes `[data-row][data-column]` elements within `container` such things. */
export function rove(container) {
  const all = () => [...container.querySelectorAll('[data-row]')];
  const at = ({dataset}) => [Number(dataset.row), Number(dataset.column)];
  const stop = element => all().forEach(one => one.setAttribute('tabindex', one === element ? 0 : -1));
  container.addEventListener('focusin', ({target}) => {
    if (target.dataset.row !== undefined) stop(target);
  });
  container.addEventListener('keydown', event => {
    const {target, key} = event;
    if (target.dataset.row === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const [row, column] = at(target);
    const places = all().map(element => [element, ...at(element)]);
    const line = places.filter(([, r]) => r === row).sort((a, b) => a[2] - b[2]);
    const here = line.findIndex(([element]) => element === target);
    const near = r => places.filter(place => place[1] === r).sort((a, b) => Math.abs(a[2] - column) - Math.abs(b[2] - column))[0];
    const next = {
      ArrowRight: () => line[here + 1], ArrowLeft: () => line[here - 1], Home: () => line[0], End: () => line.at(-1),
      ArrowDown: () => near(row + 1), ArrowUp: () => near(row - 1),
    }[key]?.();
    if (!next) return;
    event.preventDefault();
    next[0].focus();
  });
  const [first] = all();
  if (first) stop(first);
}
