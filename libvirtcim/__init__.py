# SPDX-License-Identifier: LGPL-2.1-or-later
"""CIM providers that manage the virtual machines of a Linux host through libvirt."""

__version__ = "0.1.0"
