"""What the lab's methods make of a real model: a table of sizes and divergences, by the command line.

    cargo build --release -p hearth-cli && cargo xtask models smollm2-135m-instruct-q4_1
    python3 lab.py models/files/smollm2-135m-instruct-q4_1.gguf --text CALIBRATION --test TEST [--only NAME...] [--tokens 8192]

The base is the default model, whose own matrices are Q4_1: figures tell of what is lost beside it. Recipes with a mix take no format
that has all of Q4_1's numbers, which would lose nothing. Texts of a few hundred kilobytes that have nothing in common, such as
Debian's `fortunes`: science, computers, people, work, definitions to calibrate; wisdom, literature, platitudes, education, law to
test. Of all models in one run, over the same positions, so that they can be compared.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent.parent
MIX = ["IQ4_NL", "Q5_0", "Q8_0"]


def quantize(format, **more):
    return {"method": "quantize", "format": format} | more


AWQ = {"method": "awq"}
REFIT = {"method": "refit"}
WEIGHTED = {"rounding": "weighted"}
CHANNELS = {"method": "channels", "share": 0.2}

RECIPES = {
    "Q4_0, nearest": [quantize("Q4_0", rounding="nearest")],
    "Q4_0, weighted": [quantize("Q4_0", **WEIGHTED)],
    "Q4_0, AWQ, weighted": [AWQ, quantize("Q4_0", **WEIGHTED)],
    "Q4_0, AWQ, GPTQ": [AWQ, quantize("Q4_0")],
    "IQ4_NL, weighted": [quantize("IQ4_NL", **WEIGHTED)],
    "16 levels and a table, weighted": [{"method": "share", "table": "group"}],
    "Q5_0, weighted": [quantize("Q5_0", **WEIGHTED)],
    "mix of Q5_0's size, weighted": [quantize("mix", embeddings="mix", bits=5.5, mix=MIX, **WEIGHTED)],
    "mix of 5.3 bits, AWQ, GPTQ": [AWQ, quantize("mix", embeddings="mix", bits=5.3, mix=MIX)],
    "channels -20 %, plain": [CHANNELS | {"recover": False}],
    "channels -20 %, recovered": [CHANNELS | {"score": "surgeon"}],
    "channels -20 %, recovered, refit": [CHANNELS | {"score": "surgeon"}, REFIT],
    "channels -20 % by layer, recovered, refit": [CHANNELS | {"score": "surgeon", "spread": "by_energy"}, REFIT],
    "half zeros, magnitude": [{"method": "prune", "score": "magnitude"}],
    "half zeros, OBS": [{"method": "prune", "score": "obs"}],
    "low rank -20 %": [{"method": "lowrank", "whitened": False, "allocation": "even"}],
    "low rank -20 %, whitened, allotted": [{"method": "lowrank"}],
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("--text", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--only", nargs="*", default=list(RECIPES))
    parser.add_argument("--tokens", default="8192", help="of the test")
    parser.add_argument("--calibration", type=int, default=8192, help="tokens of the calibration text")
    parser.add_argument("--hearth", default=ROOT / "target" / "release" / "hearth")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = {}
        for name in options.only:
            recipe = {"version": 1, "calibration": {"tokens": options.calibration, "length": 512}, "steps": RECIPES[name]}
            file = pathlib.Path(folder) / f"{len(made)}.gguf"
            start = time.monotonic()
            command = [options.hearth, "compress", options.base, file, "--text", options.text, "--recipe", json.dumps(recipe)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            made[name] = file, time.monotonic() - start
        command = [options.hearth, "evaluate", options.base, *[file for file, _ in made.values()], "--text", options.test]
        command += ["--calibration", options.text, "--tokens", options.tokens, "--json"]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        print("| recipe | MB | KL | same token | perplexity | took |\n| --- | --- | --- | --- | --- | --- |")
        # The first is the base itself.
        for (name, (file, took)), line in zip(made.items(), lines.splitlines()[1:]):
            found = json.loads(line)["distance"]
            kl = "{value:.4f} [{low:.4f}, {high:.4f}]".format(**found["kl"])
            megabytes = file.stat().st_size / 1e6
            same, ratio = found["same_top"]["value"], found["perplexity_ratio"]["value"]
            print(f"| {name} | {megabytes:.1f} | {kl} | {same:.1%} | x {ratio:.3f} | {took:.0f} s |")


main()
