# One command each: `make app` and `make test` set up everything they need on a fresh machine.
PYTHON ?= python3
ADDRESS ?= 127.0.0.1
PORT ?= 8501
DEMO ?= $(PROTEUS_DEMO)
# Which builds of torch to ask for, as uv names them: cpu, cu130, … Empty: those of the package index.
TORCH ?=
PYTEST_ARGS ?=
# One process per core, up to four; the tests of a file stay together, because they share what they set up.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

VENV := .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help app explore test fast check slowest audit venv demos screenshots weights tools clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# DEMO=1: a public demo (app/shell/demo.py) takes pictures of at most 5 MB. PROTEUS_PASSWORD asks every visitor for it.
ifneq ($(DEMO),)
app: export PROTEUS_DEMO := $(DEMO)
app: export STREAMLIT_SERVER_MAX_UPLOAD_SIZE := 5
endif
app: $(VENV)/.app weights ## install what is missing, then start the app on http://127.0.0.1:8501 (DEMO=1: for the public)
	@echo "Proteus Lab: http://$(ADDRESS):$(PORT)  (stop with Ctrl-C; another port: make app PORT=8600)"
	@exec $(PY) -m app --server.port=$(PORT) --server.address=$(ADDRESS)

explore: $(VENV)/.explore ## the light app, without torch: it opens runs and trains none (docs/light.md)
	@echo "Proteus Lab, light: http://$(ADDRESS):$(PORT)  (stop with Ctrl-C; another port: make explore PORT=8600)"
	@exec $(PY) -m app --server.port=$(PORT) --server.address=$(ADDRESS)

test: $(VENV)/.dev weights tools ## install what is missing, then run every test (PYTEST_ARGS=... runs some)
	HF_HUB_OFFLINE=1 $(PY) -m pytest $(or $(PYTEST_ARGS),$(PARALLEL))

fast: $(VENV)/.dev ## the fast tests of the engine alone (PROTEUS_PRECISION=bfloat16: in that precision)
	HF_HUB_OFFLINE=1 $(PY) -m pytest -q $(PARALLEL) -m "not slow and not browser" tests/unit

check: $(VENV)/.dev ## lint, format, types and the fast tests of the engine, in float32
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	HF_HUB_OFFLINE=1 $(PY) -m pytest -q $(PARALLEL) -m "not slow and not browser" -k "not bfloat16" $(or $(PYTEST_ARGS),tests/unit)

slowest: $(VENV)/.dev weights tools ## every test, and then the twenty that took longest (PYTEST_ARGS=... of some)
	HF_HUB_OFFLINE=1 $(PY) -m pytest -q --durations=20 $(PARALLEL) $(PYTEST_ARGS)

# --strict: a package that nobody could be asked about is a failure, not a pass.
audit: $(VENV)/.app ## whether any pinned version has a known vulnerability (asks the package index), and this machine's facts
	@$(uv) tool run --from 'pip-audit>=2.7,<3' pip-audit --strict --no-deps --disable-pip --requirement constraints.txt
	@$(PY) -m core doctor

demos: $(VENV)/.app weights ## train the recorded runs in assets/runs anew, some minutes
	HF_HUB_OFFLINE=1 $(PY) -m core.demos

screenshots: $(VENV)/.dev tools ## make the pictures in assets/screenshots anew
	$(PY) -m tests.browser.screenshots

venv: $(VENV)/.dev ## the virtual environment .venv with everything in it

clean: ## remove the virtual environment and the tools' caches; runs and weights stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find app core tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Recorded runs can be explored and most tests pass without the weights, so an absent network does not stop us here.
weights:
	@$(PY) -m core fetch dinov2-s14 || echo "WARNING: going on without the weights of the embedded backbone: tests marked 'weights' will be skipped."

tools:
	@tests/install_tools.sh

$(VENV)/.app: requirements.txt requirements-explore.txt requirements-train.txt constraints.txt | $(VENV)/bin/uv
	@$(call install,-r requirements.txt)
	@$(call say_torch)
	@touch $@ $(VENV)/.explore

# As small as it can be: no uv, and only what is used gets compiled, when it is used.
$(VENV)/.explore: requirements-explore.txt constraints.txt | $(PY)
	@echo "Installing the light app: about 550 MB, half a minute."
	@$(PY) -m pip install -qq --no-compile -c constraints.txt -r requirements-explore.txt
	@touch $@

$(VENV)/.dev: requirements.txt requirements-explore.txt requirements-train.txt requirements-dev.txt constraints.txt | $(VENV)/bin/uv
	@$(call install,-r requirements.txt -r requirements-dev.txt)
	@$(call say_torch)
	@touch $@ $(VENV)/.app $(VENV)/.explore

# uv is many times faster than pip but reads none of pip's settings, so we name the index; pip is used where uv fails.
# Compiled once here, or else (PYTHONDONTWRITEBYTECODE) each process compiles 3,000 files anew: 10 seconds a start.
uv = index=$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(PY) -m pip config get global.index-url 2>/dev/null || true)}}; \
    env $${index:+UV_DEFAULT_INDEX=$$index} $(VENV)/bin/uv

# uv remembers an interpreter by its path, and would install into a former one: `--refresh-package` makes it look again.
uv_install = $(uv) pip install --refresh-package uv $$([ -t 1 ] || echo --quiet) --compile-bytecode --python $(PY) -c constraints.txt

# Where the builds that TORCH asks for cannot be had, the index's own do; `say_torch` says which came.
define install
echo "Installing the packages of $(strip $(1)), some minutes the first time."; \
wanted=; [ ! -x $(VENV)/bin/uv ] || wanted="$(TORCH)"; \
if [ -n "$$wanted" ]; then \
  export UV_TORCH_BACKEND="$$wanted" UV_HTTP_RETRIES=1; \
  { $(uv_install) $(1); } && exit 0; \
  echo "The $$wanted builds of torch cannot be had here: taking the package index's own."; \
  unset UV_TORCH_BACKEND UV_HTTP_RETRIES; \
fi; \
[ -x $(VENV)/bin/uv ] && { $(uv_install) $(1); } && exit 0; \
echo "uv could not install them: trying pip."; $(PY) -m pip install -qq -c constraints.txt $(1)
endef

define say_torch
$(PY) -c "from importlib.metadata import version; from importlib.util import find_spec; \
print('torch', version('torch'), 'with' if find_spec('nvidia') else 'without', 'the libraries of CUDA.')"
endef

# Without uv `install` uses pip, and the next call of make tries to get uv again.
$(VENV)/bin/uv: | $(PY)
	@$(PY) -m pip install -qq -c constraints.txt uv || echo "uv cannot be had: pip will do, more slowly."

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed, and '$(PYTHON)' is not: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "'$(PYTHON) -m venv' failed: on Debian and Ubuntu, apt install python3-venv." >&2; exit 1; }
