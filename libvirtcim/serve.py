# SPDX-License-Identifier: LGPL-2.1-or-later
"""`libvirtcim serve`: the embedded CIM-XML server over a configuration's hosts."""

from __future__ import annotations

import errno
import logging
import sys
import threading
from dataclasses import asdict
from typing import Any

from libvirtcim import composition
from libvirtcim.config import Config
from libvirtcim.hosts import hosts_of
from libvirtcim.server import interop
from libvirtcim.server.auth import check_exposure
from libvirtcim.server.http import CIMServer
from libvirtcim.server.indications.subscriptions import Subscriptions
from libvirtcim.virt import hostname
from libvirtcim.virt.errors import VirtError
from libvirtcim.virt.host import Host, Hosts

_log = logging.getLogger(__name__)


def make_server(config: Config, hosts: Hosts) -> CIMServer:
    """A server over the hosts, not yet started."""
    host_name = hostname.HostName(None).get
    broker = composition.broker(hosts, interop.providers(composition.NAMESPACES, host_name))
    subscriptions = Subscriptions(
        broker,
        config.server,
        config.general.indication_queue,
        host_name,
        lambda: [row for host in hosts for row in _watched(host)],
    )
    return CIMServer(broker, config.server, subscriptions)


def _watched(host: Host) -> list[dict[str, Any]]:
    """What was seen on a host, and told, by what is watched."""
    return [
        {"family": host.family.prefix, "watched": watcher.plural, **asdict(watcher.counters)}
        for watcher in host.watchers
        if watcher.is_watching
    ]


def run(config: Config) -> int:
    """Serves until SIGINT or SIGTERM."""
    try:
        check_exposure(config.server)
    except ValueError as error:
        print(f"libvirtcim: {error}", file=sys.stderr)
        return 2
    hosts = hosts_of(config)
    try:
        server = make_server(config, hosts)
        server.start()
        report_hypervisors(config, hosts)
        server.run_forever()
    except OSError as error:
        print(not_started(error), file=sys.stderr)
        return 1
    finally:
        hosts.close()
    return 0


def not_started(error: OSError) -> str:
    """Why the server could not start, and what to do where that is not plain."""
    advice = ""
    if error.errno == errno.EADDRINUSE:
        advice = "; choose another address with --listen (make run: PORT=)"
    return f"libvirtcim: {error.strerror or error}{advice}"


def report_hypervisors(config: Config, hosts: Hosts) -> None:
    """Logs which hypervisors answer, each when it does: none that hangs holds up anything else."""
    for prefix, uri in config.connections.items():
        threading.Thread(
            target=_report, args=(hosts, prefix, uri), name=f"report-{prefix}", daemon=True
        ).start()


def _report(hosts: Hosts, prefix: str, uri: str) -> None:
    try:
        hosts.host(prefix).connection.call(lambda raw: raw.getType())
        _log.info("%s is served from %s", prefix, uri)
    except VirtError as error:
        _log.warning("%s: %s does not answer: %s", prefix, uri, error.libvirt_message)
