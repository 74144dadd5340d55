// Undo and redo: what was, what is, and what had been. Every change is a new object.

const MOST = 200;

export const begin = now => ({past: [], now, future: []});

export const edit = ({past, now}, next) => ({past: [...past, now].slice(-MOST), now: next, future: []});

export const undo = ({past, now, future}) =>
  past.length > 0 ? {past: past.slice(0, -1), now: past.at(-1), future: [now, ...future]} : {past, now, future};

export const redo = ({past, now, future}) =>
  future.length > 0 ? {past: [...past, now], now: future[0], future: future.slice(1)} : {past, now, future};
