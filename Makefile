# What a contributor does, a thin line each. `make lab` and `make test` need only Python 3.11+:
# the first run makes .venv/ from requirements.lock, later ones find it in place.

BIN := .venv/bin
READY := .venv/.ready
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest
PARALLEL := -n $(WORKERS) --dist loadfile
# By name, for the kernels of notebooks are told so, too.
COVERAGE := --cov=gateway_lab
TESTS := $(PARALLEL) -p no:nbval tests data
NBVAL := --nbval --nbval-current-env --nbval-sanitize-with=tests/nbval.cfg \
	--nbval-cell-timeout=120 --timeout=150 -p no:randomly

# The tests start many interpreters, and modules that are compiled once halve the start of each.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup servers lab test check fix notebooks regen docs pictures bench agree chaos lock hooks clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml tools/setup.sh
	@sh tools/setup.sh

setup: $(READY) ## Make .venv/ (every other recipe does so when needed)

servers: $(READY) ## Install the real brokers that tests start (`make test` does so when needed)
	@sh tools/setup_servers.sh

lab: $(READY) ## Open JupyterLab on the tour; without a display, print its address
	@$(BIN)/gateway-lab lab

test: servers ## Run every test, notebooks included, and show the coverage
	$(PYTEST) $(TESTS) $(COVERAGE) --cov-report=
	$(PYTEST) $(PARALLEL) $(COVERAGE) --cov-append $(NBVAL) notebooks

check: $(READY) ## Lint, types, import layers and the fast tests, within a minute
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/typos
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	AGREE_PAIRS=3000 $(PYTEST) $(TESTS) -q -m "not slow and not broker and not browser" --hypothesis-profile=quick

fix: $(READY) ## Let ruff and typos repair what they can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/typos --write-changes

notebooks: $(READY) ## Run the notebooks and compare each output with the one committed
	$(PYTEST) $(PARALLEL) $(NBVAL) notebooks

regen: $(READY) ## Run the notebooks and write their outputs anew, the same bytes each time
	$(BIN)/python -m tools.notebooks regen

docs: $(READY) ## Write the generated pages anew: environment.yml and docs/
	$(BIN)/python -m tools.docs

pictures: servers ## Make the pictures of the docs anew, in a real JupyterLab
	$(BIN)/python -m tools.pictures

bench: $(READY) ## Measure: ratios within one run, as a table
	$(BIN)/python -m benchmarks

agree: $(READY) ## Compare both engines and the judge on two million pairs (long)
	AGREE_PAIRS=2000000 $(PYTEST) $(PARALLEL) --timeout=7200 tests/agree

chaos: servers ## Kill gateways and brokers on real servers, on from where it was (ONLY=ring, MINUTES=8, ANEW=1)
	@$(BIN)/python -m tests.live.chaos $(if $(ONLY),--only $(ONLY)) \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(ANEW),--anew)

lock: ## Bring requirements.lock in step with pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --all-extras \
		--group test --group dev --python-version 3.11 --custom-compile-command "make lock" \
		pyproject.toml --output-file requirements.lock

hooks: $(READY) ## Check each commit before it is made
	$(BIN)/prek install

clean: ## Remove .venv/ and everything that can be made again
	rm -rf .venv build dist .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache
