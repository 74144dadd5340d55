// Serves dist/ as a static host would, with Trunk's headers, and lets a test get in the way of single requests.
import {createServer} from 'node:http';
import {open, stat} from 'node:fs/promises';
import {pipeline} from 'node:stream';
import {extname, join, normalize} from 'node:path';
import {fileURLToPath} from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json',
  '.wasm': 'application/wasm', '.svg': 'image/svg+xml', '.webmanifest': 'application/manifest+json',
};

/**
 * `intercept(request, response)`: true if it dealt with the request. Returns `{url, requests, intercept, close}`;
 * `requests` lists the path of every request so far.
 */
export async function serve(port = 0) {
  const host = {requests: [], intercept: undefined};
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://host').pathname);
    host.requests.push(request.url);
    if (await host.intercept?.(request, response)) return;
    const file = join(ROOT, path.startsWith('/files/') ? 'models' : 'dist', normalize(path.replace(/\/$/, '/index.html')));
    try {
      await send(file, request, response);
    } catch {
      response.writeHead(404, {'Content-Type': 'text/plain'}).end('not found');
    }
  });
  await new Promise(resolve => server.listen(port, '127.0.0.1', resolve));
  host.url = `http://127.0.0.1:${server.address().port}/`;
  host.close = () => new Promise(resolve => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return host;
}

async function send(file, request, response) {
  const {size} = await stat(file);
  const headers = {
    'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Embedder-Policy': 'require-corp',
    ETag: `"${size}"`,
  };
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const start = range ? Number(range[1]) : 0;
  const end = range && range[2] ? Math.min(Number(range[2]), size - 1) : size - 1;
  if (start > end) return response.writeHead(416, headers).end();
  if (range) headers['Content-Range'] = `bytes ${start}-${end}/${size}`;
  response.writeHead(range ? 206 : 200, {...headers, 'Content-Length': end - start + 1});
  const handle = await open(file);
  pipeline(handle.createReadStream({start, end}), response, () => {}); // a client that leaves closes the file, too
}
