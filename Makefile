# Python 3.11 to 3.13. `make run ARGS="--epochs=1"` passes flags on.
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
# What is built is built by the setuptools of a lock, not by the newest.
INSTALL := $(BIN)/python -m pip install --quiet --no-build-isolation --require-hashes --requirement
KERNEL := $(wildcard lstm_mnist/recurrence/*.cpp lstm_mnist/recurrence/*.h)
CPP := $(KERNEL) $(wildcard tests/*/*.cpp)
# Those of setup.py.
LEVELS := $(if $(filter x86_64,$(shell uname -m)),-march=x86-64-v4 -march=x86-64-v3 -march=x86-64,-O3)
# Where there was no compiler, the stamp has another name, so that one installed later builds.
COMPILER := $(shell command -v $(CXX) 2>/dev/null)
BUILT := $(VENV)/built$(if $(COMPILER)$(wildcard $(VENV)/built),,-without-compiler)

.PHONY: run test test-slow lint bench image lock

run: $(VENV)/installed $(BUILT)
	$(BIN)/python -m lstm_mnist $(ARGS)

test: $(VENV)/installed-dev $(BUILT)
	$(BIN)/python -m pytest $(ARGS)

test-slow: $(VENV)/installed-dev $(BUILT)
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(VENV)/installed-dev $(BUILT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CPP)
	@if command -v $(CXX) >/dev/null; then set -ex; for level in $(LEVELS); do \
	    $(CXX) -std=c++17 $$level -fsyntax-only -Wall -Wextra -Werror $(filter %.cpp,$(CPP)); done; \
	else echo "Without a C++ compiler, the kernel's warnings are not looked for." >&2; fi

# PyTorch is not in the lock: any build of its version will do, and hashes would choose one.
bench: $(VENV)/installed-bench $(BUILT)
	$(BIN)/python -m benchmarks $(ARGS)

image:
	docker build --tag lstm-mnist .

# Writes the locks: each requirements*.txt with all that it needs, pinned with hashes for Python 3.11
# to 3.13. Pins stay where they can; ARGS=--upgrade renews them.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --custom-compile-command "make lock"
lock: $(VENV)/installed-dev
	$(LOCK) requirements-dev.txt --output-file requirements-dev.lock $(ARGS)
	for name in requirements-build requirements requirements-compare requirements-gpu benchmarks/requirements; do \
	    $(LOCK) $$name.txt --output-file $$name.lock --constraint requirements-dev.lock $(ARGS) || exit; \
	done

$(VENV)/installed: requirements-build.lock requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) requirements-build.lock
	$(INSTALL) requirements.lock
	touch $@

$(VENV)/installed-dev: requirements-dev.lock $(VENV)/installed
	$(INSTALL) requirements-dev.lock
	touch $@

$(VENV)/installed-bench: benchmarks/requirements.lock benchmarks/requirements.txt $(VENV)/installed
	$(INSTALL) benchmarks/requirements.lock
	$(BIN)/python -m pip install --quiet --requirement benchmarks/requirements.txt
	touch $@

# The compiled kernel, if there is a C++ compiler; pip does not fail without one.
$(BUILT): setup.py $(KERNEL) $(VENV)/installed
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(if $(COMPILER),,rm -f $(VENV)/built)
	touch $(VENV)/built$(if $(COMPILER),,-without-compiler)
