# SPDX-License-Identifier: LGPL-2.1-or-later
"""Registers the plugin with SFCB: one registration file, and one MOF file per namespace.

Both lie in SFCB's staging area under names of ours, so that replacing and removing them is exact.
From the staging area SFCB's own programs build the repository that the server reads when it starts.
They are tried on a copy first: where they fail, nothing has been touched.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from libvirtcim.cim import mof, registration
from libvirtcim.register import record, schema, sfcb_daemon, sfcb_layout
from libvirtcim.register.cimom import Offer, Offered, Status
from libvirtcim.register.doors import place_of_link
from libvirtcim.register.plan import Plan, RegistrationError, Step
from libvirtcim.register.sfcb_layout import Layout, Stanza, read, stanzas

MOF_FILE = "libvirtcim.mof"
REPOSITORY = "repository"
"""Directory of SFCB's classes and instances."""
PREDECESSOR = "Virt_"
"""How the names of libvirt-cim's libraries begin."""


@dataclass(frozen=True, slots=True)
class Added:
    """What a registration added besides its files; kept as JSON in the staging area."""

    version: str | None = None
    door: str | None = None
    library: str | None = None
    fingerprint: str | None = None
    """None: the registration has not come to its end."""
    directories: Sequence[str] = ()
    """Directories of the staging area that were not there, each after that which it lies in."""
    link: str | None = None
    """Path of a link to the library."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """What is staged in a namespace."""

    name: str
    own: int
    """Number of our classes."""
    superclasses: tuple[str, ...]
    """Classes of the DMTF schema that SFCB lacks there."""
    mof: str

    def __str__(self) -> str:
        lacking = ", ".join(self.superclasses)
        return f"{self.own} classes" + (f" and, of the DMTF schema, {lacking}" if lacking else "")


@dataclass(frozen=True, slots=True)
class Staging:
    """All that is staged."""

    registrations: str
    namespaces: tuple[Namespace, ...]

    def texts(self) -> Iterator[str]:
        """All of it."""
        yield self.registrations
        for namespace in self.namespaces:
            yield f"{namespace.name}\n{namespace.mof}"


def find(
    prefix: Path | None = None,
    config: Path | None = None,
    staging: Path | None = None,
    schema_directory: Path | None = None,
) -> Sfcb:
    """The SFCB below `prefix`, or the one on PATH; the others take the place of its defaults.

    Raises NotInstalled, or RegistrationError where a part of it is not where it must be.
    """
    return Sfcb(sfcb_layout.find(prefix, config, staging, schema_directory))


class Sfcb:
    """One SFCB, running or not."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @property
    def title(self) -> str:
        """SFCB and its configuration file."""
        return f"SFCB with {self._layout.config}"

    def locked(self) -> AbstractContextManager[None]:
        """Keeps other registrations with this SFCB out."""
        return record.locked(self._layout.staging)

    def status(self, offered: Offered) -> Status:
        """How things stand, compared with what is offered."""
        added = self._added() or Added()
        served = _ours(self._served())
        current = None
        if served and (offer := offered(added.door, added.library)) is not None:
            current = added.fingerprint == offer.fingerprint(self._wanted(offer).texts())
        return Status(
            self.title,
            sfcb_daemon.running(self._layout) is not None,
            bool(served),
            added.version,
            current,
            added.door,
            added.library,
            tuple(self._problems(served)),
        )

    def register(self, offer: Offer) -> Plan:
        """The steps to the state in which exactly the offer is registered."""
        self._refuse_conflicts(offer)
        staging = self._wanted(offer)
        added = self._added()
        fingerprint = offer.fingerprint(staging.texts())
        former = added.link if added else None
        link = place_of_link(offer.door, offer.library, self._directories, former)
        outcome = f"libvirtcim {offer.version} is registered"
        if added is not None and added.fingerprint == fingerprint and self._complete(staging, link):
            return Plan(self.title, outcome, ())
        kept = added or Added()
        needed = self._directories_of(staging)
        new = [name for name in needed if not (self._layout.staging / name).exists()]
        recorded = Added(
            offer.version,
            offer.door.name,
            str(offer.library),
            directories=[name for name in needed if name in new or name in kept.directories],
            link=str(link) if link else None,
        )
        return Plan(
            self.title,
            outcome,
            (
                self._check_step(staging),
                self._record_step("what is added", recorded),
                *self._unstage_steps(kept),
                *self._directory_steps(name for name in kept.directories if name not in needed),
                *self._unlink_steps(kept, unless=recorded.link),
                *([self._link_step(link, offer.library)] if link else []),
                *self._stage_steps(staging),
                *self._renew_steps(),
                self._record_step(
                    "that it is complete", replace(recorded, fingerprint=fingerprint)
                ),
            ),
        )

    def unregister(self) -> Plan:
        """The steps to the state before the first registration."""
        added = self._added()
        outcome = "libvirtcim is not registered"
        if added is None and not self._staged() and not _ours(self._served()):
            return Plan(self.title, outcome, ())
        kept = added or Added()
        return Plan(
            self.title,
            outcome,
            (
                self._check_step(None),
                *self._unstage_steps(kept),
                *self._directory_steps(kept.directories),
                *self._renew_steps(),
                *self._unlink_steps(kept, unless=None),
                *([self._forget_step()] if added is not None else []),
            ),
        )

    # what is there

    @property
    def _record(self) -> Path:
        return self._layout.staging / record.FILE

    def _added(self) -> Added | None:
        kept = record.read(self._record)
        if kept is None:
            return None
        try:
            return Added(**kept)
        except TypeError as error:
            raise RegistrationError(
                f"{self._record}: {error}; it was written by another version: unregister with that"
            ) from error

    def _staged(self) -> list[Path]:
        """Our files in the staging area."""
        staging = self._layout.staging
        files = [staging / "regs" / registration.SFCB, *(staging / "mofs").rglob(MOF_FILE)]
        return [file for file in files if file.exists()]

    def _served(self) -> str:
        """The registrations of the server; "" before the first."""
        return read(self._layout.register_file) if self._layout.register_file.exists() else ""

    def _complete(self, staging: Staging, link: Path | None) -> bool:
        """Whether nothing that is staged, built or linked has been lost since."""
        namespaces = {Path(n.name) for n in staging.namespaces}
        mofs = self._layout.staging / "mofs"
        staged = self._staged()
        return (
            {f.parent.relative_to(mofs) for f in staged if f.name == MOF_FILE} == namespaces
            and len(staged) == len(namespaces) + 1
            and staging.registrations in self._served()
            and (link is None or link.exists())
        )

    def _problems(self, served: Sequence[Stanza]) -> Iterator[str]:
        """What keeps the registered classes from being served."""
        staged = any(file.name == registration.SFCB for file in self._staged())
        if staged != bool(served):
            yield "the repository is older than what is staged: register or unregister again"
        for location in sorted({stanza.location for stanza in served}):
            if not any((place / f"lib{location}.so").exists() for place in self._directories):
                places = ", ".join(map(str, self._directories))
                yield f"lib{location}.so is in none of SFCB's providerDirs ({places})"

    @property
    def _directories(self) -> tuple[Path, ...]:
        return self._layout.provider_directories

    def _refuse_conflicts(self, offer: Offer) -> None:
        """Raises RegistrationError where somebody else has our classes."""
        wanted = {(r.classname.lower(), r.namespace) for r in registration.rows(offer.declarations)}
        for file, found in self._layout.registrations().items():
            if file.name == registration.SFCB:
                continue
            for stanza in found:
                if any((stanza.classname.lower(), n) in wanted for n in stanza.namespaces):
                    raise RegistrationError(_conflict(stanza, file))
        for namespace in schema.namespaces(offer.declarations):
            own = {c.name.lower() for c in schema.own_classes(offer.declarations, namespace)}
            for file in self._others(namespace):
                taken = sorted(c for c in schema.declared(read(file)).classes if c.lower() in own)
                if taken:
                    raise RegistrationError(
                        f"{file} declares {taken[0]} already; unstage it: `sfcbunstage "
                        f"-s {self._layout.staging} -n {namespace} {file.name}`"
                    )

    def _others(self, namespace: str) -> list[Path]:
        """MOF files of a namespace that are not ours."""
        return [f for f in self._layout.mof_files(namespace) if f.name != MOF_FILE]

    # what is wanted

    def _wanted(self, offer: Offer) -> Staging:
        declarations = offer.declarations
        present = self._layout.schema_declared()
        namespaces = []
        for name in schema.namespaces(declarations):
            staged = present
            for file in self._others(name):
                staged |= schema.declared(read(file))
            lacking = schema.additions(declarations, name, staged)
            namespaces.append(
                Namespace(
                    name,
                    len(schema.own_classes(declarations, name)),
                    tuple(c.name for c in lacking.classes),
                    f"{mof.HEADER}\n{lacking.mof}\n{schema.own_mof(declarations, name)}",
                )
            )
        return Staging(
            registration.render_sfcb(declarations, offer.door.location), tuple(namespaces)
        )

    def _directories_of(self, staging: Staging) -> list[str]:
        """The directories of the staging area that are needed, each after that which it lies in."""
        wanted = [Path("regs"), *(Path("mofs") / n.name for n in staging.namespaces)]
        chains = ((*reversed(path.parents), path) for path in wanted)
        return list(dict.fromkeys(str(path) for chain in chains for path in chain))

    # steps

    def _check_step(self, staging: Staging | None) -> Step:
        def check() -> None:
            with tempfile.TemporaryDirectory(prefix="libvirtcim-") as scratch:
                copy, target = Path(scratch) / "stage", Path(scratch) / "registration"
                shutil.copytree(self._layout.staging, copy)
                # with the instances that clients have made: they are carried over, or fail to be
                if (self._layout.registration / REPOSITORY).is_dir():
                    shutil.copytree(self._layout.registration / REPOSITORY, target / REPOSITORY)
                self._unstage(copy)
                for namespace in staging.namespaces if staging else ():
                    self._stage(copy, namespace.name, MOF_FILE, namespace.mof)
                self._build(copy, target)

        return Step("check", "that SFCB's programs build a repository", "from a copy", check)

    def _stage_steps(self, staging: Staging) -> Iterator[Step]:
        target = self._layout.staging
        for namespace in staging.namespaces:
            run = partial(self._stage, target, namespace.name, MOF_FILE, namespace.mof)
            yield Step("stage", str(namespace), namespace.name, run)
        text = staging.registrations
        count = len(stanzas(text))
        run = partial(self._stage, target, None, registration.SFCB, text)
        yield Step("stage", f"{count} registrations", str(target), run)

    def _unstage_steps(self, added: Added) -> Iterator[Step]:
        if self._staged():
            subject = f"libvirtcim {added.version}" if added.version else "libvirtcim"
            target = self._layout.staging
            yield Step("unstage", subject, str(target), partial(self._unstage, target))

    def _directory_steps(self, names: Iterable[str]) -> Iterator[Step]:
        for name in reversed(list(names)):
            place = self._layout.staging / name
            yield Step("remove", "the empty directory", str(place), partial(_remove_empty, place))

    def _renew_steps(self) -> Iterator[Step]:
        build = partial(self._build, self._layout.staging, self._layout.registration)
        yield Step("rebuild", "SFCB's repository", str(self._layout.registration), build)
        daemon = sfcb_daemon.running(self._layout)
        if daemon is not None:
            if daemon.contained:
                raise RegistrationError(
                    f"{daemon} runs in a container, where it can't be restarted from here: "
                    "stop it, do this again, and start it"
                )
            run = partial(sfcb_daemon.restart, self._layout, daemon)
            yield Step("restart", str(daemon), "", run)

    def _link_step(self, link: Path, library: Path) -> Step:
        def make() -> None:
            link.unlink(missing_ok=True)
            link.symlink_to(library)

        return Step("link", str(library), str(link), make)

    def _unlink_steps(self, added: Added, *, unless: str | None) -> Iterator[Step]:
        if added.link is not None and added.link != unless:
            unlink = partial(Path(added.link).unlink, missing_ok=True)
            yield Step("remove", "the link to the library", added.link, unlink)

    def _record_step(self, what: str, added: Added) -> Step:
        kept: dict[str, Any] = asdict(added)
        return Step("record", what, str(self._record), partial(record.write, self._record, kept))

    def _forget_step(self) -> Step:
        return Step("remove", "the record", str(self._record), self._record.unlink)

    # SFCB's programs

    def _stage(self, staging: Path, namespace: str | None, name: str, text: str) -> None:
        """Stages a file: MOF of a namespace, or (None) registrations."""
        with tempfile.TemporaryDirectory(prefix="libvirtcim-") as scratch:
            file = Path(scratch) / name
            file.write_text(text, encoding="utf-8")
            kind = ("-r", file) if namespace is None else ("-n", namespace, file)
            self._layout.tool("sfcbstage", "-s", staging, *kind)

    def _unstage(self, staging: Path) -> None:
        """Takes all our files out of a staging area."""
        mofs = staging / "mofs"
        for file in mofs.rglob(MOF_FILE):
            namespace = file.parent.relative_to(mofs)
            self._layout.tool("sfcbunstage", "-s", staging, "-n", namespace, MOF_FILE)
        self._layout.tool("sfcbunstage", "-s", staging, "-r", registration.SFCB)

    def _build(self, staging: Path, target: Path) -> None:
        schema_directory = self._layout.schema_directory
        self._layout.tool("sfcbrepos", "-f", "-s", staging, "-r", target, "-c", schema_directory)


def _ours(text: str) -> list[Stanza]:
    """Our registrations in a file of SFCB's."""
    return [s for s in stanzas(text) if s.provider == registration.LIBRARY]


def _conflict(stanza: Stanza, file: Path) -> str:
    text = f"{stanza.classname} is registered already, for lib{stanza.location}.so, by {file}"
    if stanza.location.startswith(PREDECESSOR):
        return (
            f"libvirt-cim is in the way: {text}. One class has one provider; remove libvirt-cim's "
            'registration first, as docs/install.md tells ("Coming from libvirt-cim")'
        )
    return f"{text}; unregister that first"


def _remove_empty(directory: Path) -> None:
    """Removes a directory unless others have put something into it."""
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()
