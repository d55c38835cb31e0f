# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recorded answers of libvirt-cim: the host it was asked about, the questions, the answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libvirtcim.cim.objects import Instance, InstancePath
from tests.standin import Domain, Managed, Pool, RecordedHost, Volume


def file_text(folder: Path, name: str) -> str | None:
    """Text of a recorded file; characters beyond A-Za-z0-9_.+- are `_` in file names."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "_.+-") else "_" for c in name)
    path = folder / safe
    return path.read_text() if path.exists() else None


def load_host(inputs: Path, family: str) -> tuple[RecordedHost, dict[str, Any]]:
    """The recorded host of `kvm` or `lxc`, and the facts about the machine."""
    facts = json.loads((inputs / "host.json").read_text())
    own = facts[family]
    returned = inputs / "returned"
    domains = []
    order = [*own["defined_domains_order"], *own["active_domains_order"]]
    for number, name in enumerate(order, 1):
        known = own["domains"][name]
        live = file_text(returned, f"domain-{family}-{name}.live.xml")
        inactive = file_text(returned, f"domain-{family}-{name}.inactive.xml")
        assert inactive is not None, name
        records = known.get("vcpu_records")
        domains.append(
            Domain(
                name,
                known["uuid"],
                known["state"],
                inactive,
                live,
                number if live is not None else -1,
                known["persistent"],
                bool(known.get("autostart")),
                bool(known.get("managed_save")),
                len(records) if records is not None else None,
                known["vcpus"],
                known["memory_kib"],
                known.get("scheduler", {}),
            )
        )
    machine = facts["kvm"]
    memory, version = own["node_info"]["memory_mib"], own["hypervisor_version"]
    maximum = own["max_vcpus"]
    host = RecordedHost(
        own["type"],
        domains,
        _pools(machine, returned),
        bulk_stats=family == "kvm",
        networks=[
            Managed(
                name,
                _text(returned, f"network-{name}.xml"),
                machine["networks"][name]["active"],
                bool(machine["networks"][name]["autostart"]),
            )
            for name in (*machine["networks_order"], *machine["defined_networks_order"])
        ],
        filters=[
            Managed(name, _text(returned, f"nwfilter-{name}.xml"))
            for name in machine["nwfilters_order"]
        ],
        max_vcpus=maximum[own["type"]] if isinstance(maximum, dict) else None,
        memory_mib=memory,
        cpus=own["node_info"]["cpus"],
        version=version,
        capabilities=_text(returned, f"capabilities-{family}.xml"),
    )
    return host, facts


def _text(folder: Path, name: str) -> str:
    text = file_text(folder, name)
    assert text is not None, name
    return text


def _pools(facts: dict[str, Any], returned: Path) -> list[Pool]:
    """Recorded storage pools; sizes are those of the recording."""
    found = []
    for name in (*facts["pools_order"], *facts["defined_pools_order"]):
        known = facts["pools"][name]
        xml = _text(returned, f"pool-{name}.xml")
        for size in ("capacity", "allocation", "available"):
            if size in known:
                xml = re.sub(
                    rf"<{size} unit='bytes'>\d+</{size}>",
                    f"<{size} unit='bytes'>{known[size]}</{size}>",
                    xml,
                )
        volumes = [Volume(path, figures) for path, figures in known.get("volumes", {}).items()]
        found.append(Pool(name, xml, known["active"], bool(known["autostart"]), volumes))
    return found


@dataclass(frozen=True)
class Question:
    """One recorded operation."""

    number: int
    operation: str
    host: str
    target: InstancePath | str
    namespace: str
    arguments: dict[str, Any]
    outcome: Any
    """("error", code, text), or ("result", [answers])."""


class Recording:
    """One `reads-*.json`."""

    def __init__(self, path: Path) -> None:
        self._data = json.loads(path.read_text())
        self.paths = [self._path(p) for p in self._data["paths"]]

    def _path(self, data: dict[str, Any]) -> InstancePath:
        keys = tuple(
            (
                name,
                self._path(self._data["paths"][value["ref"]]) if isinstance(value, dict) else value,
            )
            for name, value in data["keys"].items()
        )
        return InstancePath(data["class"], keys, data.get("ns", "root/virt"))

    def values(self, index: int) -> dict[str, Any]:
        """Non-NULL properties of a recorded instance, references as paths."""
        return {
            name: self.paths[value["ref"]] if isinstance(value, dict) and "ref" in value else value
            for name, _type, value in self._data["instances"][index]["props"]
        }

    def instance(self, index: int) -> tuple[str, dict[str, Any]]:
        """(class, non-NULL properties) of a recorded instance."""
        return self._data["instances"][index]["class"], self.values(index)

    def questions(self) -> Iterator[Question]:
        """Every operation with an answer, in the order asked."""
        for number, row in enumerate(self._data["operations"]):
            if "no_answer" in row:
                continue
            names = row["op"].endswith("Names")
            outcome: tuple[Any, ...]
            if "error" in row:
                outcome = ("error", *row["error"])
            elif names:
                outcome = ("result", [self.paths[i] for i in row["result"]])
            else:
                outcome = ("result", [self.instance(i) for i in row["result"]])
            target = self.paths[row["path"]] if "path" in row else row["class"]
            yield Question(
                number,
                row["op"],
                row["host"],
                target,
                row.get("ns", "root/virt"),
                row.get("args", {}),
                outcome,
            )


def plain(row: Instance) -> tuple[str, dict[str, Any]]:
    """(class, non-NULL properties) of an answer."""
    return row.cls.name, {name: value for name, value in row.items() if value is not None}
