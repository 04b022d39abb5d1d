"""Arguments and options that several verbs of the command line take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Argument(help="a .tflite, .onnx or .pt2 file, or .npz as saved by Edgewright")]
Prefer = Annotated[str, typer.Option("--prefer", help="speed, or size: C that takes the least flash and more time")]
TargetName = Annotated[str, typer.Option("--target", "-t", help="a target's name (`edgewright targets`) or a .toml file")]
DataSource = Annotated[str | None, typer.Option("--data", "-d", help=".npy, .npz, a folder of images or wav files, or module:function")]
TestSource = Annotated[
    str | None, typer.Option("--test", help="labelled samples for accuracy before and after; never used to choose anything")
]
RecipeName = Annotated[str, typer.Option("--recipe", "-r", help="a named recipe (`edgewright passes`) or a .toml file")]
Settings = Annotated[list[str] | None, typer.Option("--set", "-s", metavar="PASS.OPTION=VALUE", help="an option of a pass; repeatable")]
Out = Annotated[Path, typer.Option("--out", "-o", help="folder for the files")]
OnnxActivations = Annotated[
    str, typer.Option("--onnx-activations", help="int8 (TensorRT), uint8 (fastest in ONNX Runtime on x86) or exact (the device's bytes)")
]
TfliteWeights = Annotated[
    str, typer.Option("--tflite-weights", help="plain; for TensorFlow Lite Micro: tables, decode (few values); for LiteRT: sparse (float)")
]
Reserve = Annotated[
    list[str] | None, typer.Option("--reserve", metavar="NAME=BYTES[@flash]", help="RAM or flash that the firmware needs; repeatable")
]
Json = Annotated[bool, typer.Option("--json", help="print JSON on standard output")]
