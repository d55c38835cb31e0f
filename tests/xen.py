# SPDX-License-Identifier: LGPL-2.1-or-later
"""A running Xen that the environment names, for tests that are run on request (see CONTRIBUTING.md)."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

import libvirt
import pytest

from tests.hypervisor import wait_until

SETTINGS = ("LIBVIRTCIM_XEN_URI", "LIBVIRTCIM_XEN_KERNEL", "LIBVIRTCIM_XEN_INITRD")
"""libvirt's URI of the Xen; files on it that boot a paravirtual guest."""

MARKS = [
    pytest.mark.xen,
    pytest.mark.xdist_group("xen"),
    pytest.mark.skipif(
        not all(os.environ.get(name) for name in SETTINGS),
        reason=f"no Xen to test on: set {', '.join(SETTINGS)}",
    ),
]

POOL, BRIDGE = "libvirtcim-xen", "lvcxen0"
_POOL = f"<pool type='dir'><name>{POOL}</name><target><path>/var/lib/libvirt/{POOL}</path></target></pool>"
_NETWORK = (
    f"<network><name>{POOL}</name><forward mode='open'/><bridge name='{BRIDGE}' stp='off'/>"
    "<dns enable='no'/><ip address='192.0.2.1' netmask='255.255.255.0'/></network>"
)
VOLUME_MIB = 8
_VOLUME = (
    f"<volume><name>{{}}</name><capacity unit='MiB'>{VOLUME_MIB}</capacity>"
    "<allocation>0</allocation></volume>"
)
ANSWER = 90.0
"""Seconds that a guest may take to do what its kernel is asked for; Xen may be emulated."""
_LOOK, _IDLE = 3.0, 0.1e9
"""Seconds in which a guest is looked at; nanoseconds of processor time that an idle one takes per second."""


def settings() -> tuple[str, str, str]:
    """URI, kernel and initial RAM disk."""
    uri, kernel, initrd = (os.environ[name] for name in SETTINGS)
    return uri, kernel, initrd


def definition(name: str, memory_kib: int, uuid: str = "") -> str:
    """A paravirtual guest without disks and network interfaces; `uuid` empty: a new one."""
    _uri, kernel, initrd = settings()
    return (
        f"<domain type='xen'><name>{name}</name>{f'<uuid>{uuid}</uuid>' if uuid else ''}"
        f"<memory unit='KiB'>{memory_kib}</memory><vcpu>1</vcpu>"
        f"<os><type>linux</type><kernel>{kernel}</kernel><initrd>{initrd}</initrd>"
        "<cmdline>console=hvc0</cmdline></os><on_reboot>restart</on_reboot>"
        "<devices><console type='pty'/></devices></domain>"
    )


def wait_until_up(domain: Any) -> None:
    """Until the guest has nothing to do any more, so that its kernel answers."""

    def idles() -> bool:
        before = domain.info()[4]
        time.sleep(_LOOK)
        return bool(domain.info()[4] - before < _LOOK * _IDLE)

    wait_until(idles, "a guest that has booted", ANSWER)


def forget(raw: Any, name: str) -> None:
    """Ends a guest and removes its definition and saved state, as far as there are any."""
    for end, *flags in (
        ("destroy",),
        ("undefineFlags", libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE),
    ):
        with contextlib.suppress(libvirt.libvirtError):
            getattr(raw.lookupByName(name), end)(*flags)


def _forget_pool(raw: Any) -> None:
    """Removes the pool with its volumes and directory, as far as there is one."""
    with contextlib.suppress(libvirt.libvirtError):
        for volume in raw.storagePoolLookupByName(POOL).listAllVolumes():
            volume.delete()
    for end in ("destroy", "delete", "undefine"):
        with contextlib.suppress(libvirt.libvirtError):
            getattr(raw.storagePoolLookupByName(POOL), end)()


@contextlib.contextmanager
def volumes(raw: Any, *names: str) -> Iterator[list[str]]:
    """Paths of new volumes, in a storage pool that lives as long as they."""
    _forget_pool(raw)
    pool = raw.storagePoolDefineXML(_POOL)
    try:
        pool.create(libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD)
        for volume in pool.listAllVolumes():
            volume.delete()
        yield [pool.createXML(_VOLUME.format(name)).path() for name in names]
    finally:
        _forget_pool(raw)


def _forget_network(raw: Any) -> None:
    with contextlib.suppress(libvirt.libvirtError):
        raw.networkLookupByName(POOL).destroy()


@contextlib.contextmanager
def bridge(raw: Any) -> Iterator[str]:
    """Name of a bridge without any connection, until the end."""
    _forget_network(raw)
    raw.networkCreateXML(_NETWORK)
    try:
        yield BRIDGE
    finally:
        _forget_network(raw)
