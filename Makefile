# One command a target; `make` alone lists them. Python 3.11+ and make are all a machine needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3
BIN := .venv/bin
PROTOS := $(shell find protos -name '*.proto')

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-z-]*:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The virtual environment is right when it was synced with the locks as they are now.
build/installed: requirements/product.lock requirements/tools.lock requirements/uv.lock pyproject.toml libs/contracts/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Atlas needs Python 3.11 or later: make PYTHON=/path/to/python3.11 ...")'
	@mkdir -p build libs/contracts/atlas
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing locked packages into .venv (first time: about 600 MB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/product.lock requirements/tools.lock requirements/uv.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e libs/contracts -e .
	@touch $@

build/protos: $(PROTOS) build/installed
	@rm -rf libs/contracts/atlas && mkdir -p libs/contracts/atlas build
	@$(BIN)/python -m grpc_tools.protoc -Iprotos \
		--python_out=libs/contracts --grpc_python_out=libs/contracts \
		--plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
		--mypy_out=quiet:libs/contracts --mypy_grpc_out=quiet:libs/contracts $(PROTOS)
	@find libs/contracts/atlas -type d -path '*/v1' -exec touch {}/py.typed \;
	@touch $@

.PHONY: install protos
install: build/protos ## Make .venv from the locks and generate the stubs
protos: build/protos ## Generate the stubs of protos/ into libs/contracts/atlas

COMPILE := --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --quiet
IMAGES := ingest query-router lag-monitor olap-sink gateway keeper migrate

.PHONY: lock
lock: build/installed ## Resolve the locks anew (exact versions with hashes)
	@mkdir -p build/lock && sed '/^    "atlas-contracts",/d' pyproject.toml > build/lock/pyproject.toml
	$(BIN)/uv pip compile $(COMPILE) \
		--all-extras build/lock/pyproject.toml -o requirements/product.lock
	$(BIN)/uv pip compile $(COMPILE) \
		--group build/lock/pyproject.toml:tools -c requirements/product.lock -o requirements/tools.lock
	@for group in build deploy checkov; do \
		$(BIN)/uv pip compile $(COMPILE) --group build/lock/pyproject.toml:$$group -o requirements/$$group.lock \
			$$(test $$group = build && echo '-c requirements/tools.lock -c requirements/product.lock'); done
	@mkdir -p requirements/images && for service in $(IMAGES); do \
		$(BIN)/uv pip compile $(COMPILE) --extra $$service -c requirements/product.lock build/lock/pyproject.toml \
			-o requirements/images/$$service.lock; done
	echo uv | $(BIN)/uv pip compile $(COMPILE) \
		- -o requirements/uv.lock

PYTHON_FILES := libs/atlaskit libs/atlas_client libs/atlas_local libs/atlas_cli services tests benchmarks infra/checks

.PHONY: format lint types unit test
format: build/protos ## Format Python and protos
	$(BIN)/ruff format --quiet $(PYTHON_FILES)
	$(BIN)/ruff check --fix --quiet $(PYTHON_FILES)
	$(BIN)/buf format --write protos

lint: build/protos ## Style, import rules, contracts and migrations
	$(BIN)/ruff format --quiet --check $(PYTHON_FILES)
	$(BIN)/ruff check --quiet $(PYTHON_FILES)
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest --quiet tests/unit/house
	$(BIN)/buf lint protos
	$(BIN)/buf format --diff --exit-code protos
	$(BIN)/buf breaking protos --against protos/baseline.binpb
	@rm -rf build/squawk && mkdir -p build/squawk
	@# Only what a migration does on its way up is a risk to running services.
	@for file in libs/atlaskit/postgres/schema/*.sql; do sed '/^-- migrate:down/,$$d' "$$file" > "build/squawk/$${file##*/}"; done
	$(BIN)/squawk build/squawk/*.sql

types: build/protos ## mypy --strict over everything a person wrote
	$(BIN)/mypy $(PYTHON_FILES)

unit: build/protos ## Tests that start no store
	$(BIN)/python -m pytest tests/unit tests/contract

# These share one stack with all services, which costs more than a core even idle: no other test should run beside it.
SHARED_STACK := tests/e2e tests/faults tests/fuzz tests/integration/lag

test: build/protos ## Every test, against the real parts (up to 40 minutes)
	$(BIN)/python -m pytest $(addprefix --ignore=,$(SHARED_STACK))
	$(BIN)/python -m pytest --maxfail=8 $(SHARED_STACK)

.PHONY: check-freshness soak
check-freshness: build/protos ## Prove that no claim of freshness is false: simulation, real processes, mutants, naive twin (10 minutes)
	@PYTHONPATH=tests:. $(BIN)/python -m checker.run --seed $(or $(SEED),1)

soak: build/protos ## The same again and again with new seeds, for SECONDS=3600
	@PYTHONPATH=tests:. $(BIN)/python -m checker.run --seed $(or $(SEED),1) --soak $(or $(SECONDS),3600)

.PHONY: replay
replay: build/protos ## One seed of the simulation again, told as text; SEED=7, and MUTANT=name for what a mutant does with it
	@PYTHONPATH=tests $(BIN)/python -m checker.sim --replay --seed $(or $(SEED),1) --mutant '$(MUTANT)' $(if $(ACCEPT),--accept)

.PHONY: check-processes
check-processes: build/protos ## A campaign of faults against real processes; SEED=1 EPISODES=11, or SCHEDULE='...' as a failure prints it
	@PYTHONPATH=tests $(BIN)/python -m checker.processes --seed $(or $(SEED),1) --episodes $(or $(EPISODES),11) --calm $(or $(CALM),5) --schedule '$(SCHEDULE)'

.PHONY: check-tokens
TOKENS ?= 10000
check-tokens: build/protos ## Write-then-reads with tokens from each copy, and hopping sessions, while copies are held up; TOKENS=10000
	ATLAS_TEST_TOKENS=$(TOKENS) $(BIN)/python -m pytest -q -s --show-capture=no -p no:logging tests/e2e/test_tokens.py

.PHONY: baseline
baseline: build/protos ## Make the present contracts the baseline that buf breaking compares with; say why in the commit
	$(BIN)/buf build protos -o protos/baseline.binpb

.PHONY: demo verify-data up
demo: build/protos ## The whole journey on real parts and real data; DEMO_EXIT=1 stops by itself
	@$(BIN)/atlas demo $(if $(DEMO_EXIT),--exit)

up: build/protos ## Start the stack and the services and keep them up; DATA_DIR=... survives restarts
	@$(BIN)/atlas up $(if $(DATA_DIR),--data-dir "$(DATA_DIR)")

verify-data: build/protos ## Load all four sets whole and compare the counts in every copy; DATA=folder of the sets
	@test -n "$(DATA)" || { echo 'say where the four sets are: make verify-data DATA=/path/to/data (folders backblaze-2013, azure-vm-noise, snmp-walks, metar)' >&2; exit 2; }
	$(BIN)/atlas verify-copies "$(DATA)"

.PHONY: answers
answers: build/protos ## Load all four sets and ask the forty questions with known answers of every copy; DATA=folder, SETS=metar, TWICE=1, EVERYWHERE=1
	@test -n "$(DATA)" || { echo 'say where the sets are: make answers DATA=/path/to/data' >&2; exit 2; }
	$(BIN)/atlas answers "$(DATA)" $(if $(SETS),--sets $(SETS)) $(if $(TWICE),--twice) $(if $(EVERYWHERE),--everywhere)

.PHONY: bench bench-ingest bench-freshness bench-hot bench-query bench-promotion
bench-promotion: build/protos ## Commits while attributes are promoted and filled in beside them (2 minutes); RATE=0 for all there is room for
	@mkdir -p build/bench && $(BIN)/python -m benchmarks.hot_promotion --entities $(or $(ENTITIES),100000) $(if $(RATE),--rate $(RATE)) | grep -v '\[info' > build/bench/hot.notes
	@cat build/bench/hot.notes && $(BIN)/python -m benchmarks.figures

bench-query: build/protos ## P18 to P21 of reads through the router, in all copies (3 minutes); ENTITIES=1000000 for the whole (10), DATA_DIR=... keeps it
	@$(BIN)/python -m benchmarks.query --entities $(or $(ENTITIES),50000) $(if $(DATA_DIR),--data-dir "$(DATA_DIR)")
	@$(BIN)/python -m benchmarks.figures

bench-hot: build/protos ## Filters on current values, by slots, documents and history (1 minute); ENTITIES=1000000 for the whole (6 minutes)
	@$(BIN)/python -m benchmarks.hot_attributes --entities $(or $(ENTITIES),50000)
	@$(BIN)/python -m benchmarks.figures

bench-freshness: build/protos ## P13 and P14 of freshness beside their baselines (3 minutes); ROWS=P14 for some
	@PYTHONPATH=tests:. $(BIN)/python -m benchmarks.freshness $(if $(ROWS),--rows $(ROWS))
	@$(BIN)/python -m benchmarks.figures

bench-ingest: build/protos ## P1 to P7, P22 and P23 of ingest beside their baselines (24 minutes); ROWS=P1,P4 for some
	@$(BIN)/python -m benchmarks.ingest $(if $(ROWS),--rows $(ROWS))
	@$(BIN)/python -m benchmarks.ingest_stages | tee build/bench/ingest.notes
	@$(BIN)/python -m benchmarks.figures

bench: bench-ingest bench-freshness bench-hot bench-promotion bench-query ## Every benchmark; the figures go to docs/benchmarks.md

# The validators, each set in an environment of its own: checkov would hold the others at old versions.
build/deploy/installed: requirements/deploy.lock requirements/checkov.lock build/installed
	@mkdir -p build/deploy
	@for set in deploy:tools checkov:checkov; do \
		$(BIN)/uv venv --quiet --clear --no-project --python $(BIN)/python build/deploy/$${set#*:} && \
		$(BIN)/uv pip sync --quiet --python build/deploy/$${set#*:}/bin/python --require-hashes requirements/$${set%:*}.lock; done
	@touch $@

.PHONY: check-deploy wheels
check-deploy: build/protos build/deploy/installed ## Validate images, compose, Kubernetes and Terraform; CRD_DIR=folder of newer definitions of operators' kinds
	@$(BIN)/python infra/checks/check_deploy.py

wheels: build/protos ## Make the two wheels in build/wheels
	@PYTHON=$(CURDIR)/$(BIN)/python infra/images/wheels.sh build/wheels

.PHONY: clean
clean: ## Remove everything that was built here, .venv included
	rm -rf build .venv libs/contracts/atlas .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
