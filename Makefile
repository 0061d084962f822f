# `make` alone lists the targets. Everything installs into .venv; nothing needs root.

CONFIG ?= configs/demo.yaml
# Files in the order of tests/conftest.py.
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder
PYTHON ?= $(shell command -v python3.11 || command -v python3)

VENV    := .venv
BIN     := $(VENV)/bin
LOCKS   := requirements/runtime.txt requirements/dev.txt requirements/docs.txt
FOLDERS := $(wildcard pipeline corpus tokenizer pretrain finetune flows)
SOURCES := $(FOLDERS) $(wildcard samples scripts tests benchmarks)
TYPED_TESTS := flows samples pipeline
# Fixtures of pytest need no annotation; a manifest that is None fails the test anyway.
OF_TESTS := --allow-untyped-defs --allow-incomplete-defs --implicit-reexport --disable-error-code union-attr
SHELLS  := .ci/run $(wildcard infra/*.sh infra/*/*.sh infra/*/*.sbatch scripts/*.sh)

# The stamps of a finished set-up, one for each thing that makes a part of it out of date.
DEPENDENCIES := $(VENV)/.dependencies-done
KENLM        := $(VENV)/.kenlm-done
PROJECT      := $(VENV)/.project-done
SETUP        := $(DEPENDENCIES) $(KENLM) $(PROJECT)

.DEFAULT_GOAL := help
.PHONY: help setup demo corpus tokenizer pretrain finetune flow ui down report site screenshots studies test test-all test-others test-flows coverage lint format lock clean distclean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 12
	@echo; echo "CONFIG=$(CONFIG) names the run; PYTHON=$(PYTHON) makes the environment."

setup: $(SETUP)  ## make .venv: locked packages, this project, KenLM's programs
	@echo "set-up is done; the command is $(BIN)/xlmr"

demo: $(SETUP)  ## the whole pipeline on the sample crawl; the last line is the report's path
	@$(BIN)/xlmr run $(CONFIG)

corpus tokenizer pretrain finetune: $(SETUP)
	@$(BIN)/xlmr run $(CONFIG) --until $@
corpus:     ## run CONFIG up to the corpus
tokenizer:  ## … up to the tokenizer
pretrain:   ## … up to the pretrained model
finetune:   ## … up to the fine-tuned models

ui: $(SETUP)  ## Prefect's UI with all flows on loopback: server, deployments, workers, reports
	@$(BIN)/python -m flows.loopback up

down: $(SETUP)  ## end what `make ui` has started
	@$(BIN)/python -m flows.loopback down

flow: $(SETUP)  ## the same run as a Prefect flow, with no server of its own
	@$(BIN)/python -m flows.command $(CONFIG)

report: $(SETUP)  ## write the HTML report of CONFIG
	@$(BIN)/xlmr report $(CONFIG)

site: $(SETUP)  ## the documentation as a site in build/site; open its index.html, no network needed
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo build/site/index.html

screenshots: $(SETUP)  ## take the pictures of docs/assets anew: the demo in Prefect and its report, seen by Chromium; ten minutes
	@$(BIN)/python -m scripts.screenshots

STUDIES ?= $(filter-out %/base.yaml,$(wildcard configs/studies/demo/*.yaml))

studies: $(SETUP)  ## the figures of the paper's section 5 at the demo's size, half an hour or more; STUDIES=FILE for one
	@failed=0; for study in $(STUDIES); do $(BIN)/xlmr study $$study || failed=1; done; exit $$failed

test: $(SETUP)  ## the quick tests, five minutes on two cores
	@$(BIN)/python -m pytest -m 'not slow' $(PYTEST_ARGS)

test-all: test-others test-flows  ## all tests, the slow ones too: half an hour on two cores

test-others: $(SETUP)
	@$(BIN)/python -m pytest $(PYTEST_ARGS) --ignore tests/flows

# Flows share one server, and mostly wait for it and its workers: one after the other.
test-flows: $(SETUP)
	@$(BIN)/python -m pytest tests/flows

coverage: $(SETUP)  ## all tests, and which lines and branches they reach; slower than test
	@$(BIN)/python -m pytest $(PYTEST_ARGS) --cov --cov-report term:skip-covered

lint: $(SETUP)  ## every checker
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy $(FOLDERS) samples scripts benchmarks
	@# Each folder by itself: every one has a conftest.
	for folder in $(TYPED_TESTS); do \
	  MYPYPATH=tests/$$folder:tests/pipeline:tests/corpus $(BIN)/mypy $(OF_TESTS) tests/$$folder || exit 1; \
	done
	$(BIN)/hadolint infra/Dockerfile
	$(BIN)/shellcheck $(SHELLS)
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec infra/compose.yaml

format: $(SETUP)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

lock: $(DEPENDENCIES)  ## resolve pyproject.toml anew into requirements/
	$(BIN)/python scripts/lock.py

clean:  ## remove the demo's runs and caches; other runs are yours
	rm -rf runs/demo runs/ci runs/studies build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove .venv too
	rm -rf $(VENV) *.egg-info

$(DEPENDENCIES): $(LOCKS)
	@command -v "$(PYTHON)" >/dev/null \
	  || { echo "set-up cannot start: no Python 3.11; install it or give PYTHON=…" >&2; exit 1; }
	@"$(PYTHON)" scripts/check_machine.py
	@test -x $(BIN)/python || { echo "making $(VENV) with $(PYTHON)"; "$(PYTHON)" -m venv $(VENV); }
	@echo "installing the locked packages, some minutes the first time"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile $(LOCKS:%=-r %)
	@# pip would compile one file after the other; what is no Python of this version stays as it is.
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@$(BIN)/python -m pip check --quiet
	@touch $@

$(PROJECT): pyproject.toml $(DEPENDENCIES)
	@echo "installing the project itself, editable"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(KENLM): corpus/perplexity/setup_kenlm.py corpus/perplexity/kenlm_build.txt $(PROJECT)
	@echo "building KenLM's lmplz and build_binary"
	@$(BIN)/xlmr setup-kenlm
	@touch $@
