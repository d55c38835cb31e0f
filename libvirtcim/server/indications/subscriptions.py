# SPDX-License-Identifier: LGPL-2.1-or-later
"""Everything about indication subscriptions in one object, for a server to run."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from libvirtcim.cim.broker import Broker
from libvirtcim.server.indications import providers
from libvirtcim.server.indications.delivery import Delivery, tls_context
from libvirtcim.server.indications.reach import Reach
from libvirtcim.server.indications.registry import Registry
from libvirtcim.server.indications.sender import Persistence
from libvirtcim.server.indications.status import StatusFile
from libvirtcim.server.indications.store import Store
from libvirtcim.server.settings import ServerSettings
from libvirtcim.server.workers import WorkerPool
from libvirtcim.server.writer import Writer

_log = logging.getLogger(__name__)

_TIDY_INTERVAL = 1.0
"""Seconds between two looks at what has expired or failed, and two writings of the status."""

_BEGIN_TIME = 2.0
"""Seconds that a starting server waits for its subscriptions to work: what they watch may hang."""


class Subscriptions:
    """Subscriptions to a broker's indications: an asynchronous context in which they work.

    What clients make of it is served by the broker from now on. `queue`: most indications that wait for
    one destination. `sources`: what is counted where indications come from, ready for JSON, for the
    status. Can be entered again after it was left; raises StoreError, OSError when entered.
    """

    def __init__(
        self,
        broker: Broker,
        settings: ServerSettings,
        queue: int,
        system_name: Callable[[], str],
        sources: Callable[[], Sequence[dict[str, Any]]] = tuple,
    ) -> None:
        self._settings = settings
        self._sources = sources
        file = settings.subscriptions_file
        self._status = StatusFile(file)
        self._registry = Registry(
            Store(file),
            broker.indications,
            settings.max_subscriptions,
            settings.indication_retention,
        )
        self._reach = Reach.of(settings.indication_destinations)
        self._persistence = Persistence(
            queue,
            settings.indication_timeout,
            settings.indication_retry_first,
            settings.indication_retry_longest,
            settings.indication_retention,
            settings.indication_attempts,
        )
        self._serve(broker, file, system_name)

    def _serve(self, broker: Broker, file: Path | None, system_name: Callable[[], str]) -> None:
        settings, registry = self._settings, self._registry
        broker.add(
            (
                *providers.element_providers(broker.schema, registry, system_name, self._reach),
                providers.SubscriptionProvider(registry),
                providers.service(
                    system_name, settings.indication_retry_longest, settings.indication_retention
                ),
                providers.CapabilitiesProvider(
                    settings.max_subscriptions, persisted=file is not None
                ),
            ),
            providers.associations(registry),
        )

    def status(self) -> list[dict[str, Any]]:
        """How deliveries to each destination in use stand: what `Sender.status` says."""
        return self._registry.status()

    async def __aenter__(self) -> None:
        tls = tls_context(
            self._settings.indication_ca_file, verify=self._settings.indication_tls_verify
        )
        self._worker = WorkerPool(1, "cim-subscriptions")
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._worker.shutdown, wait=False)
            delivery = await stack.enter_async_context(
                Delivery(Writer(self._settings.shown_host), self._persistence, self._reach, tls)
            )
            await self._apart(functools.partial(self._registry.load, delivery))
            beginning = asyncio.wrap_future(self._worker.submit(self._registry.begin))
            done, _late = await asyncio.wait({beginning}, timeout=_BEGIN_TIME)
            for begun in done:
                begun.result()
            self._tidying = asyncio.create_task(self._tidy())
            stack.push_async_callback(self._stop)
            self._stack = stack.pop_all()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def _apart(self, work: Callable[[], None]) -> None:
        """Does what may wait in a thread of its own."""
        await asyncio.wrap_future(self._worker.submit(work))

    async def _stop(self) -> None:
        """Lets nothing new come; sources that hang don't keep the server from ending."""
        self._tidying.cancel()
        await asyncio.gather(self._tidying, return_exceptions=True)
        limit = self._settings.shutdown_timeout
        try:
            async with asyncio.timeout(limit):
                await self._apart(self._write_status)
                await self._apart(self._registry.stop)
        except TimeoutError:
            _log.warning(
                "sources of indications have not ended within %g s (shutdown_timeout)", limit
            )

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_INTERVAL)
            try:
                await self._apart(self._registry.tidy)
                await self._apart(self._write_status)
            except Exception:
                _log.exception("subscriptions can't be looked after")

    def _write_status(self) -> None:
        self._status.write(self.status(), self._sources())
