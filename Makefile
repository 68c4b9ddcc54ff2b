# Everything runs in .venv, which is made when something needs it and again when the package's description changes.
PYTHON_IN_VENV := .venv/bin/python

# Where `make demo` keeps its data and its results.
DEMO_FOLDER ?= demo-run
# More for pytest, for example: make test ARGS="tests/storage -x"
ARGS ?=

# Nothing is downloaded and nothing is drawn on a screen. One thread for each process: with several processes on few cores
# torch's default is several times slower.
TEST_ENVIRONMENT := HF_HUB_OFFLINE=1 MPLBACKEND=Agg OMP_NUM_THREADS=1

# The browser's half of the package: made by Node of what lies in labextension/.
PANELS := dlc_jupyter/widgets/static/panels.js
NODE_PACKAGES := labextension/node_modules/.complete

# One program a claim; what they share is no claim.
CLAIMS := $(filter-out measure,$(patsubst benchmarks/%.py,%,$(sort $(wildcard benchmarks/[a-z]*.py))))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help .venv panels notebook demo test lint format bench docs pictures dist lock clean

help: ## Show what there is
	@sed -n 's/^\([.a-z]*\):[^#]*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 14

.venv: .venv/.complete ## Make the environment: DeepLabCut, JupyterLab, test tools and this package

# What pip copied or read when it installed: after a change of it, install again (seconds when nothing new is needed).
.venv/.complete: pyproject.toml constraints.txt $(wildcard jupyter-config/*/*.json) \
		tools/environment.sh tools/pair_torchvision.py tools/torchvision_cpu_shim.py
	tools/environment.sh

panels: $(PANELS) ## Make what the notebook's panels are in a browser

$(NODE_PACKAGES): labextension/package.json labextension/package-lock.json
	@tools/system_packages.sh node npm
	cd labextension && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(PANELS): $(NODE_PACKAGES) labextension/esbuild.mjs labextension/tsconfig.json $(shell find labextension/src -type f)
	cd labextension && npm run --silent build

demo: .venv/.complete ## Turn the demo video into poses and a labelled video, through the HTTP API
	.venv/bin/dlc-jupyter demo --folder $(DEMO_FOLDER) $(ARGS)

notebook: .venv/.complete $(PANELS) ## Open the notebooks in JupyterLab, with the demo's models and data
	$(PYTHON_IN_VENV) tools/open_notebooks.py --folder $(DEMO_FOLDER) $(ARGS)

test: .venv/.complete $(PANELS) ## Run every test
	@tools/system_packages.sh ffmpeg ffprobe curl chromium
	cd labextension && npm run --silent test
	$(TEST_ENVIRONMENT) $(PYTHON_IN_VENV) -m pytest $(ARGS)

lint: .venv/.complete $(NODE_PACKAGES) ## Check style, format and types; change nothing
	cd labextension && npm run --silent types && npm run --silent lint
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: .venv/.complete $(NODE_PACKAGES) ## Format, and mend what lint can mend by itself
	cd labextension && npm run --silent format
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

bench: .venv/.complete ## Measure every claim beside its peer; needs an idle machine, half an hour and 20 GB of disk
	@tools/system_packages.sh curl ffmpeg nginx redis-server
	@missed=0; for claim in $(CLAIMS); do echo "== $$claim"; $(PYTHON_IN_VENV) -m benchmarks.$$claim || missed=1; done; exit $$missed

docs: .venv/.complete ## Write the pages that are generated, in docs/
	$(PYTHON_IN_VENV) tools/write_configuration_page.py
	$(PYTHON_IN_VENV) tools/write_api_page.py
	$(PYTHON_IN_VENV) tools/write_form_schema.py

pictures: .venv/.complete $(PANELS) ## Take the documentation's pictures of the panels, in a real browser
	@tools/system_packages.sh chromium
	$(TEST_ENVIRONMENT) $(PYTHON_IN_VENV) -m pytest --pictures -m browser tests/browser

dist: .venv/.complete $(PANELS) ## Build the wheel and the source archive into dist/
	$(PYTHON_IN_VENV) -m build --outdir dist .

lock: .venv/.complete ## Write constraints.txt from what is in .venv now
	$(PYTHON_IN_VENV) tools/write_constraints.py

clean: ## Remove what was built, and what the demo and benchmarks made; .venv stays
	rm -rf build dist dlc_jupyter/widgets/static labextension/node_modules $(DEMO_FOLDER) benchmarks/scratch .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
