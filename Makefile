# Everything that is done here has a target; `make help` lists them. Nothing is needed but python3, python3-venv, make, git.

PYTHON ?= python3
VENV   := .venv
LEAN   := .venv-runtime
ARGS   ?=

PY := $(VENV)/bin/python
# Locked means: these versions, these bytes, and nothing that runs a build with unlocked tools.
INSTALL := -m pip install --quiet --disable-pip-version-check --no-input
LOCKED  := $(INSTALL) --require-hashes --only-binary :all: --requirement

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format chaos clients cluster deploy doctor browser grafana fleet image mutants bench docs lock \
	clean FORCE

help: ## this page
	@echo 'credential-sidecar: make TARGET [ARGS="…"]'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '%-12s %s\n' "$$name" "$$text"; done
	@echo
	@echo 'Each target first makes its own virtual environment from requirements/, where it is missing or out of date.'

demo: $(VENV)/demo.stamp ## two accounts, a token and a stock client on one screen (ARGS=--once ends by itself)
	@$(PY) -m sidecar demo $(ARGS)

test: $(VENV)/test.stamp ## every test (ARGS="-k word", ARGS=tests/test_ledger.py)
	$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(VENV)/lint.stamp ## formatting, rules and types of everything
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

format: $(VENV)/lint.stamp ## rewrite the code as `make lint` wants it
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

chaos: $(VENV)/test.stamp ## the real process through STS outages, its time sped up by libfaketime
	$(PY) -m pytest -m chaos -n 3 $(ARGS) # they wait more than they work

# Whatever a client looks for when it finds nothing, it does not find it outside: where the machine lets us, the clients
# run in a network of their own, which is loopback alone.
OFFLINE = $(shell unshare --net true 2>/dev/null && command -v ip >/dev/null && echo "unshare --net sh -c 'ip link set lo up && exec \"\$$@\"' sh")

clients: $(VENV)/test.stamp ## real clients of every language whose toolchain is here (ARGS="-k boto3"); WRITE=1 writes the page
	@rm -rf .clients/found
	$(PY) -m tests.clients.toolchains
	$(OFFLINE) $(PY) -m pytest -m clients -n 12 $(ARGS) # they wait more than they work
	$(PY) -m tests.clients.results $(if $(WRITE),--write)

deploy: $(VENV)/deploy.stamp ## the files of deploy/, by what reads them for a living; WRITE=1 renders chart and examples again
	$(if $(WRITE),$(PY) -m tests.deploy.tools)
	$(PY) -m pytest -m deploy -n 2 $(ARGS)

doctor: $(VENV)/test.stamp ## everything that a newcomer gets wrong, and what doctor says of it
	$(PY) -m pytest -m doctor -n 4 tests/doctor $(ARGS) # they wait more than they work

browser: $(VENV)/test.stamp .browser/made ## the status page in a real Chromium; WRITE=1 takes the pictures of docs/images again
	$(OFFLINE) env WRITE=$(WRITE) $(PY) -m pytest -m browser -n 3 $(ARGS) # they wait more than they work

# What looks for barriers; without npm the tests that want it skip.
.browser/made: tests/browser/package.json
	@mkdir -p .browser && cp $< .browser/
	@! command -v npm >/dev/null || \
		{ npm install --silent --no-package-lock --no-audit --no-fund --ignore-scripts --prefix .browser && touch $@; }

grafana: $(VENV)/deploy.stamp ## dashboards, panels and alerts by a real Prometheus; WRITE=1 writes dashboards and figures again
	$(if $(WRITE),$(PY) -m tools.dashboards)
	$(if $(WRITE),$(PY) -m tests.grafana.figures)
	$(PY) -m pytest -m grafana tests/grafana $(ARGS)

fleet: $(VENV)/deploy.stamp ## rules and dashboard with 10,000 pods in a real Prometheus, measured: 10 GB, minutes (ARGS=1000 pods)
	$(PY) -m tests.grafana.fleet $(ARGS)

image: $(VENV)/test.stamp ## the container image on a Debian machine without a registry: built, weighed, run in real pods (as root)
	$(PY) -m tools.image
	$(PY) -m pytest -m image tests/image $(ARGS)

# Namespaces of its own: its network leads nowhere, and whatever was started or mounted is gone at the end.
NODE = unshare --net --mount --pid --fork --kill-child --mount-proc sh -c 'ip link set lo up && \
	ip address add 192.0.2.1/32 dev lo && ip address add 10.96.0.1/32 dev lo && exec "$$@"' sh

cluster: $(VENV)/test.stamp ## a real cluster of one node: the chart, injected pods and what becomes of them (as root, with Go)
	$(PY) -m tools.image
	$(PY) -m tests.deploy.tools helm kubernetes
	$(NODE) $(PY) -m pytest -m cluster tests/cluster $(ARGS)

mutants: $(VENV)/test.stamp ## plant every known defect and show the test that sees it
	$(PY) -m tests.mutants $(ARGS)

bench: $(LEAN)/runtime.stamp ## measure what is promised, as ratios in one run
	env -i PATH="$$PATH" $(LEAN)/bin/python -m bench $(ARGS)

docs: $(VENV)/test.stamp ## write docs/{reference,metrics,events}.md, the specs of deploy/ and the alerts from what they are made of
	$(PY) -m tools.reference
	$(PY) -m tools.metrics
	$(PY) -m tools.events
	$(PY) -m tools.specs
	$(PY) -m tools.alerts

clean: ## remove everything that `make` made
	rm -rf .browser .clients .deploy .image .venv .venv-runtime .venv-lock .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- virtual environments -------------------------------------------------------------------------------------------
# A stamp is the last thing a recipe writes: a half-made environment has none and is made again from nothing, as is one
# whose interpreter is gone.

alive = $(shell $(1)/bin/python -c 'print(1)' 2>/dev/null)
broken = $(if $(call alive,$(1)),,FORCE)

$(VENV)/made: requirements/build.txt $(call broken,$(VENV))
	$(call create,$(VENV))
$(LEAN)/made: requirements/build.txt $(call broken,$(LEAN))
	$(call create,$(LEAN))

# The package itself is installed by link, for its command and its version.
$(VENV)/%.stamp: requirements/%.txt $(VENV)/made pyproject.toml
	$(call install,$(VENV),$<)
$(LEAN)/%.stamp: requirements/%.txt $(LEAN)/made pyproject.toml
	$(call install,$(LEAN),$<)

define create
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'Python 3.11 or later is needed: apt install python3, or say make PYTHON=python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo 'Python has no venv module: apt install python3-venv' >&2; exit 1; }
	@echo 'Making $(1) (once)'
	@rm -rf $(1)
	@$(PYTHON) -m venv $(1)
	@$(1)/bin/python $(LOCKED) requirements/build.txt
	@touch $@
endef

define install
	@echo 'Installing $(2) into $(1)'
	@$(1)/bin/python $(LOCKED) $(2)
	@$(1)/bin/python $(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@
endef

# --- locks ----------------------------------------------------------------------------------------------------------
# Names, versions and hashes only. The widest set is resolved first, and every other one starts from its pins.

COMPILE = CUSTOM_COMPILE_COMMAND='make lock' .venv-lock/bin/python -m piptools compile --quiet --generate-hashes \
	--strip-extras --allow-unsafe --no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

CLIENTS = tests/clients/programs/python

lock: ## resolve requirements/*.txt again from pyproject.toml (ARGS=--upgrade takes newer versions)
	@test -x .venv-lock/bin/python || $(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python $(LOCKED) requirements/lock.txt
	$(COMPILE) $(ARGS) --extra demo --extra kube --extra test --extra lint --extra deploy --extra grafana --output-file requirements/deploy.txt pyproject.toml
	@for name in runtime demo test lint; do cp requirements/deploy.txt requirements/$$name.txt; done
	$(COMPILE) --extra kube --output-file requirements/runtime.txt pyproject.toml
	$(COMPILE) --extra demo --output-file requirements/demo.txt pyproject.toml
	$(COMPILE) --extra demo --extra kube --extra test --output-file requirements/test.txt pyproject.toml
	$(COMPILE) --extra demo --extra kube --extra test --extra lint --output-file requirements/lint.txt pyproject.toml
	$(COMPILE) $(ARGS) --all-build-deps --only-build-deps --output-file requirements/build.txt pyproject.toml
	@for name in lock sbom; do $(COMPILE) $(ARGS) --output-file requirements/$$name.txt requirements/$$name.in || exit 1; done
	@for name in $(CLIENTS)/modern $(CLIENTS)/old; do $(COMPILE) $(ARGS) --output-file $$name.txt $$name.in || exit 1; done
	@sed -i -e '/^#/d' -e '/^$$/d' requirements/*.txt $(CLIENTS)/*.txt
	@! grep -nE '[/@]' requirements/*.txt $(CLIENTS)/*.txt
