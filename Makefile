# Two commands matter: `make demo` and `make test`. Both set everything up first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
ARGS ?=
BIN := .venv/bin
# Tests wait for sockets and disks half of their time, so one more worker than there are cores.
WORKERS ?= $(shell cores=$$(nproc); echo $$((cores < 8 ? cores + 1 : 8)))
# Tests and tools find node, openssl and the rest with the environment's own programs first.
export PATH := $(CURDIR)/$(BIN):$(PATH):/usr/sbin
.PHONY: help demo test check fmt faults soak bench lock

help:  ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

demo:  ## the whole chain on this machine; ARGS=--once runs it once and ends
	@setup/setup.sh demo
	@exec $(BIN)/cunzheng demo $(ARGS)

test: check  ## every check and every test
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term $(ARGS)

check:  ## format, lint, types, import rule: the part of `make test` before the tests
	@setup/setup.sh test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

fmt:  ## format the code and fix what can be fixed
	@setup/setup.sh test
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

faults:  ## the fault tests, longer: ROUNDS=200
	@setup/setup.sh test
	@CUNZHENG_FAULT_ROUNDS=$${ROUNDS:-50} $(BIN)/python -m pytest -m faults --timeout 3600 $(ARGS)

soak:  ## devices with random faults while gateway, broker and centre are killed: MINUTES=30
	@setup/setup.sh test
	@CUNZHENG_FAULT_ROUNDS=1 CUNZHENG_SOAK_MINUTES=$${MINUTES:-30} \
	    $(BIN)/python -m pytest -s -k soak_of_many_minutes --timeout 36000 tests/faults/test_faults_soak.py $(ARGS)

bench:  ## the measurements in benchmarks/, about five minutes; see docs/benchmarks.md
	@setup/setup.sh test
	@shopt -s nullglob; for file in benchmarks/bench_*.py; do $(BIN)/python $$file $(ARGS); done

lock:  ## resolve dependencies anew (UPGRADE=1: to the newest allowed) and write the lock files
	@setup/setup.sh test
	@setup/lock.sh
