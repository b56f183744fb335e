# Everything that is done with this repository by hand or by CI. `make help` lists it.
#
# The virtual environment is made once and again only when a lock file changes: a copy of the
# lock that was installed last lies in .venv. Only relative paths, so that a clone works anywhere.

PYTHON ?= python3
VENV := .venv
BENCH_VENV := .venv-bench
PY := $(VENV)/bin/python
PYTEST := $(PY) -m pytest
# As many as processors, within 2 to 8: more are not faster, as measured on two.
TEST_PROCESSES ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -lt 2 ] && n=2; [ $$n -gt 8 ] && n=8; echo $$n)
TOOLS := git tmux

.DEFAULT_GOAL := help
.PHONY: help demo run test test-faults test-seeds test-kills test-long test-agents simulate fuzz check lint bench bench-mesh bench-swarm bench-merge bench-marketplace bench-failover lock docs clean run-env dev-env bench-env tools

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: run-env ## the whole story on real processes, in about 90 s (KEEP=1 keeps the nodes, ARGS="--scale 8")
	@exec $(PY) manage.py demo $(if $(filter-out 0,$(KEEP)),--keep) $(ARGS)

run: run-env ## one node, set up by VOIDLUX_* variables (ARGS=...)
	@exec $(PY) manage.py runnode $(ARGS)

# Two runs, because the browser's event loop would break later asyncio tests of one process.
# The second one runs even when the first one failed. In the order of the files, in which the slow
# ones come early: by default those with the fewest tests come last, some of which take minutes.
test: dev-env ## the tests (ARGS="-k word" picks some)
	@failed=0; \
	echo "tests"; \
	$(PYTEST) -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder -m "not browser and not agent_clis and not seeds and not faults" $(ARGS) || failed=$$?; \
	echo "browser tests"; \
	$(PYTEST) -m browser tests/browser $(ARGS) || failed=$$?; \
	exit $$failed

# The long ones, half of all the time: those of each module that need no node are in `make test`.
test-faults: dev-env ## nodes killed at every point of their work, the demo, defects that must be found (ARGS=...)
	$(PYTEST) -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder -m faults $(ARGS)

test-seeds: dev-env ## seeds beyond those of `make test`: 200 networks, 500 elections in all (ARGS=...)
	$(PYTEST) -n 2 --dist loadfile -m seeds tests/simulation $(ARGS)

# The programs are installed by npm, in exact versions, into a cache that VOIDLUX_AGENT_CLIS names.
test-agents: dev-env ## whole tasks by the real Claude Code, Codex and OpenCode, on a played model
	$(PYTEST) -m agent_clis tests/agent_clis $(ARGS)

test-kills: dev-env ## 200 random kills while 30 tasks run: no commit is lost (ARGS=...)
	KILLS=200 TASKS=30 $(PYTEST) -s tests/processes/test_nothing_is_lost.py $(ARGS)

# A failing example is kept in .hypothesis and comes first in the next run.
test-long: dev-env ## 2,000 random histories of a market with faults, its books checked at every step
	$(PYTEST) -s tests/marketplace/test_market_machine.py --hypothesis-profile long --hypothesis-show-statistics $(ARGS)

# Each target for SECONDS, or for RUNS inputs. What breaks one is written to a file and named.
SECONDS ?= 60
RUNS ?= -1
TARGETS ?= frames payload handshake neighbour

fuzz: dev-env ## any bytes into decoder, handshake, gossip and sync (SECONDS=60 each, RUNS=, TARGETS=)
	@$(PY) -m pip install -qq --disable-pip-version-check -r requirements/fuzz.txt
	@for each in $(TARGETS); do \
	  echo "fuzzing $$each"; \
	  $(PY) -m tests.fuzz $$each --seconds $(SECONDS) --runs $(RUNS) $(ARGS) || exit 1; \
	done

simulate: dev-env ## seeded chaos in virtual time (NODES=1000 SEEDS=5 FIRST=1)
	@exec $(PY) -m tests.simulation $(if $(NODES),--nodes $(NODES)) $(if $(SEEDS),--seeds $(SEEDS)) \
	  $(if $(FIRST),--first $(FIRST))

lint: dev-env ## format, style, types, layers, migrations and generated pages
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -c "from importlinter.cli import lint_imports_command as run; run()"
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) manage.py docs --check

check: lint test ## all that must hold before a change is merged: lint, then test

bench: bench-mesh bench-swarm bench-merge bench-marketplace bench-failover ## all benchmarks, one after the other

bench-mesh: dev-env bench-env ## the mesh beside others, in docs/benchmarks/mesh.md (ARGS=--no-docs)
	@$(PY) -m benchmarks.mesh --others $(BENCH_VENV)/bin/python $(ARGS)

bench-swarm: dev-env ## from a task to its process, dispatch, monitor, lists (ARGS=--no-docs)
	@$(PY) -m benchmarks.swarm $(ARGS)

bench-merge: dev-env ## many branches beside plain git, and culprits (ARGS=--no-docs)
	@$(PY) -m benchmarks.merge $(ARGS)

bench-marketplace: dev-env ## trades between two nodes, 10,000 offerings, 1,000 tributes (ARGS=--no-docs)
	@$(PY) -m benchmarks.marketplace $(ARGS)

bench-failover: dev-env ## kill -9 of the emperor, and what its Seneschal costs (ARGS="--runs 3 --no-docs")
	@$(PY) -m benchmarks.failover $(ARGS)

docs: run-env ## write the generated pages in docs/
	@$(PY) manage.py docs

LOCK_NOW := $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header pyproject.toml

lock: dev-env ## write requirements/*.lock anew from pyproject.toml (ARGS=--upgrade for newer versions)
	$(LOCK_NOW) -o requirements/run.lock $(ARGS)
	$(LOCK_NOW) --extra server --group dev -c requirements/run.lock -o requirements/dev.lock $(ARGS)

clean: ## remove .venv and caches; data/, the homes of nodes, stays
	rm -rf $(VENV) $(BENCH_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What a newcomer's machine must have, each with one line that says what to do.
tools:
	@command -v $(PYTHON) >/dev/null 2>&1 || \
	  { echo "$(PYTHON) is missing: install Python 3.11 or newer, or name it with PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$$($(PYTHON) --version) is too old: VoidLux needs 3.11; name it with PYTHON=" >&2; exit 1; }
	@for tool in $(TOOLS); do command -v $$tool >/dev/null 2>&1 || \
	  { echo "$$tool is missing: install it with the package manager of your system" >&2; exit 1; }; done

run-env: LOCK = run
dev-env: LOCK = dev
run-env dev-env: tools
	@if ! $(PY) -m pip --version >/dev/null 2>&1; then \
	  echo "making $(VENV) with $$($(PYTHON) --version)"; \
	  $(PYTHON) -m venv --clear $(VENV) >/dev/null || \
	    { echo "$(PYTHON) -m venv failed: install its venv module (python3-venv)" >&2; exit 1; }; \
	fi
	@if ! cmp -s requirements/$(LOCK).lock $(VENV)/$(LOCK).lock; then \
	  echo "installing requirements/$(LOCK).lock into $(VENV), once"; \
	  rm -f $(VENV)/run.lock $(VENV)/dev.lock; \
	  $(PY) -m pip install -qq --disable-pip-version-check --require-hashes \
	    -r requirements/$(LOCK).lock || exit 1; \
	  cp $(sort requirements/run.lock requirements/$(LOCK).lock) $(VENV)/; \
	fi

# What the mesh is compared with must not be able to change what VoidLux itself runs with. The
# benchmark goes on without whatever cannot be installed, and says so.
bench-env: tools
	@if ! cmp -s benchmarks/mesh/requirements.txt $(BENCH_VENV)/requirements.txt; then \
	  echo "making $(BENCH_VENV) with what the mesh is compared with, once"; \
	  $(PYTHON) -m venv --clear $(BENCH_VENV) >/dev/null && \
	  $(BENCH_VENV)/bin/python -m pip install -qq --disable-pip-version-check \
	    -r benchmarks/mesh/requirements.txt && \
	  cp benchmarks/mesh/requirements.txt $(BENCH_VENV)/ || \
	  echo "not everything could be installed: the benchmark goes on without it" >&2; \
	fi
