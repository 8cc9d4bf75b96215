# Every command of the course. `make` alone lists them.

VENV := .venv
PYTHON ?= python3
# A particular torch, installed before everything else; see "Without a GPU" in README.md.
TORCH ?=
# The address that `make badges` writes; see "A copy of your own" in README.md.
REPO ?=
TAG ?=

python := $(VENV)/bin/python
# One thread for each of two processes beats two threads for one; the longest first.
pytest := $(python) -m pytest --numprocesses 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install run lab check test notebooks pocket pictures badges bench clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

run: install ## from a clone to a picture: notebook 01, start to end
	@$(python) tools/execute.py notebooks/01_pipeline_basics.ipynb
	@echo "The first picture it made: out/first_picture.png"

lab: install ## open the course in JupyterLab
	@$(python) -m jupyterlab --ServerApp.root_dir=. \
		--LabApp.default_url=/lab/tree/notebooks/01_pipeline_basics.ipynb

check: install ## the quick tests: code, links, badges, the form of the notebooks
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(pytest) -m "not seconds"

test: install ## every test, the notebooks too; Colab's versions want PyPI
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(pytest)

notebooks: install ## every notebook at its full values, as pages in out/
	@$(python) tools/execute.py notebooks/*.ipynb

pocket: install ## train the pocket model; goes on from its last checkpoint
	@$(python) -m pocket.train
	@$(python) -m pocket.lean

pictures: install ## draw the README's and the notebooks' first pictures again
	@$(python) -m pocket.evaluate --lessons
	@$(python) -m pocket.examples
	@$(python) tools/execute.py --headlines notebooks/*.ipynb

badges: install ## write badges and set-up cells; REPO= and TAG= change the address
	@$(python) tools/badges.py $(if $(REPO),--repo '$(REPO)') $(if $(TAG),--tag '$(TAG)')

bench: install ## measure a picture's time and memory, what fits where, company
	@$(python) -m benchmarks.pipeline
	@$(python) -m benchmarks.memory
	@$(python) -m benchmarks.company

clean: ## delete out/ and the virtual environment
	rm -rf out $(VENV)

# Quick where all is installed; see tools/install.py.
install:
	@command -v '$(PYTHON)' >/dev/null || { echo "There is no $(PYTHON) here:" \
		"name the Python that you have, as in make run PYTHON=python3.12"; exit 1; }
	@'$(PYTHON)' tools/install.py $(VENV) '$(TORCH)'
