# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the plugin is tested with in the CMPI host, with cmpi-bindings' library in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libvirtcim import composition
from libvirtcim.cim.declare import VIRT
from tests.cmpi import test_indications, test_values
from tests.cmpi.driver import Host
from tests.cmpi.test_values import memory
from tests.frontends import bindings
from tests.frontends.bindings import BindingsHost
from tests.server.memory import INTEROP, MemoryBroker
from tests.ticking import PATH_CODE
from tests.ticking.tick_indication import TICK

__all__ = ["memory"]

pytestmark = [
    pytest.mark.xdist_group("cmpi-host-cmpi-bindings"),
    pytest.mark.skipif(bindings.missing() is not None, reason=str(bindings.missing())),
]

Environment = Callable[[str, bool], str]

test_many = test_values.test_many
test_out = test_values.test_out
test_there_and_back = test_values.test_there_and_back
test_arrays_with_nulls = test_values.test_arrays_with_nulls_and_without_elements
test_references_and_embedded = test_values.test_references_and_embedded_instances
test_references_as_written = test_values.test_references_as_clients_write_them
test_nested_embedded = test_values.test_nested_embedded_instances_out
test_methods = test_values.test_methods_are_checked
test_who_asks = test_values.test_who_asks
test_create_modify_delete = test_values.test_create_modify_delete
test_associations = test_values.test_associations_in_memory

test_delivered_as_declared = test_indications.test_delivered_as_declared
test_nothing_needs_polling = test_indications.test_nothing_needs_polling
test_waits_until_enabled = test_indications.test_waits_until_enabled
test_filters_are_counted = test_indications.test_filters_are_counted
test_what_can_not_be_subscribed_to = test_indications.test_what_can_not_be_subscribed_to
test_a_slow_server = test_indications.test_a_slow_server_costs_the_oldest_only
test_cleanup_ends_the_thread = test_indications.test_cleanup_ends_the_thread


@pytest.fixture(scope="module")
def memory_host(
    host_program: Path, environment: Environment, memory: MemoryBroker
) -> Iterator[Host]:
    """A host whose library serves a broker in memory."""
    variables = bindings.environment(environment, Path("/nonexistent"), test_values.AT_START)
    with BindingsHost(host_program, variables) as host:
        for namespace in (VIRT, INTEROP):
            host.declare(memory.schema.subclasses(namespace, None, deep=True))
        yield host


@pytest.fixture
def ticking(
    host_program: Path, environment: Environment, tmp_path: Path
) -> Iterator[test_indications.Ticking]:
    """Starts hosts whose library has a ticking clock."""
    started: list[Host] = []

    def make(code: str = "", settings: str = "") -> Host:
        config = tmp_path / "libvirtcim.toml"
        config.write_text(f'{settings}\n[connections]\nKVM = "test:///default"\n')
        variables = bindings.environment(environment, config, f"{PATH_CODE}\n{code}")
        host = BindingsHost(host_program, variables)
        started.append(host)
        host.declare_all(composition.schema([*composition.declarations(), TICK]))
        return host

    yield make
    for host in started:
        host.end()
