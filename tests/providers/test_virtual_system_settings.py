# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_VirtualSystemSettingData: what of a stored definition each family shows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.wiring import (
    FULL,
    KVM,
    LXC,
    NAME,
    UUID,
    XEN,
    Case,
    Table,
    broker_of,
    case_id,
    check,
    guest,
    of_families,
    rows,
)


def actions(element: str, name: str) -> list[Case]:
    numbers = {"destroy": 2, "restart": 3, "preserve": 123, "rename-restart": 2, "coredump": 2}
    cases = [
        Case(f"{element} {text}", [{name: number}], head=f"<{element}>{text}</{element}>")
        for text, number in numbers.items()
    ]
    return [*cases, Case(f"no {element}", [{name: 0}])]


def clock(what: str, head: str, shown: int | None) -> Case:
    return Case(what, [{"ClockOffset": shown}], head=head)


def features(head: str, acpi: bool, apic: bool, pae: bool) -> Case:
    shown = {"EnableACPI": acpi, "EnableAPIC": apic, "EnablePAE": pae}
    return Case(f"features {head}", [shown], head=head)


PV = "<os><type>linux</type><kernel>/boot/k</kernel><initrd>/boot/i</initrd><cmdline>ro</cmdline></os>"
HVM = (
    "<os><type arch='x86_64' machine='xenfv'>hvm</type><kernel>/boot/k</kernel>"
    "<initrd>/boot/i</initrd><cmdline>ro</cmdline><boot dev='hd'/><boot dev='cdrom'/></os>"
)
LOADER = "<bootloader>/usr/bin/pygrub</bootloader><bootloader_args>-q</bootloader_args>"
NO_PV: dict[str, Any] = dict.fromkeys(
    ("Bootloader", "BootloaderArgs", "Kernel", "Ramdisk", "CommandLine")
)
ONLY_XEN, ONLY_KVM, ONLY_LXC = (XEN,), (KVM,), (LXC,)

TABLE: Table = {
    "VirtualSystemSettingData": [
        Case(
            "identity",
            [
                {
                    "InstanceID": f"{{P}}:{NAME}",
                    "VirtualSystemIdentifier": NAME,
                    "ElementName": NAME,
                    "VirtualSystemType": "{P}",
                    "UUID": UUID,
                    "Caption": "Virtual System",
                    "Description": "Virtual System",
                    "AutoStart": 0,
                    "ConfigurationID": None,
                    "CreationTime": None,
                    "Notes": None,
                }
            ],
        ),
        *actions("on_poweroff", "AutomaticShutdownAction"),
        *actions("on_crash", "AutomaticRecoveryAction"),
        Case(
            "on_reboot is not shown",
            [{"AutomaticShutdownAction": 0, "AutomaticRecoveryAction": 0}],
            head="<on_reboot>destroy</on_reboot>",
        ),
        Case("starts with the host", [{"AutoStart": 1}], more={"autostart_flag": True}),
        clock("no clock", "", None),
        clock("clock without offset", "<clock/>", None),
        clock("UTC", "<clock offset='utc'/>", 0),
        clock("local time", "<clock offset='localtime'/>", 1),
        clock("local time in capitals", "<clock offset='LocalTime'/>", 1),
        clock("variable", "<clock offset='variable' adjustment='3600'/>", 0),
        clock("time zone", "<clock offset='timezone' timezone='Europe/Berlin'/>", 0),
        features("", False, False, False),
        features("<features/>", False, False, False),
        features("<features><acpi/></features>", True, False, False),
        features("<features><apic eoi='on'/></features>", False, True, False),
        features("<features><pae/></features>", False, False, True),
        features("<features><acpi/><apic/><pae/></features>", True, True, True),
        Case(
            "first emulator",
            [{"Emulator": "/usr/bin/one"}],
            "<emulator>/usr/bin/one</emulator><emulator>/usr/bin/two</emulator>",
        ),
        Case("no emulator", [{"Emulator": None}]),
        Case(
            "boot devices in order",
            [{"BootDevices": ["network", "hd"]}],
            head="<os><type>hvm</type><boot dev='network'/><boot dev='hd'/></os>",
            families=FULL,
        ),
        Case("no boot device", [{"BootDevices": None}]),
        Case(
            "architecture and machine with a boot device",
            [{"Arch": "aarch64", "Machine": "virt-8.0", "BootDevices": ["hd"]}],
            head="<os><type arch='aarch64' machine='virt-8.0'>hvm</type><boot dev='hd'/></os>",
            families=ONLY_KVM,
        ),
        Case(
            "architecture and machine without one",
            [{"Arch": "x86_64", "Machine": "pc-q35-8.0", "BootDevices": None}],
            head="<os><type arch='x86_64' machine='pc-q35-8.0'>hvm</type></os>",
            families=ONLY_KVM,
        ),
        Case(
            "paravirtualised",
            [
                {
                    "IsFullVirt": False,
                    "Bootloader": "/usr/bin/pygrub",
                    "BootloaderArgs": "-q",
                    "Kernel": "/boot/k",
                    "Ramdisk": "/boot/i",
                    "CommandLine": "ro",
                    "BootDevices": None,
                }
            ],
            head=PV + LOADER,
            families=ONLY_XEN,
        ),
        Case(
            "paravirtualised, nothing stated",
            [{"IsFullVirt": False, **NO_PV}],
            head="<os><type>linux</type></os>",
            families=ONLY_XEN,
        ),
        Case(
            "paravirtualised guests have no boot devices",
            [{"IsFullVirt": False, "BootDevices": None}],
            head="<os><type>linux</type><boot dev='hd'/></os>",
            families=ONLY_XEN,
        ),
        Case(
            "full machine",
            [{"IsFullVirt": True, "BootDevices": ["hd", "cdrom"], **NO_PV}],
            head=HVM + LOADER,
            families=ONLY_XEN,
        ),
        Case(
            "full machine in capitals",
            [{"IsFullVirt": True}],
            head="<os><type>HVM</type></os>",
            families=ONLY_XEN,
        ),
        Case(
            "neither",
            [{"IsFullVirt": None, "BootDevices": None, **NO_PV}],
            head="<os><type>xenpvh</type><kernel>/boot/k</kernel></os>",
            families=ONLY_XEN,
        ),
        Case(
            "first program of a container",
            [{"InitPath": "/bin/sh"}],
            head="<os><type>exe</type><init>/bin/sh</init><initarg>-c</initarg></os>",
            families=ONLY_LXC,
        ),
        Case(
            "no first program",
            [{"InitPath": None}],
            head="<os><type>exe</type></os>",
            families=ONLY_LXC,
        ),
        Case(
            "running: the stored definition",
            [{"Emulator": "/usr/bin/stored"}],
            "<emulator>/usr/bin/stored</emulator>",
            families=FULL,
            more={"live": "<emulator>/usr/bin/live</emulator>"},
        ),
        Case(
            "running and transient: the live definition",
            [{"Emulator": "/usr/bin/live"}],
            "<emulator>/usr/bin/stored</emulator>",
            families=FULL,
            more={"live": "<emulator>/usr/bin/live</emulator>", "persistent": False},
        ),
    ],
}


@pytest.mark.parametrize(("prefix", "base", "case"), of_families(TABLE), ids=case_id)
def test_values(prefix: str, base: str, case: Case) -> None:
    check(prefix, base, case)


@pytest.mark.parametrize("prefix", [XEN, KVM, LXC])
def test_action_numbers_mean_what_the_class_says(prefix: str) -> None:
    (row,) = rows(broker_of({prefix: [guest(prefix)]}), prefix, "VirtualSystemSettingData")
    prop = row.cls.by_name["automaticshutdownaction"]
    assert prop.qualifiers["ValueMap"] == ["2", "3", "123", ".."]
    assert prop.qualifiers["Values"][:3] == ["Turn Off", "Restart", "Preserve"]
