# Works with GNU make 3.81 (macOS) and newer. `make` alone lists the targets.
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Extra arguments for a target's command: make test ARGS='-k claim'
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test test-pooled check format bench chaos scale eval-duplicates eval-faces \
	bench-duplicates chaos-duplicates bench-rates chaos-vehicles bench-idle chaos-schedules chaos-faces bench-paid \
	bench-watch bench-live fuzz-api constraints build clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' Makefile

install: $(INSTALLED) ## Make .venv and install everything into it

$(INSTALLED): pyproject.toml constraints.txt .ci/install
	@PYTHON='$(PYTHON)' .ci/install
	@touch $@

demo: install ## See it work: embedded PostgreSQL, sample rows, several runners at once
	@$(BIN)/backfill demo $(ARGS)

test: install ## Run every test (ARGS='-k name' for some)
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

test-pooled: install ## Run the engine's tests through a real PgBouncer in transaction mode
	@.ci/packages pgbouncer
	@$(BIN)/python -m pytest -n auto --dist worksteal --pooled tests/engine tests/pooled $(ARGS)

check: install ## Lint, formatting and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: install ## Put the code into the project's format and fix what can be fixed
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: install ## Measure rows a second against a plain hand-written loop
	@$(BIN)/python -m tests.bench.throughput $(ARGS)

chaos: install ## Kill random runners during a long run and compare the end state
	@$(BIN)/python -m tests.bench.chaos $(ARGS)

scale: install ## Measure the cost of a claim at 10 thousand, 1 million and 5 million jobs
	@$(BIN)/python -m tests.bench.scale $(ARGS)

eval-duplicates: install ## Evaluate duplicate detection on drawn receipts and their copies
	@$(BIN)/python -m tests.bench.duplicates_eval $(ARGS)

eval-faces: install ## Evaluate local faces on labelled pictures (ARGS='FOLDER')
	@$(BIN)/python -m tests.bench.faces_eval $(ARGS)

bench-duplicates: install ## Measure the search for near hashes among 100 thousand and 1 million
	@$(BIN)/python -m tests.bench.duplicates $(ARGS)

chaos-duplicates: install ## Kill processes that look for duplicates, and compare the pairs found
	@$(BIN)/python -m tests.bench.duplicates_chaos $(ARGS)

bench-rates: install ## Measure how much of a shared rate is used, and that it is never exceeded
	@$(BIN)/python -m tests.bench.rates $(ARGS)

chaos-vehicles: install ## Kill processes that download from a hostile host, and compare the end state
	@$(BIN)/python -m tests.bench.vehicles_chaos $(ARGS)

chaos-schedules: install ## Fire a schedule each second for a minute while workers are killed
	@BACKFILL_CHAOS_S=60 $(BIN)/python -m pytest -q -n0 tests/worker/test_chaos.py

chaos-faces: install ## Kill processes that index faces at a failing provider, and check every face and cent
	@$(BIN)/python -m tests.bench.faces_chaos $(ARGS)

bench-paid: install ## Measure how paid calls keep to a quota, and where a budget stops them
	@$(BIN)/python -m tests.bench.paid_quota
	@$(BIN)/python -m tests.bench.paid_budget

bench-idle: install ## Measure a run with nothing to do on a million vehicles
	@$(BIN)/python -m tests.bench.vehicles_idle $(ARGS)

bench-live: install ## Measure what 200 clients of the live stream cost the server and the database
	@$(BIN)/python -m tests.bench.live_stream $(ARGS)

bench-watch: install ## Measure what a watch costs inserts, and how soon new rows are done
	@$(BIN)/python -m tests.bench.watch $(ARGS)

fuzz-api: install ## Send the HTTP API thousands of requests that its document allows, and others
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-200} $(BIN)/python -m pytest -q -n0 tests/web/test_openapi.py $(ARGS)

build: install ## Build the wheel and the source archive into dist/
	@$(BIN)/uv build --quiet --out-dir dist

constraints: install ## Pin the newest versions that fit into constraints.txt
	@rm -f uv.lock
	@$(BIN)/uv lock --quiet --upgrade
	@$(BIN)/uv export --quiet --frozen --no-hashes --no-header --no-annotate --no-emit-project \
		--all-extras --output-file constraints.txt >/dev/null
	@rm -f uv.lock

clean: ## Remove .venv, builds and caches
	@rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find runner tests migrations -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
