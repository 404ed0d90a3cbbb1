# make demo        explain one packet on a real capture
# make test        run the tests that need neither root, nor a browser, nor the network
# make test-all    run all tests, with coverage: the thorough ones, those of the kernel, the browser, the documents, the wheel too
# make static      check format, types and the order of imports
# make wheel-test  check that the wheel works outside the repository
# make docs        build the documentation site in site/
# make benchmark   measure the speed on this machine
# make fuzz N=2000 compare random rules and packets with this machine's kernel (root)
# make extension-cases  compare every option of every match with it, and update the table of supported extensions
# make pages       write the pages of docs/ that are generated from the code
# make fuzz-dumps  read ten thousand damaged dumps
# make fuzz-captures  run twenty thousand commands on damaged captures, Compose files and settings
# make lock        update the pinned versions in constraints.txt

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   := fixtures/captures/docker-28.5/icc-off
N      ?= 2000
# pytest's own options, e.g. make test PYTEST='-k graph'
PYTEST ?= -n auto --dist worksteal
BARE   := not kernel and not browser and not documents
FAST   := $(BARE) and not thorough

# many tests start a process, which would compile all modules each time
unexport PYTHONDONTWRITEBYTECODE

# pin the versions of everything that is installed, including build tools
export PIP_CONSTRAINT = $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test test-all static docs wheel-test lock benchmark fuzz fuzz-dumps fuzz-captures fuzz-selftest extension-cases pages translations clean

demo: $(VENV)/.installed
	$(BIN)/iptsim explain $(DEMO) --from client --to web:80

test: $(VENV)/.test
	$(BIN)/pytest $(PYTEST) -m '$(FAST)'

test-all: $(VENV)/.dev static docs wheel-test
	$(BIN)/pytest $(PYTEST) -m '$(BARE)' --cov
	$(BIN)/pytest $(PYTEST) -m 'not ($(BARE))'

static: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel-test: $(VENV)/.dev
	rm -rf build/wheel
	$(BIN)/python -m build --wheel --outdir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/pip install --quiet build/wheel/*.whl
	cd / && $(CURDIR)/build/wheel/venv/bin/iptsim --version
	cd / && $(CURDIR)/build/wheel/venv/bin/iptsim explain $(CURDIR)/$(DEMO) --from client --to web:80 --expect drop
	build/wheel/venv/bin/iptsim report $(DEMO) -o build/wheel/report.html
	cd / && $(CURDIR)/build/wheel/venv/bin/python -c \
	  'from importlib.resources import files; (files("iptsim") / "schemas/trace-1.json").read_text()'

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

benchmark: $(VENV)/.dev
	$(BIN)/python -m benchmarks.load
	$(BIN)/python -m benchmarks.batch
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks.scale

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.kernel.fuzz --packets $(N)

fuzz-dumps: $(VENV)/.dev
	$(BIN)/python -m tests.dump.mutations --count 10000

fuzz-captures: $(VENV)/.dev
	$(BIN)/python -m tests.host.mutations --count 20000

fuzz-selftest: $(VENV)/.dev
	$(BIN)/python -m tests.kernel.selftest

extension-cases: $(VENV)/.dev
	$(BIN)/python -m tests.kernel.extension_cases

translations: $(VENV)/.dev
	$(BIN)/python -m tests.translations

pages: $(VENV)/.dev
	$(BIN)/python -m tests.pages

clean:
	rm -rf $(VENV) build dist

lock: $(VENV)/.dev
	$(BIN)/pip install --quiet uv
	{ echo '# The versions that `make` installs, for Python 3.11 to 3.13. Written by `make lock`.'; \
	  printf '%s\n' hatchling editables | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	    --all-extras --no-annotate --no-header pyproject.toml -; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

$(VENV)/.made: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "iptsim needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: $(VENV)/.made
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.test: $(VENV)/.made
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $(VENV)/.installed $@

$(VENV)/.dev: $(VENV)/.made
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $(VENV)/.installed $(VENV)/.test $@
