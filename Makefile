# make serve   set up what it needs and serve glm-nano on 127.0.0.1:8000
# make test    set everything up and run all tests
# make check   the same checks as CI and pre-commit: format, lint, types, floors
# make cluster       bring up a Kubernetes node on this machine (root of a Debian; see docs/cluster.md)
# make cluster-down  take it away
# make test-cluster  the tests that need a cluster: that one, or the one of KUBECONFIG
# make test-nightly  what takes long there: faults under users, every command of docs/operations.md
# make image         build the image with docker; IMAGE=name:tag BASE=python:3.12-slim-bookworm
# make bench   engine, serving path and guard against named peers, on this machine
# make fuzz    100,000 random requests at the engine's door
# make lm-eval lm-evaluation-harness, unchanged, against a server it starts
# make lock    resolve the lock files anew
.PHONY: test-up-and-down serve test check cluster cluster-down test-cluster test-nightly image bench fuzz lm-eval lock setup

PYTHON ?= python3
BIN := .venv/bin
PRODUCT := .venv/.product
SETUP := .venv/.complete
CLIENTS := .venv-clients/.complete
LM_EVAL := .venv-lm-eval/.complete

serve: $(PRODUCT)
	@$(BIN)/glm-serve serve

# Two at a time, for half of the time is Ray's processes starting; those that start servers stay
# together (tests/conftest.py).
test: $(SETUP) $(CLIENTS)
	$(BIN)/pytest --numprocesses 2 --dist loadgroup

check: $(SETUP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

cluster: $(SETUP)
	@$(BIN)/python -m tests.cluster up

cluster-down: $(SETUP)
	@$(BIN)/python -m tests.cluster down

# Those that bring the cluster down are for a machine where nobody else uses it.
UP_AND_DOWN := tests/cluster/test_up_and_down.py
NIGHTLY := $(addprefix tests/cluster/test_,alerts.py candidates.py faults.py holds.py leaderless.py operations.py pipeline.py pipeline_fails.py release_ways.py scaling.py tools_image.py)
# In the order in which the files tell the story: each version takes half a minute to start, and by
# chance they would start anew again and again. The nightly tests keep to chance.
test-cluster: $(SETUP)
	$(BIN)/pytest -p no:randomly tests/cluster --ignore $(UP_AND_DOWN) $(NIGHTLY:%=--ignore %)

test-up-and-down: $(SETUP)
	$(BIN)/pytest $(UP_AND_DOWN)

test-nightly: $(SETUP)
	$(BIN)/pytest $(NIGHTLY)

IMAGE ?= glm-serve
BASE ?= python:3.12-slim-bookworm
image:
	DOCKER_BUILDKIT=1 docker build --build-arg BASE=$(BASE) --build-arg REVISION=$$(git rev-parse HEAD) --tag $(IMAGE) .

bench: $(SETUP)
	$(BIN)/python -m tests.bench.engine
	$(BIN)/python -m tests.bench.serving
	$(BIN)/python -m tests.bench.guard

fuzz: $(SETUP)
	$(BIN)/python -m tests.engine.door

setup: $(SETUP)

# uv installs the packages: ten times faster than pip, with the same hashes checked.
# ci/uv.lock also holds what builds this package, for a build without isolation takes no other.
.venv/bin/uv: ci/uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "glm-serve needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up the virtual environment (.venv)"
	@$(PYTHON) -m venv .venv \
	  || { echo "Python's venv is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r ci/uv.lock
	@touch $@

# What is served is the product's lock alone; the tools for tests and checks come on top of it.
$(PRODUCT): .venv/bin/uv requirements.lock pyproject.toml
	@echo "installing the locked packages (about 3 GB once, torch is most of it)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(SETUP): $(PRODUCT) requirements-dev.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@touch $@

# Clients under test live apart: their pins must not bend the product's.
$(CLIENTS): .venv/bin/uv tests/clients/requirements.lock
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-clients
	@$(BIN)/uv pip install --quiet --python .venv-clients/bin/python --require-hashes -r tests/clients/requirements.lock
	@touch $@

lm-eval: $(SETUP) $(LM_EVAL)
	$(BIN)/python -m tests.served.lm_eval

$(LM_EVAL): .venv/bin/uv tests/clients/lm_eval/requirements.lock
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-lm-eval
	@$(BIN)/uv pip install --quiet --python .venv-lm-eval/bin/python --require-hashes -r tests/clients/lm_eval/requirements.lock
	@touch $@

lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate tests/clients/lm_eval/requirements.in -o tests/clients/lm_eval/requirements.lock
