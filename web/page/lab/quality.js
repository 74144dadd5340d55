// How far a model is from its original, as the lab tells it: of decoders the divergence of what they predict, of encoders how
// their vectors have turned. Both are nothing for the original itself.

/** Whether a quality is that of an encoder. */
export const ofVectors = quality => quality.cosine !== undefined;

/** The distance as a figure, `{value, low, high}`: KL in nats a token, or 1 − cosine. */
export function distance(quality) {
  if (!ofVectors(quality)) return quality.kl;
  const {value, low, high} = quality.cosine;
  return {value: 1 - value, low: 1 - high, high: 1 - low};
}

/** On how many places, or texts, it was measured. */
export const places = quality => quality.positions ?? quality.texts;

/** What a recipe's gates ask for, and whether a value of theirs is good enough. */
const GATES = {
  kl: (found, most) => found <= most,
  same_top: (found, least) => found >= least,
  perplexity_ratio: (found, most) => found <= most,
};

/** The gates that a quality does not pass, by name: what is no number passes nowhere. Encoders have none. */
export function failed(quality, gates = {}) {
  if (ofVectors(quality)) return [];
  return Object.keys(GATES).filter(name => gates[name] !== undefined && !GATES[name](quality[name].value, gates[name]));
}

export const noGates = (quality, gates = {}) => ofVectors(quality) || Object.keys(gates).length === 0;
