# SPDX-License-Identifier: LGPL-2.1-or-later
"""How a storage pool or network came from where it was known to be to where it is.

Events say whether it exists, is stored and runs, in their order; everything else is taken from the reading
after them. Nothing here asks libvirt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Generic

from libvirtcim.virt.event_notes import Note, What
from libvirtcim.virt.pools import DefinitionT, Managed
from libvirtcim.virt.xmlwriter import escape_text


@dataclass(frozen=True, slots=True)
class Watched(Managed[DefinitionT]):
    """A storage pool or network with what is compared of it besides.

    `stored`: what is shown of it when it does not run; of one that is not stored, as it is shown.
    `definition`: a digest of the stored definition, without what libvirt measures; None: not stored.
    """

    persistent: bool
    stored: DefinitionT
    definition: bytes | None

    def off(self) -> Watched[DefinitionT]:
        """The same when it does not run."""
        return replace(self, active=False, view=self.stored) if self.active else self


@dataclass(frozen=True, slots=True)
class PoolHistory(Generic[DefinitionT]):
    """How objects with this kind of definition change."""

    kind: type[DefinitionT]

    def told(
        self,
        known: Watched[DefinitionT] | None,
        notes: Iterable[Note],
        uuid: str,
        read: Watched[DefinitionT] | None,
    ) -> list[Watched[DefinitionT] | None]:
        """The object after each note; `read`: as it was read after the last of them."""
        steps: list[Watched[DefinitionT] | None] = []
        for note in notes:
            known = self._after(known, note, read or self._bare(note, uuid))
            steps.append(known)
        return steps

    def _bare(self, note: Note, uuid: str) -> Watched[DefinitionT]:
        """One that is gone before anything but its name could be known."""
        tag = self.kind.TAG
        view = self.kind.view(
            f"<{tag}><name>{escape_text(note.name)}</name><uuid>{uuid}</uuid></{tag}>"
        )
        return Watched(note.name, uuid, False, False, view, False, view, None)

    def _after(
        self,
        known: Watched[DefinitionT] | None,
        note: Note,
        shown: Watched[DefinitionT],
    ) -> Watched[DefinitionT] | None:
        """`shown`: as far as is known what it looks like."""
        if note.what is What.DEFINED:
            return _defined(known, shown)
        if note.what is What.ENTERED:
            return _started(known, shown)
        if known is None or note.what is What.CHANGED:
            return known
        if note.what is What.STOPPED:
            return known.off() if known.persistent else None
        return _transient(known) if known.active else None

    def agree(self, known: Watched[DefinitionT] | None, read: Watched[DefinitionT] | None) -> bool:
        """Whether the events have told all that they do tell."""
        if known is None or read is None:
            return known is read
        return (known.active, known.persistent) == (read.active, read.persistent)

    def has_left(self, notes: Sequence[Note], read: Watched[DefinitionT] | None) -> bool:
        """Never: its last event tells that it is gone."""
        return False

    def caught_up(
        self, known: Watched[DefinitionT] | None, read: Watched[DefinitionT] | None
    ) -> list[Watched[DefinitionT] | None]:
        """The reading: nothing tells whether it has been off meanwhile."""
        return [read]

    def adopted(
        self, known: Watched[DefinitionT] | None, read: Watched[DefinitionT]
    ) -> Watched[DefinitionT]:
        """The reading: nothing is lacking in it."""
        return read

    def together(
        self, steps: list[Watched[DefinitionT] | None]
    ) -> list[Watched[DefinitionT] | None]:
        """Without the steps before the last in which it ran, or did not, as in the last."""
        *earlier, last = steps
        while last and earlier and earlier[-1] and earlier[-1].active == last.active:
            earlier.pop()
        return [*earlier, last]

    def differs(
        self, before: Watched[DefinitionT] | None, after: Watched[DefinitionT] | None
    ) -> bool:
        """Whether anything has changed."""
        return before != after

    def is_news(
        self, before: Watched[DefinitionT] | None, after: Watched[DefinitionT] | None
    ) -> bool:
        """Whether anything has changed."""
        return before != after

    def is_whole(self, read: Watched[DefinitionT]) -> bool:
        """Always: it is read until its parts belong together."""
        return True


def _defined(
    known: Watched[DefinitionT] | None, shown: Watched[DefinitionT]
) -> Watched[DefinitionT]:
    if known is None:
        return replace(shown.off(), persistent=True)
    if not shown.persistent:
        return replace(known, persistent=True)
    changed = replace(
        known,
        autostart=shown.autostart,
        persistent=True,
        stored=shown.stored,
        definition=shown.definition,
    )
    return changed if known.active else replace(changed, view=shown.off().view)


def _started(
    known: Watched[DefinitionT] | None, shown: Watched[DefinitionT]
) -> Watched[DefinitionT]:
    if known is None:
        return _transient(replace(shown, active=True))
    if known.active or not shown.active:
        return replace(known, active=True)
    return replace(known, active=True, view=shown.view)


def _transient(known: Watched[DefinitionT]) -> Watched[DefinitionT]:
    return replace(known, autostart=False, persistent=False, stored=known.view, definition=None)
