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

/** The gates that a quality does not pass, by name. Gates are `{kl, same_top}`; null: none. Encoders have none. */
export function failed(quality, {kl, same_top}) {
  if (ofVectors(quality)) return [];
  return [
    kl !== null && !(quality.kl.value <= kl) && 'kl',
    same_top !== null && !(quality.same_top.value >= same_top) && 'same_top',
  ].filter(Boolean);
}

export const noGates = (quality, {kl, same_top}) => ofVectors(quality) || (kl === null && same_top === null);
