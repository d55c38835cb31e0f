# SPDX-License-Identifier: LGPL-2.1-or-later
"""Imports run one way: front ends → cim, providers → cim and virt; cim and virt know nobody.

What only some clients need is loaded when one first does.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ALLOWED = {
    "libvirtcim.virt": {"libvirtcim.virt"},
    "libvirtcim.cim": {"libvirtcim.cim"},
    "libvirtcim.server": {"libvirtcim.server", "libvirtcim.cim"},
    "libvirtcim.providers": {
        "libvirtcim.providers",
        "libvirtcim.methods",
        "libvirtcim.cim",
        "libvirtcim.virt",
    },
    "libvirtcim.methods": {
        "libvirtcim.methods",
        "libvirtcim.providers",
        "libvirtcim.cim",
        "libvirtcim.virt",
    },
    "libvirtcim.register": {"libvirtcim.register", "libvirtcim.cim", "libvirtcim.composition"},
}
"""Package → packages of ours that it may import. Other modules (composition, commands) are free."""


def modules() -> dict[str, Path]:
    """Every module of the project by dotted name."""
    found = {}
    for folder, package in (
        (ROOT / "libvirtcim", "libvirtcim"),
        (ROOT / "providers", "libvirtcim.providers"),
    ):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if folder.name == "libvirtcim" and parts[0] == "providers":
                continue
            name = ".".join([package, *(p for p in parts if p != "__init__")])
            found[name] = path
    return found


MODULES = modules()


def imports(name: str, path: Path) -> Iterator[str]:
    """Modules of the project that one module imports when it is loaded."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            targets = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
        elif isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        else:
            continue
        for target in targets:
            if target in MODULES and target != name:
                yield target


def layer(name: str) -> str | None:
    return next((p for p in ALLOWED if name == p or name.startswith(f"{p}.")), None)


def test_there_are_modules_in_every_layer() -> None:
    assert {layer(name) for name in MODULES} >= set(ALLOWED)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_stay_within_their_layer(name: str) -> None:
    own = layer(name)
    if own is None:
        return
    wrong = [
        target
        for target in imports(name, MODULES[name])
        if target.startswith("libvirtcim.") and (layer(target) or target) not in ALLOWED[own]
    ]
    assert not wrong, f"{name} may import only {sorted(ALLOWED[own])}"


def test_only_the_command_registers() -> None:
    users = {
        name
        for name, path in MODULES.items()
        for target in imports(name, path)
        if layer(target) == "libvirtcim.register" != layer(name)
    }
    assert users <= {"libvirtcim.cli"}


def test_no_import_circles() -> None:
    graph = {
        name: {t for t in imports(name, path) if not name.startswith(f"{t}.")}
        for name, path in MODULES.items()
    }
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import circle: {' → '.join(error.args[1])}")


def test_reading_loads_no_methods_and_no_events() -> None:
    program = (
        "import sys; from libvirtcim import composition; from libvirtcim.virt.host import Hosts; "
        "composition.broker(Hosts({'KVM': 'test:///default'})); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "libvirtcim.providers.service" in loaded
    late = {"libvirtcim.virt.events", "libvirtcim.virt.watchers", "lark"}
    methods = {name for name in loaded if name.startswith("libvirtcim.methods")}
    assert methods | (late & loaded) == set()
