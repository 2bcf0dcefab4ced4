# One way in. Each target makes the virtual environment that it needs; a second call finds it made.
#
#   make test PYTHON=python3.13 VENV=.venv-3.13      another interpreter, beside the first
#   make test ARGS="-k drain -x"                     anything more for pytest

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
VERSIONS ?= 3.11 3.12 3.13

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

# Code that mypy and ruff read beyond what pyproject.toml names, as far as it is there.
EXTRA_TYPED := $(wildcard benchmarks examples)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two pips in one environment at a time would trip over each other.
.NOTPARALLEL:
.PHONY: help run test test-soak test-cpython test-all lint types floors docs format bench bench-quick wheel clean

help:  ## this list
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## *\(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

run: $(VENV)/.core  ## serve the demo: TCP, UDP and Unix servers in one loop
	@$(BIN)/python examples/demo.py $(ARGS)

test: $(VENV)/.test  ## the quick suite
	$(BIN)/python -m pytest $(ARGS)

test-soak: $(VENV)/.test  ## the long tests, and the property tests with many more, fresh examples
	$(BIN)/python -m pytest -m "soak or hypothesis" --hypothesis-profile=soak --timeout=3600 $(ARGS)

test-cpython: $(VENV)/.test  ## CPython's own tests round socketserver, all of them, on the drop-in
	$(BIN)/python -m pytest -m cpython --timeout=120 tests/dropin $(ARGS)

test-all:  ## the quick suite on each of VERSIONS that is installed
	@ran=; failed=; for version in $(VERSIONS); do \
	    python=$$(tools/python.sh $$version) || { echo "== $$version: not installed, skipped"; continue; }; \
	    echo "== $$version"; ran="$$ran $$version"; \
	    $(MAKE) --no-print-directory test PYTHON="$$python" VENV=.venv-$$version || failed="$$failed $$version"; \
	done; \
	test -n "$$ran" || { echo "none of $(VERSIONS) is installed" >&2; exit 1; }; \
	test -z "$$failed" || { echo "failed on:$$failed" >&2; exit 1; }; \
	echo "passed on:$$ran"

lint: $(VENV)/.dev  ## ruff
	$(BIN)/ruff check .

types: $(VENV)/.dev  ## mypy, strict
	$(BIN)/mypy
	$(if $(EXTRA_TYPED),$(BIN)/mypy $(EXTRA_TYPED))

floors:  ## hold the imports to the table in docs/architecture.md
	$(PYTHON) tools/floors.py

docs:  ## redraw what docs/architecture.md shows of the code
	$(PYTHON) tools/floors.py --draw

format: $(VENV)/.dev  ## let ruff mend what it safely can
	$(BIN)/ruff check --fix .

bench: $(VENV)/.bench  ## measure against the standard library and others
	$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(VENV)/.bench  ## the same in a minute or two, for a first look
	$(BIN)/python -m benchmarks --quick $(ARGS)

wheel: $(VENV)/.dev  ## build dist/*.whl and try it in an environment of its own
	rm -rf build dist
	$(BIN)/python -m build --wheel --outdir dist -C--global-option=--quiet .
	$(BIN)/python tools/wheel.py dist

clean:  ## remove everything that make made
	rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp per extra, so that `make run` installs nothing but the package and a repeated call installs nothing at all.

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.core: $(VENV)/.made pyproject.toml
	$(PIP) --editable .
	@touch $@

$(VENV)/.test $(VENV)/.dev $(VENV)/.bench: $(VENV)/.%: $(VENV)/.made pyproject.toml
	$(PIP) --editable '.[$*]'
	@touch $@
