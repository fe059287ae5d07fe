# Every command makes what it needs first: the environment in .venv and the model files in the user's cache.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LIBRARY ?= library

.PHONY: demo test check bench slow models lock clean

demo: models
	$(BIN)/vesalius demo --library $(LIBRARY)

test: models
	$(BIN)/python -m pytest

check: $(VENV)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/house

bench: models
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.build
	$(BIN)/python -m benchmarks.pipeline
	$(BIN)/python -m benchmarks.two_stage --pages 1000 --coarse runs-32 --depths 100 150
	$(BIN)/python -m benchmarks.upsert
	$(BIN)/python -m benchmarks.kill --kills 20
	$(BIN)/python -m benchmarks.faults
	$(BIN)/python -m benchmarks.awkward_pdfs --mutants 200
	$(BIN)/python -m benchmarks.table

# Also the properties of the fast suite, on examples drawn anew.
# With VESALIUS_VLLM=DIR also against a real vLLM server; `python -m benchmarks.vllm_cpu_environment DIR` makes DIR (CPU).
slow: models
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 0 -m slow -o timeout=900
	$(BIN)/python -m pytest -m 'hypothesis and not slow' --hypothesis-profile=thorough

models: $(VENV)/.ready
	$(BIN)/vesalius models pull --quiet

# The lock pins every package; the project itself is installed without looking at its dependencies again.
$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

lock:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --no-header --extra dev --no-emit-index-url --no-annotate \
	  --python-version 3.11 pyproject.toml requirements.build -o requirements.lock

clean:
	rm -rf $(VENV) build dist
