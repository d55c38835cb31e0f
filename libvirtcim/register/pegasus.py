# SPDX-License-Identifier: LGPL-2.1-or-later
"""Registers the plugin with OpenPegasus: classes, one provider module, a link to the library.

OpenPegasus can't change a registration, only remove it; so an upgrade removes the old one and adds
the new. What was added is recorded beside the server's repository, and that is what unregistering
takes away. A server that doesn't run is started for it, without network.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from libvirtcim import composition
from libvirtcim.cim.declare import INTEROP
from libvirtcim.register import record, schema
from libvirtcim.register.cimom import Offer, Offered, Status
from libvirtcim.register.doors import place_of_link
from libvirtcim.register.pegasus_found import MODULE, PACKAGED_RECORD, Added, Found, look
from libvirtcim.register.pegasus_tools import CLASS_HAS_CHILDREN, RequestRefused, Tools
from libvirtcim.register.pegasus_wanted import (
    Filling,
    fillings,
    is_current,
    module_mof,
    ours,
    recorded,
    refuse_others,
)
from libvirtcim.register.plan import Plan, RegistrationError, Step

BUSY = "Provider is busy"
"""What cimprovider says where requests run."""
BUSY_SECONDS = 30.0
BUSY_INTERVAL = 0.1
NOT_REGISTERED = "libvirtcim is not registered"
NAMED = 3
"""Up to how many classes or modules are told by their names; more by their number."""


def find(home: Path | None) -> Pegasus:
    """The OpenPegasus of this machine, or the one in `home` (directories bin, lib, repository).

    Raises NotInstalled where its programs are missing.
    """
    tools = Tools(home)
    programs = tools.programs
    return Pegasus(tools, tools.home or programs)


SERVERS_OWN = (
    ("PG_RegisteredProfile", "CIM_RegisteredProfile"),
    ("PG_ElementConformsToProfile", "CIM_ElementConformsToProfile"),
)
"""Classes that a starting server puts into namespaces that have their superclasses; they go with these."""


class Pegasus:
    """One OpenPegasus, through its tools."""

    def __init__(self, tools: Tools, directory: Path) -> None:
        """`directory`: of its files or, of a packaged one, its programs."""
        self._tools = tools
        self._directory = directory

    @property
    def title(self) -> str:
        """The server, and the directory of its files or programs."""
        return f"OpenPegasus in {self._directory}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other registrations out, and a server reachable."""
        with record.locked(self._directory), self._tools.reachable():
            yield

    def status(self, offered: Offered) -> Status:
        """How things stand; a server that doesn't run is started for the time of the look."""
        running = self._tools.running()
        with self._tools.reachable():
            found = look(self._tools, composition.declarations())
        library = found.added.library if found.added else None
        offer = offered(found.door, library) if found.registered else None
        return Status(
            self.title,
            running,
            found.registered,
            found.version,
            None if offer is None else is_current(found, offer),
            found.door,
            library,
            tuple(found.problems()),
        )

    def register(self, offer: Offer) -> Plan:
        """The steps to exactly this registration. Raises RegistrationError for a conflict."""
        found = look(self._tools, offer.declarations)
        refuse_others(found, offer.declarations)
        outcome = f"libvirtcim {offer.version} is registered in {found.interop}{_advice(found)}"
        if is_current(found, offer):
            return Plan(self.title, outcome, (self._enabling(found),) if found.disabled else ())
        leaving, staying = self._parted(found, ours(found, offer.declarations))
        carried = found.added or Added()
        staying = replace(staying, namespaces=carried.namespaces, qualifiers=carried.qualifiers)
        leaving = replace(leaving, namespaces=(), qualifiers={})
        steps = [*self._removing(found, leaving), *self._adding(found, leaving, staying, offer)]
        return Plan(self.title, outcome, tuple(steps))

    def unregister(self) -> Plan:
        """The steps to the state before the first registration."""
        found = look(self._tools, composition.declarations())
        if not found.registered:
            return Plan(self.title, NOT_REGISTERED, ())
        claimed = {} if found.added else ours(found, composition.declarations())
        leaving, staying = self._parted(found, claimed)
        steps = [*self._unsubscribing(found, leaving), *self._removing(found, leaving)]
        if found.added is not None:
            run = partial(_remove_record, found.record)
            steps.append(Step("remove", "record", str(found.record), run))
        return Plan(self.title, "; ".join([NOT_REGISTERED, *_remains(staying)]), tuple(steps))

    def _parted(self, found: Found, claimed: Mapping[str, Sequence[str]]) -> tuple[Added, Added]:
        """What a removal takes away (all that was recorded or is claimed), and what has to stay.

        DMTF classes that we added stay where others' classes derive from them. Raises
        RegistrationError where others' classes derive from ours.
        """
        added = found.added or Added()
        leaving: dict[str, list[str]] = {}
        staying: dict[str, list[str]] = {}
        shared = []
        for namespace, there in found.declared.items():
            if there is None:
                continue
            names = [*added.classes.get(namespace, ()), *claimed.get(namespace, ())]
            names = found.present(namespace, names)
            names += [own for own, above in SERVERS_OWN if own in there.classes and above in names]
            foreign = there.classes - set(names)
            needed = self._needed(found, namespace, names, foreign) if foreign else set()
            leaving[namespace] = [name for name in names if name not in needed]
            if needed:
                staying[namespace] = sorted(needed)
            if foreign or there.qualifiers - set(added.qualifiers.get(namespace, ())):
                shared.append(namespace)
        free = [n for n in added.namespaces if n not in shared and found.declared.get(n)]
        return (
            Added(namespaces=free, classes=leaving, qualifiers=added.qualifiers, link=added.link),
            Added(namespaces=[n for n in added.namespaces if n in shared], classes=staying),
        )

    def _needed(
        self, found: Found, namespace: str, names: Sequence[str], foreign: frozenset[str]
    ) -> set[str]:
        needed = {
            name: below
            for name in names
            if (below := (self._tools.class_names(namespace, name) or set()) & foreign)
        }
        for name in sorted(found.served(namespace) & needed.keys()):
            raise RegistrationError(
                f"in {namespace}, {_told(needed[name], 'classes')} derive from {name}: "
                "remove those classes first"
            )
        return set(needed)

    def _unsubscribing(self, found: Found, leaving: Added) -> Iterator[Step]:
        """Subscriptions to classes that go; once these are gone the server can't delete them."""
        gone = {
            (namespace.lower(), name.lower())
            for namespace, names in leaving.classes.items()
            for name in names
        }
        for subscription in self._tools.subscriptions(found.interop):
            if subscription.classes & gone:
                run = partial(self._tools.delete_instance, found.interop, subscription.path)
                subject = f"subscription {subscription.query}"
                yield Step("remove", subject, found.interop, run)

    def _removing(self, found: Found, leaving: Added) -> Iterator[Step]:
        """The module goes last: of a class without provider the server says that it's empty."""
        if found.module is not None and not found.disabled:
            yield self._disabling(found)
        for namespace, names in leaving.classes.items():
            if names:
                run = partial(self._delete_classes, namespace, names)
                yield Step("remove", _told(names, "classes"), namespace, run)
        if found.module is not None:
            run = partial(self._run_cimprovider, "-r")
            yield Step("remove", f"provider module {MODULE}", found.interop, run)
        for namespace, names in leaving.qualifiers.items():
            run = partial(self._delete_qualifiers, namespace, names)
            yield Step("remove", _told(names, "qualifiers"), namespace, run)
        for namespace in leaving.namespaces:
            run = partial(self._tools.delete_namespace, namespace)
            yield Step("remove", "namespace", namespace, run)
        if leaving.link is not None:
            run = partial(Path(leaving.link).unlink, missing_ok=True)
            yield Step("remove", "link", leaving.link, run)

    def _adding(self, found: Found, leaving: Added, staying: Added, offer: Offer) -> Iterator[Step]:
        """The module comes first, for the same reason, and is enabled last.

        Enabling it is when the server renews the subscriptions to its classes' indications.
        """
        filled = list(fillings(found, leaving, offer))
        former = found.added.link if found.added else None
        link = place_of_link(offer.door, offer.library, found.directories, former)
        added = recorded(found, staying, filled, offer, link)
        run = partial(_write_record, found.record, added)
        yield Step("write", "record of what is added", str(found.record), run)
        if link is not None:
            run = partial(link.symlink_to, offer.library)
            yield Step("link", str(offer.library), str(link), run)
        run = partial(self._tools.compile, found.interop, module_mof(found, offer))
        yield Step("add", f"provider module {MODULE} {offer.version}", found.interop, run)
        yield self._disabling(found)
        for one in filled:
            yield from self._filling(one)
        yield self._enabling(found)

    def _filling(self, one: Filling) -> Iterator[Step]:
        if one.new:
            run = partial(self._tools.create_namespace, one.namespace)
            yield Step("create", "namespace", one.namespace, run)
        if one.lacking.mof:
            run = partial(self._tools.compile, one.namespace, one.lacking.mof)
            yield Step("add", _lacking(one.lacking), one.namespace, run)
        run = partial(self._tools.compile, one.namespace, one.mof)
        yield Step("add", _told([c.name for c in one.own], "classes"), one.namespace, run)

    def _enabling(self, found: Found) -> Step:
        run = partial(self._run_cimprovider, "-e")
        return Step("enable", f"provider module {MODULE}", found.interop, run)

    def _disabling(self, found: Found) -> Step:
        return Step("disable", f"provider module {MODULE}", found.interop, self._disable_module)

    def _run_cimprovider(self, option: str) -> None:
        self._tools.tool("cimprovider", option, "-m", MODULE)

    def _disable_module(self) -> None:
        """Disables the module between two requests: the server doesn't while one runs."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._run_cimprovider("-d")
            except RegistrationError as error:
                if BUSY not in str(error):
                    # The provider's process has died while it was asked to end, as cmpi-bindings
                    # does. Whether that matters shows when the module is removed.
                    return
                if time.monotonic() > deadline:
                    raise RegistrationError(
                        f"{error}; requests have kept it busy for {BUSY_SECONDS:.0f} s: "
                        "try again with less load, or with the server stopped"
                    ) from error
                time.sleep(BUSY_INTERVAL)
            else:
                return

    def _delete_classes(self, namespace: str, names: Sequence[str]) -> None:
        """Deletes the classes last first, and those again that had subclasses among them."""
        left = list(reversed(names))
        while left:
            held = []
            for name in left:
                try:
                    self._tools.delete_class(namespace, name)
                except RequestRefused as refused:
                    if refused.code != CLASS_HAS_CHILDREN:
                        raise
                    held.append(name)
            if held == left:
                raise RegistrationError(f"other classes derive from {_told(held, 'classes')}")
            left = held

    def _delete_qualifiers(self, namespace: str, names: Sequence[str]) -> None:
        """Deletes those that no class carries: the server would not refuse the others."""
        there = self._tools.qualifier_names(namespace) or set()
        for name in sorted(there.intersection(names) - self._tools.used_qualifiers(namespace)):
            self._tools.delete_qualifier(namespace, name)


def _write_record(path: Path, added: Added) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    record.write(path, added.as_json())


def _remove_record(path: Path) -> None:
    path.unlink()
    if path == PACKAGED_RECORD:
        with suppress(OSError):  # it holds other things too
            path.parent.rmdir()


def _advice(found: Found) -> str:
    """What is to be set where the interop namespace has another name than ours."""
    if found.interop == INTEROP:
        return ""
    return f'; paths lead there once the configuration has interop_namespace = "{found.interop}"'


def _remains(staying: Added) -> Iterator[str]:
    """What others keep us from removing, in words."""
    for namespace, names in staying.classes.items():
        yield f"{_told(names, 'classes')} stay in {namespace}, other classes derive from them"
    for namespace in staying.namespaces:
        yield f"namespace {namespace} stays, it holds other things"


def _lacking(lacking: schema.Additions) -> str:
    parts = [
        _told([item.name for item in items], what)
        for items, what in ((lacking.classes, "classes"), (lacking.qualifiers, "qualifiers"))
        if items
    ]
    return f"{' and '.join(parts)} of the DMTF schema"


def _told(names: Collection[str], what: str) -> str:
    return ", ".join(sorted(names)) if len(names) <= NAMED else f"{len(names)} {what}"
