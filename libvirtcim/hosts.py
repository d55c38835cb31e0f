# SPDX-License-Identifier: LGPL-2.1-or-later
"""The hosts that a configuration names, with its settings."""

from __future__ import annotations

from pathlib import Path

from libvirtcim.config import General, HostConfig
from libvirtcim.virt.host import Hosts
from libvirtcim.virt.settings import (
    EventSettings,
    HostSettings,
    MigrationSettings,
    VsiSettings,
    WorkSettings,
)


def hosts_of(config: HostConfig) -> Hosts:
    """The hosts of a configuration; nothing is opened yet."""
    return Hosts(
        config.connections,
        readonly=config.general.readonly,
        settings=_settings(config.general),
    )


def _settings(general: General) -> HostSettings:
    return HostSettings(
        side_file_dir=str(general.side_files),
        vsi=VsiSettings(general.lldptool_query_options, general.vsi_support_key_string),
        disable_kvm=general.disable_kvm,
        events=EventSettings(
            most_waiting=general.event_queue,
            compare=general.event_compare,
            settle=general.event_settle,
            patience=general.event_patience,
        ),
        migration=MigrationSettings(
            connect_timeout=general.migration_connect_timeout,
            shutdown_timeout=general.migration_shutdown_timeout,
            check_directory=general.migrate_check_dir,
            check_timeout=general.migrate_check_timeout,
            ssh_key=Path(key) if (key := general.migrate_ssh_temp_key) else None,
        ),
        snapshot_dir=str(general.snapshot_directory),
        work=WorkSettings(
            running=general.max_running_jobs,
            kept=general.max_ended_jobs,
            retention=general.job_retention,
            wait=general.snapshot_wait,
            failure_is_completion=general.failed_jobs_completed,
        ),
    )
