"""Asking llama.cpp and Hearth the same."""

import json
import pathlib
import subprocess
import urllib.request

import gguf
import xllamacpp

ROOT = pathlib.Path(__file__).parent.parent.parent
PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a village by the sea,",
    "<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n",
]
TOKENS = 32
# Hearth rounds activations otherwise than llama.cpp: of two tokens nearly as likely either may be the likeliest. How much less
# likely, in nats, one may be, and the share of tokens that must be so likely.
NEARLY = 0.3
LEAST_ALIKE = 0.96


def hearth(*arguments):
    command = ["cargo", "run", "--quiet", "--release", "--package", "hearth-cli", "--", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def server(file, context, lora=None, threads=None):
    """Runs llama.cpp on a file, with an adapter if there is one; gives `ask(path, body)`, by which it is asked."""
    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    if lora:
        adapter = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = str(lora), 1.0
        params.lora_adapters = [adapter]
    params.n_ctx = context
    params.n_parallel = 1
    if threads:
        params.cpuparams.n_threads = threads
    # Its flash attention adds up in f16, its plain attention in f32: the latter is the better reference.
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.port = 0
    params.hostnames = ["127.0.0.1"]
    running = xllamacpp.Server(params)

    def ask(path, body):
        address = f"{running.listening_address}{path}"
        request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request))

    return ask


def greedy(ask, prompt, count):
    """A prompt's tokens, and those of the greedy answer, and its text."""
    tokens = ask("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})["tokens"]
    body = {"prompt": tokens, "n_predict": count, "temperature": 0, "top_k": 1, "repeat_penalty": 1.0}
    found = ask("/completion", body | {"cache_prompt": False, "return_tokens": True, "ignore_eos": True})
    return tokens, found["tokens"], found["content"]


def llama_cpp(file, lora=None):
    """Its greedy answers to all prompts, with an adapter if there is one: tokens and text."""
    ask = server(file, 512, lora, threads=1)
    return [greedy(ask, prompt, TOKENS)[1:] for prompt in PROMPTS]


def alike(file, prompt, tokens, text):
    """At how many of an answer's tokens Hearth, having read what is before, finds none but the end likelier, or hardly."""
    lines = [json.loads(line) for line in hearth("logprobs", file, "--json", "--top", 2, "--text", prompt + text).splitlines()]
    answer = lines[-len(tokens) :]
    assert [line["id"] for line in answer] == tokens, "the answer's text has other tokens"
    end = gguf.GGUFReader(file).get_field("tokenizer.ggml.eos_token_id").contents()
    best = [next(top["logprob"] for top in line["top"] if top["id"] != end) for line in answer]
    return sum(best - line["logprob"] <= NEARLY for best, line in zip(best, answer))
