PYTHON := .venv/bin/python

.PHONY: test quick lint format bench

test: ## every test
	$(PYTHON) -m pytest -n 2 --dist loadgroup

quick: ## tests of a few seconds each
	$(PYTHON) -m pytest -n 2 --dist loadgroup -m "not slow"

lint: ## what CI checks before the tests
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/codespell
	.venv/bin/lint-imports

format: ## put the code into ruff's form
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: ## naming rates of the shipped captioner; needs datasets/sounds50 (see docs/benchmarks.md)
	$(PYTHON) -m benchmarks.sounds --dataset_root datasets/sounds50 --ckpt_path checkpoints/sounds_small
