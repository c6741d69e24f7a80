# The words: setup demo test lint bench docs. Each does all the set-up it needs.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup demo test lint bench docs

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

demo: .venv/ready
	$(BIN)/lw demo

# Three at once: journeys mostly wait for processes. In order, so that the long ones are not left for last.
test: .venv/ready
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# PEERS="kedro hamilton" installs each peer in a virtual environment of its own under .bench/ and times it beside us.
bench: .venv/ready
	$(BIN)/python -m bench $(PEERS)

docs: .venv/ready
	$(BIN)/python docs/generate.py
