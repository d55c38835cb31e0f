# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can be watched of a hypervisor: a kind of objects, how they are read and how they change."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from libvirtcim.virt.event_callbacks import Registration
from libvirtcim.virt.event_notes import Note
from libvirtcim.virt.event_pile import Pile


class Identified(Protocol):
    """An object of a hypervisor, as one reading saw it."""

    @property
    def uuid(self) -> str:
        """What tells it from all others of its kind, whatever it is called."""


T = TypeVar("T", bound=Identified)


class History(Protocol[T]):
    """How an object came from where it was known to be to where it is. None: it does not exist."""

    def told(
        self, known: T | None, notes: Iterable[Note], uuid: str, read: T | None
    ) -> list[T | None]:
        """The object after each note; `read`: as it was read after the last of them."""

    def agree(self, known: T | None, read: T | None) -> bool:
        """Whether events have told all that they do tell, so that the reading is what comes next."""

    def has_left(self, notes: Sequence[Note], read: T | None) -> bool:
        """Whether it is gone without a further event."""

    def caught_up(self, known: T | None, read: T | None) -> list[T | None]:
        """What must have happened between two readings without events to tell of it."""

    def adopted(self, known: T | None, read: T) -> T:
        """The reading, with what it lacks as it was known."""

    def together(self, steps: list[T | None]) -> list[T | None]:
        """The steps of a single change, without those that only lead to the last."""

    def differs(self, before: T | None, after: T | None) -> bool:
        """Whether anything has changed but what changes by itself."""

    def is_news(self, before: T | None, after: T | None) -> bool:
        """Whether it is to be told."""

    def is_whole(self, read: T) -> bool:
        """Whether all was read, and the parts of the reading belong together."""


class Subject(Protocol[T]):
    """A kind of objects of a hypervisor: how they are read, how libvirt's events of them are had."""

    @property
    def plural(self) -> str:
        """What they are called."""

    @property
    def absent(self) -> int:
        """libvirt's error code for one that does not exist."""

    @property
    def own_is_one(self) -> bool:
        """Whether a change by this process is told as one whatever it went through, as the reading shows.

        Its events are not waited for then, if they come later.
        """

    @property
    def history(self) -> History[T]:
        """How they change."""

    def all(self, raw: Any) -> list[T]:
        """All of them, of libvirt's connection `raw`; raises libvirtError and VirtError."""

    def some(self, raw: Any, uuids: Collection[str]) -> Mapping[str, T | Exception]:
        """Those of these UUIDs, or why they can't be read; raises libvirtError if the connection is lost."""

    def registration(self, raw: Any, pile: Pile) -> Registration:
        """Callbacks that note events in the pile, not yet registered."""
