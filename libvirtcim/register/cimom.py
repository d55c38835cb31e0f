# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a CIM server's back end does, what it is given, and what it tells."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from libvirtcim import __version__
from libvirtcim.cim.declare import ClassDecl
from libvirtcim.register.doors import Door
from libvirtcim.register.plan import Plan, RegistrationError


@dataclass(frozen=True, slots=True)
class Offer:
    """What is registered: the classes of this version, and the library that serves them."""

    declarations: Sequence[ClassDecl]
    door: Door
    library: Path
    """The library that the CIM server is to load."""
    version: str = __version__

    def fingerprint(self, texts: Iterable[str]) -> str:
        """Tells registrations apart: by version, library, and the texts that are registered.

        Raises RegistrationError where the library can't be read.
        """
        try:
            digest = hashlib.sha256(self.library.read_bytes())
        except OSError as error:
            raise RegistrationError(f"{self.library}: {error.strerror}") from error
        for text in (self.version, *texts):
            digest.update(text.encode() + b"\0")
        return digest.hexdigest()


Offered: TypeAlias = Callable[[str | None, str | None], Offer | None]
"""Door and library of a registration (None: unknown) → what would be registered in its place now.

None where its library is not there.
"""


@dataclass(frozen=True, slots=True)
class Status:
    """How things stand at one CIM server."""

    cimom: str
    """The CIM server, with what tells it from others of its kind."""
    running: bool
    registered: bool
    version: str | None = None
    """Version of libvirtcim that is registered; None: none, or unknown."""
    current: bool | None = None
    """Whether it is what `register` would register now; None: nothing is registered, or the
    library to compare with is not there."""
    door: str | None = None
    library: str | None = None
    """The library that was registered; None: nothing is registered, or unknown."""
    problems: tuple[str, ...] = ()
    """What keeps the registered classes from being served."""

    def as_json(self) -> dict[str, Any]:
        """The status for scripts."""
        return asdict(self)


class Cimom(Protocol):
    """One CIM server on this machine, running or not."""

    @property
    def title(self) -> str:
        """The CIM server, with what tells it from others of its kind."""

    def locked(self) -> AbstractContextManager[None]:
        """Keeps other registrations with the same server out, from looking to the last step.

        Raises RegistrationError where one is going on.
        """

    def status(self, offered: Offered) -> Status:
        """How things stand, compared with what is offered."""

    def register(self, offer: Offer) -> Plan:
        """The steps to the state in which exactly the offer is registered.

        Raises RegistrationError where something is in the way.
        """

    def unregister(self) -> Plan:
        """The steps to the state before the first registration."""
