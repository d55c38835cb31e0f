# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes `mof/base/` from a DMTF schema archive: `python -m libvirtcim.cim.base_import ARCHIVE`.

A maintainer's command for a new schema release; needs pywbem. It takes the classes of `ROOTS`,
their superclasses and all classes that they refer to or embed, and of these the facts: names,
types, defaults, and the qualifiers of `KEPT`. Descriptions stay behind.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from libvirtcim.cim import base, mof
from libvirtcim.cim.declare import VIRT
from libvirtcim.cim.schema import LocalClass, MethodInfo, ParameterInfo, PropertyInfo, QualifierType

ROOTS = {
    "systems, devices": """CIM_ComputerSystem CIM_Controller CIM_DisplayController
        CIM_EnabledLogicalElementCapabilities CIM_LogicalDisk CIM_Memory CIM_NetworkPort
        CIM_PointingDevice CIM_Processor CIM_StorageVolume CIM_SystemDevice""",
    "settings, pools": """CIM_AllocationCapabilities CIM_ElementAllocatedFromPool
        CIM_ElementSettingData CIM_HostedResourcePool CIM_ResourceAllocationFromPool
        CIM_ResourceAllocationSettingData CIM_ResourcePool CIM_SettingsDefineCapabilities
        CIM_SettingsDefineState CIM_VirtualSystemSettingData
        CIM_VirtualSystemSettingDataComponent""",
    "services": """CIM_ElementCapabilities CIM_HostedService CIM_RedirectionService
        CIM_RedirectionServiceCapabilities CIM_ResourcePoolConfigurationCapabilities
        CIM_ResourcePoolConfigurationService CIM_ServiceAffectsElement CIM_SwitchService
        CIM_VirtualSystemManagementCapabilities CIM_VirtualSystemManagementService
        CIM_VirtualSystemMigrationCapabilities CIM_VirtualSystemMigrationService
        CIM_VirtualSystemMigrationSettingData CIM_VirtualSystemSnapshotService
        CIM_VirtualSystemSnapshotServiceCapabilities""",
    "consoles": """CIM_HostedAccessPoint CIM_KVMRedirectionSAP CIM_SAPAvailableForElement
        CIM_ServiceAccessBySAP""",
    "filters": """CIM_EntriesInFilterList CIM_FilterEntry CIM_FilterList CIM_Hdr8021Filter
        CIM_HostedFilterList CIM_IPHeadersFilter""",
    "relations of any kind": """CIM_ConcreteComponent CIM_ConcreteDependency
        CIM_HostedDependency""",
    "snapshots": """CIM_LastAppliedSnapshot CIM_MostCurrentSnapshotInBranch
        CIM_SnapshotOfVirtualSystem""",
    "jobs, errors": "CIM_AffectedJobElement CIM_ConcreteJob CIM_Error CIM_OwningJobElement",
    "indications": """CIM_FilterCollectionSubscription CIM_IndicationFilter
        CIM_IndicationHandlerCIMXML CIM_IndicationService CIM_IndicationServiceCapabilities
        CIM_IndicationSubscription CIM_InstCreation CIM_InstDeletion CIM_InstModification
        CIM_ListenerDestinationCIMXML""",
    "WBEM server": """CIM_CIMOMStatisticalData CIM_ElementConformsToProfile CIM_Namespace
        CIM_NamespaceInManager CIM_ObjectManager CIM_ReferencedProfile CIM_RegisteredProfile
        CIM_WBEMServer CIM_WBEMServerNamespace""",
}
"""What the classes are for → their names; superclasses and referenced classes follow."""

KEPT = frozenset(
    name
    for line in (
        "Abstract Aggregate Aggregation ArrayType Association BitMap BitValues Composition",
        "Counter Gauge Indication IsPUnit Max MaxLen MaxValue Min MinLen MinValue Octetstring",
        "Override PUnit Propagated Required Static Terminal Units ValueMap Values Version",
        "Weak Write",
    )
    for name in line.split()
)
"""Qualifiers taken over, besides those that have fields of their own."""


def import_base(archive: Path, directory: Path) -> int:
    """Writes `directory` anew from the archive; returns the number of classes."""
    with tempfile.TemporaryDirectory() as scratch:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(scratch)
        classes, types, areas = compile_archive(Path(scratch), root_names())
    note = f"{mof.LICENSE}// Facts of the DMTF CIM schema, out of {archive.name}.\n\n"
    rendered = {"qualifiers.mof": note + "\n".join(map(mof.qualifier_type_mof, types))}
    for cls in classes:
        rendered[f"{areas[cls.name]}/{cls.name}.mof"] = note + mof.class_mof(cls)
    listed = "".join(
        f'#pragma include ("{path}")\n'
        for path in ("qualifiers.mof", *(f"{areas[c.name]}/{c.name}.mof" for c in classes))
    )
    rendered[base.INDEX] = note + listed
    for stale in directory.rglob("*.mof"):
        stale.unlink()
    for name, content in rendered.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return len(classes)


def root_names() -> list[str]:
    """The names in `ROOTS`."""
    return [name for names in ROOTS.values() for name in names.split()]


def compile_archive(
    unpacked: Path, names: Iterable[str]
) -> tuple[list[LocalClass], list[QualifierType], Mapping[str, str]]:
    """Compiles the named classes and all they need from an unpacked archive.

    Returns the classes reduced to facts, each after those it needs, all standard qualifier declarations,
    and class name → folder of the archive. Raises LookupError for a class it lacks.
    """
    from pywbem import MOFCompiler, MOFWBEMConnection

    files = {path.stem.lower(): path for path in unpacked.rglob("*.mof")}

    class Compiler(MOFCompiler):  # type: ignore[misc]
        def find_mof(self, classname: str) -> str | None:
            """Looks in an index: pywbem walks the whole tree for every class."""
            found = files.get(classname.lower())
            return str(found) if found else None

    repository = MOFWBEMConnection()
    compiler = Compiler(repository, search_paths=[str(unpacked)], log_func=None)
    for part in ("qualifiers", "qualifiers_optional"):
        compiler.compile_file(str(files[part]), VIRT)
    for name in names:
        if name.lower() not in files:
            raise LookupError(f"{unpacked.name} has no class {name}")
        if name not in repository.classes.get(VIRT, {}):
            compiler.compile_file(str(files[name.lower()]), VIRT)
    classes = [reduced(base.from_pywbem(c)) for c in repository.classes[VIRT].values()]
    types = [base.type_from_pywbem(q) for q in repository.qualifiers[VIRT].values()]
    areas = {c.name: files[c.name.lower()].parent.name for c in classes}
    return base.in_order(classes), sorted(types, key=lambda q: q.name), areas


def reduced(cls: LocalClass) -> LocalClass:
    """The class with no other qualifiers than those kept."""
    return replace(
        cls,
        qualifiers=_kept(cls.qualifiers),
        properties=tuple(_reduced(p) for p in cls.properties),
        methods=tuple(_reduced_method(m) for m in cls.methods),
    )


def _reduced(prop: PropertyInfo) -> PropertyInfo:
    return replace(prop, qualifiers=_kept(prop.qualifiers))


def _reduced_method(method: MethodInfo) -> MethodInfo:
    return replace(
        method,
        qualifiers=_kept(method.qualifiers),
        parameters=tuple(_reduced_parameter(p) for p in method.parameters),
    )


def _reduced_parameter(parameter: ParameterInfo) -> ParameterInfo:
    return replace(parameter, qualifiers=_kept(parameter.qualifiers))


def _kept(qualifiers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in qualifiers.items() if name in KEPT}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m libvirtcim.cim.base_import", description=__doc__
    )
    parser.add_argument("archive", type=Path, help="cim_schema_<version>-MOFs.zip")
    parser.add_argument("directory", type=Path, nargs="?", default=Path("mof/base"))
    options = parser.parse_args(arguments)
    count = import_base(options.archive, options.directory)
    table = Path(base.__file__).with_name(base.TABLE)
    table.write_text(base.compile_base(options.directory), encoding="utf-8")
    sys.stdout.write(
        f"{count} classes written to {options.directory} and compiled into {table.name}\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
