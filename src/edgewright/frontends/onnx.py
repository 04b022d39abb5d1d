"""Networks from ONNX files, of opset 13 and later, from any exporter; quantized ones in QDQ format."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgewright.frontends.onnx_convert import convert_graph
from edgewright.frontends.onnx_file import read_onnx
from edgewright.ir.graph import Graph


def load_onnx(source: str | Path | bytes | onnx.ModelProto) -> Graph:
    """The Graph of an ONNX model: level float, or quantized where it holds QuantizeLinear and DequantizeLinear nodes.

    External data is read from the model's own folder alone. Computations on shapes are done at the door. The graph is channels-last: an
    input (N, C, H, W) becomes (N, H, W, C); see :mod:`edgewright.frontends.layout`. A dynamic batch, or a batch of 1, becomes symbolic.
    uint8 activations become int8 ones with a zero point lower by 128. Inputs that are integers with a DequantizeLinear behind them take
    reals here. ModelError tells what is wrong with a file; UnsupportedError lists everything that has no conversion.
    """
    graph = read_onnx(source)
    name = Path(source).stem if isinstance(source, (str, Path)) else graph.name or "onnx"
    return convert_graph(graph, name)
