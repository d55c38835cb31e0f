# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recorded calls that define or change guests, made again on a host that only notes what it is to define."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from libvirtcim import composition
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.errors import CIMError
from libvirtcim.cim.objects import Given, InstancePath, RequestContext
from libvirtcim.providers.resource_allocation import target
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.host import Host, Hosts
from libvirtcim.virt.settings import HostSettings
from tests.recorded.recording import load_host
from tests.standin import Domain, RecordedHost, StandInConnection

SHUTOFF = 5
CHANGES = (
    "AddResourceSettings",
    "ModifyResourceSettings",
    "ModifySystemSettings",
    "RemoveResourceSettings",
)
LIBVIRTS = "Failed to define domain"
"""Begins the error of what libvirt itself refused: what it was given counts, not its answer."""
_KEY = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class NotingHost(RecordedHost):
    """Takes any definition and keeps the last one."""

    defined: str | None = None

    def defineXML(self, text: str) -> NotingHost:
        self.defined = text
        return self

    def setAutostart(self, _on: int) -> None:
        return None


def kind_of_path(path: str) -> str | None:
    """What was at a path of the recorded host."""
    if path == "/dev/vda":
        return "block"
    if path.startswith("/dev/") or "nonexistent" in path or "missing" in path:
        return None
    return "file" if path.endswith((".img", ".iso", ".qcow2")) else "dir"


def definitions(
    folder: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, str]]:
    """Id of each call that is answered differently, and each respect in which it is."""
    with noting(folder, family, monkeypatch) as (recorded, broker):
        for row in rows(folder, family, ("DefineSystem",)):
            recorded.defined = None
            for found in _differences(row, broker, recorded):
                yield row["id"], found
            if row["id"] in ("clash-first", "clash"):
                uuid = etree.fromstring(recorded.defined or "").findtext("uuid") or ""
                recorded.domains = [Domain("t1", uuid, SHUTOFF, recorded.defined or "")]


def changes(
    folder: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, str]]:
    """The same for changes of a guest that is off: what is stored afterwards counts."""
    with noting(folder, family, monkeypatch) as (recorded, broker):
        before = base_guest(folder, family)
        for row in rows(folder, family, CHANGES):
            if state_of(row) == "shutoff" and not _is_rich(row):
                _put(recorded, before)
                for found in _change_differences(row, broker, recorded, before):
                    yield row["id"], found


def foreign_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """The same for guests that other tools defined, but every change counts as a difference.

    What libvirt-cim loses of such guests is no yardstick: what wasn't asked for must stay as it was.
    """
    with noting(folder, "kvm", monkeypatch) as (recorded, broker):
        for row in rows(folder, "kvm", (*CHANGES, REWRITES)):
            before = foreign_guest(folder, row)
            if before is None:
                continue
            _put(recorded, before)
            for found in _foreign_differences(row, broker, recorded, before):
                yield row["id"], found


def references(
    folder: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, str]]:
    """The same for guests that are defined like another."""
    with noting(folder, family, monkeypatch) as (recorded, broker):
        for row in rows(folder, family, (REFERENCES,)):
            if "ReferenceConfiguration" not in row["args"]:
                (made,) = row["domains"].values()
                _put(recorded, made["xml_after"])
                continue
            recorded.defined = None
            for found in _like_differences(row, broker, recorded, recorded.domains[0].inactive_xml):
                yield row["id"], found


REWRITES = "rewrite of guests defined by other tools"
REFERENCES = "DefineSystem with ReferenceConfiguration"
NOT_TOLD = ("kernel-ModifySystemSettings", "rewrite-memory-backing")
"""Calls of which it isn't recorded what the guest was before."""


def state_of(row: dict[str, Any]) -> str:
    """The state of the guest before a recorded change."""
    return str(row["id"].rpartition("@")[2])


def _is_rich(row: dict[str, Any]) -> bool:
    return "rich" in row["id"]


def base_guest(folder: Path, family: str) -> str:
    """The definition of the guest that recorded changes start from."""
    (base,) = rows(folder, family, ("base guest",))
    text: str = next(iter(base["domains"].values()))["xml_after"]
    return text


def foreign_guest(folder: Path, row: dict[str, Any]) -> str | None:
    """What a guest of another tool was before a change; None: it isn't one, or it isn't recorded."""
    if row["id"] in NOT_TOLD or not (row["section"] == REWRITES or _is_rich(row)):
        return None
    if "added_before" in row:
        start, end, rest = base_guest(folder, "kvm").rpartition("  </devices>")
        return f"{start}{row['added_before']}\n{end}{rest}"
    kind = next((k for k in ("network-disk", "plain") if row["id"].startswith(k)), "ethernet-nic")
    told = {known["id"]: known for known in rows(folder, "kvm", (REWRITES,))}
    text: str = told[f"{kind}-AddResourceSettings"]["xml_before"]
    return text


@contextmanager
def noting(
    folder: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[NotingHost, Broker]]:
    """A host without guests that notes definitions, and a broker over it."""
    monkeypatch.setattr(target, "kind_here", kind_of_path)
    recorded, _facts = load_host(folder / "inputs", family)
    recorded.__class__ = NotingHost
    assert isinstance(recorded, NotingHost)
    recorded.domains = []
    yield recorded, _broker(recorded, family.upper())


def _put(recorded: NotingHost, before: str) -> None:
    recorded.defined = None
    recorded.domains = [_guest(before)]


def _guest(text: str) -> Domain:
    root = etree.fromstring(text)
    return Domain(root.findtext("name") or "", root.findtext("uuid") or "", SHUTOFF, text)


def rows(folder: Path, family: str, sections: Sequence[str]) -> list[dict[str, Any]]:
    """The recorded calls of some sections."""
    everything = json.loads((folder / f"methods-{family}.json").read_text())
    return [row for row in everything if row["section"] in sections]


def _broker(recorded: RecordedHost, prefix: str) -> Broker:
    hosts = Hosts({})
    settings = HostSettings(side_file_dir=None, host_name="host")
    connection = StandInConnection(FAMILIES[prefix].uri, recorded)
    hosts._hosts[prefix] = Host(connection, FAMILIES[prefix], settings)
    return composition.broker(hosts)


def call(row: dict[str, Any], broker: Broker) -> CIMError | None:
    """Makes a call again; its error."""
    arguments = {name: _given(value) for name, value in row["args"].items()}
    try:
        broker.invoke_method(RequestContext(), path_of(row["path"]), row["op"], arguments)
    except CIMError as error:
        return error
    return None


def _differences(row: dict[str, Any], broker: Broker, host: NotingHost) -> list[str]:
    failed, expected = call(row, broker), row.get("error")
    if expected is None or (row.get("xml_sent") and expected["description"].startswith(LIBVIRTS)):
        if failed is not None:
            return [f"refused: {failed}"]
        assert host.defined is not None
        return _compared(row["xml_sent"][0], host.defined)
    return list(answers_unlike(expected, failed))


CIMOMS = (
    "One or more parameter values passed to the method were invalid",
    "The requested operation is not supported",
    "The value supplied is incompatible with the type",
)
"""Texts that the CIM server of the recording put where the provider had none."""


def answers_unlike(expected: dict[str, Any] | None, failed: CIMError | None) -> Iterator[str]:
    """How an answer differs, if it does: status and the text before libvirt's own."""
    if expected is None and failed is not None:
        yield f"refused: {failed}"
    elif expected is not None and failed is None:
        yield f"accepted, not {expected['description']}"
    elif expected is not None and failed is not None:
        label = expected["description"].partition(":")[0]
        told = label in CIMOMS or failed.message.startswith(label)
        if failed.status != expected["status"] or not told:
            yield f"{failed}, not {expected['description']}"


def _change_differences(
    row: dict[str, Any], broker: Broker, host: NotingHost, before: str
) -> list[str]:
    failed, expected = call(row, broker), row.get("error")
    if expected is not None:
        if failed is None and expected["description"].startswith(LIBVIRTS):
            return []
        if failed is None or failed.status != expected["status"]:
            return [f"{failed or 'accepted'}, not {expected['description']}"]
        return []
    if failed is not None:
        return [f"refused: {failed}"]
    difference = next(iter(row["domains"].values())).get("diff", "")
    return _compared(_patched(before, difference), host.defined or before)


def _foreign_differences(
    row: dict[str, Any], broker: Broker, host: NotingHost, before: str
) -> list[str]:
    failed, expected = call(row, broker), row.get("error")
    if failed is not None:
        return [f"refused: {failed}"]
    accepted = [] if expected is None else [f"accepted, not {expected['description']}"]
    return accepted + _compared(before, host.defined or before)


def _like_differences(
    row: dict[str, Any], broker: Broker, host: NotingHost, reference: str
) -> list[str]:
    """`-`, `+`: what was lost of the other guest, or added to it, unlike then. `?`: what isn't added."""
    if row.get("error") is not None or isinstance(row["args"]["ReferenceConfiguration"], str):
        return _differences(row, broker, host)
    failed = call(row, broker)
    if failed is not None or host.defined is None:
        return [f"refused: {failed}"]
    recorded = next(iter(row["domains"].values()))["xml_after"]
    start, then, ours = (Counter(lines(text)) for text in (reference, recorded, host.defined))
    return [
        *(f"-{line}" for line in (start - ours) - (start - then)),
        *(f"+{line}" for line in (ours - start) - (then - start)),
        *(f"?{line}" for line in (then - start) - (ours - start)),
    ]


def _patched(text: str, difference: str) -> str:
    """A text with a unified difference applied."""
    source, made, at = text.splitlines(), [], 0
    for line in difference.splitlines():
        hunk = re.match(r"@@ -(\d+)", line)
        if hunk is not None:
            start = int(hunk[1]) - 1
            made += source[at:start]
            at = start
        elif line.startswith(("---", "+++")):
            continue
        elif line.startswith("+"):
            made.append(line[1:])
        else:
            made += [] if line.startswith("-") else [source[at]]
            at += 1
    return "\n".join(made + source[at:])


def _given(value: Any) -> Given:
    if isinstance(value, list):
        return Given([_given(one).value for one in value])
    if isinstance(value, dict) and "ref" in value:
        return Given(path_of(value["ref"]))
    if isinstance(value, dict) and {"type", "value"} <= value.keys():
        return Given(value["value"], value["type"])
    return Given(value)


def path_of(text: str) -> InstancePath:
    """A path as it is written in recordings."""
    classname, _dot, keys = text.partition(".")
    found = tuple((name, value.replace('\\"', '"')) for name, value in _KEY.findall(keys))
    return InstancePath(classname, found, "root/virt")


def _compared(recorded: str, ours: str) -> list[str]:
    """What one definition has more than the other; UUIDs and MAC addresses are chosen anew."""
    before, after = Counter(lines(recorded)), Counter(lines(ours))
    return [f"-{line}" for line in before - after] + [f"+{line}" for line in after - before]


def lines(text: str) -> Iterator[str]:
    """The elements of a definition, each with its parents, attributes and text."""
    for element in etree.fromstring(text).iter():
        if isinstance(element.tag, str) and element.tag not in ("uuid", "mac"):
            parents = "/".join(str(e.tag) for e in reversed(list(element.iterancestors())))
            attributes = " ".join(f"{k}={v}" for k, v in sorted(element.attrib.items()))
            place = f"{parents}/{element.tag}".lstrip("/")
            yield f"{place}[{attributes}]{(element.text or '').strip()}"


def check_reasons(found: list[tuple[str, str]], reasons: Mapping[str, str]) -> None:
    """Every difference has a reason, and every reason a difference."""
    explained: Counter[str] = Counter()
    unexplained = []
    for call, difference in found:
        pattern = next((p for p in reasons if re.fullmatch(p, difference, re.DOTALL)), None)
        if pattern is None:
            unexplained.append(f"{call}: {difference}")
        else:
            explained[pattern] += 1
    for pattern, count in explained.most_common():
        print(f"{count:5} {reasons[pattern]}")
    assert not unexplained, f"{len(unexplained)} differences:\n" + "\n".join(unexplained[:300])
    idle = reasons.keys() - explained.keys()
    assert not idle, f"rows that explain nothing: {idle}"
