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

.PHONY: lock
lock: build/installed ## Resolve the locks anew (exact versions with hashes)
	@mkdir -p build/lock && sed '/^    "atlas-contracts",/d' pyproject.toml > build/lock/pyproject.toml
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --quiet \
		--all-extras build/lock/pyproject.toml -o requirements/product.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --quiet \
		--group build/lock/pyproject.toml:tools -c requirements/product.lock -o requirements/tools.lock
	echo uv | $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --quiet \
		- -o requirements/uv.lock
