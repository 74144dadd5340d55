// The smallest model that is still good enough: a recipe's mix of formats with fewer and fewer bits, by halving what lies between
// what failed and what passed.
import {failed} from './quality.js';

/** Bits of a number in the coarsest and in the finest format of a mix. */
const [FEWEST, MOST] = [4.5, 8.5];

/** How near is near enough, in bits. */
const NEAR = 0.15;

const isMix = ({format}) => format === 'mix';

/** Whether there is anything to look for: gates, and a mix whose bits can be fewer. */
export const searchable = ({gates = {}, steps}) => Object.keys(gates).length > 0 && steps.some(isMix);

/** Gives recipes to try, takes the runs they made, and returns the one of the fewest bits that passed, or null. */
export function* fewestBits(recipe) {
  let [low, high, best] = [FEWEST, MOST, null];
  let bits = (low + high) / 2;
  while (high - low > NEAR) {
    const steps = recipe.steps.map(step => isMix(step) ? {...step, bits: Number(bits.toFixed(3))} : step);
    const run = yield {...recipe, steps};
    if (failed(run.quality, recipe.gates).length > 0) low = bits;
    else [best, high] = [run, bits];
    bits = (low + high) / 2;
  }
  return best;
}
