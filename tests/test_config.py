# SPDX-License-Identifier: LGPL-2.1-or-later
"""Configuration: files, flags, their order, and what is refused with which advice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from libvirtcim.config import ConfigError, General, load, option_fields
from libvirtcim.hosts import hosts_of
from libvirtcim.server.settings import ServerSettings
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.settings import EventSettings
from libvirtcim.virt.vsi import announcements

NOWHERE = Path("/nonexistent/libvirt-cim.conf")


def written(folder: Path, text: str, name: str = "libvirtcim.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_without_any_file_all_families_have_their_own_uri(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libvirtcim.config.CONFIG_FILE", tmp_path / "none.toml")
    config = load(legacy=NOWHERE)
    assert config.connections == {prefix: f.uri for prefix, f in FAMILIES.items()}
    assert config.server == ServerSettings()
    assert config.sources == ()


def test_every_kind_of_setting_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        readonly = true
        side_files = "/srv/side"
        [connections]
        kvm = "test:///default"
        [server]
        listen = ["127.0.0.1:7001", "[::1]:7002"]
        max_body_bytes = 1000
        header_timeout = 2.5
        authentication = "htpasswd"
        htpasswd_file = "/etc/users"
        pam_groups = ["a", "b"]
        """,
    )
    config = load(path, legacy=NOWHERE)
    assert config.general.readonly is True
    assert config.general.side_files == Path("/srv/side")
    assert config.connections == {"KVM": "test:///default"}
    assert config.server.listen == (("127.0.0.1", 7001), ("::1", 7002))
    assert config.server.max_body_bytes == 1000
    assert config.server.header_timeout == 2.5
    assert config.server.htpasswd_file == Path("/etc/users")
    assert config.server.pam_groups == ("a", "b")
    assert config.sources == (path,)


def test_flags_win_over_the_file_and_the_file_over_the_old_one(tmp_path: Path) -> None:
    old = written(tmp_path, "readonly = true;\n# comment\ndisable_kvm = false;\n", "old.conf")
    assert load(written(tmp_path, ""), legacy=old).general.readonly is True
    path = written(tmp_path, 'readonly = false\nlog_level = "debug"\n')
    config = load(path, {"log_level": "error"}, {"LXC": "lxc:///"}, legacy=old)
    assert config.general.readonly is False
    assert config.general.log_level == "error"
    assert config.connections == {"LXC": "lxc:///"}
    assert config.sources == (old, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("readonly = ", "toml"),
        ("nonsense = 1", "unknown setting nonsense"),
        ("[server]\nnonsense = 1", "unknown setting .server. nonsense"),
        ("server = 5", "must be a table"),
        ("connections = 5", "must be a table"),
        ('readonly = "perhaps"', "readonly must be true or false"),
        ('[server]\nmax_body_bytes = "many"', "max_body_bytes must be a whole number"),
        ("[server]\nmax_body_bytes = 0", "max_body_bytes must be greater than 0"),
        ('[server]\nlisten = ["localhost"]', "write HOST:PORT"),
        ('[server]\nlisten = ["localhost:99999"]', "write HOST:PORT"),
        ('[server]\nauthentication = "magic"', "one of none, htpasswd, pam"),
        ('[server]\nauthentication = "htpasswd"', "needs htpasswd_file"),
        ('[connections]\nVMware = "esx://x"', "unknown family"),
        ('[connections]\nKVM = ""', "a libvirt URI must be given"),
        ("log_level = 5", "log_level must be text"),
        ('side_files = ""', "side_files must be a path"),
        ("[server]\nmax_connections = 1.5", "max_connections must be a whole number"),
        ("[server]\nmax_connections = inf", "max_connections must be a whole number"),
        ("[server]\nrequest_timeout = nan", "request_timeout must be a number"),
        ("[server]\nrequest_timeout = inf", "request_timeout must be a number"),
        ('[server]\nlisten = "²"', "write HOST:PORT"),
        ('[server]\nlisten = [["127.0.0.1"]]', "write HOST:PORT"),
        ('[server]\nlisten = [["127.0.0.1", 70000]]', "write HOST:PORT"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(written(tmp_path, text), legacy=NOWHERE)


def test_a_broken_old_file_says_where(tmp_path: Path) -> None:
    old = written(tmp_path, "readonly = ", "old.conf")
    with pytest.raises(ConfigError, match=r"old\.conf"):
        load(written(tmp_path, ""), legacy=old)


@pytest.mark.parametrize("settings", [General, ServerSettings])
def test_every_setting_explains_itself_and_takes_its_own_default(
    settings: type[Any], tmp_path: Path
) -> None:
    for item, _hint in option_fields(settings):
        assert item.metadata["help"]
        if item.default in (None, ()):
            continue
        config = load(written(tmp_path, ""), {item.name: item.default}, legacy=NOWHERE)
        part = config.general if settings is General else config.server
        assert getattr(part, item.name) == item.default


def test_old_keys_reach_the_hosts(tmp_path: Path) -> None:
    """disable_kvm, and how switches are asked, as files of libvirt-cim say it."""
    old = tmp_path / "libvirt-cim.conf"
    old.write_text(
        'disable_kvm = true;\nlldptool_query_options = "-t -V evb";\n'
        'vsi_support_key_string = "{\\tmode: relay, \\"capabilities: VDP\\"" "}";\n'
    )
    served = hosts_of(load(written(tmp_path, ""), legacy=old))
    settings = served.host("KVM").settings
    served.close()
    assert settings.disable_kvm
    assert settings.vsi.options == "-t -V evb"
    assert announcements(settings.vsi) == ["mode: relay", "capabilities: VDP"]


def test_how_guests_are_watched(tmp_path: Path) -> None:
    text = "event_queue = 7\nevent_compare = 0\nevent_settle = 0.5\nevent_patience = 3\n"
    hosts = hosts_of(load(written(tmp_path, text), legacy=NOWHERE))
    expected = EventSettings(most_waiting=7, compare=0, settle=0.5, patience=3)
    assert hosts.host("KVM").settings.events == expected
    assert hosts.host("KVM").watchers.guests.counters.events == 0
