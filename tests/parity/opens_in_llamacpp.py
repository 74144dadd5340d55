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

import pathlib
import sys
import tempfile

import gguf
import numpy
from llamacpp import LEAST_ALIKE, PROMPTS, ROOT, alike, hearth, llama_cpp

SOURCE = ROOT / "models" / "files" / "smollm2-135m-instruct-q8_0.gguf"
FORMATS = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "Q4_K", "Q6_K", "F16"]
ABOUT_QUANTIZING = {"general.file_type", "general.quantization_version"}


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
