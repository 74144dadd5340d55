// Conversations to look at, in both languages: an answer that has something of everything, and others for the list.
import {newId} from '../../web/page/chat/tree.js';

const ANSWERS = {
  en: `A lighthouse flashes for **two reasons**: a light that moves is noticed sooner, and its *rhythm* tells which one it is.

## How to tell them apart

1. Count the seconds from flash to flash
2. Look the number up
   - in the chart, as \`Fl(3) 10s\`
   - or in the [list of lights](https://example.org/lights)

| Lighthouse | Character | Period | Range |
|:--|:--|--:|--:|
| Ar-Men | Fl(3) W | 20 s | 23 nm |
| Créac’h | Fl(2) W | 10 s | 32 nm |
| La Jument | Fl(3) R | 15 s | 10 nm |

> A steady light could be a window, a star, or another ship.

\`\`\`python
def character(flashes, period):
    """As a chart has it."""
    return f"Fl({flashes}) {period}s"  # 2, 10 → Fl(2) 10s
\`\`\`

With a period $T$ the light turns at $\\omega = 2\\pi / T$, and what reaches an eye at distance $r$ is

$$E(r) = \\frac{I}{r^2}\\, e^{-\\sigma r}, \\qquad \\sigma = \\frac{\\ln 20}{V}.$$`,
  zh: `灯塔闪烁有**两个原因**：会动的光更容易被注意到；而它的*节奏*说明这是哪一座灯塔。

## 怎样分辨

1. 数一数两次闪光之间的秒数
2. 查一查这个数
   - 海图上写作 \`Fl(3) 10s\`
   - 或查[灯标表](https://example.org/lights)

| 灯塔 | 灯质 | 周期 | 射程 |
|:--|:--|--:|--:|
| 阿尔门 | Fl(3) W | 20 秒 | 23 海里 |
| 克雷阿克 | Fl(2) W | 10 秒 | 32 海里 |
| 朱芒 | Fl(3) R | 15 秒 | 10 海里 |

> 不动的光，可能是一扇窗、一颗星，或者另一艘船。

\`\`\`python
def character(flashes, period):
    """照海图的写法。"""
    return f"Fl({flashes}) {period}s"  # 2, 10 → Fl(2) 10s
\`\`\`

周期为 $T$ 时，灯以 $\\omega = 2\\pi / T$ 转动；距离 $r$ 处看到的照度是

$$E(r) = \\frac{I}{r^2}\\, e^{-\\sigma r}, \\qquad \\sigma = \\frac{\\ln 20}{V}.$$`,
};

const WORDS = {
  en: {
    question: 'Why do lighthouses flash instead of shining steadily? My notes are attached.', file: 'notes-from-the-lighthouse.txt',
    text: 'Day 1: fog.\nDay 2: fog.\nDay 3: a ship, and fog.', thoughts: 'They ask why. Two reasons come to mind: attention, and telling them apart.',
    other: 'Because a steady light could be anything.', next: 'Write that as a haiku.',
    haiku: 'Light counts out its name,\nten dark seconds, two of gold:\nthe shore has answered.', others: ['easier', 'visible', 'a', 'harder', 'clear'],
  },
  zh: {
    question: '灯塔为什么一闪一闪，而不是一直亮着？附上我的笔记。', file: '灯塔看守人的笔记.txt', text: '第一天：雾。\n第二天：雾。\n第三天：来了一艘船，还是雾。',
    thoughts: '对方问原因。想到两点：引人注意，以及便于分辨。', other: '因为一直亮着的光可能是任何东西。', next: '写成一首短诗。',
    haiku: '一闪一闪，报出自己的名字，\n十秒的黑，两秒的金：\n岸，应了一声。', others: ['更', '看', '一', '难', '清'],
  },
};

const TITLES = [
  'Sort a list in place', '晚饭吃什么', 'What the harbour master wrote in the margin of the tide table', '给奶奶写一封信，说说这个月家里都发生了些什么事',
  'Rust: borrow of moved value', '三个雨天消遣的主意',
];

const encoded = text => String.fromCharCode(...new TextEncoder().encode(text));

/** Tokens as the page keeps them, each as likely as its place says, and what else could have stood there. */
function tokens(text, others) {
  return text.match(/\s*[\p{L}\p{N}]{1,8}|\s*[^\p{L}\p{N}\s]|\s+/gu).map((word, i) => {
    const p = [0.97, 0.93, 0.72, 0.99, 0.41, 0.88, 0.12, 0.95][i * 5 % 8];
    const token = (id, word, p) => [id, encoded(word), Number(Math.log(p).toFixed(3))];
    const said = token(2 * i, word, p);
    const rest = others.map((other, k) => token(2 * i + 1001 + k, ` ${other}`, (1 - p) * 0.6 ** (k + 1)));
    return [...said, [said, ...rest].slice(0, 5).sort((a, b) => b[2] - a[2])];
  });
}

/** The conversations of one language, the rich one first, and the tokens of its last answer. `model`: whose they are. */
export function talk(language, model, now = Date.now()) {
  const {question, file, text, thoughts, other, next, haiku, others} = WORDS[language];
  const meta = {tokens: 214, decode_ms: 3480, first_token_ms: 190, prompt_tokens: 60, finish: 'end'};
  const turn = (parent, role, content, more = {}) => ({id: newId(), parent, role, content, ...role === 'assistant' ? {model, meta} : {}, ...more});
  const first = turn(null, 'user', question, {files: [{name: file, text}]});
  const short = turn(first.id, 'assistant', other, {meta: {...meta, finish: 'length'}});
  const long = turn(first.id, 'assistant', ANSWERS[language], {reasoning: thoughts});
  const second = turn(long.id, 'user', next);
  const last = turn(second.id, 'assistant', haiku);
  const rich = {id: `rich-${language}`, title: question, created: now, changed: now, leaf: last.id, turns: [first, short, long, second, last]};
  const more = TITLES.map((title, i) => {
    const id = `more-${i}`;
    return {id, title, created: now, changed: now - (i + 1) * 3e7, leaf: `${id}-1`, turns: [turn(null, 'user', title, {id: `${id}-1`})]};
  });
  return {conversations: [rich, ...more], tokens: [{id: last.id, conversation: rich.id, model, list: tokens(haiku, others)}]};
}
