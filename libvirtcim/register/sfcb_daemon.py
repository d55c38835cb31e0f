# SPDX-License-Identifier: LGPL-2.1-or-later
"""The running server of an SFCB: found by its program and configuration, restarted where it stands.

SFCB reads registrations and classes only when it starts. Under systemd its unit is restarted; else
it is ended and started with the words, environment and directory that it had. (SIGHUP would make
it do that itself, but once only: it executes itself anew with SIGHUP blocked.)
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from libvirtcim.register.plan import RegistrationError
from libvirtcim.register.sfcb_layout import DAEMON, Layout

END_SECONDS = 45.0
"""How long SFCB may take to end. It waits for running requests (40 s by its default) and idle
connections (15 s). In 2 to 3 of 100 cases it waits in vain for one of its own processes; so
what has not ended by then is killed."""
START_SECONDS = 30.0
REST_SECONDS = 5.0
"""How long processes may outlive the main one."""
POLL_SECONDS = 0.05
CONNECT_SECONDS = 2.0

_UNIT = re.compile(r"/([^/\n]+\.service)$", re.MULTILINE)
_GONE = " (deleted)"
"""Follows the path of a program that was replaced while it runs."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running server."""

    pid: int
    """Of its main process."""
    unit: str | None
    """The systemd unit that it belongs to."""
    contained: bool
    """Whether it is a container's first process, or one in a container seen from outside."""

    def __str__(self) -> str:
        return f"{DAEMON}, process {self.pid}" + (f" of {self.unit}" if self.unit else "")


def running(layout: Layout) -> Daemon | None:
    """The server of this installation with this configuration; None: it doesn't run."""
    pids = {pid: _parent(pid) for pid in _processes(layout.daemon)}
    for pid, parent in pids.items():
        if parent not in pids and _configuration(pid, layout) == layout.config:
            groups = os.fsdecode(_proc(pid, "cgroup"))
            contained = pid == 1 or _namespace(pid) != _namespace(os.getpid())
            return Daemon(pid, unit_of(pid, groups), contained)
    return None


def restart(layout: Layout, daemon: Daemon) -> None:
    """Makes the server read its repository anew; returns when it answers as it did before.

    Raises RegistrationError where it doesn't.
    """
    answering = [address for address in addresses(layout) if _answers(address)]
    if daemon.unit is not None:
        _restart_unit(daemon.unit)
    else:
        _start_anew(layout, daemon)
    for address in answering:
        _wait(partial(_answers, address), f"port {address[1]} answers again")


def addresses(layout: Layout) -> list[tuple[str, int]]:
    """Where the server listens, as its configuration has it; one address for each protocol."""
    listed = re.split(r"[\s,]+", layout.settings.get("ip4AddrList", "").strip())
    host = listed[0] or "127.0.0.1"
    secure = layout.flag("enableHttps", False)
    ports = []
    if layout.flag("enableHttp", not secure):
        ports.append(layout.settings.get("httpPort", "5988"))
    if secure:
        ports.append(layout.settings.get("httpsPort", "5989"))
    return [(host, int(port)) for port in ports if port.isdigit()]


def _restart_unit(unit: str) -> None:
    done = _systemctl("restart", unit)
    if done.returncode != 0:
        raise RegistrationError(f"systemctl restart {unit}: {done.stderr.strip()}")


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemctl", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _start_anew(layout: Layout, daemon: Daemon) -> None:
    process = Path("/proc") / str(daemon.pid)
    words = [os.fsdecode(word) for word in _proc(daemon.pid, "cmdline").split(b"\0")[:-1]]
    variables = os.fsdecode(_proc(daemon.pid, "environ")).split("\0")
    environment = {name: value for name, _, value in (v.partition("=") for v in variables) if name}
    directory = (process / "cwd").readlink()
    with _appended(process / "fd/2") as output:
        _end(layout, daemon)
        subprocess.run(
            ["setsid", "--fork", str(layout.daemon), *words[1:]],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=True,
        )
    _wait(lambda: running(layout) is not None, f"{DAEMON} starts")


def _end(layout: Layout, daemon: Daemon) -> None:
    """Ends the server with all its processes: a new one refuses to start beside any of them."""
    own = {daemon.pid}

    def ended() -> bool:
        own.update(_family(layout, daemon))  # it may start more until it ends
        return daemon.pid not in _processes(layout.daemon)

    ended()
    os.kill(daemon.pid, signal.SIGTERM)
    with suppress(RegistrationError):
        _wait(ended, f"{daemon} ends", END_SECONDS)
        _wait(lambda: not own & _processes(layout.daemon), "its processes end", REST_SECONDS)
    for pid in own & _processes(layout.daemon):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _wait(lambda: not own & _processes(layout.daemon), f"{daemon} ends when killed")


def _family(layout: Layout, daemon: Daemon) -> set[int]:
    """The server's main process and all that it has started."""
    parents = {pid: _parent(pid) for pid in _processes(layout.daemon)}
    found = {daemon.pid}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _appended(path: Path) -> IO[bytes]:
    """A file to write more to; nowhere where it can't be opened."""
    try:
        return path.open("ab")
    except OSError:
        return Path(os.devnull).open("ab")


def _wait(condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RegistrationError(
                f"waited {seconds:.0f} s for this in vain: {what}; restart SFCB yourself"
            )
        time.sleep(POLL_SECONDS)


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _processes(program: Path) -> set[int]:
    """The processes that run a program."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            executed = str((process / "exe").readlink()).removesuffix(_GONE)
        except OSError:  # it has ended, is the kernel's or somebody else's
            continue
        if executed == str(program):
            found.add(int(process.name))
    return found


def _parent(pid: int) -> int:
    """Number of the parent process; 0 where the process has ended."""
    # the fields follow the program's name, which is in parentheses and may hold anything
    fields = _proc(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _configuration(pid: int, layout: Layout) -> Path:
    """The configuration file that a server was started with."""
    words = [os.fsdecode(word) for word in _proc(pid, "cmdline").split(b"\0")]
    named = next(_named(words), None)
    if named is None:
        return layout.default_config
    try:
        return ((Path("/proc") / str(pid) / "cwd").readlink() / named).resolve()
    except OSError:
        return Path(named)


def _named(words: list[str]) -> Iterator[str]:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in ("-c", "--config-file"):
            yield following
        elif word.startswith("--config-file="):
            yield word.partition("=")[2]


def unit_of(pid: int, groups: str) -> str | None:
    """The systemd unit whose main process it is, given the text of its `/proc/PID/cgroup`."""
    found = _UNIT.search(groups)
    if found is None or shutil.which("systemctl") is None:
        return None
    # what was started from within a unit's process, say by cron, is in that unit's group too
    shown = _systemctl("show", "--property", "MainPID", "--value", found[1])
    return found[1] if shown.stdout.strip() == str(pid) else None


def _namespace(pid: int) -> Path | None:
    """The PID namespace of a process."""
    try:
        return (Path("/proc") / str(pid) / "ns/pid").readlink()
    except OSError:
        return None


def _proc(pid: int, name: str) -> bytes:
    try:
        return (Path("/proc") / str(pid) / name).read_bytes()
    except OSError:
        return b""
