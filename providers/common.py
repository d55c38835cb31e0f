# SPDX-License-Identifier: LGPL-2.1-or-later
"""What provider modules share: items, look-ups of guests, libvirt errors as CIM errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, reduce
from operator import or_
from typing import Any, Generic, TypeVar

from libvirtcim.cim import errors as cim
from libvirtcim.cim.associations import Association
from libvirtcim.cim.declare import VIRT, ClassDecl, Property, ProviderType, Registration
from libvirtcim.cim.indications import IndicationSource
from libvirtcim.cim.objects import InstancePath, Value
from libvirtcim.cim.provider import Columns, InstanceProvider, ProviderRequest
from libvirtcim.virt import errors as virt
from libvirtcim.virt.families import FAMILIES, Family
from libvirtcim.virt.guestdata import GuestData
from libvirtcim.virt.host import Guest, Host, Hosts, Needs, NodeInfo, Volume
from libvirtcim.virt.nwfilter import Filter
from libvirtcim.virt.pools import Network, StoragePool

ALL = tuple(FAMILIES)
"""Prefixes of all families."""


def prefixes_with(kind: str) -> tuple[str, ...]:
    """Prefixes of the families that have a device kind."""
    return tuple(p for p, family in FAMILIES.items() if kind in family.device_kinds)


def has_class(family: Family, decl: ClassDecl) -> bool:
    """Whether a family, or the one that it is like, has a class."""
    return family.shape in decl.prefixes


@dataclass(frozen=True, slots=True)
class Provided:
    """What one module brings: its declarations, and what serves them."""

    declarations: Sequence[ClassDecl]
    providers: Sequence[InstanceProvider[Any]] = field(default_factory=tuple)
    associations: Sequence[Association] = field(default_factory=tuple)
    indications: Sequence[IndicationSource] = field(default_factory=tuple)


class HostReading:
    """A host during one request: what is asked of it once, however many classes and instances show it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._guests: list[Guest] | None = None
        self._known = Needs.STATE
        self._read: dict[str, Value] = {}

    @classmethod
    def of(cls, request: ProviderRequest, host: Host) -> HostReading:
        """The request's reading of the host."""
        found: HostReading | None = request.shared.get(host)
        if found is None:
            found = request.shared[host] = cls(host)
        return found

    def once(self, key: str, read: Callable[[], Value]) -> Value:
        """What `read` gives, asked for once during the request."""
        if key not in self._read:
            self._read[key] = read()
        return self._read[key]

    def guests(self, needs: Needs) -> list[Guest]:
        """All guests with at least what `needs` says; asked for again only where more is needed."""
        if self._guests is None or needs & ~self._known:
            self._known |= needs
            self._guests = self.host.guests(self._known)
        return self._guests

    @cached_property
    def storage_pools(self) -> list[StoragePool]:
        """The host's storage pools, those that run first."""
        return self.host.storage_pools()

    @cached_property
    def networks(self) -> list[Network]:
        """The host's virtual networks, those that run first."""
        return self.host.networks()

    @cached_property
    def pool_of_name(self) -> Mapping[str, StoragePool]:
        """The host's storage pools by name."""
        return {pool.name: pool for pool in self.storage_pools}

    @cached_property
    def network_of_name(self) -> Mapping[str, Network]:
        """The host's virtual networks by name."""
        return {network.name: network for network in self.networks}

    @cached_property
    def network_of_bridge(self) -> Mapping[str, Network]:
        """The virtual networks that run, by their bridge; the first where several have the same."""
        running = [(n.view.bridge, n) for n in self.networks if n.active]
        return {bridge: network for bridge, network in reversed(running) if bridge}

    @cached_property
    def filters(self) -> list[Filter]:
        """The host's network filters."""
        return self.host.filters()

    @cached_property
    def node(self) -> NodeInfo | None:
        """The machine's memory and processors; None where libvirt can't tell."""
        try:
            return self.host.node()
        except virt.VirtError:
            return None

    @cached_property
    def volumes(self) -> Mapping[str, Volume]:
        """The host's storage volumes by path; none where libvirt can't list them."""
        try:
            return self.host.volumes(self.storage_pools)
        except virt.VirtError:
            return {}


@dataclass(frozen=True, slots=True)
class GuestItem:
    """A guest of a family's host: item of everything of which there is one per guest."""

    prefix: str
    reading: HostReading
    guest: Guest

    @property
    def host(self) -> Host:
        """The guest's host."""
        return self.reading.host

    @property
    def data(self) -> GuestData:
        """What libvirtcim itself keeps of the guest."""
        return self.host.guest_data(self.guest)


def knows(guest: Guest, needs: Needs) -> bool:
    """Whether the guest was read with at least the definitions that `needs` names, and no more is asked."""
    parts = ((Needs.LIVE, guest.live_view), (Needs.CONFIG, guest.config_view))
    known = [need for need, view in parts if view is not None]
    return not needs & ~reduce(or_, known, Needs.STATE)


Item = TypeVar("Item")

_STATUS: Mapping[type[virt.VirtError], type[cim.CIMError]] = {
    virt.ObjectNotFound: cim.NotFound,
    virt.GuestNotFound: cim.NotFound,
    virt.Unsupported: cim.NotSupported,
    virt.Denied: cim.AccessDenied,
}
"""libvirt error categories that have a status of their own; all others are FAILED."""


def cim_error(error: virt.VirtError, text: str = "") -> cim.CIMError:
    """The CIM error for a libvirt error: `text` (what was tried) and libvirt's own message."""
    kind = next((_STATUS[c] for c in type(error).__mro__ if c in _STATUS), cim.Failed)
    return kind(f"{text}: {error.libvirt_message}" if text else error.libvirt_message)


@contextmanager
def translated(text: str = "", status: type[cim.CIMError] | None = None) -> Iterator[None]:
    """Turns libvirt errors of the block into CIM errors, of `status` where it is given."""
    try:
        yield
    except virt.VirtError as error:
        message = f"{text}: {error.libvirt_message}" if text else error.libvirt_message
        raise (status(message) if status else cim_error(error, text)) from error


class FamilyProvider(InstanceProvider[Item], Generic[Item]):
    """Base of providers whose class exists once per hypervisor family."""

    absent = "No such instance"
    """What clients are told who ask for a guest of a hypervisor that is not there."""

    def __init__(self, decl: ClassDecl, hosts: Hosts, columns: Columns) -> None:
        self.decl = decl
        self.hosts = hosts
        self.columns = columns
        more = [f.prefix for f in hosts.more_families if has_class(f, decl)]
        self.classes = tuple(decl.class_name(prefix) for prefix in (*decl.prefixes, *more))

    def serves(self, namespace: str) -> bool:
        """Whether the class is registered there."""
        registration = self.decl.registration
        return registration is not None and namespace in registration.namespaces

    def host(self, request: ProviderRequest) -> Host | None:
        """The host that serves the request's family; None where none is configured."""
        try:
            return self.hosts.host(request.prefix)
        except KeyError:
            return None

    def reading(self, request: ProviderRequest) -> HostReading | None:
        """The family's host, if its hypervisor answers; None where it never has.

        One whose connection is lost is an error, so that no client takes an outage for an empty host.
        """
        host = self.host(request)
        if host is None:
            return None
        try:
            host.connection.call(lambda raw: raw.getType())
        except virt.Unreachable as error:
            if host.connection.ever_connected:
                raise cim.Failed(str(error)) from error
            return None
        except virt.VirtError as error:
            raise cim_error(error) from error
        return HostReading.of(request, host)

    def guests(self, request: ProviderRequest, needs: Needs) -> list[GuestItem]:
        """Every guest of the family, in libvirt's order, inactive ones first.

        A hypervisor that has never answered counts as one without guests; one whose connection is
        lost is an error, so that no client takes an outage for an empty host.
        """
        host = self.host(request)
        if host is None:
            return []
        reading = HostReading.of(request, host)
        try:
            return [GuestItem(request.prefix, reading, guest) for guest in reading.guests(needs)]
        except virt.Unreachable as error:
            if host.connection.ever_connected:
                raise cim.Failed(str(error)) from error
            return []
        except virt.VirtError as error:
            raise cim_error(error, "Unable to list guests") from error

    def guest(self, request: ProviderRequest, name: str, needs: Needs, missing: str) -> GuestItem:
        """One guest by name; where there is none, NotFound with `missing` and libvirt's text.

        A hypervisor that has never answered gives NotFound with `absent`.
        """
        host = self.host(request)
        if host is None:
            raise cim.NotFound(self.absent)
        try:
            reading = HostReading.of(request, host)
            return GuestItem(request.prefix, reading, host.guest(name, needs))
        except virt.ObjectNotFound as error:
            raise cim.NotFound(f"{missing}: {error.libvirt_message}") from error
        except virt.Unreachable as error:
            if host.connection.ever_connected:
                raise cim.Failed(str(error)) from error
            raise cim.NotFound(self.absent) from error
        except virt.VirtError as error:
            raise cim_error(error, missing) from error


def guest_with(item: GuestItem, needs: Needs) -> GuestItem:
    """The same guest, with at least what `needs` says known of it."""
    if knows(item.guest, needs):
        return item
    name = item.guest.name
    with translated(f"Referenced domain `{name}' does not exist"):
        return GuestItem(item.prefix, item.reading, item.host.guest(name, needs))


@dataclass(frozen=True, slots=True)
class HostItem:
    """A family's host: item of everything of which there is one per host."""

    prefix: str
    reading: HostReading

    @property
    def host(self) -> Host:
        """The host."""
        return self.reading.host


class PerHostProvider(FamilyProvider[HostItem]):
    """One instance per family whose hypervisor answers."""

    def items(self, request: ProviderRequest) -> list[HostItem]:
        """The host, if its hypervisor answers."""
        reading = self.reading(request)
        return [] if reading is None else [HostItem(request.prefix, reading)]

    def find(self, request: ProviderRequest, path: InstancePath) -> HostItem:
        """The host; whether `path` names it is checked by its keys."""
        for item in self.items(request):
            return item
        raise cim.NotFound(self.absent)


def registered(
    provider: str, *types: ProviderType, namespaces: tuple[str, ...] = (VIRT,)
) -> Registration:
    """A registration row under the provider name that CIMOM configurations know."""
    return Registration(provider, types or ("instance",), namespaces)


def association(
    base: str,
    description: str,
    *,
    superclass: str = "",
    provider: str = "",
    properties: tuple[Property, ...] = (),
    prefixes: tuple[str, ...] = ALL,
    namespaces: tuple[str, ...] = (VIRT,),
) -> ClassDecl:
    """The declaration of an association class; by default of the superclass and provider of its name."""
    return ClassDecl(
        base,
        superclass or f"CIM_{base}",
        description,
        prefixes,
        properties,
        qualifiers={"Association": True},
        namespaces=namespaces,
        registration=registered(provider or f"Virt_{base}", "association", namespaces=namespaces),
    )


def end(name: str, reference: str, description: str, **qualifiers: int) -> Property:
    """An end of an association, of a more special class than the superclass says."""
    return Property(
        name,
        "reference",
        description,
        reference_class=reference,
        override=True,
        key=True,
        qualifiers=qualifiers,
    )
