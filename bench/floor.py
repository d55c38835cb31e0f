# SPDX-License-Identifier: LGPL-2.1-or-later
"""The floor: what libvirt alone takes, in a process that does nothing else.

`python -m bench.floor URI` prints seconds: list, XML of all, state of all, and the connection's open.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from typing import NamedTuple

import libvirt


class Floor(NamedTuple):
    """Seconds that libvirt takes, call by call, for all guests of a fresh connection."""

    list: float
    xml: float
    state: float
    open: float

    @property
    def total(self) -> float:
        """List, XML and state together."""
        return self.list + self.xml + self.state


def measure(uri: str) -> Floor:
    """Lists the guests, then asks for the XML and for the state of each, one by one."""
    command = [sys.executable, "-m", "bench.floor", uri]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Floor(*map(float, output.split()))


def main(uri: str) -> None:
    """Measures in this process."""
    times = [time.perf_counter()]
    raw = libvirt.open(uri)
    times.append(time.perf_counter())
    domains = raw.listAllDomains(0)
    times.append(time.perf_counter())
    for domain in domains:
        domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)
    times.append(time.perf_counter())
    for domain in domains:
        domain.state()
    times.append(time.perf_counter())
    opened, *taken = (after - before for before, after in itertools.pairwise(times))
    print(*taken, opened)


if __name__ == "__main__":
    main(*sys.argv[1:])
