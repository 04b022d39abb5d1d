from __future__ import annotations

import numpy as np
import pytest

from edgewright.errors import DataError, ModelError, ToolError
from edgewright.run import toolchain
from edgewright.run.host import run_host
from edgewright.targets.target import load_target
from tests.run import tiny

pytestmark = pytest.mark.usefixtures("needs_cc")


def test_outputs_have_the_dtypes_and_shapes_asked_for() -> None:
    arrays = tiny.inputs()
    run = run_host(tiny.files(), arrays, outputs=tiny.OUTPUTS, layer_names=tiny.LAYERS)
    tiny.check(run.outputs, arrays)
    assert [output.dtype for output in run.outputs] == [np.int32, np.int32]
    assert [output.shape for output in run.outputs] == [(5, 4), (5,)]
    assert run.inferences == 5
    assert run.where == "host"
    assert run.layer_names == tiny.LAYERS
    assert run.seconds_per_inference is not None and 0 <= run.seconds_per_inference < 1
    assert run.instructions_per_inference is None and run.flash_bytes is None and run.ram_bytes is None


def test_without_specifications_outputs_are_bytes() -> None:
    arrays = tiny.inputs()
    rows = run_host(tiny.files(), arrays).outputs[0]
    assert rows.shape == (5, 20) and rows.dtype == np.uint8
    np.testing.assert_array_equal(rows[:, :16].copy().view("<i4"), tiny.expected(arrays)[0])


def test_state_is_kept_when_the_samples_are_a_stream() -> None:
    arrays = tiny.inputs()
    run = run_host(tiny.files(), arrays, outputs=tiny.OUTPUTS, reset_state=False)
    tiny.check(run.outputs, arrays, reset_state=False)


def test_sanitizers_pass_good_code_and_find_a_write_behind_the_arena() -> None:
    arrays = tiny.inputs()
    tiny.check(run_host(tiny.files(), arrays, outputs=tiny.OUTPUTS, sanitize=True).outputs, arrays)
    with pytest.raises(ToolError, match="AddressSanitizer: global-buffer-overflow.*tiny_run"):
        run_host(tiny.out_of_bounds(), arrays, sanitize=True)


def test_sanitizers_find_signed_overflow() -> None:
    files = tiny.with_statements("    tiny_total = 0x7fffffff;\n")
    arrays = [np.full((1, 16), 127, np.int8), np.full((1, 4), 999, np.int16)]
    with pytest.raises(ToolError, match="runtime error: signed integer overflow"):
        run_host(files, arrays, sanitize=True)


def test_a_warning_is_an_error() -> None:
    with pytest.raises(ToolError, match="Werror=conversion") as caught:
        run_host(tiny.with_statements("    {\n        int8_t narrow = tiny_total;\n        tiny_total = narrow;\n    }\n"), tiny.inputs())
    assert caught.value.hint


def test_a_crash_is_a_tool_error() -> None:
    with pytest.raises(ToolError, match="stopped on this computer: signal"):
        run_host(tiny.wild_write(), tiny.inputs())


def test_a_hang_is_a_tool_error() -> None:
    with pytest.raises(ToolError, match="did not finish 5 inferences in 0.5 seconds"):
        run_host(tiny.hanging(), tiny.inputs(), timeout_seconds=0.5)


def test_wrong_inputs_say_what_the_network_takes() -> None:
    first, second = tiny.inputs()
    with pytest.raises(DataError, match="1 inputs were given, the network takes 2"):
        run_host(tiny.files(), [first])
    with pytest.raises(DataError, match="input 0 has 4 bytes a sample, the network takes 16"):
        run_host(tiny.files(), [first[:, :4], second])
    with pytest.raises(DataError, match="input 1 has shape"):
        run_host(tiny.files(), [first, second[:3]])
    with pytest.raises(DataError, match="input 0 is float64"):
        run_host(tiny.files(), [first.astype(float), second])
    with pytest.raises(DataError, match="no inputs"):
        run_host(tiny.files(), [])


def test_wrong_output_specifications_are_a_data_error() -> None:
    with pytest.raises(DataError, match="wrote 20 bytes of output a sample, 16 were expected"):
        run_host(tiny.files(), tiny.inputs(), outputs=tiny.OUTPUTS[:1])
    with pytest.raises(DataError, match="wrote 20 bytes of output a sample, 36 were expected"):
        run_host(tiny.files(), tiny.inputs(), outputs=[*tiny.OUTPUTS, tiny.OUTPUTS[0]])


def test_files_must_be_those_of_one_network() -> None:
    with pytest.raises(ModelError, match="not the files of one network"):
        run_host({"tiny.c": b""}, tiny.inputs())
    for name in ("../evil.c", "/evil.c"):
        with pytest.raises(ModelError, match="not a file name below a folder"):
            run_host(tiny.files() | {name: b""}, tiny.inputs())


def test_a_missing_compiler_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain.shutil, "which", lambda command: None)
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match="no C compiler") as caught:
        run_host(tiny.files(), tiny.inputs())
    assert "apt-get install" in caught.value.hint


def test_a_device_that_runs_linux(needs_aarch64: None) -> None:
    arrays = tiny.inputs()
    run = run_host(tiny.files(), arrays, outputs=tiny.OUTPUTS, target=load_target("cortex-a53"))
    tiny.check(run.outputs, arrays)
    assert run.where == "cortex-a53"


def test_what_an_emulated_linux_device_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    target = load_target("cortex-a76")
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: None)
    with pytest.raises(ToolError, match="qemu-aarch64 is not installed") as caught:
        run_host(tiny.files(), tiny.inputs(), target=target)
    assert "qemu-user" in caught.value.hint
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: name if name.startswith("qemu") else None)
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match="no compiler for cortex-a76: aarch64-linux-gnu-gcc") as caught:
        run_host(tiny.files(), tiny.inputs(), target=target)
    assert "ziglang" in caught.value.hint or "pip-toolchain" in caught.value.hint
