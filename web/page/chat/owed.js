// What is to be kept and is not in the archive yet, by store and id: what is just being written, and what could not be. It is read
// like what is there, and written with whatever is kept next.

export const STORES = ['conversations', 'turns', 'tokens'];

const owed = Object.fromEntries(STORES.map(name => [name, new Map()]));

/** Notes records that are to be kept, `{store: [record]}`. */
export function owe(put) {
  for (const name of STORES) for (const record of put[name] ?? []) owed[name].set(record.id, record);
}

/** Whether anything is not kept yet. */
export const owing = () => STORES.some(name => owed[name].size > 0);

/** Gives up what is not kept yet. */
export const forgive = () => STORES.forEach(name => owed[name].clear());

/** An archive that knows what is owed to it; `settle` writes that. */
export function withOwed(archive) {
  // What was read first has all that was being written then and is no longer owed.
  const joined = (name, records, fits = () => true) =>
    [...new Map([...records, ...[...owed[name].values()].filter(fits)].map(record => [record.id, record])).values()];
  return {
    ...archive,
    get: async (name, id) => owed[name].get(id) ?? archive.get(name, id),
    all: async name => joined(name, await archive.all(name)),
    of: async (name, id) => joined(name, await archive.of(name, id), ({conversation}) => conversation === id),
    write({put, remove = {}}) {
      for (const name of STORES) for (const id of remove[name] ?? []) owed[name].delete(id);
      return archive.write({put, remove});
    },
    async settle() {
      const put = Object.fromEntries(STORES.map(name => [name, [...owed[name].values()]]));
      await archive.write({put});
      // What was changed meanwhile still is.
      for (const name of STORES) for (const record of put[name]) if (owed[name].get(record.id) === record) owed[name].delete(record.id);
    },
  };
}
