# SPDX-License-Identifier: LGPL-2.1-or-later
"""Asks recorded questions again and yields what is answered differently."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from libvirtcim import composition
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.errors import CIMError
from libvirtcim.cim.objects import InstancePath, RequestContext
from libvirtcim.providers import console
from libvirtcim.virt import hostname
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.host import Host, Hosts
from libvirtcim.virt.sessions import Socket
from libvirtcim.virt.settings import HostSettings
from tests.recorded.recording import Question, Recording, load_host, plain
from tests.standin import StandInConnection

CONTEXT = RequestContext()
Key = tuple[str, str]
"""Class and identity of a result."""
Values = dict[str, Any]
PREFIX = {"kvm": "KVM", "lxc": "LXC", "absent": "Xen"}
WITHOUT_IN_STATE_B = "odd "
"""Guests whose name begins so were not there while the host was in states B and C."""


@dataclass(frozen=True)
class Difference:
    """One respect in which an answer is not the recorded one."""

    question: Question
    kind: str
    """status, missing, extra, order, or the name of a property."""
    subject: str
    """Class of the instance or path in question."""
    recorded: Any
    answered: Any

    def __str__(self) -> str:
        q = self.question
        return (
            f"#{q.number} {q.operation} {q.target} {q.arguments or ''}: {self.subject} {self.kind}: "
            f"recorded {self.recorded!r}, answered {self.answered!r}"
        )


def differences(folder: Path, family: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Difference]:
    """Every difference of one recording."""
    recording = Recording(folder / f"reads-{family}.json")
    brokers: dict[bool, Broker] = {}
    for whole in (True, False):
        brokers[whole] = _broker(folder / "inputs", family, monkeypatch, whole=whole)
    monkeypatch.setattr(console, "tcp_sockets", lambda: _sockets(recording))
    for question in recording.questions():
        yield from _compare(question, _ask(brokers[question.host == "A"], question))


def asked(folder: Path, family: str) -> int:
    """How many questions one recording has."""
    return sum(1 for _ in Recording(folder / f"reads-{family}.json").questions())


def _sockets(recording: Recording) -> dict[int, list[Socket]]:
    """The ports that something listened on, out of the names of access points."""
    found = {}
    for path in recording.paths:
        name = path.text("Name")
        if path.classname.endswith("_KVMRedirectionSAP") and name.endswith(":0"):
            found[int(name.partition(":")[0])] = [Socket("127.0.0.1")]
    return found


def _broker(inputs: Path, family: str, monkeypatch: pytest.MonkeyPatch, *, whole: bool) -> Broker:
    prefix = PREFIX[family]
    settings = HostSettings(side_file_dir=None)
    hosts = Hosts({})
    if family == "absent":
        recorded, facts = None, {"hostname": "host1", "fqdn": "host1.example.org (alias"}
    else:
        recorded, facts = load_host(inputs, family)
        if not whole:
            recorded.domains = [
                d for d in recorded.domains if not d.name().startswith(WITHOUT_IN_STATE_B)
            ]
    settings = HostSettings(side_file_dir=None, host_name=facts["fqdn"].split()[0])
    monkeypatch.setattr(hostname, "short_name", lambda: facts["hostname"])
    connection = StandInConnection(FAMILIES[prefix].uri, recorded)
    hosts._hosts[prefix] = Host(connection, FAMILIES[prefix], settings)
    return composition.broker(hosts)


def _ask(broker: Broker, question: Question) -> tuple[Any, ...]:
    target, arguments = question.target, dict(question.arguments)
    try:
        match question.operation:
            case "EnumerateInstanceNames":
                return "result", list(
                    broker.enumerate_instance_names(CONTEXT, question.namespace, str(target))
                )
            case "EnumerateInstances":
                rows = broker.enumerate_instances(CONTEXT, question.namespace, str(target))
                return "result", [plain(r) for r in rows]
        assert isinstance(target, InstancePath)
        if question.operation == "GetInstance":
            wanted = arguments.get("PropertyList")
            return "result", [plain(broker.get_instance(CONTEXT, target, wanted))]
        call = {
            "AssociatorNames": broker.associator_names,
            "Associators": broker.associators,
            "ReferenceNames": broker.reference_names,
            "References": broker.references,
        }[question.operation]
        names = {
            "AssocClass": "assoc_class",
            "ResultClass": "result_class",
            "Role": "role",
            "ResultRole": "result_role",
            "PropertyList": "properties",
        }
        results = list(call(CONTEXT, target, **{names[k]: v for k, v in arguments.items()}))  # type: ignore[operator]
    except CIMError as error:
        return "error", error.status, error.message
    if question.operation.endswith("Names"):
        return "result", results
    return "result", [plain(r) for r in results]


def _compare(question: Question, answer: tuple[Any, ...]) -> Iterator[Difference]:
    recorded = question.outcome
    target = question.target
    subject = target.classname if isinstance(target, InstancePath) else target
    if "error" in (recorded[0], answer[0]):
        if recorded[0] != answer[0] or recorded[1] != answer[1]:
            shown = answer if answer[0] == "error" else ("result", len(answer[1]))
            yield Difference(question, "status", subject, recorded[:3], shown)
        elif recorded[2].strip() != answer[2].strip():
            yield Difference(question, "text", subject, recorded[2], answer[2])
    elif question.operation == "GetInstance":
        yield from _compare_values(question, subject, recorded[1][0][1], answer[1][0][1])
    else:
        yield from _compare_results(question, subject, _keyed(recorded[1]), _keyed(answer[1]))


def _compare_results(
    question: Question, subject: str, before: dict[Key, Values], now: dict[Key, Values]
) -> Iterator[Difference]:
    for key in before:
        if key not in now:
            yield Difference(question, "missing", key[0], key, None)
    for key in now:
        if key not in before:
            yield Difference(question, "extra", key[0], None, key)
    both = [key for key in before if key in now]
    if both != [key for key in now if key in before]:
        yield Difference(question, "order", subject, both[:4], None)
    for key in both:
        yield from _compare_values(question, key[0], before[key], now[key])


def _compare_values(
    question: Question, subject: str, before: Values, now: Values
) -> Iterator[Difference]:
    for name in sorted({*before, *now}):
        first, second = _norm(before.get(name)), _norm(now.get(name))
        if first != second:
            yield Difference(question, name, subject, first, second)


KEYS = ("InstanceID", "DeviceID", "Name")


def _keyed(results: list[Any]) -> dict[Key, Values]:
    """Results by class and identity; of names the identity is all there is."""
    found: dict[Key, Values] = {}
    for result in results:
        if isinstance(result, InstancePath):
            found[result.classname, str(_norm(result))] = {}
            continue
        classname, values = result
        identity = next((values[k] for k in KEYS if k in values), None)
        if identity is None:
            refs = sorted(str(_norm(v)) for v in values.values() if isinstance(v, InstancePath))
            identity = " ".join(refs)
        found[classname, str(identity)] = values
    return found


def _norm(value: Any) -> Any:
    if isinstance(value, InstancePath):
        keys = tuple(sorted((k.lower(), _norm(v)) for k, v in value.keys))
        return (value.classname.lower(), keys)
    return value
