// A run to take along: as JSON, and as a page that needs nothing else. Neither has any of the texts.
import {t} from '../i18n.js';
import {facts} from './facts.js';
import {failed, noGates} from './quality.js';

/** How a run was measured and what came out, for programs. */
export function reportJson(run) {
  const {id: _, base_speed: __, speed, quality, ...rest} = run;
  const {gates} = run.recipe;
  const {hash: ___, ...test} = run.test;
  const {prompt: ____, decode: _____, ...timing} = speed ?? {};
  const missed = failed(quality, gates);
  return JSON.stringify({
    format: 'hearth-lab-report', version: 1, ...rest, test, seed: {bootstrap: 0},
    verdict: noGates(quality, gates) ? 'no gates' : missed.length > 0 ? `fails ${missed.join(', ')}` : 'verified',
    kl_percentiles: quality.kl_percentiles, timing: speed && timing, work: undefined, sizes: undefined, requests: undefined,
    ms: undefined, peak_memory_bytes: undefined, facts: facts(run),
  }, null, 2);
}

const escaped = text => String(text).replace(/[&<>"]/g, sign => `&#${sign.charCodeAt(0)};`);

const STYLE = `
:root { color-scheme: light dark; --paper: #faf7f2; --card: #fffdfa; --ink: #221d18; --soft: #6d6257; --line: #e9e1d6;
  --ember: #c2491d; --ember-2: #e8823a; }
@media (prefers-color-scheme: dark) { :root { --paper: #16130f; --card: #1e1a15; --ink: #efe7db; --soft: #b0a394; --line: #332c24;
  --ember: #f08a4b; --ember-2: #ffb27a; } }
body { background: var(--paper); color: var(--ink); max-width: 800px; margin: 40px auto; padding: 0 16px;
  font: 16px/1.6 system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; }
h1 { font-size: 26px; } h2 { font-size: 16px; margin-top: 32px; } .soft { color: var(--soft); }
svg { max-width: 100%; height: auto; fill: currentColor; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 12px 6px 0; text-align: right; font-weight: 400; border-bottom: 1px solid var(--line); }
th:first-child { text-align: left; } thead th { color: var(--soft); } .scroll { overflow-x: auto; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; }`;

const table = (heads, rows) => {
  const all = (cells, start, end) => cells.map(cell => `${start}${escaped(cell)}${end}`).join('');
  const row = ([first, ...rest]) => `<tr><th scope="row">${escaped(first)}</th>${all(rest, '<td>', '</td>')}</tr>`;
  return `<div class="scroll"><table><thead><tr>${all(heads, '<th scope="col">', '</th>')}</tr></thead>
<tbody>${rows.map(row).join('\n')}</tbody></table></div>`;
};

/**
 * A page. `about`: rows of [name, value] about model and measurement; `measured`: rows of [fact, value, interval, unit,
 * source]; `all`: heads and rows of the runs beside it; `plot`: their picture, SVG; `verdict`: a sentence.
 */
export function reportHtml({title, language, verdict, about, measured, recipe, all, plot}) {
  return `<!doctype html>
<html lang="${language}"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title><style>${STYLE}</style>
<h1>${escaped(title)}</h1>
<p>${escaped(verdict)}</p>
${table([t('lab.report.about'), ''], about)}
<h2>${escaped(t('lab.report.measured'))}</h2>
${table(['fact', 'value', 'interval', 'unit', 'source'].map(head => t(`lab.head.${head}`)), measured)}
<h2>${escaped(t('lab.recipe'))}</h2>
<pre>${escaped(JSON.stringify(recipe, null, 2))}</pre>
<h2>${escaped(t('lab.report.beside'))}</h2>
${plot}
${table(all.heads, all.rows)}
<p class="soft">${escaped(t('lab.report.note'))}</p>
</html>
`;
}
