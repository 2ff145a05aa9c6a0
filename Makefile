# Two commands do everything on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= out

.PHONY: demo test reference check format lint layers types docs-check bench faults clean

$(VENV)/.base: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --editable . --group test
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --group lint
	@touch $@

demo: $(VENV)/.base ## Load the real files of examples/data with four workers into a DuckDB file
	@mkdir -p $(OUT)
	$(BIN)/oarlock load examples/data --pipeline demo --pipelines-dir $(OUT)/pipelines \
		--destination duckdb:///$(CURDIR)/$(OUT)/demo.duckdb --workers 4

test: $(VENV)/.test ## Run the tests
	$(BIN)/python -m pytest --ignore tests/docs

check: format lint layers types ## Everything CI checks besides the tests

format: $(VENV)/.lint
	$(BIN)/ruff format --check .

lint: $(VENV)/.lint
	$(BIN)/ruff check .

layers: $(VENV)/.lint
	$(BIN)/lint-imports

types: $(VENV)/.lint
	$(BIN)/mypy

docs-check: $(VENV)/.test ## Run every snippet of README and docs
	$(BIN)/python -m pytest tests/docs

reference: $(VENV)/.test ## Write docs/reference from docstrings, errors and the command
	$(BIN)/python docs/make_reference.py

faults: $(VENV)/.test ## The kill sweeps, every point
	OARLOCK_SWEEP_EVERY=1 $(BIN)/python -m pytest tests/faults -s

bench: $(VENV)/.test ## All benchmarks, beside dlt
	for one in benchmarks/bench_*.py; do $(BIN)/python $$one || exit 1; done

clean:
	rm -rf $(VENV) $(OUT) dist build
