# make demo        explain one packet on a real capture
# make test        everything that a change must pass
# make wheel-test  the wheel works outside the repository
# make docs        the documentation's site, in site/
# make benchmark   how fast it is here
# make fuzz N=2000 random rules and packets against this machine's kernel (root)
# make extension-cases  every option of every match against it, and the table of what is supported
# make fuzz-dumps  ten thousand damaged dumps

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   := fixtures/captures/docker-28.5/icc-off
N      ?= 2000
# pytest's own options, e.g. make test PYTEST='-k graph'
PYTEST ?= -n auto

.PHONY: demo test docs wheel-test benchmark fuzz fuzz-dumps fuzz-selftest extension-cases support translations clean

demo: $(VENV)/.installed
	$(BIN)/iptsim explain $(DEMO) --from client --to web:80

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest $(PYTEST)

wheel-test: $(VENV)/.dev
	rm -rf build/wheel
	$(BIN)/python -m build --wheel --outdir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/pip install --quiet build/wheel/*.whl
	cd / && $(CURDIR)/build/wheel/venv/bin/iptsim --version
	cd / && $(CURDIR)/build/wheel/venv/bin/iptsim explain $(CURDIR)/$(DEMO) --from client --to web:80 --expect drop
	build/wheel/venv/bin/iptsim report $(DEMO) -o build/wheel/report.html

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

benchmark: $(VENV)/.dev
	$(BIN)/python -m benchmarks.load
	$(BIN)/python -m benchmarks.batch

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.kernel.fuzz --packets $(N)

fuzz-dumps: $(VENV)/.dev
	$(BIN)/python -m tests.dump.mutations --count 10000

fuzz-selftest: $(VENV)/.dev
	$(BIN)/python -m tests.kernel.selftest

extension-cases: $(VENV)/.dev
	$(BIN)/python -m tests.kernel.extension_cases

translations: $(VENV)/.dev
	$(BIN)/python -m tests.translations

support: $(VENV)/.dev
	$(BIN)/python -m iptsim.extensions.support

clean:
	rm -rf $(VENV) build dist

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "iptsim needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

$(VENV)/.docs: $(VENV)/.dev
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@
