# Every target sets the environment up first; the second time that is a matter of milliseconds.
PYTHON := .venv/bin/python
# One thread a process: results and timings do not depend on the machine's core count, and the workers do not fight.
export OMP_NUM_THREADS := 1
# CI runs the slow tests as well.
SUITE := $(if $(filter true,$(CI)),-m "slow or not slow",)

.PHONY: setup demo test check bench docs clean

setup:
	@scripts/setup

demo: setup
	.venv/bin/edgewright optimize examples/spoken_digits/spoken_digits.onnx --target cortex-m4 \
		--data examples/spoken_digits/calibration.npz --test examples/spoken_digits/test.npz -o build/demo

test: setup
	$(PYTHON) -m pytest -n 2 --dist worksteal --durations 15 $(SUITE)

check: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy --strict src
	$(PYTHON) -m pytest -q tests/test_flow.py

bench: setup
	$(PYTHON) -m benchmarks

docs: setup
	$(PYTHON) docs/generate.py

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
