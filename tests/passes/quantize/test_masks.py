"""Masked attention in integers: whatever large number hides a token, C and TensorFlow Lite Micro give the bytes of the evaluation."""

from __future__ import annotations

import numpy as np
import pytest

import edgewright
from edgewright.data import Data
from edgewright.emit.tflite import emit_tflite
from edgewright.frontends.torch import load_torch
from edgewright.ops.evaluate import dequantize_outputs, evaluate, quantize_inputs
from edgewright.run.tflm import run_tflm
from tests.frontends.test_tokens import Encoder, sample


@pytest.mark.parametrize("least", [-10000.0, -1e9, float(np.finfo(np.float32).min)])
def test_a_sentence_encoder_in_integers(least: float, needs_cc: None, needs_tflite_micro: None) -> None:
    graph = load_torch(Encoder(least).eval(), sample(2))
    arrays = [tensor.numpy() for tensor in sample(64)]
    result = edgewright.optimize(graph, target="host", data=Data(tuple(array.astype(np.float32) for array in arrays)))
    inputs = quantize_inputs(result.graph, arrays)
    integers = evaluate(result.graph, inputs)
    np.testing.assert_array_equal(run_tflm(emit_tflite(result.graph), inputs).outputs[0], integers[0])
    np.testing.assert_array_equal(edgewright.measure(result, inputs).outputs[0], integers[0])
    np.testing.assert_allclose(dequantize_outputs(result.graph, integers)[0], evaluate(graph, arrays)[0], atol=0.05)
