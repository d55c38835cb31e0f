# SPDX-License-Identifier: LGPL-2.1-or-later
"""`python -m libvirtcim.cmpi.build [--output FILE] [--python FILE] [--config FILE]`: makes the plugin.

Needs Cython 3, gcc, and the headers of the Python that runs this (Debian: python3-dev): the library is
linked to that Python's library and finds its modules as that Python does.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SOURCES = Path(__file__).parent
BUILD = Path("build")
EXPORTS = SOURCES / "exports.map"
OUTPUT = BUILD / "liblibvirtcim.so"
CONFIG = "/etc/libvirtcim.toml"
FLAGS = ("-O2", "-g", "-fPIC", "-fvisibility=hidden", "-std=gnu11")
WARNINGS = ("-Wall", "-Wextra", "-Werror=incompatible-pointer-types")
LINK = ("-shared", "-Wl,-z,defs", "-Wl,-z,nodelete", "-Wl,-z,relro", "-Wl,-z,now")


class CannotBuild(Exception):
    """Something that building needs is missing, or a compiler failed; the message says what."""


def missing() -> str | None:
    """What is missing on this machine for building, in words; None: nothing."""
    if shutil.which("gcc") is None:
        return "gcc is not installed"
    if importlib.util.find_spec("Cython") is None:
        return "Cython is not installed (pip install 'cython>=3')"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return f"no Python.h in {sysconfig.get_path('include')} (Debian: python3-dev)"
    if not _libpython():
        return "this Python has no shared library to link to (Debian: python3-dev)"
    return None


def build(
    output: Path = OUTPUT,
    *,
    python: str = sys.executable,
    config: str = CONFIG,
    objects: Path = BUILD / "cmpi",
    flags: Sequence[str] = (),
) -> bool:
    """Makes `output` where a source or a setting has changed since; returns whether it did.

    `python`: program whose modules the plugin uses; `config`: its configuration file. Both are
    compiled in, because a CIM server's environment is nobody's. `flags`: for the compiler, besides
    the usual; whoever gives some keeps the objects apart. Raises CannotBuild.
    """
    lacking = missing()
    if lacking is not None:
        raise CannotBuild(lacking)
    objects.mkdir(parents=True, exist_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    with _locked(objects / "lock"):
        adapter = _adapter(objects, flags)
        settings = [f'-DLIBVIRTCIM_PYTHON="{python}"', f'-DLIBVIRTCIM_CONFIG="{config}"']
        stamp = output.with_suffix(".settings")
        wanted = "\n".join([*settings, _libpython(), *flags])
        needs = [adapter, SOURCES / "plugin.c", SOURCES / "cmpi.h", EXPORTS, SOURCES / "build.py"]
        if _newer(output, needs) and stamp.exists() and stamp.read_text() == wanted:
            return False
        # by rename: a CIM server that has the old file mapped keeps it
        fresh = output.with_suffix(".new")
        library = Path(_libpython())
        _run(
            "gcc", *FLAGS, *flags, *WARNINGS, *settings, *_includes(objects), str(SOURCES / "plugin.c"),
            str(adapter), *LINK, f"-Wl,--version-script={EXPORTS}", "-o", str(fresh),
            f"-L{library.parent}", f"-l:{library.name}",
            *(() if str(library.parent).startswith("/usr/lib") else (f"-Wl,-rpath,{library.parent}",)),
            "-ldl", "-lpthread",
        )  # fmt: skip
        fresh.replace(output)
        stamp.write_text(wanted)
    return True


def _adapter(objects: Path, flags: Sequence[str]) -> Path:
    """The compiled adapter, made anew where its sources changed."""
    generated, compiled = objects / "adapter.c", objects / "adapter.o"
    needs = [
        *(path for pattern in ("*.pyx", "*.pxi", "*.pxd") for path in SOURCES.glob(pattern)),
        SOURCES / "cmpi.h",
        SOURCES / "build.py",
    ]
    stamp, wanted = objects / "adapter.settings", "\n".join([_libpython(), *flags])
    if _newer(compiled, needs) and stamp.exists() and stamp.read_text() == wanted:
        return compiled
    _run(sys.executable, "-m", "cython", "-3", str(SOURCES / "adapter.pyx"), "-o", str(generated))
    _run(
        "gcc", *FLAGS, *flags, "-w", *_includes(objects), "-c", str(generated), "-o", str(compiled)
    )
    stamp.write_text(wanted)
    return compiled


def _newer(made: Path, needs: Sequence[Path]) -> bool:
    return made.exists() and made.stat().st_mtime > max(path.stat().st_mtime for path in needs)


def _includes(objects: Path) -> list[str]:
    return [f"-I{SOURCES}", f"-I{objects}", f"-I{sysconfig.get_path('include')}"]


def _libpython() -> str:
    """Path of the shared library of this Python, "" where it has none."""
    name = sysconfig.get_config_var("INSTSONAME") or sysconfig.get_config_var("LDLIBRARY") or ""
    path = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib") / name
    return str(path) if ".so" in name and path.exists() else ""


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotBuild(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 where it can't be built."""
    parser = argparse.ArgumentParser(
        prog="libvirtcim.cmpi.build", description="build the CMPI plugin"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="library to make (%(default)s)")
    parser.add_argument(
        "--python", default=sys.executable, help="Python whose modules are used (%(default)s)"
    )
    parser.add_argument("--config", default=CONFIG, help="configuration file (%(default)s)")
    chosen = parser.parse_args(arguments)
    try:
        made = build(chosen.output, python=chosen.python, config=chosen.config)
    except CannotBuild as problem:
        sys.stderr.write(f"the CMPI plugin can't be built: {problem}\n")
        return 1
    sys.stdout.write(f"{chosen.output}{'' if made else ' is up to date'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
