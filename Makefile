# Each target sets up what it needs, the first time and whenever its description has changed.
# Variables: ARGS go to the program (make test ARGS="-k saga"), SEED to the simulation, PYTHON chooses the interpreter;
# files of tests are shared by so many processes as SHARED_BY says, each with servers of its own.

BIN := .venv/bin
export PATH := $(PATH):/usr/sbin:/sbin
SHARED_BY := 2
PYTEST = $(BIN)/python -m pytest --numprocesses $(SHARED_BY) --dist loadfile
DESCRIBED := pyproject.toml deploy/prepare

.PHONY: help play demo prove test test-fast screenshots check lint format types walls simulate bench-peers bench bench-scaling bench-web bench-streams bench-embedded bench-memory bench-floor bench-report soak lock clean

help:
	@echo "make play                watch orders move on a page, break things there, see them heal; nothing to set up"
	@echo "make demo                orders through all four services, in one process, with nothing to set up"
	@echo "make prove               everything broken on purpose for ten minutes, and whether all adds up; SEED=17"
	@echo "make test                every test, against RabbitMQ and PostgreSQL servers of its own"
	@echo "make screenshots         the pictures of the README and docs, taken from a real run"
	@echo "make test-fast           those that need no server and take no time: most of the trust in a minute"
	@echo "make check               lint, formatting, types and the walls between the packages"
	@echo "make simulate SEED=17    one seeded run of the whole system on a broker that misbehaves"
	@echo "make bench               orders a second, latency and processor time per order; keeps the figures"
	@echo "make bench-scaling       how that grows with workers, batches, orders under way and orders in the database"
	@echo "make bench-web           POST and GET against a plain handler; also bench-embedded, bench-memory"
	@echo "make bench-streams       what 200 open streams and 50 boards cost at 150 orders a second"
	@echo "make bench-floor         the same messages and rows by bare pika and psycopg, beside ours"
	@echo "make bench-report        docs/performance.md and its plots from the figures that were kept"
	@echo "make bench-peers         the same work by this project, DBOS, Celery, aio-pika, FastStream and Restate, in turn"
	@echo "make soak MINUTES=120    idling and light load in turn: does the memory or the open files of any process grow?"
	@echo "make lock                resolve deploy/requirements*.txt anew from pyproject.toml"

play: .venv/.ready
	$(BIN)/fulfillment play $(ARGS)

demo: .venv/.ready
	$(BIN)/fulfillment demo $(ARGS)

test: .venv/.ready-for-tests
	deploy/prepare servers
	deploy/prepare browser
	deploy/prepare node
	$(PYTEST) $(ARGS)

screenshots: .venv/.ready-for-tests
	deploy/prepare browser
	$(BIN)/python -m tests.browser.screenshots

test-fast: .venv/.ready-for-tests
	$(PYTEST) -m "not slow and not rabbitmq and not postgresql" $(ARGS)

check: lint format types walls

lint: .venv/.ready-for-tests
	$(BIN)/ruff check

format: .venv/.ready-for-tests
	$(BIN)/ruff format --check

types: .venv/.ready-for-tests
	$(BIN)/mypy

walls: .venv/.ready-for-tests
	$(BIN)/lint-imports

prove: .venv/.ready
	deploy/prepare servers
	$(BIN)/fulfillment prove $(if $(SEED),--seed $(SEED)) $(ARGS)

simulate: .venv/.ready
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: .venv/.ready-for-tests
	deploy/prepare servers
	$(BIN)/python -m tests.benchmarks bench --keep $(ARGS)

bench-scaling: .venv/.ready-for-tests
	deploy/prepare servers
	$(BIN)/python -m tests.benchmarks scaling --keep $(ARGS)

bench-web bench-streams bench-embedded bench-memory bench-floor: .venv/.ready-for-tests
	deploy/prepare servers
	$(BIN)/python -m tests.benchmarks $(subst bench-,,$@) --keep $(ARGS)

soak: .venv/.ready-for-tests
	deploy/prepare servers
	$(BIN)/python -m tests.benchmarks soak --keep --minutes $(or $(MINUTES),120) $(ARGS)

bench-report: .venv/.ready-for-tests
	$(BIN)/python -c "import matplotlib" 2>/dev/null || $(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python -m tests.benchmarks report

bench-peers: .venv/.ready-for-tests .venv-peers/.ready
	deploy/prepare servers
	$(BIN)/python -m tests.benchmarks.peers --keep $(ARGS)

lock: .venv/.ready-for-tests
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile $(RESOLVE) --output-file deploy/requirements.txt
	$(BIN)/uv pip compile $(RESOLVE) --extra dev --output-file deploy/requirements-dev.txt

RESOLVE := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
	--custom-compile-command "make lock" pyproject.toml

clean:
	rm -rf .venv .venv-peers build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache data

.venv/.ready: $(DESCRIBED) deploy/requirements.txt
	deploy/prepare python
	deploy/prepare packages deploy/requirements.txt
	@touch $@

.venv/.ready-for-tests: $(DESCRIBED) deploy/requirements-dev.txt
	deploy/prepare python
	deploy/prepare packages deploy/requirements-dev.txt
	@touch .venv/.ready $@

# Restate's server is in npm; without npm all others are measured. Nothing of these packages is run to install them.
.venv-peers/.ready: tests/benchmarks/peers/requirements.txt
	$(or $(PYTHON),python3) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --requirement $<
	if command -v npm >/dev/null; then npm install --silent --prefix .venv-peers --ignore-scripts $(RESTATE); fi
	@touch $@

RESTATE := @restatedev/restate-server@1.7.12
