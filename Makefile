# `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Installs the environments of other releases: pip would take several minutes for each.
UV := .venv-uv/bin/uv
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-app faults fuzz mutants test-newest test-oldest test-openmmlab constraints lint ops clean distclean

help:
	@echo 'make demo       trains, tests and draws on made-up videos (a quarter of an hour on 2 CPU cores)'
	@echo 'make test       lint and all tests'
	@echo 'make test-app   tests of mmvis-cl app, with Gradio'
	@echo 'make fuzz N=100000   gives broken files to every reader'
	@echo 'make mutants N=20    changes what decides in small ways and asks whether a test notices'
	@echo 'make faults N=100    kills trainings and tools at random moments and looks at what is left'
	@echo 'make test-newest, make test-oldest   all tests on the newest or oldest releases allowed'
	@echo "make test-openmmlab   all tests on OpenMMLab's own releases"
	@echo 'make constraints     pins the newest releases in requirements/constraints.txt'
	@echo 'make lint       ruff, mypy, and the schemas of the files for GitHub'
	@echo "make ops        compiles mmcv's ops for the installed torch (half an hour to an hour)"
	@echo 'make clean      removes build artefacts and caches'
	@echo 'make distclean  the same and .venv, data/moving_shapes and work_dirs/demo'
	@echo 'The first of them makes .venv with $(PYTHON); for another Python 3.10 to 3.13:'
	@echo '    make test PYTHON=python3.12'

# mmcv has no wheel on PyPI: pip builds it without ops in its isolated environment, where there is
# no torch. A compiled wheel in PIP_FIND_LINKS goes first.
$(INSTALLED): setup.py pyproject.toml mmvis_cl_mmcv_ext.pth $(wildcard requirements/*.txt)
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; v = sys.version_info; \
	  sys.exit(None if (3, 10) <= v < (3, 14) else "error: mmvis_cl needs Python 3.10 to 3.13, " \
	  "but $(PYTHON) is %d.%d: name another, as in `make PYTHON=python3.12`" % v[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install 'pip>=23'
	$(BIN)/python -m pip install -c requirements/constraints.txt -e '.[dev,measures]'
	@touch $@

demo: $(INSTALLED)
	PYTHON=$(BIN)/python bash tools/demo.sh

# One process a core, at most four, each with one thread: a file's tests share what they set up.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

# Gradio needs an older Pillow than constraints.txt has: both are installed above what .venv has.
SITE := import sysconfig; print(sysconfig.get_path("purelib"))
.venv-app/.installed: $(INSTALLED) requirements/app.txt
	test -x .venv-app/bin/python || $(BIN)/python -m venv .venv-app
	echo "import site; site.addsitedir('$$($(BIN)/python -c '$(SITE)')')" \
	  >"$$(.venv-app/bin/python -c '$(SITE)')/above.pth"
	.venv-app/bin/python -m pip install -r requirements/app.txt
	@touch $@

test-app: .venv-app/.installed
	OMP_NUM_THREADS=1 .venv-app/bin/python -m pytest tests/app

# Kills of trainings, with one checkpoint kept and with two, and of other tools: N of each.
N := 100
fuzz: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/run.py --inputs $(N)

# N of each module, 20 if not given; 0 for all.
mutants: N := 20
mutants: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python tests/mutants/run.py --number $(N)

faults: $(INSTALLED)
	$(BIN)/python tests/faults/kills.py training --kills $(N) --keep 1
	$(BIN)/python tests/faults/kills.py training --kills $(N) --keep 2
	$(BIN)/python tests/faults/kills.py tools --kills $(N)
	$(BIN)/python tests/faults/many_videos.py kills --number $(N)
	$(BIN)/python tests/faults/many_videos.py broken
	$(BIN)/python tests/faults/many_videos.py ray

$(UV):
	$(PYTHON) -m venv .venv-uv
	.venv-uv/bin/pip install --quiet uv

# What setup.py's ranges allow, for the Python that PYTHON names, or OpenMMLab's releases with the
# newest of all else. WITH: more packages to have there. What takes a compiler and long to build is
# taken as old as there are wheels for that Python.
test-newest test-oldest: RUNTIME := runtime.txt
test-openmmlab: RUNTIME := openmmlab.txt
test-newest test-openmmlab: RESOLUTION := highest
# trackeval takes new releases only
test-newest: MEASURES := measures.txt
test-oldest: RESOLUTION := lowest-direct
test-newest test-oldest test-openmmlab: ENV = $(@:test-%=.venv-%)
test-newest test-oldest test-openmmlab: $(UV)
	$(UV) venv --quiet --clear --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(ENV)
	cd requirements && cat $(RUNTIME) dev.txt tools.txt $(MEASURES) | ../$(UV) pip install --quiet \
	  --python ../$(ENV)/bin/python --resolution $(RESOLUTION) \
	  $(patsubst %,--only-binary %,numpy scipy matplotlib pillow pycocotools) -r - pip $(WITH)
	$(UV) pip install --quiet --python $(ENV)/bin/python --no-deps -e .
	$(UV) pip list --quiet --python $(ENV)/bin/python
	OMP_NUM_THREADS=1 $(ENV)/bin/python -m pytest -n logical --maxprocesses 4 \
	  --dist loadfile -W ignore

# torch, torchvision and the onedl-* releases are chosen by hand: they stay as they are pinned.
constraints: $(UV)
	grep '^#' requirements/constraints.txt >.constraints
	grep -E '^(torch|torchvision|onedl-[a-z]+)==' requirements/constraints.txt >.chosen
	cat $(patsubst %,requirements/%.txt,runtime dev measures tools) | $(UV) pip compile \
	  --quiet --universal --python-version 3.10 --no-header --no-annotate --constraint .chosen \
	  - >>.constraints
	mv .constraints requirements/constraints.txt
	rm .chosen

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config \
	  .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms \
	  $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

ops: $(INSTALLED)
	$(BIN)/python -m pip install -c requirements/constraints.txt ninja 'setuptools<81' wheel
	$(BIN)/python tools/build_ops.py

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find mmvis_cl tests tools configs -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) .venv-* data/moving_shapes work_dirs/demo
