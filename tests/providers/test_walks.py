# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every association, walked in every way from every instance of a host that has everything: all agree.

The ways: EnumerateInstances of the association class filtered by either end, References, ReferenceNames,
Associators, AssociatorNames; each with roles and result classes filtered by the broker and by the client.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache

import pytest

from libvirtcim import composition
from libvirtcim.cim.associations import Association
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import Instance, InstancePath
from tests.providers.full_host import full_host
from tests.providers.wiring import ALL, CONTEXT, NS

INTEROP = "root/interop"
ASSOCIATIONS = {a.decl.base: a for a in composition.associations()}
FROM_OTHERS = frozenset({"ConcreteComponent"})
"""Associations whose far ends are other providers' instances."""
TEMPLATES = "SettingsDefineCapabilities"
"""Templates are made anew each time and are nobody's source: compared without their ids."""
ONE_ROLE = frozenset({"ElementSettingData"})
"""Each end is the other: clients ask in one role only."""


def families() -> list[tuple[str, str]]:
    return [
        (prefix, base)
        for base, association in ASSOCIATIONS.items()
        for prefix in ALL
        if prefix in association.decl.prefixes
    ]


@cache
def sources(broker: Broker, prefix: str) -> tuple[InstancePath, ...]:
    """Every instance of every class that a provider serves, as the first call finds it."""
    found = []
    for ns in (NS, INTEROP):
        for name in broker._providers:
            cls = broker.schema.find(ns, name)
            if cls is not None and cls.name.startswith(f"{prefix}_"):
                found += broker.enumerate_instance_names(CONTEXT, ns, cls.name)
    return tuple(dict.fromkeys(found))


def ends(association: Association, reference: Instance) -> dict[str, InstancePath]:
    """Role → path of an association instance."""
    handler = association.handlers[0]
    return {role: reference[role] for role in (handler.source_role, handler.target_role)}


def other_end(association: Association, reference: Instance, source: InstancePath) -> InstancePath:
    first, second = ends(association, reference).values()
    return second if first == source else first


def home(association: Association) -> str:
    return NS if NS in association.decl.namespaces else INTEROP


@pytest.mark.parametrize(("prefix", "base"), families())
def test_all_ways_agree(prefix: str, base: str) -> None:
    assert check_ways(full_host(prefix), prefix, base) or base in FROM_OTHERS


@pytest.mark.parametrize(("prefix", "base"), families())
def test_what_is_listed_can_be_read_in_every_namespace(prefix: str, base: str) -> None:
    broker = full_host(prefix)
    for namespace in ASSOCIATIONS[base].decl.namespaces:
        for row in broker.enumerate_instances(CONTEXT, namespace, f"{prefix}_{base}"):
            assert row.path is not None
            if base != TEMPLATES:
                assert broker.get_instance(CONTEXT, row.path).values == row.values


def check_ways(broker: Broker, prefix: str, base: str) -> int:
    """Asserts that all ways of walking one association agree; the number of its instances."""
    association = ASSOCIATIONS[base]
    name = f"{prefix}_{base}"
    if base in FROM_OTHERS:
        assert not association.handlers
        assert not list(broker.enumerate_instances(CONTEXT, NS, name))
        return 0
    everything = list(broker.enumerate_instances(CONTEXT, home(association), name))
    met = Counter[InstancePath]()
    for source in sources(broker, prefix):
        if broker.schema.find(source.namespace or "", name) is None:
            continue
        references = list(broker.references(CONTEXT, source, name))
        found = list(broker.associators(CONTEXT, source, name))
        paths = [r.path for r in references]
        if base == TEMPLATES:
            assert len(references) == len(found)
            met.update(source for _ in found)
            continue
        assert list(broker.reference_names(CONTEXT, source, name)) == paths
        assert list(broker.associator_names(CONTEXT, source, name)) == [f.path for f in found]
        # each reference leads to what Associators finds
        assert [other_end(association, r, source) for r in references] == [f.path for f in found]
        for reference in references:
            assert source in ends(association, reference).values()
            met[_same_place(reference, association)] += 1
        assert len(set(paths)) == len(paths)
        _check_filters(broker, association, source, name, references, found)
    if base != TEMPLATES:
        # what enumeration lists is what is met from its ends, and nothing else
        listed = {_same_place(r, association) for r in everything}
        assert len(listed) == len(everything)
        assert set(met) == listed
    return len(everything)


def _same_place(reference: Instance, association: Association) -> InstancePath:
    """The reference's path without the namespace it was asked for in."""
    assert reference.path is not None
    return reference.path.at(None)


def _check_filters(
    broker: Broker,
    association: Association,
    source: InstancePath,
    name: str,
    references: list[Instance],
    found: list[Instance],
) -> None:
    """What the broker leaves out for a filter is what a client would leave out itself."""
    handler = association.handlers[0]
    roles = (handler.source_role, handler.target_role)
    # where older clients may ask with the roles the other way round, both let everything through
    both_ways = any(h.also_roles for h in association.handlers)
    if association.decl.base not in ONE_ROLE and not both_ways:
        for role in roles:
            kept = [r.path for r in references if r[role] == source]
            assert list(broker.reference_names(CONTEXT, source, name, role)) == kept
            far = [other_end(association, r, source) for r in references if r[role] == source]
            assert list(broker.associator_names(CONTEXT, source, name, None, role)) == far
    for classname in {f.cls.name for f in found}:
        wanted = [f.path for f in found if f.cls.name == classname]
        assert list(broker.associator_names(CONTEXT, source, name, classname)) == wanted
    assert list(broker.associator_names(CONTEXT, source, name, "CIM_ManagedElement")) == [
        f.path for f in found
    ]


def walked() -> Iterator[tuple[str, str, str, str]]:
    """(association class, source class, role, result role) of every direction that finds something."""
    for prefix, base in families():
        broker, association = full_host(prefix), ASSOCIATIONS[base]
        name = f"{prefix}_{base}"
        for source in sources(broker, prefix):
            if broker.schema.find(source.namespace or "", name) is None:
                continue
            for handler in association.handlers:
                roles = (handler.source_role, handler.target_role)
                if any(broker.associator_names(CONTEXT, source, name, None, *roles)):
                    yield name, source.classname, *roles
