"""Files that `hearth quantize` writes, opened in llama.cpp.

    cargo xtask models smollm2-135m-instruct-q8_0
    python3 -m venv venv && venv/bin/pip install gguf==0.19.0 xllamacpp==2026.10.11549
    venv/bin/python opens_in_llamacpp.py [SOURCE.gguf]

From SOURCE (by default the model above) it writes files in several formats and fails unless, for each,
- metadata are those of the source, in the same types but for what says how a file is quantized,
- every matrix has the bytes that the `gguf` package makes of the source's numbers, where that can,
- llama.cpp opens the file, and along its greedy answers Hearth finds the same tokens likeliest, or nearly so,
  nearly everywhere,
- in the format of the source, tensors are the source's and llama.cpp's answers all the same.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

import gguf
import numpy
import xllamacpp

ROOT = pathlib.Path(__file__).parent.parent.parent
SOURCE = ROOT / "models" / "files" / "smollm2-135m-instruct-q8_0.gguf"
FORMATS = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "Q4_K", "Q6_K", "F16"]
ABOUT_QUANTIZING = {"general.file_type", "general.quantization_version"}
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


def llama_cpp(file):
    """Its greedy answers to all prompts: tokens and text."""
    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_ctx = 512
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.port = 0
    params.hostnames = ["127.0.0.1"]
    server = xllamacpp.Server(params)

    def ask(path, body):
        address = f"{server.listening_address}{path}"
        request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request))

    def answer(prompt):
        tokens = ask("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})["tokens"]
        body = {"prompt": tokens, "n_predict": TOKENS, "temperature": 0, "top_k": 1, "repeat_penalty": 1.0}
        found = ask("/completion", body | {"cache_prompt": False, "return_tokens": True, "ignore_eos": True})
        return found["tokens"], found["content"]

    return [answer(prompt) for prompt in PROMPTS]


def metadata(reader):
    """Types and values by key."""
    fields = [field for field in reader.fields.values() if not field.name.startswith("GGUF.")]
    return {field.name: (field.types, field.contents()) for field in fields if field.name not in ABOUT_QUANTIZING}


def check_contents(source, file, name):
    before, after = gguf.GGUFReader(source), gguf.GGUFReader(file)
    for key, value in metadata(before).items():
        assert metadata(after)[key] == value, f"{key}: {metadata(after)[key]}, not {value}"
    assert metadata(after).keys() == metadata(before).keys()
    old = {tensor.name: tensor for tensor in before.tensors}
    assert [tensor.name for tensor in after.tensors] == list(old)
    unchanged, compared = 0, 0
    for tensor in after.tensors:
        of = old[tensor.name]
        assert list(tensor.shape) == list(of.shape), tensor.name
        if tensor.tensor_type == of.tensor_type:
            assert numpy.array_equal(tensor.data, of.data), f"{tensor.name} changed"
            unchanged += 1
            continue
        assert len(of.shape) > 1, f"{tensor.name} is {tensor.tensor_type.name}"
        try:
            numbers = gguf.dequantize(of.data, of.tensor_type).astype(numpy.float32)
            expected = gguf.quantize(numbers, tensor.tensor_type)
        except NotImplementedError:
            continue
        assert numpy.array_equal(tensor.data.view(numpy.uint8), expected.view(numpy.uint8)), tensor.name
        compared += 1
    kinds = {}
    for tensor in after.tensors:
        kinds[tensor.tensor_type.name] = kinds.get(tensor.tensor_type.name, 0) + 1
    print(f"{name}: {kinds}, {unchanged} tensors unchanged, {compared} with the package's bytes", flush=True)


def alike(file, prompt, tokens, text):
    """At how many of an answer's tokens Hearth, having read what is before, finds none but the end likelier, or hardly."""
    lines = [json.loads(line) for line in hearth("logprobs", file, "--json", "--top", 2, "--text", prompt + text).splitlines()]
    answer = lines[-len(tokens) :]
    assert [line["id"] for line in answer] == tokens, "the answer's text has other tokens"
    end = gguf.GGUFReader(file).get_field("tokenizer.ggml.eos_token_id").contents()
    best = [next(top["logprob"] for top in line["top"] if top["id"] != end) for line in answer]
    return sum(best - line["logprob"] <= NEARLY for best, line in zip(best, answer))


def main():
    source = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else SOURCE
    original = llama_cpp(source)
    source_formats = {tensor.tensor_type.name for tensor in gguf.GGUFReader(source).tensors}
    with tempfile.TemporaryDirectory() as folder:
        for name in FORMATS:
            file = pathlib.Path(folder) / f"{name}.gguf"
            hearth("quantize", source, file, "--to", name)
            check_contents(source, file, name)
            theirs = llama_cpp(file)
            same = sum(alike(file, prompt, *answer) for prompt, answer in zip(PROMPTS, theirs))
            total = sum(len(tokens) for tokens, _ in theirs)
            print(f"{name}: of {total} tokens {same} alike; {theirs[0][1]!r}", flush=True)
            assert same >= LEAST_ALIKE * total
            if name in source_formats:
                assert theirs == original, f"{theirs}, not {original}"
            file.unlink()
    print("all files open")


main()
