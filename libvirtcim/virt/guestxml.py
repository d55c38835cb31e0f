# SPDX-License-Identifier: LGPL-2.1-or-later
"""The element in a guest's metadata that holds libvirtcim's own data about it.

::

    <metadata>
      <libvirtcim:guest xmlns:libvirtcim="http://libvirtcim.org/xmlns/guest/1"
                        weight="512" limit="50" reqstate="2" migrating="true"/>
    </metadata>
"""

from __future__ import annotations

from libvirtcim.virt.xmlplace import NAMESPACE_PREFIXES
from libvirtcim.virt.xmltree import Choice, IntAttr, XmlObject

NAMESPACE = "http://libvirtcim.org/xmlns/guest/1"
PREFIX = "libvirtcim"
GUEST_TAG = f"{{{NAMESPACE}}}guest"

NAMESPACE_PREFIXES[NAMESPACE] = PREFIX


class GuestElement(XmlObject):
    """What is kept per guest; `guestdata` tells how it is used."""

    TAG = GUEST_TAG

    weight = IntAttr("weight")
    limit = IntAttr("limit")
    reqstate = IntAttr("reqstate")
    migrating = Choice("migrating", known=("true", "false"))
