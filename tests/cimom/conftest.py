# SPDX-License-Identifier: LGPL-2.1-or-later
"""The plugin that the CIM servers load, over libvirt's test hypervisor with the sample guests."""

from __future__ import annotations

from tests.cmpi.conftest import plugin, sample_plugin

__all__ = ["plugin", "sample_plugin"]
