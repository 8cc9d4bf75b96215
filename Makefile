# Every command of the course. `make` alone lists them.

VENV := .venv
PYTHON ?= python3
# A particular torch, installed before everything else; see "Without a GPU" in README.md.
TORCH ?=

python := $(VENV)/bin/python
installed := $(VENV)/installed
# One thread for each of two processes beats two threads for one; the longest first.
pytest := $(python) -m pytest --numprocesses 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help run lab check test notebooks pocket pictures badges bench clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

run: $(installed) ## from a clone to a picture: notebook 01, start to end
	@$(python) tools/execute.py notebooks/01_pipeline_basics.ipynb
	@echo "The first picture it made: out/first_picture.png"

lab: $(installed) ## open the course in JupyterLab
	@$(python) -m jupyterlab --ServerApp.root_dir=. \
		--LabApp.default_url=/lab/tree/notebooks/01_pipeline_basics.ipynb

check: $(installed) ## the quick tests: code, links, badges, the form of the notebooks
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(pytest) -m "not seconds"

test: $(installed) ## every test, the notebooks too; Colab's versions want PyPI
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(pytest)

notebooks: $(installed) ## every notebook at its full values, as pages in out/
	@$(python) tools/execute.py notebooks/*.ipynb

pocket: $(installed) ## train the pocket model; goes on from its last checkpoint
	@$(python) -m pocket.train

pictures: $(installed) ## draw the README's and the notebooks' first pictures again
	@$(python) -m pocket.evaluate --lessons
	@$(python) -m pocket.examples
	@$(python) tools/execute.py --headlines notebooks/*.ipynb

badges: $(installed) ## write badges and set-up cells from helpers.REPO and TAG
	@$(python) tools/badges.py

bench: $(installed) ## measure a picture's time and memory, what fits where, company
	@$(python) -m benchmarks.pipeline
	@$(python) -m benchmarks.memory
	@$(python) -m benchmarks.company

clean: ## delete out/ and the virtual environment
	rm -rf out $(VENV)

# Installs once, and again only when the requirements change.
$(installed): requirements.txt requirements-local.txt
	@test -x $(python) || $(PYTHON) -m venv $(VENV)
	$(if $(TORCH),$(python) -m pip install --quiet $(TORCH))
	$(python) -m pip install --quiet -r requirements-local.txt
	@touch $@
