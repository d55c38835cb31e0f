# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the schema tests share: base classes, declarations, compiled DMTF archives."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pywbem import MOFCompiler, MOFWBEMConnection
from pywbem_mock import FakedWBEMConnection  # type: ignore[import-untyped]

from libvirtcim import composition
from libvirtcim.cim import base, base_import, mof
from libvirtcim.cim.declare import VIRT, ClassDecl
from libvirtcim.cim.schema import LocalClass, QualifierType

ROOT = Path(__file__).parents[2]
MOF_BASE = ROOT / "mof/base"
ARCHIVES = {
    "2.41": "cim_schema_2.41.0Experimental-MOFs.zip",
    "2.49": "cim_schema_2.49.0Final-MOFs.zip",
}


@dataclass(frozen=True)
class Archive:
    """A DMTF release: the base classes as it has them, reduced to facts."""

    version: str
    unpacked: Path
    classes: dict[str, LocalClass]
    types: dict[str, QualifierType]
    missing: tuple[str, ...]
    """Roots of the base schema that it lacks."""


@pytest.fixture(scope="session")
def base_table() -> tuple[list[LocalClass], list[QualifierType]]:
    """The compiled base schema."""
    return base.load()


@pytest.fixture(scope="session")
def declarations() -> list[ClassDecl]:
    """What the provider modules declare."""
    return composition.declarations()


@pytest.fixture(scope="session", params=ARCHIVES)
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Each release, out of the directory that LIBVIRTCIM_SCHEMA_DIR names."""
    folder, name = os.environ.get("LIBVIRTCIM_SCHEMA_DIR"), ARCHIVES[request.param]
    if not folder:
        pytest.skip(f"LIBVIRTCIM_SCHEMA_DIR is not set: nothing is compared with {name}")
    path = Path(folder, name)
    if not path.is_file():
        pytest.skip(f"{path} does not exist: nothing is compared with it")
    unpacked = tmp_path_factory.mktemp(request.param.replace(".", "-"))
    with zipfile.ZipFile(path) as packed:
        packed.extractall(unpacked)
    present = {file.stem for file in unpacked.rglob("*.mof")}
    roots = base_import.root_names()
    classes, types, _areas = base_import.compile_archive(
        unpacked, [root for root in roots if root in present]
    )
    return Archive(
        request.param,
        unpacked,
        {c.name: c for c in classes},
        {q.name: q for q in types},
        tuple(root for root in roots if root not in present),
    )


Compile = Callable[[Sequence[ClassDecl], Path], FakedWBEMConnection]


def compile_strictly(
    declarations: Sequence[ClassDecl], folder: Path, namespace: str = VIRT
) -> FakedWBEMConnection:
    """The declarations' MOF in a repository that checks overrides, scopes and references."""
    mof.write_mof(declarations, folder)
    connection = FakedWBEMConnection(default_namespace=namespace)
    connection.compile_mof_file(str(MOF_BASE / base.INDEX), namespace, [str(MOF_BASE)])
    if declarations:
        connection.compile_mof_file(str(folder / mof.namespace_file(namespace)), namespace)
    return connection


def compile_against(archive: Archive, files: Sequence[Path]) -> MOFWBEMConnection:
    """Compiles MOF files on top of a release; raises pywbem.MOFCompileError."""
    repository = MOFWBEMConnection()
    found = {path.stem.lower(): path for path in archive.unpacked.rglob("*.mof")}

    class Compiler(MOFCompiler):  # type: ignore[misc]
        def find_mof(self, classname: str) -> str | None:
            path = found.get(classname.lower())
            return str(path) if path else None

    compiler = Compiler(repository, search_paths=[str(archive.unpacked)], log_func=None)
    for part in ("qualifiers", "qualifiers_optional"):
        compiler.compile_file(str(found[part]), VIRT)
    for path in files:
        compiler.compile_file(str(path), VIRT)
    return repository
