# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a CIM server has subscribed to, counted here, and what waits to be delivered to it.

CIM servers don't keep the promises of the interface: SFCB says neither when the last subscription has
gone nor when the first of a second generation comes, OpenPegasus activates a filter once for each
class, and both call every activation the first. So pairs of filter and class are counted, and what
enabling and disabling say is only a hint: while disabled, indications wait.
"""

from __future__ import annotations

import threading
from collections import Counter

from libvirtcim.cim.indications import IndicationQueue, Indications, Subscription


class Subscriptions:
    """The filters that one CIM server has activated, and the queue of what they let through."""

    def __init__(self, indications: Indications, limit: int) -> None:
        self.queue = IndicationQueue(limit)
        self._indications = indications
        self._lock = threading.Lock()
        self._filters: Counter[tuple[str, str, str]] = Counter()
        self._held: dict[tuple[str, str], Subscription] = {}
        self.queue.hold(True)

    def activate(self, query: str, namespace: str, classname: str) -> None:
        """One more filter on a class; raises what `Indications.subscribe` raises."""
        place = (namespace.lower(), classname.lower())
        with self._lock:
            if place not in self._held:
                self._held[place] = self._indications.subscribe(
                    namespace, classname, self.queue.put
                )
            self._filters[query, *place] += 1

    def deactivate(self, query: str, namespace: str, classname: str) -> None:
        """One filter less; one that isn't active is left alone."""
        place = (namespace.lower(), classname.lower())
        with self._lock:
            self._filters[query, *place] -= 1
            self._filters = +self._filters
            if place in self._held and all(key[1:] != place for key in self._filters):
                self._indications.unsubscribe(self._held.pop(place))
            if not self._held:
                self.queue.clear()

    def enable(self, enabled: bool) -> None:
        """Whether the CIM server takes indications at present."""
        self.queue.hold(not enabled)

    @property
    def active(self) -> int:
        """Pairs of filter and class that are active."""
        return self._filters.total()

    def close(self) -> None:
        """Ends all subscriptions, and with them whoever waits for the queue."""
        self.queue.close()
        with self._lock:
            for subscription in self._held.values():
                self._indications.unsubscribe(subscription)
            self._held.clear()
            self._filters.clear()
