# `make` alone lists what there is. Set-up is part of every target that needs it and costs nothing the second time.

PORT ?= 8080
PROCESSES ?= 2
KILL_ROUNDS ?= 20
SEEDS ?= 0 3600
MUTANT_SEEDS ?= 150
BIN := .venv/bin

.PHONY: help setup setup-python serve test faults simulate mutants lint format bench lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile

setup: ## install everything into .venv, and the system packages that are missing
	@scripts/setup

setup-python:
	@scripts/setup python

serve: setup-python ## start the service with demo data on 127.0.0.1 (PORT=8080)
	@mkdir -p var
	$(BIN)/tallystick serve --demo --host 127.0.0.1 --port $(PORT) --database var/demo.db

test: setup lint ## run the linters and every test (PROCESSES=2)
	$(BIN)/pytest --numprocesses $(PROCESSES) --dist worksteal

faults: setup ## run the tests of faults at length, failover by Patroni included: 20 kills each (KILL_ROUNDS=20)
	@scripts/setup patroni
	KILL_ROUNDS=$(KILL_ROUNDS) $(BIN)/pytest tests/faults tests/faults/failover_by_patroni.py

simulate: setup-python ## simulate worlds at length: a million operations (SEEDS="0 3600": from and to)
	$(BIN)/python -m tests.simulation $(SEEDS)

mutants: setup-python ## show that the simulation catches broken ledgers, each of those it knows
	$(BIN)/python -m tests.simulation mutants $(MUTANT_SEEDS)

lint: setup-python ## run ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: setup-python ## let ruff rewrite what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: ## measure, and write the figures to bench/results/
	@scripts/setup python bench peers
	$(BIN)/python -m bench $(BENCH)

lock: setup-python ## write the lock files anew (UPGRADE=1: with the newest versions)
	scripts/lock $(if $(UPGRADE),--upgrade)

clean: ## remove what set-up and the tools made; the demo's data in var/ stays
	rm -rf .venv .venv-peers .venv-patroni tests/e2e/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find src tests bench -name __pycache__ -prune -exec rm -rf {} +
