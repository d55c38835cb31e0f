# SPDX-License-Identifier: LGPL-2.1-or-later
"""`older_sfcb.py PREFIX CONFIG LIBRARY`: registers a version 0.0.1 with SFCB, which had a class more."""

from __future__ import annotations

import sys
from pathlib import Path

from libvirtcim import composition
from libvirtcim.cim.declare import ClassDecl, Registration
from libvirtcim.register import sfcb
from libvirtcim.register.cimom import Offer
from libvirtcim.register.doors import DOORS

BYGONE = ClassDecl(
    "Bygone",
    "CIM_RegisteredProfile",
    "A class that only the older version has.",
    ("KVM",),
    namespaces=("root/bygone",),
    registration=Registration("Virt_Bygone", ("instance",), ("root/bygone",)),
)


def main(prefix: str, config: str, library: str) -> None:
    """Takes all steps."""
    declarations = [*composition.declarations(), BYGONE]
    offer = Offer(declarations, DOORS["plugin"], Path(library), version="0.0.1")
    server = sfcb.find(Path(prefix), Path(config))
    with server.locked():
        server.register(offer).carry_out(print)


if __name__ == "__main__":
    main(*sys.argv[1:])
