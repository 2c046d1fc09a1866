# The environment is made on first use, in .venv; PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
GPU_STAMP := $(if $(WHEELS),.venv-gpu/.installed)
GPU_TESTS := tests/resnet_tl/test_gpu.py tests/sweeps/engine/test_device.py tests/sweeps/planning/test_worker_bytes.py
ON_GPU := PYTHONPATH=$(CURDIR) $(if $(WHEELS),.venv-gpu/bin,$(BIN))/python

.PHONY: run test test-all test-lowest docs test-gpu check bench bench-gpu bench-search soak clean

run: $(STAMP)
	$(BIN)/python -m sweeps.run

test: $(STAMP) check
	$(BIN)/python -m pytest -m "not slow and not gpu"

test-all: $(STAMP) check
	$(BIN)/python -m pytest -m "not gpu"

# The quick tests with the lowest versions that pyproject.toml allows. With REST=.venv torch, torchvision and the tools of the
# tests are those of that environment, so that several GB need not be downloaded.
test-lowest: .venv-lowest/.installed
	PYTHONPATH=$(CURDIR) .venv-lowest/bin/python -m pytest -m "not slow and not gpu"

.venv-lowest/.installed: pyproject.toml
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/python -m pip install uv
	.venv-lowest/bin/uv pip compile -q --resolution lowest-direct --python .venv-lowest --no-header --no-annotate \
	  -o .venv-lowest/all.txt pyproject.toml
	grep -vE "^($(if $(REST),torch|torchvision|triton|nvidia-[a-z0-9-]+))==" .venv-lowest/all.txt > .venv-lowest/lowest.txt
	.venv-lowest/bin/uv pip install --python .venv-lowest --no-deps -r .venv-lowest/lowest.txt
	$(if $(REST),$(REST)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	  > "$$(.venv-lowest/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/rest.pth",\
	  .venv-lowest/bin/uv pip install --python .venv-lowest -c .venv-lowest/lowest.txt -e ".[dev]")
	touch $@

# about 40 minutes; needs the Debian package openclipart-png, and a machine that does nothing else meanwhile
bench: $(STAMP)
	$(BIN)/python -m pip install -e ".[bench]"
	$(BIN)/python -m benchmarks.run

# On a machine with a CUDA GPU, no network needed. Either BIN (default: .venv/bin) has all that the project needs,
# pytest and psycopg:           make test-gpu bench-gpu BIN=/opt/conda/bin
# or PYTHON has torch and torchvision, and the folder WHEELS the rest; then .venv-gpu is made on top of PYTHON:
#                               make test-gpu bench-gpu PYTHON=python3 WHEELS=wheels
# The folder is filled where there is a network, by the same version of Python; torch and CUDA's libraries may go from it:
#                               python3 -m pip download -d wheels . "setuptools>=77" pytest "psycopg[binary]"
test-gpu: $(GPU_STAMP)
	@$(ON_GPU) -c "from resnet_tl.device import num_gpus; exit(not num_gpus() and 'error: torch finds no CUDA device')"
	$(ON_GPU) -m pytest -m gpu -rs $(GPU_TESTS)

# writes reports/gpu.md
bench-gpu: $(GPU_STAMP)
	$(ON_GPU) -m benchmarks.gpu

# about 40 minutes; needs the Debian package openclipart-png
bench-search: $(STAMP)
	$(BIN)/python -m pip install -e ".[bench]"
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.full_sweep

# docs/reference.md, and a site of all pages in build/site, which can be read as files
docs: $(STAMP)
	$(BIN)/python -m pip install -q -e ".[docs]"
	$(BIN)/python -m mkdocs build --strict -f docs/site/mkdocs.yml

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

# in two steps: the second builds the project with the setuptools of the first
.venv-gpu/.installed: pyproject.toml
	$(PYTHON) -c "import torch, torchvision"
	$(PYTHON) -m venv --system-site-packages .venv-gpu
	.venv-gpu/bin/python -m pip install --no-index --find-links $(WHEELS) "setuptools>=77" pytest "psycopg[binary]"
	.venv-gpu/bin/python -m pip install --no-index --find-links $(WHEELS) --no-build-isolation -e .
	touch $@

clean:
	rm -rf .venv .venv-gpu .venv-lowest
