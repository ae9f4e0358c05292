# The doors of this repository. Nothing is needed but python3 (3.11 or newer), its venv module and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install -qq --retries 5 -c constraints.txt
DEFINITIONS := pyproject.toml constraints.txt $(wildcard plugins/*/pyproject.toml)
RUN_TESTS ?= $(BIN)/python -m pytest
SOURCES := conftest.py rmail_kernel plugins examples tests docs benchmarks
SETTINGS_OF := smtp imap relay api
# Percent of lines and branches under test; it only rises.
COVERAGE_FLOOR := 95

.PHONY: help run serve alias delalias listaliases test check lint coverage cov fix bench docs constraints clean

help: ## list the doors
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

run: $(VENV)/.installed ## make the environment and a demo store, then serve on loopback
	@exec $(BIN)/rmail dev

serve: $(VENV)/.installed ## serve ./config.json
	@exec $(BIN)/rmail run

# What is not given as DOMAIN=, PATTERN= and TARGET= (several with blanks between) is asked for.
ASK = ask() { [ -n "$${!1:-}" ] || read -rp "$$2: " "$$1"; }; ask DOMAIN domain

alias: $(VENV)/.installed ## add an alias to the store of ./config.json
	@$(ASK); ask PATTERN pattern; ask TARGET target; set -f; \
		exec $(BIN)/rmail alias add "$$DOMAIN" "$$PATTERN" $$TARGET

delalias: $(VENV)/.installed ## remove one
	@$(ASK); ask PATTERN pattern; exec $(BIN)/rmail alias remove "$$DOMAIN" "$$PATTERN"

listaliases: $(VENV)/.installed ## list those of a domain
	@$(ASK); exec $(BIN)/rmail alias list "$$DOMAIN"

test: $(VENV)/.installed-dev ## the test suite
	$(RUN_TESTS)

check: lint coverage ## what CI runs

lint: $(VENV)/.installed-dev ## format, lint, types, import contracts
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports

coverage: $(VENV)/.installed-dev ## the test suite with the coverage floor
	$(BIN)/coverage erase
	$(MAKE) --no-print-directory test RUN_TESTS="$(BIN)/coverage run -m pytest" | tee .coverage-tests
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --skip-empty --fail-under=$(COVERAGE_FLOOR)
	@tail -n 1 .coverage-tests

cov: coverage ## the same, with pages that show what is not covered
	$(BIN)/coverage html --directory build/coverage
	@echo "see build/coverage/index.html"

fix: $(VENV)/.installed-dev ## format, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev ## ratios against other servers, where they are installed
	$(BIN)/python -m benchmarks.compare

docs: $(VENV)/.installed-dev ## write the pages that are made from the code
	$(BIN)/rmail config docs $(SETTINGS_OF) > docs/settings.md.tmp && mv docs/settings.md.tmp docs/settings.md
	@set -e; for script in docs/build_*.py; do $(BIN)/python $$script; done

constraints: $(VENV)/.installed-dev ## write down the versions that are installed
	$(PIP) freeze --exclude-editable | grep -E '^[A-Za-z0-9._-]+==' > constraints.txt.tmp && mv constraints.txt.tmp constraints.txt

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) build .coverage* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rmail needs Python 3.11 or newer; PYTHON=... names another")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "rmail needs the venv module of Python (Debian: apt install python3-venv)" >&2; exit 1; }

$(VENV)/.installed: $(BIN)/python requirements.txt $(DEFINITIONS)
	@echo "installing into $(VENV) ..."
	@$(INSTALL) -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python requirements.txt requirements-dev.txt $(DEFINITIONS) $(wildcard examples/*/pyproject.toml)
	@echo "installing into $(VENV), with the tools ..."
	@$(INSTALL) -r requirements-dev.txt
	@touch $(VENV)/.installed $@
