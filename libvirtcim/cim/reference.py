# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the class reference (`docs/classes.md`) from the providers' declarations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from libvirtcim.cim.associations import Association, Handler
from libvirtcim.cim.declare import ClassDecl, Method, Parameter, Property
from libvirtcim.cim.mof import declared_schema
from libvirtcim.cim.schema import ClassInfo, Schema

_INTRODUCTION = """\
# Classes

<!-- Written by `libvirtcim generate` from the provider modules: change those. -->

Every class exists once per hypervisor family, its name made of the family's prefix, an underscore
and the name below: `KVM_ComputerSystem`, `LXC_ComputerSystem`. `P_` stands for the prefix of the
class that is described. Listed are the properties and methods that a class adds to its superclass
or changes in it; those it inherits are the DMTF schema's, declared in `mof/base/`.
"""

_KINDS = ("Classes", "Associations", "Indications")


def title(decl: ClassDecl) -> str:
    """The heading of a class: its name without prefix, or in full where one family has it."""
    return decl.class_name(decl.prefixes[0]) if len(decl.prefixes) == 1 else decl.base


def render(declarations: Sequence[ClassDecl], associations: Sequence[Association] = ()) -> str:
    """The whole document; `associations` bring what each association class can be walked along."""
    schema = declared_schema(declarations)
    walks = {id(association.decl): association for association in associations}
    ordered = sorted(declarations, key=lambda decl: (decl.base, title(decl)))
    kinds: dict[str, list[ClassDecl]] = {kind: [] for kind in _KINDS}
    for decl in ordered:
        kinds[_kind(_info(schema, decl))].append(decl)
    contents = [
        f"**{kind}**: " + ", ".join(f"[{title(d)}](#{title(d).lower()})" for d in found) + ".\n"
        for kind, found in kinds.items()
        if found
    ]
    sections = [
        _section(schema, decl, walks.get(id(decl))) for found in kinds.values() for decl in found
    ]
    return "\n".join((_INTRODUCTION, *contents, *sections))


def _info(schema: Schema, decl: ClassDecl) -> ClassInfo:
    return schema.get(decl.namespaces[0], decl.class_name(decl.prefixes[0]))


def _kind(info: ClassInfo) -> str:
    if info.is_association:
        return "Associations"
    return "Indications" if info.is_indication else "Classes"


def _section(schema: Schema, decl: ClassDecl, association: Association | None) -> str:
    info = _info(schema, decl)
    parts = [f"## {title(decl)}\n", f"{decl.description}\n", _facts(schema, decl, info)]
    if info.is_association:
        parts.append(_ends(info))
    if association is not None:
        parts.append(_table(("from", "to"), map(_walk, association.handlers)))
    if decl.properties:
        parts.append(_table(("property", "type", "meaning"), _property_rows(decl)))
    parts += [_method(decl, method) for method in decl.methods]
    return "\n".join(parts)


def _facts(schema: Schema, decl: ClassDecl, info: ClassInfo) -> str:
    chain = [schema.get(decl.namespaces[0], name).name for name in info.lineage[1:]]
    prefix = f"{decl.prefixes[0]}_"
    superclasses = " ← ".join(f"`{_generic(name, prefix, decl)}`" for name in chain)
    lines = [
        f"* Superclass: {superclasses}",
        "* Classes: " + ", ".join(f"`{decl.class_name(p)}`" for p in decl.prefixes),
        "* Namespaces: " + ", ".join(f"`{namespace}`" for namespace in decl.namespaces),
    ]
    if info.keys and not info.is_association:
        lines.append("* Keys: " + ", ".join(f"`{key.name}`" for key in info.keys))
    if info.qualifiers.get("Abstract") and "Abstract" in decl.qualifiers:
        lines.append("* Abstract: has no instances of its own")
    if decl.registration is not None:
        served = " and ".join(
            filter(None, (", ".join(decl.registration.types[:-1]), decl.registration.types[-1]))
        )
        where = ", ".join(f"`{namespace}`" for namespace in decl.registration.namespaces)
        lines.append(f"* Served: {served} operations in {where}")
    return "\n".join(lines) + "\n"


def _generic(name: str, prefix: str, decl: ClassDecl) -> str:
    """`P_…` in place of one family's name, where several families share the section."""
    if len(decl.prefixes) > 1 and name.startswith(prefix):
        return f"P_{name.removeprefix(prefix)}"
    return name


def _ends(info: ClassInfo) -> str:
    prefix = info.name.split("_")[0] + "_"
    ends = [
        (
            f"`{prop.name}`",
            f"`{'P_' if (prop.reference_class or '').startswith(prefix) else ''}"
            f"{(prop.reference_class or '').removeprefix(prefix)}`",
            "key" if prop.key else "",
        )
        for prop in info.properties
        if prop.type == "reference"
    ]
    return _table(("end", "class", ""), ends)


def _walk(handler: Handler) -> tuple[str, str]:
    return (
        f"{_classes(handler.source)} (`{handler.source_role}`)",
        f"{_classes(handler.target)} (`{handler.target_role}`)",
    )


def _classes(bases: Iterable[str]) -> str:
    return ", ".join(f"`P_{base}`" for base in bases)


def _property_rows(decl: ClassDecl) -> Iterable[tuple[str, str, str]]:
    for prop in decl.properties:
        notes = [prop.description, _values(prop.values)]
        if prop.override:
            notes.append("Changes the inherited property.")
        if prop.default is not None:
            notes.append(f"Default: {prop.default}.")
        if prop.prefixes is not None and set(prop.prefixes) != set(decl.prefixes):
            notes.append(f"Only {_families(prop.prefixes)}.")
        yield f"`{prop.name}`", f"`{_type(prop)}`", " ".join(filter(None, notes))


def _type(item: Property | Parameter) -> str:
    kind = f"{(item.reference_class or '').format(P='P')} REF"
    if item.type != "reference":
        kind = f"{item.type} ({item.embedded.format(P='P')})" if item.embedded else item.type
    return f"{kind}[]" if item.array else kind


def _values(values: Mapping[str, str]) -> str:
    if not values:
        return ""
    return "; ".join(f"{number} = {meaning}" for number, meaning in values.items()) + "."


def _families(prefixes: Iterable[str]) -> str:
    return ", ".join(f"`{prefix}_`" for prefix in prefixes)


def _method(decl: ClassDecl, method: Method) -> str:
    only = ""
    if method.prefixes is not None and set(method.prefixes) != set(decl.prefixes):
        only = f" Only {_families(method.prefixes)}."
    head = (
        f"### {title(decl)}.{method.name}\n\n{method.description}{only} Returns `{method.type}`.\n"
    )
    if not method.parameters:
        return head
    listed = (
        (
            f"`{parameter.name}`",
            f"`{_type(parameter)}`",
            "out" if parameter.out else "in, required" if parameter.required else "in",
            parameter.description,
        )
        for parameter in method.parameters
    )
    return head + "\n" + _table(("parameter", "type", "", "meaning"), listed)


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in body]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
