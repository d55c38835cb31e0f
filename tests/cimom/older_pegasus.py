# SPDX-License-Identifier: LGPL-2.1-or-later
"""`older_pegasus.py LIBRARY`: registers a version 0.0.1 with OpenPegasus, which had a class more."""

from __future__ import annotations

import sys
from pathlib import Path

from libvirtcim import composition
from libvirtcim.cim.declare import ClassDecl, Registration
from libvirtcim.register import pegasus
from libvirtcim.register.cimom import Offer
from libvirtcim.register.doors import DOORS

BYGONE = ClassDecl(
    "Bygone",
    "CIM_StorageVolume",
    "A class that only the older version has, from a superclass that nothing else needs.",
    ("KVM",),
    registration=Registration("Virt_Bygone", ("instance",)),
)


def main(library: str) -> None:
    """Takes all steps."""
    declarations = [*composition.declarations(), BYGONE]
    offer = Offer(declarations, DOORS["plugin"], Path(library), version="0.0.1")
    server = pegasus.find(None)
    with server.locked():
        server.register(offer).carry_out(print)


if __name__ == "__main__":
    main(sys.argv[1])
