# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `libvirtcim ls` and `libvirtcim show` print: what CIM clients see, as plain data and as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libvirtcim.cim.broker import Broker
from libvirtcim.cim.declare import INTEROP, VIRT
from libvirtcim.cim.errors import NotFound
from libvirtcim.cim.objects import Instance, InstancePath, RequestContext

CONTEXT = RequestContext()
Row = dict[str, Any]

ENABLED_STATES: Mapping[int, str] = {
    0: "unknown",
    2: "running",
    3: "off",
    4: "shutting down",
    6: "saved",
    9: "paused",
}
STOPPED = 10
"""OperationalStatus of a pool that doesn't run."""
POOL_KINDS = ("Memory", "Processor", "Network", "Disk", "Graphics", "Input", "Controller")
FORWARD_MODES: Mapping[int | None, str] = {0: "none", 1: "nat", 2: "routed", None: "other"}


@dataclass(frozen=True, slots=True)
class Listing:
    """One kind of thing that `ls` lists: its rows, and the columns of the table."""

    rows: Callable[[Broker, str], Iterator[Row]]
    """(broker, prefix of a family) → what the family's host has."""
    heads: Mapping[str, str]
    """Key of a row → head of its column."""


def _enumerate(broker: Broker, prefix: str, base: str, namespace: str = VIRT) -> Iterator[Instance]:
    name = f"{prefix}_{base}"
    if broker.schema.find(namespace, name) is None:
        return iter(())
    return broker.enumerate_instances(CONTEXT, namespace, name)


def guests(broker: Broker, prefix: str) -> Iterator[Row]:
    """Every guest: family, name, state, processors, memory (KiB), UUID."""
    amounts = {
        kind: {
            row["InstanceID"].rpartition("/")[0]: row["VirtualQuantity"]
            for row in broker.enumerate_instances(
                CONTEXT,
                VIRT,
                f"{prefix}_{kind}ResourceAllocationSettingData",
                ["InstanceID", "VirtualQuantity"],
            )
        }
        for kind in ("Mem", "Proc")
    }
    for row in broker.enumerate_instances(
        CONTEXT, VIRT, f"{prefix}_ComputerSystem", ["Name", "EnabledState", "UUID"]
    ):
        name = row["Name"]
        yield {
            "family": prefix,
            "name": name,
            "state": ENABLED_STATES.get(row["EnabledState"], str(row["EnabledState"])),
            "processors": amounts["Proc"].get(name),
            "memory_kib": amounts["Mem"].get(name),
            "uuid": row["UUID"],
        }


def pools(broker: Broker, prefix: str) -> Iterator[Row]:
    """Every pool: id, state, what it has and what of it is taken, in its unit."""
    for kind in POOL_KINDS:
        for row in _enumerate(broker, prefix, f"{kind}Pool"):
            yield {
                "family": prefix,
                "pool": row["PoolID"],
                "state": _state(row),
                "capacity": row["Capacity"],
                "consumed": row["CurrentlyConsumedResource"],
                "units": row["AllocationUnits"],
                "type": row["OtherResourceType"],
                "path": row["Path"],
            }


def networks(broker: Broker, prefix: str) -> Iterator[Row]:
    """Every virtual network: name, state, how it leads out, its addresses."""
    states = {row["PoolID"]: row for row in _enumerate(broker, prefix, "NetworkPool")}
    for row in _enumerate(broker, prefix, "NetPoolResourceAllocationSettingData"):
        pool = states.get(row["PoolID"])
        caption = (pool["Caption"] if pool else None) or ""
        yield {
            "family": prefix,
            "name": row["ElementName"],
            "state": _state(pool) if pool else "unknown",
            "bridge": caption.removeprefix("Bridge: ") or None,
            "forward": FORWARD_MODES.get(row["ForwardMode"], "other"),
            "address": row["Address"],
            "netmask": row["Netmask"],
        }


def filters(broker: Broker, prefix: str) -> Iterator[Row]:
    """Every network filter: name, priority, how many rules it has, the filters it includes."""
    for row in _enumerate(broker, prefix, "FilterList"):
        assert row.path is not None
        rules = broker.reference_names(CONTEXT, row.path, f"{prefix}_EntriesInFilterList")
        included = broker.associator_names(
            CONTEXT, row.path, f"{prefix}_NestedFilterList", None, "Antecedent"
        )
        yield {
            "family": prefix,
            "name": row["Name"],
            "priority": row["Priority"],
            "rules": sum(1 for _ in rules),
            "includes": [path.text("Name") for path in included],
        }


def profiles(broker: Broker, prefix: str) -> Iterator[Row]:
    """Every DMTF profile that is followed: name, version, id."""
    for row in _enumerate(broker, prefix, "RegisteredProfile", INTEROP):
        yield {
            "family": prefix,
            "name": row["RegisteredName"],
            "version": row["RegisteredVersion"],
            "id": row["InstanceID"],
        }


def _state(pool: Instance) -> str:
    return "off" if STOPPED in (pool["OperationalStatus"] or ()) else "running"


LISTINGS: Mapping[str, Listing] = {
    "guests": Listing(
        guests,
        {
            "family": "FAMILY",
            "name": "NAME",
            "state": "STATE",
            "processors": "CPUS",
            "memory_kib": "MEM MiB",
            "uuid": "UUID",
        },
    ),
    "pools": Listing(
        pools,
        {
            "family": "FAMILY",
            "pool": "POOL",
            "state": "STATE",
            "consumed": "CONSUMED",
            "capacity": "CAPACITY",
            "units": "UNITS",
            "type": "TYPE",
            "path": "PATH",
        },
    ),
    "networks": Listing(
        networks,
        {
            "family": "FAMILY",
            "name": "NAME",
            "state": "STATE",
            "bridge": "BRIDGE",
            "forward": "FORWARD",
            "address": "ADDRESS",
            "netmask": "NETMASK",
        },
    ),
    "filters": Listing(
        filters,
        {
            "family": "FAMILY",
            "name": "NAME",
            "priority": "PRIORITY",
            "rules": "RULES",
            "includes": "INCLUDES",
        },
    ),
    "profiles": Listing(
        profiles, {"family": "FAMILY", "name": "NAME", "version": "VERSION", "id": "ID"}
    ),
}
"""What `ls` can list."""


def rows(broker: Broker, prefixes: Sequence[str], what: str = "guests") -> list[Row]:
    """The rows of a listing, of several families."""
    return [row for prefix in prefixes for row in LISTINGS[what].rows(broker, prefix)]


def table(found: Sequence[Row], what: str = "guests") -> str:
    """A listing as a table for a terminal."""
    from tabulate import tabulate

    heads = LISTINGS[what].heads
    cells = [[_cell(key, row[key]) for key in heads] for row in found]
    numbers = [i for i, key in enumerate(heads) if key in ("name", "uuid", "version", "id")]
    return tabulate(cells, list(heads.values()), tablefmt="plain", disable_numparse=numbers)


def _cell(key: str, value: Any) -> Any:
    if value is None:
        return ""
    if key == "memory_kib":
        return f"{value / 1024:.0f}"
    return ", ".join(value) if isinstance(value, list) else value


# --- one guest ------------------------------------------------------------------------------------

IDENTITY = ("DeviceID", "InstanceID", "Name")
SHOWN: Mapping[str, tuple[str, ...]] = {
    "ComputerSystem": ("ElementName", "UUID", "Caption"),
    "VirtualSystemSettingData": (
        "VirtualSystemType",
        "Arch",
        "Machine",
        "BootDevices",
        "AutoStart",
    ),
    "Memory": ("ConsumableBlocks", "BlockSize"),
    "NetworkPort": ("NetworkAddresses",),
    "DisplayController": ("VideoProcessor",),
    "ConsoleDisplayController": ("VideoProcessor",),
    "PointingDevice": ("Caption",),
    "Controller": ("ProtocolDescription",),
    "DiskResourceAllocationSettingData": ("Address", "BusType", "VirtualQuantity", "DriverType"),
    "NetResourceAllocationSettingData": ("NetworkType", "NetworkName", "FilterRef"),
    "MemResourceAllocationSettingData": ("VirtualQuantity", "Limit", "AllocationUnits"),
    "ProcResourceAllocationSettingData": ("VirtualQuantity", "Limit", "Weight"),
    "GraphicsResourceAllocationSettingData": ("ResourceSubType", "Address", "KeyMap"),
    "ConsoleResourceAllocationSettingData": ("SourceType", "SourcePath", "TargetType"),
}
"""Properties that `show` names, by base name of the class."""


def tree(broker: Broker, prefixes: Sequence[str], name: str) -> Row:
    """A guest with its settings, its devices, and of each device its setting and its pool.

    Raises NotFound where no family has a guest of that name.
    """
    for prefix in prefixes:
        classname = f"{prefix}_ComputerSystem"
        path = InstancePath(classname, (("CreationClassName", classname), ("Name", name)), VIRT)
        try:
            system = broker.get_instance(CONTEXT, path)
        except NotFound:
            continue
        state = ENABLED_STATES.get(system["EnabledState"], "unknown")
        return {**_node(system), "state": state, "parts": _parts(broker, prefix, path)}
    raise NotFound(f"No guest {name!r}; `libvirtcim ls` tells which there are")


def _parts(broker: Broker, prefix: str, system: InstancePath) -> list[Row]:
    settings = broker.associators(CONTEXT, system, f"{prefix}_SettingsDefineState")
    devices = broker.associators(CONTEXT, system, f"{prefix}_SystemDevice")
    return [
        *(_node(setting) for setting in settings),
        *(_device(broker, prefix, device) for device in devices),
    ]


def _device(broker: Broker, prefix: str, device: Instance) -> Row:
    assert device.path is not None
    of, through = f"{prefix}_SettingsDefineState", f"{prefix}_ElementAllocatedFromPool"
    settings = [_node(s) for s in broker.associators(CONTEXT, device.path, of)]
    found = broker.associator_names(CONTEXT, device.path, through)
    pools_ = [
        {"class": pool.classname, "id": pool.text("InstanceID"), "properties": {}} for pool in found
    ]
    return {**_node(device), "parts": [*settings, *pools_]}


def _node(instance: Instance) -> Row:
    name = instance.cls.name
    names = SHOWN.get(name.partition("_")[2], ())
    values = {key: instance[key] for key in names if instance[key] not in (None, "", [])}
    identity = next((instance[key] for key in IDENTITY if instance[key]), "")
    return {"class": name, "id": identity, "properties": values}


def lines(node: Row, indent: str = "", branch: str = "") -> Iterator[str]:
    """A tree as text, one line a node."""
    shown = ", ".join(f"{name}={_text(value)}" for name, value in node["properties"].items())
    state = f" [{node['state']}]" if "state" in node else ""
    yield f"{indent}{branch}{node['class']} {node['id']}{state}{f'  {shown}' if shown else ''}"
    parts = node.get("parts", [])
    below = indent + {"": "", "├── ": "│   ", "└── ": "    "}[branch]
    for part in parts:
        yield from lines(part, below, "└── " if part is parts[-1] else "├── ")


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
