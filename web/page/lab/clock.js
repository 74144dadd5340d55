// Time of a job: how long it runs, and how long its present part will.

/** A clock that is told of progress, `{what, done, of}`, and tells `{what, done, of, since, left_ms, peak_memory_bytes}`. */
export function clock(now = () => performance.now()) {
  const since = now();
  let part = {};
  let peak_memory_bytes;
  return ({what, done = 0, of = 0, peak_memory_bytes: peak}) => {
    // Its word may alternate, layer by layer; what counts otherwise or begins anew is another part.
    if (of !== part.of || done < part.done) part = {of, from: now(), first: done};
    part.done = done;
    if (peak) peak_memory_bytes = Math.max(peak_memory_bytes ?? 0, peak);
    const made = done - part.first;
    const spent = now() - part.from;
    return {what, done, of, since, peak_memory_bytes, left_ms: made > 0 && of > done ? spent / made * (of - done) : undefined};
  };
}
