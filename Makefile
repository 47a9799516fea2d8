# serve, demo, test, check, chaos, bench: what people and CI run. Everything is installed into a virtual environment of its own.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo serve test check chaos bench docs clean

demo: $(VENV)/.installed   ## a three-zone replication group and a failover before your eyes; stays up until Ctrl-C
	@$(BIN)/python -m cachewright demo

serve: $(VENV)/.installed  ## the plain server: cachewright serve
	@$(BIN)/cachewright serve $(ARGS)

test: $(VENV)/.dev check   ## every test, on real engines
	@scripts/system-packages
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

check: $(VENV)/.dev        ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

chaos: $(VENV)/.dev        ## a long storm of faults under clients that check every write; ARGS="--rounds 200 --seed 7"; over hosts: ARGS=--hosts
	@scripts/system-packages
	PYTHONPATH=tests:. $(BIN)/python -m chaos $(ARGS)

bench: $(VENV)/.dev        ## figures, side by side in one run; see bench/README.md
	@scripts/system-packages
	$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/.dev         ## regenerate the generated pages
	$(BIN)/python -m docs.generate

$(VENV)/.installed: pyproject.toml
	@PYTHON="$(PYTHON)" scripts/virtual-environment $(VENV) .
	@touch $@

$(VENV)/.dev: pyproject.toml
	@PYTHON="$(PYTHON)" scripts/virtual-environment $(VENV) '.[dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
