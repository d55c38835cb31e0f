# SPDX-License-Identifier: LGPL-2.1-or-later
"""What must hold of everything that a server shows of any hypervisor."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pywbem

from libvirtcim import composition
from libvirtcim.cim.broker import Broker
from tests.providers.test_walks import ASSOCIATIONS, FROM_OTHERS, TEMPLATES, check_ways
from tests.system.conftest import Served

NAMESPACES = ("root/virt", "root/interop", "root/cimv2")


def shown_classes(client: pywbem.WBEMConnection, prefix: str) -> Iterator[tuple[str, str]]:
    """(namespace, class) of every class of a family."""
    for namespace in NAMESPACES:
        for name in client.EnumerateClassNames(namespace=namespace, DeepInheritance=True):
            if name.startswith(f"{prefix}_"):
                yield namespace, name


def unreadable(served: Served, prefix: str) -> tuple[dict[str, int], list[str]]:
    """Number of root/virt's instances by class; what GetInstance does not show as enumeration does.

    Templates have a new id each time and are left out.
    """
    client = served.client()
    counts: dict[str, int] = {}
    wrong = []
    for namespace, name in shown_classes(client, prefix):
        found = client.EnumerateInstances(name, namespace=namespace, DeepInheritance=True)
        if namespace == "root/virt":
            counts[name.partition("_")[2]] = len(found)
        for instance in found if not name.endswith(f"_{TEMPLATES}") else ():
            if not _reads_back(client, instance):
                wrong.append(str(instance.path))
    return counts, wrong


def _reads_back(client: pywbem.WBEMConnection, instance: pywbem.CIMInstance) -> bool:
    try:
        return bool(client.GetInstance(instance.path).properties == instance.properties)
    except pywbem.CIMError:
        return False


@cache
def _broker(served: Served) -> Broker:
    return composition.broker(served.hosts, ())


def walked(served: Served, prefix: str) -> dict[str, int]:
    """Walks every association in every way, which must agree; number of instances by base name."""
    broker = _broker(served)
    return {
        base: check_ways(broker, prefix, base)
        for base, association in ASSOCIATIONS.items()
        if prefix in association.decl.prefixes and base not in FROM_OTHERS
    }
