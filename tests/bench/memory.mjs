// What processes hold, as Linux tells it; elsewhere there is nothing to tell.
import {readdirSync, readFileSync, writeFileSync} from 'node:fs';

const read = path => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // ended meanwhile, or not Linux
  }
};

/** The processes with `type` in their command line that descend from the one started with `argument`. */
export function processes(argument, type) {
  const all = process.platform === 'linux' ? readdirSync('/proc').filter(name => /^\d+$/.test(name)) : [];
  const commands = new Map(all.map(id => [id, read(`/proc/${id}/cmdline`)]));
  const parents = new Map(all.map(id => [id, /^PPid:\s*(\d+)/m.exec(read(`/proc/${id}/status`))?.[1]]));
  const descends = id => commands.has(id) && (commands.get(id).includes(argument) || descends(parents.get(id)));
  return all.filter(id => commands.get(id).includes(type) && descends(id));
}

/** Sends a process a signal, if it is still there. */
export function signal(id, name) {
  try {
    process.kill(id, name);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** The most memory that a process had resident, in bytes: since its start or since somebody set the mark back. */
function peak(id) {
  const kilobytes = /^VmHWM:\s*(\d+)/m.exec(read(`/proc/${id}/status`))?.[1];
  return kilobytes === undefined ? undefined : kilobytes * 1024;
}

/** Sets the mark back to what is resident now. */
function restart(id) {
  try {
    writeFileSync(`/proc/${id}/clear_refs`, '5');
  } catch {
    // Ended, not Linux, or not ours: then the mark keeps what was before.
  }
}

/** Follows processes; `growth()`: how far the one that grew most was above its start, since this was last asked. */
export function watch(ids) {
  const before = new Map(ids.map(id => [id, peak(id) ?? 0]));
  let most;
  // Again and again, because Chromium sets the marks back now and then.
  const look = () => {
    for (const [id, bytes] of before) most = Math.max(most ?? 0, (peak(id) ?? 0) - bytes);
  };
  const timer = setInterval(look, 1000);
  return {
    growth() {
      look();
      const growth = most;
      most = undefined;
      ids.forEach(restart);
      return growth;
    },
    stop: () => clearInterval(timer),
  };
}
