# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes classes and qualifier declarations as MOF (DSP0004 annex A) that strict compilers take.

One file per class base name, holding that class of every hypervisor family, and one file per
namespace that includes these in an order in which every superclass comes before its subclasses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from libvirtcim.cim import base
from libvirtcim.cim.declare import ClassDecl, expand_all
from libvirtcim.cim.schema import (
    ClassInfo,
    LocalClass,
    MethodInfo,
    ParameterInfo,
    PropertyInfo,
    Qualifiers,
    QualifierType,
    Schema,
)

LICENSE = "// SPDX-License-Identifier: LGPL-2.1-or-later\n"
HEADER = LICENSE + "// Written by `libvirtcim generate` from the provider modules: change those.\n"
WIDTH = 96
"""Longest line that is broken nowhere but between the words of a text."""

_LEADING = (
    "Association",
    "Indication",
    "Aggregation",
    "Composition",
    "Abstract",
    "Key",
    "Override",
    "In",
    "Out",
    "EmbeddedInstance",
    "EmbeddedObject",
)
"""Qualifiers that come first, in this order; Association and Indication must (DSP0004 annex A)."""

_FLAGS = ("Association", "Indication", "Aggregation", "Composition")
"""Flags of a class that its subclasses repeat: not every repository inherits them."""

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def text_literal(text: str) -> str:
    """A MOF string literal; control characters become `\\x` escapes."""
    return '"' + "".join(_ESCAPES.get(c) or _plain(c) for c in text) + '"'


def _plain(char: str) -> str:
    return char if char >= " " and char != "\x7f" else f"\\x{ord(char):04X}"


def value_literal(value: Any, cim_type: str = "string", indent: int = 0) -> str:
    """A MOF constant: of a list an array initializer, its lines indented by `indent`."""
    if isinstance(value, (list, tuple)):
        return _array([value_literal(item, cim_type) for item in value], indent)
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and cim_type == "char16":
        body = text_literal(value)[1:-1].replace('\\"', '"')
        return "'" + body.replace("'", "\\'") + "'"
    if isinstance(value, str):
        return _wrapped(value, indent)
    return repr(value)


def _array(items: Sequence[str], indent: int) -> str:
    line = f"{{ {', '.join(items)} }}" if items else "{ }"
    if indent + len(line) <= WIDTH:
        return line
    pad = " " * indent
    lines, current = [], ""
    for item in (*(f"{item}," for item in items[:-1]), *items[-1:]):
        if current and len(pad) + 3 + len(current) + 1 + len(item) > WIDTH:
            lines.append(current)
            current = item
        else:
            current = f"{current} {item}" if current else item
    lines.append(current)
    return "{\n" + "".join(f"{pad}   {line}\n" for line in lines) + f"{pad}}}"


def _wrapped(text: str, indent: int) -> str:
    """A string literal, in several pieces on lines of their own where it is long."""
    whole = text_literal(text)
    if indent + len(whole) <= WIDTH:
        return whole
    room, pieces, piece = WIDTH - indent - 5, [], ""
    for word in re.findall(r"\S+\s*|\s+", text):
        if piece and len(text_literal(piece + word)) > room:
            pieces.append(piece)
            piece = word
        else:
            piece += word
    pieces.append(piece)
    pad = "\n" + " " * (indent + 3)
    return "".join(pad + text_literal(piece) for piece in pieces)


def qualifier_type_mof(declared: QualifierType) -> str:
    """A qualifier declaration."""
    default = ""
    if declared.default is not None:
        default = f" = {value_literal(declared.default, declared.type)}"
    flavors = (
        "EnableOverride" if declared.overridable else "DisableOverride",
        "ToSubclass" if declared.tosubclass else "Restricted",
        *(("Translatable",) if declared.translatable else ()),
    )
    return (
        f"Qualifier {declared.name} : {declared.type}{'[]' if declared.array else ''}{default},\n"
        f"   Scope({', '.join(scope.lower() for scope in declared.scopes)}),\n"
        f"   Flavor({', '.join(flavors)});\n"
    )


def _qualifier_list(qualifiers: Qualifiers, indent: int) -> str:
    """`[...]` with each qualifier on its own line, or "" where there are none."""
    rank = {name: number for number, name in enumerate(_LEADING)}
    names = sorted(qualifiers, key=lambda name: rank.get(name, len(rank)))
    if not names:
        return ""
    pad = " " * indent
    written = [_qualifier(name, qualifiers[name], indent + 1) for name in names]
    lines = [written[0]]
    for item in written[1:]:
        if "\n" not in item + lines[-1] and indent + len(lines[-1]) + len(item) + 3 <= WIDTH:
            lines[-1] += f", {item}"
        else:
            lines.append(item)
    return f"{pad}[" + f",\n{pad} ".join(lines) + "]\n"


def _qualifier(name: str, value: Any, indent: int) -> str:
    if value is True or value is None:
        return name
    if isinstance(value, (list, tuple)):
        return f"{name} {value_literal(value, indent=indent)}"
    return f"{name} ( {value_literal(value, indent=indent + len(name) + 3)} )"


def _typed(item: PropertyInfo | ParameterInfo, size: int | None = None) -> str:
    kind = f"{item.reference_class} REF" if item.type == "reference" else item.type
    return f"{kind} {item.name}" + (f"[{size or ''}]" if item.array else "")


def _embedded(item: PropertyInfo | ParameterInfo) -> dict[str, Any]:
    if item.embedded is None:
        return {}
    return {"EmbeddedInstance": item.embedded} if item.embedded else {"EmbeddedObject": True}


def _property_mof(prop: PropertyInfo) -> str:
    qualifiers = {**({"Key": True} if prop.key else {}), **_embedded(prop), **prop.qualifiers}
    default = ""
    if prop.default is not None:
        default = f" = {value_literal(prop.default, prop.type, indent=3)}"
    return _qualifier_list(qualifiers, 3) + f"   {_typed(prop, prop.array_size)}{default};\n"


def _parameter_mof(parameter: ParameterInfo) -> str:
    qualifiers = {
        **({} if parameter.is_in else {"In": False}),
        **({"Out": True} if parameter.is_out else {}),
        **({"Required": True} if parameter.required else {}),
        **_embedded(parameter),
        **parameter.qualifiers,
    }
    return _qualifier_list(qualifiers, 6) + f"      {_typed(parameter)}"


def _method_mof(method: MethodInfo) -> str:
    head = _qualifier_list(method.qualifiers, 3) + f"   {method.type} {method.name}("
    if not method.parameters:
        return head + ");\n"
    return head + "\n" + ",\n".join(map(_parameter_mof, method.parameters)) + ");\n"


def class_mof(local: LocalClass) -> str:
    """One class with exactly what it declares (`strict` adds what must be repeated)."""
    superclass = f" : {local.superclass}" if local.superclass else ""
    features = [*map(_property_mof, local.properties), *map(_method_mof, local.methods)]
    body = "\n" + "\n".join(features) if features else ""
    return _qualifier_list(local.qualifiers, 0) + f"class {local.name}{superclass} {{\n{body}}};\n"


def strict(local: LocalClass, info: ClassInfo, parent: ClassInfo | None) -> LocalClass:
    """The class with the qualifiers that strict compilers want repeated in it.

    These are the flags of the class (Association among them), Override on everything that
    redeclares an inherited property or method, and Key on redeclared keys (DSP0004 section 5.6.3).
    """
    flags = {flag: True for flag in _FLAGS if info.qualifiers.get(flag)}
    inherited = parent.by_name if parent else {}
    methods = {m.name.lower() for m in parent.methods} if parent else set()
    return replace(
        local,
        qualifiers={**flags, **local.qualifiers},
        properties=tuple(
            replace(
                prop,
                key=info.by_name[prop.name.lower()].key,
                qualifiers={"Override": inherited[prop.name.lower()].name, **prop.qualifiers},
            )
            if prop.name.lower() in inherited
            else prop
            for prop in local.properties
        ),
        methods=tuple(
            replace(method, qualifiers={"Override": method.name, **method.qualifiers})
            if method.name.lower() in methods
            else method
            for method in local.methods
        ),
    )


def includes(paths: Iterable[str], comment: str) -> str:
    """A file that includes others."""
    pragmas = "".join(f'#pragma include ("{path}")\n' for path in paths)
    return f"{HEADER}// {comment}\n\n{pragmas}"


def declared_schema(declarations: Sequence[ClassDecl]) -> Schema:
    """The base schema together with the declarations' classes."""
    classes, types = base.load()
    expanded = expand_all(declarations)
    namespaces = dict.fromkeys(n for local in (*classes, *expanded) for n in local.namespaces)
    return Schema([*classes, *expanded], types, namespaces)


def render_mof(declarations: Sequence[ClassDecl]) -> dict[str, str]:
    """File name → content of all MOF files for the declarations."""
    schema = declared_schema(declarations)
    file_of = {
        decl.class_name(prefix): decl.base for decl in declarations for prefix in decl.prefixes
    }
    names = sorted(set(file_of.values()))
    contents: dict[str, list[str]] = {name: [] for name in names}
    wanted: dict[str, set[str]] = {name: set() for name in names}
    necessary: dict[str, set[str]] = {name: set() for name in names}
    held: dict[str, set[str]] = {}
    for local in base.in_order(expand_all(declarations)):
        name = file_of[local.name]
        info, parent = resolved(schema, local)
        contents[name].append(class_mof(strict(local, info, parent)))
        wanted[name] |= {file_of[c] for c in base.needed_by(local) if c in file_of} - {name}
        chain = {file_of[c] for c in _chain(schema, info) if c in file_of}
        necessary[name] |= chain - {name}
        for namespace in local.namespaces:
            held.setdefault(namespace, set()).update(chain)
    rendered = {f"{name}.mof": HEADER + "\n" + "\n".join(mof) for name, mof in contents.items()}
    order = base.ordered(wanted, necessary)
    for namespace, found in sorted(held.items()):
        rendered[namespace_file(namespace)] = includes(
            (f"{name}.mof" for name in order if name in found),
            f"All classes of namespace {namespace}; the DMTF superclasses must exist there.",
        )
    return rendered


def _chain(schema: Schema, info: ClassInfo) -> list[str]:
    namespace = info.local.namespaces[0]
    return [schema.get(namespace, name).name for name in info.lineage]


def namespace_file(namespace: str) -> str:
    """Name of the file that includes all classes of a namespace, e.g. `root-virt.mof`."""
    return namespace.replace("/", "-") + ".mof"


def write_mof(declarations: Sequence[ClassDecl], directory: Path) -> None:
    """Brings `directory` up to date; other `*.mof` files directly in it are removed."""
    write_files(render_mof(declarations), directory, "*.mof")


def write_files(rendered: Mapping[str, str], directory: Path, pattern: str) -> None:
    """Writes the files and removes those that match `pattern` and are no longer among them."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.glob(pattern):
        if path.name not in rendered:
            path.unlink()
    for name, content in rendered.items():
        (directory / name).write_text(content, encoding="utf-8")


def resolved(schema: Schema, local: LocalClass) -> tuple[ClassInfo, ClassInfo | None]:
    """A declared class after inheritance, and its superclass likewise."""
    namespace = local.namespaces[0]
    parent = schema.get(namespace, local.superclass) if local.superclass else None
    return schema.get(namespace, local.name), parent
