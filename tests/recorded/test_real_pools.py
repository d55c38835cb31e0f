# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recorded requests to delete and refresh pools and volumes, made again on a real libvirt: the same
answer and the same end, but for what has a reason."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import libvirt
import pytest

from libvirtcim import composition
from libvirtcim.virt.host import Hosts
from libvirtcim.virt.settings import HostSettings
from tests import hypervisor
from tests.recorded import methods
from tests.recorded.real import Real
from tests.recorded.test_pool_requests import SECTION
from tests.recorded.test_replay import VARIABLE
from tests.virt.conftest import box

__all__ = ["box"]

pytestmark = [
    pytest.mark.skipif(
        VARIABLE not in os.environ, reason=f"{VARIABLE} names no directory with recordings"
    ),
    pytest.mark.hypervisor,
    pytest.mark.xdist_group("hypervisor"),
]
MAKES = ("CreateChildResourcePool", "CreateResourceInPool")
FOLDER = "/var/lib/libvirt/pools/dir1"
POOL = f"<pool type='dir'><name>p1</name><target><path>{FOLDER}</path></target></pool>"
NETWORK = "<network><name>n1</name><bridge name='virbr7'/></network>"
HONEST = {
    r"refresh-unknown: refused: 1 .*": "what isn't done is no success",
    r"method-AddResourcesToPool: 1 .*": "no class has such a method",
}
REASONS = {
    "kvm": {
        **HONEST,
        r"delete-(dir|net)-inactive: accepted, not .*": "pools and networks that don't run are deleted too",
        r"delete-dir-transient: accepted, not .*": "deleted, and no failure",
    },
    "lxc": {
        **HONEST,
        r"volumedelete-.*: 1 .*there is no class 'LXC_StorageVolume.*": "unknown classes are refused when "
        "they are read",
        r"volumedelete-diskrasd: accepted, not .*": "the volume was not there then",
    },
}
"""Family → pattern of a row and its difference → why it is one."""


@pytest.fixture(params=["kvm", "lxc"])
def host(
    request: pytest.FixtureRequest, box: hypervisor.PrivateLibvirtd
) -> Iterator[tuple[str, Real]]:
    """A family, and a broker over its hypervisor; the network `default` runs."""
    uri = {"kvm": box.qemu_uri, "lxc": box.lxc_uri}[request.param]
    box.run("mkdir", "-p", FOLDER)
    with ExitStack() as undo:
        raw = libvirt.open(uri)
        undo.callback(raw.close)
        hosts = Hosts({request.param.upper(): uri}, settings=HostSettings(side_file_dir=None))
        undo.callback(hosts.close)
        default = raw.networkDefineXML(
            "<network><name>default</name><bridge name='virbr0'/></network>"
        )
        undo.callback(default.undefine)
        default.create()
        undo.callback(default.destroy)
        undo.callback(clear, raw)
        yield request.param, Real(raw, composition.broker(hosts))


def clear(raw: Any) -> None:
    """Has neither pool p1 nor network n1."""
    for look_up, name in ((raw.storagePoolLookupByName, "p1"), (raw.networkLookupByName, "n1")):
        with suppress(libvirt.libvirtError):
            found = look_up(name)
            persistent = found.isPersistent()
            if found.isActive():
                found.destroy()
            if persistent:
                found.undefine()


def prepare(raw: Any, row: dict[str, Any]) -> str:
    """What the call found there; the path of the volume that it is about, if any."""
    clear(raw)
    call = row["id"]
    network = raw.networkDefineXML(NETWORK)
    if call != "delete-net-inactive":
        network.create()
    if call == "delete-again":
        return ""
    if call == "delete-dir-transient":
        raw.storagePoolCreateXML(POOL)
        return ""
    pool = raw.storagePoolDefineXML(POOL)
    if call == "delete-dir-inactive":
        return ""
    pool.create()
    named = re.search(rf"{FOLDER}/([\w.]+)", str(row["args"]))
    if named is None or call == "volumedelete-again":
        return ""
    with suppress(libvirt.libvirtError):
        pool.storageVolLookupByName(named[1]).delete()
    volume = f"<volume><name>{named[1]}</name><capacity unit='KiB'>64</capacity></volume>"
    return str(pool.createXML(volume).path())


def there(raw: Any, row: dict[str, Any], volume: str) -> bool:
    """Whether what a call deletes is there."""
    try:
        if row["op"] == "DeleteResourceInPool":
            raw.storageVolLookupByPath(volume)
        elif "NetworkPool" in str(row["args"]):
            raw.networkLookupByName("n1")
        else:
            raw.storagePoolLookupByName("p1")
    except libvirt.libvirtError:
        return False
    return True


def test_recorded_ends_and_the_reasons_of_all_differences(host: tuple[str, Real]) -> None:
    family, real = host
    found = []
    for row in methods.rows(Path(os.environ[VARIABLE]), family, (SECTION,)):
        if row["op"] in MAKES:
            continue
        volume = prepare(real.raw, row)
        failed = methods.call(row, real.broker)
        found += [
            (row["id"], f"{row['id']}: {one}")
            for one in methods.answers_unlike(row.get("error"), failed)
        ]
        if row["op"].startswith("Delete") and failed is None and there(real.raw, row, volume):
            found.append((row["id"], f"{row['id']}: still there"))
    methods.check_reasons(found, REASONS[family])
