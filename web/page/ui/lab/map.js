// Where it hurts: what rounding each tensor is predicted to cost, layer by layer, and a format of its own for those that bear
// little.
import {h, redraw} from '../../dom.js';
import {figure, megabytes, number, t} from '../../i18n.js';
import {change, drawMap} from '../../lab/actions.js';
import {add, kindOf, override, valueOf} from '../../lab/recipe.js';
import {lab, on as onLab, set} from '../../lab/state.js';
import {on} from '../../store.js';
import {rove} from './rove.js';

/** The method that takes formats of single tensors, if there is one. */
const taking = () => lab.session?.methods.find(({options}) => options.some(option => kindOf(option)[0] === 'tensors'));

/** The recipe's step of that method. */
const stepOf = method => lab.recipe.steps.find(step => step.method === method.name);

const option = (method, name) => method.options.find(option => option.name === name);

/** Formats whose cost is measured: those that a mix may be of. */
const formatsOf = method => kindOf(option(method, 'mix') ?? option(method, 'tensors'))[1].of;

/** What a recipe's mix is drawn as: which format it will give a tensor is found when it runs. */
const INSTEAD_OF_MIX = 'Q4_0';

/** The format a tensor has by the recipe, and whether that is its own. */
function formatOf({name, layer}, method) {
  const step = stepOf(method) ?? {options: {}};
  const own = step.options.tensors?.[name];
  const whole = layer === null && option(method, 'embeddings') ? 'embeddings' : 'format';
  return [own ?? valueOf(step, option(method, whole)), Boolean(own)];
}

/** What a format is predicted to cost, in nats a token; nothing, where it loses nothing. */
const costOf = ({sensitivity, errors}, format) => sensitivity * (errors[format === 'mix' ? INSTEAD_OF_MIX : format] ?? 0);

function choose(tensor, format) {
  const method = taking();
  let bench = lab.recipe;
  if (!stepOf(method)) bench = add(bench, method.name);
  const {id} = bench.steps.find(step => step.method === method.name);
  change(override(bench, id, tensor.name, format));
}

function cell(tensor, method, {most, row, column}) {
  const [format, own] = formatOf(tensor, method);
  const cost = costOf(tensor, format);
  // Roots: small costs are to be seen, too.
  const share = most > 0 ? Math.sqrt(cost / most) : 0;
  const bits = tensor.bytes[format] ? Math.round(tensor.bytes[format] * 8 / tensor.numbers) : '';
  return h('td', {}, h('button', {
    class: `cell ${own ? 'own' : ''}`, id: `cell-${tensor.name}`, style: `--heat: ${(share * 100).toFixed(0)}%`, 'data-row': row,
    'data-column': column, tabindex: -1, 'aria-pressed': String(lab.tensor === tensor.name),
    'aria-label': t('lab.map.cell', {name: tensor.name, format, cost: figure(cost)}),
    title: t('lab.map.cell', {name: tensor.name, format, cost: figure(cost)}),
    onclick: () => set({tensor: lab.tensor === tensor.name ? null : tensor.name}),
  }, String(bits)));
}

function table({layers, tensors}, method) {
  const most = Math.max(...tensors.map(tensor => costOf(tensor, formatOf(tensor, method)[0])));
  const inside = tensors.filter(({layer}) => layer !== null && layer !== undefined);
  const outside = tensors.filter(({layer}) => layer === null || layer === undefined);
  const kinds = [...new Set(inside.map(({kind}) => kind))];
  const columns = Array.from({length: layers}, (_, layer) => layer);
  const rows = kinds.map((kind, row) => h('tr', {}, h('th', {scope: 'row'}, kind), columns.map(layer => {
    const tensor = inside.find(one => one.kind === kind && one.layer === layer);
    return tensor ? cell(tensor, method, {most, row, column: layer}) : h('td');
  })));
  const others = outside.map((tensor, at) => h('tr', {}, h('th', {scope: 'row'}, tensor.kind),
    cell(tensor, method, {most, row: kinds.length + at, column: 0})));
  return h('table', {class: 'heat'},
    h('caption', {class: 'hidden'}, t('lab.map')),
    h('thead', {}, h('tr', {}, h('th', {scope: 'col'}, t('lab.map.layer')), columns.map(n => h('th', {scope: 'col'}, n)))),
    h('tbody', {}, rows, others));
}

/** A tensor's formats, what each costs and takes, to choose from. */
function choice(tensor, method) {
  const [format, own] = formatOf(tensor, method);
  const size = name => tensor.bytes[name] ? `${megabytes(tensor.bytes[name])} MB` : '';
  const row = (value, words, priced, checked) => {
    const onchange = () => choose(tensor, value);
    const button = h('input', {type: 'radio', name: 'lab-format', id: `format-${value}`, value, checked, onchange});
    return h('tr', {}, h('th', {scope: 'row'}, h('label', {}, button, ` ${words}`)),
      h('td', {}, priced ? figure(costOf(tensor, priced)) : ''), h('td', {}, priced ? size(priced) : ''));
  };
  return h('div', {class: 'scroll'},
    h('p', {}, h('code', {}, tensor.name), !tensor.measured && ` ${t('lab.map.between')}`),
    h('table', {},
      h('thead', {}, h('tr', {}, ['format', 'cost', 'size'].map(head => h('th', {scope: 'col'}, t(`lab.map.${head}`))))),
      h('tbody', {},
        row('', t('lab.map.asrecipe', {format: own ? '' : format}), own ? null : format, !own),
        formatsOf(method).filter(name => name in tensor.errors).map(name => row(name, name, name, own && name === format)))));
}

export function map() {
  const title = h('h2', {id: 'lab-map-title'});
  const note = h('p', {class: 'small'});
  const button = h('button', {class: 'quiet', id: 'lab-map-draw', onclick: () =>
    drawMap(formatsOf(taking()))});
  const total = h('p', {class: 'small'});
  const grid = h('div', {class: 'scroll', id: 'lab-map'});
  const chosen = h('div', {id: 'lab-tensor'});
  const card = h('section', {class: 'card', 'aria-labelledby': 'lab-map-title'},
    h('div', {class: 'card-head'}, title, button), note, grid, total, chosen);
  const draw = () => {
    const {session, map, tensor, busy} = lab;
    const method = taking();
    card.hidden = !method || typeof session.sensitivity !== 'function';
    if (card.hidden) return;
    title.textContent = t('lab.map');
    note.textContent = t(map ? 'lab.map.how' : 'lab.map.empty');
    button.textContent = t(map ? 'lab.map.again' : 'lab.map.draw');
    button.disabled = Boolean(busy);
    total.hidden = !map;
    if (!map) {
      grid.replaceChildren();
      return chosen.replaceChildren();
    }
    const costs = map.tensors.map(one => costOf(one, formatOf(one, method)[0]));
    const mixed = map.tensors.some(one => formatOf(one, method)[0] === 'mix');
    const kl = figure(costs.reduce((sum, cost) => sum + cost, 0));
    total.textContent = t(mixed ? 'lab.map.mixed' : 'lab.map.total', {kl, n: number(map.tensors.length)});
    const drawn = table(map, method);
    rove(drawn);
    redraw(grid, drawn);
    const one = map.tensors.find(({name}) => name === tensor);
    redraw(chosen, one ? choice(one, method) : null);
  };
  on(['language'], draw);
  onLab(['session', 'map', 'tensor', 'recipe', 'busy'], draw);
  return card;
}
