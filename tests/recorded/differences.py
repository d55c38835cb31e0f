# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where answers differ from the recorded ones on purpose, and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from libvirtcim import composition
from tests.recorded.replay import Difference


@dataclass(frozen=True)
class Row:
    """Differences of one kind, with their reason."""

    reason: str
    kind: str
    """Pattern of the kind or property name."""
    subject: str = ""
    """Pattern of the class name."""
    when: Callable[[Difference], bool] = lambda _: True

    def explains(self, difference: Difference) -> bool:
        return (
            re.fullmatch(self.kind, difference.kind) is not None
            and re.search(self.subject, difference.subject) is not None
            and self.when(difference)
        )


def _answered(pattern: str) -> Callable[[Difference], bool]:
    return lambda d: re.search(pattern, str(d.answered)) is not None


def _recorded(pattern: str) -> Callable[[Difference], bool]:
    return lambda d: re.search(pattern, str(d.recorded)) is not None


def _target(pattern: str) -> Callable[[Difference], bool]:
    return lambda d: re.search(pattern, str(d.question.target)) is not None


def _enumerated(d: Difference) -> bool:
    return d.question.operation.startswith("Enumerate")


def _about(pattern: str) -> Callable[[Difference], bool]:
    """Whether the question, its filters or the result concern what the pattern says."""
    return lambda d: (
        re.search(
            pattern,
            f"{d.question.target} {d.question.arguments} {d.subject} {d.recorded} {d.answered}",
        )
        is not None
    )


def _of_another_family(d: Difference) -> bool:
    """Recorded of a machine with KVM and LXC, asked again of one of them at a time."""
    target = d.question.target
    asked = target if isinstance(target, str) else target.classname
    return asked.startswith("CIM_") or d.subject.partition("_")[0] not in (
        asked.partition("_")[0],
        "",
    )


ASSOCIATIONS = "|".join(f"_{association.decl.base}$" for association in composition.associations())
POOLS = "(Memory|Processor|Disk|Network|Graphics|Input|Controller)Pool$"
DEVICES = "(NetworkPort|LogicalDisk|Memory|Processor|DisplayController|PointingDevice|_Controller)$"
MORE_DEVICES = "Video|Channel|TPM|RNG|Watchdog|HostDevice"
FILTERS = "(Hdr8021Filter|IPHeadersFilter|FilterEntry)$"
NET, DISK, GRAPHICS = (
    f"{kind}ResourceAllocationSettingData" for kind in ("Net", "Disk", "Graphics")
)

DIFFERENCES: tuple[Row, ...] = (
    # what libvirt-cim's CIMOM did, not its providers
    Row(
        "CIMOM: key values lost a trailing non-ASCII character",
        "status|text",
        "",
        _target(r"gespeichert-"),
    ),
    Row("CIMOM: key values lost trailing blanks", "status", "", _target(r' "$')),
    Row(
        "CIMOM: GetInstance ignored property lists",
        ".*",
        "",
        lambda d: "PropertyList" in d.question.arguments,
    ),
    Row(
        "CIMOM: paths without keys became class-level requests",
        "status",
        "",
        _recorded("operation for classes not supported"),
    ),
    Row(
        "CIMOM: did not know these class defaults of the schema",
        "NameFormat|NameNamespace",
        "LogicalDisk",
    ),
    Row(
        "CIMOM: properties that the class does not declare were passed through",
        "VirtualDevice|EmulatedType|AccessMode|Emulator|NetworkType|NetworkName|BusType|readonly",
        "^(?i:LXC)_",
        lambda d: d.answered is None,
    ),
    Row("CIMOM: order of the subclasses of a class", "order", "_ResourceAllocationSettingData$"),
    Row("libvirtd sorted this guest's controllers anew between recordings", "order", "_Controller"),
    Row(
        "CIMOM: had not loaded the provider",
        "status|text",
        "",
        _recorded("Provider not found or not loadable"),
    ),
    Row("CIMOM: had two hypervisors", "missing|status|order|extra", "", _of_another_family),
    Row(
        "CIMOM: had two hypervisors, and looked for the guest at the other",
        "text",
        "ComputerSystem$",
        _answered(r"^No such instance\.$"),
    ),
    # weak points mended
    Row("a provider crashed on a number for a string key", "status", "", _recorded("SIGSEGV")),
    Row(
        "class names are compared ignoring case everywhere",
        "status",
        "",
        _target(r"^root/virt:(kvm|lxc)_"),
    ),
    Row(
        "ids of devices are compared whole and with case",
        "status|text",
        "",
        lambda d: re.search(r'/\S+ x"$|:AA:BB:', str(d.question.target)) is not None,
    ),
    Row(
        "VSSD to system with a blank in the guest's name",
        "status",
        "VirtualSystemSettingData",
        _target(r"(run two|off container)"),
    ),
    Row(
        "a missing display attribute was printed as (null)",
        "missing|status",
        "",
        lambda d: "(null)" in str(d),
    ),
    Row("a missing display was printed as (null)", "extra", "", _answered(r"/sdl'")),
    Row(
        "a missing path was printed as (null)", "Address|VideoProcessor", "", _recorded(r"\(null\)")
    ),
    Row(
        "devices that were dropped silently are shown",
        "extra",
        "",
        _answered(
            r"off-all/(52:54:00:aa:bc:0[bc]|charconsole:15|fda|hda|vda|vdb)'"
            r"|run two/(fdb|sda)'|/spice|off container//(tmpfs|img)'"
        ),
    ),
    Row(
        "a second device of the same id has an id of its own",
        "extra",
        "",
        _answered(r"(mouse:usb|vnc):1'"),
    ),
    Row(
        "a second device of the same id shows its own values",
        "Address|VideoProcessor|KeyMap",
        f"{GRAPHICS}|DisplayController",
        lambda d: "127.0.0.1:-1" in str(d.recorded) or d.answered == "en-us",
    ),
    Row("the caption names a real display rather than a pty console", "Caption", "ComputerSystem"),
    Row(
        "Arch and Machine are shown without a boot device too",
        "Arch|Machine",
        "VirtualSystemSettingData",
    ),
    Row(
        "FilterRef, MountPoint and IsIPv6Only are filled in", "FilterRef|MountPoint|IsIPv6Only", ""
    ),
    Row("a mounted directory has EmulatedType 3", "EmulatedType", DISK, lambda d: d.answered == 3),
    Row("a read-only mounted directory says so", "readonly", DISK, lambda d: d.answered is True),
    Row(
        "the network is told by the interface's type, not by its attributes",
        "NetworkName|PoolID",
        NET,
    ),
    Row(
        "a direct connection through a network shows device and mode",
        "SourceDevice|NetworkMode",
        NET,
    ),
    Row("802.1Qbh and Open vSwitch ports are shown", "VSIType|ProfileID|VSIInstanceID", NET),
    Row("IPv6 hosts have URLs", "BindURL|ConnectURL", "Console", _answered(r"\[")),
    Row(
        "network settings of containers were not registered",
        "extra|status",
        "",
        lambda d: "lxc_netresource" in str((d.answered, d.question.target)).lower(),
    ),
    Row(
        "processor settings of running containers are complete",
        "VirtualQuantity|Weight|Limit",
        "^LXC_Proc",
        lambda d: d.recorded is None,
    ),
    Row("networks and storage pools that are off are shown", "extra", "", _answered("inactive")),
    Row(
        "networks and storage pools that are off can be read",
        "status",
        "DiskPool",
        _recorded(r"No such instance \(inactive-"),
    ),
    Row("a missing bridge was printed as (null)", "Caption", "NetworkPool", _recorded(r"\(null\)")),
    Row("a class of rules lists its own rules only", "missing", FILTERS, _enumerated),
    Row(
        "rules can be read by their name",
        "status",
        FILTERS,
        _recorded("Could not parse filter name"),
    ),
    Row("ARP rules are known by their protocol", "HdrProtocolID8021", "Hdr8021Filter"),
    Row("IPv6 addresses have IPv6 masks", "HdrSrcMask|HdrDestMask", "IPHeadersFilter"),
    Row(
        "of two profiles the one that scopes is Antecedent",
        "missing|extra|Antecedent|Dependent|order",
        "(RegisteredProfile|ReferencedProfile)$",
        _about("ReferencedProfile"),
    ),
    Row(
        "of a pool and its parent the parent is Antecedent",
        "missing|extra|order|Antecedent|Dependent",
        "(Pool|ElementAllocatedFromPool)$",
        _about("ElementAllocatedFromPool"),
    ),
    Row(
        "a managed-saved guest is suspended",
        "EnabledState",
        "ComputerSystem$",
        lambda d: (d.recorded, d.answered) == (3, 6),
    ),
    Row(
        "snapshots that the hypervisor keeps are made too",
        "SnapshotTypesSupported",
        "(?i)^KVM_VirtualSystemSnapshotServiceCapabilities$",
        lambda d: d.answered[:2] == d.recorded,
    ),
    Row(
        "access points show the port and address in use, of SPICE too, and exist only where they do",
        "missing|extra|order|status|text|(System|Element)?Name|EnabledState|ListenAddress|(Other)?KVMProtocol",
        "",
        _about("KVMRedirectionSAP"),
    ),
    Row(
        "settings and devices without a pool have none: no error",
        "status",
        "ResourceAllocationSettingData$",
        _recorded("Unable to determine pool"),
    ),
    Row(
        "network ports of running guests are in their network's pool",
        "extra",
        "(NetworkPort|NetResourceAllocationSettingData|FromPool|NetworkPool)$",
        _about("NetworkPool"),
    ),
    Row(
        "disks of volumes are in their pool",
        "extra",
        "(LogicalDisk|DiskResourceAllocationSettingData|FromPool|DiskPool)$",
        _about("FromPool"),
    ),
    Row(
        "of a network port and its filter the port is Antecedent, as the class says",
        "missing|extra|Antecedent|Dependent|order|status",
        "(AppliedFilterList|NetworkPort|FilterList)$",
        _about("AppliedFilterList|FilterList"),
    ),
    Row(
        "sources are looked up: one that isn't there is an error",
        "status",
        "(FilterList|Filter|FilterEntry|Capabilities|Pool|ConsoleRedirectionService)$",
        lambda d: "('result', [" in str(d.recorded) and "No such instance" in str(d.answered),
    ),
    Row(
        "a host interface that other providers would show is no error",
        "status",
        "(NetworkPool|ProcessorPool)$",
        _recorded("Class not found|NetworkPool not found"),
    ),
    Row("templates have only what their class declares", "AllocationQuantity|cache", DISK),
    Row(
        "the controller pool is KVM's only",
        "missing|status",
        "",
        lambda d: "ControllerPool" in str((d.recorded, d.question.target)) and "LXC_" in str(d),
    ),
    Row(
        "the kind of a pool is told ignoring case, for every kind",
        "status",
        "(Pool|AllocationCapabilities)$",
        _target(r"\b[A-Z]+POOL/"),
    ),
    Row(
        "names of classes are spelled as they are declared",
        "VirtualSystemTypesSupported|CreationClassName|SystemCreationClassName",
        "^(kvm|lxc)_",
    ),
    Row(
        "containers have no controllers, and what lists pools says nothing of them",
        "status",
        "LXC_HostSystem$",
        _recorded("The specified Class does not exist"),
    ),
    Row("a rule without filter is no rule", "status", FILTERS, _answered("Could not parse")),
    # wording
    Row("a class that does not exist", "text", "", _recorded("Class not found")),
    Row(
        "texts of the same meaning",
        "text",
        "(?i)(Pool|Capabilities|FilterList|Filter|FilterEntry|Profile|Service|SAP)$",
        lambda d: (
            "No such" in str(d.recorded) + str(d.answered)
            or "not found" in str(d.recorded).lower() + str(d.answered).lower()
            or "does not exist" in str(d.answered)
        ),
    ),
    # additions
    Row(
        "video adapters, channels, TPMs, random numbers, watchdogs, host devices have settings",
        "extra",
        "",
        _about(f"(?i)_({MORE_DEVICES})ResourceAllocationSettingData"),
    ),
    Row(
        "guests say what firmware and processors they have, disks how they read and write",
        "Firmware|SecureBoot|CPUMode|CPUModel|DriverIO|DriverDiscard|SerialNumber",
        f"(?i){DISK}|VirtualSystemSettingData$",
        lambda d: d.recorded is None,
    ),
    Row(
        "the host and its pools say more of themselves",
        "ElementName|OperationalStatus|HealthState|CurrentlyConsumedResource|OtherResourceType",
        f"(?i){POOLS}|HostSystem$",
        lambda d: d.recorded is None,
    ),
    Row(
        "devices say more of themselves",
        "ElementName|OperationalStatus|PermanentAddress",
        DEVICES,
        lambda d: d.recorded is None,
    ),
    Row(
        "rules say what they match",
        "IsNegated|HdrProtocolID",
        FILTERS,
        lambda d: d.recorded is None,
    ),
    Row(
        "all services and capabilities hang together",
        "extra|order",
        "",
        _about("(?i)SwitchService|SnapshotService|ResourcePoolConfiguration|RPCC|SnapshotCap"),
    ),
    Row(
        "the console's service leads to the controllers that lead to it",
        "extra",
        "(Controller|ServiceAffectsElement)$",
        _about("ServiceAffectsElement|ConsoleRedirectionService"),
    ),
    Row(
        "networks, storage pools and volumes have settings",
        "extra",
        "(NetPool|DiskPool|StorageVolume)ResourceAllocationSettingData$",
        _enumerated,
    ),
    Row(
        "templates of guests are new each time",
        "missing|extra|order",
        "",
        _about("VirtualSystemManagementCapabilities"),
    ),
    Row("enumerating an association class lists its instances", "extra", ASSOCIATIONS, _enumerated),
    Row(
        "a class answers to the name of its superclass as ResultClass",
        "extra",
        "",
        lambda d: str(d.question.arguments.get("ResultClass", "")).startswith("Virt_"),
    ),
    Row(
        "associations are walked in another order where none is named",
        "order",
        "",
        lambda d: "AssocClass" not in d.question.arguments,
    ),
    # the host that was recorded is not this one
    Row(
        "sizes of the recorded host were noted in MiB, and change",
        "Capacity|Reserved|CurrentlyConsumedResource",
        "(?i)(MemoryPool|DiskPool)$",
    ),
    Row(
        "revision and version are not libvirt-cim's",
        "Changeset|Release",
        "(?i)VirtualSystemManagementService$",
    ),
    Row(
        "networks, pools and volumes were listed at another time",
        "missing|extra|order",
        "(Pool|AllocationCapabilities|SettingsDefineCapabilities|DiskResourceAllocationSettingData"
        "|ElementCapabilities|HostSystem|FromPool|ElementConformsToProfile|RegisteredProfile)$",
        lambda d: d.question.host != "A" or _about("macvtap|DiskPool/nfs|iso net")(d),
    ),
    Row(
        "files of the recorded host are not on this one",
        "VirtualQuantity",
        DISK,
        lambda d: d.answered == 0,
    ),
)
