# SPDX-License-Identifier: LGPL-2.1-or-later
"""CIM servers that serve our classes, each in a directory and on a port of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cimom import pegasus, sfcb
from tests.cimom.command import LIBVIRTCIM
from tests.cimom.pegasus import Pegasus
from tests.cimom.sfcb import Sfcb
from tests.frontends import bindings
from tests.needs import skip_where

REGISTER = (*LIBVIRTCIM, "register")
SFCB_SETTINGS = {
    "httpProcs": "100",
    "keepaliveTimeout": "60",
    "keepaliveMaxRequest": "1000000",
}
"""So that each client keeps its connection: SFCB doesn't tell clients that it is about to close one."""
PLUGIN, BINDINGS = "plugin", "cmpi-bindings"
"""What a server loads."""


@dataclass(frozen=True, slots=True)
class Hosting:
    """A CIM server, what it loads, and where that runs."""

    cimom: str
    via: str = PLUGIN
    out_of_process: bool = True

    @property
    def group(self) -> str:
        """Tests of one group run one after the other: SFCB's tools share a file in /tmp."""
        return "sfcb" if self.cimom == "sfcb" else f"{self.cimom} {self.via} {self.out_of_process}"

    @property
    def pulls(self) -> bool:
        """Whether it has operations that fetch an answer in parts."""
        return self.cimom == "pegasus"

    def missing(self) -> str | None:
        """Why it can't be had here, in words; None: it can."""
        lacking = {"pegasus": pegasus, "sfcb": sfcb}[self.cimom].missing()
        return lacking or (bindings.missing() if self.via == BINDINGS else None)

    @contextmanager
    def running(self, request: pytest.FixtureRequest, config: Path) -> Iterator[Pegasus | Sfcb]:
        """The server, with a configuration served in it; skips where it can't be had."""
        skip_where(self.missing())
        # a short name, since sockets lie in it
        with (
            self._library(request, config) as library,
            tempfile.TemporaryDirectory(prefix="cimom-") as directory,
            self.serving(Path(directory), library) as server,
        ):
            yield server

    @contextmanager
    def _library(self, request: pytest.FixtureRequest, config: Path) -> Iterator[Path]:
        if self.via == PLUGIN:
            yield request.getfixturevalue("plugin")(str(config))
            return
        make = request.getfixturevalue("environment")
        with pytest.MonkeyPatch.context() as patched:
            for name, value in bindings.environment(make, config).items():
                patched.setenv(name, value)
            yield bindings.library()

    @contextmanager
    def serving(self, directory: Path, library: Path) -> Iterator[Pegasus | Sfcb]:
        """The server, in a directory of its own with a short name, and what it loads."""
        options: tuple[str | Path, ...] = ("--via", self.via, "--plugin", library)
        if self.cimom == "pegasus":
            with Pegasus(directory, out_of_process=self.out_of_process) as server:
                server.start()
                server.run(*REGISTER, "pegasus", *options)
                yield server
            return
        with Sfcb(directory) as other:
            places = ("--prefix", other.prefix, "--config", other.config, "--schema", other.schema)
            other.configure(**SFCB_SETTINGS)
            other.run(*REGISTER, "sfcb", *places, *options)
            other.start()
            yield other

    def provider(self, server: Pegasus | Sfcb) -> int:
        """The number of the process in which the server runs us, once it has asked us something."""
        if isinstance(server, Sfcb):
            library = bindings.library().name if self.via == BINDINGS else "liblibvirtcim.so"
            (found,) = server.providers(library)
            return found
        return server.agents()[0] if self.out_of_process else server.pid
