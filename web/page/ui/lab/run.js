// How the result is measured, what it must reach, and the run itself: what it does, how long it takes, how to stop it.
import {h} from '../../dom.js';
import {duration, has, megabytes, number, t} from '../../i18n.js';
import {change, run as begin, search, stop} from '../../lab/actions.js';
import {gate, toRecipe} from '../../lab/recipe.js';
import {searchable} from '../../lab/search.js';
import {contextOf, lab, on as onLab, set} from '../../lab/state.js';
import {on} from '../../store.js';
import {protocolDoes, protocolName, whatName} from './words.js';

const put = more => set({check: {...lab.check, ...more}});

function numberField(id, key, {min, max, step, read, write}) {
  const label = h('label', {for: id});
  const input = h('input', {type: 'number', id, min, max, step, onchange: () => {
    const value = Number(input.value);
    write(input.value === '' || !Number.isFinite(value) ? null : Math.min(max, Math.max(min, value)));
    show();
  }});
  const show = () => { input.value = read() ?? ''; };
  on(['language'], () => {
    label.textContent = t(key);
    input.setAttribute('placeholder', t('lab.check.nogate'));
  });
  onLab(['check', 'session', 'recipe'], show);
  return h('div', {class: 'option'}, label, input);
}

/** What happens, how far it is and how long it will take, in a line. */
function line({kind, what, done, of, since, left_ms, peak_memory_bytes, requests}) {
  const amount = what === 'download' || what === 'load' ? t('download.amount', {loaded: megabytes(done), total: megabytes(of)})
    : t('lab.job.of', {done: number(done), of: number(of)});
  return [
    kind !== 'open' && t('lab.job.time', {time: duration((performance.now() - since) / 1000)}), of > 0 && amount,
    left_ms !== undefined && t('lab.job.left', {time: duration(left_ms / 1000)}),
    peak_memory_bytes && t('lab.job.peak', {n: megabytes(peak_memory_bytes)}),
    kind !== 'open' && t('lab.job.requests', {n: requests}),
  ].filter(Boolean).join(' · ');
}

/** Shows itself while something is under way; made once, so that Stop stays under the finger. */
export function progress() {
  const what = h('b');
  const facts = h('span', {class: 'small', id: 'lab-facts'});
  const bar = h('progress', {max: 1, id: 'lab-progress'});
  const end = h('button', {class: 'quiet', id: 'lab-stop', onclick: stop});
  const card = h('div', {class: 'card job', role: 'group'}, h('div', {class: 'card-head'}, what, end), bar, facts);
  const draw = () => {
    const {job} = lab;
    card.hidden = !job;
    if (!job) return;
    card.setAttribute('aria-label', t(`lab.job.${job.kind}`));
    what.textContent = [t(`lab.job.${job.kind}`), whatName(job.what)].join(': ');
    end.textContent = t('lab.stop');
    bar.setAttribute('aria-label', what.textContent);
    if (job.of > 0) bar.value = job.done / job.of;
    else bar.removeAttribute('value');
    facts.textContent = line(job);
  };
  on(['language'], draw);
  onLab(['job'], draw);
  // On a phone it may be far from what started it.
  onLab(['busy'], () => {
    if (lab.busy) card.scrollIntoView({block: 'nearest'});
  });
  // The clock goes on while nothing else is told.
  setInterval(() => { if (lab.job && !card.closest('[hidden]')) draw(); }, 1000);
  return card;
}

/** What went wrong in the lab. */
export function trouble() {
  const box = h('div', {role: 'alert', id: 'lab-error'});
  const draw = () => {
    const {error} = lab;
    if (!error) return box.replaceChildren();
    const key = [`lab.error.${error.code}`, `error.${error.code}`].find(has) ?? 'error.title';
    box.replaceChildren(h('div', {class: 'notice'},
      h('div', {}, h('strong', {}, t(key)), h('p', {class: 'detail', lang: error.own ? false : 'en'}, error.message)),
      h('button', {class: 'quiet', onclick: () => set({error: null})}, t('error.dismiss'))));
  };
  on(['language'], draw);
  onLab(['error'], () => {
    draw();
    if (lab.error) box.scrollIntoView?.({block: 'nearest'});
  });
  return box;
}

export function run() {
  const title = h('h2');
  const summary = h('summary');
  const label = h('label', {for: 'lab-protocol'});
  const protocol = h('select', {id: 'lab-protocol', onchange: () => put({protocol: protocol.value})});
  const speed = h('input', {type: 'checkbox', id: 'lab-speed', onchange: () => put({speed: speed.checked})});
  const speedLabel = h('label', {for: 'lab-speed'});
  const note = h('p', {class: 'small'});
  const button = h('button', {class: 'main wide-button', id: 'lab-run', onclick: () => lab.busy ? stop() : begin()});
  const limit = (name, scale = 1) => numberField(`lab-gate-${name}`, `lab.check.${name}`, {
    min: 0, max: 100, step: 'any',
    read: () => name in lab.recipe.gates ? Number((lab.recipe.gates[name] * scale).toFixed(6)) : null,
    write: value => change(gate(lab.recipe, name, value === null ? undefined : value / scale)),
  });
  const count = (name, min, max) => numberField(`lab-check-${name}`, `lab.check.${name}`, {
    min, max, step: 1, read: () => name === 'context' ? contextOf(lab) : lab.check[name],
    write: value => value !== null && put({[name]: Math.round(value)}),
  });
  const limits = h('div', {}, limit('kl'), limit('same_top', 100), limit('perplexity_ratio'));
  const card = h('section', {class: 'card'}, title, limits,
    h('details', {}, summary,
      h('div', {class: 'option'}, label, protocol), count('context', 8, 1 << 16), count('tokens', 16, 1 << 20),
      h('div', {class: 'option'}, speedLabel, speed)),
    note);
  const find = h('button', {class: 'quiet', id: 'lab-search', onclick: search});
  const bar = h('div', {class: 'run-bar'}, button, find);
  const draw = () => {
    const {session, check, busy, recipe} = lab;
    const running = busy === 'run' || busy === 'search';
    card.hidden = bar.hidden = !session;
    if (!session) return;
    protocol.replaceChildren(...session.protocols.map(one =>
      h('option', {value: one.name, title: protocolDoes(one), selected: one.name === check.protocol}, protocolName(one))));
    limits.hidden = session.info.encoder;
    title.textContent = t('lab.check');
    summary.textContent = t('lab.check.more', {
      protocol: protocolName({name: check.protocol}), context: number(contextOf(lab)), tokens: number(check.tokens),
    });
    label.textContent = t('lab.check.protocol');
    speedLabel.textContent = t('lab.check.speed');
    speed.checked = check.speed;
    note.textContent = t('lab.run.note');
    find.textContent = t('lab.search');
    find.hidden = Boolean(busy) || session.info.encoder || !searchable(toRecipe(recipe));
    button.textContent = t(running ? 'lab.stop' : 'lab.run');
    button.disabled = busy ? !running : !recipe.steps.some(({on}) => on);
  };
  on(['language'], draw);
  onLab(['session', 'check', 'recipe', 'busy'], draw);
  return [card, bar];
}
