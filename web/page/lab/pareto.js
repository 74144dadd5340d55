// What smaller costs: which runs nothing else beats in both respects. A run dominates another if it is at least as good in
// each (small, or fast; near the original) and better in one.

import {distance} from './quality.js';

/** What the horizontal axis can be: what it is of a run, in its unit, and whether more of it is better. */
export const AXES = {
  file: {of: ({sizes}) => sizes.file_bytes / 1e6, unit: 'MB'},
  resident: {of: ({sizes}) => sizes.resident_bytes && sizes.resident_bytes / 1e6, unit: 'MB'},
  work: {of: ({work}) => work && work.macs_per_token / 1e6, unit: 'MMAC'},
  speed: {of: ({speed}) => speed?.decode.median, unit: 'tok/s', more: true},
};

/** Points of runs that have a place on an axis: `[{run, x, y, low, high, by}]`, `by` the run that dominates it, or null. */
export function points(runs, axis) {
  const {of, more} = AXES[axis];
  const place = run => {
    const {value: y, low, high} = distance(run.quality);
    return {run, x: of(run), y, low, high};
  };
  const placed = runs.map(place).filter(({x, y}) => Number.isFinite(x) && Number.isFinite(y));
  const better = (one, other) => more ? one > other : one < other;
  const beats = (one, other) =>
    !better(other.x, one.x) && one.y <= other.y && (better(one.x, other.x) || one.y < other.y);
  return placed.map(point => {
    const above = placed.filter(other => beats(other, point));
    // The one nearest to the original says it best.
    const by = above.reduce((best, other) => best && best.y <= other.y ? best : other, null);
    return {...point, by: by?.run ?? null};
  });
}

/** The points that nothing dominates, from left to right. */
export const front = points => points.filter(({by}) => !by).sort((a, b) => a.x - b.x);
