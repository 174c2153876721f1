# What a checkout can do. The first target that needs Python makes .venv and fills it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Two threads are what the tests and the demo are measured with, whatever the machine has.
export OMP_NUM_THREADS ?= 2

.PHONY: help demo demo-fleet demo-swap test test-agents check generated verify eval-nano eval-hand \
	chaos first-run bench-cpu bench-api bench-fleet clean usable

help:
	@echo "make demo        ask about pictures of a receipt and an invoice, on this machine's CPU"
	@echo "make demo-fleet  two peers on this machine, one of which dies in the middle of an answer"
	@echo "make demo-swap   two models in turn on a machine with memory for one"
	@echo "make first-run   the first steps of a person, typed into real terminals (needs tmux)"
	@echo "make test        run the tests, all but the slow ones"
	@echo "make test-agents let Claude Code, Codex and opencode edit a file (installs them first)"
	@echo "make check       format, lint, types, import laws, house rules, generated files"
	@echo "make generated   write completions/, docs/commands.md and the tables of other pages again"
	@echo "make verify      compare the engine's numbers with the golden folders"
	@echo "make eval-nano   measure cortex-nano on 944 questions about drawn pictures, and its speed"
	@echo "make eval-hand   measure cortex-nano on thirty pictures made by other tools"
	@echo "make chaos       five peers under load, killed, halted and restarted for 2 x 5 minutes"
	@echo "make bench-fleet measure the fleet in virtual time and on this machine (half an hour)"
	@echo "make bench-cpu   measure cortex beside other engines on this machine's CPU (an hour or two)"
	@echo "make bench-api   measure the API beside LiteLLM and plain proxies (some minutes)"
	@echo "make clean       remove .venv"

demo: $(INSTALLED)
	@echo '$$ cortex chat --model cortex-nano --image examples/receipt.png "What is the total?"'
	@$(BIN)/cortex chat --model cortex-nano --image examples/receipt.png "What is the total?" < /dev/null
	@echo '$$ cortex chat --model cortex-nano --image examples/hand/invoice-page.png "What is the total?"'
	@$(BIN)/cortex chat --model cortex-nano --image examples/hand/invoice-page.png "What is the total?" < /dev/null
	@echo 'For a terminal that knows the command cortex: . $(CURDIR)/$(BIN)/activate'

demo-fleet: $(INSTALLED)
	@$(BIN)/python -m bench.demo_fleet

# Each step's screen lies in bench/results/first-run; SLACK=3 gives a busy machine more time.
SLACK ?= 1
first-run: $(INSTALLED)
	@for engine in fake torch; do \
		echo "the first run, --engine $$engine"; $(BIN)/python -m bench.first_run --engine $$engine \
			--slack $(SLACK) --out bench/results/first-run/$$engine || exit 1; \
	done

# Two workers, each of which does whole files: what a file's tests share is made once.
test: $(INSTALLED)
	@OMP_NUM_THREADS=1 $(BIN)/pytest -q -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

demo-swap: $(INSTALLED)
	@$(BIN)/python -m bench.demo_swap

# Large, and others' work: they lie beside the checkout, at the versions of tests/agents.
AGENTS := $(HOME)/.cache/cortex-agents
test-agents: $(INSTALLED)
	@mkdir -p $(AGENTS) && cp tests/agents/package.json $(AGENTS)
	@npm install --prefix $(AGENTS) --no-audit --no-fund --silent
	@$(BIN)/pytest -q tests/agents

check: $(INSTALLED)
	@echo "format" && $(BIN)/ruff format --check -q .
	@echo "lint" && $(BIN)/ruff check -q .
	@echo "types" && $(BIN)/pyright --warnings
	@echo "imports" && $(BIN)/lint-imports
	@echo "house rules" && $(BIN)/pytest -q tests/test_house.py
	@echo "generated files" && $(BIN)/python -m contrib.pages . --check

generated: $(INSTALLED)
	@$(BIN)/python -m contrib.pages .

verify: $(INSTALLED)
	@for folder in qwen3_5 qwen3_5_text qwen3 qwen2 llama units preprocess chat; do \
		echo "tests/golden/$$folder"; $(BIN)/cortex verify tests/golden/$$folder || exit 1; \
	done

eval-nano: $(INSTALLED)
	@$(BIN)/python -m training.evaluate

eval-hand: $(INSTALLED)
	@$(BIN)/python -m training.evaluate --hand

# The first run installs and builds the other engines below ~/.cache/cortex-bench.
BENCH_MODELS := $(HOME)/.cache/cortex-bench/models
bench-cpu: $(INSTALLED)
	@$(BIN)/python -m bench.turns --out bench/results/turns.json
	@$(BIN)/python -m bench.turns --image examples/receipt.png --out bench/results/turns-image.json
	@$(BIN)/python -m bench.overhead --out bench/results/overhead.json
	@for dtype in bfloat16 float32; do \
		$(BIN)/python -m bench.compare_cpu --dtypes $$dtype \
			--out bench/results/cpu-$$dtype.json || exit 1; \
		$(BIN)/python -m bench.load $(BENCH_MODELS)/qwen3-0_6b-$$dtype --dtype $$dtype \
			--out bench/results/load-$$dtype.json || exit 1; \
	done

CHAOS_SECONDS ?= 300
chaos: $(INSTALLED)
	@$(BIN)/python -m bench.chaos --seconds $(CHAOS_SECONDS)
	@$(BIN)/python -m bench.chaos --rolling --engine fake

bench-fleet: $(INSTALLED)
	@$(BIN)/python -m bench.fleet --large
	@$(BIN)/python -m bench.fleet_live --out bench/fleet/live.json

# The first run installs LiteLLM below ~/.cache/cortex-bench. A quiet machine of two cores or more.
bench-api: $(INSTALLED)
	@$(BIN)/python -m bench.ingress --out bench/results/ingress.json

clean:
	rm -rf $(VENV)

# An environment knows its place and its Python by their paths. Of one that was moved or copied, or whose
# Python has gone, this is said; it is not deleted, as it may well serve another machine or container.
usable:
	@[ -f $(INSTALLED) ] || exit 0; \
	made=$$(cat $(INSTALLED)); here=$$(cd $(VENV) && pwd -P); \
	if [ "$${made:-$$here}" != "$$here" ]; then \
		echo "error: the environment in $$here was made as $$made."; \
	elif ! $(BIN)/python -I -c 'import pip' >/dev/null; then \
		echo "error: the Python of the environment in $$here does not run, or is another one now."; \
	else exit 0; fi >&2; \
	echo "hint: make clean removes it, and the next make makes it anew." >&2; exit 1

# The stamp is written last: an interrupted installation is done again. It holds the environment's place.
$(INSTALLED): pyproject.toml constraints.txt | usable
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "error: cortex needs Python 3.11 or newer; $(PYTHON) is" \
			"$$({ command -v $(PYTHON) >/dev/null && $(PYTHON) --version 2>&1; } || echo not there)."; \
		echo "hint: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; } >&2
	@echo "installing into $(VENV) (the first time takes minutes: torch is large;" \
		"README.md says how to take the smaller one, without CUDA)"
	@$(PYTHON) -m venv $(VENV) || { \
		echo "hint: on Debian and Ubuntu, first: apt install python3-venv"; exit 1; } >&2
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[engine,dev]'
	@(cd $(VENV) && pwd -P) > $@
