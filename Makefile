# The environment is made on first use, in .venv; PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: run test test-all check bench soak clean

run: $(STAMP)
	$(BIN)/python -m sweeps.run

test: $(STAMP) check
	$(BIN)/python -m pytest -m "not slow and not gpu"

test-all: $(STAMP) check
	$(BIN)/python -m pytest -m "not gpu"

# about 40 minutes; needs the Debian package openclipart-png, and a machine that does nothing else meanwhile
bench: $(STAMP)
	$(BIN)/python -m pip install -e ".[bench]"
	$(BIN)/python -m benchmarks.run

# hours; needs the Debian package postgresql
soak: $(STAMP)
	$(BIN)/python -m benchmarks.soak

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m sweeps.report docs=[docs/,README.md] check=true

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -e ".[dev]"
	touch $(STAMP)

clean:
	rm -rf .venv
