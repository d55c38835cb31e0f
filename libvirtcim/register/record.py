# SPDX-License-Identifier: LGPL-2.1-or-later
"""The record of what a registration added, kept with the CIM server, so that exactly that is removed."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from libvirtcim.register.plan import RegistrationError

FILE = "libvirtcim.json"


def read(path: Path) -> dict[str, Any] | None:
    """The record; None: there is none. Raises RegistrationError where it can't be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RegistrationError(f"{path}: {error}") from error
    if not isinstance(record, dict):
        raise RegistrationError(f"{path}: this is no record of a registration; remove it")
    return record


def write(path: Path, record: dict[str, Any]) -> None:
    """Replaces the record in one step."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds a directory's lock for the block. Raises RegistrationError where another holds it."""
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise RegistrationError(f"{directory}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RegistrationError(
            f"another registration is going on ({directory}); try again when it has ended"
        ) from None
    else:
        yield
    finally:
        os.close(handle)
