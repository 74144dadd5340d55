// What the engines read: plain English, in another order each time, so that nothing read before can be used again.
const TEXT = `
The old mill stood at the bend of the river, where the water ran fast even in a dry summer.
Every morning the miller opened the gate, and the great wheel began to turn with a long groan.
Farmers came from three valleys to have their wheat and barley ground between its heavy stones.
Nobody remembered who had built the place, but a date above the door said sixteen hundred and twelve.
Children liked to sit on the wall and throw small sticks into the foam below the dam.
In winter the pond froze over, and the whole village met there with lanterns and hot cider.
A narrow path led from the yard to the forest, past an orchard of crooked apple trees.
Some people said that a spring under the hill fed the stream, and that it had never once failed.
When the railway came, most of the grain went to the city, where steam did the same work faster.
Still, the bakers of the valley swore that slow stones made better flour than quick ones.
Two engineers visited in the spring and measured the flow with a float, a rope and a watch.
They wrote down that the river could light four hundred lamps if a turbine took the place of the wheel.
That idea was discussed for a whole year, in the church, in the inn and at every market.
At last the council voted for it, by nine votes against eight, on a rainy evening in October.
Workers lifted the wheel out with ropes and laid it in the meadow, where it slowly turned grey.
Copper wires soon ran from pole to pole, and the first lamp was lit in the school.
Teachers used the longer evenings to give lessons to grown men who had never learned to read.
Before long the doctor had a lamp as well, and after her the blacksmith and the post office.
Not everyone was pleased, because the hum of the machine could be heard as far as the bridge.
Fishermen complained that the trout had left, though others claimed to catch more than ever.
Years later a flood carried away the dam, and for a month the valley was dark again.
Candles were found in drawers, songs were sung by the fire, and a few said it was better so.
Then the dam was rebuilt in concrete, twice as high, with steps at one side for the fish.
Grandparents told the story so often that the young could repeat it word for word.
Today the mill is a small museum with a shop, a map of the valley and a model of the wheel.
Visitors can turn a handle to see how the gears moved the stones, one tooth after another.
On the upper floor there is a room full of letters, bills and photographs in wooden frames.
One picture shows the miller with his dog, both of them white with flour from head to foot.
Another shows the two engineers, laughing, with their boots deep in the mud of the bank.
Researchers come now and then to study the books, which list every sack for eighty years.
From those numbers they learn about prices, harvests, storms and the slow change of the seasons.
Last summer a class of pupils built a new wheel out of oak, as an exercise in geometry.
It took them eleven weeks, and on the final day it turned for the first time to loud applause.
Perhaps it will grind some wheat again, if somebody can be found who knows how to dress a stone.
Until then the water passes under the bridge as it always has, a little brown after rain.
Swallows nest beneath the roof, and in the evening they hunt low over the surface of the pond.
`;

const SENTENCES = TEXT.trim().split('\n');

/**
 * A prompt of exactly `count` tokens, its sentences turned round by `turn`: no two in a row begin alike. `tokenize`
 * gives the tokens of a text. It is a text, since wllama takes no tokens; what is less than the next word is filled up.
 */
export async function prompt(tokenize, turn, count) {
  const from = turn % SENTENCES.length;
  const once = [...SENTENCES.slice(from), ...SENTENCES.slice(0, from)].join(' ').split(' ');
  // A token is a word or less.
  const words = Array.from({length: Math.ceil(count / once.length)}, () => once).flat();
  const size = async text => (await tokenize(text)).length;
  let [low, high] = [0, words.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (await size(words.slice(0, middle).join(' ')) <= count) low = middle;
    else high = middle - 1;
  }
  let text = words.slice(0, low).join(' ');
  for (const filler of [' and', ' a', '.']) {
    while (await size(text + filler) <= count) text += filler;
  }
  if (await size(text) !== count) throw new Error(`no prompt of ${count} tokens`);
  return text;
}
