# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whom indications may be sent to. Loads nothing: settings are checked with it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

_HOST_NAME = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reach:
    """Names, addresses and networks that may be sent to; none of them: everybody.

    A name of the list may have any address. A network lets through every name with an address in it.
    """

    names: frozenset[str]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, entries: Iterable[str]) -> Reach:
        """From `HOST`, `ADDRESS` and `NETWORK/PREFIX`; raises ValueError for what is none of these."""
        names, networks = set(), []
        for entry in entries:
            try:
                networks.append(ipaddress.ip_network(entry))
            except ValueError as error:
                if not _HOST_NAME.fullmatch(entry):
                    raise ValueError(f"{entry!r} is no host, address or network: {error}") from None
                names.add(entry.lower())
        return cls(frozenset(names), tuple(networks))

    @property
    def unlimited(self) -> bool:
        """Whether everybody may be sent to."""
        return not self.names and not self.networks

    def has_name(self, host: str) -> bool:
        """Whether a host may be sent to whatever its address is."""
        return self.unlimited or host.lower().rstrip(".") in self.names

    def has_address(self, address: str) -> bool:
        """Whether an address may be sent to; raises ValueError for what is none."""
        found = ipaddress.ip_address(address)
        mapped = getattr(found, "ipv4_mapped", None) or found
        return self.unlimited or any(mapped in network for network in self.networks)

    def may_have(self, host: str) -> bool:
        """Whether a host, a name or address, may be sent to as far as is known without its address."""
        try:
            return self.has_address(host)
        except ValueError:
            return self.has_name(host) or bool(self.networks)
