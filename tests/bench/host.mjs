// The server of tests/page, and beside dist/ and models/ what the engines need: a blank page, any file, the peers.
import {createReadStream} from 'node:fs';
import {readFile, stat} from 'node:fs/promises';
import {extname, join, relative} from 'node:path';
import {COUNTER} from './count.mjs';
import {ROOT, serve} from '../page/server.mjs';

export {ROOT};
export const PEERS = join(ROOT, 'target/peers');
const ENGINE = join(ROOT, 'dist/worker/engine.js');

// Isolated, as every page of ours: without these headers there are no threads.
const HEADERS = {'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp'};
const TYPES = {
  '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm', '.html': 'text/html; charset=utf-8',
};
// No application's script, style or picture: memory and time are the engine's alone.
const blank = script => `<!doctype html><html lang="en"><title>bench</title><body>${script}</body></html>`;

/**
 * Serves GGUF files from anywhere: `model(path)` is a file's address, `peer(path)` that of a file beside the peers. `blank` is
 * that of an empty page. With `counting`, that page and the worker of our engine count what they ask of WebGPU.
 */
export async function host(models) {
  const server = await serve();
  server.blank = `${server.url}bench`;
  server.model = path => `${server.url}bench/${models.indexOf(path)}.gguf`;
  server.peer = path => `${server.url}peers/${relative(PEERS, path)}`;
  server.counting = false;
  server.intercept = async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, server.url).pathname);
    const text = (type, text) => response.writeHead(200, {...HEADERS, 'Content-Type': TYPES[type]}).end(text);
    if (path === '/bench') return text('.html', blank(server.counting ? `<script>${COUNTER}</script>` : ''));
    if (server.counting && path === '/worker/engine.js') return text('.js', COUNTER + await readFile(ENGINE, 'utf8'));
    const model = /^\/bench\/(\d+)\.gguf$/.exec(path);
    const file = model ? models[model[1]] : path.startsWith('/peers/') && join(PEERS, path.slice('/peers/'.length));
    return file && send(file, request, response);
  };
  return server;
}

async function send(file, request, response) {
  const {size} = await stat(file);
  const type = TYPES[extname(file)] ?? 'application/octet-stream';
  const [, start, end] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const first = Number(start ?? 0);
  const last = end ? Math.min(Number(end), size - 1) : size - 1;
  if (start) response.setHeader('Content-Range', `bytes ${first}-${last}/${size}`);
  response.writeHead(start ? 206 : 200, {
    ...HEADERS, 'Content-Type': type, 'Content-Length': last - first + 1, ETag: `"${size}"`,
  });
  if (request.method === 'HEAD') return response.end();
  return createReadStream(file, {start: first, end: last}).pipe(response);
}
