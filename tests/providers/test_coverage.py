# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tables of this directory leave nothing out: no column, no association, no direction of one.

A test module joins by having a `TABLE`, or several `TABLES` (see `wiring.Table`).
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import tests.providers
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.provider import Layout
from libvirtcim.cim.schema import ClassInfo
from tests.providers.test_walks import walked
from tests.providers.wiring import Table, broker_of, exercised


def modules() -> list[ModuleType]:
    found = pkgutil.iter_modules(tests.providers.__path__, "tests.providers.")
    return [importlib.import_module(info.name) for info in found if ".test_" in info.name]


def tables_of(module: ModuleType) -> list[Table]:
    """A module's tables: `TABLES`, or the one `TABLE`."""
    several: tuple[Table, ...] = getattr(module, "TABLES", ())
    return [*several] or ([module.TABLE] if hasattr(module, "TABLE") else [])


def class_named(broker: Broker, name: str) -> ClassInfo:
    """The class of that name, in whatever namespace it is."""
    found = (broker.schema.find(ns, name) for ns in broker.schema.namespaces)
    return next(cls for cls in found if cls is not None)


def columns() -> set[tuple[str, str]]:
    """(class, property) of everything that a provider computes."""
    broker = broker_of({})
    found = set()
    for provider in broker._providers.values():
        for name in provider.classes:
            cls = class_named(broker, name)
            layout = Layout(cls, provider.columns)
            found |= {(cls.name, column) for column, _compute in layout._columns}
    return found


def test_every_column_of_every_class_has_a_value_in_some_table() -> None:
    tables: list[Table] = [table for m in modules() for table in tables_of(m)]
    shown = {pair for table in tables for pair in exercised(table)}
    assert columns() - shown == set()
    # the measure itself: a table with one case less is noticed
    assert ("KVM_VirtualSystemSettingData", "Arch") in columns()
    assert ("LXC_VirtualSystemSettingData", "Arch") not in columns() | shown


def test_every_column_is_of_a_property_that_some_class_declares() -> None:
    broker = broker_of({})
    for provider in {id(p): p for p in broker._providers.values()}.values():
        declared = {
            prop.name for name in provider.classes for prop in class_named(broker, name).properties
        }
        assert set(provider.columns) <= declared, provider.classes


def exists(broker: Broker, name: str, base: str) -> bool:
    """Whether the family of an association class has a class."""
    wanted = f"{name.partition('_')[0]}_{base}"
    return any(broker.schema.find(ns, wanted) is not None for ns in broker.schema.namespaces)


def test_every_direction_of_every_association_is_walked() -> None:
    """The walks of `test_walks` leave out no source class of no direction."""
    broker = broker_of({})
    directions = {
        (cls.name, source.name, handler.source_role, handler.target_role)
        for name, association in broker._associations.items()
        for ns in broker.schema.namespaces
        if (cls := broker.schema.find(ns, name)) is not None
        for handler in association.handlers
        for base in handler.source
        if (source := broker.schema.find(ns, f"{name.partition('_')[0]}_{base}")) is not None
        if any(exists(broker, name, target) for target in handler.target)
    }
    assert directions <= set(walked())
    # the measure itself: what isn't walked is noticed
    assert (
        "KVM_SystemDevice",
        "KVM_ComputerSystem",
        "GroupComponent",
        "PartComponent",
    ) in directions
