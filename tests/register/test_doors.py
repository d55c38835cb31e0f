# SPDX-License-Identifier: LGPL-2.1-or-later
"""Libraries: found where they are installed, linked where a CIM server looks for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from libvirtcim.register import doors
from libvirtcim.register.doors import DOORS, place_of_link
from libvirtcim.register.plan import RegistrationError

PLUGIN = DOORS["plugin"]


def library(directory: Path) -> Path:
    """A file of the plugin's name."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / PLUGIN.file
    path.write_text(str(directory))
    return path


@pytest.mark.parametrize(
    ("package", "place"),
    [
        ("usr/lib/python3/dist-packages", "usr/lib/cmpi"),
        ("usr/lib/python3.13/site-packages", "usr/lib64/cmpi"),
        ("usr/local/lib/python3.11/dist-packages", "usr/local/lib/cmpi"),
        ("opt/venv/lib/python3.11/site-packages", "opt/venv/lib/cmpi"),
    ],
)
def test_an_installed_library_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str, place: str
) -> None:
    monkeypatch.setattr(doors.libvirtcim, "__file__", str(tmp_path / package / "libvirtcim/x.py"))
    expected = library(tmp_path / place)
    assert PLUGIN.find() == expected


def test_a_source_tree_has_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doors.libvirtcim, "__file__", str(tmp_path / "libvirtcim/__init__.py"))
    built = library(tmp_path / "build")
    with pytest.raises(RegistrationError, match="make plugin"):
        PLUGIN.find()
    (tmp_path / "pyproject.toml").touch()
    assert PLUGIN.find() == built


def test_a_library_that_is_named(tmp_path: Path) -> None:
    given = library(tmp_path)
    (tmp_path / "link").symlink_to(given)
    assert PLUGIN.find(tmp_path / "link") == given
    with pytest.raises(RegistrationError, match="no such file"):
        DOORS["cmpi-bindings"].find(tmp_path / "nothing")


def test_a_link_goes_where_there_is_room(tmp_path: Path) -> None:
    mine = library(tmp_path / "mine")
    places = [tmp_path / "own", tmp_path / "cmpi", tmp_path / "absent"]
    with pytest.raises(RegistrationError, match="create one of"):
        place_of_link(PLUGIN, mine, places, None)
    for place in places[:2]:
        place.mkdir()
    link = places[1] / PLUGIN.file
    assert place_of_link(PLUGIN, mine, places, None) == link
    assert place_of_link(PLUGIN, mine, [*places, mine.parent], None) is None
    link.symlink_to(tmp_path / "gone")
    with pytest.raises(RegistrationError, match="another library"):
        place_of_link(PLUGIN, mine, places, None)
    assert place_of_link(PLUGIN, mine, places, str(link)) == link
    link.unlink()
    link.symlink_to(mine)
    assert place_of_link(PLUGIN, mine, places, None) is None
    library(places[0])
    with pytest.raises(RegistrationError, match=f"--plugin {places[0]}"):
        place_of_link(PLUGIN, mine, places, None)
