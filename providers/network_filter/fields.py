# SPDX-License-Identifier: LGPL-2.1-or-later
"""Properties of rules and the attributes of a protocol's element that hold them, in both directions."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libvirtcim.cim.objects import Value
from libvirtcim.providers.network_filter.items import RuleItem

MAX_VARIABLE = 48
"""Characters of a variable's name that stand for an address."""
_MAC_OCTETS, _V4_OCTETS, _V6_OCTETS = 6, 4, 16

ETHERNET_IDS: Mapping[str, int] = {"ipv4": 0x0800, "arp": 0x0806, "rarp": 0x8035, "ipv6": 0x86DD}
"""What libvirt calls the protocols in Ethernet frames that it knows → their numbers."""
_ETHERNET_NAMES = {number: name for name, number in ETHERNET_IDS.items()}
IP_NUMBERS: Mapping[str, int] = {
    "icmp": 1,
    "igmp": 2,
    "tcp": 6,
    "udp": 17,
    "esp": 50,
    "ah": 51,
    "icmpv6": 58,
    "sctp": 132,
    "udplite": 136,
}
"""Protocol above IP → its number (IANA)."""
_IP_NAMES = {number: name for name, number in IP_NUMBERS.items()}
V6 = "-ipv6"
"""Ends the names of protocols above IPv6."""

Attributes = Mapping[str, str]


def _nothing(_value: Value, _given: Mapping[str, Value]) -> Attributes:
    return {}


@dataclass(frozen=True, slots=True)
class Field:
    """One property of a rule.

    `read`: its value in a rule. `write`: (value, all that is given of the rule by property) → attributes of
    the protocol's element; raises ValueError for what none can hold.
    """

    read: Callable[[RuleItem], Value]
    write: Callable[[Any, Mapping[str, Value]], Attributes] = _nothing


def is_v6(item: RuleItem) -> bool:
    """Whether a rule is about IPv6."""
    return "v6" in item.protocol


# --- octets -----------------------------------------------------------------------------------------


def _variable(text: str) -> list[int]:
    """A variable that each interface sets for itself: the characters of its name."""
    return list(text.encode("ascii", "replace")[:MAX_VARIABLE])


def _text(octets: Sequence[int], address: Callable[[bytes], str], *lengths: int) -> str:
    """The text of an address of one of the lengths, or of a variable's name."""
    packed = bytes(octets)
    if len(packed) in lengths:
        return address(packed)
    if packed.startswith(b"$") and packed.isascii():
        return packed.decode()
    raise ValueError(f"{len(packed)} octets are no address")


def hardware_address(attribute: str) -> Field:
    """A MAC address, or its mask."""

    def read(item: RuleItem) -> list[int] | None:
        text = item.match.get(attribute)
        return None if text is None else _mac_octets(text)

    return Field(read, lambda octets, _given: {attribute: _text(octets, _mac_text, _MAC_OCTETS)})


def _mac_octets(text: str) -> list[int]:
    if text.startswith("$"):
        return _variable(text)
    try:
        octets = [int(part, 16) for part in text.split(":")]
    except ValueError:
        octets = []
    return octets if len(octets) == _MAC_OCTETS and max(octets) < 256 else [0] * _MAC_OCTETS


def _mac_text(packed: bytes) -> str:
    return packed.hex(":")


def _ip_octets(text: str, v6: bool) -> list[int]:
    if text.startswith("$"):
        return _variable(text)
    try:
        return list((ipaddress.IPv6Address if v6 else ipaddress.IPv4Address)(text).packed)
    except ValueError:
        return [0] * (_V6_OCTETS if v6 else _V4_OCTETS)


def _ip_text(octets: Sequence[int]) -> str:
    return _text(octets, lambda packed: str(ipaddress.ip_address(packed)), _V4_OCTETS, _V6_OCTETS)


def _mask_text(octets: Sequence[int]) -> str:
    return _text(octets, _prefix_length, _V4_OCTETS, _V6_OCTETS)


def _prefix_length(packed: bytes) -> str:
    bits = "".join(f"{octet:08b}" for octet in packed)
    if "01" in bits:
        raise ValueError("ones after zeros are no mask")
    return str(bits.count("1"))


# --- both ends of a connection -------------------------------------------------------------------------


def ip_end(cim: str, end: str) -> dict[str, Field]:
    """The properties `Hdr<cim>...` of one end, whose attributes begin with `end`."""
    first, last = f"Hdr{cim}Address", f"Hdr{cim}AddressEndOfRange"

    def is_range(item: RuleItem) -> bool:
        return f"{end}ipfrom" in item.match and f"{end}ipto" in item.match

    def address(item: RuleItem, attribute: str) -> list[int] | None:
        text = item.match.get(attribute)
        return None if text is None else _ip_octets(text, is_v6(item))

    def write_first(octets: Sequence[int], given: Mapping[str, Value]) -> Attributes:
        name = f"{end}ipaddr" if given.get(last) is None else f"{end}ipfrom"
        return {name: _ip_text(octets)}

    def mask(item: RuleItem) -> list[int] | None:
        text = item.match.get(f"{end}ipmask")
        return None if text is None or is_range(item) else _mask_octets(text, is_v6(item))

    return {
        first: Field(
            lambda item: address(item, f"{end}ipfrom" if is_range(item) else f"{end}ipaddr"),
            write_first,
        ),
        last: Field(
            lambda item: address(item, f"{end}ipto") if is_range(item) else None,
            lambda octets, _given: {f"{end}ipto": _ip_text(octets)},
        ),
        f"Hdr{cim}Mask": Field(mask, lambda octets, _given: {f"{end}ipmask": _mask_text(octets)}),
        f"Hdr{cim}PortStart": _port(f"{end}portstart"),
        f"Hdr{cim}PortEnd": _port(f"{end}portend"),
    }


def _mask_octets(text: str, v6: bool) -> list[int] | None:
    """A mask that is given as an address, or as the length of a prefix."""
    if not text.isdigit():
        return _ip_octets(text, v6)
    bits, length = (128 if v6 else 32), int(text)
    if length > bits:
        return None
    return list(((1 << bits) - (1 << (bits - length))).to_bytes(bits // 8, "big"))


def _port(attribute: str) -> Field:
    """A port; one that is a variable is 0."""

    def read(item: RuleItem) -> int | None:
        text = item.match.get(attribute)
        if text is None:
            return None
        return int(text) if text.isdigit() else 0

    return Field(read, lambda number, _given: {attribute: str(number)})


# --- protocols ----------------------------------------------------------------------------------------


def _ethernet_protocol(item: RuleItem) -> int | None:
    text = item.match.get("protocolid") if item.protocol == "mac" else item.protocol
    if text is None:
        return None
    known = ETHERNET_IDS.get(text)
    try:
        return int(text, 16) if known is None else known
    except ValueError:
        return None


ETHERNET_PROTOCOL = Field(
    _ethernet_protocol,
    lambda number, _given: {"protocolid": _ETHERNET_NAMES.get(number, f"{number:#x}")},
)
IP_VERSION = Field(lambda item: 6 if is_v6(item) else 4)
"""Chooses the element: see `ip_element`."""
IP_PROTOCOL = Field(lambda item: IP_NUMBERS.get(item.protocol.removesuffix(V6)))
"""Chooses the element too."""


def ip_element(given: Mapping[str, Value]) -> str:
    """The element for a version of IP and a protocol above it; raises ValueError."""
    number = given.get("HdrProtocolID")
    name = "all" if number is None else _IP_NAMES.get(number)
    if name is None:
        raise ValueError(f"libvirt has no rules for the protocol {number}")
    return f"{name}{V6}" if given.get("HdrIPVersion") == 6 and "v6" not in name else name
