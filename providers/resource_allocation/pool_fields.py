# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which property of a pool's or volume's setting is which property of libvirt's definition.

The tables are read in both directions: settings show what is there, and ask for more to be made.
Their order is that in which new elements are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from libvirtcim.cim.objects import Value
from libvirtcim.virt.xmltree import XmlObject


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Field:
    """A property of a setting, and the property of the definition that it is.

    `shown`, `written`: definition's value → setting's value, and back.
    """

    name: str
    attribute: str
    shown: Callable[[Any], Value] = _same
    written: Callable[[Value], Any] = _same

    def of(self, definition: XmlObject) -> Value:
        """What the definition says, as the setting shows it."""
        return self.shown(getattr(definition, self.attribute))

    def put(self, definition: XmlObject, value: Value) -> None:
        """Write the setting's value into a definition; raises Invalid where XML can't hold it."""
        setattr(definition, self.attribute, self.written(value))


def _numbered(
    name: str, attribute: str, numbers: Mapping[int, str | None], unknown: int | None = None
) -> Field:
    """A word of libvirt's, or none, that the setting gives as a number."""
    words = {word: number for number, word in numbers.items()}
    return Field(name, attribute, lambda word: words.get(word, unknown), numbers.__getitem__)


ISOLATED, NAT, ROUTED, BRIDGED = range(4)
FORWARD_MODES: Mapping[int, str | None] = {
    ISOLATED: None,
    NAT: "nat",
    ROUTED: "route",
    BRIDGED: "bridge",
}
"""ForwardMode → libvirt's word."""

FORWARD_MODE = _numbered("ForwardMode", "forward_mode", FORWARD_MODES)
FORWARD_DEVICE = Field("ForwardDevice", "forward_device")
BRIDGE = Field("BridgeName", "bridge")
ADDRESS = Field("Address", "address")
NETMASK = Field("Netmask", "netmask")
RANGE_START = Field("IPRangeStart", "range_start")
RANGE_END = Field("IPRangeEnd", "range_end")

NETWORK_FIELDS = (
    BRIDGE,
    FORWARD_MODE,
    FORWARD_DEVICE,
    ADDRESS,
    NETMASK,
    RANGE_START,
    RANGE_END,
)

POOL_TYPES: Mapping[int, str | None] = dict(
    enumerate(("dir", "fs", "netfs", "disk", "iscsi", "logical", "scsi"), 1)
)
"""Type → libvirt's word."""
UNKNOWN_TYPE = 0

POOL_TYPE = _numbered("Type", "type", POOL_TYPES, UNKNOWN_TYPE)
DEVICES = Field(
    "DevicePaths", "source_devices", lambda paths: list(paths) or None, lambda paths: tuple(paths)
)
SERVER = Field(
    "Host", "source_hosts", lambda hosts: hosts[0] if hosts else None, lambda host: (host,)
)
DIRECTORY = Field("SourceDirectory", "source_dir")
ADAPTER = Field("AdapterName", "adapter_name")
ADAPTER_TYPE = Field("AdapterType", "adapter_type")
"""No property of the setting: it follows from the others."""
ADAPTER_PARENT = Field("AdapterName", "adapter_parent")
"""What `ADAPTER` is of an adapter that libvirt makes (NPIV): the one that it is made on."""
PORT_WWN = Field("PortName", "adapter_port")
NODE_WWN = Field("NodeName", "adapter_node")
SOURCE_NAME = Field("SourceName", "source_name")
SOURCE_FORMAT = Field("SourceFormat", "source_format")
TARGET = Field("Path", "target_path")

STORAGE_POOL_FIELDS = (
    POOL_TYPE,
    DEVICES,
    SERVER,
    DIRECTORY,
    ADAPTER,
    PORT_WWN,
    NODE_WWN,
    SOURCE_NAME,
    SOURCE_FORMAT,
    TARGET,
)

FORMATS: Mapping[int, str | None] = {1: "raw", 2: "qcow2"}
"""FormatType → libvirt's word."""

VOLUME_NAME = Field("VolumeName", "name")
VOLUME_PATH = Field("Path", "path")
VOLUME_FORMAT = _numbered("FormatType", "format", FORMATS)

VOLUME_FIELDS = (VOLUME_NAME, VOLUME_PATH, VOLUME_FORMAT)
