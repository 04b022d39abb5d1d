from __future__ import annotations

import shutil

import pytest

from edgewright.errors import BudgetError, TargetError, ToolError
from edgewright.run import device, unicorn
from edgewright.run.device import run_device
from edgewright.run.qemu import run_qemu
from edgewright.run.unicorn import run_unicorn
from edgewright.targets.target import load_target
from tests.run import tiny

CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33")
FIELDS = ("instructions", "instructions_per_layer", "instructions_per_function", "startup_instructions", "peak_stack_bytes", "sections")
pytestmark = pytest.mark.usefixtures("needs_pip_toolchain")


@pytest.mark.parametrize("name", CORES)
def test_figures_are_those_of_qemu(name: str, needs_arm: None) -> None:
    arrays = tiny.inputs()
    mine = run_unicorn(tiny.files(), arrays, load_target(name), outputs=tiny.OUTPUTS, counted_inferences=2)
    tiny.check(mine.outputs, arrays)
    theirs = run_qemu(tiny.files(), arrays, load_target(name), outputs=tiny.OUTPUTS, counted_inferences=2)
    assert {field: getattr(mine, field) for field in FIELDS} == {field: getattr(theirs, field) for field in FIELDS}


def test_what_pip_installs_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled by Zig, run by Unicorn: no program outside the environment."""
    monkeypatch.setattr(shutil, "which", lambda command: None)
    arrays = tiny.inputs()
    run = run_device(tiny.files(), arrays, load_target("cortex-m4"), outputs=tiny.OUTPUTS)
    tiny.check(run.outputs, arrays)
    assert any("Unicorn" in note for note in run.notes)
    assert run.instructions_per_layer is not None
    assert tiny.LOOP_INSTRUCTIONS <= run.instructions_per_layer[1] <= tiny.LOOP_INSTRUCTIONS + 4
    with pytest.raises(BudgetError, match=r"does not fit in nucleo-l412kb: RAM of 40960 bytes is exceeded by \d+; 2048"):
        run_device(tiny.more_ram(20000), arrays, load_target("nucleo-l412kb"))


def test_qemu_is_preferred(needs_arm: None) -> None:
    assert run_device(tiny.files(), tiny.inputs(1), load_target("cortex-m4"), profile=False).notes == ()


@pytest.mark.parametrize("name", ["cortex-m0plus", "cortex-m33"])
def test_faults_overflows_and_hangs_are_found(name: str, needs_arm: None) -> None:
    target, arrays = load_target(name), tiny.inputs(1)
    with pytest.raises(ToolError, match=r"faulted at 0x[0-9a-f]+ in tiny_run"):
        run_unicorn(tiny.undefined_instruction(), arrays, target, profile=False)
    with pytest.raises(BudgetError, match="the stack overflowed"):
        run_unicorn(tiny.too_deep(), arrays, target, profile=False)
    with pytest.raises(BudgetError, match="the stack overflowed"):
        run_unicorn(tiny.large_frame(6000), arrays, target, profile=False)
    with pytest.raises(ToolError, match="did not finish"):
        run_unicorn(tiny.hanging(), arrays, target, timeout_seconds=0.5)


def test_an_unaligned_access_is_found_on_armv6_m(needs_arm: None) -> None:
    with pytest.raises(ToolError, match="an unaligned access at 0x[0-9a-f]+ in tiny_run"):
        run_unicorn(tiny.unaligned(), tiny.inputs(1), load_target("cortex-m0plus"))


def test_cores_that_unicorn_lacks_are_refused() -> None:
    for name in ("cortex-m55", "rv32imac", "host"):
        with pytest.raises(TargetError, match=f"Unicorn does not emulate {name}"):
            run_unicorn(tiny.files(), tiny.inputs(), load_target(name))


def test_a_missing_emulator_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (unicorn, device):
        monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match="unicorn is not installed") as caught:
        run_unicorn(tiny.files(), tiny.inputs(), load_target("cortex-m4"))
    assert "pip-toolchain" in caught.value.hint
