from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.emit.tflite import emit_tflite
from edgewright.errors import DataError, ToolError
from edgewright.frontends.tflite import load_tflite
from edgewright.run.vela import run_vela
from tests.zoo import ZOO, quantize_zoo


def test_a_network_that_fits_the_npu(shared_models: Path, needs_vela: None) -> None:
    """The written file compiles as the original does: the same operators, cycles and memory."""
    data = (shared_models / "mlperf_tiny/ic_int8.tflite").read_bytes()
    original = run_vela({"ic_int8.tflite": data}, "ethos-u55-128")
    written = run_vela(emit_tflite(load_tflite(shared_models / "mlperf_tiny/ic_int8.tflite")), "ethos-u55-128")
    for report in (original, written):
        assert report.npu_share == 1.0 and report.cpu_operators == 0 and not report.on_cpu
        assert report.cycles >= report.npu_cycles > 100_000
        assert report.sram_bytes < 64 * 1024 < report.flash_bytes
        assert 12_000_000 < report.macs < 13_000_000
        assert 0.1 < report.inference_ms < 1.0
    assert (written.cycles, written.sram_bytes, written.npu_operators) == (original.cycles, original.sram_bytes, original.npu_operators)
    assert list(written.files) == ["ic_int8_vela.tflite"] and written.files["ic_int8_vela.tflite"][4:8] == b"TFL3"


def test_what_stays_on_the_cpu_is_told(needs_vela: None) -> None:
    report = run_vela(emit_tflite(quantize_zoo(ZOO["streaming"]())), "ethos-u65-256")
    assert report.cpu_operators > 0 and report.npu_share < 1.0
    assert any(line.startswith("READ_VARIABLE ") and "Unsupported" in line for line in report.on_cpu)


def test_a_system_by_name(needs_vela: None) -> None:
    files = emit_tflite(quantize_zoo(ZOO["conv_same_relu"]()))
    report = run_vela(files, "ethos-u55-256", system_config="Ethos_U55_Deep_Embedded", memory_mode="Sram_Only")
    assert report.system == "Ethos_U55_Deep_Embedded, Sram_Only"
    with pytest.raises(ToolError, match="Vela failed: .*Nowhere"):
        run_vela(files, "ethos-u55-256", system_config="Nowhere", memory_mode="Sram_Only")


def test_what_vela_cannot_do_is_told(needs_vela: None) -> None:
    with pytest.raises(DataError, match="unknown accelerator 'ethos-u99'") as found:
        run_vela({}, "ethos-u99")
    assert "ethos-u55-128" in found.value.hint
    with pytest.raises(DataError, match="expected one .tflite file, got none"):
        run_vela({"a.onnx": b""})
    with pytest.raises(ToolError, match="Vela failed: "):
        run_vela({"a.tflite": b"not a model"})


def test_a_missing_vela_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolError, match="Vela is not installed") as found:
        run_vela({"a.tflite": b""})
    assert "edgewright[ethos-u]" in found.value.hint
