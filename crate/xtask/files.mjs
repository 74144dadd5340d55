// Lists the page's files for sw.js, once Trunk has put them together: dist/files.js has each one's SHA-256. What `trunk serve`
// shows changes at every keystroke, so there the list is empty and nothing is kept.
//
//   node crate/xtask/files.mjs [FOLDER]     by hand, after a change in `dist`
import {createHash} from 'node:crypto';
import {readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join, relative, sep} from 'node:path';
import {pathToFileURL} from 'node:url';

/**
 * Those that make the list, models, which the page keeps elsewhere, and what is for hosts (_headers, .htaccess) or nobody: hosts do
 * not serve it, and a list with one file that cannot be had is never kept.
 */
const OTHERS = /^(sw\.js|files\.js|models\/shards\/.*|(.*\/)?[._].*)$/;

/** The hash of every file of the page in `folder`, by its path. */
export function filesIn(folder) {
  const files = readdirSync(folder, {recursive: true, withFileTypes: true}).filter(entry => entry.isFile());
  const paths = files.map(entry => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'));
  const listed = paths.filter(path => !OTHERS.test(path)).sort();
  return Object.fromEntries(listed.map(path => [path, createHash('sha256').update(readFileSync(join(folder, path))).digest('hex')]));
}

function write(folder) {
  const page = join(folder, 'index.html');
  const html = readFileSync(page, 'utf8');
  const serving = html.includes('.well-known/trunk/ws');
  // Trunk's reloader is a script in the page, which the page's policy would refuse.
  if (serving) writeFileSync(page, html.replace(/'sha256-[^']+'/, "'unsafe-inline'"));
  writeFileSync(join(folder, 'files.js'), `self.FILES = ${JSON.stringify(serving ? {} : filesIn(folder), null, 1)};\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) write(process.argv[2] ?? process.env.TRUNK_STAGING_DIR ?? 'dist');
