# SPDX-License-Identifier: LGPL-2.1-or-later
"""The embedded CIM-XML server (DSP0200 1.4 and DSP0201 2.4 over HTTP and HTTPS).

::

    from libvirtcim.server.http import CIMServer
    from libvirtcim.server.settings import ServerSettings

    server = CIMServer(broker, ServerSettings(listen=(("127.0.0.1", 5988),)))
    server.run_forever()          # or start() ... stop(), or `with CIMServer(...) as server`

The way of a request: `connections` (HTTP) → `gateway` (headers, user, body) → `service` in a worker
thread → `parser` → `operations` (a table) → `cim.broker` → `writer`. Nothing is imported here: who only
needs the settings doesn't load an HTTP server.
"""
