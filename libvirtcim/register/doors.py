# SPDX-License-Identifier: LGPL-2.1-or-later
"""The libraries through which a CIM server reaches the providers, and where they are found."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import libvirtcim
from libvirtcim.cim.registration import LIBRARY
from libvirtcim.register.plan import RegistrationError


@dataclass(frozen=True, slots=True)
class Door:
    """A way in: its name on the command line, and its library."""

    name: str
    location: str
    """Name of the library in registrations; the file is `lib<location>.so`."""
    advice: str
    """What to do where the library is not there."""

    @property
    def file(self) -> str:
        """Name of the library's file."""
        return f"lib{self.location}.so"

    def find(self, given: Path | None = None) -> Path:
        """The library: the one that is given, or the first where it is installed or built.

        Raises RegistrationError where there is none.
        """
        if given is not None:
            if given.is_file():
                return given.resolve()
            raise RegistrationError(f"{given}: there is no such file; {self.advice}")
        places = list(dict.fromkeys(_places()))
        for place in places:
            if (place / self.file).is_file():
                return (place / self.file).resolve()
        looked = ", ".join(map(str, places))
        raise RegistrationError(f"{self.file} is in none of {looked}: {self.advice}")


def place_of_link(
    door: Door, library: Path, directories: Sequence[Path], former: str | None
) -> Path | None:
    """Where a CIM server needs a link to the library; None: it finds the library as it is.

    `directories`: where it looks, in order; `former`: the link that an earlier registration made.
    Raises RegistrationError where it would find another library, or there is no directory.
    """
    for directory in directories:
        place = directory / door.file
        if str(place) == former:
            return place
        if place.exists() and place.samefile(library):
            return None
        if place.exists() or place.is_symlink():
            raise RegistrationError(
                f"{place} is another library than {library}, and would be loaded; "
                f"remove it, or register it with --plugin {place}"
            )
    for directory in reversed(directories):
        if directory.is_dir():
            return directory / door.file
    raise RegistrationError(
        "none of the directories for providers' libraries exists; create one of "
        + ", ".join(map(str, directories))
    )


DOORS = {
    door.name: door
    for door in (
        Door("plugin", LIBRARY, "build it with `make plugin`, or name it with --plugin FILE"),
        Door(
            "cmpi-bindings",
            "py3CmpiProvider",
            "install cmpi-bindings for Python 3, or name its library with --plugin FILE",
        ),
    )
}
"""Name on the command line → door; the first is the usual one."""


def _places() -> Iterator[Path]:
    """Directories with CMPI libraries: of this source tree, of this installation, of the system."""
    package = Path(libvirtcim.__file__).parent
    if (package.parent / "pyproject.toml").exists():
        yield package.parent / "build"
    for above in package.parents:
        if above.name in ("lib", "lib64"):
            yield above / "cmpi"
            yield above.with_name("lib64") / "cmpi"
    yield Path("/usr/lib64/cmpi")
    yield Path("/usr/lib/cmpi")
    multiarch = sysconfig.get_config_var("MULTIARCH")
    if multiarch:
        yield Path("/usr/lib") / multiarch / "cmpi"
