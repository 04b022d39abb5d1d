"""Run by ai-edge-quantizer's own interpreter: python quantize_ai_edge.py SOURCE.tflite SAMPLES.npy RESULT.tflite WEIGHT_BITS.

Prints the seconds that it took. Minmax, as its recipe for integers has it.
"""
from __future__ import annotations

import copy
import sys
import time
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import quantizer, recipe

KEY = "serving_default"


def with_signature(source: str, target: str) -> str:
    """The tool takes no file without a signature: one is added where it lacks. Gives the name of the input."""
    model = schema.ModelT.InitFromPackedBuf(Path(source).read_bytes())
    graph = model.subgraphs[0]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = KEY, 0
    signature.inputs, signature.outputs = [], []
    for places, maps in ((graph.inputs, signature.inputs), (graph.outputs, signature.outputs)):
        for place in places:
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = graph.tensors[place].name.decode(), int(place)
            maps.append(entry)
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    Path(target).write_bytes(builder.Output())
    return signature.inputs[0].name


source, samples, result, bits = sys.argv[1:]
images = np.load(samples, allow_pickle=False)
name = with_signature(source, f"{result}.signed")
settings = copy.deepcopy(recipe.static_wi8_ai8())
settings[0]["op_config"]["weight_tensor_config"]["num_bits"] = int(bits)
started = time.perf_counter()
tool = quantizer.Quantizer(f"{result}.signed", settings)
ranges = tool.calibrate({KEY: [{name: images[index : index + 1]} for index in range(len(images))]})
quantized = tool.quantize(ranges)
seconds = time.perf_counter() - started
quantized.export_model(result, overwrite=True)
print(f"{seconds:.1f}")
