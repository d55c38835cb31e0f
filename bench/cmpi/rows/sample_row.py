# SPDX-License-Identifier: LGPL-2.1-or-later
"""A provider module for measuring: 1,000 instances of 25 properties that need no hypervisor.

`bench/cmpi/provider.c` returns the same values; what differs is how they get there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from libvirtcim.cim.declare import ClassDecl, Property, Registration
from libvirtcim.cim.objects import InstancePath
from libvirtcim.cim.provider import InstanceProvider, ProviderRequest
from libvirtcim.providers.common import Provided
from libvirtcim.virt.host import Hosts

COUNT = 1000
COLUMNS: dict[str, tuple[str, Callable[[int], Any]]] = {
    "InstanceID": ("string", lambda n: f"row:{n}"),
    **{f"Text{i}": ("string", partial(lambda i, n: f"text {i} of row {n}", i)) for i in range(7)},
    **{f"Small{i}": ("uint16", partial(lambda i, n: (n + i) % 65536, i)) for i in range(5)},
    **{f"Large{i}": ("uint64", partial(lambda i, n: n * 1000003 + i, i)) for i in range(4)},
    **{f"Flag{i}": ("boolean", partial(lambda i, n: (n + i) % 2 == 0, i)) for i in range(3)},
    "Time0": ("datetime", lambda n: f"20260101{n % 24:02}3000.000000+000"),
    "Time1": ("datetime", lambda n: f"000000{n % 24:02}123456.000000:000"),
    **{f"List{i}": ("string[]", partial(lambda i, n: [f"a{i}", f"b{n}"], i)) for i in range(2)},
    "Numbers": ("uint16[]", lambda n: [2, n % 16]),
}
"""Property → (type, value of row n): 8 string, 5 uint16, 4 uint64, 3 boolean, 2 datetime, 3 arrays."""

ROW = ClassDecl(
    "SampleRow",
    "",
    "A row of values.",
    prefixes=("KVM",),
    properties=tuple(
        Property(
            name, kind.removesuffix("[]"), "A value.", array=kind.endswith("[]"), key=name == "InstanceID"
        )
        for name, (kind, _compute) in COLUMNS.items()
    ),
    registration=Registration("libvirtcim", ("instance",)),
)  # fmt: skip

PLAIN = replace(ROW, base="PlainRow", registration=None)
"""The same class for the provider in C, where both serve in one CIM server."""


class Rows(InstanceProvider[int]):
    """The rows; an item is the row's number."""

    classes = ("KVM_SampleRow",)
    columns = MappingProxyType({name: compute for name, (_kind, compute) in COLUMNS.items()})

    def items(self, request: ProviderRequest) -> Iterable[int]:
        """All rows."""
        return range(COUNT)

    def find(self, request: ProviderRequest, path: InstancePath) -> int:
        """The row that the path names."""
        return int(path.text("InstanceID").removeprefix("row:"))


def provide(hosts: Hosts) -> Provided:
    """What every provider module has."""
    providers: tuple[InstanceProvider[Any], ...] = (Rows(),)
    return Provided((ROW, PLAIN), providers)
