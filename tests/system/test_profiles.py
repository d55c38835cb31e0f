# SPDX-License-Identifier: LGPL-2.1-or-later
"""What pywbem's view of a server finds by itself: registered profiles, and what conforms to them."""

from __future__ import annotations

import pytest
import pywbem

from tests.system.conftest import Served

DMTF = 2


@pytest.fixture(scope="module")
def server(sample: Served) -> pywbem.WBEMServer:
    """The server as pywbem explores it."""
    return pywbem.WBEMServer(sample.client())


def test_profiles(server: pywbem.WBEMServer) -> None:
    assert server.interop_ns == "root/interop"
    found = {(p.classname, p["RegisteredName"], p["RegisteredVersion"]) for p in server.profiles}
    for prefix in ("KVM", "Xen"):
        cls = f"{prefix}_RegisteredProfile"
        assert (cls, "System Virtualization", "1.0.0") in found
        assert (cls, "Virtual System Profile", "1.0.0a") in found
    assert {profile["RegisteredOrganization"] for profile in server.profiles} == {DMTF}


@pytest.mark.parametrize(
    ("profile", "central"),
    [
        ("System Virtualization", {"KVM_HostSystem"}),
        ("Virtual System Profile", {"KVM_ComputerSystem"}),
        ("Memory Resource Virtualization", {"KVM_MemoryPool"}),
    ],
)
def test_central_instances(
    server: pywbem.WBEMServer, sample: Served, profile: str, central: set[str]
) -> None:
    (path,) = (
        p.path
        for p in server.profiles
        if p["RegisteredName"] == profile and p.classname == "KVM_RegisteredProfile"
    )
    found = server.get_central_instances(path, reference_direction="dmtf")
    assert {instance.classname for instance in found} == central
    everything = sample.client().EnumerateInstanceNames(*central)
    assert sorted(map(_keys, found)) == sorted(map(_keys, everything))


def _keys(path: pywbem.CIMInstanceName) -> list[tuple[str, str]]:
    return sorted(path.keybindings.items())
