PYTHON := .venv/bin/python

REQUIREMENTS := $(filter-out requirements/lock.txt,$(wildcard requirements/*.txt))

.PHONY: test quick lint format lock bench

test: ## all tests
	$(PYTHON) -m pytest -n 2 --dist loadgroup

quick: ## tests of at most ten seconds each
	$(PYTHON) -m pytest -n 2 --dist loadgroup -m "not slow"

lint: ## the checks that CI runs before the tests
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/codespell
	.venv/bin/lint-imports

lock: ## write requirements/lock.txt: the pins of all packages that requirements/*.txt need, on every platform
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
	  --output-file requirements/lock.txt $(REQUIREMENTS)
	sed -i.old -E "/^(cuda|nvidia)-|^triton==/d" requirements/lock.txt && rm requirements/lock.txt.old # torch pins these itself

format: ## format the code with ruff
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: ## naming rates of sounds_small; needs datasets/sounds50 (see docs/benchmarks.md)
	$(PYTHON) -m benchmarks sounds --dataset_root datasets/sounds50 --ckpt_path checkpoints/sounds_small
