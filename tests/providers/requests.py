# SPDX-License-Identifier: LGPL-2.1-or-later
"""Asks a family's services for guests, and compares what libvirt then has with what was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

from libvirtcim import composition
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import Given, GivenInstance, Instance
from libvirtcim.virt.host import Host, Hosts
from libvirtcim.virt.settings import HostSettings
from tests.providers.request_rows import IMAGE, VSSD, WITHOUT_DEVICE, Row
from tests.providers.wiring import CONTEXT, LXC, NAME, NS, path, system_path, vssd_path


@dataclass(frozen=True)
class Requests:
    """Asks a service for guests, and looks at what libvirt has then.

    `files`: what `IMAGE` and `BLOCK` stand for.
    """

    broker: Broker
    host: Host
    files: Mapping[str, str]

    @property
    def prefix(self) -> str:
        """Prefix of the family that is asked."""
        return self.host.family.prefix

    def _filled(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self._filled(one) for name, one in value.items()}
        if isinstance(value, str):
            for word, file in self.files.items():
                value = value.replace(word, file)
        return value

    def instance(self, base: str, values: Mapping[str, Any]) -> GivenInstance:
        """A setting as a client sends it."""
        kind = base if base.startswith(VSSD) else f"{base}ResourceAllocation"
        given = {n: Given(v) for n, v in self._filled(values).items() if v is not None}
        return GivenInstance(f"{self.prefix}_{kind}SettingData", given)

    def call(
        self, method: str, service: str = "VirtualSystemManagementService", **arguments: Any
    ) -> None:
        """Calls a method of a service."""
        given = {name: Given(value) for name, value in arguments.items()}
        target = path(self.prefix, service, Name=service)
        value, _outputs = self.broker.invoke_method(CONTEXT, target, method, given)
        assert value == 0

    def define(
        self, settings: Mapping[str, Any], *resources: tuple[str, Mapping[str, Any]]
    ) -> None:
        """Defines a guest with these resources, memory and a processor."""
        bases = {base for base, _values in resources}
        numbers = {
            "Mem": {"VirtualQuantity": 65536, "AllocationUnits": "KiloBytes"},
            "Proc": {} if self.prefix == LXC else {"VirtualQuantity": 1},
        }
        wanted = [(base, values) for base, values in numbers.items() if base not in bases]
        self.call(
            "DefineSystem",
            SystemSettings=self.instance(VSSD, {"VirtualSystemIdentifier": NAME, **settings}),
            ResourceSettings=[self.instance(b, v) for b, v in (*wanted, *resources)],
        )

    def define_with(self, row: Row) -> None:
        """Defines a guest as the row asks for."""
        if row.base == VSSD:
            self.define(row.asked)
        else:
            self.define({}, (row.base, row.asked))

    def destroy(self) -> None:
        """Destroys the guest."""
        self.call("DestroySystem", AffectedSystem=system_path(self.prefix))

    def modify(self, row: Row, devid: str) -> None:
        """Changes a guest or its resource to what the row asks for."""
        if row.base == VSSD:
            asked = {"VirtualSystemIdentifier": NAME, **row.asked}
            self.call("ModifySystemSettings", SystemSettings=self.instance(VSSD, asked))
            return
        changed = self.instance(row.base, {"InstanceID": f"{NAME}/{devid}", **row.asked})
        self.call("ModifyResourceSettings", ResourceSettings=[changed])

    def shown(self, row: Row) -> Instance:
        """What is shown of what the row asks for."""
        if row.base == VSSD:
            return self.broker.get_instance(CONTEXT, vssd_path(self.prefix))
        base = f"{row.base}ResourceAllocationSettingData"
        return self.broker.get_instance(
            CONTEXT, path(self.prefix, base, NS, InstanceID=f"{NAME}/{row.devid}")
        )

    def stored(self) -> str:
        """The guest's definition with its secrets."""
        return self.host.xml(NAME, inactive=True)

    def check(self, row: Row) -> None:
        """What the row asks for is in libvirt's definition, and shown."""
        found = self.shown(row)
        wanted = self._filled(row.answer)
        assert {name: found[name] for name in wanted} == wanted
        domain = etree.fromstring(self.stored())
        places = [domain] if row.base in WITHOUT_DEVICE else domain.findall("devices")
        for element in etree.fromstring(f"<all>{self._filled(row.xml)}</all>"):
            assert any(holds(one, element) for place in places for one in place), self.stored()


@contextmanager
def served(prefix: str, uri: str, files: Mapping[str, str]) -> Iterator[Requests]:
    """Requests to a family that a hypervisor serves."""
    hosts = Hosts({prefix: uri}, settings=HostSettings(side_file_dir=None))
    try:
        yield Requests(composition.broker(hosts), hosts.host(prefix), files)
    finally:
        hosts.close()


@contextmanager
def served_by_test_hypervisor(
    prefix: str, folder: Path, files: Mapping[str, str] = {}
) -> Iterator[Requests]:
    """Requests to a family over an empty test hypervisor of its own; an empty file is there."""
    image, node = folder / "disk.img", folder / "node.xml"
    image.write_bytes(b"")
    node.write_text("<node/>")
    with served(prefix, f"test://{node}", {IMAGE: str(image), **files}) as requests:
        yield requests


ANYTHING = {("type", "arch")}
"""Attributes of elements that depend on the hypervisor where nobody has asked for them."""


def holds(found: etree._Element, wanted: etree._Element) -> bool:
    """Whether an element has the attributes, the text and the children of another, and perhaps more."""
    return (
        found.tag == wanted.tag
        and all(
            found.get(name) == value or (wanted.tag, name) in ANYTHING
            for name, value in wanted.attrib.items()
        )
        and (found.text or "").strip() == (wanted.text or "").strip()
        and all(any(holds(one, child) for one in found) for child in wanted)
    )
