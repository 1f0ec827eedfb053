# `make` prints what there is. Needed: Python 3.11 or newer, make, and a package index for pip.
#
#   PYTHON=python3.12 make lab             choose the interpreter of .venv (when it is made)
#   make lab LAB_ARGS="--no-browser"       arguments for JupyterLab
#   make test TEST_ARGS="-k header -x"     arguments for pytest

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
LAB_ARGS ?=
TEST_ARGS ?=
FUZZ_SECONDS ?= 600
NOTEBOOK ?= notebooks/00_tour.ipynb
CONSTRAINTS ?= constraints.txt

# A module of tests stays on one worker: its fixtures (a browser, a model) are made once.
PARALLEL := -n auto --maxprocesses 4 --dist loadscope

CANDIDATES := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python)
MODERN := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
# The demo models are data: what their packages would pull in is not wanted.
DEMO := import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*project["optional-dependencies"]["demo"])

.DEFAULT_GOAL := help
.PHONY: help lab test test-fast test-oldest test-oracle lint format bench fuzz binder gpu-check screenshots clean
.DELETE_ON_ERROR:

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

lab: $(VENV)/.installed ## JupyterLab with the tour (LAB_ARGS: arguments for JupyterLab)
	$(BIN)/python -m gguf_lab lab --LabApp.default_url=/lab/tree/$(NOTEBOOK) \
		--LabApp.workspaces_dir=.cache/lab/workspaces $(LAB_ARGS)

test: $(VENV)/.test ## all tests but the oracle's (TEST_ARGS: arguments for pytest)
	$(BIN)/python -m pytest $(PARALLEL) -m "not oracle" $(TEST_ARGS)

test-fast: $(VENV)/.test ## tests without browser, notebooks and slow ones: two minutes at most
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not browser and not notebook and not oracle" $(TEST_ARGS)

test-oldest: ## tests with the oldest versions that pyproject.toml allows (PYTHON: 3.11 or 3.12)
	$(MAKE) VENV=.venv-oldest CONSTRAINTS=.venv-oldest/constraints.txt .venv-oldest/.test
	.venv-oldest/bin/python -m pytest $(PARALLEL) -m "not oracle" -W default $(TEST_ARGS)

test-oracle: $(VENV)/.oracle ## tests against llama.cpp itself (compiles llama-cpp-python once: minutes)
	$(BIN)/python -m pytest -m oracle $(TEST_ARGS)

lint: $(VENV)/.dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev ## let ruff repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test ## time and memory against the obvious script
	$(BIN)/python benchmarks/minilm.py
	$(BIN)/python benchmarks/open_file.py
	$(BIN)/python benchmarks/first_call.py
	$(BIN)/python benchmarks/codec.py

fuzz: $(VENV)/.fuzz ## ten minutes of hostile input, led by coverage (FUZZ_SECONDS: more or less)
	$(BIN)/python -m tests.fuzz.run $(FUZZ_SECONDS)

binder: $(VENV)/.created ## what mybinder.org does, within its limits: 1 CPU, 2 GB
	$(BIN)/python binder/replay.py

gpu-check: $(VENV)/.installed ## every format on a CUDA device: bits and bandwidth
	$(BIN)/python benchmarks/gpu_check.py

screenshots: $(VENV)/.test ## the pictures of the README, taken from a real JupyterLab
	$(BIN)/python docs/screenshots.py

clean: ## remove .venv and everything that was made
	rm -rf $(VENV) .venv-oldest .cache .hypothesis .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
	rm -rf notebooks/output notebooks/*.gguf
	find gguf_lab tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@found=; for python in $(CANDIDATES); do \
		if "$$python" -c '$(MODERN)' >/dev/null 2>&1; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "GGUF Lab needs Python 3.11 or newer with its venv module; tried: $(CANDIDATES)." >&2; \
		echo "Install one (on Debian and Ubuntu also the package python3-venv), or name it:" >&2; \
		echo "    make $(or $(MAKECMDGOALS),lab) PYTHON=/path/to/python3.12" >&2; \
		exit 1; \
	fi; \
	echo "creating $(VENV) with $$found ($$("$$found" --version))"; \
	"$$found" -m venv $(VENV)
	@touch $@

$(VENV)/constraints.txt: tests/oldest.py pyproject.toml constraints.txt | $(VENV)/.created
	$(BIN)/python tests/oldest.py > $@

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(VENV)/.created
	$(BIN)/python -m pip install -c $(CONSTRAINTS) -e .
	$(BIN)/python -m pip install --no-deps $$($(BIN)/python -c '$(DEMO)')
	@touch $@

$(VENV)/.test: $(VENV)/.installed
	$(BIN)/python -m pip install -c $(CONSTRAINTS) -e ".[test]"
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	@touch $@

$(VENV)/.fuzz: $(VENV)/.test
	$(BIN)/python -m pip install -c constraints.txt -e ".[fuzz]"
	@touch $@

# Built for any x86 CPU of the last ten years, not for the one at hand: the same bits everywhere.
$(VENV)/.oracle: $(VENV)/.test
	CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON" \
		$(BIN)/python -m pip install -c constraints.txt llama-cpp-python
	@touch $@
