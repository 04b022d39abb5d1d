"""A graph as text: one line a node, stable from run to run, fit for diffs and golden files."""

from __future__ import annotations

from edgewright.ir.graph import Graph, Value


def show_value(value: Value) -> str:
    """``name: dtype[shape] (quantization)``."""
    shape = "x".join("N" if size is None else str(size) for size in value.shape)
    text = f"{value.name}: {value.dtype.value}[{shape}]"
    if value.quant is None:
        return text
    if value.quant.axis is not None:
        return f"{text} ({value.quant.dtype.value}, {len(value.quant.scale)} scales along axis {value.quant.axis})"
    return f"{text} ({value.quant.dtype.value}, scale {value.quant.scale[0]:.6g}, zero point {value.quant.zero_point[0]})"


def show_graph(graph: Graph) -> str:
    """The whole graph as text."""
    lines = [f"graph {graph.name} ({graph.level.value})"]
    lines += [f"  input  {show_value(graph.value(name))}" for name in graph.inputs]
    lines += [f"  state  {show_value(graph.value(state.read))} <- {state.write}, at first {state.initial}" for state in graph.states]
    for name, constant in sorted(graph.constants.items()):
        structure = "" if constant.structure is None else " structured"
        lines.append(f"  const  {show_value(graph.value(name))}{structure}")
    for node in graph.nodes:
        attributes = ", ".join(f"{key}={value}" for key, value in node.op.attributes().items())
        outputs = ", ".join(show_value(value) for value in graph.outs(node))
        lines.append(f"  {node.name} = {node.op.kind}({', '.join(node.inputs)}{'; ' if attributes else ''}{attributes}) -> {outputs}")
    lines.append(f"  output {', '.join(graph.outputs)}")
    return "\n".join(lines) + "\n"
