# Every target sets up what it needs: system packages (through apt, when missing), .venv, data.
BIN := .venv/bin
COSIGN := $(BIN)/cosign

# Whole networks on the RTL, bit for bit: untrained weights at the paper's densities.
RTL := build/rtl
RTL_ALPHA_lenet5 := default
RTL_ALPHA_alexnet := ours1
RTL_ALPHA_vgg16 := 26x
RTL_ALPHA_resnet50 := 17x
# Requantisers as a filter's few weights ask for them: a tile's results leave while the next computes.
RTL_CORE := --core sparse --lanes 64 --drain 16

.PHONY: help setup alexnet lenet5 record rtl-lenet5 rtl-alexnet rtl-vgg16 rtl-resnet50 coverage \
	mutants test test-slow docs lint format clean

help:
	@echo "make alexnet    the whole loop on BVLC AlexNet (31 processor minutes)"
	@echo "make lenet5     the whole loop on LeNet-5 and MNIST (27 processor minutes with nothing in the cache)"
	@echo "make record     LeNet-5 in as few weights and bytes as we can: examples/lenet5-*.cosign"
	@echo "make rtl-lenet5 rtl-alexnet rtl-vgg16 rtl-resnet50"
	@echo "                a network on the RTL, every value compared: all 10,000 test images of"
	@echo "                MNIST, or one full image"
	@echo "make coverage   lines and toggles of the cores' Verilog that the RTL tests reach"
	@echo "make mutants    small faults in a copy of rtl/, each against the tests that should find it"
	@echo "make test       all tests but the slow ones; test-slow runs those"
	@echo "make docs       the documentation as a site, in build/site"
	@echo "make lint       ruff, mypy and the import law"
	@echo "make setup      only install what is needed"

setup:
	@./setup.sh

alexnet lenet5: setup
	$(COSIGN) run $@ $(ARGS)

record: setup
	$(COSIGN) record --out build/record $(ARGS)

rtl-lenet5: setup
	$(COSIGN) compress images --network lenet5 --data mnist --count 10000 \
		--out $(RTL)/lenet5.npy
	$(call execute,lenet5,--input $(RTL)/lenet5.npy --batch 64)

rtl-alexnet rtl-vgg16 rtl-resnet50: rtl-%: setup
	$(call execute,$*,--images 1)

define execute
	$(COSIGN) compress export --network $(1) --alpha $(RTL_ALPHA_$(1)) \
		--out $(RTL)/$(1).cosign
	$(COSIGN) sim run $(RTL)/$(1).cosign $(2) $(RTL_CORE) --out $(RTL)/$(1) \
		--json $(RTL)/$(1).json $(ARGS)
endef

coverage: setup
	rm -rf build/coverage
	COSIGN_COVERAGE=build/coverage $(BIN)/python -m pytest -q -m "not slow" tests/sim/test_rtl.py
	$(COSIGN) sim coverage build/coverage --least 95 --json build/coverage.json

mutants: setup
	$(BIN)/python tests/mutants.py $(ARGS)

# Files of tests side by side: as many processes as cores, of one thread each.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist loadfile -m "not slow" --durations=10 $(ARGS)

test-slow: setup
	$(BIN)/python -m pytest -m slow --durations=10 $(ARGS)

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv build *.egg-info
