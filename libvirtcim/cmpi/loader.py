# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the plugin serves: one broker over the configured hosts, and the rules that hold in a CIM server.

A CIM server routes by exact class, asks for every registered class by itself, and asks association
providers about objects of classes that aren't theirs; these rules live here, everything else is the
broker's.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from libvirtcim import composition, config
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.errors import CIMError
from libvirtcim.cim.indications import Indication
from libvirtcim.cim.objects import Instance, InstancePath, RequestContext
from libvirtcim.cmpi.subscriptions import Subscriptions
from libvirtcim.hosts import hosts_of
from libvirtcim.virt.host import Hosts

_log = logging.getLogger(__name__)
_lock = threading.Lock()
_service: Service | None = None

CLOSE_SECONDS = 5.0
"""How long a CIM server that unloads the plugin waits for libvirt connections to close."""
MAX_MESSAGE = 2000
SYSLOG_SOCKET = Path("/dev/log")

_UNSENDABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class Service:
    """A broker and its hosts, from opening to closing."""

    def __init__(self, file: Path) -> None:
        chosen = config.load_hosts(None if file == config.CONFIG_FILE else file)
        _start_logging(chosen.general.log_level)
        self.hosts: Hosts = hosts_of(chosen)
        self.broker: Broker = composition.broker(
            self.hosts, interop=chosen.general.interop_namespace
        )
        self._indication_queue = chosen.general.indication_queue

    def subscriptions(self) -> Subscriptions:
        """For one CIM server more that may subscribe to indications."""
        return Subscriptions(self.broker.indications, self._indication_queue)

    def close(self) -> None:
        """Stops what watches, and closes the connections."""
        self.broker.indications.close()
        self.hosts.close()

    def associators(
        self,
        context: RequestContext,
        path: InstancePath,
        assoc_class: str | None,
        result_class: str | None,
        role: str | None,
        result_role: str | None,
        properties: Collection[str] | None,
    ) -> Iterator[Instance]:
        """As `Broker.associators`; of classes that only the CIM server knows: none."""
        if self._foreign(path, assoc_class, result_class):
            return iter(())
        return self.broker.associators(
            context, path, assoc_class, result_class, role, result_role, properties
        )

    def associator_names(
        self,
        context: RequestContext,
        path: InstancePath,
        assoc_class: str | None,
        result_class: str | None,
        role: str | None,
        result_role: str | None,
    ) -> Iterator[InstancePath]:
        """As `Broker.associator_names`; of classes that only the CIM server knows: none."""
        if self._foreign(path, assoc_class, result_class):
            return iter(())
        return self.broker.associator_names(
            context, path, assoc_class, result_class, role, result_role
        )

    def references(
        self,
        context: RequestContext,
        path: InstancePath,
        result_class: str | None,
        role: str | None,
        properties: Collection[str] | None,
    ) -> Iterator[Instance]:
        """As `Broker.references`; of classes that only the CIM server knows: none."""
        if self._foreign(path, result_class):
            return iter(())
        return self.broker.references(context, path, result_class, role, properties)

    def reference_names(
        self,
        context: RequestContext,
        path: InstancePath,
        result_class: str | None,
        role: str | None,
    ) -> Iterator[InstancePath]:
        """As `Broker.reference_names`; of classes that only the CIM server knows: none."""
        if self._foreign(path, result_class):
            return iter(())
        return self.broker.reference_names(context, path, result_class, role)

    def _foreign(self, path: InstancePath, *names: str | None) -> bool:
        """Whether a class is one that is not in the schema here.

        The CIM server has checked that it exists; an error would spoil what other providers answer.
        """
        find, namespace = self.broker.schema.find, path.namespace or ""
        return any(
            name is not None and find(namespace, name) is None for name in (path.classname, *names)
        )


def service(file: str) -> Service:
    """The service of this process, opened where there is none."""
    global _service
    with _lock:
        if _service is None:
            _service = Service(Path(file))
        return _service


def close() -> None:
    """Closes the service and its connections; gives up waiting after CLOSE_SECONDS."""
    global _service
    with _lock:
        closing, _service = _service, None
    if closing is None:
        return
    # a libvirtd that hangs must not hang the CIM server, which waits here
    thread = threading.Thread(target=closing.close, name="libvirtcim-close", daemon=True)
    thread.start()
    thread.join(CLOSE_SECONDS)
    if thread.is_alive():
        _log.warning("connections to libvirt are not closed after %s s", CLOSE_SECONDS)


def ended(threads: Mapping[int, threading.Thread], number: int) -> bool:
    """Whether the thread of that number, and any successor, ends within CLOSE_SECONDS."""
    until = time.monotonic() + CLOSE_SECONDS
    while (thread := threads.get(number)) is not None:
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            _log.warning("the CIM server doesn't take an indication for %s s", CLOSE_SECONDS)
            return False
    return True


def undelivered(indication: Indication, code: int, message: str | None) -> None:
    """An indication that the CIM server refused: nobody is subscribed any more, as a rule."""
    _log.info(
        "%s isn't delivered: code %s, %s",
        indication.instance.cls.name,
        code,
        message or "no reason",
    )


def failure(error: BaseException) -> tuple[int, bytes]:
    """The CIM status and message that an exception becomes; what nobody expected goes to the log."""
    if isinstance(error, CIMError):
        return error.status, sendable(error.message)
    _log.error("operation failed", exc_info=error)
    return 1, sendable(f"{type(error).__name__}: {error}")


def sendable(text: str) -> bytes:
    """A message as UTF-8 that any CIM server can put into XML."""
    return _UNSENDABLE.sub("?", text)[:MAX_MESSAGE].encode()


def _start_logging(level: str) -> None:
    root = logging.getLogger("libvirtcim")
    root.setLevel(level.upper())
    if root.handlers:
        return
    handler: logging.Handler = logging.StreamHandler()
    style = "%(asctime)s libvirtcim %(levelname)s %(name)s: %(message)s"
    if SYSLOG_SOCKET.exists():
        from logging.handlers import SysLogHandler

        handler = SysLogHandler(str(SYSLOG_SOCKET))
        style = "libvirtcim[%(process)d]: %(levelname)s %(name)s: %(message)s"
    handler.setFormatter(logging.Formatter(style))
    root.addHandler(handler)
