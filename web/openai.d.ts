// Types of openai.js: those of OpenAI's API that a local model has something to say to.

import type {Message, Model, ResponseFormat, Sampling, Tool, ToolCall, ToolChoice} from './hearth.js';

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: {cached_tokens: number};
}

interface Common extends Sampling {
  model?: string;
  max_tokens?: number | null;
  n?: number | null;
  stop?: string | string[];
  stream_options?: {include_usage?: boolean} | null;
  user?: string;
  ignore_eos?: boolean;
  lookup?: boolean;
  shift?: boolean;
}

export interface ChatRequest extends Common {
  messages: Message[];
  max_completion_tokens?: number | null;
  logprobs?: boolean | null;
  top_logprobs?: number;
  tools?: Tool[];
  tool_choice?: ToolChoice;
  parallel_tool_calls?: boolean | null;
  documents?: Record<string, unknown>[];
  response_format?: ResponseFormat;
  enable_thinking?: boolean;
  reasoning_effort?: string | null;
  chat_template_kwargs?: Record<string, unknown>;
}

export interface TextRequest extends Common {
  prompt: string | string[] | number[] | number[][];
  logprobs?: number | null;
}

export interface EmbeddingRequest {
  model?: string;
  input: string | string[] | number[] | number[][];
  encoding_format?: 'float' | 'base64';
  dimensions?: number;
}

interface TokenLogprob {
  token: string;
  bytes: number[];
  logprob: number;
}

export interface ChatLogprobs {
  content: (TokenLogprob & {top_logprobs: TokenLogprob[]})[];
  refusal: null;
}

export interface TextLogprobs {
  tokens: string[];
  token_logprobs: number[];
  top_logprobs: Record<string, number>[];
  text_offset: number[];
}

export type FinishReason = 'stop' | 'length' | 'tool_calls';

interface Made<Kind extends string> {
  id: string;
  object: Kind;
  created: number;
  model: string;
}

export interface ChatCompletion extends Made<'chat.completion'> {
  choices: {
    index: number;
    message: {
      role: 'assistant';
      content: string | null;
      refusal: null;
      reasoning_content?: string;
      tool_calls?: (ToolCall & {id: string; type: 'function'})[];
    };
    logprobs: ChatLogprobs | null;
    finish_reason: FinishReason;
  }[];
  usage: Usage;
}

export interface ChatChunk extends Made<'chat.completion.chunk'> {
  choices: {
    index: number;
    delta: {
      role?: 'assistant';
      content?: string;
      reasoning_content?: string;
      tool_calls?: {index: number; id?: string; type?: 'function'; function: {name?: string; arguments?: string}}[];
    };
    logprobs: ChatLogprobs | null;
    finish_reason: FinishReason | null;
  }[];
  usage?: Usage | null;
}

export interface TextCompletion extends Made<'text_completion'> {
  choices: {index: number; text: string; logprobs: TextLogprobs | null; finish_reason: FinishReason | null}[];
  usage?: Usage | null;
}

export interface Embeddings {
  object: 'list';
  model: string;
  data: {object: 'embedding'; index: number; embedding: number[] | string}[];
  usage: {prompt_tokens: number; total_tokens: number};
}

export interface ModelDescription {
  id: string;
  object: 'model';
  created: number;
  owned_by: string;
}

interface RequestOptions {
  signal?: AbortSignal;
}

export class OpenAI {
  constructor(model: Model, options?: {name?: string});
  readonly chat: {
    readonly completions: {
      create(body: ChatRequest & {stream: true}, options?: RequestOptions): Promise<AsyncGenerator<ChatChunk>>;
      create(body: ChatRequest & {stream?: false | null}, options?: RequestOptions): Promise<ChatCompletion>;
    };
  };
  readonly completions: {
    create(body: TextRequest & {stream: true}, options?: RequestOptions): Promise<AsyncGenerator<TextCompletion>>;
    create(body: TextRequest & {stream?: false | null}, options?: RequestOptions): Promise<TextCompletion>;
  };
  readonly embeddings: {create(body: EmbeddingRequest, options?: RequestOptions): Promise<Embeddings>};
  readonly models: {
    list(): Promise<{object: 'list'; data: ModelDescription[]}>;
    retrieve(id: string): Promise<ModelDescription>;
  };
  /** For the `fetch` option of OpenAI's client. */
  readonly fetch: (input: string | URL | Request, init?: RequestInit) => Promise<Response>;
}
