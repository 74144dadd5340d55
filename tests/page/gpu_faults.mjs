// Faults of a graphics adapter, for tests: lines in front of the engine's worker that get in the way of WebGPU's own calls.
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {ROOT} from './server.mjs';

/** The engine's workers that `host` serves begin with `fault`; in a browser with {serviceWorkers: 'block'}. */
export function inFrontOfEngine(host, fault) {
  host.intercept = async (request, response) => {
    if (!request.url.endsWith('/worker/engine.js')) return false;
    response.writeHead(200, {'Content-Type': 'text/javascript'});
    response.end(`{${fault}}\n` + await readFile(join(ROOT, 'dist/worker/engine.js'), 'utf8'));
    return true;
  };
}

/** At the `count`-th call of a queue's `method` this befalls `device`. */
export const atCall = (method, count, befall) => `
  let left = ${count};
  const request = GPUAdapter.prototype.requestDevice;
  let device;
  GPUAdapter.prototype.requestDevice = async function (...all) { return device = await request.apply(this, all); };
  const {${method}} = GPUQueue.prototype;
  GPUQueue.prototype.${method} = function (...all) {
    if (--left === 0) ${befall};
    return ${method}.apply(this, all);
  };`;

/** The device is lost at the `count`-th call of a queue's `method`. */
export const lostAt = (method, count) => atCall(method, count, 'device.destroy()');
