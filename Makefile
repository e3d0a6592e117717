# Python 3.11 to 3.13. `make run ARGS="--epochs=1"` passes flags on.
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
KERNEL := $(wildcard lstm_mnist/recurrence/*.cpp lstm_mnist/recurrence/*.h)

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
