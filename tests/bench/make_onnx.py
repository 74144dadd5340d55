"""Writes a GGUF model as ONNX for onnxruntime-web: make_onnx.py SOURCE.gguf TARGET.onnx

The graph is what the exporters of Hugging Face and onnxruntime-genai write for a model of this kind: int4 weights in blocks
of 32 around zero (MatMulNBits), fused attention with rotary positions and keys and values as inputs and outputs
(GroupQueryAttention), activations in f32. Without zero points, and with three products after each norm, the runtime puts
norm and products together on WebGPU. Only the last position's logits are made. The head is the embedding in int4, as these
exporters have it; the table that tokens are looked up in stays in f32.

Quantizing a second time loses more than doing it once would: this file is to measure speed by.
"""

import os
import pathlib
import sys

import gguf
import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

BLOCK = 32
MICROSOFT = "com.microsoft"


class Source:
    def __init__(self, path):
        self.reader = gguf.GGUFReader(path)
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}
        self.architecture = self.reader.get_field("general.architecture").contents()
        if self.architecture != "llama" or "output.weight" in self.tensors:
            sys.exit("only llama models whose head is the embedding are written as ONNX")
        self.layers = self.number("block_count")
        self.heads = self.number("attention.head_count")
        self.kv_heads = self.number("attention.head_count_kv")
        self.dim = self.number("embedding_length")
        self.head_dim = self.dim // self.heads
        self.epsilon = self.number("attention.layer_norm_rms_epsilon")
        self.theta = self.number("rope.freq_base")

    def number(self, name):
        return self.reader.get_field(f"{self.architecture}.{name}").contents()

    def tensor(self, name):
        tensor = self.tensors[f"{name}.weight"]
        return gguf.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)

    def rotated(self, name, heads):
        """Rows of queries or keys with the pairs that are turned half a head apart, not side by side as in GGUF."""
        rows = self.tensor(name)
        return rows.reshape(heads, self.head_dim // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def quantize(rows):
    """Codes of 4 bits, two to a byte, and a scale for each block: of a few scales the one that loses least."""
    blocks = rows.reshape(-1, BLOCK)
    extreme = numpy.take_along_axis(blocks, numpy.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
    best = numpy.full((len(blocks), 1), numpy.inf, numpy.float32)
    codes = numpy.zeros(blocks.shape, numpy.int8)
    scales = numpy.zeros_like(extreme)
    for steps in (-7, -7.5, -8, -8.5, -9):
        scale = extreme / numpy.float32(steps)
        inverse = numpy.divide(1, scale, out=numpy.zeros_like(scale), where=scale != 0)
        tried = numpy.clip(numpy.rint(blocks * inverse), -8, 7)
        error = ((tried * scale - blocks) ** 2).sum(axis=1, keepdims=True)
        better = error < best
        best = numpy.where(better, error, best)
        scales = numpy.where(better, scale, scales)
        codes = numpy.where(better, tried.astype(numpy.int8), codes)
    nibbles = (codes + 8).astype(numpy.uint8).reshape(len(rows), -1, BLOCK // 2, 2)
    return nibbles[..., 0] | nibbles[..., 1] << 4, scales.reshape(len(rows), -1)


class Graph:
    def __init__(self):
        self.nodes = []
        self.initializers = []

    def constant(self, name, array):
        self.initializers.append(numpy_helper.from_array(numpy.ascontiguousarray(array), name))
        return name

    def node(self, kind, inputs, outputs, domain="", **attributes):
        outputs = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=f"/{outputs[0]}", domain=domain, **attributes))
        return outputs[0]

    def matmul(self, name, input, rows):
        codes, scales = quantize(rows)
        weights = [self.constant(f"{name}.codes", codes), self.constant(f"{name}.scales", scales)]
        size = {"N": rows.shape[0], "K": rows.shape[1], "bits": 4, "block_size": BLOCK}
        return self.node("MatMulNBits", [input, *weights], name, MICROSOFT, accuracy_level=4, **size)


def positions(graph, source, context):
    """Cosines and sines for every position, and from the mask how much is attended to."""
    half = source.head_dim // 2
    angles = numpy.outer(numpy.arange(context), source.theta ** (-numpy.arange(half) / half))
    one = graph.constant("one", numpy.array([1], numpy.int64))
    total = graph.node("ReduceSum", ["attention_mask", one], "mask_sum", keepdims=0)
    last = graph.node("Sub", [total, one], "mask_last")
    shape = graph.node("Shape", ["attention_mask"], "mask_shape")
    length = graph.node("Gather", [shape, graph.constant("first", numpy.array(1, numpy.int64))], "mask_length", axis=0)
    return [
        graph.node("Cast", [last], "seqlens_k", to=TensorProto.INT32),
        graph.node("Cast", [length], "total_sequence_length", to=TensorProto.INT32),
        graph.constant("cos_cache", numpy.cos(angles).astype(numpy.float32)),
        graph.constant("sin_cache", numpy.sin(angles).astype(numpy.float32)),
    ]


def layer(graph, source, index, normed, stream, position):
    """One layer behind its first norm; gives what is to be added to the stream, and the stream."""
    name, block = f"layers.{index}", f"blk.{index}"
    query = graph.matmul(f"{name}.q", normed, source.rotated(f"{block}.attn_q", source.heads))
    key = graph.matmul(f"{name}.k", normed, source.rotated(f"{block}.attn_k", source.kv_heads))
    value = graph.matmul(f"{name}.v", normed, source.tensor(f"{block}.attn_v"))
    past = [f"past_key_values.{index}.{part}" for part in ("key", "value")]
    present = [f"present.{index}.{part}" for part in ("key", "value")]
    attended = graph.node(
        "GroupQueryAttention", [query, key, value, *past, *position], [f"{name}.attention", *present], MICROSOFT,
        num_heads=source.heads, kv_num_heads=source.kv_heads, do_rotary=1, scale=source.head_dim ** -0.5)
    added = graph.matmul(f"{name}.o", attended, source.tensor(f"{block}.attn_output"))
    normed, stream = skip_norm(graph, source, f"{name}.mlp_norm", f"{block}.ffn_norm", stream, added)
    gate = graph.matmul(f"{name}.gate", normed, source.tensor(f"{block}.ffn_gate"))
    up = graph.matmul(f"{name}.up", normed, source.tensor(f"{block}.ffn_up"))
    sigmoid = graph.node("Sigmoid", [gate], f"{name}.sigmoid")
    silu = graph.node("Mul", [gate, sigmoid], f"{name}.silu")
    hidden = graph.node("Mul", [silu, up], f"{name}.hidden")
    return graph.matmul(f"{name}.down", hidden, source.tensor(f"{block}.ffn_down")), stream


def skip_norm(graph, source, name, weight, stream, added):
    """The stream with something added: normed, and as it is."""
    weight = graph.constant(f"{name}.weight", source.tensor(weight))
    outputs = [f"{name}.output", "", "", f"{name}.stream"]
    graph.node("SkipSimplifiedLayerNormalization", [stream, added, weight], outputs, MICROSOFT, epsilon=source.epsilon)
    return outputs[0], outputs[3]


def build(source, context):
    graph = Graph()
    position = positions(graph, source, context)
    table = source.tensor("token_embd")
    stream = graph.node("Gather", [graph.constant("embedding", table), "input_ids"], "embedded", axis=0)
    weight = graph.constant("layers.0.norm.weight", source.tensor("blk.0.attn_norm"))
    normed = graph.node(
        "SimplifiedLayerNormalization", [stream, weight], "layers.0.norm.output",
        axis=-1, epsilon=source.epsilon, stash_type=1)
    for index in range(source.layers):
        added, stream = layer(graph, source, index, normed, stream, position)
        last = index + 1 == source.layers
        following = "output_norm" if last else f"blk.{index + 1}.attn_norm"
        normed, stream = skip_norm(graph, source, f"layers.{index + 1}.norm", following, stream, added)
    ends = [graph.constant(name, numpy.array([number], numpy.int64))
            for name, number in (("from", -1), ("to", numpy.iinfo(numpy.int64).max), ("axis", 1))]
    graph.matmul("logits", graph.node("Slice", [normed, *ends], "last_position"), table)
    return graph, len(table)


def save(source, target, context=2048):
    graph, vocabulary = build(source, context)
    tensor = helper.make_tensor_value_info
    ids = ["batch_size", "sequence_length"]
    total = ["batch_size", "total_sequence_length"]
    inputs = [tensor("input_ids", TensorProto.INT64, ids), tensor("attention_mask", TensorProto.INT64, total)]
    outputs = [tensor("logits", TensorProto.FLOAT, ["batch_size", 1, vocabulary])]
    for index in range(source.layers):
        for part in ("key", "value"):
            for values, name, length in ((inputs, "past_key_values", "past"), (outputs, "present", "total")):
                shape = ["batch_size", source.kv_heads, f"{length}_sequence_length", source.head_dim]
                values.append(tensor(f"{name}.{index}.{part}", TensorProto.FLOAT, shape))
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
    whole = helper.make_graph(graph.nodes, "decoder", inputs, outputs, graph.initializers)
    # Under another name until it is whole.
    unfinished = target.with_suffix(".part")
    onnx.save(helper.make_model(whole, opset_imports=opsets, ir_version=10), unfinished)
    os.replace(unfinished, target)
    print(f"{target.name}: {target.stat().st_size} bytes")


save(Source(sys.argv[1]), pathlib.Path(sys.argv[2]))
