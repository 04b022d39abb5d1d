"""Which version of a .tflite operator a use of it needs, and which runtime was the first to know that version.

Source: tools/versioning of LiteRT (op_version.cc, runtime_version.cc). Runtimes refuse a version that they do not know, so the lowest that
fits is written.
"""

from __future__ import annotations

_INT8_IS_2 = ("ADD", "SUB", "AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION", "LOGISTIC", "TANH", "LOG_SOFTMAX", "MEAN", "RELU", "RELU6",
              "SLICE", "SOFTMAX", "GATHER", "GELU", "MIRROR_PAD", "BATCH_MATMUL", "RSQRT", "ABS")
"""Version 1 in float, 2 at int8."""
_INT16 = {"SUB": 5, "LEAKY_RELU": 2, "PRELU": 1, "SLICE": 4}
"""At int16; 3 where it does not stand here."""


def simple_version(kind: str, dtype: str) -> int:
    """Operators whose version depends on the type of their first input (``dtype``) alone."""
    if dtype == "INT16":
        return _INT16.get(kind, 3)
    return 2 if kind in _INT8_IS_2 and dtype == "INT8" else 1


def convolution_version(inputs: str, weight: str, *, per_channel: bool, grouped: bool) -> int:
    """CONV_2D."""
    if grouped:
        return 6
    if inputs == "INT16":
        return 4
    if inputs == "INT8":
        return 7 if weight == "INT4" else 3
    if weight == "INT8":
        return 5 if per_channel else 2
    return 1


def depthwise_version(inputs: str, weight: str, *, per_channel: bool, dilated: bool) -> int:
    """DEPTHWISE_CONV_2D."""
    if inputs == "INT16":
        return 5
    if inputs == "INT8":
        return 7 if weight == "INT4" else 3
    if weight == "INT8":
        return 6 if per_channel else 4
    return 2 if dilated else 1


def dense_version(inputs: str, weight: str, *, per_channel: bool, keep_num_dims: bool) -> int:
    """FULLY_CONNECTED."""
    if inputs == "INT16":
        return 7
    if inputs == "INT8" and weight == "INT4":
        return 10
    if inputs == "FLOAT32" and weight == "INT8":
        return 12 if per_channel else 5 if keep_num_dims else 3
    if keep_num_dims:
        return 5
    return 4 if inputs == "INT8" else 1


def transpose_conv_version(inputs: str, *, bias: bool, fused: bool) -> int:
    """TRANSPOSE_CONV."""
    return 4 if fused else 3 if bias else 2 if inputs in ("INT8", "INT16") else 1


def mul_version(inputs: str, factor: float) -> int:
    """MUL; ``factor`` is input scale * input scale / output scale, 0 in float."""
    if inputs == "INT16":
        return 4
    return 3 if factor >= 1.0 else simple_version("ADD", inputs)


def moving_version(kind: str, dtype: str, rank: int) -> int:
    """TRANSPOSE, PAD, PADV2, SLICE, STRIDED_SLICE: more axes than four came later."""
    wide = {"TRANSPOSE": 6 if rank > 5 else 4, "PAD": 4, "PADV2": 4, "SLICE": 5, "STRIDED_SLICE": 4}[kind]
    if dtype == "INT16" and (rank <= 4 or (kind == "TRANSPOSE" and rank == 5)):
        return {"TRANSPOSE": 5, "SLICE": 4, "STRIDED_SLICE": 1}.get(kind, 3)
    return wide if rank > 4 else 2 if dtype == "INT8" else 1


def resize_version(dtype: str, *, later_option: bool) -> int:
    """RESIZE_BILINEAR (``later_option``: half_pixel_centers) and RESIZE_NEAREST_NEIGHBOR (align_corners or half_pixel_centers)."""
    return 4 if dtype == "INT16" else 3 if later_option else 2 if dtype == "INT8" else 1


def quantize_version(dtype: str) -> int:
    """QUANTIZE; ``dtype``: of its output."""
    return 2 if dtype == "INT16" else 1


def dequantize_version(dtype: str, *, per_channel: bool) -> int:
    """DEQUANTIZE."""
    return {"INT4": 6, "FLOAT16": 3, "INT16": 3}.get(dtype, 5 if per_channel else 2)


_RUNTIMES: dict[tuple[str, int], str] = {
    ("ADD", 1): "1.5.0", ("ADD", 2): "1.14.0", ("ADD", 3): "2.4.0", ("SUB", 5): "2.4.0", ("MUL", 4): "2.3.0", ("CONV_2D", 4): "2.3.0",
    ("DEPTHWISE_CONV_2D", 5): "2.3.0", ("FULLY_CONNECTED", 7): "2.3.0", ("AVERAGE_POOL_2D", 3): "2.3.0", ("MAX_POOL_2D", 3): "2.3.0",
    ("CONCATENATION", 3): "2.3.0", ("SOFTMAX", 3): "2.3.0", ("LOGISTIC", 3): "2.3.0", ("TANH", 3): "2.3.0", ("LEAKY_RELU", 2): "2.3.0",
    ("TRANSPOSE", 5): "2.4.0", ("PAD", 3): "2.4.0", ("PADV2", 3): "2.4.0", ("SLICE", 4): "2.4.0", ("MEAN", 3): "2.4.0",
    ("BATCH_MATMUL", 3): "2.4.0", ("RESIZE_NEAREST_NEIGHBOR", 4): "2.4.0", ("RESIZE_BILINEAR", 4): "2.5.0", ("RELU", 3): "2.5.0",
    ("RELU6", 3): "2.5.0", ("MIRROR_PAD", 3): "2.12.0", ("QUANTIZE", 2): "1.15.0", ("SUB", 1): "1.6.0", ("SUB", 2): "1.14.0",
    ("MUL", 1): "1.5.0", ("MUL", 2): "1.14.0", ("MUL", 3): "1.15.0",
    ("AVERAGE_POOL_2D", 1): "1.5.0", ("AVERAGE_POOL_2D", 2): "1.14.0", ("MAX_POOL_2D", 1): "1.5.0", ("MAX_POOL_2D", 2): "1.14.0",
    ("CONV_2D", 1): "1.5.0", ("CONV_2D", 2): "1.14.0", ("CONV_2D", 3): "1.14.0", ("CONV_2D", 5): "2.4.0", ("CONV_2D", 6): "2.9.0",
    ("CONV_2D", 7): "2.11.0",
    ("DEPTHWISE_CONV_2D", 1): "1.5.0", ("DEPTHWISE_CONV_2D", 2): "1.12.0", ("DEPTHWISE_CONV_2D", 3): "1.14.0",
    ("DEPTHWISE_CONV_2D", 4): "2.2.0",
    ("DEPTHWISE_CONV_2D", 6): "2.3.0", ("DEPTHWISE_CONV_2D", 7): "2.11.0",
    ("FULLY_CONNECTED", 1): "1.5.0", ("FULLY_CONNECTED", 3): "1.14.0", ("FULLY_CONNECTED", 4): "1.14.0", ("FULLY_CONNECTED", 5): "2.0.0",
    ("FULLY_CONNECTED", 8): "2.3.0", ("DENSIFY", 1): "2.2.0", ("CUSTOM TFLM_DECODE", 1): "1.5.0",
     ("FULLY_CONNECTED", 10): "2.11.0", ("FULLY_CONNECTED", 12): "2.17.0",
    ("TRANSPOSE_CONV", 1): "1.9.0", ("TRANSPOSE_CONV", 2): "2.2.0", ("TRANSPOSE_CONV", 3): "2.3.0", ("TRANSPOSE_CONV", 4): "2.13.0",
    ("BATCH_MATMUL", 1): "2.3.0", ("BATCH_MATMUL", 2): "2.3.0",
    ("UNIDIRECTIONAL_SEQUENCE_LSTM", 1): "1.13.1",
    ("SQUARED_DIFFERENCE", 1): "1.13.1", ("RSQRT", 1): "1.10.0", ("RSQRT", 2): "2.5.0",
    ("CONCATENATION", 1): "1.5.0", ("CONCATENATION", 2): "1.14.0", ("RESHAPE", 1): "1.5.0",
    ("TRANSPOSE", 1): "1.6.0", ("TRANSPOSE", 2): "1.14.0", ("TRANSPOSE", 4): "2.3.0", ("TRANSPOSE", 6): "2.12.0",
    ("PAD", 1): "1.5.0", ("PAD", 2): "1.14.0", ("PAD", 4): "2.6.0", ("PADV2", 1): "1.9.0", ("PADV2", 2): "1.14.0", ("PADV2", 4): "2.6.0",
    ("MIRROR_PAD", 1): "1.13.1", ("MIRROR_PAD", 2): "2.3.0",
    ("SLICE", 1): "1.14.0", ("SLICE", 2): "1.14.0", ("SLICE", 5): "2.5.0",
    ("STRIDED_SLICE", 1): "1.6.0", ("STRIDED_SLICE", 2): "1.14.0", ("STRIDED_SLICE", 4): "2.2.0",
    ("RESIZE_BILINEAR", 1): "1.7.0", ("RESIZE_BILINEAR", 2): "1.14.0", ("RESIZE_BILINEAR", 3): "2.2.0",
    ("RESIZE_NEAREST_NEIGHBOR", 1): "1.13.1", ("RESIZE_NEAREST_NEIGHBOR", 2): "1.14.0", ("RESIZE_NEAREST_NEIGHBOR", 3): "2.3.0",
    ("MEAN", 1): "1.6.0", ("MEAN", 2): "1.14.0", ("SOFTMAX", 1): "1.5.0", ("SOFTMAX", 2): "1.14.0", ("LOG_SOFTMAX", 1): "1.14.0",
    ("LOG_SOFTMAX", 2): "1.14.0",
    ("RELU", 1): "1.5.0", ("RELU", 2): "2.1.0", ("RELU6", 1): "1.5.0", ("RELU6", 2): "1.14.0", ("LEAKY_RELU", 1): "1.13.1",
    ("PRELU", 1): "1.8.0",
    ("LOGISTIC", 1): "1.14.0", ("LOGISTIC", 2): "1.14.0", ("TANH", 1): "1.14.0", ("TANH", 2): "1.14.0", ("HARD_SWISH", 1): "1.15.0",
    ("ELU", 1): "1.14.0", ("ABS", 1): "1.13.0", ("ABS", 2): "2.4.0",
    ("GATHER", 1): "1.6.0", ("GATHER", 2): "1.14.0",
    ("GELU", 1): "2.9.0", ("GELU", 2): "2.9.0",
    ("QUANTIZE", 1): "1.14.0", ("DEQUANTIZE", 2): "1.14.0", ("DEQUANTIZE", 3): "1.15.0", ("DEQUANTIZE", 5): "2.7.0",
    ("DEQUANTIZE", 6): "2.18.0",
    ("CALL_ONCE", 1): "2.5.0", ("VAR_HANDLE", 1): "2.6.0", ("READ_VARIABLE", 1): "2.6.0", ("ASSIGN_VARIABLE", 1): "2.6.0",
}


def minimum_runtime(codes: list[tuple[str, int]]) -> str:
    """The oldest runtime that knows every (operator, version) of ``codes``."""
    return max((_RUNTIMES[code] for code in codes), key=lambda text: tuple(int(part) for part in text.split(".")), default="1.5.0")
