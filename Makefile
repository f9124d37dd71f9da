# make demo    builds, installs into .venv and replays the shipped trace
# make test    the same with what the tests need, then the tests
# make check   linters and type checks        make sanitize the C-level stress under ASan, UBSan and TSan
# make ratios  every row of the speed table   make wheel    sdist, and the wheel built from it

PYTHON ?= python3
BIN := .venv/bin
SOURCES := setup.py pyproject.toml $(shell find $(wildcard poolcore pybuf) -type f \
	! -name '*.so' ! -name '*.c' ! -path '*/__pycache__/*') $(wildcard pybuf/bench/*.c)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test check sanitize ratios wheel clean

demo: .venv/demo
	$(BIN)/pybuf replay -o replay

test: .venv/test
	$(BIN)/python -P -m pytest

check: .venv/test
	$(BIN)/ruff check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint poolcore pybuf
	$(BIN)/mypy
	$(BIN)/python -P -m mypy.stubtest poolcore pybuf --mypy-config-file pyproject.toml --allowlist .ci/stubtest.txt

sanitize: .venv/test
	$(BIN)/python tests/stress/sanitize.py

ratios: .venv/test
	$(BIN)/python -P -m pybuf.bench.ratios

wheel: .venv/build
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf .venv build dist replay *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# What setup.py says of flags and directives is in no timestamp that the build looks at.
.venv/build: setup.py
	rm -rf build
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(INSTALL) 'setuptools>=77' 'Cython>=3.1' build
	touch $@

# Without build isolation the build directory is kept, and only what changed is compiled again.
.venv/demo: $(SOURCES) | .venv/build
	$(INSTALL) --no-build-isolation '.[bench]'
	touch $@

.venv/test: $(SOURCES) | .venv/build
	$(INSTALL) --no-build-isolation '.[test]'
	touch $@ .venv/demo
