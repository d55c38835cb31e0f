# SPDX-License-Identifier: LGPL-2.1-or-later
"""Memory that the parsed guests of a hypervisor take, measured in a process of its own.

`python -m bench.memory URI rss|traced` prints guests and bytes.
"""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

from bench.engine import PREFIX
from libvirtcim.virt.host import Hosts, Needs
from libvirtcim.virt.settings import HostSettings


def measure(uri: str, how: str) -> float:
    """Bytes per guest as the operating system (`rss`) or Python's allocator (`traced`) sees them."""
    command = [sys.executable, "-m", "bench.memory", uri, how]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    guests, size = map(int, output.split())
    return size / max(guests, 1)


def _resident() -> int:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def main(uri: str, how: str) -> None:
    """Reads every guest once with everything that is ever asked for, and drops the answer."""
    if how == "traced":
        tracemalloc.start()
    size = _traced if how == "traced" else _resident
    hosts = Hosts({PREFIX: uri}, settings=HostSettings(side_file_dir=None))
    host = hosts.host(PREFIX)
    # One guest first: what is loaded and generated once is not the guests'.
    names = host.connection.call(lambda raw: [d.name() for d in raw.listAllDomains(0)])
    host.guest(names[0], Needs.LIVE | Needs.CONFIG)
    before = size()
    count = len(host.guests(Needs.LIVE | Needs.CONFIG))
    print(count, size() - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
