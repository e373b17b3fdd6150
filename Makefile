# `make demo` and `make test` need nothing but python3, make and git: each makes .venv first.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

SHORT := not distributed and not search and not oracle and not full and not slow and not notebook and not browser and not package

# what is skipped where Dask, Zarr and cloudpickle are missing
WITH_PACKAGES := tests/nn/test_streams.py tests/compiled/test_mapped.py tests/compiled/test_travelling.py

.PHONY: demo test test-short test-order test-mutants test-search test-slow test-full test-oracles test-distributed test-notebooks test-browser test-package notebooks stub oracles differences lint format bench bench-quick docs playground gallery clean

demo: .venv/demo
	$(BIN)/gradloom run unit-circle --out pictures

test: .venv/test  ## lint, and meanwhile all tests that are short
	$(MAKE) --jobs=2 lint test-short

test-short: .venv/test
	$(BIN)/python -m pytest -n auto --dist loadfile -m "$(SHORT)"

test-order: .venv/test  ## the same in random order: make test-order SEED=7
	$(BIN)/python -m pytest -m "$(SHORT)" --order-seed $(or $(SEED),$(shell date +%s))

test-mutants: .venv/test  ## small faults that no test notices: make test-mutants ARGS="--seed 7"
	$(BIN)/python tests/mutants -m "$(SHORT)" $(ARGS)

test-search: .venv/test  ## wrong calls of all that is public, guided by the lines they reach
	$(BIN)/python -m pytest -n auto -m search

test-slow: .venv/test
	$(BIN)/python -m pytest -n auto -m "slow and not full"

test-full: .venv/test  ## the published programs at their full size, over many seeds
	$(BIN)/python -m pytest -m full

test-oracles: .venv/oracle
	$(BIN)/python -m pytest -m oracle
	$(BIN)/python tests/data/make_oracles.py --check

test-distributed: .venv/distributed  ## train over MPI and Dask, on this machine, and kill some of it
	$(BIN)/python -m pytest -m distributed
	$(BIN)/python -m pytest -m "$(SHORT)" $(WITH_PACKAGES)

test-notebooks: .venv/notebook  ## run every notebook, and compare with what is committed
	$(BIN)/python -m pytest -m notebook tests/notebooks

test-browser: .venv/browser .venv/docs  ## look at the site, pages and notebooks in Chromium (apt install chromium)
	$(BIN)/python -m pytest -m browser tests/browser

test-package: .venv/test  ## install what is built elsewhere, with each extra, at the lowest versions
	$(BIN)/python -m pytest -m package tests/package

notebooks: .venv/notebook  ## run all notebooks in place: a second time only measured times change
	$(BIN)/jupyter-nbconvert --to notebook --execute --inplace \
		--config notebooks/nbconvert_config.py notebooks/*.ipynb

stub: .venv/test  ## what editors are told of the rows of the table
	$(BIN)/python tests/make_stub.py
	$(BIN)/ruff format engine/rows.pyi

oracles: .venv/oracle  ## write the frozen figures of PyTorch and mpmath anew
	$(BIN)/python tests/data/make_oracles.py

differences: .venv/test .venv/peers  ## write docs/differences.md anew, by what is installed
	$(BIN)/python docs/differences.py

lint: .venv/test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing/user_code.py
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: .venv/test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/peers  ## beside PyTorch, JAX, CasADi, autograd and micrograd: half an hour
	$(BIN)/gradloom bench

bench-quick: .venv/peers  ## the same in a minute, with rougher figures
	$(BIN)/gradloom bench --quick

docs: .venv/docs  ## the site, build/docs, to be opened without a server
	$(BIN)/python docs/build.py build/docs

playground:  ## one folder, build/playground, that runs the engine in a browser (needs npm)
	$(PYTHON) docs/playground/build.py build/playground

gallery: .venv/demo  ## the pictures of graphs in the README
	$(BIN)/python notebooks/gallery.py

clean:
	rm -rf .venv pictures bench-results build

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) -e '.[viz,plot,progress]'
	touch $@

.venv/test: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) -e '.[test,lint]'
	touch $@

.venv/notebook: .venv/test
	$(INSTALL) -e '.[test,notebook]'
	touch $@

.venv/browser: .venv/test
	$(INSTALL) -e '.[test,browser]'
	touch $@

.venv/docs: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) -e '.[docs]'
	touch $@

.venv/oracle: .venv/test
	$(INSTALL) -e '.[test,oracle]'
	touch $@

.venv/distributed: .venv/test
	$(INSTALL) -e '.[test,distributed]'
	touch $@

.venv/peers: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) -e '.[peers]'
	touch $@
