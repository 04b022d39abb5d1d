"""Run by NNCF's own interpreter: python quantize_nncf.py SOURCE.onnx SAMPLES.npy RESULT.onnx; prints the seconds that it took.

Its mixed preset with the bias correction that is its default; the full one does not get through branches of these files.
"""
from __future__ import annotations

import sys
import time

import nncf
import numpy as np
import onnx

source, samples, result = sys.argv[1:]
model = onnx.load(source)
images = np.load(samples, allow_pickle=False)
name = model.graph.input[0].name
started = time.perf_counter()
feeds = nncf.Dataset([images[index : index + 1] for index in range(len(images))], lambda image: {name: image})
quantized = nncf.quantize(model, feeds, preset=nncf.QuantizationPreset.MIXED, subset_size=len(images))
seconds = time.perf_counter() - started
onnx.save(quantized, result)
print(f"{seconds:.1f}")
