# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_ComputerSystem, P_HostSystem and P_EnabledLogicalElementCapabilities: states, captions, identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.providers.wiring import (
    ALL,
    CONTEXT,
    HOST_NAME,
    KVM,
    LXC,
    NAME,
    NS,
    UUID,
    XEN,
    Case,
    Table,
    Unreadable,
    broker_of,
    case_id,
    check,
    guest,
    metadata,
    of_families,
    rows,
)

VNC = "<graphics type='vnc' port='5901' listen='127.0.0.1'/>"
PTY = "<console type='pty'><source path='/dev/pts/3'/><target type='serial' port='2'/></console>"


def _caption(what: str, devices: str, shown: str, live: str | None = None) -> Case:
    return Case(what, [{"Caption": f"Virtual System ({shown})"}], devices, more={"live": live})


TABLE: Table = {
    "HostSystem": [
        Case(
            "name and class, and the schema's defaults",
            [
                {
                    "CreationClassName": "{P}_HostSystem",
                    "Name": HOST_NAME,
                    "EnabledState": 5,
                    "RequestedState": 12,
                    "Caption": None,
                }
            ],
        ),
    ],
    "EnabledLogicalElementCapabilities": [
        Case(
            "shut down is accepted, but not advertised",
            [
                {
                    "InstanceID": NAME,
                    "RequestedStatesSupported": [2, 3, 9, 10, 11],
                    "ElementNameEditSupported": False,
                    "ElementName": None,
                }
            ],
        ),
    ],
    "ComputerSystem": [
        Case(
            "identity",
            [
                {
                    "CreationClassName": "{P}_ComputerSystem",
                    "Name": NAME,
                    "ElementName": NAME,
                    "UUID": UUID,
                    "Description": "Virtual System",
                    "OtherIdentifyingInfo": ["Virtual System", "{P} Virtual System", UUID],
                    "IdentifyingDescriptions": ["Type", "Model", "UUID"],
                    "EnabledState": 3,
                    "HealthState": 0,
                    "OperationalStatus": [15],
                    "OperatingStatus": 5,
                    "RequestedState": 0,
                }
            ],
        ),
        Case("last request", [{"RequestedState": 11}], head=metadata(reqstate=11)),
        Case("last request is no number", [{"RequestedState": 0}], head=metadata(reqstate="x")),
        _caption("no display", "", "No console"),
        _caption("VNC", VNC, "Console on vnc://h1:5901"),
        _caption("VNC without port", "<graphics type='vnc'/>", "Console on vnc://h1:-1"),
        _caption(
            "port yet to be chosen", "<graphics type='vnc' port='-1'/>", "Console on vnc://h1:-1"
        ),
        _caption(
            "running: the port in use",
            "<graphics type='vnc' port='-1' autoport='yes'/>",
            "Console on vnc://h1:5901",
            VNC,
        ),
        _caption(
            "SDL with its display", "<graphics type='sdl' display=':0'/>", "Console on sdl://h1::0"
        ),
        _caption("SDL without display", "<graphics type='sdl'/>", "Console on sdl://h1"),
        _caption("pty console", PTY, "Console on console://h1:2"),
        _caption("pty console without port", "<console type='pty'/>", "Console on console://h1:0"),
        _caption("a display before a text console", PTY + VNC, "Console on vnc://h1:5901"),
        _caption(
            "first display of several",
            "<graphics type='spice' port='5903'/>" + VNC,
            "Console on spice://h1:5903",
        ),
        _caption("a console that is no terminal", "<console type='null'/>", "No console"),
        _caption("a display that nobody sees", "<graphics type='egl-headless'/>", "No console"),
    ],
}


@pytest.mark.parametrize(("prefix", "base", "case"), of_families(TABLE), ids=case_id)
def test_values(prefix: str, base: str, case: Case) -> None:
    check(prefix, base, case)


# libvirt's state → EnabledState, HealthState, OperationalStatus, OperatingStatus
STATES: list[tuple[str, int, tuple[int, int, int, int]]] = [
    ("no state", 0, (0, 0, 15, 5)),
    ("running", 1, (2, 5, 2, 32768)),
    ("blocked", 2, (2, 5, 2, 7)),
    ("paused", 3, (9, 5, 2, 7)),
    ("shutting down", 4, (4, 0, 15, 5)),
    ("shut off", 5, (3, 0, 15, 5)),
    ("crashed", 6, (3, 20, 6, 6)),
    ("suspended by power management", 7, (9, 5, 15, 7)),
    ("unknown", 8, (0, 0, 0, 0)),
    ("unknown", 99, (0, 0, 0, 0)),
]
XEN_NO_STATE = (2, 5, 2, 32768)


def status(row: Any) -> tuple[int, ...]:
    names = ("EnabledState", "HealthState", "OperatingStatus")
    enabled, health, operating = (row[name] for name in names)
    (operational,) = row["OperationalStatus"]
    return enabled, health, operational, operating


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize(("_what", "state", "expected"), STATES)
def test_states(prefix: str, _what: str, state: int, expected: tuple[int, ...]) -> None:
    number = -1 if state in (5, 6) else 4
    domain = guest(prefix, state=state, number=number)
    (row,) = rows(broker_of({prefix: [domain]}), prefix, "ComputerSystem")
    if prefix == XEN and state == 0:
        expected = XEN_NO_STATE
    assert status(row) == expected


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize(
    ("what", "state", "mode", "expected"),
    [
        ("saved", 5, 0o600, (6, 0, 15, 5)),
        ("saved after a crash", 6, 0o600, (6, 20, 6, 6)),
        ("running on", 1, 0o600, (2, 5, 2, 32768)),
        ("no access to the file", 5, None, (3, 0, 15, 5)),
    ],
)
def test_guests_with_a_memory_snapshot(
    monkeypatch: pytest.MonkeyPatch,
    save_directory: Path,
    prefix: str,
    what: str,
    state: int,
    mode: int | None,
    expected: tuple[int, ...],
) -> None:
    (save_directory / f"{NAME}.save").write_text("memory")
    if mode is None:
        monkeypatch.setattr("os.access", lambda _path, _mode: False)
    domain = guest(prefix, state=state, number=4 if state == 1 else -1)
    (row,) = rows(broker_of({prefix: [domain]}), prefix, "ComputerSystem")
    assert status(row) == expected, what


@pytest.mark.parametrize("prefix", ALL)
def test_a_managed_saved_guest_is_suspended(prefix: str) -> None:
    domain = guest(prefix, managed_save=True)
    (row,) = rows(broker_of({prefix: [domain]}), prefix, "ComputerSystem")
    assert status(row) == (6, 0, 15, 5)


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("state", range(9))
@pytest.mark.parametrize(("migrating", "shown"), [("true", True), ("false", False)])
def test_a_migrating_guest_says_so_whatever_its_state(
    prefix: str, state: int, migrating: str, shown: bool
) -> None:
    number = -1 if state in (5, 6) else 4
    domain = guest(prefix, head=metadata(migrating=migrating), state=state, number=number)
    (row,) = rows(broker_of({prefix: [domain]}), prefix, "ComputerSystem")
    assert (row["OperatingStatus"] == 9) is shown


@pytest.mark.parametrize(
    ("prefix", "file_name"), [(XEN, "Xen_g1"), (KVM, "QEMU_g1"), (LXC, "LXC_g1")]
)
@pytest.mark.parametrize(
    ("content", "requested", "operating"),
    [
        (f"<uuid>{UUID}</uuid><reqstate>3</reqstate><migrating>TRUE</migrating>", 3, 9),
        (f"<uuid>{UUID}</uuid><reqstate>x</reqstate>", 0, 5),
        (f"<uuid>{UUID[:-1]}b</uuid><reqstate>3</reqstate><migrating>true</migrating>", 0, 5),
    ],
)
def test_side_files_of_old_count_for_the_same_guest(
    tmp_path: Path, prefix: str, file_name: str, content: str, requested: int, operating: int
) -> None:
    (tmp_path / file_name).write_text(f"<dominfo>{content}</dominfo>")
    broker = broker_of({prefix: [guest(prefix)]}, side_file_dir=tmp_path)
    (row,) = rows(broker, prefix, "ComputerSystem")
    assert (row["RequestedState"], row["OperatingStatus"]) == (requested, operating)


PER_GUEST = {
    "ComputerSystem": "{}",
    "EnabledLogicalElementCapabilities": "{}",
    "VirtualSystemSettingData": "{P}:{}",
    "Memory": "{}/mem",
    "MemResourceAllocationSettingData": "{}/mem",
    "ProcResourceAllocationSettingData": "{}/proc",
}


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("base", PER_GUEST)
def test_guests_come_in_libvirts_order_those_that_are_off_first(prefix: str, base: str) -> None:
    domains = [
        guest(prefix, name, uuid=f"{UUID[:-1]}{place}", state=1 if number > 0 else 5, number=number)
        for place, (name, number) in enumerate(
            [("zeta", 7), ("off2", -1), ("alpha", 3), ("off1", -1)]
        )
    ]
    found = rows(broker_of({prefix: domains}), prefix, base)
    keys = [row["InstanceID"] or row["DeviceID"] or row["Name"] for row in found]
    expected = PER_GUEST[base].replace("{P}", prefix)
    assert keys == [expected.format(name) for name in ("off2", "off1", "zeta", "alpha")]


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("base", PER_GUEST)
@pytest.mark.parametrize("place", [0, 1])
def test_a_guest_that_cannot_be_read_is_left_out(prefix: str, base: str, place: int) -> None:
    domains = [guest(prefix), guest(prefix, "bad", uuid=UUID[:-1] + "b", kind=Unreadable)]
    if place == 0:
        domains.reverse()
    broker = broker_of({prefix: domains})
    # instances only: names are known without a definition
    found = broker.enumerate_instances(CONTEXT, NS, f"{prefix}_{base}")
    keys = [row["InstanceID"] or row["DeviceID"] or row["Name"] for row in found]
    good = PER_GUEST[base].replace("{P}", prefix).format(NAME)
    # capabilities are known by the guest's name alone
    assert [key for key in keys if key != "bad"] == [good]
    assert ("bad" in keys) == (base == "EnabledLogicalElementCapabilities")


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("base", [*PER_GUEST, "LogicalDisk", "NetworkPort", "Processor"])
def test_a_host_without_guests(prefix: str, base: str) -> None:
    assert rows(broker_of({prefix: []}), prefix, base) == []


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("name", ["run two", "odd &<>\"'%", "ü-größe-ü", "Web1 "])
def test_names_come_back_whole(prefix: str, name: str) -> None:
    escaped = name.replace("&", "&amp;").replace("<", "&lt;")
    domain = guest(prefix, escaped)
    domain.domain_name = name
    broker = broker_of({prefix: [domain]})
    for base, key in PER_GUEST.items():
        (row,) = rows(broker, prefix, base)
        shown = row["InstanceID"] or row["DeviceID"] or row["Name"]
        assert shown == key.replace("{P}", prefix).format(name)
