# `make demo` and `make test` do everything from a fresh clone: environment, libraries, then the command.
# Another Python than python3: make PYTHON=/path/to/python3.12 demo

PYTHON ?= python3
WORKERS ?= 2

BIN := .venv/bin
STAMP := .venv/.stamp
BENCH := .venv/bench
BENCH_SBI := .venv/bench-sbi
DOCS := .venv/docs
SHOWN := docs/images/made

.DEFAULT_GOAL := help
.PHONY: help demo explore test fuzz lint format bench bench-tables bench-sbi docs clean

help:
	@echo "make demo    train on handwritten digits, draw, restore, find odd ones: demo/report.html"
	@echo "make explore open the explorer in the browser: RUN=folder of a trained model to look at it"
	@echo "make test    run all tests and the examples in the docstrings"
	@echo "make fuzz    give 100,000 damaged files and texts to every reader: INPUTS=... SEED=..."
	@echo "make lint    ruff and mypy"
	@echo "make format  let ruff format and fix what it can"
	@echo "make bench   measure samplers, log-density and overhead beside other libraries, and every wrapper: benchmarks/results.md"
	@echo "make bench-tables DATA=folder  measure densities, generated rows, imputation and prediction on tables"
	@echo "make bench-sbi  measure posteriors of eight simulators beside the library sbi: benchmarks/sbi.md"
	@echo "make docs    the site with the gallery, the lessons, the guides and the reference: docs/_build/html/index.html"
	@echo "make clean   remove the environment, caches and the demo's output"

$(STAMP): pyproject.toml constraints.txt tools/setup.py
	@command -v $(PYTHON) >/dev/null || { echo "setup: no $(PYTHON) found; install Python 3.11 or newer, or: make PYTHON=/path/to/python3 ..."; exit 1; }
	@$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('setup: Python 3.11 or newer is needed, $(PYTHON) is %s; try: make PYTHON=python3.12 ...' % sys.version.split()[0])"
	@$(PYTHON) tools/setup.py
	@touch $@

demo: $(STAMP)
	@$(BIN)/scorefield demo -o demo

explore: $(STAMP)
	@$(BIN)/scorefield explore $(if $(RUN),"$(RUN)") $(ARGS)

# One thread per worker: more of them only get into each other's way.
test: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

fuzz: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz.py --inputs $(or $(INPUTS),100000) --seed $(or $(SEED),0) $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# An environment of its own over .venv, whose libraries it sees: its folder, and a name for the file on its way there.
define overlay
@$(BIN)/python -m venv --clear $(1)
@$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > $(2).pth.tmp
@mv $(2).pth.tmp "$$($(1)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/base.pth"
endef

# The peers have an environment of their own over .venv, whose torch they use. k-diffusion comes without its training
# libraries: they do not go with a CPU build of torch, and its samplers need only what the extra `bench` brings.
# ForestDiffusion comes without its own xgboost, which brings CUDA libraries; `bench` names the build for the CPU.
$(BENCH)/.stamp: $(STAMP)
	@echo "bench: installing azula, k-diffusion, diffusers, zuko and ForestDiffusion into $(BENCH)"
	$(call overlay,$(BENCH),base)
	@$(BENCH)/bin/python -m pip install --quiet -c constraints.txt -e ".[bench]"
	@$(BENCH)/bin/python -m pip install --quiet --no-deps "k-diffusion>=0.1.1" "ForestDiffusion>=1.0.6"
	@touch $@

bench: $(BENCH)/.stamp
	@$(BENCH)/bin/python benchmarks/run.py
	@$(BENCH)/bin/python benchmarks/wrappers.py

# DATA: the folder of the four tables with a published split; without it the two of scikit-learn are measured.
bench-tables: $(BENCH)/.stamp
	@OMP_NUM_THREADS=$(WORKERS) $(BENCH)/bin/python benchmarks/tables.py $(if $(DATA),--data "$(DATA)") $(ARGS)
	@$(BENCH)/bin/python benchmarks/tables_speed.py

# sbi has an environment of its own over .venv, whose torch it uses. ARGS: see benchmarks/sbi.py.
$(BENCH_SBI)/.stamp: $(STAMP)
	@echo "bench-sbi: installing sbi into $(BENCH_SBI)"
	$(call overlay,$(BENCH_SBI),sbi)
	@$(BENCH_SBI)/bin/python -m pip install --quiet -c constraints.txt -e ".[bench-sbi]"
	@touch $@

bench-sbi: $(BENCH_SBI)/.stamp
	@OMP_NUM_THREADS=1 $(BENCH_SBI)/bin/python benchmarks/sbi.py $(ARGS)

# Sphinx has an environment of its own over .venv, whose torch it uses: the reference is read from the library itself.
$(DOCS)/.stamp: $(STAMP)
	@echo "docs: installing sphinx, furo, myst-parser and sphinx-gallery into $(DOCS)"
	$(call overlay,$(DOCS),docs)
	@$(DOCS)/bin/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	@touch $@

# What the pages show of commands: each is run, in half an hour, and once more when the library has changed.
$(SHOWN)/.stamp: $(DOCS)/.stamp $(wildcard docs/commands/*.py) docs/graphs.md benchmarks/stein.md $(shell find src/scorefield -name '*.py')
	@OMP_NUM_THREADS=1 $(DOCS)/bin/python docs/commands/shown.py
	@touch $@

docs: $(SHOWN)/.stamp
	@mkdir -p docs/_extra
	@OMP_NUM_THREADS=1 $(DOCS)/bin/scorefield explore --export docs/_extra/scenes.html
	@OMP_NUM_THREADS=1 $(DOCS)/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@$(DOCS)/bin/python docs/check_site.py docs/_build/html
	@echo "docs: docs/_build/html/index.html"

clean:
	rm -rf .venv docs/_build docs/_extra $(SHOWN) docs/front docs/gallery docs/lessons/figures .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist demo
	find src tests tools -name __pycache__ -type d -exec rm -rf {} +
