// What the lab's presets take in the tab: seconds and peak memory on the default model, with what comes of it.
//
//   node tests/bench/lab.mjs [PRESET...]     after `trunk build --release` and `npm install --prefix tests/page`
import {readFileSync} from 'node:fs';
import {FOREVER, inBrowser, SMOLLM2} from '../page/browser.mjs';
import {ROOT} from '../page/server.mjs';

const [text, test] = ['calibration', 'test'].map(use => readFileSync(`${ROOT}web/texts/en-${use}.txt`, 'utf8'));
const names = process.argv.length > 2 ? process.argv.slice(2) : ['article'];

for (const name of names) {
  await inBrowser(async ({page}) => console.log(await page.evaluate(async ([model, name, text, test]) => {
    const {Hearth} = await import('/hearth.js');
    const lab = await (await Hearth.open()).lab(model);
    const {recipe} = lab.presets.find(preset => preset.name === name);
    const timed = async task => {
      const start = performance.now();
      return [await task(), Number(((performance.now() - start) / 1000).toFixed(1))];
    };
    const [made, compress_s] = await timed(() => lab.compress(recipe, {text}));
    const [{kl, same_top}, evaluate_s] = await timed(() => lab.evaluate(made.file, {text: test, calibration: text, tokens: 4096}));
    const [, map_s] = await timed(() => lab.sensitivity({text}));
    return {name, compress_s, evaluate_s, map_s, peak_mb: made.peak_memory_bytes / 1e6, mb: made.file.size / 1e6, kl, same_top};
  }, [SMOLLM2, name, text, test])), {most: FOREVER});
}
