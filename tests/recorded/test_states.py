# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recorded requests to change the state of guests: the same answer, and the same state afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import RequestContext
from tests.recorded import methods
from tests.recorded.test_replay import VARIABLE
from tests.standin import Domain, keep_memory_in

pytestmark = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no directory with recordings"
)

STATES = {
    "running": 1,
    "paused": 3,
    "shutoff": 5,
    "managed-save": 5,
    "save-file": 5,
    "crashed": 6,
    "pmsuspended": 7,
}
"""Recorded state → libvirt's number."""
SHOWN = ("EnabledState", "HealthState", "OperationalStatus", "OperatingStatus")


class Switched(Domain):
    """A guest that goes into any state at once; it shuts down and reboots later, as it pleases."""

    def create(self) -> None:
        self._go("running")

    def resume(self) -> None:
        self._go("running")

    def suspend(self) -> None:
        self._go("paused")

    def destroy(self) -> None:
        self._go("shutoff")

    def shutdown(self) -> None: ...

    def reboot(self, _flags: int) -> None: ...

    def setSchedulerParameters(self, _values: Any) -> None: ...

    def _go(self, state: str) -> None:
        self.state_number = STATES[state]
        off = self.state_number == STATES["shutoff"]
        self.live_xml, self.number = (None, -1) if off else (self.inactive_xml, 1)


TYPES = {"shutoff-string": "string", "shutoff-uint32": "uint32", "shutoff-sint16": "sint16"}
"""Row → the type in which its number was sent, which rows don't tell."""
SUSPENDED = "a guest that its power management suspended is known"
DISABLED = "a paused guest can be switched off"
REASONS: dict[str, dict[str, str]] = {
    "kvm": {
        r"pmsuspended-.*: \w+ .*, not .*": SUSPENDED,
        r"paused-3: .*": DISABLED,
        r"managed-save-.*: EnabledState 6, not 3": "a managed-saved guest is suspended",
    },
    "lxc": {r"paused-3: .*": DISABLED},
}
"""Family → pattern of a row and its difference → why it is one."""


def differences(row: dict[str, Any], broker: Broker, guest: Domain | None) -> Iterator[str]:
    if row["id"] in TYPES:
        value = {"type": TYPES[row["id"]], "value": row["args"]["RequestedState"]}
        row = {**row, "args": {"RequestedState": value}}
    failed = methods.call(row, broker)
    yield from methods.answers_unlike(row.get("error"), failed)
    if guest is None:
        return
    if guest.state_number != STATES[row["libvirt_after"]]:
        yield f"state {guest.state_number}, not {row['libvirt_after']}"
    path = methods.path_of(f'{row["path"].partition("_")[0]}_ComputerSystem.Name="{guest.name()}"')
    (shown,) = [
        one
        for one in broker.enumerate_instances(RequestContext(), "root/virt", path.classname)
        if one["Name"] == guest.name()
    ]
    for name in SHOWN:
        if shown[name] != row["after"][name]:
            yield f"{name} {shown[name]}, not {row['after'][name]}"


@pytest.mark.parametrize("family", ["kvm", "lxc"])
def test_recorded_requests_and_the_reasons_of_all_differences(
    family: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keep_memory_in(tmp_path, monkeypatch)
    folder = Path(os.environ[VARIABLE])
    found = []
    with methods.noting(folder, family, monkeypatch) as (recorded, broker):
        for row in methods.rows(folder, family, ("RequestStateChange",)):
            recorded.domains = []
            guest = None
            if row.get("guest"):
                xml = (
                    f"<domain><name>{row['guest']}</name><uuid>u</uuid><memory>1</memory></domain>"
                )
                guest = Switched(row["guest"], "u", STATES["shutoff"], xml)
                guest._go(row["libvirt_before"])
                guest.managed_save = row["libvirt_before"] == "managed-save"
                recorded.domains = [guest]
                saved = tmp_path / f"{guest.name()}.save"
                saved.unlink(missing_ok=True)
                if row["libvirt_before"] == "save-file":
                    saved.touch()
            found += [(row["id"], f"{row['id']}: {one}") for one in differences(row, broker, guest)]
    methods.check_reasons(found, REASONS[family])
