# make serve   the model, its web page and its API at http://127.0.0.1:7860
# make test    every check: format, lint, types, tests
#
# Both set up what they need in .venv, once. ARGS is handed on: make serve ARGS="tiny-dense --port 8000".

PYTHON ?= $(shell for python in python3.12 python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
ARGS ?=
SOURCES := hatch_build.py $(wildcard src/qwen3vl/kernels/cpu/source/*)
DEBIAN := g++ chromium curl jq fonts-dejavu-core fonts-liberation fonts-open-sans fonts-roboto-unhinted \
	fonts-cantarell fonts-inter fonts-crosextra-carlito fonts-firacode fonts-noto-cjk fonts-wqy-microhei fonts-lato \
	fonts-crosextra-caladea fonts-hack fonts-wqy-zenhei fonts-texgyre fonts-go fonts-paratype fonts-jetbrains-mono \
	fonts-mononoki fonts-inconsolata fonts-agave fonts-noto-mono fonts-oxygen fonts-cabin fonts-karla \
	fonts-quicksand fonts-dosis fonts-play fonts-tuffy fonts-jura fonts-comfortaa fonts-averia-sans-gwf \
	fonts-averia-serif-gwf fonts-roboto-slab fonts-quattrocento fonts-sil-gentium-basic fonts-linuxlibertine \
	fonts-vollkorn fonts-prociono fonts-gfs-didot fonts-sil-charis fonts-freefont-otf fonts-arphic-uming \
	fonts-arphic-ukai

.PHONY: serve test lint format clean

serve: $(VENV)/run.stamp
	$(BIN)/qwen3vl serve $(ARGS)

# Two files of tests at a time, each on one core: small networks gain nothing from a second thread. What fails among real
# browsers and processes is run once more, and the summary says which tests needed that. pytest comes last, so that its
# summary is the last line.
test: $(VENV)/dev.stamp lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --reruns 1 -r R --durations 20 --durations-min 5 $(ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) out

# torch before all else: the rest must take the build that is there and not fetch another.
$(VENV)/torch.stamp: constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; name one with PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install pip; }
	$(PIP) install "$$(grep '^torch==' constraints.txt)"
	@touch $@

$(VENV)/run.stamp: $(VENV)/torch.stamp pyproject.toml $(SOURCES)
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/torch.stamp $(VENV)/debian.stamp pyproject.toml $(SOURCES)
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/run.stamp

# The compiler of the CPU's kernels, the browser of the web page's tests, what the examples of the documentation are run
# with, and the fonts of the drawn samples.
$(VENV)/debian.stamp: $(VENV)/torch.stamp
	@dpkg -s $(DEBIAN) >/dev/null 2>&1 || { \
		sudo=$$(test "$$(id -u)" = 0 || echo sudo); \
		$$sudo apt-get update && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(DEBIAN); }
	@touch $@
