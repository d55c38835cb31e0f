# SPDX-License-Identifier: LGPL-2.1-or-later
"""VirtualSystemSettingData in the other direction: what of a guest's definition is no device.

A new guest has what its settings say, and defaults of its family for the rest; a guest that is there
keeps what they don't name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from libvirtcim.cim.objects import Value
from libvirtcim.providers.resource_allocation import graphics
from libvirtcim.providers.resource_allocation.target import SettingError, Target, kind_here
from libvirtcim.providers.virtual_system_setting_data import (
    ACTIONS,
    BIOS,
    EFI,
    firmware,
    secure_boot,
)
from libvirtcim.virt.capabilities import Capabilities
from libvirtcim.virt.devices.chardev import Console
from libvirtcim.virt.devices.input import Input
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.host import Host

Values = Mapping[str, Value]

ACTION_OF_NUMBER = {number: action for action, number in ACTIONS.items()}
DEFAULT_ACTION = "destroy"
CLOCK_OFFSETS = {0: "utc", 1: "localtime"}
DEFAULT_BOOT_DEVICES = ("hd",)
FULL_VIRT, PARAVIRT = "hvm", "linux"
DEFAULT_KERNEL = "/dev/null"


# --- what is given ----------------------------------------------------------------------------------


def _action(attribute: str) -> Callable[[Domain, Value], None]:
    return lambda domain, value: setattr(
        domain, attribute, ACTION_OF_NUMBER.get(value, DEFAULT_ACTION)
    )


def _set(attribute: str) -> Callable[[Domain, Value], None]:
    return lambda domain, value: setattr(domain, attribute, value)


def _clock(domain: Domain, value: Value) -> None:
    if value not in CLOCK_OFFSETS:
        raise SettingError(f"ClockOffset {value} is neither 0 (UTC) nor 1 (local time)")
    domain.clock_offset = CLOCK_OFFSETS[value]


def _boot_devices(domain: Domain, value: Value) -> None:
    if None in value:
        raise SettingError("BootDevices has an element that is NULL")
    domain.boot_devices = tuple(value) or DEFAULT_BOOT_DEVICES


def _firmware(domain: Domain, kind: str) -> None:
    """libvirt chooses the files of another kind of firmware."""
    if kind == firmware(domain):
        return
    _forget_firmware(domain)
    domain.firmware = None if kind == BIOS else kind


def _forget_firmware(domain: Domain) -> None:
    domain.firmware = domain.loader = domain.nvram = None
    domain.secure_boot = domain.enrolled_keys = None


def _secure_boot(domain: Domain, wanted: bool) -> None:
    if wanted == bool(secure_boot(domain)):
        return
    if firmware(domain) != EFI:
        raise SettingError(f"SecureBoot needs Firmware {EFI}")
    _forget_firmware(domain)
    domain.firmware = EFI
    domain.secure_boot = domain.enrolled_keys = wanted


CUSTOM = "custom"


def _cpu_mode(domain: Domain, mode: str) -> None:
    if mode != domain.cpu_mode:
        domain.cpu_mode = mode
        domain.cpu_match = domain.cpu_check = domain.cpu_model = None  # of the former mode


def _cpu_model(domain: Domain, model: str) -> None:
    """A model that is there already stays with its mode; another one makes it custom."""
    if model != domain.cpu_model:
        _cpu_mode(domain, CUSTOM)
        domain.cpu_model = model


_FULLY_VIRTUAL: Mapping[str, Callable[[Domain, Value], None]] = {
    "BootDevices": _boot_devices,
    "Arch": _set("arch"),
    "Machine": _set("machine"),
    "Emulator": _set("emulator"),
    "Firmware": _firmware,
    "SecureBoot": _secure_boot,
    "CPUModel": _cpu_model,
    "CPUMode": _cpu_mode,
}
_PARAVIRTUAL: Mapping[str, Callable[[Domain, Value], None]] = {
    "Bootloader": _set("bootloader"),
    "BootloaderArgs": _set("bootloader_args"),
    "Kernel": _set("kernel"),
    "Ramdisk": _set("initrd"),
    "CommandLine": _set("cmdline"),
}
_EVERY: Mapping[str, Callable[[Domain, Value], None]] = {
    "AutomaticShutdownAction": _action("on_poweroff"),
    "AutomaticRecoveryAction": _action("on_crash"),
    "ClockOffset": _clock,
    "EnableACPI": _set("acpi"),
    "EnableAPIC": _set("apic"),
    "EnablePAE": _set("pae"),
}
_CONTAINER: Mapping[str, Callable[[Domain, Value], None]] = {"InitPath": _set("init")}


def is_full_virt(domain: Domain) -> bool:
    """Whether the guest sees a full machine."""
    return (domain.os_type or "").lower() == FULL_VIRT


def apply(domain: Domain, values: Values, host: Host) -> None:
    """Writes what is given to a definition, and nothing else; raises SettingError."""
    _choose_os_type(domain, values, host)
    if values.get("Emulator") not in (None, domain.emulator):
        _check_emulator(values["Emulator"], host)
    if values.get("Arch") is not None and domain.arch not in (None, values["Arch"]):
        domain.machine = domain.emulator = None  # libvirt's choice, unless they are given too
    kind = _CONTAINER if host.family.shape == "LXC" else _PARAVIRTUAL
    if is_full_virt(domain):
        kind = _FULLY_VIRTUAL
    for name, write in {**_EVERY, **kind}.items():
        if values.get(name) is not None:
            write(domain, values[name])


def _choose_os_type(domain: Domain, values: Values, host: Host) -> None:
    wanted = values.get("IsFullVirt")
    if wanted is None:
        return
    if host.family.shape == "LXC" and wanted:
        raise SettingError("containers are not fully virtualised")
    if host.family.prefix == "Xen" and wanted != is_full_virt(domain):
        domain.os_type = FULL_VIRT if wanted else PARAVIRT


def _check_emulator(path: str, host: Host) -> None:
    if host.connection.shares_files and not (path and kind_here(path)):
        raise SettingError(f"Emulator {path!r} is not there")


# --- new guests -------------------------------------------------------------------------------------


def new(values: Values, host: Host, reference: Domain | None = None) -> Domain:
    """The definition of a new guest without devices, or with those of a reference.

    Raises SettingError, and VirtError where the hypervisor can't tell what it runs.
    """
    name = values.get("VirtualSystemIdentifier")
    if not name:
        raise SettingError("Missing VirtualSystemIdentifier")
    domain = Domain.new() if reference is None else reference
    capabilities = host.capabilities()
    domain.name, domain.uuid = name, values.get("UUID") or None
    if domain.os_type is None:
        domain.os_type = host.family.os_type
    _choose_os_type(domain, values, host)
    domain.type = _domain_type(host, capabilities, domain.os_type or "")
    domain.on_poweroff = domain.on_crash = DEFAULT_ACTION
    if reference is not None:
        _forget_boot(domain)
    _default_features(domain, host)
    _default_boot(domain, host)
    apply(domain, values, host)
    if host.family.shape == "KVM":
        _choose_machine(domain, capabilities)
    return domain


def _domain_type(host: Host, capabilities: Capabilities, os_type: str) -> str:
    """The first of the family's that the hypervisor runs, else the first that it runs at all."""
    offered = [
        domain.type.lower()
        for guest in capabilities.guests
        if guest.os_type.lower() == os_type.lower()
        for domain in guest.domains
    ]
    wanted = [
        kind
        for kind in host.family.domain_types
        if kind in offered and not (kind == "kvm" and host.settings.disable_kvm)
    ]
    return (wanted or offered or list(host.family.domain_types[-1:]))[0]


def _forget_boot(domain: Domain) -> None:
    """Nothing of what starts a guest is taken from a reference."""
    for attribute in ("arch", "machine", "kernel", "initrd", "cmdline", "init"):
        setattr(domain, attribute, None)
    domain.bootloader = domain.bootloader_args = None
    domain.boot_devices = ()


def _default_features(domain: Domain, host: Host) -> None:
    full = is_full_virt(domain)
    domain.acpi = full
    domain.apic = domain.pae = full and host.family.shape != "KVM"


def _default_boot(domain: Domain, host: Host) -> None:
    """What starts the guest, where the request doesn't say it."""
    if is_full_virt(domain):
        domain.boot_devices = DEFAULT_BOOT_DEVICES
        if host.family.default_loader is not None and domain.loader is None:
            domain.loader = host.family.default_loader
    elif host.family.shape == "LXC":
        domain.init = host.family.default_init
    elif host.family.prefix == "Xen":
        domain.kernel = DEFAULT_KERNEL


def _choose_machine(domain: Domain, capabilities: Capabilities) -> None:
    os_type = domain.os_type or ""
    domain.arch = domain.arch or capabilities.default_arch(os_type)
    if domain.arch is None:
        return
    kind = domain.type or ""
    domain.machine = domain.machine or capabilities.default_machine(os_type, domain.arch, kind)
    known = capabilities.domain(os_type, domain.arch, kind)
    if domain.emulator is None and known is not None:
        domain.emulator = known.emulator


# --- devices that a new guest has by default ----------------------------------------------------------

S390 = ("s390", "s390x")
S390_CCW = "s390-ccw-virtio"


def add_default_devices(domain: Domain, host: Host) -> None:
    """A display or console, and a mouse, for guests that have none; a console for containers."""
    if host.family.shape == "LXC":
        if not domain.consoles:
            domain.consoles = (Console.new(type="pty"),)
        return
    mainframe = domain.arch in S390
    if not domain.graphics and not domain.consoles:
        if mainframe:
            kind = "sclp" if domain.machine == S390_CCW else "virtio"
            domain.consoles = (Console.new(type="pty", target_type=kind),)
        else:
            target = Target(host, domain, new=True)
            domain.graphics = (graphics.SETTING.new({"ResourceSubType": "vnc"}, target),)
    if not domain.inputs and not mainframe:
        bus = "xen" if host.family.prefix == "Xen" and not is_full_virt(domain) else "ps2"
        domain.inputs = (Input.new(type="mouse", bus=bus),)


def reference(host: Host, name: str) -> Domain:
    """A copy of a guest's stored definition that can become another guest's.

    What two guests can't have both is gone: MAC addresses, firmware variables. Raises VirtError.
    """
    domain = Domain.parse(host.xml(name, inactive=True))
    domain.cpu_shares = None
    domain.guestdata = None
    domain.nvram = None
    for nic in domain.interfaces:
        nic.mac = None
    return domain
