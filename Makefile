# make demo   the provider at work: PostgreSQL, Airflow and pods on this machine, before and after a change of the rows
# make test   the tests; those of a real cluster run where KUBECONFIG names one, and skip otherwise
# make test-airflow AIRFLOW=3.1.8   what meets Airflow, on an older one
# make chaos  a whole Airflow on the cluster of KUBECONFIG, and faults at random
# make bench  what it costs beside what users would take instead, on the cluster of KUBECONFIG, into docs/BENCHMARKS.md: 45 minutes
#             at most; make bench-long: two hours
# make lint   ruff, mypy, import-linter, shellcheck
# make wheel  the wheel, in dist/
# make picture docs/demo.svg, what the demo prints
# make schema migrations/schema, the present schema by subject, after a migration was added
# make reference the tables of methods in docs/REFERENCE.md, after a docstring or a signature of the store was changed
#
# Each does its own set-up. Needed beforehand: Python 3.10 to 3.14, make, bash and a package index.

# The first that runs and is of a right version: a name may be another's shim, or python3 an old one.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3.10 python3; do \
  "$$name" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 15))' 2>/dev/null && command -v "$$name" && break; done)
BIN := .venv/bin
READY := .venv/.ready
export UV_PYTHON_DOWNLOADS := never
# Where PYTHONDONTWRITEBYTECODE is set, as in many containers, each of the tests' many processes would otherwise compile all of Airflow
# that it imports: 3 of its 6 seconds. And each that collects the tests would compile all of them: 7 of its 14.
COMPILED := --compile-bytecode
unexport PYTHONDONTWRITEBYTECODE
# An environment holds its own path and its Python's. One that was moved, or whose Python is gone, or that was never finished:
STALE := $(shell { [ "$$(cat $(READY))" = "$$(pwd -P)" ] && $(BIN)/python -c ""; } 2>/dev/null || echo stale)

.PHONY: demo test test-cluster test-airflow chaos bench bench-long lint wheel picture schema reference kubectl stale

demo: $(READY) kubectl
	$(BIN)/python -m demo

# A file stays together, since its tests may share an Airflow. In the folders' order: those with few tests take longest, and would
# come last.
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder

# Four at a time, on two cores: much of it is waiting.
test: $(READY) kubectl
	$(PYTEST) -n 4

# Only what runs on a real cluster, from KUBECONFIG. What freezes its components comes last, and alone.
test-cluster: $(READY) kubectl
	$(PYTEST) -n 3 -m "cluster and not faults and not chaos"
	$(BIN)/python -m pytest -m faults

# Faults at random on the cluster of KUBECONFIG: those of CHAOS_SEED, or of a seed that is printed, so that they can be had again.
chaos: CHAOS_SEED ?= $(shell date +%s)
chaos: CHAOS_SECONDS ?= 600
chaos: $(READY) kubectl
	@echo "make chaos CHAOS_SEED=$(CHAOS_SEED) CHAOS_SECONDS=$(CHAOS_SECONDS)"
	CHAOS_SEED=$(CHAOS_SEED) CHAOS_SECONDS=$(CHAOS_SECONDS) $(BIN)/python -m pytest -m chaos -s

# A machine that does nothing else gives figures that can be had again. One part alone: python -m benchmarks --only imports
bench: $(READY) kubectl
	$(BIN)/python -m benchmarks

bench-long: $(READY) kubectl
	$(BIN)/python -m benchmarks --long

# Each version has the versions of everything else that it works with in tests/airflow/: the newest do not suit an older Airflow.
AIRFLOW ?= 3.1.8
OLDER := .venv-airflow-$(AIRFLOW)
CORE := tests/operators tests/triggers tests/hooks tests/task_groups tests/kubectl/test_manifest.py tests/kubectl/test_environment.py \
  tests/example_dags/test_parsing.py tests/test_private_airflow.py tests/integration/test_deferred_before_3_3.py

test-airflow: $(READY) kubectl
	@test -f tests/airflow/$(AIRFLOW).txt || { echo "tests/airflow has no $(AIRFLOW).txt; it has: $$(cd tests/airflow && ls)" >&2; exit 1; }
	$(BIN)/uv venv --quiet --allow-existing $(OLDER)
	$(BIN)/uv pip sync --quiet $(COMPILED) --python $(OLDER)/bin/python tests/airflow/$(AIRFLOW).txt
	$(BIN)/uv pip install --quiet --python $(OLDER)/bin/python --no-deps --editable .
	$(OLDER)/bin/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(CORE)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	@PATH="$(BIN):$$PATH"; command -v shellcheck >/dev/null || { echo "shellcheck is missing: install it (Debian: apt-get install shellcheck) and run this again" >&2; exit 1; }
	PATH="$(BIN):$$PATH" shellcheck airflow_provider_dagconfig/kubectl/kubectl.sh .ci/run

# The dates of the files would be in it: from the same source comes the same file.
wheel: export SOURCE_DATE_EPOCH ?= 315532800
wheel: $(READY)
	rm -rf build
	$(BIN)/uv build --wheel

# Wide enough for the tables. The credentials of a cluster are not asked for.
picture: $(READY) kubectl
	env -u KUBECONFIG COLUMNS=104 $(BIN)/python -m demo --picture docs/demo.svg

schema: $(READY)
	PYTHONPATH=.:tests $(BIN)/python -m plugins.present_schema

reference: $(READY)
	PYTHONPATH=.:tests $(BIN)/python -m plugins.method_reference

$(READY): pyproject.toml setup.cfg uv.lock $(STALE)
	@test -n "$(PYTHON)" || { echo "Python 3.10 to 3.14 is missing: install one, or name it: make PYTHON=/opt/python3.12/bin/python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/uv || { "$(PYTHON)" -m venv .venv && $(BIN)/python -m pip install --quiet "$$(sed -n 's/^  "\(uv==[^"]*\)",$$/\1/p' pyproject.toml)"; }
	$(BIN)/uv sync --quiet --locked $(COMPILED)
	@pwd -P > $@

stale:
	@rm -rf .venv

kubectl:
	@command -v kubectl >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then \
	  echo "Installing Debian's kubernetes-client" && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends kubernetes-client >/dev/null && exit 0; \
	fi; \
	echo "kubectl is missing: install it (Debian, as root: apt-get install kubernetes-client) and run this again" >&2; exit 1
