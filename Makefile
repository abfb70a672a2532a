# The developer's interface.  Each target makes the virtual environment it needs, once, and again
# when pyproject.toml or constraints.txt changes: entry points are read at installation.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test fuzz lint types docs bench bundle bench-arm64 test-arm64 tutorial android-models android android-count test-android
.DELETE_ON_ERROR:

demo: .venv/.installed ## optimize the digit network that ships with the examples
	@mkdir -p build
	$(BIN)/onnxforge optimize examples/digits.onnx -o build/digits.opt.onnx

test: .venv/.dev
	$(BIN)/python -m pytest -n 2

HOURS ?= 8
EXAMPLES ?= 2000
fuzz: .venv/.dev ## random models and pipelines, new ones in every round, until HOURS are over
	HYPOTHESIS_PROFILE=fuzz ONNXFORGE_EXAMPLES=$(EXAMPLES) timeout $(HOURS)h sh -c \
	  'while $(BIN)/python -m pytest -n 2 -q -x tests/test_soundness.py tests/test_invariants.py; do :; done; exit 1' \
	  || test $$? -eq 124

lint: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/.dev
	$(BIN)/mypy

docs: .venv/.dev ## into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

tutorial: .venv/.examples ## follow docs/tutorial and write down what came of it
	$(BIN)/python docs/tutorial/run.py

DIGITS := data train export optimize quantize measure
build/digits/results.json: | .venv/.examples
	for step in $(DIGITS); do $(BIN)/python -m examples.digits.$$step || exit 1; done

android-models: build/digits/results.json ## what the app reads digits with
	$(BIN)/python -m examples.digits.phone

android: android-models ## build, align, sign and verify build/android/onnxforge-demo.apk
	cd android-demo && ../$(BIN)/python -m lane.apk

android-count: .venv/.examples ## the instructions that the models in that APK take on Arm64
	cd android-demo && ../$(BIN)/python -m lane.count

ANDROID ?= full
test-android: .venv/.dev ## the app on a JVM, its native library under qemu; ANDROID=short for less
	ONNXFORGE_ANDROID=$(ANDROID) $(BIN)/python -m pytest tests/android

MODELS ?= build/bench/models
BENCH := OMP_NUM_THREADS=1 TMPDIR=build/bench build/peers/bin/python benchmarks
bench: build/peers .venv/.dev $(MODELS) ## what is asked of our speed and what is measured: build/bench; MODELS=folder
	$(BENCH)/start.py --json build/bench/start.json
	$(BENCH)/counts.py --json build/bench/counts.json
	$(BENCH)/files.py --json build/bench/files.json
	$(BENCH)/scale.py --json build/bench/scale.json
	$(BENCH)/speed.py $(MODELS) --turns 3 --enough 2 --json build/bench/speed.json --markdown build/bench/speed.md
	$(BENCH)/where.py $(MODELS) --json build/bench/where.json
	$(BIN)/python -m pytest -q benchmarks/test_core.py --benchmark-enable --benchmark-quiet --benchmark-json build/bench/core.json
	$(BIN)/python benchmarks/asked.py build/bench

build/bench/models: benchmarks/models.py benchmarks/graphs.py | .venv/.dev
	rm -rf $@ $@.part && mkdir -p build/bench
	$(BIN)/python benchmarks/models.py $@.part && mv $@.part $@

PEERS := onnxsim==0.8.1 onnxslim==0.1.98 onnxoptimizer==0.4.2 onnxscript==0.7.2 onnxruntime==1.31.1 onnx==1.23.2
build/peers: pyproject.toml
	$(PYTHON) -m venv build/peers
	build/peers/bin/python -m pip install --quiet --disable-pip-version-check --editable . $(PEERS)
	@touch $@

bundle: build/peers .venv/.dev ## the models of the benchmark suite, for boards: build/bundle.zip
	$(BIN)/python benchmarks/suite.py originals build/bundle
	build/peers/bin/python benchmarks/suite.py variants build/bundle
	$(BIN)/python benchmarks/suite.py pack build/bundle

THREADS ?= 1
bench-arm64: .venv/.installed ## the suite on this machine; without build/bundle, of what packages hold
	test -d build/bundle || { $(BIN)/python benchmarks/suite.py originals build/bundle \
	  && $(BIN)/python benchmarks/suite.py variants build/bundle; }
	$(BIN)/onnxforge bench suite build/bundle --threads $(THREADS) \
	  --json benchmarks/results/$$($(BIN)/onnxforge bench machine --name).json

test-arm64: .venv/.dev ## the library under emulation; ARM64=short for CI's share
	lanes/arm64/test.sh $(ARM64)

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) --editable .
	@touch $@

.venv/.examples: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) --editable '.[examples]'
	@touch .venv/.installed $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) --editable '.[dev]'
	@touch .venv/.installed .venv/.examples $@
