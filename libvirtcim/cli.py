# SPDX-License-Identifier: LGPL-2.1-or-later
"""The `libvirtcim` command."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from libvirtcim import __version__, composition, generate, listings
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.errors import CIMError
from libvirtcim.config import Config, ConfigError, General, load, option_fields
from libvirtcim.register import command as registering
from libvirtcim.register.plan import RegistrationError
from libvirtcim.server.settings import ServerSettings
from libvirtcim.virt.families import KNOWN, MORE_FAMILIES

T = TypeVar("T")

EXAMPLES = """\
examples:
  libvirtcim serve                                   this machine's hypervisors, on 127.0.0.1:5988
  libvirtcim serve --connection KVM=qemu:///session --listen 127.0.0.1:5990
  libvirtcim serve --connection KVM=qemu+tls://other/system --connection LXC=lxc:///system
  libvirtcim serve --listen-tls 0.0.0.0:5989 --tls-certificate cert.pem --tls-key key.pem \\
                   --authentication htpasswd --htpasswd-file /etc/libvirtcim.users
  libvirtcim doctor                                  which hypervisors answer, and why others don't
  libvirtcim ls --json                               the guests, for scripts
  libvirtcim ls --pools                              what guests are made of
  libvirtcim show web1                               a guest: devices, settings, pools
  libvirtcim register sfcb                           let SFCB serve them, through the CMPI plugin
"""


OPTIONAL = ("aiohttp", "pywbem", "tabulate")
"""Modules without which some commands run."""


DELIVERY_COUNTERS = ("queued", "delivered", "retried", "dropped", "expired", "refused")
"""What `doctor` shows of each destination of indications."""
EVENT_COUNTERS = ("events", "changes", "overflows", "comparisons", "waiting", "most_waiting")
"""What `doctor` shows of watching each hypervisor's guests, storage pools and networks."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0 well, 1 a problem, 2 a wrong call."""
    parser = _parser()
    options = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except ConfigError as error:
        print(f"libvirtcim: {error}", file=sys.stderr)
        return 2
    except CIMError as error:
        print(f"libvirtcim: {error.message}", file=sys.stderr)
        return 1
    except RegistrationError as error:
        print(f"libvirtcim: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        print(f"libvirtcim: this needs {error.name}: pip install {error.name}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "libvirtcim",
        description="Serve the virtual machines of a host to CIM clients (WBEM), through libvirt.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"libvirtcim {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> Any:
        made = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(command=run)
        return made

    served = command("serve", _serve, "serve CIM-XML over HTTP and HTTPS")
    _add_common(served)
    _add_settings(served, ServerSettings, "server")
    listed = command("ls", _ls, "list guests, pools, networks, network filters or profiles")
    kinds = listed.add_mutually_exclusive_group()
    for what in listings.LISTINGS:
        kinds.add_argument(
            f"--{what}",
            dest="what",
            action="store_const",
            const=what,
            help=f"list {what}" + (" (default)" if what == "guests" else ""),
        )
    listed.set_defaults(what="guests")
    shown = command("show", _show, "show a guest with its devices, settings and pools, as a tree")
    shown.add_argument("guest", metavar="GUEST", help="name of the guest")
    for parser_ in (listed, shown):
        _add_common(parser_)
        parser_.add_argument("--json", action="store_true", help="print JSON")
    doctor = command("doctor", _doctor, "tell which hypervisors answer, which don't and why")
    _add_common(doctor)
    doctor.add_argument("--json", action="store_true", help="print JSON")
    registered = command("register", _register, "let CIM servers serve the guests, by the plugin")
    registering.add_options(registered, registers=True, changes=True)
    removed = command("unregister", _unregister, "undo what register did with CIM servers")
    registering.add_options(removed, registers=False, changes=True)
    told = command("status", _status, "tell with which CIM servers the plugin is registered")
    registering.add_options(told, registers=False, changes=False)
    made = command("generate", _generate, "write MOF, registration files and references")
    made.add_argument("--check", action="store_true", help="only say what is out of date")
    made.add_argument(
        "--family",
        action="append",
        default=[],
        metavar="NAME",
        choices=sorted(MORE_FAMILIES),
        help=f"with the classes of another hypervisor ({', '.join(MORE_FAMILIES)}); repeatable",
    )
    made.add_argument("--root", type=Path, default=Path(), metavar="DIR", help="tree to write to")
    tried = command("demo", _demo, "serve, show through a CIM client what is served, go on serving")
    _add_common(tried)
    _add_settings(tried, ServerSettings, "server")
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="instead of /etc/libvirtcim.toml"
    )
    parser.add_argument(
        "--connection",
        action="append",
        default=[],
        metavar="FAMILY=URI",
        help=f"serve a family ({', '.join(KNOWN)}) from a libvirt URI; repeatable",
    )
    _add_settings(parser, General, "general")


def _add_settings(parser: argparse.ArgumentParser, settings: type[Any], title: str) -> None:
    group = parser.add_argument_group(f"{title} settings")
    for item, hint in option_fields(settings):
        unit = item.metadata["unit"]
        repeat = str(hint).startswith("tuple")
        default = generate.shown(item.default).replace("`", "")
        text = item.metadata["help"] + (f", in {unit}" if unit else "")
        group.add_argument(
            f"--{item.name.replace('_', '-')}",
            dest=f"set_{item.name}",
            action="append" if repeat else "store",
            nargs="?" if hint is bool else None,
            const="true" if hint is bool else None,
            metavar="BOOL" if hint is bool else "VALUE",
            help=f"{text} (default: {default})".replace("%", "%%") if default else text,
        )


def _config(options: argparse.Namespace, *, quiet: bool = False) -> Config:
    """The configuration that the flags and files give; `quiet` commands log errors only."""
    connections = {}
    for given in options.connection:
        family, equals, uri = given.partition("=")
        if not equals:
            raise ConfigError(f"--connection {given}: write FAMILY=URI, e.g. KVM=qemu:///system")
        connections[family] = uri
    flags = {
        name.removeprefix("set_"): value
        for name, value in vars(options).items()
        if name.startswith("set_") and value is not None
    }
    config = load(options.config, flags, connections)
    chosen = config.general.log_level if "log_level" in flags or not quiet else "error"
    level = logging.getLevelName(chosen.upper())
    if not isinstance(level, int):
        raise ConfigError(f"log_level {config.general.log_level!r} is none of debug, info, ...")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    return config


# what only some commands need is imported by these: the others start sooner, and run where the HTTP
# server's packages are not installed


def _serve(options: argparse.Namespace) -> int:
    from libvirtcim import serve

    return serve.run(_config(options))


def _demo(options: argparse.Namespace) -> int:
    from libvirtcim import demo

    return demo.run(_config(options), chosen=bool(options.connection))


def _ls(options: argparse.Namespace) -> int:
    def found(broker: Broker, families: Sequence[str]) -> list[listings.Row]:
        return listings.rows(broker, families, options.what)

    rows = _ask(options, found)
    if options.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif rows:
        print(listings.table(rows, options.what))
    else:
        print(f"No {options.what}. `libvirtcim doctor` tells which hypervisors answer.")
    return 0


def _show(options: argparse.Namespace) -> int:
    tree = _ask(options, lambda broker, families: listings.tree(broker, families, options.guest))
    if options.json:
        print(json.dumps(tree, indent=2, ensure_ascii=False))
    else:
        print("\n".join(listings.lines(tree)))
    return 0


def _ask(options: argparse.Namespace, ask: Callable[[Broker, Sequence[str]], T]) -> T:
    """What a question about the configured hosts is answered."""
    from libvirtcim.hosts import hosts_of

    config = _config(options, quiet=True)
    hosts = hosts_of(config)
    try:
        return ask(composition.broker(hosts), list(config.connections))
    finally:
        hosts.close()


def _doctor(options: argparse.Namespace) -> int:
    from libvirtcim import inspect_host
    from libvirtcim.hosts import hosts_of

    config = _config(options, quiet=True)
    hosts = hosts_of(config)
    try:
        report = inspect_host.doctor(config, hosts)
    finally:
        hosts.close()
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        _print_report(report)
    return 0 if any(h["answers"] for h in report["hypervisors"]) else 1


def _print_report(report: dict[str, Any]) -> None:
    print(f"libvirtcim {report['libvirtcim']}, Python {report['python']}")
    print("configuration: " + (", ".join(report["configuration"]) or "defaults, no file"))
    if report["readonly"]:
        print("read-only: guests can be seen, nothing can be changed")
    for name, count in report["namespaces"].items():
        print(f"namespace {name}: {count} classes")
    libraries = (f"{name} {version or 'absent'}" for name, version in report["libraries"].items())
    print("libraries: " + ", ".join(libraries))
    print()
    for host in report["hypervisors"]:
        mark = "ok " if host["answers"] else "-- "
        print(f"{mark} {host['family']:4} {host['uri']}")
        if host["answers"]:
            print(
                f"       {host['type']} {host['version']}, libvirt {host['libvirt']}, "
                f"{host['guests']} guests"
            )
        else:
            print(f"       {host['problem']}")
        if host["note"]:
            print(f"       note: {host['note']}")
    _print_subscriptions(report["subscriptions"])


def _print_subscriptions(subscriptions: dict[str, Any]) -> None:
    """How a running server watches hypervisors and tells its destinations; nothing where there are none."""
    if not subscriptions["destinations"]:
        return
    print(f"\nindications, from server {subscriptions['server']}:")
    for row in subscriptions["destinations"]:
        print(f"{'-- ' if row['failing'] else 'ok '} {row['name']!r} {row['url']}")
        print("       " + ", ".join(f"{row[name]} {name}" for name in DELIVERY_COUNTERS))
        if row["last_error"]:
            print(f"       {row['last_error_time']}: {row['last_error']}")
    for row in subscriptions["sources"]:
        counted = (f"{row[name]} {name.replace('_', ' ')}" for name in EVENT_COUNTERS)
        print(f"{row['watched']} of {row['family']}: {', '.join(counted)}")


def _register(options: argparse.Namespace) -> int:
    return registering.register(options, composition.declarations())


def _unregister(options: argparse.Namespace) -> int:
    return registering.unregister(options)


def _status(options: argparse.Namespace) -> int:
    return registering.status(options, composition.declarations())


def _generate(options: argparse.Namespace) -> int:
    root: Path = options.root
    if not options.check:
        generate.write(root, root / "mof/base", options.family)
        print(f"written below {root.resolve()}: {', '.join(generate.GENERATED)}")
        return 0
    wrong = generate.differences(root, options.family)
    for path in wrong:
        print(f"out of date: {path}")
    print("run `make generate`" if wrong else "generated files are up to date")
    return int(bool(wrong))
