# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kinds of resources that guests have."""

from __future__ import annotations

from collections.abc import Mapping

from libvirtcim.providers.resource_allocation import (
    channel,
    console,
    controller,
    disk,
    graphics,
    host_device,
    memory,
    net,
    processor,
    rng,
    tpm,
    video,
    watchdog,
)
from libvirtcim.providers.resource_allocation import (
    input as input_setting,
)
from libvirtcim.providers.resource_allocation.base import Setting

SETTINGS: Mapping[str, Setting] = {
    module.SETTING.kind: module.SETTING
    for module in (
        *(net, disk, memory, processor, graphics, input_setting, console, controller),
        *(video, channel, tpm, rng, watchdog, host_device),
    )
}
"""Kind of device → RASD class, in the order in which a guest's settings are listed."""
