# SPDX-License-Identifier: LGPL-2.1-or-later
"""Drives the CMPI host, and says what the broker answers in the same terms."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from libvirtcim.cim.broker import Broker
from libvirtcim.cim.errors import CIMError
from libvirtcim.cim.objects import Instance, InstancePath
from libvirtcim.cim.schema import ClassInfo, PropertyInfo, Schema

Request = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from the plugin, and how the host found the call."""

    rc: int
    message: str | None
    results: list[Any]
    out: list[Any]
    violations: list[str]
    micros: float
    """The shortest of the repetitions."""
    different: int
    """Repetitions that were answered otherwise than the first."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Indications that the plugin has delivered, and how the host found its threads."""

    indications: list[Any]
    violations: list[str]
    contexts: int
    """Threads that are attached, or prepared to be."""


class Host:
    """A host process with the plugin loaded."""

    def __init__(self, program: Path, plugin: Path, wrapper: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*wrapper, str(program), str(plugin)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            # Python keeps much until the end; it counts as no leak
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
        )  # fmt: skip

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None and kind is not None:
            self.process.kill()
        self.end()

    def end(self) -> tuple[int, str]:
        """Ends the process; its exit code and what it wrote to stderr."""
        if self.process.stdin is None or self.process.stdin.closed:
            return self.process.returncode, ""
        assert self.process.stdout and self.process.stderr
        self.process.stdin.close()
        self.process.stdout.close()
        text = self.process.stderr.read()
        self.process.stderr.close()
        return self.process.wait(60), text

    def _exchange(self, message: Any) -> Any:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(message, ensure_ascii=False) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the host ended: {self.end()}")
        return json.loads(line)

    def declare(self, classes: Iterable[ClassInfo]) -> None:
        """Makes classes known, as a CIM server's repository has them."""
        for cls in classes:
            self._exchange(
                {
                    "op": "class",
                    "name": cls.name,
                    "properties": [[p.name, type_name(p)] for p in cls.properties],
                    "keys": [p.name for p in cls.keys],
                }
            )

    def declare_all(self, schema: Schema) -> None:
        """Makes all classes of all namespaces known."""
        seen = {
            cls.name: cls
            for namespace in schema.namespaces
            for cls in schema.subclasses(namespace, None, deep=True)
        }
        self.declare(seen.values())

    def together(self, requests: list[Request]) -> list[Answer]:
        """Carries out requests at once, each in a thread of its own."""
        return [
            Answer(
                a["answer"]["rc"], a["answer"]["msg"], a["answer"]["results"], a["answer"]["out"],
                a["answer"]["violations"], a["micros"], a["different"],
            )
            for a in self._exchange(requests)
        ]  # fmt: skip

    def call(self, op: str, path: InstancePath | None = None, **more: Any) -> Answer:
        """Carries out one operation."""
        return self.together([request(op, path, **more)])[0]

    def cleanup(self, *, refusable: bool = False) -> list[int]:
        """Calls cleanup on all MIs, as a server does that unloads the plugin; the codes.

        `refusable`: as a server does that only wants to save memory.
        """
        found: list[int] = self._exchange({"op": "cleanup", "refusable": refusable or None})
        return found

    def indications(self, count: int, contexts: int = 1000, seconds: int = 10) -> Delivered:
        """What was delivered since the last time.

        Waits until there are `count` indications and at most `contexts` threads are attached.
        """
        wanted = {"op": "indications", "count": count, "contexts": contexts, "seconds": seconds}
        return Delivered(*self._exchange(wanted))

    def slow_delivery(self, millis: int) -> None:
        """From now on, every delivery blocks for so long."""
        self._exchange({"op": "slowDelivery", "millis": millis})

    def unload(self) -> None:
        """dlclose and dlopen."""
        assert self._exchange({"op": "unload"}) == [0]


def request(op: str, path: InstancePath | None = None, **more: Any) -> Request:
    """An operation as the host reads it; keys are sent in the types that their values have."""
    made: Request = {"op": op, **more}
    if path is not None:
        made["path"] = sent_path(path)
    return made


def sent_path(path: InstancePath) -> Any:
    """A path as the host reads it."""
    return {
        "ns": path.namespace,
        "class": path.classname,
        "keys": [[name, *_sent_key(value)] for name, value in path.keys],
    }


def _sent_key(value: Any) -> tuple[str, Any]:
    if isinstance(value, InstancePath):
        return "reference", sent_path(value)
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int):
        return ("uint64" if value >= 0 else "sint64"), value
    return ("null" if value is None else "string"), value


def type_name(prop: Any) -> str:
    """The CMPI type of a property, parameter or method result."""
    base = "instance" if getattr(prop, "embedded", None) is not None else prop.type
    return base + ("[]" if getattr(prop, "array", False) else "")


class Expected:
    """The broker's own answers in the host's terms."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    def path(self, path: InstancePath) -> Any:
        cls = self.broker.schema.get(path.namespace or "", path.classname)
        return {
            "ns": path.namespace,
            "class": path.classname,
            "keys": [
                self._slot(cls.by_name[n.lower()], v, path.namespace or "") for n, v in path.keys
            ],
        }

    def instance(self, row: Instance) -> Any:
        """As a CIM server shows it: the keys are there whatever the property list says."""
        assert row.path is not None
        keys = dict(row.path.keys)
        shown = dict(row.items())
        slots = []
        for prop in row.cls.properties:
            value = shown.get(prop.name, keys.get(prop.name))
            if row.selected is not None and prop.name not in shown and prop.name not in keys:
                value = None
            slots.append(self._slot(prop, value, row.path.namespace or ""))
        return {"path": self.path(row.path), "properties": slots}

    def _slot(self, prop: PropertyInfo, value: Any, namespace: str) -> list[Any]:
        return [prop.name, type_name(prop), self.value(value, prop.type, namespace)]

    def value(self, value: Any, cim_type: str = "", namespace: str = "") -> Any:
        """One value, an array of them, or None."""
        if isinstance(value, InstancePath):
            return self.path(value if value.namespace else value.at(namespace))
        if isinstance(value, list):
            return [self.value(v, cim_type, namespace) for v in value]
        if isinstance(value, Instance):
            slots = [
                [p.name, type_name(p), self.value(v, p.type, namespace)]
                for p, v in ((p, value[p.name]) for p in value.cls.properties)
            ]
            return {
                "path": {"ns": namespace, "class": value.cls.name, "keys": []},
                "properties": slots,
            }
        return ord(value) if value is not None and cim_type == "char16" else value


def outcome(call: Any) -> tuple[int, str | None, list[Any]]:
    """(status, message, results) of a call of the broker."""
    try:
        found = call()
    except CIMError as error:
        return error.status, error.message, []
    return 0, None, list(found)
