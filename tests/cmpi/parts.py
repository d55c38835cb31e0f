# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a plugin is run with in tests and measurements: the host, and Python environments."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from libvirtcim.cmpi import build

ROOT = Path(__file__).parent.parent.parent
SANITIZERS = (
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
)
"""Compiler flags with which a process ends, and says why, at the first wrong access to memory."""


def compile_host(output: Path, flags: Sequence[str] = ("-g", "-O1")) -> Path:
    """Compiles `host.c`; returns `output`."""
    compile_c(Path(__file__).parent / "host.c", output, *flags)
    return output


def compile_c(source: Path, output: Path, *flags: str) -> None:
    """Compiles one file that includes `cmpi.h`, without a single warning."""
    subprocess.run(
        ["gcc", *flags, "-Wall", "-Wextra", "-Werror", f"-I{build.SOURCES}", str(source), "-o", str(output),
         "-ldl", "-lpthread"],
        check=True,
    )  # fmt: skip


def make_environment(root: Path, code: str, *, ours: bool = True) -> str:
    """A virtual environment in `root` that runs a piece of code at start; its Python.

    `ours`: with this project and what it needs.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = root / "lib" / version / "site-packages"
    site.mkdir(parents=True)
    (root / "bin").mkdir()
    (root / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    home = Path(sys.executable).resolve().parent
    (root / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    (site / "at_start.py").write_text(code)
    lines = [str(ROOT), sysconfig.get_path("purelib")] if ours else []
    (site / "at_start.pth").write_text("\n".join([*lines, "import at_start", ""]))
    return str(root / "bin" / "python")


def with_providers(folder: Path) -> str:
    """Python code after which the composition root also finds the provider modules in `folder`."""
    return f"import libvirtcim.providers\nlibvirtcim.providers.__path__.append({str(folder)!r})"
