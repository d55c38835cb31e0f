# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a registration with OpenPegasus consists of, and what stands in its way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from libvirtcim.cim import base, registration
from libvirtcim.cim.declare import ClassDecl, expand_all
from libvirtcim.cim.schema import LocalClass
from libvirtcim.register import schema
from libvirtcim.register.cimom import Offer
from libvirtcim.register.pegasus_found import MODULE, Added, Found
from libvirtcim.register.plan import RegistrationError


@dataclass(frozen=True, slots=True)
class Filling:
    """What is added to one namespace of the server."""

    namespace: str
    new: bool
    """Whether the namespace is not there yet."""
    lacking: schema.Additions
    own: Sequence[LocalClass]
    mof: str
    """Our classes."""


def fillings(found: Found, leaving: Added, offer: Offer) -> Iterator[Filling]:
    """What is added to each namespace when what is `leaving` has left."""
    for declared in schema.namespaces(offer.declarations):
        namespace = found.named(declared)
        there = found.declared[namespace]
        staying = schema.Declared()
        if there is not None:
            gone = leaving.classes.get(namespace, ())
            staying = replace(there, classes=there.classes - set(gone))
        yield Filling(
            namespace,
            there is None,
            schema.additions(offer.declarations, declared, staying),
            schema.own_classes(offer.declarations, declared),
            schema.own_mof(offer.declarations, declared),
        )


def recorded(
    found: Found, staying: Added, filled: Sequence[Filling], offer: Offer, link: Path | None
) -> Added:
    """What is to be recorded: what is added now, and what of an earlier registration stays."""
    classes = {namespace: list(names) for namespace, names in staying.classes.items()}
    qualifiers = {namespace: list(names) for namespace, names in staying.qualifiers.items()}
    for one in filled:
        names = associations_last(offer.declarations, [*one.lacking.classes, *one.own])
        classes.setdefault(one.namespace, []).extend(names)
        if one.lacking.qualifiers:
            added = [qualifier.name for qualifier in one.lacking.qualifiers]
            qualifiers.setdefault(one.namespace, []).extend(added)
    return Added(
        offer.version,
        str(offer.library),
        offer.fingerprint(_texts(found, offer)),
        [*staying.namespaces, *(one.namespace for one in filled if one.new)],
        classes,
        qualifiers,
        None if link is None else str(link),
    )


def ours(found: Found, declarations: Sequence[ClassDecl]) -> dict[str, list[str]]:
    """The server's namespace → names of our classes, of these declarations or registered."""
    names = {}
    for declared in schema.namespaces(declarations):
        namespace = found.named(declared)
        known = associations_last(declarations, schema.own_classes(declarations, declared))
        names[namespace] = [*known, *sorted(found.served(namespace) - set(known))]
    return names


def associations_last(
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


def module_mof(found: Found, offer: Offer) -> str:
    """The registration itself, to compile into the interop namespace."""
    return registration.render_pegasus(offer.declarations, found.interop, offer.door.location)


def _texts(found: Found, offer: Offer) -> Iterator[str]:
    """All that tells one registration from another."""
    yield module_mof(found, offer)
    for namespace in schema.namespaces(offer.declarations):
        yield schema.own_mof(offer.declarations, namespace)
        yield schema.additions(offer.declarations, namespace, schema.Declared()).mof


def is_current(found: Found, offer: Offer) -> bool:
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


def refuse_others(found: Found, declarations: Sequence[ClassDecl]) -> None:
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
