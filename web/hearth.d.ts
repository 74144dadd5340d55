// Types of hearth.js; the functions are described there.

export type Build = 'base' | 'threads' | 'threads-relaxed';
export type Device = 'auto' | 'cpu' | 'gpu';

/** Every error has a stable `code`. */
export class HearthError extends Error {
  constructor(code: string, message: string);
  readonly code: string;
}

export interface Progress {
  phase: 'download' | 'load' | 'trial';
  loaded: number;
  total: number;
  bytes_per_second: number;
  seconds_left?: number;
  /** Another tab downloads. */
  elsewhere?: boolean;
  /** All is here and is read again. */
  checking?: boolean;
  /** All bytes that came over the network, of whatever use. */
  received?: number;
}

/** How much to ask of a network. */
export interface Network {
  /** Requests at once. */
  connections?: number;
  /** Failures in a row after which a server is given up. */
  attempts?: number;
  /** Bytes that may be received. */
  budget_bytes?: number;
  /** An address that has what https://huggingface.co has. */
  hub?: string;
}

export interface FetchOptions {
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
  network?: Network;
  /** Other addresses of the same file. */
  mirrors?: readonly string[];
  /** false: only in this tab's memory. */
  store?: boolean;
}

export interface LoadOptions extends FetchOptions {
  device?: Device;
  threads?: number | 'auto';
  /** Positions at most. */
  context?: number;
  /** A LoRA file for the model; on the CPU. */
  adapter?: Blob | ArrayBuffer;
}

/**
 * An id of the catalog, the address of a model, a file, or all files of one: of a Hugging Face folder, or of a model in parts.
 */
export type Source = string | URL | Blob | ArrayBuffer | readonly File[] | FileList;

export interface CatalogEntry {
  id: string;
  name: string;
  size_bytes: number;
  licence: string;
  [key: string]: unknown;
}

export interface StoredFile {
  /** `key`: for `remove`; those of all files of a model in several. */
  plan: {key: string | readonly string[]; name: string; url: string; size_bytes: number; [key: string]: unknown};
  stored_bytes: number;
  /** Every file of the model is known of, though not all of each may be here. */
  whole: boolean;
  /** When it was last loaded, in milliseconds since 1970. */
  used_ms?: number;
  /** Some of it is only in this tab's memory. */
  held: boolean;
}

export interface StorageProgress {
  phase: 'verify' | 'import';
  loaded: number;
  total: number;
  bytes_per_second: number;
  seconds_left?: number;
}

export interface StorageOptions {
  onProgress?: (progress: StorageProgress) => void;
  signal?: AbortSignal;
}

/** Of a model on the CPU, estimated. */
export interface MemoryForecast {
  need_bytes: number;
  limit_bytes: number;
  verdict: 'fits' | 'tight' | 'too_large';
}

export interface Forecast {
  size_bytes: number;
  stored_bytes: number;
  need_bytes: number;
  free_bytes: number;
  memory: MemoryForecast;
}

/** What this browser keeps of models. */
export class Storage {
  private constructor();
  /** Whether anything stays when the tab is closed. */
  readonly keeps: boolean;
  list(): Promise<StoredFile[]>;
  bytes(id: string): Promise<number>;
  remove(key: string | readonly string[]): Promise<void>;
  room(): Promise<{usage: number; quota: number; persisted: boolean}>;
  persist(): Promise<boolean>;
  forecast(source: string | URL, options?: Pick<FetchOptions, 'network' | 'mirrors' | 'signal'>): Promise<Forecast>;
  verify(key: string | readonly string[], options?: StorageOptions): Promise<{chunks: number; repaired: number; whole: boolean}>;
  /** What `load` takes for the model from then on. */
  import(files: readonly File[] | FileList, options?: StorageOptions): Promise<string>;
  export(key: string | readonly string[], options?: StorageOptions): Promise<File[]>;
}

export interface Measurement {
  build: Build;
  /** Bytes a second, by number of threads. */
  bandwidth: Record<number, number>;
  kernels?: {format: string; kernel: string; tokens: number; gmacs: number; gigabytes: number}[];
}

export class Hearth {
  private constructor();
  static open(options?: {build?: Build; networkWorker?: 'blob' | 'file'}): Promise<Hearth>;
  readonly build: Build;
  readonly storage: Storage;
  catalog(): Promise<{models: CatalogEntry[]}>;
  stored(): Promise<StoredFile[]>;
  storedBytes(id: string): Promise<number>;
  remove(key: string | readonly string[]): Promise<void>;
  load(source: Source, options?: LoadOptions): Promise<Model>;
  /** Opens the compression lab on a model. */
  lab(source: Source, options?: Pick<LoadOptions, 'threads' | keyof FetchOptions>): Promise<Lab>;
  measure(options?: {threads?: number[]; kernels?: boolean; budget_ms?: number; signal?: AbortSignal}): Promise<Measurement>;
  /** Tries every way out of a worker like those that see text. */
  tryToEscape(url: string): Promise<{way: string; outcome: string}[]>;
}

/**
 * Calls `listener` with the browser's records, as JSON, of what a worker has asked of servers, and where it was sent on to. `who`:
 * 'store', 'engine' or 'lab'; `origin`: when its times begin.
 */
export function onRequests(listener: (who: string, requests: object[], origin: number) => void): void;
/** The policy that workers which see text are under. */
export const WALL: string;

export type Pooling = 'mean' | 'cls' | 'last';

export interface ModelInfo {
  architecture: string;
  layers: number;
  dim: number;
  vocab_size: number;
  trained_context: number;
  context: number;
  /** Whether the file brings a chat template. */
  chat: boolean;
  /** What makes prompts of conversations: 'file', or the name of the default that is used instead. */
  template: string;
  /** Whether it reads texts as a whole and makes vectors of them, and no answers. */
  encoder: boolean;
  /** What the template has a place for. */
  capabilities?: Record<'system' | 'tools' | 'tool_calls' | 'tool_results' | 'reasoning' | 'thinking_switch', boolean>;
  pooling: Pooling;
  weight_bytes_per_token: number;
  cache_bytes_per_token: number;
}

export interface Timings {
  load_ms: number;
  asked_tokens?: number;
  prompt_tokens: number;
  prompt_ms: number;
  first_token_ms: number;
  tokens: number;
  decode_ms: number;
  threads: number;
  device: 'cpu' | 'gpu';
  adapter: string;
  build: Build;
  kernel: string;
  peak_memory_bytes: number;
  context_used: number;
  guesses?: {guessed: number; right: number};
}

export interface Speeds {
  prompt_per_second: number;
  decode_per_second: number;
}

export interface Verdict {
  device: 'cpu' | 'gpu';
  why: 'asked' | 'no_webgpu' | 'no_adapter' | 'faster' | 'slower' | 'wrong' | 'failed' | 'adapter';
  adapter?: string;
  kernels?: unknown;
  message?: string;
  /** `null`, as JSON has it, if there is no telling. */
  error?: number | null;
  cpu?: Speeds;
  gpu?: Speeds;
}

export interface ToolCall {
  id?: string;
  type?: 'function';
  function: {name: string; arguments: string};
}

export interface Message {
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  content?: string | {type: 'text'; text: string}[] | null;
  name?: string;
  tool_calls?: ToolCall[];
  tool_call_id?: string;
  reasoning_content?: string;
}

export interface Tool {
  type: 'function';
  function: {name: string; description?: string; parameters?: Record<string, unknown>; strict?: boolean | null};
}

export type ToolChoice = 'none' | 'auto' | 'required' | {type: 'function'; function: {name: string}};

/** What an answer must look like. */
export type ResponseFormat =
  | {type: 'text'}
  | {type: 'json_object'}
  | {type: 'json_schema'; json_schema: {name?: string; schema?: Record<string, unknown>; strict?: boolean | null}}
  | {type: 'regex'; regex: string}
  | {type: 'grammar'; grammar: string};

/** How tokens are chosen, in the order in which it happens. */
export interface Sampling {
  /** Added to the logits of tokens, by id. */
  logit_bias?: Record<string, number>;
  repetition_penalty?: number;
  frequency_penalty?: number;
  presence_penalty?: number;
  /** Tokens that penalties look back on; -1: all. */
  repetition_window?: number;
  top_n_sigma?: number;
  top_k?: number;
  typical_p?: number;
  top_p?: number;
  min_p?: number;
  xtc_probability?: number;
  xtc_threshold?: number;
  temperature?: number;
  dynatemp_range?: number;
  dynatemp_exponent?: number;
  /** Above zero: mirostat takes the place of the filters. */
  mirostat_tau?: number;
  mirostat_eta?: number;
  min_keep?: number;
  seed?: number;
}

export interface GenerateOptions extends Sampling {
  /** One of these three. */
  prompt?: string;
  messages?: Message[];
  tokens?: number[];
  max_tokens?: number;
  stop?: string | string[];
  ignore_eos?: boolean;
  lookup?: boolean;
  /** Goes on when the context is full, without its oldest part. */
  shift?: boolean;
  keep?: number;
  /** Tells of each token's probability, and of so many of the likeliest. */
  logprobs?: number;
  tools?: Tool[];
  tool_choice?: ToolChoice;
  parallel_tool_calls?: boolean;
  documents?: Record<string, unknown>[];
  response_format?: ResponseFormat;
  enable_thinking?: boolean;
  reasoning_effort?: string;
  chat_template_kwargs?: Record<string, unknown>;
  /** How the answer begins: it goes on from there. */
  begun?: {tokens: number[]; text: string};
  signal?: AbortSignal;
}

export interface TokenProbability {
  id: number;
  /** May be a part of a character. */
  bytes: number[];
  logprob: number;
}

export interface Step {
  token: number | null;
  /** All that the model writes, as it is. */
  text: string;
  /** Of `messages`: what of it is the answer, what is thought, and which tools are called. */
  content?: string;
  reasoning?: string;
  tool_calls?: {index: number; id?: string; type?: 'function'; function: {name?: string; arguments?: string}}[];
  prompt_left: number;
  prompt_tokens: number;
  /** Tells how the answer begins, where that was given. */
  begun?: true;
  finish: 'end' | 'stop' | 'length' | 'context' | null;
  logprobs?: TokenProbability & {top: TokenProbability[]};
}

export interface EmbedOptions {
  pooling?: Pooling;
  normalize?: boolean;
  dimensions?: number;
  truncate?: boolean;
}

export class Model {
  private constructor();
  readonly info: ModelInfo;
  readonly timings: Timings;
  readonly verdict: Verdict;
  /** The engine has failed; `device` is 'cpu' where the CPU goes on, undefined where the model is gone and is to be loaded again. */
  onlost?: (error: HearthError, device?: 'cpu') => void;
  useThreads(threads: number): Promise<number>;
  tokenize(text: string): Promise<number[]>;
  detokenize(tokens: number[]): Promise<string>;
  render(messages: Message[], options?: Pick<GenerateOptions,
    'tools' | 'tool_choice' | 'parallel_tool_calls' | 'documents' | 'enable_thinking' | 'reasoning_effort' | 'chat_template_kwargs'>
  ): Promise<string>;
  generate(options?: GenerateOptions): AsyncGenerator<Step, void, undefined>;
  embed(input: string | number[], options?: EmbedOptions): Promise<{vector: Float32Array; tokens: number}>;
  save(): Promise<Uint8Array>;
  restore(saved: Uint8Array | ArrayBuffer): Promise<void>;
  unload(): void;
}

/** How far a call of the lab has come. */
export interface LabProgress {
  what: string;
  done: number;
  of: number;
  peak_memory_bytes?: number;
}

export interface LabOptions {
  onProgress?: (progress: LabProgress) => void;
  signal?: AbortSignal;
}

export interface LabInfo {
  name: string | null;
  architecture: string;
  encoder: boolean;
  layers: number;
  context: number;
  /** Of its GGUF file. */
  size_bytes: number;
  tensor_bytes: number;
  /** The format of its layers, if they are coarse already. */
  quantized: string | null;
  tensors: {name: string; shape: number[]; format: string; bytes: number; layer: number | null; kind: string}[];
}

export type LabOptionKind =
  | {number: {min: number; max: number; default: number}}
  | {choice: {of: string[]; default: string}}
  | {flag: {default: boolean}}
  | {several: {of: string[]; default: string[]}}
  | {tensors: {of: string[]}};

export interface LabMethod {
  name: string;
  does: string;
  options: {name: string; does: string; kind: LabOptionKind}[];
}

export interface LabProtocol {
  name: string;
  does: string;
}

export interface Recipe {
  version: 1;
  name?: string;
  /** At most so many tokens, in sequences of `length`. */
  calibration?: {tokens?: number; length?: number};
  /** What the result must hold. */
  gates?: {kl?: number; same_top?: number; perplexity_ratio?: number};
  steps: {method: string; [option: string]: number | string | boolean | string[] | Record<string, string>}[];
}

export interface LabPreset {
  name: string;
  does: string;
  recipe: Recipe;
}

export interface CompressOptions extends LabOptions {
  /** Calibrates. */
  text?: string;
  /** An importance matrix, where a recipe needs no more. */
  imatrix?: Blob | ArrayBuffer;
}

/** A text, how much of it is used, and the progress on it. */
export interface ReadOptions extends LabOptions {
  text: string;
  tokens?: number;
  /** Of a sequence. */
  length?: number;
}

export interface Made {
  file: File;
  ms: number;
  peak_memory_bytes: number;
}

export interface Compressed {
  file: File;
  recipe: Recipe;
  info: LabInfo;
  ms: number;
  peak_memory_bytes: number;
}

export interface EvaluateOptions extends LabOptions {
  /** Is predicted. */
  text: string;
  /** What calibrated; it must be another. */
  calibration?: string;
  /** A name of `lab.protocols`. */
  protocol?: string;
  /** Tokens of a window. */
  context?: number;
  /** Tokens of the text at most. */
  tokens?: number;
}

/** With a confidence interval of 95 %. */
export interface Figure {
  value: number;
  low: number;
  high: number;
}

export interface Quality {
  positions: number;
  original_perplexity: Figure;
  perplexity: Figure;
  perplexity_ratio: Figure;
  kl: Figure;
  /** Shares of positions, and divergences up to which they lie. */
  kl_percentiles: [share: number, kl: number][];
  same_top: Figure;
  rms_dp: Figure;
}

/** Of an encoder's vectors, beside the original's. */
export interface Likeness {
  texts: number;
  cosine: Figure;
  least_cosine: number;
  overlap_at_10: Figure;
}

export interface SensitivityOptions extends LabOptions {
  text: string;
  formats?: string[];
}

export interface SensitivityMap {
  layers: number;
  tokens: number;
  tensors: {
    name: string;
    layer: number | null;
    kind: string;
    numbers: number;
    /** Not taken from neighbours. */
    measured: boolean;
    sensitivity: number;
    /** By format. */
    errors: Record<string, number>;
    bytes: Record<string, number>;
  }[];
}

export interface Work {
  macs_per_token: number;
  nonzero_macs_per_token: number;
  bytes_per_token: number;
  resident_bytes: number;
  cache_bytes_per_token: number;
  file_bytes: number;
}

/** The compression lab over a base. */
export class Lab {
  private constructor();
  readonly info: LabInfo;
  readonly methods: LabMethod[];
  readonly presets: LabPreset[];
  readonly protocols: LabProtocol[];
  count(text: string, options?: LabOptions): Promise<number>;
  compress(recipe: Recipe | string, options?: CompressOptions): Promise<Compressed>;
  /** `null`: the base. */
  evaluate(file: Blob | ArrayBuffer | null, options: EvaluateOptions): Promise<Quality | Likeness>;
  work(file: Blob | ArrayBuffer | null, options?: LabOptions): Promise<Work>;
  imatrix(options: ReadOptions & {name?: string}): Promise<File>;
  adapter(file: Blob | ArrayBuffer, options: ReadOptions & {rank?: number}): Promise<Made>;
  merge(adapter: Blob | ArrayBuffer, options?: LabOptions & {format?: string}): Promise<Made & {info: LabInfo}>;
  sensitivity(options: SensitivityOptions): Promise<SensitivityMap>;
  close(): void;
}

/** What a model of this size needs of this tab's memory. */
export function memoryForecast(size_bytes: number): MemoryForecast;
/** The address for what a person typed: also `ORG/NAME/FILE` at Hugging Face. */
export function typed(text: string): string;
/** The address of the file, or of the folder, for that of Hugging Face's page about it, or a name there, `hf:ORG/NAME/FILE`. */
export function direct(address: string): string;
/** What to call the model at an address. */
export function titleOf(address: string): string;
/** What to call the model in these files. */
export function nameOf(files: readonly File[] | FileList): string;
