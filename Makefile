# `make demo` and `make test` set up what they need: a virtual environment in .venv, the packages, the compiled
# extension. A second run finds all that done. Paths are relative, so that the checkout may lie in a path with spaces.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: setup demo demo-multineck test test-slow mutants fuzz bench study quality format clean

setup: $(VENV)/runtime.stamp $(VENV)/compiled.stamp  ## what training and testing need

demo: setup $(VENV)/weights.stamp $(VENV)/export.stamp  ## a teacher, a student distilled from it, a report
	$(RUN) tools/demo.py

demo-multineck: setup $(VENV)/weights.stamp  ## synthetic objects, two teachers, class centres, a student with and without distillation
	$(RUN) tools/demo_multineck.py

test: setup $(VENV)/dev.stamp quality  ## everything CI runs
	$(RUN) -m pytest -q -n 2 --dist loadfile

test-slow: setup $(VENV)/dev.stamp  ## the tests that take minutes
	$(RUN) -m pytest -q -m slow

mutants: setup $(VENV)/dev.stamp  ## one mistake at a time, which the tests must see: ten minutes on two cores
	$(RUN) tools/mutation_check.py

fuzz: setup  ## 100,000 damaged files to every reader; nothing may be worse than an error of one line
	$(RUN) tools/fuzz.py --count 100000

bench: setup $(VENV)/dev.stamp  ## times everything beside a literal reference; these need what the tests need
	$(RUN) benchmarks/run.py

study: setup  ## what distillation buys, on hard synthetic text: docs/results.md; two hours on two cores
	$(RUN) tools/make_synthetic.py data/study --train 1000 --test 200 --size 192x192 --style hard \
		--test-fonts 'STIX*,cm*' --seed 0 --workers 2
	$(RUN) benchmarks/distillation_gain.py @benchmarks/studies/synthetic.txt --seeds 3 --teachers 3 --jobs 2 --precision bf16 \
		--out outputs/gain/synthetic

quality: $(VENV)/dev.stamp  ## style and import contracts
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(VENV)/bin/lint-imports

format: $(VENV)/dev.stamp  ## put the style right
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean:  ## build products only; data, runs and .venv stay
	rm -rf build .pytest_cache .ruff_cache .import_linter_cache .hypothesis post_processing/*.so post_processing/*.cpp
	rm -f $(VENV)/compiled.stamp

$(VENV)/created.stamp:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/runtime.stamp: $(VENV)/created.stamp requirement.txt
	$(RUN) -m pip install --disable-pip-version-check -q -r requirement.txt
	touch $@

$(VENV)/%.stamp: requirement-%.txt $(VENV)/runtime.stamp
	$(RUN) -m pip install --disable-pip-version-check -q -r $<
	touch $@

$(VENV)/compiled.stamp: $(VENV)/runtime.stamp compile.sh setup.py $(wildcard post_processing/*.pyx post_processing/*.hpp)
	PYTHON=$(RUN) sh ./compile.sh
	touch $@
