// How much of the network a download may use: what the person chose, and what came today.
import {set, state} from './store.js';

const STEP = 1e6;

const today = () => new Date().toLocaleDateString('sv');

/** Bytes of models received today. */
export const receivedToday = () => (state.traffic.day === today() ? state.traffic.bytes : 0);

/** For `hearth.load`. */
export function network() {
  const {one, cap_mb, hub} = state.network;
  const budget_bytes = cap_mb === '' ? undefined : Math.max(0, Math.round(Number(cap_mb) * 1e6) - receivedToday());
  return {connections: one ? 1 : 4, hub: hub || undefined, budget_bytes};
}

/** Counts what a download receives: `count(received)` with each progress, `end()` at last. */
export function counter() {
  let [counted, received] = [0, 0];
  const keep = () => {
    set({traffic: {day: today(), bytes: receivedToday() + received - counted}});
    counted = received;
  };
  return {
    count(now = 0) {
      received = Math.max(received, now);
      if (received - counted >= STEP) keep();
    },
    end() {
      if (received > counted) keep();
    },
  };
}
