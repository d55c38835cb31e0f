# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_VirtualSystemSettingData: the persistent definition of a guest, devices apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.errors import NotFound
from libvirtcim.cim.objects import InstancePath
from libvirtcim.cim.provider import Columns, ProviderRequest
from libvirtcim.providers.common import ALL, FamilyProvider, GuestItem, Provided, registered
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.host import Hosts, Needs

ACTIONS: Mapping[str, int] = {"destroy": 2, "restart": 3, "preserve": 123}
"""libvirt's on_poweroff and on_crash → AutomaticShutdownAction, AutomaticRecoveryAction."""
ACTION_OTHER, ACTION_ABSENT = 2, 0

BASE = ClassDecl(
    "VirtualSystemSettingData",
    "CIM_VirtualSystemSettingData",
    "Settings that guests of every hypervisor family have.",
    ("Virt",),
    (
        Property(
            "ClockOffset",
            "uint16",
            "What the guest's real-time clock shows at its start.",
            values={"0": "UTC", "1": "Local"},
        ),
        Property(
            "AutomaticShutdownAction",
            "uint16",
            "What happens when the guest powers itself off.",
            values={"2": "Turn Off", "3": "Restart", "123": "Preserve", "..": "DMTF Reserved"},
            override=True,
        ),
        Property("UUID", "string", "The guest's UUID."),
        Property("EnableACPI", "boolean", "Whether the guest has ACPI."),
        Property("EnableAPIC", "boolean", "Whether the guest has an APIC."),
        Property("EnablePAE", "boolean", "Whether the guest's processors have PAE."),
        Property(
            "AutoStart",
            "uint16",
            "Whether the guest starts with the host.",
            values={"0": "Disabled", "1": "Enabled"},
        ),
    ),
)

VIRTUAL_SYSTEM_SETTING_DATA = ClassDecl(
    "VirtualSystemSettingData",
    "Virt_VirtualSystemSettingData",
    "Settings of one guest as they are kept for its next start.",
    ALL,
    (
        Property(
            "IsFullVirt",
            "boolean",
            "Whether the guest sees a full machine (HVM) or is paravirtualised.",
            prefixes=("Xen",),
        ),
        Property("Bootloader", "string", "Program that finds the kernel.", prefixes=("Xen",)),
        Property("BootloaderArgs", "string", "Arguments of the boot loader.", prefixes=("Xen",)),
        Property("Kernel", "string", "Kernel file on the host.", prefixes=("Xen",)),
        Property("Ramdisk", "string", "Initial RAM disk on the host.", prefixes=("Xen",)),
        Property("CommandLine", "string", "Arguments of the kernel.", prefixes=("Xen",)),
        Property(
            "BootDevices",
            "string",
            "Kinds of devices to boot from, first one first: hd, cdrom, fd, network.",
            array=True,
            prefixes=("Xen", "KVM"),
        ),
        Property("Emulator", "string", "Device model program.", prefixes=("Xen", "KVM")),
        Property("Arch", "string", "Processor architecture, e.g. x86_64.", prefixes=("KVM",)),
        Property("Machine", "string", "Machine type, e.g. pc-q35-8.0.", prefixes=("KVM",)),
        Property(
            "Firmware",
            "string",
            "What starts the machine: bios (of PCs, the default there) or efi (UEFI).",
            prefixes=("KVM",),
        ),
        Property(
            "SecureBoot",
            "boolean",
            "Whether the firmware starts signed systems only; with Firmware efi.",
            prefixes=("KVM",),
        ),
        Property(
            "CPUMode",
            "string",
            "How like the host's the processors are: custom, host-model, host-passthrough, maximum.",
            prefixes=("KVM",),
        ),
        Property(
            "CPUModel", "string", "Model of the processors, with CPUMode custom.", prefixes=("KVM",)
        ),
        Property("InitPath", "string", "First program of the container.", prefixes=("LXC",)),
    ),
    registration=registered("Virt_VSSD"),
)


def _action(text: str | None) -> int:
    return ACTION_ABSENT if text is None else ACTIONS.get(text, ACTION_OTHER)


def _clock_offset(item: GuestItem) -> int | None:
    offset = item.guest.config.clock_offset
    return None if offset is None else int(offset.lower() == "localtime")


_FULL_VIRT: Mapping[str, bool] = {"hvm": True, "linux": False, "xen": False}
"""libvirt's os type of a Xen guest → IsFullVirt; of PVH guests and containers it says nothing."""


def _is_full_virt(item: GuestItem) -> bool | None:
    return _FULL_VIRT.get((item.guest.config.os_type or "").lower())


def _paravirtualised(attribute: str) -> Callable[[GuestItem], str | None]:
    """What only a paravirtualised guest is started with."""

    def value(item: GuestItem) -> str | None:
        found: str | None = getattr(item.guest.config, attribute)
        return found if _is_full_virt(item) is False else None

    return value


def _boot_devices(item: GuestItem) -> list[str] | None:
    """A paravirtualised guest has none: its kernel does not come from a device."""
    return list(item.guest.config.boot_devices) or None if _is_full_virt(item) else None


BIOS, EFI = "bios", "efi"
_FLASH = "pflash"
"""libvirt's type of loader of firmware that is no BIOS."""
_PC = frozenset({"i686", "x86_64"})
"""Architectures whose machines have a BIOS unless something else is said."""


def firmware(config: Domain) -> str | None:
    """The kind of firmware that a definition asks for, or that its loader or machine has."""
    if config.firmware is not None:
        return config.firmware
    if config.loader_type == _FLASH:
        return EFI
    return BIOS if config.arch in _PC and config.loader is None else None


def secure_boot(config: Domain) -> bool | None:
    """Whether the firmware is to start signed systems only; None where the definition does not say."""
    return config.loader_secure if config.secure_boot is None else config.secure_boot


COLUMNS: Columns = {
    "InstanceID": lambda i: f"{i.prefix}:{i.guest.name}",
    "VirtualSystemIdentifier": lambda i: i.guest.name,
    "ElementName": lambda i: i.guest.name,
    "VirtualSystemType": lambda i: i.prefix,
    "UUID": lambda i: i.guest.config.uuid or i.guest.uuid,
    "Caption": lambda i: "Virtual System",
    "Description": lambda i: "Virtual System",
    "AutomaticShutdownAction": lambda i: _action(i.guest.config.on_poweroff),
    "AutomaticRecoveryAction": lambda i: _action(i.guest.config.on_crash),
    "EnableACPI": lambda i: i.guest.config.acpi,
    "EnableAPIC": lambda i: i.guest.config.apic,
    "EnablePAE": lambda i: i.guest.config.pae,
    "AutoStart": lambda i: int(bool(i.guest.autostart)),
    "ClockOffset": _clock_offset,
    "IsFullVirt": _is_full_virt,
    "Bootloader": _paravirtualised("bootloader"),
    "BootloaderArgs": _paravirtualised("bootloader_args"),
    "Kernel": _paravirtualised("kernel"),
    "Ramdisk": _paravirtualised("initrd"),
    "CommandLine": _paravirtualised("cmdline"),
    "BootDevices": _boot_devices,
    "Emulator": lambda i: i.guest.config.emulator,
    "Arch": lambda i: i.guest.config.arch,
    "Machine": lambda i: i.guest.config.machine,
    "Firmware": lambda i: firmware(i.guest.config),
    "SecureBoot": lambda i: secure_boot(i.guest.config),
    "CPUMode": lambda i: i.guest.config.cpu_mode,
    "CPUModel": lambda i: i.guest.config.cpu_model or None,
    "InitPath": lambda i: i.guest.config.init,
}


class SettingDataProvider(FamilyProvider[GuestItem]):
    """One instance per guest, from its persistent definition (of a transient guest: the live one)."""

    def items(self, request: ProviderRequest) -> Iterable[GuestItem]:
        """Every guest."""
        return self.guests(request, self._needs(request))

    def find(self, request: ProviderRequest, path: InstancePath) -> GuestItem:
        """The guest whose settings `InstanceID` (`<prefix>:<name>`) names."""
        instance_id = path.text("InstanceID")
        name = instance_id.partition(":")[2]
        if not name:
            raise NotFound("No such instance (InstanceID)")
        return self.guest(request, name, self._needs(request), f"No such instance ({name})")

    @staticmethod
    def _needs(request: ProviderRequest) -> Needs:
        if request.names_only:
            return Needs.STATE
        return Needs.CONFIG | (Needs.AUTOSTART if request.wants("AutoStart") else Needs.STATE)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    decl = VIRTUAL_SYSTEM_SETTING_DATA
    return Provided((BASE, decl), (SettingDataProvider(decl, hosts, COLUMNS),))
