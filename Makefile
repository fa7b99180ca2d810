# Python >= 3.11 and make are all that a fresh machine needs. `make` alone lists the targets.

# The first Python that is new enough and can make a virtual environment; `make PYTHON=/path/to/python3.13` chooses.
SUITABLE = import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$python" -c '$(SUITABLE)' >/dev/null 2>&1 && { echo "$$python"; break; }; done)

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install run test bench floors pythons mutants check docs lock clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

install: .venv/.installed ## make .venv from the two locks

run: .venv/.serves ## serve, on the embedded store unless REVOCATION_REDIS_URL says otherwise; all settings are honoured
	@exec $(BIN)/python -m app serve

# Bytecode is written whatever the environment says: every process and every service would compile the tree anew.
test: .venv/.installed ## run every test, on real servers; ARGS="-k refresh -x" goes to pytest
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

bench: .venv/.installed ## measure what revocation costs here, in one or two minutes; ARGS=--full for all of it
	@$(BIN)/python -m loadtest $(ARGS)

# They touch every dependency: servers, Flask, Prometheus, fakeredis, the command, the service with its database and server,
# every framework.
TELLING := tests/revocation/test_flask.py tests/revocation/test_metrics.py tests/revocation/test_testing.py \
	tests/revocation/test_redis_denylist.py tests/app/test_sign_in.py tests/app/test_database.py \
	tests/app/test_startup.py tests/faults/test_full_disk.py tests/adapters/test_asgi.py \
	tests/adapters/test_flask_jwt_extended.py tests/adapters/test_mcp.py tests/adapters/test_examples.py
TELL := -m pytest -q -n auto --dist loadfile -p no:cacheprovider

# What is in PYTHONPATH comes before what is in .venv, for every process that a test starts as well. What old versions use
# may be deprecated in newer ones of their own dependencies.
floors: .venv/.installed ## a telling part of the tests, with the lowest versions that pyproject.toml allows
	@rm -rf build/floors && mkdir -p build/floors
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --resolution lowest-direct \
		--all-extras --group service --output-file build/floors/versions pyproject.toml >/dev/null
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target build/floors --no-deps -r build/floors/versions
	@PYTHONPATH="$(CURDIR)/build/floors" $(BIN)/python $(TELL) -W ignore::DeprecationWarning $(TELLING) $(ARGS)

pythons: .venv/.installed ## the same tests with the locked versions, on each Python of 3.12 to 3.14 that is installed
	@for version in 3.12 3.13 3.14; do \
		python=$$($(BIN)/uv python find --no-python-downloads --system "$$version" 2>/dev/null) || { echo "Python $$version is not here."; continue; }; \
		echo "Python $$version: $$python"; \
		$(BIN)/uv venv --quiet --clear --python "$$python" "build/$$version" && \
		$(BIN)/uv pip install --quiet --python "build/$$version/bin/python" --require-hashes --no-deps -r requirements.lock && \
		"build/$$version/bin/python" $(TELL) $(TELLING) $(ARGS) || exit 1; done

mutants: .venv/.installed ## make every known mistake in a copy, and see that a fast test fails; ARGS="fork" chooses
	@$(BIN)/python -m tests.mutants.run $(ARGS)

check: .venv/.installed ## lint, format, types, and the compose file
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@if docker compose version >/dev/null 2>&1; then compose='docker compose'; \
	elif docker-compose version >/dev/null 2>&1; then compose=docker-compose; \
	elif [ "$$CI" = true ]; then echo 'docker-compose.yml not checked: install docker-compose (no engine is needed).' >&2; exit 1; \
	else echo 'docker-compose.yml not checked: there is no docker-compose here.' >&2; exit 0; fi; \
	echo "$$compose --profile monitoring config -q"; \
	APP_ADMIN_PASSWORD=only-checked POSTGRES_PASSWORD=only-checked REDIS_PASSWORD=only-checked $$compose --profile monitoring config -q

docs: .venv/.installed ## build the documents, with the Python and HTTP references, into a site
	@$(BIN)/python -m sphinx --fail-on-warning --fresh-env --quiet -c docs . build/site
	@echo "The site is built: open build/site/docs/index.html"

# What serves has a lock of its own, with the same versions: `make run` and the image take no test's packages.
COMPILE = "$$uv" pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

lock: ## resolve pyproject.toml into the two locks; ARGS=--upgrade for newer versions
	@uv=$(BIN)/uv; [ -x "$$uv" ] || uv=$$(command -v uv) || \
		{ echo 'There is no uv here: run `make install`, or install uv, then `make lock` again.' >&2; exit 1; }; \
	$(COMPILE) --all-extras --group service --group bench --group test --group lint --group docs --group build \
		$(ARGS) --output-file requirements.lock pyproject.toml && \
	$(COMPILE) --extra cli --extra flask --extra prometheus --extra embedded --group service --group build \
		--constraint requirements.lock --no-annotate --output-file requirements-service.lock pyproject.toml

clean: ## remove .venv and caches; .data (keys, users, revocations) stays
	rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# `venv --clear` and pip follow a link, and would empty or change the environment of another clone.
OWN = [ ! -L .venv ] || { \
	echo ".venv is a link to $$(readlink .venv), which this will not change: another clone may use it." >&2; \
	echo 'Remove the link (rm .venv), then run make again: it makes an environment of its own here.' >&2; exit 1; }

# Three stamps: a new lock means a new environment, a change in pyproject.toml only a new editable install, and what tests
# want is added to what serves.
.venv/.locked: requirements-service.lock requirements.lock
	@$(OWN)
	@[ -n "$(PYTHON)" ] && "$(PYTHON)" -c '$(SUITABLE)' || { \
		echo 'This needs Python >= 3.11 with its venv module, and found none$(if $(PYTHON), in $(PYTHON)).' >&2; \
		echo 'Install one (Debian, Ubuntu: apt-get install python3 python3-venv),' >&2; \
		echo 'or name one: make PYTHON=/path/to/python3.13 ...' >&2; exit 1; }
	@echo "Making .venv with $$("$(PYTHON)" --version) from requirements-service.lock"
	@"$(PYTHON)" -m venv --clear .venv
	@$(PIP) install --require-hashes --no-deps -r requirements-service.lock
	@touch $@

.venv/.serves: .venv/.locked pyproject.toml
	@$(OWN)
	@$(PIP) install --no-build-isolation --no-deps --no-index --editable .
	@touch $@

.venv/.installed: .venv/.serves
	@echo "Adding what tests, load tests and documents want, from requirements.lock"
	@$(PIP) install --require-hashes --no-deps -r requirements.lock
	@touch $@
