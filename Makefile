# What one does with this project; everything runs in .venv, which is made on first use.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Dozens of processes are started; each would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
PYTHON := $(shell for python in python3.11 python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo $$python && break; done)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-emit-index-url --no-header
WORKERS ?= 3
SEED ?= 1
SECONDS ?= 60
# Whose coverage is measured: in the test processes, the simulator and the programs that tests/measuring.py starts.
SOURCE := execution_project,orders,positions,risk,exchanges

# One line per step; its output only when it fails.
step = @printf '%-24s' '$(1)'; if output=$$($(2) 2>&1); then echo ok; else echo FAILED; printf '%s\n' "$$output"; exit 1; fi

.PHONY: help run test proof chaos drill bench lock lint types format

help:
	@echo 'make run           the whole engine with its exchange simulator; Ctrl-C stops it'
	@echo 'make test          what continuous integration runs'
	@echo 'make proof         the same with full rounds, each guard removed in turn, 10 seeds of chaos'
	@echo 'make chaos SEED=n  trades on both exchanges for SECONDS=60 while everything fails, then counts'
	@echo 'make drill         stages what must stop trading, from a fat finger to a dead database, and times it'
	@echo 'make bench CASE=x  one measurement'
	@echo 'make lint | types | format | lock'

.venv/.run-stamp: requirements.txt
	@test -n '$(PYTHON)' || { echo 'Python 3.11 is needed and was not found as python3.11, python3 or python.'; exit 1; }
	@test -x $(BIN)/python || { echo 'Making .venv ...'; $(PYTHON) -m venv .venv; }
	@echo 'Installing requirements.txt ...'
	@$(PIP_INSTALL) -r requirements.txt
	@touch $@

.venv/.dev-stamp: .venv/.run-stamp requirements-dev.txt
	@echo 'Installing requirements-dev.txt ...'
	@$(PIP_INSTALL) -r requirements-dev.txt
	@touch $@

run: .venv/.run-stamp
	@exec $(BIN)/python -m execution_project.supervisor

# Tests that run a whole engine are one group: two engines at a time would starve each other on two cores.
test: .venv/.dev-stamp lint types
	$(call step,deployment checks,$(BIN)/python tests/deployment_check.py)
	@rm -rf .coverage-parts && mkdir .coverage-parts
	@COVERAGE_PARTS=$(CURDIR)/.coverage-parts $(BIN)/python -m slipcover --branch --source $(SOURCE) --omit '*/migrations/*' \
		--json --out .coverage-parts/tests.json -m pytest -n $(WORKERS) --dist loadgroup
	@$(BIN)/python -m slipcover --branch --json --out .coverage.json --merge .coverage-parts/*.json > /dev/null
	@$(BIN)/python tests/coverage_floor.py .coverage.json

lint: .venv/.dev-stamp
	$(call step,requirements,$(BIN)/python tests/requirements_drift.py)
	$(call step,ruff check,$(BIN)/ruff check .)
	$(call step,ruff format,$(BIN)/ruff format --check .)
	$(call step,import contracts,$(BIN)/lint-imports)

types: .venv/.dev-stamp
	$(call step,mypy,$(BIN)/mypy)

proof: .venv/.dev-stamp
	@PROOF_ROUNDS=200 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup --timeout 1800
	@$(BIN)/python -m tests.mutants --jobs 2
	@$(BIN)/python -m tests.chaos --seed 1-10 --seconds 180 --jobs 2 --write docs/proof.txt

chaos: .venv/.dev-stamp
	@$(BIN)/python -m tests.chaos --seed $(SEED) --seconds $(SECONDS)

drill: .venv/.dev-stamp
	@$(BIN)/python -m tests.drill $(addprefix --only ,$(ONLY)) $(if $(WRITE),--write $(WRITE))

bench: .venv/.dev-stamp
	@$(BIN)/python -m tests.bench $(CASE)

format: .venv/.dev-stamp
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

lock: .venv/.dev-stamp
	@$(COMPILE) requirements.in -o requirements.txt
	@$(COMPILE) requirements-dev.in -o requirements-dev.txt
