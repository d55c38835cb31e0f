# SPDX-License-Identifier: LGPL-2.1-or-later
"""Everything that is derived from declarations: written into the tree, or compared with it.

MOF and registration files, the compiled base schema, the class reference, the reference of settings.
"""

from __future__ import annotations

import filecmp
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from libvirtcim import composition
from libvirtcim.cim import base, mof, reference, registration
from libvirtcim.config import General, option_fields
from libvirtcim.server.settings import ServerSettings

GENERATED = ("mof", "registration", "docs/classes.md", "docs/settings.md")
BASE_SCHEMA = Path("libvirtcim/cim/base_schema.json")


def write(root: Path, base_mof: Path, families: Sequence[str] = ()) -> None:
    """Writes every generated file below `root`; `base_mof` holds the declarations of `mof/base`.

    `families`: prefixes of families besides the usual ones.
    """
    declarations = composition.declarations(families)
    (root / "docs").mkdir(parents=True, exist_ok=True)
    mof.write_mof(declarations, root / "mof")
    registration.write_registration(declarations, root / "registration")
    (root / "docs/classes.md").write_text(
        reference.render(declarations, composition.associations())
    )
    (root / "docs/settings.md").write_text(settings_reference())
    if base_mof.is_dir():
        target = root / BASE_SCHEMA
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(base.compile_base(base_mof))


def differences(root: Path, families: Sequence[str] = ()) -> list[str]:
    """Paths below `root` that are not as they would be generated now."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        write(fresh, root / "mof/base", families)
        expected = set(_files(fresh, fresh))
        found = {p for p in _files(root, root, *GENERATED) if p.parts[:2] != ("mof", "base")}
        wrong = [p for p in expected if not _same(fresh / p, root / p)]
        return sorted(str(p) for p in {*wrong, *(found - expected)})


def _same(first: Path, second: Path) -> bool:
    return second.exists() and filecmp.cmp(first, second, shallow=False)


def _files(root: Path, relative_to: Path, *below: str) -> Iterator[Path]:
    for start in [root / name for name in below] or [root]:
        paths = [start] if start.is_file() else start.rglob("*")
        yield from (p.relative_to(relative_to) for p in paths if p.is_file())


def settings_reference() -> str:
    """The reference of all settings in Markdown."""
    lines = [
        "# Settings",
        "",
        "Each setting is a key of `/etc/libvirtcim.toml` and a flag of `libvirtcim serve`",
        "(`max_body_bytes` is `--max-body-bytes`). Flags win over the file,",
        "the file over `/etc/libvirt-cim.conf`.",
        "",
        "```toml",
        "readonly = false",
        "",
        "[connections]",
        'KVM = "qemu:///system"',
        "",
        "[server]",
        'listen = ["127.0.0.1:5988"]',
        "```",
        "",
        "Without a table `[connections]` every family is served from its default URI;",
        "with one, only those in it.",
    ]
    for title, settings in (("General", General), ("[server]", ServerSettings)):
        lines += ["", f"## {title}", "", "| key | default | unit | meaning |", "|---|---|---|---|"]
        for item, _hint in option_fields(settings):
            unit = item.metadata["unit"]
            lines.append(
                f"| `{item.name}` | {shown(item.default)} | {unit} | {item.metadata['help']} |"
            )
    return "\n".join(lines) + "\n"


def shown(value: object) -> str:
    """A default for people; empty where there is none."""
    if value in (None, "", ()):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        texts = (f"{v[0]}:{v[1]}" if isinstance(v, tuple) else str(v) for v in value)
        return ", ".join(f"`{text}`" for text in texts)
    return f"`{value}`"
