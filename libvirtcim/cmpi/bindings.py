# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service of the plugin, behind cmpi-bindings' `libpy3CmpiProvider.so` instead of our own library.

That library imports `cmpi_pywbem_bindings`, asks it for a provider for each MI, and calls the provider's
methods by name. A method answers with a tuple (code, message); the message must be bytes,
since the library takes text for bytes.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.util
import logging
import threading
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeAlias

from libvirtcim import config
from libvirtcim.cim.errors import Failed, NotSupported
from libvirtcim.cim.indications import Indication, IndicationQueue
from libvirtcim.cmpi import loader
from libvirtcim.cmpi.subscriptions import Subscriptions
from libvirtcim.cmpi.swig import Incoming, Outgoing, Pointer, Swig

_log = logging.getLogger(__name__)

CONFIG = str(config.CONFIG_FILE)
"""The configuration file; a CIM server's environment is nobody's."""
LIBRARY = "libpy3CmpiProvider.so"
MEMORY_MAP = Path("/proc/self/maps")
NEVER_UNLOAD = 51
"""What `cleanup` answers as long as the CIM server may still need us (CMPI_RC_NEVER_UNLOAD)."""
TERM = 2000
"""Indications that one thread delivers: CIM servers free what they need for it when it ends."""
KEEPER = "libvirtcim-keeper"
"""Name of the MI that is never cleaned up."""

Status: TypeAlias = "tuple[int, bytes | None]"
P = ParamSpec("P")

_lock = threading.Lock()
_providers: list[Provider] = []
"""Every provider that there ever was: the library drops its reference without the interpreter lock,
so that must never be the last one."""
_attached = 0


def get_cmpi_proxy_provider(miname: str, broker: Pointer, _context: Pointer) -> Provider:
    """A provider for one MI; never fails: what is wrong is said when something is asked for."""
    global _attached
    provider = Provider(broker)
    with _lock:
        _providers.append(provider)
        first = len(_providers) == 1
        if miname != KEEPER:
            _attached += 1
    if first:
        _keep_python(broker)
    return provider


def _detach() -> None:
    global _attached
    with _lock:
        _attached -= 1
        last = _attached == 0
    if last:
        loader.close()


@cache
def swig() -> Swig:
    """The functions of the library that is loaded into this process."""
    path = library()
    machinery = importlib.machinery.ExtensionFileLoader("_cmpi", path)
    spec = importlib.util.spec_from_file_location("_cmpi", path, loader=machinery)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    machinery.exec_module(module)
    return Swig(module)


def library() -> str:
    """Path of cmpi-bindings' library, which has loaded us; its module `_cmpi` is in the same file."""
    for line in MEMORY_MAP.read_text().splitlines():
        path = line.partition("/")[2]
        if path.endswith(f"/{LIBRARY}"):
            return f"/{path}"
    raise Failed(f"{LIBRARY} of cmpi-bindings is not loaded into this process")


def _keep_python(broker: Pointer) -> None:
    """Makes an MI that the CIM server does not know of.

    When its last MI is cleaned up, the library ends Python in a way that aborts the process.
    """

    class Status(ctypes.Structure):
        _fields_ = (("rc", ctypes.c_int), ("msg", ctypes.c_void_p))

    factory = ctypes.CDLL(library())._Generic_Create_InstanceMI
    factory.restype = ctypes.c_void_p
    factory.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    if not factory(int(broker), None, KEEPER.encode(), ctypes.byref(Status())):
        _log.warning("%s will end Python when it is unloaded, and the process with it", LIBRARY)


def answering(
    operation: Callable[Concatenate[Provider, P], None],
) -> Callable[Concatenate[Provider, P], Status]:
    """An operation whose end is a status, whatever it raises."""

    @wraps(operation)
    def answered(self: Provider, /, *arguments: P.args, **more: P.kwargs) -> Status:
        try:
            operation(self, *arguments, **more)
        except BaseException as error:
            return loader.failure(error)
        return 0, None

    return answered


class Provider:
    """What the library calls: one for each MI that a CIM server makes. No pointer but that to the
    broker, which lives as long as the MI, outlives a call."""

    def __init__(self, broker: Pointer) -> None:
        self._broker = broker

    # --- instances ---------------------------------------------------------------------------

    @answering
    def enum_instance_names(self, context: Pointer, result: Pointer, path: Pointer) -> None:
        """EnumerateInstanceNames of exactly one class."""
        service, incoming, outgoing = self._opened()
        namespace, classname = incoming.place(path)
        found = service.broker.paths_of(incoming.context(context), namespace, classname)
        outgoing.send_paths(result, found, namespace)

    @answering
    def enum_instances(
        self, context: Pointer, result: Pointer, path: Pointer, properties: list[str] | None
    ) -> None:
        """EnumerateInstances of exactly one class."""
        service, incoming, outgoing = self._opened()
        namespace, classname = incoming.place(path)
        found = service.broker.instances_of(
            incoming.context(context), namespace, classname, properties
        )
        outgoing.send_instances(result, found, namespace, properties)

    @answering
    def get_instance(
        self, context: Pointer, result: Pointer, path: Pointer, properties: list[str] | None
    ) -> None:
        """GetInstance."""
        service, incoming, outgoing = self._opened()
        asked = incoming.path(path)
        found = service.broker.get_instance(incoming.context(context), asked, properties)
        outgoing.send_instances(result, (found,), asked.namespace or "", properties)

    @answering
    def create_instance(
        self, context: Pointer, result: Pointer, path: Pointer, instance: Pointer
    ) -> None:
        """CreateInstance."""
        service, incoming, outgoing = self._opened()
        namespace, _classname = incoming.place(path)
        made = service.broker.create_instance(
            incoming.context(context), namespace, incoming.instance(instance)
        )
        outgoing.send_paths(result, (made,), namespace)

    @answering
    def set_instance(
        self,
        context: Pointer,
        result: Pointer,
        path: Pointer,
        instance: Pointer,
        properties: list[str] | None,
    ) -> None:
        """ModifyInstance."""
        service, incoming, outgoing = self._opened()
        listed = None if properties is None else {name.lower() for name in properties}
        changed = incoming.instance(instance, listed)
        service.broker.modify_instance(
            incoming.context(context), incoming.path(path), changed, properties
        )
        outgoing.done(result)

    @answering
    def delete_instance(self, context: Pointer, result: Pointer, path: Pointer) -> None:
        """DeleteInstance."""
        service, incoming, outgoing = self._opened()
        service.broker.delete_instance(incoming.context(context), incoming.path(path))
        outgoing.done(result)

    @answering
    def exec_query(
        self, _context: Pointer, _result: Pointer, _path: Pointer, _query: str, _language: str
    ) -> None:
        """ExecQuery."""
        raise NotSupported("Queries are not supported")

    # --- associations ------------------------------------------------------------------------

    @answering
    def associators(
        self,
        context: Pointer,
        result: Pointer,
        path: Pointer,
        assoc_class: str | None,
        result_class: str | None,
        role: str | None,
        result_role: str | None,
        properties: list[str] | None,
    ) -> None:
        """Associators."""
        service, incoming, outgoing = self._opened()
        asked = incoming.path(path)
        found = service.associators(
            incoming.context(context), asked, assoc_class, result_class, role, result_role,
            properties,
        )  # fmt: skip
        outgoing.send_instances(result, found, asked.namespace or "", properties)

    @answering
    def associator_names(
        self,
        context: Pointer,
        result: Pointer,
        path: Pointer,
        assoc_class: str | None,
        result_class: str | None,
        role: str | None,
        result_role: str | None,
    ) -> None:
        """AssociatorNames."""
        service, incoming, outgoing = self._opened()
        asked = incoming.path(path)
        found = service.associator_names(
            incoming.context(context), asked, assoc_class, result_class, role, result_role
        )
        outgoing.send_paths(result, found, asked.namespace or "")

    @answering
    def references(
        self,
        context: Pointer,
        result: Pointer,
        path: Pointer,
        result_class: str | None,
        role: str | None,
        properties: list[str] | None,
    ) -> None:
        """References."""
        service, incoming, outgoing = self._opened()
        asked = incoming.path(path)
        found = service.references(incoming.context(context), asked, result_class, role, properties)
        outgoing.send_instances(result, found, asked.namespace or "", properties)

    @answering
    def reference_names(
        self,
        context: Pointer,
        result: Pointer,
        path: Pointer,
        result_class: str | None,
        role: str | None,
    ) -> None:
        """ReferenceNames."""
        service, incoming, outgoing = self._opened()
        asked = incoming.path(path)
        found = service.reference_names(incoming.context(context), asked, result_class, role)
        outgoing.send_paths(result, found, asked.namespace or "")

    # --- methods -----------------------------------------------------------------------------

    @answering
    def invoke_method(
        self,
        context: Pointer,
        result: Pointer,
        path: Pointer,
        method: str,
        arguments: Pointer,
        out: Pointer,
    ) -> None:
        """InvokeMethod."""
        service, incoming, outgoing = self._opened()
        asked = incoming.path(path)
        namespace = asked.namespace or ""
        value, outputs = service.broker.invoke_method(
            incoming.context(context), asked, method, incoming.arguments(arguments)
        )
        declared = service.broker.schema.get(namespace, asked.classname).method(method)
        assert declared is not None
        outgoing.send_method_result(result, out, declared, value, outputs, namespace)

    # --- indications -------------------------------------------------------------------------

    @answering
    def authorize_filter(
        self, _context: Pointer, _filter: Pointer, _classname: str, _path: Pointer, _owner: str
    ) -> None:
        """Everybody may subscribe."""

    @answering
    def must_poll(
        self, _context: Pointer, _filter: Pointer, _classname: str, _path: Pointer
    ) -> None:
        """Nobody needs to poll."""
        raise NotSupported("Indications are delivered: there is nothing to poll")

    @answering
    def activate_filter(
        self, context: Pointer, _filter: Pointer, _classname: str, path: Pointer, _first: bool
    ) -> None:
        """One more subscription to a class."""
        _service, incoming, _outgoing = self._opened()
        outlet = self._outlet()
        outlet.need_thread(context)
        # the filter's text can't be read safely; that there is one more is all that counts
        outlet.subscriptions.activate("", *incoming.place(path))

    @answering
    def deactivate_filter(
        self, _context: Pointer, _filter: Pointer, _classname: str, path: Pointer, _last: bool
    ) -> None:
        """One subscription to a class less."""
        _service, incoming, _outgoing = self._opened()
        self._outlet().subscriptions.deactivate("", *incoming.place(path))

    @answering
    def enable_indications(self, _context: Pointer) -> None:
        """The CIM server takes indications from now on."""
        self._outlet().subscriptions.enable(True)

    @answering
    def disable_indications(self, _context: Pointer) -> None:
        """Indications wait until they are enabled."""
        self._outlet().subscriptions.enable(False)

    # --- the end -----------------------------------------------------------------------------

    def cleanup(self, _context: Pointer, terminating: bool) -> Status:
        """Closes the connections with the last MI, if the CIM server insists on unloading."""
        if not terminating:
            return NEVER_UNLOAD, None
        try:
            _close_outlet(self._broker)
            _detach()
        except BaseException as error:
            return loader.failure(error)
        return 0, None

    # --- common ------------------------------------------------------------------------------

    def _opened(self) -> tuple[loader.Service, Incoming, Outgoing]:
        functions, service = swig(), loader.service(CONFIG)
        return (
            service,
            Incoming(functions),
            Outgoing(functions, self._broker, service.broker.schema),
        )

    def _outlet(self) -> Outlet:
        number = int(self._broker)
        with _lock:
            if number not in _outlets:
                _outlets[number] = Outlet(self._broker)
            return _outlets[number]


class Outlet:
    """The subscriptions of one CIM server's broker, and the thread that delivers to it."""

    def __init__(self, broker: Pointer) -> None:
        self.subscriptions: Subscriptions = loader.service(CONFIG).subscriptions()
        self._broker = broker
        self._number = int(broker)

    def need_thread(self, context: Pointer) -> None:
        """Sees to it that a thread delivers, with a context made from that of a call."""
        if self._number not in _threads:
            self._start(self._prepared(context))

    def _prepared(self, context: Pointer) -> Pointer:
        prepare = swig().module.CMPIBroker_prepareAttachThread
        return swig().made("a thread that delivers", prepare, self._broker, context)

    def _start(self, context: Pointer) -> None:
        thread = threading.Thread(
            target=self._deliver_for_a_term, args=(context, self.subscriptions.queue),
            name=f"libvirtcim-indications-{self._number:#x}", daemon=True,
        )  # fmt: skip
        _threads[self._number] = thread
        thread.start()

    def _deliver_for_a_term(self, context: Pointer, queue: IndicationQueue) -> None:
        """Attaches this thread to the CIM server, delivers, detaches; then starts its successor."""
        module, following = swig().module, None
        try:
            swig().call("a thread", module.CMPIBroker_attachThread, self._broker, context)
            try:
                if self._deliver_some(context, queue):
                    following = self._prepared(context)
            finally:
                swig().call("its end", module.CMPIBroker_detachThread, self._broker, context)
        except BaseException as error:
            loader.failure(error)
        if following is None:
            _threads.pop(self._number, None)
        else:
            self._start(following)

    def _deliver_some(self, context: Pointer, queue: IndicationQueue) -> bool:
        """Delivers until the term is over (true) or the queue is closed (false)."""
        for _ in range(TERM):
            indication = queue.take()
            if indication is None:
                return False
            self._deliver(context, indication)
        return True

    def _deliver(self, context: Pointer, indication: Indication) -> None:
        schema = loader.service(CONFIG).broker.schema
        outgoing = Outgoing(swig(), self._broker, schema)
        deliver = swig().module.CMPIBroker_deliverIndication
        namespace = indication.namespace
        try:
            made = outgoing.instance(indication.instance, namespace)
            swig().call("an indication", deliver, self._broker, context, namespace, made)
        except Failed as error:
            loader.undelivered(indication, error.status, error.message)
        except Exception as error:
            loader.failure(error)


_outlets: dict[int, Outlet] = {}
_threads: dict[int, threading.Thread] = {}


def _close_outlet(broker: Pointer) -> None:
    with _lock:
        outlet = _outlets.pop(int(broker), None)
    if outlet is not None:
        outlet.subscriptions.close()
        loader.ended(_threads, int(broker))
