# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plans: carried out in order, stopped by what fails, told for people and scripts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from libvirtcim.register import record
from libvirtcim.register.plan import Plan, RegistrationError, Step, run_tool


def plan(*runs: Callable[[], None]) -> Plan:
    """A plan with steps `take 0`, `take 1`, ..."""
    steps = (Step("take", str(number), "", run) for number, run in enumerate(runs))
    return Plan("a server", "it is done", tuple(steps))


def refuse(error: Exception) -> Callable[[], None]:
    """A step that fails."""

    def run() -> None:
        raise error

    return run


def test_steps_are_told_and_taken_in_order() -> None:
    events: list[str] = []
    plan(lambda: events.append("one"), lambda: events.append("two")).carry_out(events.append)
    assert events == ["take 0", "one", "take 1", "two"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RegistrationError("no room"), "could not take 1: no room\nnot done: take 2; take 3"),
        (FileNotFoundError(2, "gone", "x"), "could not take 1: [Errno 2] gone: 'x'\nnot done: "),
        (PermissionError(13, "denied", "x"), "denied: 'x'; run it as root\nnot done: take 2"),
    ],
)
def test_a_failure_names_what_is_not_done(error: Exception, expected: str) -> None:
    taken: list[int] = []
    steps = plan(lambda: None, refuse(error), lambda: taken.append(2), lambda: taken.append(3))
    with pytest.raises(RegistrationError) as failed:
        steps.carry_out(lambda _: None)
    assert expected in str(failed.value)
    assert not taken


def test_a_fault_of_ours_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError):
        plan(refuse(ZeroDivisionError())).carry_out(lambda _: None)


def test_texts() -> None:
    def nothing() -> None:
        pass

    step = Step("stage", "3 classes", "root/virt", nothing)
    assert str(step) == "stage 3 classes (root/virt)"
    assert str(Step("restart", "sfcbd", "", nothing)) == "restart sfcbd"
    assert Plan("a server", "done", (step,)).as_json() == {
        "cimom": "a server",
        "outcome": "done",
        "steps": [{"verb": "stage", "subject": "3 classes", "place": "root/virt"}],
    }


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print('well')", None),
        ("import sys; print('half'); sys.exit('all is lost')", "status 1: half\nall is lost"),
        ("import time; time.sleep(60)", "timed out after 0.5 seconds"),
    ],
)
def test_tools(code: str, expected: str | None) -> None:
    command = [sys.executable, "-c", code]
    seconds = 0.5 if "sleep" in code else 30
    if expected is None:
        assert run_tool(command, {}, seconds) == "well"
        return
    with pytest.raises(RegistrationError) as failed:
        run_tool(command, {}, seconds)
    assert expected in str(failed.value)


def test_a_tool_that_is_not_there() -> None:
    with pytest.raises(RegistrationError, match="No such file"):
        run_tool(["/nonexistent/tool"], {}, 1)


def test_records(tmp_path: Path) -> None:
    path = tmp_path / record.FILE
    assert record.read(path) is None
    record.write(path, {"version": "1", "added": ["a"]})
    assert record.read(path) == {"version": "1", "added": ["a"]}
    assert [file.name for file in tmp_path.iterdir()] == [record.FILE]
    for text in ("{", "[1]"):
        path.write_text(text)
        with pytest.raises(RegistrationError, match=str(path)):
            record.read(path)


def test_one_registration_at_a_time(tmp_path: Path) -> None:
    with (
        record.locked(tmp_path),
        pytest.raises(RegistrationError, match="another registration"),
        record.locked(tmp_path),
    ):
        pytest.fail("locked twice")
    with record.locked(tmp_path):
        pass
    with pytest.raises(RegistrationError, match="No such file"), record.locked(tmp_path / "x"):
        pytest.fail("locked what is not there")
