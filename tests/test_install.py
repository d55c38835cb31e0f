# SPDX-License-Identifier: LGPL-2.1-or-later
"""`make install` and `make uninstall`: a complete tree, known to the last file, removed exactly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import skip_without_plugin

ROOT = Path(__file__).parent.parent
PYTHON = "/usr/bin/python3"
LIST = "usr/share/libvirtcim/installed"
SHARED = "usr/share/libvirtcim/shared"
INSTALL, REMOVE = ROOT / "packaging/install-tree", ROOT / "packaging/remove-tree"
MAKE_SECONDS = 240.0


def files(directory: Path) -> set[str]:
    """Everything but directories, by path."""
    return {
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def directories(directory: Path) -> set[str]:
    """All directories below, by path."""
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_dir()}


def grow(directory: Path, *names: str) -> Path:
    """A tree of files that hold their names."""
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(name)
    return directory


def run(*command: str | Path, directory: Path = ROOT) -> None:
    """Runs a command, which must succeed."""
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=MAKE_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_was_there_stays(tmp_path: Path) -> None:
    tree = grow(tmp_path / "tree", "usr/lib/a b", "usr/lib/new/c", SHARED)
    (tree / "usr/lib/new/link").symlink_to("c")
    target = grow(tmp_path / "target", "usr/lib/theirs")
    (target / "usr/lib").chmod(0o2775)
    before = files(target), directories(target)
    run(INSTALL, tree, target, f"/{LIST}")
    assert files(target) == files(tree) | {"usr/lib/theirs", LIST}
    assert (target / "usr/lib/new/link").readlink() == Path("c")
    assert (target / "usr/lib").stat().st_mode & 0o7777 == 0o2775
    run(REMOVE, target, f"/{LIST}")
    assert (files(target), directories(target)) == before


def test_an_older_version_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "target"
    run(INSTALL, grow(tmp_path / "old", "usr/lib/a", "usr/lib/gone/b", SHARED), target, f"/{LIST}")
    mapped = (target / "usr/lib/a").open()
    grow(target, "usr/lib/__pycache__/a.pyc")
    new = grow(tmp_path / "new", "usr/lib/a", SHARED)
    (new / "usr/lib/a").write_text("newer")
    run(INSTALL, new, target, f"/{LIST}")
    assert files(target) == {"usr/lib/a", SHARED, LIST}
    assert not (target / "usr/lib/gone").exists()
    assert (target / "usr/lib/a").read_text() == "newer"
    assert mapped.read() == "usr/lib/a", "a running process keeps what it has mapped"
    mapped.close()


def test_removing_leaves_what_others_put_there(tmp_path: Path) -> None:
    target = tmp_path / "target"
    run(INSTALL, grow(tmp_path / "tree", "usr/lib/new/a", SHARED), target, f"/{LIST}")
    grow(target, "usr/lib/new/theirs")
    run(REMOVE, target, f"/{LIST}")
    assert files(target) == {"usr/lib/new/theirs"}
    run(REMOVE, target, f"/{LIST}")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of this tree, with what is compiled of the plugin already."""
    skip_without_plugin()
    for tool in ("make", PYTHON):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    modules = [PYTHON, "-c", "import setuptools, wheel, pip"]
    if subprocess.run(modules, capture_output=True).returncode != 0:
        pytest.skip(f"{PYTHON} lacks pip, setuptools or wheel (Debian: python3-pip, ...)")
    copy = tmp_path_factory.mktemp("source") / "tree"
    ignored = shutil.ignore_patterns(
        ".venv", ".git", "*.egg-info", "__pycache__", ".*_cache", "run"
    )
    shutil.copytree(ROOT, copy, ignore=ignored, symlinks=True)
    yield copy


@pytest.mark.slow
def test_a_packager_gets_the_whole_tree(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "root"
    words = (f"DESTDIR={target}", "PREFIX=/usr", f"BUILD_PYTHON={sys.executable}")
    run("make", "install", *words, directory=source)
    found = files(target)
    assert {name.split("/")[0] for name in found} == {"usr"}
    assert (target / LIST).read_text().splitlines()[: len(found) - 1] == sorted(found - {LIST})
    installed = {
        "usr/bin/libvirtcim",
        "usr/lib/cmpi/liblibvirtcim.so",
        "usr/share/libvirtcim/registration/libvirtcim.reg",
        "usr/share/libvirtcim/mof/root-virt.mof",
    }
    assert installed <= found
    plugin = target / "usr/lib/cmpi/liblibvirtcim.so"
    assert PYTHON.encode() + b"\0" in plugin.read_bytes()
    assert b"/etc/libvirtcim.toml\0" in plugin.read_bytes()
    (package,) = target.glob("usr/lib/python3*/*-packages")
    code = "from libvirtcim.register.doors import DOORS; print(DOORS['plugin'].find())"
    done = subprocess.run(
        [PYTHON, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(package), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(plugin)
    run("make", "uninstall", *words[:2], directory=source)
    assert not list(target.iterdir())
