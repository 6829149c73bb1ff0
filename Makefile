# One way to do each thing; CI runs `make test ALL=1` (.ci/run). `make help` lists the verbs.
# make turns every failure into exit code 2. Scripts that need the real one (README, "Exit codes") call .venv/bin/test-infra.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
# Two workers: while the services of one start, the tests of the other run. More cores take more: make test WORKERS=4
WORKERS ?= 2
# ALL=1: every test, and red where one could not be run. Without it tests marked `ci` are left out; the last lines say so.
ALL ?= $(TEST_INFRA_REQUIRE_ALL)
SELECTED := $(if $(filter-out 0,$(ALL)),,-m "not ci")
PYTEST := $(if $(SELECTED),,TEST_INFRA_REQUIRE_ALL=1 )$(BIN)/python -m pytest -n $(WORKERS) $(SELECTED)
# Dagster's own tools look for an instance even when they only load definitions: ours, which has telemetry off.
DG := VIRTUAL_ENV="$(CURDIR)/.venv" DAGSTER_HOME="$$($(BIN)/python -m test_infra.cli.instance)" $(BIN)/dg

.PHONY: help setup java image e2e test lint format types layers definitions unit integration tests soak planted golden bench docs wheel compose dev lock clean distclean

help: ## List the verbs
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Build .venv from the hashed lock; installs nothing when it is current
	@.ci/setup

java: setup
	@.ci/java

e2e: java $(if $(filter docker,$(BACKEND)),image) ## Prove the shop pipeline: stack up, load, gates, report, stack down (BACKEND=docker: in containers)
	@$(BIN)/test-infra run e2e $(if $(BACKEND),--backend $(BACKEND))

image: setup ## Build the image that runs every service and job in a container (SPARK=4.1, TARGET=spark: others); root on Debian gets an engine
	@.ci/docker
	@$(BIN)/python docker/build.py $(if $(BASE_IMAGE),--base $(BASE_IMAGE)) $(if $(TARGET),--target $(TARGET)) $(if $(SPARK),--spark $(SPARK))

test: lint types layers definitions tests ## Lint, types, layers, definitions, tests: 12 minutes on two cores (ALL=1: with what is left to CI)

lint: setup ## Ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup ## mypy --strict on test_infra
	$(BIN)/mypy

layers: setup ## import-linter: the layers of docs/architecture.md
	$(BIN)/lint-imports

definitions: setup ## Dagster's own checks of the definitions and their YAML
	@echo 'dg check defs, dg check yaml'
	@$(DG) check defs
	@$(DG) check yaml

unit: setup ## Tests without services: 2 to 3 minutes, sockets blocked
	$(PYTEST) test_infra_tests/unit

integration: java ## Tests with the real services (ALL=1: with what is left to CI)
	$(PYTEST) test_infra_tests/integration

tests: java ## All tests; with what `make test` leaves to CI: ALL=1
	$(PYTEST) --durations=10 test_infra_tests

soak: java ## 300 cuts under traffic and faults, and whatever else takes longer than `make test` may
	$(BIN)/python -m pytest -m soak test_infra_tests/soak

planted: setup ## Plant every fault of docs/planted-faults.md again and write the page
	$(BIN)/python -m test_infra_tests.unit.cdc.judge.planted_page

golden: setup ## Write the SQL of a comparison anew (test_infra_tests/unit/cdc/judge/golden)
	@$(BIN)/python -m test_infra_tests.unit.cdc.judge.golden_sql

bench: java ## Measure speed; results are JSON files in bench/results (ONLY="stack lag" for some)
	$(BIN)/python bench/run.py $(ONLY)
	$(BIN)/python bench/table.py

docs: setup ## Write docs/types.md from the table of types
	$(BIN)/python -m test_infra.cdc.types.page docs/types.md

dev: java ## Dagster's UI on loopback with this project's definitions
	@$(BIN)/test-infra dev

wheel: setup ## Build the wheel into dist/
	@$(BIN)/python -m hatchling build -t wheel

compose: setup ## Write docker/compose.yaml from the specs of the services
	$(BIN)/python -m test_infra.stack.compose docker/compose.yaml

lock: setup ## Write requirements.txt anew from pyproject.toml
	$(BIN)/uv pip compile --quiet pyproject.toml --group dev --extra ui --universal --generate-hashes --no-header --no-annotate --python-version 3.11 -o requirements.txt

clean: ## End this checkout's stack, delete caches of tools
	@if [ -x $(BIN)/test-infra ]; then $(BIN)/test-infra down; fi
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## The same, and .venv
	rm -rf .venv
