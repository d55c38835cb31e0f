# SPDX-License-Identifier: LGPL-2.1-or-later
"""How a module here says which methods of a service it carries out: its table `OPERATIONS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from libvirtcim.cim.errors import CIMError, Failed
from libvirtcim.cim.jobs import Jobs
from libvirtcim.cim.objects import InstancePath, Value
from libvirtcim.cim.provider import ProviderRequest
from libvirtcim.cim.schema import ParameterInfo
from libvirtcim.virt.host import Host

Arguments = Mapping[str, Value]
"""Input parameters, checked and of the types of the class declaration."""
Outputs = dict[str, Value]
"""Output parameters."""

COMPLETED, STARTED = 0, 4096
"""Return values (DSP1042, DSP1041): Completed with No Error; Method Parameters Checked - Job Started."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What carries out one method of a service.

    `run`: (jobs, host, request, path of the service, arguments) → return value and output parameters;
    raises CIMError.
    `required`: parameters that must be given although the schema doesn't say so. `undeclared`: parameters
    that it doesn't have.
    `unreachable`, `status`: what a client is told whose hypervisor doesn't answer.
    """

    run: Callable[[Jobs, Host, ProviderRequest, InstancePath, Arguments], tuple[int, Outputs]]
    required: frozenset[str] = frozenset()
    unreachable: str = "Unable to connect to hypervisor"
    status: type[CIMError] = Failed
    undeclared: tuple[ParameterInfo, ...] = ()


Operations = Mapping[str, Operation]
"""Name of a method → what carries it out."""


def at_once(
    carry_out: Callable[[Host, ProviderRequest, Arguments], Outputs],
) -> Callable[[Jobs, Host, ProviderRequest, InstancePath, Arguments], tuple[int, Outputs]]:
    """What runs a method that takes no job: (host, request, arguments) → output parameters."""

    def run(
        _jobs: Jobs,
        host: Host,
        request: ProviderRequest,
        _path: InstancePath,
        arguments: Arguments,
    ) -> tuple[int, Outputs]:
        return COMPLETED, carry_out(host, request, arguments)

    return run
