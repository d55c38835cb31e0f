# SPDX-License-Identifier: LGPL-2.1-or-later
# make run: serve this machine's guests and show them.   make check: everything that must be green.

SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
SYSTEM_PYTHON ?= /usr/bin/python3
PORT ?= 5988
CONNECTION ?=
JOBS ?= auto
PREFIX ?= /usr/local
DESTDIR ?=
CMPIDIR ?= $(PREFIX)/lib/cmpi
CONFIG ?= /etc/libvirtcim.toml

# what serving needs, and what the test suite needs besides
RUN_PACKAGES := python3-venv python3-dev gcc pkg-config libvirt-dev
TEST_PACKAGES := libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-driver-lxc libvirt-clients \
	qemu-system-x86 qemu-utils dnsmasq-base iptables iproute2 busybox-static binutils \
	libvirt-daemon-config-nwfilter parted sblim-wbemcli openssl \
	openssh-client dropbear-bin
INSTALL_PACKAGES := python3-pip python3-setuptools python3-wheel python3-venv python3-dev gcc
# what the plugin and its registration need; a package depends on them
PLUGIN_PACKAGES := python3-libvirt python3-lxml python3-libconf python3-lark python3-psutil

# Debian's Python puts what goes to /usr into /usr/local, unless told that a package is being made.
INSTALL_PREFIX := $(PREFIX)
ifneq ($(wildcard /etc/debian_version),)
ifeq ($(PREFIX),/usr/local)
INSTALL_PREFIX := /usr
else
INSTALL_LAYOUT := DEB_PYTHON_INSTALL_LAYOUT=deb
endif
endif

# installed here first, then copied: so it is known to the last file what is installed
TREE := build/tree
INSTALLED := $(PREFIX)/share/libvirtcim/installed
# makes the plugin: of SYSTEM_PYTHON's version, with Cython 3; where it has none, an environment is made
BUILD_PYTHON ?= $(SYSTEM_PYTHON)
CYTHON := import Cython, sys; sys.exit(Cython.__version__ < "3")
CYTHON_ENVIRONMENT := build/cython

.PHONY: help deps deps-run run check lint types test generate bench plugin clean
.PHONY: install postinstall preuninstall uninstall

help:
	@echo 'make run       install what is missing, serve this machine'"'"'s guests on port $(PORT), show them'
	@echo '               (PORT=5990 CONNECTION="KVM=qemu:///session" choose others; Ctrl-C ends it)'
	@echo 'make check     lint, types, generated files up to date, the whole test suite'
	@echo 'make deps      Debian packages and $(VENV) for developing'
	@echo 'make generate  MOF, registration files, class table and class reference'
	@echo 'make bench     speed, against the floor that libvirt itself sets'
	@echo 'make plugin    build/liblibvirtcim.so, the CMPI plugin for OpenPegasus and SFCB'
	@echo 'make install   install below DESTDIR=, PREFIX= ($(PREFIX)), the plugin into CMPIDIR= ($(CMPIDIR))'
	@echo 'make postinstall, preuninstall   register what is installed with the CIM servers of this'
	@echo '               machine; undo that'
	@echo 'make uninstall remove exactly what make install put there'
	@echo 'make clean     remove what was built'

deps: .deps-test $(VENV)/.dev

deps-run: .deps-run $(VENV)/.run

.PHONY: .deps-run .deps-test
.deps-run:
	@packaging/apt-packages $(RUN_PACKAGES)
.deps-test:
	@packaging/apt-packages $(RUN_PACKAGES) $(TEST_PACKAGES)

$(VENV)/.venv: | .deps-run
	@echo '== Python environment in $(VENV)'
	@$(SYSTEM_PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: pyproject.toml setup.py | $(VENV)/.venv
	@echo '== installing libvirtcim into $(VENV)'
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml setup.py | $(VENV)/.venv
	@echo '== installing libvirtcim and its development tools into $(VENV)'
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[demo,dev]'
	@touch $@ $(VENV)/.run

run: deps-run
	@exec $(VENV)/bin/libvirtcim demo --listen 127.0.0.1:$(PORT) $(foreach c,$(CONNECTION),--connection $(c))

check: deps lint types
	@echo '== generated files'
	@$(VENV)/bin/libvirtcim generate --check
	@echo '== tests'
	@$(PY) -m pytest -n $(JOBS) --dist loadgroup

lint:
	@echo '== lint'
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

types:
	@echo '== types'
	@$(VENV)/bin/mypy

test:
	@$(PY) -m pytest

generate: deps
	@$(VENV)/bin/libvirtcim generate

bench: deps
	@$(PY) -m bench

plugin: deps
	@$(PY) -m libvirtcim.cmpi.build

install: $(TREE)
	@packaging/install-tree $(TREE) '$(DESTDIR)' '$(INSTALLED)'
	@echo 'installed below $(DESTDIR)$(PREFIX), without the Python packages that it needs (see pyproject.toml)'

.PHONY: $(TREE)
$(TREE):
	@packaging/apt-packages $(INSTALL_PACKAGES) $(if $(DESTDIR),,$(PLUGIN_PACKAGES))
	@rm -rf build/lib $(TREE)
	@$(INSTALL_LAYOUT) $(SYSTEM_PYTHON) -m pip install --quiet --no-deps --no-build-isolation --ignore-installed \
		--root-user-action=ignore --no-warn-script-location \
		--prefix '$(INSTALL_PREFIX)' --root '$(abspath $(TREE))' .
	@install -d '$(TREE)$(PREFIX)/share/libvirtcim' '$(TREE)$(CMPIDIR)'
	@cp -r mof registration '$(TREE)$(PREFIX)/share/libvirtcim/'
	@python='$(BUILD_PYTHON)'; $$python -c '$(CYTHON)' 2>/dev/null || { \
		python=$(CYTHON_ENVIRONMENT)/bin/python; $(SYSTEM_PYTHON) -m venv $(CYTHON_ENVIRONMENT) && \
		$$python -m pip install --quiet --disable-pip-version-check 'cython>=3'; } && \
		$$python -m libvirtcim.cmpi.build --python '$(SYSTEM_PYTHON)' --config '$(CONFIG)' \
		--output build/installed/liblibvirtcim.so
	@install -m 755 build/installed/liblibvirtcim.so '$(TREE)$(CMPIDIR)/'

postinstall:
	@'$(PREFIX)/bin/libvirtcim' register

preuninstall:
	@'$(PREFIX)/bin/libvirtcim' unregister

uninstall:
	@packaging/remove-tree '$(DESTDIR)' '$(INSTALLED)'

clean:
	@rm -rf build dist *.egg-info $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +
