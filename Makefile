# Every target sets up what it needs: system packages (through apt, when missing), .venv, data.
BIN := .venv/bin
RUN := $(BIN)/python flows/run_cosign.py

.PHONY: help setup alexnet lenet5 test test-slow lint format clean

help:
	@echo "make alexnet    the whole loop on BVLC AlexNet (about 30 minutes on two cores)"
	@echo "make lenet5     the whole loop on LeNet-5 and MNIST (about 15 minutes)"
	@echo "make test       all tests but the slow ones; test-slow runs those"
	@echo "make lint       ruff, mypy and the import law"
	@echo "make setup      only install what is needed"

setup:
	@./setup.sh

alexnet lenet5: setup
	$(RUN) $@ $(ARGS)

test: setup
	$(BIN)/python -m pytest -m "not slow" --durations=10 $(ARGS)

test-slow: setup
	$(BIN)/python -m pytest -m slow --durations=10 $(ARGS)

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
