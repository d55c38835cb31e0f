# SPDX-License-Identifier: LGPL-2.1-or-later
"""The commands over CIM servers that are played: order, output, exit status."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from libvirtcim import cli
from libvirtcim.register import pegasus, sfcb
from libvirtcim.register.cimom import Offer, Status
from libvirtcim.register.plan import NotInstalled, Plan, RegistrationError, Step


class Played:
    """A CIM server that takes one step, or refuses it."""

    def __init__(self, title: str, refusal: str | None = None) -> None:
        self.title = title
        self.registered = False
        self._refusal = refusal
        self._locked = False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Notes that it is locked."""
        self._locked = True
        yield
        self._locked = False

    def status(self, offer: Offer | None) -> Status:
        """As it was told."""
        current = None if offer is None or not self.registered else True
        door = "plugin" if self.registered else None
        return Status(self.title, True, self.registered, "1.0", current, door, __file__)

    def register(self, offer: Offer) -> Plan:
        """One step."""
        return self._plan(True, f"{offer.library.name} is registered")

    def unregister(self) -> Plan:
        """One step."""
        return self._plan(False, "nothing is registered")

    def _plan(self, wanted: bool, outcome: str) -> Plan:
        def switch() -> None:
            if self._refusal:
                raise RegistrationError(self._refusal)
            assert self._locked
            self.registered = wanted

        steps = () if self.registered == wanted else (Step("switch", "it", "here", switch),)
        return Plan(self.title, outcome, steps)


Play = Callable[[Played | None, Played | None], None]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    """Puts servers in the place of SFCB and OpenPegasus; None: it is not installed."""

    def put(module: ModuleType, server: Played | None) -> None:
        def find(*_places: Path | None) -> Played:
            if server is None:
                raise NotInstalled("it is not installed")
            return server

        monkeypatch.setattr(module, "find", find)

    def make(first: Played | None, second: Played | None) -> None:
        put(sfcb, first)
        put(pegasus, second)

    return make


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status, output and error output of the command."""
    if words[0] == "register":
        words = (*words, "--plugin", __file__)
    status = cli.main(words)
    said = capsys.readouterr()
    return status, said.out, said.err


def test_all_servers_that_are_there(capsys: pytest.CaptureFixture[str], play: Play) -> None:
    one, two = Played("one"), Played("two")
    play(one, two)
    assert run(capsys, "status")[0] == 1
    status, out, err = run(capsys, "register")
    outcome = f"{Path(__file__).name} is registered"
    assert out == "".join(f"{n}:\n  switch it (here)\n  {outcome}\n" for n in ("one", "two"))
    assert (status, err, one.registered, two.registered) == (0, "", True, True)
    assert run(capsys, "register")[1].count(f"{outcome}, as it was already\n") == 2
    assert run(capsys, "status")[0] == 0
    play(None, two)
    assert run(capsys, "unregister")[1].startswith("two:\n")
    assert (one.registered, two.registered) == (True, False)


def test_the_server_that_is_named(capsys: pytest.CaptureFixture[str], play: Play) -> None:
    one, two = Played("one"), Played("two")
    play(one, two)
    assert run(capsys, "register", "pegasus")[0] == 0
    assert (one.registered, two.registered) == (False, True)


def test_one_that_fails_does_not_stop_the_other(
    capsys: pytest.CaptureFixture[str], play: Play
) -> None:
    two = Played("two")
    play(Played("one", refusal="the disk is full"), two)
    status, out, err = run(capsys, "register")
    assert (status, two.registered) == (1, True)
    assert err == "libvirtcim: could not switch it (here): the disk is full\n"
    assert out.endswith("is registered\n")


def test_a_dry_run_as_text_and_as_json(capsys: pytest.CaptureFixture[str], play: Play) -> None:
    one = Played("one")
    play(one, None)
    assert run(capsys, "register", "--dry-run")[1] == "one:\n  would switch it (here)\n"
    status, out, _err = run(capsys, "register", "--dry-run", "--json")
    (plan,) = json.loads(out)
    assert plan["steps"] == [{"verb": "switch", "subject": "it", "place": "here"}]
    assert (status, one.registered) == (0, False)


def test_json_of_what_was_done(capsys: pytest.CaptureFixture[str], play: Play) -> None:
    one = Played("one")
    play(one, None)
    status, out, err = run(capsys, "register", "--json")
    assert (status, one.registered, json.loads(out)[0]["cimom"]) == (0, True, "one")
    assert "switch it" in err
    (told,) = json.loads(run(capsys, "status", "--json")[1])
    assert (told["cimom"], told["registered"], told["current"]) == ("one", True, True)


def test_status_in_words(capsys: pytest.CaptureFixture[str], play: Play) -> None:
    one = Played("one")
    play(one, None)
    assert run(capsys, "status")[1] == "one: running\n  libvirtcim is not registered\n"
    one.registered = True
    assert run(capsys, "status")[1] == (
        "one: running\n  libvirtcim 1.0 is registered through plugin\n"
    )
