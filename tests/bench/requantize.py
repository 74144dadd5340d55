"""Writes the same model in other formats: requantize.py SOURCE.gguf q4_0 q8_0 -> SOURCE with the name of the format.

The weights of all matrices become the new format. Norms stay as they are, and so does all metadata, tokenizer and chat
template with it. In Q4_0 the embedding table, here the head as well, keeps the format it has in the source (Q8_0).

Quantizing a second time loses more than doing it once would: these files are to measure speed by.
"""

import os
import pathlib
import sys

import gguf
import numpy

FORMATS = {
    "q4_0": (gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}


def copy_metadata(reader, writer, file_type):
    for field in reader.fields.values():
        # The writer counts the first and writes the second itself.
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        value = file_type if field.name == "general.file_type" else field.contents()
        element = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, value, field.types[0], sub_type=element)


def target_type(tensor, name, wanted):
    if len(tensor.shape) < 2 or (name == "q4_0" and tensor.name == "token_embd.weight"):
        return tensor.tensor_type
    return wanted


def requantize(source, name):
    wanted, file_type = FORMATS[name]
    reader = gguf.GGUFReader(source)
    target = source.with_name(source.name.replace("q4_1", name))
    # Under another name until it is whole.
    unfinished = target.with_suffix(".part")
    writer = gguf.GGUFWriter(unfinished, reader.get_field("general.architecture").contents())
    copy_metadata(reader, writer, file_type)
    for tensor in reader.tensors:
        kind, data = target_type(tensor, name, wanted), tensor.data
        if kind != tensor.tensor_type:
            data = gguf.quantize(gguf.dequantize(data, tensor.tensor_type).astype(numpy.float32), kind)
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(unfinished, target)
    print(f"{target.name}: {target.stat().st_size} bytes")


for format_name in sys.argv[2:]:
    requantize(pathlib.Path(sys.argv[1]), format_name)
