# Every target's ## line says what it does, what it needs and how long it takes on two cores without KVM.
.DEFAULT_GOAL := help
.SUFFIXES:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: packages $(VENV)/.installed engine ## Packages, .venv, engine. Root for missing packages; network; 8 min once, then 1 s

.PHONY: packages
packages: ## The Debian packages. Root, or it names the command; 1 min once
	@tools/install-packages.sh

.PHONY: test-packages
test-packages:    # without them, and without root, the tests that need them are skipped
	@tools/install-packages.sh test || [ "$$(id -u)" -ne 0 ]

$(VENV)/.installed: requirements.txt pyproject.toml | packages
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 …' >&2; exit 3; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
	  --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: engine
engine: $(VENV)/.installed ## The Pulumi engine, from PATH or built. Network; 7 min once, then 0.3 s
	@mkdir -p -m 700 .kumiai/state
	@$(BIN)/python -m infra.engine >/dev/null

.PHONY: demo
demo: setup ## All of it, from nothing to the business system. Root, 12 GiB, 20 GB of disk; 10 min after the first time
	@$(BIN)/python -m infra.demo

.PHONY: demo-down
demo-down: setup ## Remove the demo's machines, hosts and networks. Root; 1 min
	@$(BIN)/python -m infra.demo down

.PHONY: test
test: setup test-packages ## The tests that start no machine. Root for those in namespaces, else they are skipped; minutes
	@$(BIN)/python -m pytest --ignore tests/lab -m 'not soak' --numprocesses logical --maxprocesses 4 --dist loadfile

.PHONY: test-lab
test-lab: setup ## The tests on real machines. Root, 12 GiB; 30 min
	@$(BIN)/python -m pytest tests/lab -m 'not soak'

.PHONY: soak
soak: setup ## Kill tests and every pattern on real machines. Root, 12 GiB; hours
	@$(BIN)/python -m pytest -m soak

.PHONY: lint
lint: $(VENV)/.installed ## Style, types, imports, roles. Seconds
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@PATH="$(CURDIR)/$(BIN):$$PATH" ansible-lint --offline --profile production

.PHONY: bench
bench: setup ## Measure against the targets. Root, 12 GiB, nothing else running; 30 min
	@$(BIN)/python -m tests.bench

.PHONY: image
image: setup ## The guest image. Root, network; 3 min, or nothing when its inputs are unchanged
	@$(BIN)/python -c 'from infra import image; from infra.engine import progress; \
	  print(image.ensure_image(None, progress.shown).id)'

.PHONY: lock
lock: $(VENV)/.installed ## Pin the newest fitting Python packages in requirements.txt. Network; 10 s
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --target .kumiai/uv uv
	@env -u UV_FIND_LINKS -u PIP_FIND_LINKS .kumiai/uv/bin/uv pip compile pyproject.toml --group dev --upgrade --quiet \
	  --python-version 3.11 --python-platform x86_64-manylinux_2_36 --only-binary :all: --generate-hashes --no-header \
	  --no-emit-index-url --output-file requirements.txt

.PHONY: clean
clean: ## Remove what can be made again in the checkout; never .kumiai, which holds state
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .ansible
	find infra network tests roles inventories -name __pycache__ -type d -prune -exec rm -rf {} +
