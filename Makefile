# Two commands for newcomers: make demo, make test. Each sets up all it needs in .venv and says what is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test check lint slow servers test-emulation bench bench-soak wheel clean

help:
	@echo "make demo        convert a real face detector, prove it, run it over a real video under the watchdog (under 5 minutes)"
	@echo "make test        the fast tests"
	@echo "make check       ruff, mypy, the fast tests, then the slow ones"
	@echo "make servers     make the environments of MLServer, Triton and TorchServe for the slow tests (2 GB; else on demand)"
	@echo "make test-emulation  the wheel on emulated Arm userlands and in a virtual machine (as root; under 25 minutes from nothing)"
	@echo "make bench       the benchmark table (under 15 minutes); make bench-soak: the long ones"
	@echo "make wheel       build the wheel and the source distribution into dist/"
	@echo "PYTHON=python3.12 make ... takes another Python (3.10 to 3.13)"

demo: $(VENV)/demo.stamp
	$(BIN)/python -m examples.face.demo

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m "not slow"

check: lint test slow

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

slow: $(VENV)/frameworks.stamp
	$(BIN)/python -m pytest -m "slow and not emulation"

servers: $(VENV)/dev.stamp
	$(BIN)/python -m tests.serving.environments

# One line a behaviour; the first time makes root folders and a disk, which are kept in the user's cache folder.
test-emulation: $(VENV)/dev.stamp
	$(BIN)/python -m pytest tests/emulation -m emulation -v --durations=15

bench: $(VENV)/demo.stamp
	$(BIN)/python -m benchmarks

bench-soak: $(VENV)/demo.stamp
	$(BIN)/python -m benchmarks.soak

wheel: $(VENV)/dev.stamp
	rm -rf build/lib build/bdist.*
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/demo.stamp: setup.cfg $(VENV)/made.stamp
	$(BIN)/python -m pip install --quiet --editable '.[convert,camera]'
	@touch $@

$(VENV)/dev.stamp: setup.cfg $(VENV)/made.stamp
	$(BIN)/python -m pip install --quiet --editable '.[convert,camera,onnx,dev]'
	@touch $@

# torch by its exact version first: a range takes whatever build the index has newest, which may be one of several GB.
$(VENV)/frameworks.stamp: setup.cfg $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable '.[convert,camera,report,onnx,keras,torch,sweep,dev,judges]'
	@touch $@

$(VENV)/made.stamp:
	@command -v $(PYTHON) >/dev/null || { echo "missing: $(PYTHON). Run: sudo apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "missing: Python 3.10 or newer; $$($(PYTHON) --version) was found. Run: PYTHON=python3.11 make ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: venv for $(PYTHON). Run: sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@
