"""llama.cpp in a process of its own, for llamacpp.mjs: one JSON object a line comes in, one goes out.

    {"action": "ready"}                                       ->  {}
    {"action": "load", "path": ..., "threads": 2, "context": 1024}   ->  {"load_ms": ...}
    {"action": "tokenize", "text": ...}                              ->  {"tokens": [...]}
    {"action": "generate", "prompt": ..., "count": 64}               ->  {"prompt_ms": ..., "decode_ms": ..., ...}

The clock is ours, not llama.cpp's, and starts and stops as it does in the browser: from the call to the first token to
the last one, as they reach the one who asked.
"""

import json
import os
import sys
import time
import urllib.request

import xllamacpp

# llama.cpp writes its log to standard output too, which is ours alone.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def now():
    return time.perf_counter() * 1000


class Engine:
    def ready(self):
        return {}

    def load(self, path, threads, context):
        start = now()
        params = xllamacpp.CommonParams()
        params.model.path = path
        params.n_ctx = context
        params.n_parallel = 1
        params.n_gpu_layers = 0
        # Loading is to be loading: no other engine here runs the model before it is asked.
        params.warmup = False
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        # Nothing kept from one prompt to the next.
        params.cache_prompt = False
        params.cache_ram_mib = 0
        params.port = 0
        params.hostnames = ["127.0.0.1"]
        self.server = xllamacpp.Server(params)
        return {"load_ms": now() - start}

    def tokenize(self, text):
        body = json.dumps({"content": text, "add_special": True}).encode()
        request = urllib.request.Request(f"{self.server.listening_address}/tokenize", body)
        return json.load(urllib.request.urlopen(request))

    def generate(self, prompt, count):
        body = {
            "prompt": prompt, "n_predict": count, "temperature": 0, "top_k": 1, "repeat_penalty": 1, "ignore_eos": True,
            "cache_prompt": False, "stream": True,
        }
        times, text, last = [], [], {}

        def receive(chunk):
            nonlocal last
            last = chunk
            if "error" not in chunk and chunk["choices"][0]["finish_reason"] is None:
                times.append(now())
                text.append(chunk["choices"][0]["text"])

        start = now()
        self.server.handle_completions(body, receive)
        if "timings" not in last:
            raise RuntimeError(f"llama.cpp answered {last}")
        own = last["timings"]
        return {
            "prompt_tokens": own["prompt_n"], "prompt_ms": times[0] - start, "tokens": own["predicted_n"],
            "steps": len(times), "decode_ms": times[-1] - times[0], "text": "".join(text),
            "own_prompt_ms": own["prompt_ms"], "own_decode_ms": own["predicted_ms"],
        }


engine = Engine()
for line in sys.stdin:
    request = json.loads(line)
    action = request.pop("action")
    try:
        answer = getattr(engine, action)(**request)
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), file=answers, flush=True)
