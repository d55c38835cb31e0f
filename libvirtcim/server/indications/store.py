# SPDX-License-Identifier: LGPL-2.1-or-later
"""Filters, destinations and subscriptions in an SQLite file, kept over restarts and crashes.

Each change is one transaction. The file is made at the first change, readable for its owner alone,
and held by one server at a time.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from libvirtcim.cim.values import moment
from libvirtcim.server.indications.model import Element, ElementKey, Subscription

FORMAT = 1
"""`user_version` of the file."""
_BUSY_TIMEOUT = 5.0
"""Seconds to wait for another server that may be ending."""

_DAMAGE = (ValueError, LookupError, TypeError)
"""What reading a row ends in that holds something else than was written."""

_TABLES = """
CREATE TABLE element (key TEXT PRIMARY KEY, class TEXT NOT NULL, properties TEXT NOT NULL);
CREATE TABLE subscription (
    filter TEXT NOT NULL REFERENCES element, handler TEXT NOT NULL REFERENCES element,
    properties TEXT NOT NULL, PRIMARY KEY (filter, handler)
);
"""


class StoreError(OSError):
    """The file can't be used; the text names it and says why."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EIO, text)


class Store:
    """The file at `path`; None: nothing outlives the object. For one thread at a time."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None

    def load(self) -> tuple[list[Element], list[Subscription]]:
        """Everything that is kept; raises StoreError."""
        if self._connection is None and (self.path is None or not self.path.exists()):
            return [], []
        with self._opened() as db:
            if db.execute("PRAGMA foreign_key_check").fetchone() is not None:
                raise ValueError("a subscription of nothing")
            elements = [
                _element(key, classname, text)
                for key, classname, text in db.execute("SELECT * FROM element ORDER BY rowid")
            ]
            subscriptions = [
                _subscription(filter_, handler, text)
                for filter_, handler, text in db.execute(
                    "SELECT * FROM subscription ORDER BY rowid"
                )
            ]
        return elements, subscriptions

    def save_element(self, element: Element) -> None:
        """Keeps a new filter or destination; raises StoreError."""
        row = (_text(element.key), element.classname, _text(element.values))
        with self._opened() as db:
            db.execute("INSERT INTO element VALUES (?, ?, ?)", row)

    def delete_element(self, key: ElementKey) -> None:
        """Forgets a filter or destination without subscriptions; raises StoreError."""
        with self._opened() as db:
            db.execute("DELETE FROM element WHERE key = ?", (_text(key),))

    def save_subscription(self, subscription: Subscription) -> None:
        """Keeps a subscription, in place of the one between the same two; raises StoreError."""
        row = (_text(subscription.filter), _text(subscription.handler), _text(subscription.values))
        with self._opened() as db:
            db.execute(
                "INSERT INTO subscription VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET properties = excluded.properties",
                row,
            )

    def delete_subscription(self, subscription: Subscription) -> None:
        """Forgets a subscription; raises StoreError."""
        ends = (_text(subscription.filter), _text(subscription.handler))
        with self._opened() as db:
            db.execute("DELETE FROM subscription WHERE filter = ? AND handler = ?", ends)

    def close(self) -> None:
        """Lets go of the file until it is needed again."""
        if self._connection is not None and self.path is not None:
            self._connection.close()
            self._connection = None

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._connection is None:
                self._connection = self._open()
            yield self._connection
        except (sqlite3.Error, OSError, *_DAMAGE) as error:
            raise StoreError(f"{self._name}: {_reason(error)}") from error

    @property
    def _name(self) -> str:
        return f"subscriptions file {self.path}" if self.path else "subscriptions in memory"

    def _open(self) -> sqlite3.Connection:
        if self.path is not None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(
            self.path or ":memory:",
            timeout=_BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _prepare(db)
        except BaseException:
            db.close()
            raise
        return db


def _prepare(db: sqlite3.Connection) -> None:
    """Takes the file for this connection alone; fills it if it is new."""
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("BEGIN EXCLUSIVE")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for statement in filter(str.strip, _TABLES.split(";")):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {FORMAT}")
    elif version != FORMAT:
        raise sqlite3.NotSupportedError(f"format {version} is of another version of libvirtcim")
    db.execute("COMMIT")


def _text(content: Any) -> str:
    return json.dumps(dict(content) if isinstance(content, Mapping) else content)


def _read(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("no properties")
    return found


def _element(key: str, classname: str, text: str) -> Element:
    element = Element(classname, _read(text))
    if element.key != _key(key):
        raise ValueError("a key that is another's")
    return element


def _subscription(filter_: str, handler: str, text: str) -> Subscription:
    made = Subscription(_key(filter_), _key(handler), _read(text))
    moment(made.values["SubscriptionStartTime"])
    if not isinstance(made.values["SubscriptionState"], int):
        raise ValueError("no state")
    return made


def _key(text: str) -> ElementKey:
    system_class, system, classname, name = json.loads(text)
    return system_class, system, classname, name


def _reason(error: Exception) -> str:
    code = getattr(error, "sqlite_errorname", "")
    if code.startswith("SQLITE_BUSY"):
        return "another server uses it; choose another file (subscriptions)"
    if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")) or isinstance(error, _DAMAGE):
        return f"it is damaged ({error}); move it away to start without subscriptions"
    return str(error.strerror if isinstance(error, OSError) else error)
