# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a hypervisor can run: the `<capabilities>` document."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from libvirtcim.virt.xmldoc import parse_root


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine type; `canonical` is what an alias stands for."""

    name: str
    canonical: str | None
    max_cpus: int | None


@dataclass(frozen=True, slots=True)
class GuestDomain:
    """One domain type (kvm, qemu, ...) of a guest architecture, defaults filled in."""

    type: str
    emulator: str | None
    loader: str | None
    machines: tuple[Machine, ...]


@dataclass(frozen=True, slots=True)
class GuestArch:
    """One `<guest>`: an OS type on an architecture."""

    os_type: str
    arch: str
    wordsize: int | None
    emulator: str | None
    loader: str | None
    machines: tuple[Machine, ...]
    domains: tuple[GuestDomain, ...]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """A parsed capabilities document. All look-ups ignore case."""

    host_uuid: str | None
    host_arch: str
    guests: tuple[GuestArch, ...]

    def find(
        self, os_type: str | None = None, arch: str | None = None, domain_type: str | None = None
    ) -> GuestArch | None:
        """The first guest that matches what is given."""
        for guest in self.guests:
            if (
                _matches(os_type, guest.os_type)
                and _matches(arch, guest.arch)
                and (
                    domain_type is None
                    or any(_matches(domain_type, domain.type) for domain in guest.domains)
                )
            ):
                return guest
        return None

    def domain(self, os_type: str, arch: str, domain_type: str) -> GuestDomain | None:
        """The domain entry of a guest that matches all three."""
        guest = self.find(os_type, arch, domain_type)
        if guest is not None:
            for domain in guest.domains:
                if _matches(domain_type, domain.type):
                    return domain
        return None

    def default_arch(self, os_type: str) -> str | None:
        """The host's architecture if it runs that OS type, else the first that does."""
        guest = self.find(os_type, self.host_arch) or self.find(os_type)
        return None if guest is None else guest.arch

    def default_machine(self, os_type: str, arch: str, domain_type: str) -> str | None:
        """The first machine's canonical name, else its name."""
        domain = self.domain(os_type, arch, domain_type)
        if domain is None or not domain.machines:
            return None
        first = domain.machines[0]
        return first.canonical or first.name

    @property
    def supports_kvm(self) -> bool:
        """Whether any guest can run with KVM."""
        return self.find(domain_type="kvm") is not None


def parse(text: str) -> Capabilities:
    """The typed form of a capabilities document; Invalid when it is not XML."""
    root = parse_root(text)
    guests = tuple(
        _guest(element, arch)
        for element in root.iterchildren("guest")
        for arch in element.iterchildren("arch")
    )
    uuid = root.findtext("host/uuid")
    return Capabilities(
        host_uuid=uuid.strip().lower() if uuid else None,
        host_arch=(root.findtext("host/cpu/arch") or "").strip(),
        guests=guests,
    )


def _guest(element: etree._Element, arch: etree._Element) -> GuestArch:
    machines = _machines(arch)
    emulator, loader = arch.findtext("emulator"), arch.findtext("loader")
    domains = tuple(
        GuestDomain(
            type=domain.get("type") or "",
            emulator=domain.findtext("emulator") or emulator,
            loader=domain.findtext("loader") or loader,
            machines=_merged(_machines(domain), machines),
        )
        for domain in arch.iterchildren("domain")
    )
    wordsize = arch.findtext("wordsize")
    return GuestArch(
        os_type=(element.findtext("os_type") or "").strip(),
        arch=arch.get("name") or "",
        wordsize=int(wordsize) if wordsize and wordsize.strip().isdigit() else None,
        emulator=emulator,
        loader=loader,
        machines=machines,
        domains=domains,
    )


def _machines(element: etree._Element) -> tuple[Machine, ...]:
    return tuple(
        Machine(
            name=machine.text or "",
            canonical=machine.get("canonical"),
            max_cpus=int(count) if (count := machine.get("maxCpus") or "").isdigit() else None,
        )
        for machine in element.iterchildren("machine")
    )


def _merged(own: tuple[Machine, ...], inherited: tuple[Machine, ...]) -> tuple[Machine, ...]:
    """The domain's own machines, then those of the architecture that it lacks."""
    names = {machine.name for machine in own}
    return own + tuple(machine for machine in inherited if machine.name not in names)


def _matches(wanted: str | None, have: str) -> bool:
    return wanted is None or wanted.lower() == have.lower()
