# SPDX-License-Identifier: LGPL-2.1-or-later
"""The filters, destinations and subscriptions that there are, kept and at work."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from libvirtcim.cim.errors import (
    AlreadyExists,
    CIMError,
    Failed,
    InvalidParameter,
    NotFound,
    ServerLimitsExceeded,
)
from libvirtcim.cim.indications import Indication, Indications
from libvirtcim.cim.indications import Subscription as Held
from libvirtcim.cim.objects import Value
from libvirtcim.cim.values import moment, timestamp
from libvirtcim.server.indications import destinations, query, rules
from libvirtcim.server.indications.delivery import Delivery
from libvirtcim.server.indications.model import (
    DISABLE,
    DISABLED,
    ENABLED,
    ENABLED_DEGRADED,
    FILTER,
    IGNORE,
    REMOVE,
    Element,
    ElementKey,
    Subscription,
)
from libvirtcim.server.indications.sender import Sender
from libvirtcim.server.indications.store import Store, StoreError

_log = logging.getLogger(__name__)

Ends = tuple[ElementKey, ElementKey]


@dataclass(slots=True, eq=False)
class _Work:
    """A subscription at work."""

    query: query.Query
    filter_name: str
    sender: Sender
    began: float
    """`time.monotonic()`."""
    held: tuple[Held, ...] = ()

    def receive(self, indication: Indication) -> None:
        """Queues what the filter lets through."""
        if self.query.matches(indication.instance):
            self.sender.put(self.query.shown(indication.instance), self.filter_name)


class Registry:
    """What clients have made, in memory and in the store; subscriptions work between load and stop.

    Safe in several threads. Methods raise CIMError; what they could not store has not happened.
    """

    def __init__(
        self, store: Store, indications: Indications, limit: int, retention: float
    ) -> None:
        self._store = store
        self._indications = indications
        self._limit = limit
        self._retention = retention
        self._lock = threading.RLock()
        self._elements: dict[ElementKey, Element] = {}
        self._subscriptions: dict[Ends, Subscription] = {}
        self._delivery: Delivery | None = None
        self._senders: dict[ElementKey, Sender] = {}
        self._work: dict[Ends, _Work] = {}

    # --- start and stop ----------------------------------------------------------------------

    def load(self, delivery: Delivery) -> None:
        """Reads the store; raises StoreError. What is new works from now on, what was read from `begin`."""
        with self._lock:
            elements, subscriptions = self._store.load()
            self._elements = {element.key: element for element in elements}
            self._subscriptions = {
                subscription.ends: subscription for subscription in subscriptions
            }
            self._delivery = delivery

    def begin(self) -> None:
        """Lets all subscriptions work; waits for what is watched as long as a new one would.

        A subscription that can't work, since nothing sends such indications now, is kept.
        """
        with self._lock:
            for subscription in self._subscriptions.values():
                try:
                    self._begin(subscription)
                except CIMError as error:
                    _log.warning("%s does not work: %s", self._shown(subscription), error.message)

    def stop(self) -> None:
        """Ends all work, and lets go of the store; what is queued stays with the senders."""
        with self._lock:
            for ends in list(self._work):
                self._end(ends)
            self._senders.clear()
            self._delivery = None
            self._store.close()

    # --- filters and destinations ------------------------------------------------------------

    def elements(self, classname: str) -> list[Element]:
        """All filters or destinations of a class, oldest first."""
        wanted = classname.lower()
        with self._lock:
            return [e for e in self._elements.values() if e.classname.lower() == wanted]

    def element(self, key: ElementKey) -> Element:
        """The filter or destination of that key; raises NotFound."""
        found = self._elements.get(key)
        if found is None:
            raise NotFound(f"There is no {key[2]} called {key[3]!r}")
        return found

    def add(self, element: Element) -> None:
        """Keeps a new filter or destination."""
        with self._lock:
            if element.key in self._elements:
                raise AlreadyExists(
                    f"There is a {element.classname} called {element.name!r} already"
                )
            kind = [e for e in self._elements.values() if _is_filter(e) == _is_filter(element)]
            self._check_limit(len(kind))
            with _stored():
                self._store.save_element(element)
            self._elements[element.key] = element

    def remove(self, key: ElementKey) -> None:
        """Forgets a filter or destination; raises Failed while a subscription refers to it."""
        with self._lock:
            element = self.element(key)
            if any(key in ends for ends in self._subscriptions):
                raise Failed(f"{element.classname} {element.name!r} has subscriptions")
            with _stored():
                self._store.delete_element(key)
            del self._elements[key]
            sender = self._senders.pop(key, None)
            if sender is not None and self._delivery is not None:
                self._delivery.remove(sender)

    # --- subscriptions -----------------------------------------------------------------------

    def of_element(self, key: ElementKey) -> list[tuple[Subscription, Element]]:
        """All subscriptions of a filter or destination, with what is at the other end."""
        with self._lock:
            return [
                (subscription, self._elements[other])
                for ends, subscription in self._subscriptions.items()
                for other, near in (ends, ends[::-1])
                if near == key
            ]

    def subscription(self, ends: Ends) -> Subscription:
        """The subscription between two elements; raises NotFound."""
        found = self._subscriptions.get(ends)
        if found is None:
            raise NotFound("There is no such subscription")
        return found

    def subscribe(self, subscription: Subscription) -> None:
        """Keeps a new subscription and begins to work for it."""
        with self._lock:
            for role, key in zip(("Filter", "Handler"), subscription.ends, strict=True):
                element = self._elements.get(key)
                if element is None or _is_filter(element) != (role == "Filter"):
                    raise InvalidParameter(f"{role}: there is no {key[2]} called {key[3]!r}")
            if subscription.ends in self._subscriptions:
                raise AlreadyExists("There is such a subscription already")
            self._check_limit(len(self._subscriptions))
            self._replace(subscription)

    def change(self, ends: Ends, values: dict[str, Value]) -> None:
        """Gives a subscription other values; it works or rests as they say."""
        with self._lock:
            self._replace(replace(self.subscription(ends), values=values))

    def unsubscribe(self, ends: Ends) -> None:
        """Ends and forgets a subscription; what is queued for it is still delivered."""
        with self._lock:
            subscription = self.subscription(ends)
            with _stored():
                self._store.delete_subscription(subscription)
            del self._subscriptions[ends]
            self._end(ends)

    def state(self, subscription: Subscription) -> int:
        """SubscriptionState: degraded where it works, but nothing comes or is taken at present."""
        if not subscription.enabled:
            return DISABLED
        work = self._work.get(subscription.ends)
        works = work is not None and work.sender.failing_since is None
        return ENABLED if works else ENABLED_DEGRADED

    def _replace(self, subscription: Subscription) -> None:
        """Keeps a subscription, in place of the one that was; it works if it is meant to."""
        was_working = subscription.ends in self._work
        if subscription.enabled and not was_working:
            self._begin(subscription)
        try:
            with _stored():
                self._store.save_subscription(subscription)
        except CIMError:
            if not was_working:
                self._end(subscription.ends)
            raise
        self._subscriptions[subscription.ends] = subscription
        if not subscription.enabled:
            self._end(subscription.ends)

    # --- at work -----------------------------------------------------------------------------

    def _begin(self, subscription: Subscription) -> None:
        """Lets an enabled subscription work; raises CIMError where nothing sends such indications."""
        if not subscription.enabled or self._delivery is None:
            return
        chosen = self.element(subscription.filter)
        parsed = query.parse(chosen.values["Query"], chosen.values["QueryLanguage"])
        sender = self._sender(subscription.handler, self._delivery)
        work = _Work(parsed, chosen.name, sender, time.monotonic())
        work.held = self._hold(rules.source_namespaces(chosen), work)
        self._work[subscription.ends] = work

    def _hold(self, namespaces: tuple[str, ...], work: _Work) -> tuple[Held, ...]:
        """Subscribes in every namespace that sends such indications; raises where none does."""
        held: list[Held] = []
        refusal: CIMError | None = None
        for namespace in namespaces:
            try:
                held.append(
                    self._indications.subscribe(namespace, work.query.classname, work.receive)
                )
            except CIMError as error:
                refusal = error
        if not held and refusal is not None:
            raise refusal
        return tuple(held)

    def _sender(self, key: ElementKey, delivery: Delivery) -> Sender:
        found = self._senders.get(key)
        if found is None:
            element = self.element(key)
            try:
                found = delivery.add(element.name, element.values["Destination"])
            except destinations.DestinationRefused as refused:
                raise Failed(f"{element.name!r}: {refused}") from None
            self._senders[key] = found
        return found

    def _end(self, ends: Ends) -> None:
        work = self._work.pop(ends, None)
        for held in work.held if work is not None else ():
            self._indications.unsubscribe(held)

    # --- from time to time -------------------------------------------------------------------

    def tidy(self) -> None:
        """Removes subscriptions whose time is over, and carries out what they say about failures."""
        with self._lock:
            for subscription in list(self._subscriptions.values()):
                try:
                    if self._is_over(subscription):
                        _log.info("%s ends: its time is over", self._shown(subscription))
                        self.unsubscribe(subscription.ends)
                    elif self._has_failed(subscription):
                        self._give_up(subscription)
                except CIMError as error:
                    _log.error("%s: %s", self._shown(subscription), error.message)

    @staticmethod
    def remaining(subscription: Subscription) -> int | None:
        """Seconds that a subscription still lasts; None: for ever."""
        duration: int | None = subscription.values.get("SubscriptionDuration")
        if duration is None:
            return None
        passed = datetime.now(UTC) - moment(subscription.values["SubscriptionStartTime"])
        return max(0, duration - passed // timedelta(seconds=1))

    def _is_over(self, subscription: Subscription) -> bool:
        return self.remaining(subscription) == 0

    def _has_failed(self, subscription: Subscription) -> bool:
        """Whether deliveries have failed, since the subscription works, for as long as it puts up with."""
        work = self._work.get(subscription.ends)
        if work is None or subscription.values.get("OnFatalErrorPolicy") in (None, IGNORE):
            return False
        first, last = work.sender.failing_since, work.sender.failed
        if first is None or last is None or last < work.began:
            return False
        patience = subscription.values.get("FailureTriggerTimeInterval", self._retention)
        return bool(last - max(first, work.began) >= patience)

    def _give_up(self, subscription: Subscription) -> None:
        """Carries out OnFatalErrorPolicy."""
        policy = subscription.values["OnFatalErrorPolicy"]
        words = {DISABLE: "is disabled", REMOVE: "is removed"}[policy]
        _log.warning("%s %s: nothing can be delivered", self._shown(subscription), words)
        if policy == REMOVE:
            self.unsubscribe(subscription.ends)
        else:
            now = timestamp(datetime.now(UTC))
            values = {"SubscriptionState": DISABLED, "TimeOfLastStateChange": now}
            self.change(subscription.ends, {**subscription.values, **values})

    def status(self) -> list[dict[str, Any]]:
        """How deliveries to each destination in use stand, ready for JSON."""
        with self._lock:
            return [sender.status() for sender in self._senders.values()]

    def _shown(self, subscription: Subscription) -> str:
        chosen, destination = (self._elements[key].name for key in subscription.ends)
        return f"subscription of filter {chosen!r} for destination {destination!r}"

    def _check_limit(self, number: int) -> None:
        if number >= self._limit:
            raise ServerLimitsExceeded(f"There are {number} already (max_subscriptions)")


def _is_filter(element: Element) -> bool:
    return element.classname == FILTER


@contextlib.contextmanager
def _stored() -> Iterator[None]:
    """Turns errors of the store into CIM errors."""
    try:
        yield
    except StoreError as error:
        _log.error("%s", error.strerror)
        raise Failed(error.strerror or "it could not be stored") from None
