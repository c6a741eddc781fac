# One door to everything a developer does. `make` alone lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

# Images of Python set it, and then every process of ours compiles all of its sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test check fix schemas protos bench faults lock clean

help:  ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: .venv/.ready  ## dependencies, Kafka's jars, compiled kernels: once, about a minute

# uv, because pip's resolver takes many minutes for this set. The last two steps are what would
# otherwise be waited for at the first start: fetching Kafka, compiling the kernels.
.venv/.ready: requirements.lock pyproject.toml streams/broker/kafka.lock.toml
	@test -x $(BIN)/python || { echo "setup: a Python environment in .venv"; $(PYTHON) -m venv .venv; }
	@test -x $(BIN)/uv || { echo "setup: uv"; $(BIN)/pip install --quiet uv; }
	@echo "setup: dependencies, pinned by hash"
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@echo "setup: Apache Kafka, and beside it the kernels of detect, logs and intake"
	@$(BIN)/python -m streams.broker prepare & kafka=$$!; \
	  $(BIN)/python -m streams.kernels; kernels=$$?; wait $$kafka && exit $$kernels
	@touch $@

demo: setup  ## a real fault, found and fixed, on a real Kafka: two minutes
	@$(BIN)/sentinel demo $(ARGS)

# In two runs; 5 is pytest's status when a part that was asked for has no test in one of them.
test: setup  ## every test but the long fault tests
	@$(BIN)/pytest -m "not faults and not alone" --numprocesses 3 $(ARGS) || [ $$? = 5 ]
	@$(BIN)/pytest -m "alone and not faults" $(ARGS) || [ $$? = 5 ]

check: setup  ## lint, types, import contracts, schemas, runbooks, policies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m schemas.avro check
	$(BIN)/sentinel runbooks lint
	$(BIN)/sentinel policy lint
	$(BIN)/sentinel slo lint

fix: setup  ## what the linter and the formatter can mend by themselves
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: setup  ## add a version of each Avro schema whose model has changed
	$(BIN)/python -m schemas.avro write

protos: setup  ## the remote-write messages from their .proto files
	$(BIN)/python streams/formats/proto/generate.py

bench: setup  ## every figure of the README, peers and limits in the same run
	@$(BIN)/python -m benchmarks $(ARGS)

faults: setup  ## the long proofs: kills, zombies, rebalances, poison, tampering
	@$(BIN)/pytest -m faults --timeout 1800 $(ARGS)

lock: .venv/.ready  ## resolve the dependencies anew
	$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-header --no-annotate --quiet --upgrade -o requirements.lock pyproject.toml

clean:  ## what was made here; the cache of Kafka's jars stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-out
