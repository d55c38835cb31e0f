# SPDX-License-Identifier: LGPL-2.1-or-later
"""MOF for a namespace of a CIM server: our classes, and what they need and the server lacks.

A CIM server brings a DMTF schema of its own release; nothing of that is touched. Only those
superclasses, referenced classes and qualifier declarations that it doesn't have are added, from
`mof/base`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from libvirtcim.cim import base, mof
from libvirtcim.cim.declare import ClassDecl, expand_all
from libvirtcim.cim.schema import LocalClass, QualifierType

_TEXT = r'"(?:\\.|[^"\\])*"'
_COMMENT = r"//[^\n]*|/\*.*?\*/"
_PRAGMA = r"#pragma[^\n]*"
_INCLUDE = re.compile(
    rf'{_COMMENT}|#pragma\s+include\s*\(\s*"([^"]+)"\s*\)', re.IGNORECASE | re.DOTALL
)
_CLASS = re.compile(r"(?:^|[\];}])\s*class\s+(\w+)\s*(?=[:{])", re.IGNORECASE)
_QUALIFIER = re.compile(r"(?:^|;)\s*qualifier\s+(\w+)\s*:", re.IGNORECASE)
_QUALIFIER_USE = re.compile(r"[\[,]\s*([a-z]\w*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Declared:
    """Names of what is declared in MOF or in a namespace."""

    classes: frozenset[str] = frozenset()
    qualifiers: frozenset[str] = frozenset()

    def __or__(self, other: Declared) -> Declared:
        return Declared(self.classes | other.classes, self.qualifiers | other.qualifiers)


@dataclass(frozen=True, slots=True)
class Additions:
    """What a namespace lacks of the DMTF schema, each class after its superclass."""

    classes: tuple[LocalClass, ...]
    qualifiers: tuple[QualifierType, ...]

    @property
    def mof(self) -> str:
        """The declarations; "" for none."""
        return "\n".join(
            [*map(mof.qualifier_type_mof, self.qualifiers), *map(mof.class_mof, self.classes)]
        )


def namespaces(declarations: Iterable[ClassDecl]) -> list[str]:
    """The namespaces that hold our classes, in order of their first class."""
    return list(dict.fromkeys(n for decl in declarations for n in decl.namespaces))


def own_classes(declarations: Sequence[ClassDecl], namespace: str) -> list[LocalClass]:
    """Our classes of a namespace, each after those it needs."""
    return [c for c in base.in_order(expand_all(declarations)) if namespace in c.namespaces]


def own_mof(declarations: Sequence[ClassDecl], namespace: str) -> str:
    """Our classes of a namespace as strict compilers take them."""
    known = mof.declared_schema(declarations)
    return "\n".join(
        mof.class_mof(mof.strict(local, *mof.resolved(known, local)))
        for local in own_classes(declarations, namespace)
    )


def additions(declarations: Sequence[ClassDecl], namespace: str, present: Declared) -> Additions:
    """What our classes of a namespace need besides what is `present` there.

    A class that is present is taken to have all it needs.
    """
    classes, types = base.load()
    known = {c.name.lower(): c for c in classes}
    has = {name.lower() for name in present.classes}
    own = own_classes(declarations, namespace)
    wanted: dict[str, LocalClass] = {}
    queue = list(own)
    while queue:
        for name in map(str.lower, base.needed_by(queue.pop())):
            if name in known and name not in has and name not in wanted:
                wanted[name] = known[name]
                queue.append(known[name])
    missing = tuple(c for c in classes if c.name.lower() in wanted)
    text = own_mof(declarations, namespace) + "".join(map(mof.class_mof, missing))
    used = {name.lower() for name in _QUALIFIER_USE.findall(_bare(text))}
    given = {name.lower() for name in present.qualifiers}
    return Additions(missing, tuple(t for t in types if t.name.lower() in used - given))


def declared(text: str) -> Declared:
    """What a MOF text declares itself."""
    bare = _bare(text)
    return Declared(frozenset(_CLASS.findall(bare)), frozenset(_QUALIFIER.findall(bare)))


def includes(text: str) -> list[str]:
    """The files that a MOF text includes, in order."""
    return [found[1] for found in _INCLUDE.finditer(text) if found[1]]


def _bare(text: str) -> str:
    """MOF without comments and pragmas, and with empty texts."""
    return re.sub(
        f"{_TEXT}|{_COMMENT}|{_PRAGMA}",
        lambda found: '""' if found[0][0] == '"' else " ",
        text,
        flags=re.DOTALL,
    )
