"""The operators. Importing this package fills Operator.REGISTRY."""

from __future__ import annotations

from edgewright.ops.abs import Abs
from edgewright.ops.add import Add
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.batch_norm import BatchNorm
from edgewright.ops.concat import Concat
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.dequantize import Dequantize
from edgewright.ops.elu import ELU
from edgewright.ops.embedding import Embedding
from edgewright.ops.gelu import GELU
from edgewright.ops.gru import GRU
from edgewright.ops.hard_sigmoid import HardSigmoid
from edgewright.ops.hard_swish import HardSwish
from edgewright.ops.layer_norm import LayerNorm
from edgewright.ops.leaky_relu import LeakyRelu
from edgewright.ops.log_softmax import LogSoftmax
from edgewright.ops.lstm import LSTM
from edgewright.ops.matmul import MatMul
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.mean import Mean
from edgewright.ops.mish import Mish
from edgewright.ops.mul import Mul
from edgewright.ops.pad import Pad
from edgewright.ops.prelu import PRelu
from edgewright.ops.quantize import Quantize
from edgewright.ops.relu import Relu
from edgewright.ops.relu6 import Relu6
from edgewright.ops.requantize import Requantize
from edgewright.ops.reshape import Reshape
from edgewright.ops.resize import Resize
from edgewright.ops.rsqrt import Rsqrt
from edgewright.ops.sigmoid import Sigmoid
from edgewright.ops.silu import SiLU
from edgewright.ops.slice import Slice
from edgewright.ops.softmax import Softmax
from edgewright.ops.softplus import Softplus
from edgewright.ops.sub import Sub
from edgewright.ops.tanh import Tanh
from edgewright.ops.transpose import Transpose
from edgewright.ops.transpose_conv2d import TransposeConv2D

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "Abs",
    "Add",
    "AveragePool2D",
    "BatchNorm",
    "Concat",
    "Conv2D",
    "Dense",
    "DepthwiseConv2D",
    "Dequantize",
    "Embedding",
    "HardSigmoid",
    "HardSwish",
    "LayerNorm",
    "LeakyRelu",
    "LogSoftmax",
    "MatMul",
    "MaxPool2D",
    "Mean",
    "Mish",
    "Mul",
    "PRelu",
    "Pad",
    "Quantize",
    "Relu",
    "Relu6",
    "Requantize",
    "Reshape",
    "Resize",
    "Rsqrt",
    "SiLU",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Sub",
    "Tanh",
    "Transpose",
    "TransposeConv2D",
]
