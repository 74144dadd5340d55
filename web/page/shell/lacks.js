// What this browser, or the way the page came, lacks of what Hearth can use. Each has two texts: `lacks.NAME`, and `lacks.NAME.so`, which
// tells what that costs and what to do.
import {offered} from '../../worker/start.js';

/** What is there, as far as it is known yet; `state` is the page's. */
export function found({verdict, stored, keeps, room: {quota, persisted}}) {
  return {
    ...offered(),
    secure: isSecureContext,
    webgpu: 'gpu' in navigator,
    adapter: verdict?.why !== 'no_adapter',
    storage: keeps,
    // Browsers promise nothing before there is something to keep.
    promise: persisted || quota === 0 || stored.length === 0,
    keeper: 'serviceWorker' in navigator,
    locks: 'locks' in navigator,
  };
}

/** The names of what is lacking, the costliest first. Without https most is withheld, and https is all it takes. */
export function lacking({secure, isolated, shared, relaxed, webgpu, adapter, storage, promise, keeper, locks}) {
  const has = {
    secure,
    isolated: isolated || !secure,
    shared: shared || !isolated,
    webgpu: webgpu || !secure,
    adapter: adapter || !webgpu,
    storage,
    promise: promise || !storage || !secure,
    keeper: keeper || !secure,
    relaxed,
    locks: locks || !secure,
  };
  return Object.keys(has).filter(name => !has[name]);
}
