# Everything a machine with Python 3.11+, Java 17+, Maven and make can be asked for.
#   make demo    the main job, from a child's arrival to an accepted alert
#   make up      the same system, running until Ctrl-C
#   make check   before a commit (under a minute)
#   make test    everything but the slow tests
#   make help    all targets

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

# Pythons are found, never downloaded
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1

UV := .uv/bin/uv
BIN := .venv/bin
SOURCES := halyard schemas stores connectors streams flag_service sandbox tests $(wildcard bench)
PYTEST := $(BIN)/coverage run -m pytest
# The table only when the floor is missed
COVERAGE = $(BIN)/coverage report > .coverage.txt && tail -n 1 .coverage.txt || { cat .coverage.txt; exit 1; }

.PHONY: help setup lint mypy unit check pythons test test-full demo up bench format clean

help: ## This list
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/ready ## The virtual environment, with exactly the locked packages

# A pinned uv, by hash, in an environment of its own
.uv/ready: .ci/uv.txt
	@python=$$(.ci/pythons --first)
	echo "setup: uv, with $$python"
	rm -rf .uv
	"$$python" -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .ci/uv.txt
	touch $@

.venv/ready: .uv/ready uv.lock pyproject.toml
	@python=$$(.ci/pythons --first)
	echo "setup: packages, with $$python"
	$(UV) sync --quiet --locked --compile-bytecode --python "$$python"
	touch $@

lint: setup
	@$(BIN)/ruff check --quiet $(SOURCES)
	$(BIN)/ruff format --check --quiet $(SOURCES)
	echo "ruff: ok"
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports --no-logo
	$(UV) lock --check --quiet
	.ci/secrets

mypy: setup
	@$(BIN)/mypy $(SOURCES)

unit: setup
	@$(BIN)/pytest --quiet --durations=5 tests/unit

check: setup ## Style, types, room imports, secrets, unit tests
	@$(MAKE) -j 2 --output-sync=target lint unit

# Unit tests on each other supported Python that is found here
pythons: .venv/ready
	@own=$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	.ci/pythons | while read -r version python; do
		[ "$$version" != "$$own" ] || continue
		echo "python $$version: $$python"
		export UV_PROJECT_ENVIRONMENT=".venv-$$version"
		$(UV) sync --quiet --locked --python "$$python" < /dev/null
		".venv-$$version/bin/pytest" --quiet --durations=0 --durations-min=5 -p no:cacheprovider tests/unit < /dev/null
	done

test: lint pythons ## All checks and tests, on every supported Python found
	@$(PYTEST) -m "not slow"
	$(COVERAGE)

test-full: lint pythons ## The same, with the slow tests, and property tests drawn anew
	@$(PYTEST) --hypothesis-profile=wide
	$(COVERAGE)

demo: setup ## The main job in view; exits 0 if every step held
	@exec $(BIN)/halyard demo

up: setup ## The whole system on this machine until Ctrl-C
	@exec $(BIN)/halyard up

bench: setup ## Measure the spine (docs/performance.md says how to read it)
	@exec $(BIN)/python -m bench.spine

format: setup ## Put imports and layout in order
	@$(BIN)/ruff check --quiet --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean: ## Remove what the targets above made here (not the cache of jars, not data)
	rm -rf .uv .venv .venv-3.* .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
