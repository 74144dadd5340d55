"""Models that `hearth compress` makes, and adapters for them, opened in llama.cpp.

    cargo xtask models smollm2-135m-instruct-q4_1
    python3 -m venv venv && venv/bin/pip install gguf==0.19.0 xllamacpp==2026.10.11549
    venv/bin/python lab_opens_in_llamacpp.py

Of the model above it makes smaller ones by the recipes below. It fails unless llama.cpp opens each that is a standard file, and
along its greedy answers Hearth finds the same tokens likeliest, or nearly so, nearly everywhere; unless it refuses the one that is
not, and opens what is baked of that; and unless an adapter does in llama.cpp what `hearth merge` makes of it.
"""

import json
import pathlib
import tempfile

from llamacpp import LEAST_ALIKE, PROMPTS, ROOT, alike, hearth, llama_cpp

SOURCE = ROOT / "models" / "files" / "smollm2-135m-instruct-q4_1.gguf"
TEXT = ROOT / "web" / "texts" / "en-calibration.txt"

QUARTER = {"method": "quantize", "format": "Q4_0", "rounding": "weighted"}
STANDARD = {
    "mix": [{"method": "quantize", "format": "mix", "bits": 5.5, "rounding": "weighted"}],
    "AWQ, GPTQ": [{"method": "awq"}, {"method": "quantize", "format": "IQ4_NL"}],
    "fewer channels, refitted": [{"method": "channels", "share": 0.1}, {"method": "refit"}, QUARTER],
    "widths by layer": [{"method": "channels", "share": 0.1, "score": "surgeon", "spread": "by_energy"}],
    "fewer heads": [{"method": "heads"}],
    "fewer layers": [{"method": "layers", "drop": 2}],
    "16:32 as F16": [{"method": "prune", "pattern": "16:32"}],
    "low rank, multiplied out": [{"method": "lowrank", "share": 0.1, "factors": "whole"}],
}
OWN = {
    "S4_16_32": [{"method": "prune", "pattern": "16:32"}, QUARTER | {"format": "S4_16_32"}],
    "shared": [{"method": "share"}],
    "low rank": [{"method": "lowrank", "share": 0.1}],
}


def compress(file, steps, tokens=1024):
    recipe = {"version": 1, "calibration": {"tokens": tokens, "length": 256}, "steps": steps}
    hearth("compress", SOURCE, file, "--text", TEXT, "--recipe", json.dumps(recipe))


def check(name, file, answers):
    same = sum(alike(file, prompt, *answer) for prompt, answer in zip(PROMPTS, answers))
    total = sum(len(tokens) for tokens, _ in answers)
    print(f"{name}: {file.stat().st_size >> 20} MB, of {total} tokens {same} alike; {answers[0][1]!r}", flush=True)
    assert same >= LEAST_ALIKE * total, name


def main():
    with tempfile.TemporaryDirectory() as folder:
        names = ["made", "baked", "lora", "merged"]
        file, baked, lora, merged = [pathlib.Path(folder) / f"{name}.gguf" for name in names]
        for name, steps in STANDARD.items():
            compress(file, steps)
            check(name, file, llama_cpp(file))
        for name, steps in OWN.items():
            compress(file, steps)
            try:
                llama_cpp(file)
            except Exception:
                pass
            else:
                raise AssertionError(f"{name}: a file of our own was opened")
            hearth("quantize", file, baked, "--to", "F16")
            check(f"{name}, baked", baked, llama_cpp(baked))
        compress(file, [QUARTER])
        hearth("adapter", SOURCE, file, lora, "--text", TEXT, "--tokens", 2048)
        hearth("merge", file, lora, merged)
        check("adapter", merged, llama_cpp(file, lora))
    print("all files open")


main()
