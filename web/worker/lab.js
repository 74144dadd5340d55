// The worker of the compression lab, behind the same wall as the engine's: the base and the texts come by message, and models
// leave by message, a piece at a time. Calls take the thread until they are done, and tell of their progress on the way; whoever
// wants one stopped ends this worker.
let lab, intake;
const models = {};

const TELL_MS = 50;

function forget(which) {
  models[which]?.free();
  delete models[which];
}

const peak = () => wasm_bindgen.memory_bytes();

// What posts progress, {what, done, of, peak_memory_bytes}, as often as people can see.
function telling(post) {
  let told, last;
  return progress => {
    const now = performance.now();
    if (progress.what === last && now - told < TELL_MS) return;
    [told, last] = [now, progress.what];
    post({progress: {...progress, peak_memory_bytes: peak()}});
  };
}

// Posts a file in pieces, {piece}; gives what `tell` says of it.
function written(made, tell, post) {
  try {
    made.write(({buffer}) => post({piece: buffer}, [buffer]));
    return {...tell(made), peak_memory_bytes: peak()};
  } finally {
    made.free();
  }
}

serve({
  ...walled,

  // Gives what there is to choose from, {methods, presets, protocols}.
  begin({threads}) {
    const {Lab} = wasm_bindgen;
    lab = new Lab(threads);
    return {methods: Lab.methods(), presets: Lab.presets(), protocols: Lab.protocols()};
  },

  // The files of a model are to come: the 'base', or the 'other' that is to be compared with it.
  take({which, files}) {
    forget(which);
    intake = new wasm_bindgen.Intake(files);
  },

  // Which bytes of which file to push next: {file, offset, bytes}, or null.
  wants() {
    return intake.wants();
  },

  push({bytes}) {
    intake.push(new Uint8Array(bytes));
  },

  finish({which}) {
    const whole = intake;
    intake = undefined;
    models[which] = whole.finish();
    return {info: models[which].info(), peak_memory_bytes: peak()};
  },

  count({text}) {
    return models.base.count(text);
  },

  compress({recipe, text, imatrix}, post) {
    forget('other'); // its memory is needed
    const known = imatrix && new Uint8Array(imatrix);
    return written(lab.compress(models.base, recipe, text, known, telling(post)), made => ({recipe: made.recipe(), info: made.info()}), post);
  },

  imatrix({name, text, calibration}, post) {
    return lab.imatrix(models.base, name, text, calibration, telling(post));
  },

  // For the other.
  adapter({which, text, calibration, rank}, post) {
    return written(lab.adapter(models.base, models[which], text, calibration, rank, telling(post)), () => ({}), post);
  },

  merge({adapter, format}, post) {
    forget('other'); // its memory is needed
    return written(lab.merge(models.base, new Uint8Array(adapter), format), made => ({info: made.info()}), post);
  },

  // Compares the other, or the base itself, with the base.
  evaluate({which, text, calibration, test}, post) {
    return lab.evaluate(models.base, models[which], text, calibration, test, telling(post));
  },

  sensitivity({text, formats}, post) {
    return lab.sensitivity(models.base, text, formats, telling(post));
  },

  work({which}) {
    return models[which].work();
  },
});
