# make demo: see the tool at work.  make test: run every check.  Both set up .venv by themselves.
# PYTHON=python3.12 VENV=.venv312 takes another Python and another place.
# TORCH=default takes the build of PyTorch that pip offers (on Linux: GPU, 3 GB); the default is the CPU build.
PYTHON ?= python3
TORCH ?= cpu
OUT ?= demo-output
BENCH ?= runs/speed
MUTATION ?= runs/mutation
LOWEST ?= runs/lowest
PYSIDE ?= runs/pyside
NNUNET ?= runs/nnunet
VENV ?= .venv
BIN = $(VENV)/bin
# Runs a command with a display of its own. The other binding that is tested is pyside6, see `pyside`.
QT ?= pyqt6
ON_SCREEN = OMP_WAIT_POLICY=passive QT_API=$(QT) LIBGL_ALWAYS_SOFTWARE=1 xvfb-run -a -s "-screen 0 1600x1000x24"

.PHONY: demo test lint unit gpu lowest pyside nnunet soak mutation fuzz audit bench docs clean
.DEFAULT_GOAL = demo

demo:
	@$(PYTHON) tools/bootstrap.py demo --torch $(TORCH) --venv $(VENV)
	@$(BIN)/napari-relabel demo --out $(OUT)

test:
	@$(PYTHON) tools/bootstrap.py test --torch $(TORCH) --venv $(VENV)
	@$(MAKE) --no-print-directory lint unit

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit:
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 $(ON_SCREEN) $(BIN)/pytest -n 2 --dist loadfile

# The tests that need a GPU of NVIDIA; `make test` compares with the processor's numbers and uses none.
gpu: TORCH = default
gpu:
	@$(PYTHON) tools/bootstrap.py test --torch $(TORCH) --venv $(VENV)
	$(BIN)/pytest tests/models/test_gpu.py tests/training/test_train_gpu.py

# The tests with the lowest versions that pyproject.toml allows of what the package names itself.
lowest: VENV = $(LOWEST)/env
lowest:
	@$(PYTHON) tools/bootstrap.py test --torch $(TORCH) --venv $(VENV)
	$(BIN)/pip install -q --target $(LOWEST)/tool uv
	grep '^torch==' constraints.txt > $(LOWEST)/torch.txt
	$(LOWEST)/tool/bin/uv pip compile -q --python $(BIN)/python --resolution lowest-direct --extra test \
	  -c $(LOWEST)/torch.txt pyproject.toml -o $(LOWEST)/lowest.txt
	$(LOWEST)/tool/bin/uv pip install -q --python $(BIN)/python -r $(LOWEST)/lowest.txt
	@$(MAKE) --no-print-directory unit VENV=$(VENV)

# The tests of windows with the other binding of Qt.
pyside: QT = pyside6
pyside:
	@$(PYTHON) tools/bootstrap.py test --torch $(TORCH) --venv $(VENV)
	$(BIN)/pip install -q --upgrade --target $(PYSIDE) "PySide6!=6.12.0"
	PYTHONPATH=$(PYSIDE) OMP_NUM_THREADS=1 $(ON_SCREEN) $(BIN)/pytest -n 2 --dist loadfile -o qt_api=$(QT) tests/gui

# A real nnU-Net, trained by nnU-Net, against its own prediction. It needs a torchvision of the same build as PyTorch:
# both are those that pip offers, on Linux 5 GB.
nnunet: VENV = $(NNUNET)/env
nnunet:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q torch torchvision nnunetv2
	grep -v '^torch==' constraints.txt > $(NNUNET)/constraints.txt
	$(BIN)/pip install -q -c $(NNUNET)/constraints.txt -e ".[test]"
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/models/test_nnunet.py

# The long run of the tests of reliability, about two hours; writes docs/reliability.md.
soak:
	@$(PYTHON) tools/bootstrap.py test --torch $(TORCH) --venv $(VENV)
	OMP_NUM_THREADS=1 $(ON_SCREEN) $(BIN)/python docs/reliability.py

# Faults that are put into key modules: do the tests notice? Writes its table in docs/reliability.md. Goes on where it
# was interrupted; about an hour.
mutation:
	@$(PYTHON) tools/bootstrap.py test --torch $(TORCH) --venv $(VENV)
	$(BIN)/pip install -q --target $(MUTATION)/tool -r docs/mutation.txt
	PYTHONPATH=$(MUTATION)/tool OMP_WAIT_POLICY=passive $(BIN)/python docs/mutation.py run
	PYTHONPATH=$(MUTATION)/tool $(BIN)/python docs/mutation.py report

# Every reader is given what covers the most of its code; writes its table in docs/reliability.md. About an hour.
fuzz:
	@$(PYTHON) tools/bootstrap.py test --torch $(TORCH) --venv $(VENV)
	$(BIN)/pip install -q --no-deps --upgrade --target runs/guided/tool -r docs/guided.txt
	$(BIN)/python docs/guided.py

# Known vulnerabilities of the versions in constraints.txt.
audit:
	@$(PYTHON) tools/bootstrap.py test --torch $(TORCH) --venv $(VENV)
	-$(BIN)/pip install -q --upgrade --target runs/audit "pip-audit>=2.10"
	PYTHONPATH=runs/audit $(BIN)/python tools/audit.py

# Speed against peers and limits; writes docs/results_speed.md. Goes on where it was interrupted.
bench:
	@$(PYTHON) tools/bootstrap.py test --torch $(TORCH) --venv $(VENV)
	$(BIN)/pip install -q --no-deps --target $(BENCH)/peers -r benchmarks/peers.txt
	PYTHONPATH=$(BENCH)/peers $(ON_SCREEN) $(BIN)/python benchmarks/speed.py measure --out $(BENCH)
	PYTHONPATH=$(BENCH)/peers $(BIN)/python benchmarks/speed.py report --out $(BENCH)

docs:
	@$(PYTHON) tools/bootstrap.py test --torch $(TORCH) --venv $(VENV)
	OMP_NUM_THREADS=1 $(ON_SCREEN) $(BIN)/python docs/screenshots.py
	OMP_NUM_THREADS=1 $(ON_SCREEN) $(BIN)/python docs/session.py

clean:
	rm -rf .venv demo-output
