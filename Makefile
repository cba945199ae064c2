# Everything a machine with Python 3.11+, Java 17+, Maven and make can be asked for.
#   make demo    the main jobs: a child's arrival to an accepted alert, a death to its case
#   make up      the same system, running until Ctrl-C
#   make check   before a commit (under a minute)
#   make test    everything but the slow tests and the other Pythons
#   make help    all targets

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

# Pythons are found, never downloaded
export UV_PYTHON_DOWNLOADS := never
# Tests start hundreds of processes and each worker reads 600 test modules: compiled once, and kept
unexport PYTHONDONTWRITEBYTECODE
export UV_NO_PROGRESS := 1

UV := .uv/bin/uv
BIN := .venv/bin
ROOMS := halyard schemas stores policies connectors streams flag_service sandbox
SOURCES := $(ROOMS) tests $(wildcard bench)
# docs/howto/test.md says how the tests are spread
WORKERS := 3
# Each worker measures its own part; measuring doubles the time of what is pure Python
MEASURED := $(BIN)/coverage run --data-file=.coverage.run -m pytest -n $(WORKERS)
# The table only when the floor is missed
COVERAGE = mkdir -p build && $(BIN)/coverage combine --quiet && $(BIN)/coverage report > build/coverage.txt \
	&& grep '^TOTAL' build/coverage.txt || { cat build/coverage.txt; exit 1; }
# Arguments of tests.fuzz.run, as in: make fuzz FUZZ="--target er7 --seconds 60"
FUZZ :=

.PHONY: help setup lint mypy scan unit check pythons warm test test-full fuzz mutation demo up bench bench-floods bench-upload bench-cases bench-flag-lookup bench-pds bench-identity bench-labelled format clean \
	compose-demo compose-up compose-down local-docker

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

# Faults in the code that a tool can see, and packages with known ones
scan: setup
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml $(ROOMS)
	echo "bandit: ok"
	$(BIN)/python .ci/advisories

unit: setup
	@$(BIN)/pytest --quiet --durations=5 tests/unit

check: setup ## Style, types, room imports, secrets, known faults, unit tests
	@$(MAKE) -j 3 --output-sync=target lint scan unit

# Unit tests on each supported Python that is found here
pythons: .venv/ready
	@own=$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	.ci/pythons | sort -V | while read -r version python; do
		[ "$$version" != "$$own" ] || continue
		echo "python $$version: $$python"
		export UV_PROJECT_ENVIRONMENT=".venv-$$version"
		$(UV) sync --quiet --locked --python "$$python" < /dev/null
		".venv-$$version/bin/pytest" --quiet --durations=0 --durations-min=5 -p no:cacheprovider -n $(WORKERS) tests/unit < /dev/null
	done

# In a fresh checkout: each test module compiled once, and not by every worker at the same time
warm: setup
	@[ -d tests/unit/__pycache__ ] || $(BIN)/pytest --collect-only --quiet > /dev/null

test: setup ## All checks and tests but slow ones
	@$(MAKE) -j 2 --output-sync=target lint scan warm
	$(BIN)/python -m compileall -q $(ROOMS)
	$(BIN)/pytest -n $(WORKERS) -m "not slow"

test-full: lint scan pythons ## The same on all Pythons, with slow tests, property tests drawn anew, coverage
	@$(BIN)/coverage erase
	$(MEASURED) --hypothesis-profile=wide
	$(COVERAGE)

fuzz: .uv/ready ## 20 minutes or 2 million inputs for each parser (an hour on two cores)
	@python=$$(.ci/pythons --first)
	export UV_PROJECT_ENVIRONMENT=.venv-fuzz
	$(UV) sync --quiet --locked --group fuzz --python "$$python"
	exec nice -n 19 .venv-fuzz/bin/python -m tests.fuzz.run $(FUZZ)

mutation: .uv/ready ## Change the identity and policy decisions one by one: which changes does no test notice? (half an hour)
	@python=$$(.ci/pythons --first)
	export UV_PROJECT_ENVIRONMENT=.venv-mutation
	$(UV) sync --quiet --locked --group mutation --python "$$python"
	exec nice -n 19 .venv-mutation/bin/python .ci/mutation

demo: setup ## The main jobs in view; exits 0 if every step held
	@exec $(BIN)/halyard demo

up: setup ## The whole system on this machine until Ctrl-C
	@exec $(BIN)/halyard up

bench: setup ## Measure the spine (docs/performance.md says how to read it)
	@exec $(BIN)/python -m bench.spine

bench-floods: setup ## Measure a good MLLP sender beside a flood (docs/performance.md)
	@exec $(BIN)/python -m bench.floods

bench-upload: setup ## Measure flag files of 15,000 and 150,000 records (half an hour)
	@exec $(BIN)/python -m bench.upload

bench-cases: setup ## Measure notifications of deaths to the NCMD store, 100,000 cases (ten minutes)
	@exec $(BIN)/python -m bench.cases

bench-pds: setup ## Measure the practice PDS with 100,000 people (half a minute)
	@exec $(BIN)/python -m bench.pds_memory

bench-flag-lookup: setup ## Measure look-ups on 150,000 flags beside a bare route (five minutes)
	@exec $(BIN)/python -m bench.flag_lookup

bench-identity: setup ## Measure the identity ladder with 300,000 people, and with PDS at 50 ms (five minutes)
	@exec $(BIN)/python -m bench.identity

bench-labelled: setup ## Measure who is verified as whom on 4,500 labelled claims (a minute)
	@exec $(BIN)/python -m bench.labelled

compose-demo: ## The main job in containers; exits 0 if every step held
	@exec deploy/compose-demo

compose-up: ## The whole system in containers, with the practice ones
	@docker compose --profile practice up --build --detach --wait
	docker compose --profile practice ps

compose-down: ## Stop those containers (volumes stay: docker compose down --volumes removes them)
	@docker compose --profile practice --profile tools down

local-docker: ## A Docker engine and base images where none can be pulled (root; README beside it)
	@exec deploy/local-docker/up

format: setup ## Put imports and layout in order
	@$(BIN)/ruff check --quiet --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean: ## Remove what the targets above made here (not the cache of jars, not data)
	rm -rf .uv .venv .venv-3.* .venv-fuzz .venv-mutation mutants .coverage .coverage.* build .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
