# SPDX-License-Identifier: LGPL-2.1-or-later
"""The libvirt side of the helper library: connections, host snapshot, typed XML, per-guest data.

Knows no CIM. Providers read guests through `host.Host`, edit XML through `domain.Domain` and
change guests through `lifecycle`; every failure is a `errors.VirtError`.
"""
