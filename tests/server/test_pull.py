# SPDX-License-Identifier: LGPL-2.1-or-later
"""Enumeration contexts: who may use them, when they end, what happens at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from libvirtcim.cim import errors
from libvirtcim.server.pull import Enumeration, Enumerations


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> Enumerations:
    return Enumerations(limit=3, default_timeout=10, max_timeout=20, clock=clock)


def numbers(count: int = 5) -> Enumeration:
    return Enumeration(iter([str(n) for n in range(count)]), "root/virt", "instances", "u", 10.0)


def context(registry: Enumerations, enumeration: Enumeration | None = None) -> str:
    _, found = registry.open(enumeration or numbers(), 0)
    assert found is not None
    return found


def test_sequence(registry: Enumerations) -> None:
    taken, found = registry.open(numbers(), 2)
    assert taken == ["0", "1"] and found is not None and len(found) >= 32
    assert registry.pull(found, "ROOT/virt", "instances", "u", 0) == ([], found)
    assert registry.pull(found, "root/virt", "instances", "u", 2) == (["2", "3"], found)
    assert registry.pull(found, "root/virt", "instances", "u", 1) == (["4"], None)
    assert len(registry) == 0
    assert registry.open(numbers(2), 2) == (["0", "1"], None)
    assert registry.open(numbers(0), 0) == ([], None)


@pytest.mark.parametrize(
    ("namespace", "kind", "user"),
    [("root/virt", "paths", "u"), ("root/interop", "instances", "u"), ("root/virt", "instances", "v"),
     ("root/virt", "instances", None)],
)  # fmt: skip
def test_binding(registry: Enumerations, namespace: str, kind: str, user: str | None) -> None:
    found = context(registry)
    with pytest.raises(errors.InvalidEnumerationContext):
        registry.pull(found, namespace, kind, user, 1)  # type: ignore[arg-type]
    assert registry.pull(found, "root/virt", "instances", "u", 1)[0] == ["0"]


def test_unknown_and_closed(registry: Enumerations) -> None:
    found = context(registry)
    registry.close(found, "root/virt", "u")
    for name in (found, "", "nonsense"):
        with pytest.raises(errors.InvalidEnumerationContext):
            registry.pull(name, "root/virt", "instances", "u", 1)
        with pytest.raises(errors.InvalidEnumerationContext):
            registry.close(name, "root/virt", "u")


def test_contexts_are_unguessable(registry: Enumerations) -> None:
    assert len({context(registry) for _ in range(3)}) == 3


def test_expiry(registry: Enumerations, clock: Clock) -> None:
    found = context(registry)
    clock.now += 9
    registry.pull(found, "root/virt", "instances", "u", 0)
    clock.now += 9
    registry.expire()
    assert len(registry) == 1
    clock.now += 2
    registry.expire()
    assert len(registry) == 0
    with pytest.raises(errors.InvalidEnumerationContext):
        registry.pull(found, "root/virt", "instances", "u", 1)


def test_limit(registry: Enumerations, clock: Clock) -> None:
    for _ in range(3):
        context(registry)
    for attempt in (registry.check_room, lambda: context(registry)):
        with pytest.raises(errors.ServerLimitsExceeded, match="max_open_enumerations"):
            attempt()
    clock.now += 11
    registry.check_room()
    context(registry)


@pytest.mark.parametrize(("asked", "expected"), [(None, 10), (1, 1), (20, 20)])
def test_timeout(registry: Enumerations, asked: int | None, expected: float) -> None:
    assert registry.timeout(asked) == expected


@pytest.mark.parametrize("asked", [0, 21, -1])
def test_bad_timeout(registry: Enumerations, asked: int) -> None:
    with pytest.raises(errors.InvalidOperationTimeout):
        registry.timeout(asked)


def test_error_ends_it(registry: Enumerations) -> None:
    def failing() -> Iterator[str]:
        yield "0"
        raise errors.Failed("gone")

    found = context(registry, Enumeration(failing(), "root/virt", "instances", "u", 10.0))
    with pytest.raises(errors.Failed):
        registry.pull(found, "root/virt", "instances", "u", 5)
    assert len(registry) == 0


def test_close_during_a_pull(registry: Enumerations, clock: Clock) -> None:
    pulling, closed = threading.Event(), threading.Event()

    def waiting() -> Iterator[str]:
        yield "0"
        pulling.set()
        assert closed.wait(5)
        yield "1"
        yield "2"

    found = context(registry, Enumeration(waiting(), "root/virt", "instances", "u", 10.0))
    outcome: list[Exception] = []

    def pull() -> None:
        try:
            registry.pull(found, "root/virt", "instances", "u", 2)
        except errors.CIMError as error:
            outcome.append(error)

    thread = threading.Thread(target=pull)
    thread.start()
    assert pulling.wait(5)
    clock.now += 100
    registry.expire()
    assert len(registry) == 1, "an enumeration does not expire while it is pulled from"
    registry.close(found, "root/virt", "u")
    closed.set()
    thread.join(5)
    assert [type(error) for error in outcome] == [errors.PullHasBeenAbandoned]


def test_concurrent_pulls_share_the_sequence(registry: Enumerations) -> None:
    found = context(registry, numbers(2000))
    seen: list[str] = []

    def pull() -> None:
        while True:
            try:
                taken, rest = registry.pull(found, "root/virt", "instances", "u", 7)
            except errors.InvalidEnumerationContext:
                return
            seen.extend(taken)
            if rest is None:
                return

    threads = [threading.Thread(target=pull) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(seen, key=int) == [str(n) for n in range(2000)]
