# SPDX-License-Identifier: LGPL-2.1-or-later
"""`libvirtcim demo`: serve, show through a CIM client what is served, and go on serving.

Serves the hypervisors of this machine that answer; where none does, libvirt's own test hypervisor with
a sample of several guests, so that there is something to see on any machine.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from tabulate import tabulate

from libvirtcim import listings, serve
from libvirtcim.config import Config
from libvirtcim.hosts import hosts_of
from libvirtcim.server.auth import check_exposure
from libvirtcim.server.settings import DEFAULT_FILE
from libvirtcim.virt.errors import VirtError
from libvirtcim.virt.host import Hosts

NAMESPACE = "root/virt"


def sample_uri() -> str:
    """libvirt's test hypervisor with the sample guests."""
    return f"test://{resources.files('libvirtcim') / 'data' / 'sample-host.xml'}"


def answering(config: Config) -> Mapping[str, str]:
    """The connections of the configuration whose hypervisor answers."""
    hosts = hosts_of(config)
    found = {}
    try:
        for prefix, uri in config.connections.items():
            try:
                hosts.host(prefix).connection.call(lambda raw: raw.getType())
                found[prefix] = uri
            except VirtError as error:
                print(f"  {prefix:4} {uri}: {error.libvirt_message}")
    finally:
        hosts.close()
    return found


def run(config: Config, *, chosen: bool) -> int:
    """Serves until SIGINT or SIGTERM; `chosen`: the user named the connections."""
    try:
        check_exposure(config.server)
    except ValueError as error:
        print(f"libvirtcim: {error}", file=sys.stderr)
        return 2
    # what is being looked for and shown is printed; the log begins with the first stranger's request
    log = logging.getLogger("libvirtcim")
    log.setLevel(logging.ERROR)
    if not chosen:
        print("Looking for hypervisors on this machine:")
        found = answering(config)
        if not found:
            print("None answers: serving libvirt's test hypervisor with sample guests as KVM.")
            found = {"KVM": sample_uri()}
        config = dataclasses.replace(config, connections=found)
    if config.server.subscriptions == DEFAULT_FILE:
        # a demonstration leaves nothing behind, and doesn't send what a server here is to send
        server = dataclasses.replace(config.server, subscriptions="")
        config = dataclasses.replace(config, server=server)
    hosts = hosts_of(config)
    try:
        return _serve_and_show(config, hosts)
    finally:
        hosts.close()


def _serve_and_show(config: Config, hosts: Hosts) -> int:
    server = serve.make_server(config, hosts)
    try:
        server.start()
    except OSError as error:
        print(serve.not_started(error), file=sys.stderr)
        return 1
    try:
        host, port = server.addresses[0]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        print(f"\nServing {', '.join(f'{f} from {u}' for f, u in config.connections.items())}")
        print(f"CIM-XML at {url}, namespace {NAMESPACE}. A client sees:\n")
        try:
            _show(url, list(config.connections))
        except ModuleNotFoundError:
            print("  nothing here: pip install pywbem, a client, and try again")
        print(_next_steps(url, next(iter(config.connections))), flush=True)
        logging.getLogger("libvirtcim").setLevel(logging.NOTSET)
        server.run_forever()
    finally:
        server.stop()
    return 0


def _show(url: str, prefixes: Sequence[str]) -> None:
    import pywbem  # only demonstrations need a client

    with pywbem.WBEMConnection(url, default_namespace=NAMESPACE) as connection:
        rows: list[list[Any]] = []
        for prefix in prefixes:
            for guest in connection.EnumerateInstances(f"{prefix}_ComputerSystem"):
                state = listings.ENABLED_STATES.get(guest["EnabledState"], "unknown")
                devices = connection.AssociatorNames(
                    guest.path, AssocClass=f"{prefix}_SystemDevice"
                )
                rows.append([guest.classname, guest["Name"], state, len(devices), guest["Caption"]])
    heads = ["CLASS", "NAME", "STATE", "DEVICES", "CAPTION"]
    print(tabulate(rows, heads, tablefmt="plain", disable_numparse=[1]) if rows else "  no guests")


def _next_steps(url: str, prefix: str) -> str:
    wbemcli = f"{url}/{NAMESPACE}:{prefix}"
    return f"""
Go on from another terminal:
  wbemcli ein '{wbemcli}_ComputerSystem'
  wbemcli ei -nl '{wbemcli}_DiskResourceAllocationSettingData'
  pywbemcli -s {url} -d {NAMESPACE} instance enumerate {prefix}_VirtualSystemSettingData
or from Python:
  import pywbem
  cim = pywbem.WBEMConnection("{url}", default_namespace="{NAMESPACE}")
  for guest in cim.EnumerateInstances("{prefix}_ComputerSystem"):
      if guest["EnabledState"] == 3:  # off: start it
          cim.InvokeMethod("RequestStateChange", guest.path, RequestedState=pywbem.Uint16(2))
Ctrl-C ends the server.
"""
