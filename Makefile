# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test test-oldest browser docs release quality style clean

install: $(STAMP)

# torch goes first and pinned: any other order lets pip pick a multi-gigabyte CUDA build.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.demo

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

# The oldest transformers that `pyproject.toml` allows, in an environment of its own; pip chooses what depends on it.
OLDEST := .venv-oldest
$(OLDEST)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/pip install -q -c constraints.txt torch
	grep -v -E '^(transformers|tokenizers|huggingface_hub)==' constraints.txt > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/pip install -q -c $(OLDEST)/constraints.txt -e '.[dev]' \
		transformers==$$(sed -n 's/.*"transformers>=\([0-9.]*\)".*/\1/p' pyproject.toml)
	touch $@

test-oldest: $(OLDEST)/.installed
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -n 2

# What the browser test of the Space needs; without it that one test is skipped.
browser: install
	$(BIN)/pip install -q -c constraints.txt -e '.[browser,space]'
	command -v chromedriver > /dev/null || apt-get install -y --no-install-recommends chromium chromium-driver

# The site, its tutorials executed and asserted; written to site/, read offline.
docs: install
	$(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	$(BIN)/python -m mkdocs build --strict

# sdist, wheel and dist/hub, each checked; needs an index for a clean environment.
release: install
	$(BIN)/pip install -q -c constraints.txt -e '.[release]'
	$(BIN)/python -m benchmarks.release

quality: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_imports.py

style: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(OLDEST) demo build dist site .tutorials
