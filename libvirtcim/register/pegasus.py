# SPDX-License-Identifier: LGPL-2.1-or-later
"""Registers the plugin with OpenPegasus: classes, one provider module, a link to the library.

OpenPegasus can't change a registration, only remove it; so an upgrade removes the old one and adds
the new. What was added is recorded beside the server's repository, and that is what unregistering
takes away. A server that doesn't run is started for it, without network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from libvirtcim import composition
from libvirtcim.cim import base, registration
from libvirtcim.cim.declare import ClassDecl, expand_all
from libvirtcim.cim.schema import LocalClass
from libvirtcim.register import record, schema
from libvirtcim.register.cimom import Offer, Status
from libvirtcim.register.pegasus_found import MODULE, PACKAGED_RECORD, Added, Found, look
from libvirtcim.register.pegasus_tools import (
    CLASS_HAS_CHILDREN,
    RequestRefused,
    Tools,
)
from libvirtcim.register.plan import Plan, RegistrationError, Step

NAMED = 3
"""Up to how many classes or modules are told by their names; more by their number."""


def find(home: Path | None) -> Pegasus:
    """The OpenPegasus of this machine, or the one in `home` (directories bin, lib, repository).

    Raises NotInstalled where its programs are missing.
    """
    tools = Tools(home)
    programs = tools.programs
    return Pegasus(tools, tools.home or programs)


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

    def status(self, offer: Offer | None) -> Status:
        """How things stand; a server that doesn't run is started for the time of the look."""
        running = self._tools.running()
        with self._tools.reachable():
            found = look(self._tools, composition.declarations())
        return Status(
            self.title,
            running,
            found.registered,
            found.version,
            _current(found, offer) if found.registered and offer is not None else None,
            found.door,
            found.added.library if found.added else None,
            tuple(found.problems()),
        )

    def register(self, offer: Offer) -> Plan:
        """The steps to exactly this registration. Raises RegistrationError for a conflict."""
        found = look(self._tools, offer.declarations)
        _refuse_others(found, offer.declarations)
        outcome = f"libvirtcim {offer.version} is registered in {found.interop}"
        if _current(found, offer):
            enabling = Step("enable", f"provider module {MODULE}", "", self._enable_module)
            return Plan(self.title, outcome, (enabling,) if found.disabled else ())
        leaving, staying = self._parted(found, _ours(found, offer.declarations))
        carried = found.added or Added()
        staying = replace(staying, namespaces=carried.namespaces, qualifiers=carried.qualifiers)
        leaving = replace(leaving, namespaces=(), qualifiers={})
        steps = [*self._removing(found, leaving), *self._adding(found, leaving, staying, offer)]
        return Plan(self.title, outcome, tuple(steps))

    def unregister(self) -> Plan:
        """The steps to the state before the first registration."""
        found = look(self._tools, composition.declarations())
        outcome = "libvirtcim is not registered"
        if not found.registered:
            return Plan(self.title, outcome, ())
        claimed = {} if found.added else _ours(found, composition.declarations())
        leaving, staying = self._parted(found, claimed)
        for namespace, names in staying.classes.items():
            outcome += f"; {_told(names, 'classes')} stay in {namespace}, others need them"
        steps = [*self._unsubscribing(found, leaving), *self._removing(found, leaving)]
        if found.added is not None:
            run = partial(_remove_record, found.record)
            steps.append(Step("remove", "record", str(found.record), run))
        return Plan(self.title, outcome, tuple(steps))

    def _parted(self, found: Found, claimed: Mapping[str, Sequence[str]]) -> tuple[Added, Added]:
        """What a removal takes away (all that was recorded or is claimed), and what has to stay.

        DMTF classes that we added stay where others' classes derive from them. Raises
        RegistrationError where others' classes derive from ours.
        """
        added = found.added or Added()
        leaving: dict[str, list[str]] = {}
        staying: dict[str, list[str]] = {}
        free = []
        for namespace, there in found.declared.items():
            if there is None:
                continue
            recorded = added.classes.get(namespace, ())
            names = found.present(namespace, [*recorded, *claimed.get(namespace, ())])
            foreign = there.classes - set(names)
            needed = self._needed(found, namespace, names, foreign) if foreign else set()
            leaving[namespace] = [name for name in names if name not in needed]
            if needed:
                staying[namespace] = sorted(needed)
            if not foreign and not there.qualifiers - set(added.qualifiers.get(namespace, ())):
                free.append(namespace)
        namespaces = [namespace for namespace in added.namespaces if namespace in free]
        return (
            Added(
                namespaces=namespaces, classes=leaving, qualifiers=added.qualifiers, link=added.link
            ),
            Added(classes=staying),
        )

    def _needed(
        self, found: Found, namespace: str, names: Sequence[str], foreign: frozenset[str]
    ) -> set[str]:
        needed = {
            name: below
            for name in names
            if (below := (self._tools.class_names(namespace, name) or set()) & foreign)
        }
        for name in found.served(namespace) & needed.keys():
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

    def _removing(self, found: Found, leaving: Added) -> list[Step]:
        steps = []
        if found.module is not None:
            run = partial(self._remove_module, found.disabled)
            steps.append(Step("remove", f"provider module {MODULE}", found.interop, run))
        for namespace, names in leaving.classes.items():
            if names:
                run = partial(self._delete_classes, namespace, names)
                steps.append(Step("remove", _told(names, "classes"), namespace, run))
        for namespace, names in leaving.qualifiers.items():
            run = partial(self._delete_qualifiers, namespace, names)
            steps.append(Step("remove", _told(names, "qualifiers"), namespace, run))
        for namespace in leaving.namespaces:
            run = partial(self._tools.delete_namespace, namespace)
            steps.append(Step("remove", "namespace", namespace, run))
        if leaving.link is not None:
            run = partial(Path(leaving.link).unlink, missing_ok=True)
            steps.append(Step("remove", "link", leaving.link, run))
        return steps

    def _adding(self, found: Found, leaving: Added, staying: Added, offer: Offer) -> list[Step]:
        steps: list[Step] = []
        namespaces = list(staying.namespaces)
        classes = {namespace: list(names) for namespace, names in staying.classes.items()}
        qualifiers = {namespace: list(names) for namespace, names in staying.qualifiers.items()}
        link = _link(found, offer)
        if link is not None:
            run = partial(link.symlink_to, offer.library)
            steps.append(Step("link", str(offer.library), str(link), run))
        for declared in schema.namespaces(offer.declarations):
            namespace = found.named(declared)
            there = found.declared[namespace]
            if there is None:
                run = partial(self._tools.create_namespace, namespace)
                steps.append(Step("create", "namespace", namespace, run))
                namespaces.append(namespace)
            lacking = schema.additions(
                offer.declarations, declared, _without(there, leaving.classes.get(namespace, ()))
            )
            if lacking.mof:
                run = partial(self._tools.compile, namespace, lacking.mof)
                steps.append(Step("add", _lacking(lacking), namespace, run))
            own = schema.own_classes(offer.declarations, declared)
            text = schema.own_mof(offer.declarations, declared)
            run = partial(self._tools.compile, namespace, text)
            steps.append(Step("add", _told([c.name for c in own], "classes"), namespace, run))
            classes.setdefault(namespace, []).extend(
                _associations_last(offer.declarations, [*lacking.classes, *own])
            )
            qualifiers.setdefault(namespace, []).extend(q.name for q in lacking.qualifiers)
        run = partial(self._tools.compile, found.interop, _registration(found, offer))
        steps.append(Step("add", f"provider module {MODULE} {offer.version}", found.interop, run))
        added = Added(
            offer.version,
            str(offer.library),
            offer.fingerprint(_texts(found, offer)),
            namespaces,
            classes,
            {namespace: names for namespace, names in qualifiers.items() if names},
            None if link is None else str(link),
        )
        run = partial(_write_record, found.record, added)
        return [Step("write", "record of what is added", str(found.record), run), *steps]

    def _enable_module(self) -> None:
        self._tools.tool("cimprovider", "-e", "-m", MODULE)

    def _remove_module(self, disabled: bool) -> None:
        if not disabled:
            # Counts as failed where the provider's process dies while it is asked to end, as with
            # cmpi-bindings; whether that matters shows when the module is removed.
            with suppress(RegistrationError):
                self._tools.tool("cimprovider", "-d", "-m", MODULE)
        self._tools.tool("cimprovider", "-r", "-m", MODULE)

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


def _ours(found: Found, declarations: Sequence[ClassDecl]) -> dict[str, list[str]]:
    """The server's namespace → names of our classes, of these declarations or registered."""
    ours = {}
    for declared in schema.namespaces(declarations):
        namespace = found.named(declared)
        known = _associations_last(declarations, schema.own_classes(declarations, declared))
        ours[namespace] = [*known, *sorted(found.served(namespace) - set(known))]
    return ours


def _associations_last(
    declarations: Sequence[ClassDecl], classes: Iterable[LocalClass]
) -> list[str]:
    """Names in an order in which OpenPegasus lets them be deleted, last first.

    It deletes no association class whose reference names a class that is gone.
    """
    known = {c.name: c for c in (*base.load()[0], *expand_all(declarations))}

    def is_association(local: LocalClass) -> bool:
        above = known.get(local.superclass or "")
        return bool(local.qualifiers.get("Association")) or bool(above and is_association(above))

    return [local.name for local in sorted(classes, key=is_association)]


def _without(there: schema.Declared | None, names: Collection[str]) -> schema.Declared:
    if there is None:
        return schema.Declared()
    return replace(there, classes=there.classes - set(names))


def _registration(found: Found, offer: Offer) -> str:
    return registration.render_pegasus(offer.declarations, found.interop, offer.door.location)


def _texts(found: Found, offer: Offer) -> Iterator[str]:
    """All that tells one registration from another."""
    yield _registration(found, offer)
    for namespace in schema.namespaces(offer.declarations):
        yield schema.own_mof(offer.declarations, namespace)
        yield schema.additions(offer.declarations, namespace, schema.Declared()).mof


def _current(found: Found, offer: Offer) -> bool:
    """Whether exactly the offer is registered."""
    if found.module is None or found.added is None:
        return False
    library = found.library(offer.door.file)
    return (
        found.added.fingerprint == offer.fingerprint(_texts(found, offer))
        and library is not None
        and library.samefile(offer.library)
        and all(
            len(found.present(namespace, names)) == len(names)
            for namespace, names in found.added.classes.items()
        )
        and {
            (row.classname, row.namespace)
            for row in registration.rows(offer.declarations, found.interop)
        }
        == {(name, ns) for ns in found.declared for name in found.served(ns)}
    )


def _refuse_others(found: Found, declarations: Sequence[ClassDecl]) -> None:
    """Raises RegistrationError where other modules serve our classes."""
    wanted = {
        (row.classname.lower(), row.namespace.lower())
        for row in registration.rows(declarations, found.interop)
    }
    others = {
        str(one["ProviderModuleName"])
        for one in found.capabilities
        for namespace in one["Namespaces"]
        if one["ProviderModuleName"] != MODULE
        and (str(one["ClassName"]).lower(), namespace.lower()) in wanted
    }
    if others:
        raise RegistrationError(
            f"libvirt-cim, or another provider, serves the same classes (provider modules "
            f"{', '.join(sorted(others))}), and OpenPegasus takes one provider for a class: "
            "uninstall it, or remove each module with `cimprovider -d -m MODULE` and "
            "`cimprovider -r -m MODULE`"
        )


def _link(found: Found, offer: Offer) -> Path | None:
    """Where to link the library; None: the server finds it as it is."""
    ours = found.added.link if found.added else None
    for directory in found.directories:
        path = directory / offer.door.file
        if str(path) == ours:
            return path
        if path.exists() and path.samefile(offer.library):
            return None
        if path.exists() or path.is_symlink():
            raise RegistrationError(f"{path} is another library of that name: remove it")
    for directory in found.directories:
        if directory.is_dir():
            return directory / offer.door.file
    raise RegistrationError(
        f"there is no directory for providers' libraries: create {found.directories[0]}"
    )


def _lacking(lacking: schema.Additions) -> str:
    parts = [
        _told([item.name for item in items], what)
        for items, what in ((lacking.classes, "classes"), (lacking.qualifiers, "qualifiers"))
        if items
    ]
    return f"{' and '.join(parts)} of the DMTF schema"


def _told(names: Collection[str], what: str) -> str:
    return ", ".join(sorted(names)) if len(names) <= NAMED else f"{len(names)} {what}"
