# Every command does its own set-up on a machine with Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DURATION ?=

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help install link demo test test-train train-env lint metrics-page faults bench clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: pyproject.toml infra/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "wardstream needs Python 3.11 or newer; say which: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade -c infra/constraints.txt pip setuptools
	$(BIN)/python -m pip install --progress-bar on -c infra/constraints.txt --no-build-isolation \
		--config-settings editable_mode=strict -e '.[dev]'
	@touch $@

# A strict editable install links each file; a file that is new since then needs the links made anew (2 s).
SOURCES := $(sort $(shell find agents infra models schemas -name '__pycache__' -prune -o -type f -print))
link: $(VENV)/.installed
	@echo '$(SOURCES)' | cmp -s - $(VENV)/.linked || { \
		$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --config-settings editable_mode=strict -e . && \
		echo '$(SOURCES)' > $(VENV)/.linked; }

install: link  ## set up everything the other commands need
	@$(BIN)/wardstream kafka fetch

demo: install  ## a ward, live in the terminal (DURATION=60: without a terminal, ends by itself with a summary)
	@$(BIN)/wardstream demo $(if $(DURATION),--duration $(DURATION))

lint: link  ## ruff, mypy and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

metrics-page: link  ## write infra/observability/METRICS.md from agents/metrics.py
	$(BIN)/python -m wardstream.infra.observability.metrics_page > infra/observability/METRICS.md

# Tests on brokers mostly wait, so two processes share them, each with brokers of its own, a file at a time, in the order
# of their names: the short ones come last and even out. What is installed for nets comes while mypy runs.
test: install  ## lint and all tests, those on real Kafka included; those that train nets where ARGS names no others
	$(MAKE) $(if $(ARGS),lint,-j2 lint train-env)
	$(BIN)/pytest $(or $(ARGS),-n 2 --dist loadfile --no-loadscope-reorder)
	$(if $(ARGS),,$(MAKE) test-train)

# torch takes 5 GB and two minutes, and nothing that runs needs it, so it has an environment of its own.
TRAIN := .venv-train
$(TRAIN)/.installed: pyproject.toml infra/constraints.txt
	$(PYTHON) -m venv $(TRAIN)
	$(TRAIN)/bin/python -m pip install --quiet --upgrade -c infra/constraints.txt pip setuptools
	$(TRAIN)/bin/python -m pip install --progress-bar on -c infra/constraints.txt --no-build-isolation \
		--config-settings editable_mode=strict -e '.[dev,train]'
	@touch $@

train-env: link $(TRAIN)/.installed  ## set up .venv-train, with torch: `.venv-train/bin/wardstream train MODEL DATA`

test-train: train-env  ## the tests that train nets
	$(TRAIN)/bin/pytest -m torch tests/models/training

faults: install  ## strike a running stream N=12 times, SEED=1, and count what came of it (in LEDGER=.wardstream/faults/ledger.json)
	$(BIN)/python -m tests.faults.run --faults $(or $(N),12) --seed $(or $(SEED),1) --ledger $(or $(LEDGER),.wardstream/faults/ledger.json)

# The peers clash with our own dependencies (an older pydantic), so they have an environment of their own.
BENCH := .venv-bench
BENCH_JAVA := .wardstream/bench/java
$(BENCH)/.installed: tests/bench/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --progress-bar on -r tests/bench/requirements.txt
	@touch $@

$(BENCH_JAVA)/Relay.class: tests/bench/kafka_streams/pom.xml tests/bench/kafka_streams/src/main/java/Relay.java
	@mkdir -p $(BENCH_JAVA)
	@if command -v mvn >/dev/null && command -v javac >/dev/null; then \
		mvn -q -B -f tests/bench/kafka_streams/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(BENCH_JAVA) && \
		javac -cp '$(BENCH_JAVA)/*' -d $(BENCH_JAVA) tests/bench/kafka_streams/src/main/java/Relay.java; \
	else echo 'No mvn and javac here: Kafka Streams is left out.'; fi

bench: install $(BENCH)/.installed $(BENCH_JAVA)/Relay.class  ## compare with other stream processors (about 115 minutes; nothing else should run): ARGS="relay --repeats 5"
	$(BIN)/python -m tests.bench $(ARGS)

clean:  ## remove all that the other commands made
	rm -rf $(VENV) $(BENCH) $(TRAIN) .wardstream build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
