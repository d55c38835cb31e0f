# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an administrator has to say before a guest moves: programs that check, and a key for ssh.

No shell is involved, and only what root alone can change is run or copied.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from libvirtcim.virt.errors import Denied, Failed, ObjectNotFound
from libvirtcim.virt.settings import MigrationSettings

_log = logging.getLogger(__name__)

MAX_KEY = 65536
"""Bytes of a private key that is copied, at most."""


def objection(
    settings: MigrationSettings, guest: str, uri: str, parameters: Sequence[str]
) -> str | None:
    """Why the guest may not move; None: no program objects.

    Each executable file of the directory is called as `program GUEST URI [FILE]`; FILE has one of the
    `parameters` a line, and isn't there where there are none. What ends with another code than 0, takes
    too long or can't be trusted, objects; the others are not asked then.
    """
    with _parameter_file(parameters) as file:
        for program in _programs(settings.check_directory):
            reason = _distrust(program) or _run(
                [str(program), guest, uri, *([file] if file else [])], settings.check_timeout
            )
            if reason is not None:
                return f"{program.name}: {reason}"
    return None


def _programs(directory: Path) -> list[Path]:
    try:
        found = sorted(directory.iterdir())
    except FileNotFoundError:
        return []
    return [
        path
        for path in found
        if not path.name.startswith(".") and path.is_file() and path.stat().st_mode & 0o111
    ]


@contextmanager
def _parameter_file(parameters: Sequence[str]) -> Iterator[str | None]:
    if not parameters:
        yield None
        return
    with tempfile.NamedTemporaryFile("w", prefix="libvirtcim_mig.", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in parameters)
        file.flush()
        yield file.name


def _run(command: list[str], timeout: float) -> str | None:
    """What is wrong with how the program ended; None: nothing."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        return f"can't be run: {error.strerror}"
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        return f"has not ended within {timeout:g} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return f"ended with code {code}" if code else None


def _distrust(path: Path) -> str | None:
    """Why a file is not run or written to: somebody else than root, or than us, could have made it."""
    for place in (path.parent, path):
        found = place.stat()
        if found.st_uid not in (0, os.geteuid()):
            return f"{place} belongs to another user"
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX:
            return f"{place} can be written by others"
    return None


# --- the key -------------------------------------------------------------------------------------------


def copy_key(source: Path, target: Path) -> None:
    """Puts a private key in the configured place, in one step, for nobody else to read.

    Raises Denied where the source is no private key of root's or of ours, or others could change the
    place's directory; Failed where it can't be copied.
    """
    try:
        _check_directory(target.parent)
        content = _private_content(source)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".libvirtcim_key.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(name).replace(target)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Failed(f"Unable to copy the ssh key: {error.strerror}") from error


def delete_key(target: Path) -> None:
    """Removes the key from the configured place; raises ObjectNotFound where there is none, or Failed."""
    try:
        _check_directory(target.parent)
        target.unlink()
    except FileNotFoundError as error:
        raise ObjectNotFound(f"There is no ssh key {target}") from error
    except OSError as error:
        raise Failed(f"Unable to delete the ssh key {target}: {error.strerror}") from error


def _check_directory(directory: Path) -> None:
    reason = _distrust(directory)
    if reason is not None:
        raise Denied(f"The directory of the ssh key can't be trusted: {reason}")


def _private_content(source: Path) -> bytes:
    handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise Denied(f"{source} is no regular file")
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o077:
            raise Denied(f"{source} is no private key: others than its owner can read it")
        content = os.read(handle, MAX_KEY + 1)
    finally:
        os.close(handle)
    if len(content) > MAX_KEY:
        raise Denied(f"{source} is larger than {MAX_KEY} bytes")
    return content
