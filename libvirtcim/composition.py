# SPDX-License-Identifier: LGPL-2.1-or-later
"""The composition root: finds the provider modules and wires them into a broker for a front end."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

import libvirtcim.providers
from libvirtcim.cim import base
from libvirtcim.cim.associations import Association
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.declare import CIMV2, INTEROP, INTEROP_NAMES, VIRT, ClassDecl, expand_all
from libvirtcim.cim.provider import InstanceProvider
from libvirtcim.cim.schema import Schema
from libvirtcim.providers.common import Provided
from libvirtcim.virt.families import KNOWN, Family
from libvirtcim.virt.host import Hosts

NAMESPACES = (VIRT, INTEROP, CIMV2)


@cache
def _modules() -> tuple[ModuleType, ...]:
    found = pkgutil.walk_packages(libvirtcim.providers.__path__, "libvirtcim.providers.")
    modules = (importlib.import_module(info.name) for info in sorted(found, key=lambda i: i.name))
    return tuple(module for module in modules if hasattr(module, "provide"))


def provided(hosts: Hosts) -> list[Provided]:
    """What every provider module brings, in the order of module names.

    Families beyond the usual ones are among it where the hosts have them.
    """
    parts = [module.provide(hosts) for module in _modules()]
    for family in hosts.more_families:
        parts = [_with_family(part, family) for part in parts]
    return parts


def _with_family(part: Provided, family: Family) -> Provided:
    return replace(
        part,
        declarations=[d.with_family(family.prefix, family.shape) for d in part.declarations],
        associations=[
            replace(a, decl=a.decl.with_family(family.prefix, family.shape))
            for a in part.associations
        ],
    )


def declarations(more: Iterable[str] = ()) -> list[ClassDecl]:
    """Every class declaration of every provider module; needs no hypervisor.

    `more`: prefixes of families besides the usual ones.
    """
    parts = provided(_nowhere(more))
    return [decl for part in parts for decl in part.declarations]


def associations() -> list[Association]:
    """Every association with its handlers; needs no hypervisor."""
    return [association for part in provided(Hosts({})) for association in part.associations]


def _nowhere(families: Iterable[str]) -> Hosts:
    """Hosts of the families that are never asked anything."""
    return Hosts({prefix: KNOWN[prefix].uri for prefix in families})


def schema(declared: Iterable[ClassDecl], aliases: Mapping[str, str] | None = None) -> Schema:
    """The class table: DMTF's superclasses and the declared classes."""
    classes, qualifier_types = base.load()
    return Schema([*classes, *expand_all(declared)], qualifier_types, NAMESPACES, aliases or {})


def broker(
    hosts: Hosts, own: Iterable[InstanceProvider[Any]] = (), interop: str | None = None
) -> Broker:
    """A broker over the hosts; `own` are providers of the front end itself.

    `interop`: what the CIM server around it calls the interop namespace, which is then known by all
    names that CIM servers have for it; None: there is none around it.
    """
    parts = provided(hosts)
    return Broker(
        schema(
            (decl for part in parts for decl in part.declarations),
            _interop_aliases(interop) if interop else None,
        ),
        [*_providers(parts), *own],
        [association for part in parts for association in part.associations],
        [source for part in parts for source in part.indications],
        {INTEROP: interop} if interop else {},
    )


def _interop_aliases(interop: str) -> dict[str, str]:
    return {name: INTEROP for name in (*INTEROP_NAMES, interop) if name != INTEROP}


def _providers(parts: Iterable[Provided]) -> Iterator[InstanceProvider[Any]]:
    for part in parts:
        yield from part.providers
