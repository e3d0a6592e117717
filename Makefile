# Python 3.11 to 3.13. `make run ARGS="--epochs=1"` passes flags on.
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
KERNEL := $(wildcard lstm_mnist/recurrence/*.cpp lstm_mnist/recurrence/*.h)
CPP := $(KERNEL) $(wildcard tests/*.cpp)
# Those of setup.py.
LEVELS := $(if $(filter x86_64,$(shell uname -m)),-march=x86-64-v4 -march=x86-64-v3 -march=x86-64,-O3)

.PHONY: run test test-slow lint bench image

run: $(VENV)/installed $(VENV)/built
	$(BIN)/python -m lstm_mnist $(ARGS)

test: $(VENV)/installed-dev $(VENV)/built
	$(BIN)/python -m pytest $(ARGS)

test-slow: $(VENV)/installed-dev $(VENV)/built
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(VENV)/installed-dev $(VENV)/built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CPP)
	@if command -v $(CXX) >/dev/null; then set -ex; for level in $(LEVELS); do \
	    $(CXX) -std=c++17 $$level -fsyntax-only -Wall -Wextra -Werror $(filter %.cpp,$(CPP)); done; \
	else echo "Without a C++ compiler, the kernel's warnings are not looked for." >&2; fi

bench: $(VENV)/installed-bench $(VENV)/built
	$(BIN)/python -m benchmarks $(ARGS)

image:
	docker build --tag lstm-mnist .

$(VENV)/installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	touch $@

$(VENV)/installed-bench: benchmarks/requirements.txt $(VENV)/installed
	$(BIN)/python -m pip install --quiet --requirement benchmarks/requirements.txt
	touch $@

# The compiled kernel, if there is a C++ compiler; pip does not fail without one.
$(VENV)/built: setup.py $(KERNEL) $(VENV)/installed
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@
