# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plans: described steps in order, to be shown or carried out.

::

    RegistrationError     something is in the way; the message says what, and what to do
    └── NotInstalled      this machine doesn't have the CIM server
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


class RegistrationError(Exception):
    """Something is in the way of a registration; the message says what, and what to do about it."""


class NotInstalled(RegistrationError):
    """The CIM server is not on this machine, or not where it was looked for."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change: a verb, what it is done to, where; and the doing."""

    verb: str
    subject: str
    place: str
    """File, directory, namespace or process; "" where the subject says it."""
    run: Callable[[], None]

    def __str__(self) -> str:
        return f"{self.verb} {self.subject}" + (f" ({self.place})" if self.place else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of one registration or its removal; none: everything is as wanted already."""

    cimom: str
    """The CIM server, with what tells it from others of its kind."""
    outcome: str
    """What is so at the end, e.g. "libvirtcim 0.1 is registered"."""
    steps: tuple[Step, ...]

    def carry_out(self, say: Callable[[str], None]) -> None:
        """Takes the steps one after the other; `say` is told each before it is taken.

        Raises RegistrationError at the first that fails; its message names the steps not taken.
        """
        for number, step in enumerate(self.steps):
            say(str(step))
            try:
                step.run()
            except (RegistrationError, OSError) as error:
                raise RegistrationError(_failure(step, error, self.steps[number + 1 :])) from error

    def as_json(self) -> dict[str, Any]:
        """The plan for scripts."""
        steps = [{"verb": s.verb, "subject": s.subject, "place": s.place} for s in self.steps]
        return {"cimom": self.cimom, "outcome": self.outcome, "steps": steps}


def _failure(step: Step, error: Exception, rest: Sequence[Step]) -> str:
    text = f"could not {step}: {error}"
    if isinstance(error, PermissionError):
        text += "; run it as root"
    if rest:
        text += "\nnot done: " + "; ".join(map(str, rest))
    return text


def run_tool(command: Sequence[str], environment: dict[str, str], seconds: float) -> str:
    """Runs a program of a CIM server; returns what it printed.

    Raises RegistrationError with the program's own words where it fails or takes longer.
    """
    shown = " ".join(command)
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RegistrationError(f"`{shown}`: {error}") from None
    said = (done.stdout + done.stderr).strip()
    if done.returncode != 0:
        raise RegistrationError(f"`{shown}` failed with status {done.returncode}: {said}")
    return said
