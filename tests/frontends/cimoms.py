# SPDX-License-Identifier: LGPL-2.1-or-later
"""CIM servers that serve our classes, each in a directory and on a port of its own."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cimom.pegasus import Pegasus
from tests.cimom.sfcb import Sfcb

REGISTER = (
    sys.executable, "-c", "from libvirtcim.cli import main; raise SystemExit(main())", "register",
)  # fmt: skip


@contextmanager
def pegasus(
    library: Path, *, via: str = "plugin", out_of_process: bool = True
) -> Iterator[Pegasus]:
    """OpenPegasus, running; the library serves our classes in it."""
    with (
        _directory() as directory,
        Pegasus(directory, out_of_process=out_of_process) as server,
    ):
        server.start()
        server.run(*REGISTER, "pegasus", "--via", via, "--plugin", library)
        yield server


@contextmanager
def sfcb(library: Path, *, via: str = "plugin") -> Iterator[Sfcb]:
    """SFCB, running; the library serves our classes in it."""
    with _directory() as directory, Sfcb(directory) as server:
        places = ("--prefix", server.prefix, "--config", server.config, "--schema", server.schema)
        server.run(*REGISTER, "sfcb", *places, "--via", via, "--plugin", library)
        server.start()
        yield server


@contextmanager
def _directory() -> Iterator[Path]:
    """One with a short name, since sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="cimom-") as name:
        yield Path(name)
