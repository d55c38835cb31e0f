# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in host that has something of everything: pools, networks, filters, devices of all kinds."""

from __future__ import annotations

from functools import cache

from libvirtcim.cim.broker import Broker
from libvirtcim.cim.errors import Failed
from libvirtcim.cim.jobs import Job, JobState, Purpose
from libvirtcim.providers.jobs import MIGRATION_JOB, SERVICE_OF
from libvirtcim.providers.snapshots import PREFIXES as SNAPSHOT_PREFIXES
from tests.providers.wiring import NAME, UUID, broker_of, guest, path
from tests.standin import Managed, Pool, Snapshot, Volume

IMAGES = (
    Volume("/images/a.img", [0, 10 << 20, 3 << 20]),
    Volume("/images/tiny", [0, 1000, 512], "qcow2"),
)
POOLS = (
    Pool(
        "images",
        "<pool type='dir'><name>images</name><uuid>p1</uuid><capacity unit='bytes'>10737418240</capacity>"
        "<allocation unit='GiB'>3</allocation><available>7516192768</available>"
        "<target><path>/images</path></target></pool>",
        autostart_flag=True,
        volumes=IMAGES,
    ),
    Pool(
        "exports",
        "<pool type='netfs'><name>exports</name><uuid>p2</uuid><capacity>0</capacity><allocation>0"
        "</allocation><source><host name='nfs.example'/><dir path='/exp'/><format type='nfs'/></source>"
        "<target><path>/mnt/exp</path></target></pool>",
    ),
    Pool(
        "0",
        "<pool type='scsi'><name>0</name><uuid>p3</uuid><source><device path='/dev/sdx'/><name>vg</name>"
        "<adapter name='host0' wwpn='01' wwnn='02'/></source></pool>",
        active=False,
    ),
)
NETWORKS = (
    Managed(
        "default",
        "<network><name>default</name><uuid>n1</uuid><forward mode='nat' dev='eth0'/>"
        "<bridge name='virbr0'/><ip address='192.168.122.1' netmask='255.255.255.0'><dhcp>"
        "<range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip></network>",
        autostart_flag=True,
    ),
    Managed("taps", "<network><name>taps</name><uuid>n2</uuid><forward mode='bridge'/></network>"),
    Managed(
        "off",
        "<network><name>off</name><uuid>n3</uuid><bridge name='virbr9'/></network>",
        active=False,
    ),
)
FILTERS = (
    Managed(
        "web",
        "<filter name='web' chain='root' priority='-5'><uuid>f1</uuid>"
        "<rule action='accept' direction='in' priority='100'><tcp dstportstart='80' dstportend='81' "
        "srcipaddr='10.0.0.0' srcipmask='8'/></rule>"
        "<rule action='drop' direction='inout'><mac match='no' srcmacaddr='52:54:00:0:0:1' "
        "protocolid='arp'/></rule>"
        "<rule action='reject' direction='out'/>"
        "<filterref filter='base'/></filter>",
    ),
    Managed("base", "<filter name='base'><uuid>f2</uuid><filterref filter='deep'/></filter>"),
    Managed("deep", "<filter name='deep'><uuid>f3</uuid></filter>"),
)
DEVICES = (
    "<controller type='usb' index='0'/>"
    "<input type='tablet' bus='usb'/>"
    "<console type='pty'><target port='0'/></console>"
    "<graphics type='vnc' port='5999'/>"
    "<disk type='file' device='disk'><source file='/images/a.img'/><target dev='vda'/></disk>"
    "<disk type='volume' device='disk'><source pool='exports' volume='v'/><target dev='vdb'/></disk>"
    "<disk type='file' device='disk'><source file='/elsewhere'/><target dev='vdc'/></disk>"
    "<interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/>"
    "<filterref filter='web'/></interface>"
    "<interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='virbr0'/></interface>"
    "<interface type='user'><mac address='52:54:00:00:00:03'/></interface>"
    "<video><model type='vga'/></video>"
    "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
    "<tpm model='tpm-tis'><backend type='emulator'/></tpm>"
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
    "<watchdog model='ib700'/>"
    "<hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source></hostdev>"
)


SNAPSHOTS = (
    Snapshot(
        "clean",
        "<domainsnapshot><name>clean</name><description>as installed</description>"
        "<state>shutoff</state><creationTime>1700000000</creationTime></domainsnapshot>",
    ),
    Snapshot(
        "patched",
        "<domainsnapshot><name>patched</name><state>running</state><parent><name>clean</name></parent>"
        "<creationTime>1700000060</creationTime></domainsnapshot>",
        current=True,
    ),
)


def jobs(prefix: str) -> list[Job]:
    """A snapshot that was made and one that has failed, and a failed migration, of the first guest."""
    error = Failed("no such host")
    kinds: list[tuple[str, int, Failed | None]] = [
        ("SnapshotJob", 1, None),
        ("SnapshotJob", 2, error),
    ]
    if prefix in MIGRATION_JOB.prefixes:
        kinds.append(("MigrationJob", 1, error))
    return [
        Job(
            f"{base}-{number}",
            Purpose(
                f"{prefix}_{base}",
                base.removesuffix("Job"),
                path(prefix, SERVICE_OF[base]),
                UUID,
                "admin",
            ),
            submitted=1700000000.0,
            changed=1700000012.0,
            retention=300.0,
            state=JobState.EXCEPTION if error else JobState.COMPLETED,
            status=error.message if error else "Snapshot complete",
            description=f"{base} of {NAME}",
            percent=40 if error else 100,
            error=error,
            started=1700000010.0,
            ended=1700000012.5,
        )
        for base, number, error in kinds
    ]


@cache
def full_host(prefix: str) -> Broker:
    """One guest that runs with a device of every kind, and one that is off and has next to nothing."""
    up = guest(
        prefix,
        devices=DEVICES,
        number=3,
        state=1,
        memory_kib=524288,
        vcpus_online=2,
        snapshots=SNAPSHOTS if prefix in SNAPSHOT_PREFIXES else (),
    )
    down = guest(prefix, "web 2", uuid="b")
    return broker_of(
        {prefix: [up, down]},
        POOLS,
        networks=NETWORKS,
        filters=FILTERS,
        max_vcpus=16,
        version=7002022,
        jobs=jobs(prefix),
    )
