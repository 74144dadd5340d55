// Fills corpus/TARGET with what the fixtures have: libFuzzer begins from there.
import {cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const FIXTURES = join(HERE, '../fixtures');

/** Every file below a folder. */
const below = folder => readdirSync(folder).map(name => join(folder, name))
  .flatMap(path => statSync(path).isDirectory() ? below(path) : [path]);

const all = below(FIXTURES);
const named = pattern => all.filter(path => pattern.test(path));
const seeds = {
  gguf: named(/\.gguf$/),
  safetensors: named(/\.safetensors$/),
  config: named(/\/config\.json$/),
  tokenizer: named(/\/tokenizer\.json$/),
  template: named(/\.jinja$/),
  grammar: [],
  catalog: [join(HERE, '../../models/catalog.json')],
  session: [],
};

for (const [target, files] of Object.entries(seeds)) {
  const folder = join(HERE, 'corpus', target);
  mkdirSync(folder, {recursive: true});
  files.forEach((file, i) => cpSync(file, join(folder, `${i}-${basename(file)}`)));
}
// The small tokenizers that are tested: a model each, and the steps around it.
const read = name => JSON.parse(readFileSync(join(FIXTURES, name)));
const models = read('tiny-models.json');
read('tiny-tokenizers.json').cases.forEach(({model, steps}, i) => {
  writeFileSync(join(HERE, 'corpus/tokenizer', `tiny-${i}.json`), JSON.stringify({model: models[model], ...steps}));
});
// An empty conversation, and one of three tokens of which nothing is cached.
const number = n => Buffer.from(Uint32Array.of(n).buffer);
writeFileSync(join(HERE, 'corpus/session/empty'), Buffer.concat([number(0), number(0), number(0)]));
writeFileSync(join(HERE, 'corpus/session/three'), Buffer.concat([number(5), Buffer.from('naive'), number(3), number(1), number(2), number(3), number(0)]));
// What an answer must be, behind the number of its kind: JSON schemas, regular expressions, llama.cpp's grammars, Lark's.
const person = {
  type: 'object', additionalProperties: false, required: ['name', 'age'],
  properties: {
    name: {type: 'string', maxLength: 8}, age: {type: 'integer', minimum: 0, maximum: 150},
    tags: {type: 'array', items: {enum: ['a', 'b']}, maxItems: 3}, ok: {type: ['boolean', 'null']},
  },
};
const grammars = [
  [person, {anyOf: [{const: 1}, {$ref: '#/$defs/a'}], $defs: {a: {type: 'string', pattern: '^[a-c]+$', format: 'date'}}},
    ...read('chat/tools.json').map(tool => tool.function.parameters)].map(schema => JSON.stringify(schema)),
  ['yes|[0-9]{4}-[0-9]{2}', '(ab|abc|é+)*x?', '(?i:a.c)[^\\d\\s]{2,}\\p{L}'],
  ['root ::= "yes" | [0-9]{4} "-" d d\nd ::= [0-9]', 'root ::= "(" inner ")"\ninner ::= [a-z]* | root root? # twice at most\n',
    'root ::= "a" [b-d]+ (x | y){2,3} # c\nx ::= "\\x41" .\ny ::= [^a\\]] root?\n'],
  ['start: "yes" | item ("," item)*\nitem: /[0-9]{1,3}/', 'start: %json {"type": "object"}\n'],
];
grammars.forEach((sources, kind) => sources.forEach((source, i) => {
  writeFileSync(join(HERE, 'corpus/grammar', `${kind}-${i}`), Buffer.concat([Buffer.of(kind), Buffer.from(source)]));
}));
