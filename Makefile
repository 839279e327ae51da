# One word per job, and each sets itself up: Python >= 3.11 and a C++ compiler are all it takes.
# It works in the active virtual environment, or else in .venv, which it makes.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help venv install demo test test-all bench lint format wheel clean python
.DELETE_ON_ERROR:

VENV := $(or $(VIRTUAL_ENV),.venv)
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install -q
TOOLS := $(VENV)/.bptt_native.tools
INSTALLED := $(VENV)/.bptt_native.installed
LINTERS := $(VENV)/.bptt_native.linters
SOURCES := CMakeLists.txt pyproject.toml README.md LICENSE \
           $(shell find cmake src python -type f -not -name '*.pyc')
CPP := $(shell find src -name '*.h' -o -name '*.cpp') \
       $(wildcard tests/capi/*.[ch] tests/capi/*.cpp tests/engine/*.cpp) \
       $(wildcard benchmarks/*.cpp benchmarks/workers/*.cpp benchmarks/workers/*.[ch])
FITS := import ensurepip, os, sys, sysconfig, venv; \
        include = os.path.join(sysconfig.get_path('include'), 'Python.h'); \
        sys.exit(sys.version_info < (3, 11) or not os.path.exists(include))

help:      ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

venv: $(TOOLS)  ## make the virtual environment with what the build needs

install: $(INSTALLED)  ## build and install the package with what tests and demo need

demo: $(INSTALLED)  ## train on English prose, print a sample, draw the vanishing gradient
	$(PY) -m bptt_native demo --out runs/demo

test: $(INSTALLED)  ## run the tests (PYTEST_ARGS="-k tape" for some of them)
	$(PY) -m pytest tests $(PYTEST_ARGS)

test-all: $(INSTALLED)  ## run the tests, the long ones too
	$(PY) -m pytest tests -m "" $(PYTEST_ARGS)

bench: $(INSTALLED)  ## time the training step beside the peers that are installed
	$(PY) benchmarks $(BENCH_ARGS)

lint: $(LINTERS)  ## check style and types, change nothing
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/clang-format --dry-run -Werror $(CPP)
	$(VENV)/bin/mypy

format: $(LINTERS)  ## lay the sources out as lint wants them
	$(VENV)/bin/ruff check --fix-only .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/clang-format -i $(CPP)

wheel: $(TOOLS)  ## build the wheel into dist/
	$(PY) -m pip wheel -q ./ --no-deps --no-build-isolation -w dist
	@ls -l dist

clean:     ## remove what building made: build, dist, .venv and caches (never runs)
	rm -rf build dist .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage

python: $(INSTALLED)
	@echo $(PY)

$(PY):
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  if "$$python" -c "$(FITS)" 2>/dev/null; then \
	    echo "making $(VENV) with $$("$$python" --version)"; exec "$$python" -m venv $(VENV); fi; \
	done; echo "make: no Python >= 3.11 with its headers and the venv module was found" \
	           "(on Debian: apt install python3-dev python3-venv); PYTHON=path names one" >&2; exit 1

# Built without isolation, so that the build folder stays valid and a rebuild compiles what changed.
$(TOOLS): pyproject.toml | $(PY)
	@echo "installing the build tools"
	@$(PY) -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb")); \
	  print(*project["build-system"]["requires"], sep="\n")' | $(PIP) -r /dev/stdin
	@$(PY) -c 'from scikit_build_core.build import get_requires_for_build_wheel as missing; \
	  print(*missing(), sep="\n")' | $(PIP) -r /dev/stdin
	@touch $@

$(INSTALLED): $(TOOLS) $(SOURCES)
	@echo "building and installing bptt_native"
	@$(PIP) --no-build-isolation './[plot,progress,test]'
	@touch $@

$(LINTERS): $(INSTALLED)
	@$(PIP) --no-build-isolation './[lint]'
	@touch $@
