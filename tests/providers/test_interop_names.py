# SPDX-License-Identifier: LGPL-2.1-or-later
"""Inside a CIM server that has another name for the interop namespace, everything has that name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from libvirtcim import composition, demo
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.declare import INTEROP, PG_INTEROP, VIRT
from libvirtcim.cim.errors import InvalidNamespace
from libvirtcim.cim.objects import Instance, InstancePath, RequestContext
from libvirtcim.virt.host import Hosts

CONTEXT = RequestContext()
PROFILE, CONFORMS = "KVM_RegisteredProfile", "KVM_ElementConformsToProfile"


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    made = Hosts({"KVM": demo.sample_uri()})
    yield made
    made.close()


@pytest.fixture(scope="module")
def broker(hosts: Hosts) -> Broker:
    return composition.broker(hosts, interop=PG_INTEROP)


@pytest.fixture(scope="module")
def plain(hosts: Hosts) -> Broker:
    return composition.broker(hosts)


def renamed(path: InstancePath, name: str) -> InstancePath:
    """The path, with the interop namespace called `name` wherever it is named."""
    keys = tuple((n, renamed(v, name) if isinstance(v, InstancePath) else v) for n, v in path.keys)
    return InstancePath(path.classname, keys, name if path.namespace == INTEROP else path.namespace)


def paths(rows: Iterator[Instance] | Iterator[InstancePath]) -> list[InstancePath]:
    found = [row if isinstance(row, InstancePath) else row.path for row in rows]
    return [path for path in found if path is not None]


@pytest.mark.parametrize("name", [PG_INTEROP, "interop"])
@pytest.mark.parametrize("classname", [PROFILE, CONFORMS, "CIM_ReferencedProfile"])
def test_answers_carry_the_name_that_was_asked_for(
    broker: Broker, plain: Broker, name: str, classname: str
) -> None:
    wanted = [
        renamed(path, name)
        for path in paths(plain.enumerate_instances(CONTEXT, INTEROP, classname))
    ]
    assert wanted
    found = paths(broker.enumerate_instances(CONTEXT, name.upper(), classname))
    assert found == wanted
    for path in found:
        assert broker.get_instance(CONTEXT, path).path == path


def test_paths_from_elsewhere_carry_the_servers_name(broker: Broker, plain: Broker) -> None:
    wanted = paths(plain.enumerate_instances(CONTEXT, VIRT, CONFORMS))
    found = paths(broker.enumerate_instances(CONTEXT, VIRT, CONFORMS))
    assert found == [renamed(path, PG_INTEROP) for path in wanted]
    assert found != wanted
    assert all(broker.get_instance(CONTEXT, path).path == path for path in found)
    host = next(plain.enumerate_instance_names(CONTEXT, VIRT, "KVM_HostSystem"))
    profiles = paths(broker.associator_names(CONTEXT, host, CONFORMS))
    assert profiles == [
        renamed(path, PG_INTEROP) for path in paths(plain.associator_names(CONTEXT, host, CONFORMS))
    ]
    assert {path.namespace for path in profiles} == {PG_INTEROP}


def test_elements_of_a_profile_are_the_same_by_every_name(broker: Broker, plain: Broker) -> None:
    for profile in plain.enumerate_instance_names(CONTEXT, INTEROP, PROFILE):
        found = paths(broker.associators(CONTEXT, renamed(profile, PG_INTEROP)))
        wanted = paths(plain.associators(CONTEXT, profile))
        assert found == [renamed(path, PG_INTEROP) for path in wanted]


def test_a_server_of_its_own_has_one_name(plain: Broker) -> None:
    with pytest.raises(InvalidNamespace, match="root/PG_InterOp"):
        plain.enumerate_instances(CONTEXT, PG_INTEROP, PROFILE)
