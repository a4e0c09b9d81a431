# demo, test, check, bench, docs: each target sets up what it needs in .venv. Needs Python >= 3.11, make and git.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test test-editors screenshots check bench chaos test-arm64 lint-android docs fuzz fuzz-api format system-packages
.PHONY: bytecode clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    train digits, shrink the model, run every variant on a virtual device, report"
	@echo "make test    run all tests, on all processors"
	@echo "make test-editors  real editors debug through edgeloop, on a screen of their own"
	@echo "make test-arm64  the companion under emulated ARM64 gives the same classes; five minutes, as root"
	@echo "make lint-android  the Android app's specification and recipes, against python-for-android's own code"
	@echo "make screenshots  draw every place of the companion app, to be looked at"
	@echo "make check   format, lint, types, import contracts, generated docs"
	@echo "make bench   measure what it costs against its peers; write docs/performance.md"
	@echo "make chaos   kill daemon and device 500 times at work, and look for losses"
	@echo "make fuzz    100,000 damaged inputs into every decoder; half an hour"
	@echo "make fuzz-api  generated requests, fitting and not, to a real daemon; half an hour"
	@echo "make docs    write the generated parts of docs/ anew"

demo: .venv/.demo
	$(BIN)/edgeloop demo $(OPTIONS)

# Tests may run side by side: each has folders, ports and processes of its own. A file's tests stay together, because they share
# a daemon.
# `make test OPTIONS="-n 0 tests/shared"` runs some, one after the other.
test: .venv/.test system-packages bytecode
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(OPTIONS)

# Debian's Kate and what it needs are some 400 MB: not part of `make test`. Screenshots go to EDGELOOP_SCREENSHOTS.
test-editors: .venv/.test
	@tests/install-debian-packages tests/debian-packages-editors.txt
	$(BIN)/pytest -m editors $(OPTIONS)

# The ARM64 system is kept in ~/.cache/edgeloop/arm64; OPTIONS="--cache FOLDER", or --explicit to do without binfmt_misc.
test-arm64: .venv/.test
	@tests/install-debian-packages tests/debian-packages-arm64.txt
	cd tests && ../$(BIN)/python -m end_to_end.arm64 $(OPTIONS)

# python-for-android and buildozer are tools, not dependencies: they and what they need stay out of .venv's own packages.
ANDROID_TOOLS := .venv/android-tools
lint-android: .venv/.test
	@[ -d $(ANDROID_TOOLS) ] || $(BIN)/pip --disable-pip-version-check install --quiet --target $(ANDROID_TOOLS) \
		python-for-android==2026.5.9 buildozer==1.6.0
	PYTHONPATH=$(ANDROID_TOOLS) $(BIN)/pytest -m android tests/android_app $(OPTIONS)

# Every place of the companion app in both themes and languages, at a phone's sharpness, to be looked at.
screenshots: .venv/.test system-packages
	EDGELOOP_SCREENSHOTS=$(CURDIR)/screenshots $(BIN)/pytest tests/companion_app/ui $(OPTIONS)

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests docs benchmarks companion_app/packaging-android/stage.py
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

# All benchmarks, or some: make bench OPTIONS="link deploy".
bench: .venv/.dev bytecode
	@tests/install-debian-packages benchmarks/debian-packages.txt
	@$(BIN)/python benchmarks/run.py $(OPTIONS); status=$$?; $(BIN)/python docs/generate.py; exit $$status

# 500 kills at random moments; `make chaos OPTIONS="--kills 50 --seed 7"` repeats a storm.
chaos: .venv/.test
	PYTHONPATH=tests $(BIN)/python -m end_to_end.chaos $(OPTIONS)
# 100,000 damaged inputs into each decoder of bytes that others wrote: half an hour. OPTIONS="--cases 1000 event" is less.
fuzz: .venv/.test
	cd tests && ../$(BIN)/python -m security.fuzzing $(OPTIONS)

# Far more cases than `make test` takes the time for, against a real daemon: `make fuzz-api FUZZ_EXAMPLES=1000`
FUZZ_EXAMPLES ?= 150
fuzz-api: .venv/.test
	EDGELOOP_FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/pytest --timeout 3600 tests/end_to_end/test_api_fuzz.py $(OPTIONS)

docs: .venv/.dev
	$(BIN)/python docs/generate.py

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# As root (CI is) the Debian packages of some tests are installed; for anybody else those tests are skipped by name.
system-packages:
	@tests/install-debian-packages

# As pip does for an ordinary install: where PYTHONDONTWRITEBYTECODE is set, each daemon, device and job compiles itself otherwise.
bytecode: | .venv/.python
	@$(BIN)/python -m compileall -q companion_app daemon plugins shared

.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "edgeloop needs Python 3.11 or newer; name one with `make PYTHON=python3.12 ...`")'
	$(PYTHON) -m venv .venv || { echo "No venv module: on Debian, apt install python3-venv."; exit 1; }
	@touch $@

# Each installs all of its own in one go, and notes that what the smaller ones would install is there as well.
.venv/.demo: .venv/.python pyproject.toml constraints.txt
	@echo "Setting up .venv (once) ..."
	$(PIP) --editable '.[demo]'
	@touch $@

.venv/.test: .venv/.python pyproject.toml constraints.txt
	@echo "Setting up .venv (once) ..."
	$(PIP) --editable '.[demo,test]'
	@touch .venv/.demo $@

.venv/.dev: .venv/.python pyproject.toml constraints.txt
	@echo "Setting up .venv (once) ..."
	$(PIP) --editable '.[demo,test,dev]'
	@touch .venv/.demo .venv/.test $@

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis edgeloop-demo
