# SPDX-License-Identifier: LGPL-2.1-or-later
"""Registrations with an OpenPegasus that exists in memory only: repositories of every kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from lxml import etree

from libvirtcim import composition
from libvirtcim.cim import base
from libvirtcim.cim.declare import INTEROP_NAMES, ClassDecl, Registration, expand_all
from libvirtcim.register import pegasus, schema
from libvirtcim.register.cimom import Offer
from libvirtcim.register.doors import DOORS
from libvirtcim.register.pegasus import Pegasus
from libvirtcim.register.pegasus_tools import (
    CLASS_HAS_CHILDREN,
    Instance,
    RequestRefused,
    Subscription,
    Tools,
)
from libvirtcim.register.plan import NotInstalled, Plan, RegistrationError

PG_CLASSES = {"PG_ProviderModule", "PG_Provider", "PG_ProviderCapabilities"}
_CLASS = re.compile(r"^class (\w+)(?: : (\w+))? \{", re.MULTILINE)
_INSTANCE = re.compile(r"^instance of (\w+) \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
_VALUE = re.compile(r"^\s+(\w+) = (.*?);$", re.MULTILINE | re.DOTALL)


class InMemory(Tools):
    """A server's namespaces, classes, qualifiers and registrations, as its tools show them."""

    def __init__(self, home: Path, interop: str = "root/interop") -> None:
        super().__init__(home)
        self.interop = interop
        self.superclasses: dict[str, dict[str, str | None]] = {"root/cimv2": {}, interop: {}}
        self.qualifiers: dict[str, set[str]] = {"root/cimv2": set(), interop: set()}
        self.superclasses[interop] |= dict.fromkeys(PG_CLASSES)
        self.registered: list[dict[str, str | list[str]]] = []
        self.subscribed: list[Subscription] = []
        self.refusals: list[str] = []
        self.used: set[str] = set()
        self.hidden = False

    @property
    def home(self) -> Path | None:
        return None if self.hidden else super().home

    @property
    def programs(self) -> Path:
        return Path(self.environment["PEGASUS_HOME"]) / "sbin"

    @contextmanager
    def reachable(self) -> Iterator[None]:
        yield

    def running(self) -> bool:
        return True

    def settings(self) -> dict[str, str]:
        places = {"repositoryDir": "repository", "providerDir": "lib:more"}
        return {} if self.hidden else places

    def tool(self, *command: str) -> str:
        assert command[0] == "cimprovider" and command[-1] == "libvirtcim"
        if command[1] == "-d" and self.refusals:
            raise RegistrationError(self.refusals.pop())
        if command[1] == "-r":
            self.registered = [
                one
                for one in self.registered
                if "libvirtcim" not in (one.get("ProviderModuleName"), one.get("Name"))
            ]
        return ""

    def class_names(self, namespace: str, below: str | None = None) -> set[str] | None:
        classes = self.superclasses.get(namespace)
        if classes is None or below is None:
            return None if classes is None else set(classes)
        direct = {name for name, above in classes.items() if above == below}
        return direct.union(*(self.class_names(namespace, name) or () for name in direct))

    def qualifier_names(self, namespace: str) -> set[str] | None:
        return self.qualifiers.get(namespace)

    def used_qualifiers(self, namespace: str) -> set[str]:
        return self.used

    def instances(self, namespace: str, classname: str) -> list[Instance]:
        assert namespace == self.interop
        return [one for one in self.registered if one["class"] == classname]

    def subscriptions(self, interop: str) -> list[Subscription]:
        return self.subscribed

    def delete_instance(self, namespace: str, path: etree._Element) -> None:
        self.subscribed = [one for one in self.subscribed if one.path is not path]

    def compile(self, namespace: str, mof: str) -> None:
        classes = self.superclasses[namespace]
        for name, above in _CLASS.findall(mof):
            assert name not in classes, f"{name} is in {namespace} already"
            assert not above or above in classes, f"{name} in {namespace}: no {above}"
            classes[name] = above or None
        declared = schema.declared(mof).qualifiers
        assert not declared & self.qualifiers[namespace]
        self.qualifiers[namespace] |= declared
        for classname, body in _INSTANCE.findall(mof):
            assert namespace == self.interop
            values = {name: re.findall(r'"([^"]*)"', text) for name, text in _VALUE.findall(body)}
            one: dict[str, str | list[str]] = {"class": classname}
            for name, found in values.items():
                one[name] = found if name == "Namespaces" else "".join(found)
            self.registered.append(one)

    def create_namespace(self, namespace: str) -> None:
        assert namespace not in self.superclasses
        self.superclasses[namespace] = {}
        self.qualifiers[namespace] = set()

    def delete_namespace(self, namespace: str) -> None:
        assert not self.superclasses.pop(namespace) and not self.qualifiers.pop(namespace)

    def delete_class(self, namespace: str, name: str) -> None:
        if name in self.superclasses[namespace].values():
            raise RequestRefused(CLASS_HAS_CHILDREN, name)
        del self.superclasses[namespace][name]

    def delete_qualifier(self, namespace: str, name: str) -> None:
        self.qualifiers[namespace].remove(name)

    def state(self) -> tuple[object, ...]:
        """All that it holds."""
        return (
            {namespace: set(classes) for namespace, classes in self.superclasses.items()},
            {namespace: set(names) for namespace, names in self.qualifiers.items()},
            [one["class"] for one in self.registered],
        )


@pytest.fixture
def tools(tmp_path: Path) -> InMemory:
    """A server with an empty schema, and a directory for libraries."""
    (tmp_path / "lib").mkdir()
    return InMemory(tmp_path)


def offer(tmp_path: Path, declarations: Sequence[ClassDecl] = (), version: str = "1") -> Offer:
    library = tmp_path / "build" / "liblibvirtcim.so"
    library.parent.mkdir(exist_ok=True)
    library.write_bytes(b"library")
    wanted = declarations or composition.declarations()
    return Offer(wanted, DOORS["plugin"], library, version)


def carry_out(plan: Plan) -> list[str]:
    said: list[str] = []
    plan.carry_out(said.append)
    return said


def server(tools: InMemory, tmp_path: Path) -> Pegasus:
    return Pegasus(tools, tmp_path)


def test_what_is_added_is_removed(tools: InMemory, tmp_path: Path) -> None:
    before = tools.state()
    backend = server(tools, tmp_path)
    carry_out(backend.register(offer(tmp_path)))
    served = {one["ClassName"] for one in tools.registered if "ClassName" in one}
    ours = {c.name for c in expand_all(composition.declarations())}
    assert served and served <= ours <= set().union(*tools.superclasses.values())
    assert (tmp_path / "lib/liblibvirtcim.so").resolve() == tmp_path / "build/liblibvirtcim.so"
    assert backend.register(offer(tmp_path)).steps == ()
    assert backend.status(lambda _door, _library: offer(tmp_path)).current
    carry_out(backend.unregister())
    assert tools.state() == before
    assert [path.name for path in tmp_path.iterdir() if path.name != "build"] == ["lib"]
    assert list((tmp_path / "lib").iterdir()) == []
    assert backend.unregister().steps == ()


def test_only_what_the_server_lacks_is_added(tools: InMemory, tmp_path: Path) -> None:
    classes, types = base.load()
    for namespace in ("root/cimv2", "root/interop"):
        tools.superclasses[namespace] |= {c.name: c.superclass for c in classes}
        tools.qualifiers[namespace] |= {t.name for t in types}
    before = tools.state()
    backend = server(tools, tmp_path)
    plan = backend.register(offer(tmp_path))
    added = {str(step) for step in plan.steps if "DMTF" in step.subject}
    assert len(added) == 1 and all("root/virt" in step for step in added)
    carry_out(plan)
    carry_out(backend.unregister())
    assert tools.state() == before


@pytest.mark.parametrize("interop", INTEROP_NAMES)
def test_every_interop_namespace(tmp_path: Path, interop: str) -> None:
    (tmp_path / "lib").mkdir()
    tools = InMemory(tmp_path, interop)
    plan = server(tools, tmp_path).register(offer(tmp_path))
    carry_out(plan)
    assert "KVM_ComputerSystem" in tools.superclasses[interop]
    assert (f'interop_namespace = "{interop}"' in plan.outcome) == (interop != "root/interop")
    if interop != "root/interop":
        assert "root/interop" not in tools.superclasses


def test_a_server_without_registrations(tools: InMemory, tmp_path: Path) -> None:
    tools.superclasses["root/interop"].clear()
    with pytest.raises(RegistrationError, match="no class PG_ProviderModule in root/interop"):
        server(tools, tmp_path).register(offer(tmp_path))


def test_packaged_servers(tools: InMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have fixed directories, and tell nobody."""
    record = tmp_path / "state/libvirtcim/pegasus.json"
    for module in ("pegasus_found", "pegasus"):
        monkeypatch.setattr(f"libvirtcim.register.{module}.PACKAGED_RECORD", record)
    record.parent.parent.mkdir()
    tools.hidden = True
    providers = tmp_path / "lib64/Pegasus/providers"
    providers.mkdir(parents=True)
    backend = server(tools, tmp_path)
    carry_out(backend.register(offer(tmp_path)))
    assert (providers / "liblibvirtcim.so").is_symlink() and record.is_file()
    carry_out(backend.unregister())
    assert not list(providers.iterdir()) and not record.parent.exists()


def test_upgrading_from_a_registration_by_hand(tools: InMemory, tmp_path: Path) -> None:
    """What a person compiled into the repository is replaced, and told from the DMTF's classes."""
    classes, types = base.load()
    older = ClassDecl(
        "Bygone", "CIM_System", "Of old.", ("KVM",), registration=Registration("x", ("instance",))
    )
    declarations = [*composition.declarations(), older]
    tools.create_namespace("root/virt")
    tools.qualifiers["root/virt"] |= {t.name for t in types}
    for namespace in schema.namespaces(declarations):
        tools.superclasses[namespace] |= {c.name: c.superclass for c in classes}
    by_hand = server(tools, tmp_path)
    carry_out(by_hand.register(offer(tmp_path, declarations)))
    (tmp_path / "libvirtcim.json").unlink()
    said = carry_out(by_hand.register(offer(tmp_path)))
    assert said[0] == "disable provider module libvirtcim (root/interop)"
    assert "KVM_Bygone" not in tools.superclasses["root/virt"]
    assert "CIM_System" in tools.superclasses["root/virt"]
    assert "KVM_Bygone" not in {one.get("ClassName") for one in tools.registered}


def test_the_lower_classes_go_first(tools: InMemory, tmp_path: Path) -> None:
    """No association class is left when a class goes that it refers to."""
    backend = server(tools, tmp_path)
    carry_out(backend.register(offer(tmp_path)))
    deleted: list[str] = []
    tools.delete_class = lambda _ns, name: deleted.append(name)  # type: ignore[method-assign]
    step = next(s for s in backend.unregister().steps if s.place == "root/virt")
    assert re.fullmatch(r"remove \d+ classes \(root/virt\)", str(step))
    step.run()
    position = {name: number for number, name in enumerate(deleted)}
    for association, ends in (
        ("KVM_SystemDevice", ("KVM_ComputerSystem", "CIM_LogicalDevice")),
        ("KVM_HostedDependency", ("KVM_HostSystem", "KVM_ComputerSystem")),
        ("CIM_Dependency", ("CIM_ManagedElement",)),
    ):
        assert all(position[association] < position[end] for end in ends)


def test_qualifiers_that_others_use_stay(tools: InMemory, tmp_path: Path) -> None:
    backend = server(tools, tmp_path)
    carry_out(backend.register(offer(tmp_path)))
    tools.used = {"Key", "Unheard"}
    plan = backend.unregister()
    for step in plan.steps:
        if step.place != "root/virt" or step.subject != "namespace":
            step.run()
    assert all(names == {"Key"} for names in tools.qualifiers.values())


@pytest.mark.parametrize("module", ["Virt_ComputerSystem", "Other"])
def test_another_provider_is_in_the_way(tools: InMemory, tmp_path: Path, module: str) -> None:
    tools.registered.append(
        {
            "class": "PG_ProviderCapabilities",
            "ProviderModuleName": module,
            "ClassName": "kvm_computersystem",
            "Namespaces": ["root/VIRT"],
        }
    )
    with pytest.raises(RegistrationError, match=module):
        server(tools, tmp_path).register(offer(tmp_path))
    tools.registered[0]["Namespaces"] = ["root/elsewhere"]
    assert server(tools, tmp_path).register(offer(tmp_path)).steps


@pytest.mark.parametrize("refusals", [["Provider is busy."] * 3, ["Lost connection"]])
def test_a_module_that_is_not_disabled_at_once(
    tools: InMemory, tmp_path: Path, refusals: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests end; processes that die instead of ending are as good."""
    monkeypatch.setattr(pegasus, "BUSY_INTERVAL", 0.001)
    backend = server(tools, tmp_path)
    carry_out(backend.register(offer(tmp_path)))
    tools.refusals = list(refusals)
    carry_out(backend.unregister())
    assert tools.registered == [] and tools.refusals == []


def test_a_module_that_stays_busy(
    tools: InMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is taken away from a server that goes on serving."""
    monkeypatch.setattr(pegasus, "BUSY_SECONDS", 0.0)
    backend = server(tools, tmp_path)
    carry_out(backend.register(offer(tmp_path)))
    before = tools.state()
    tools.refusals = ["Provider is busy."] * 100
    with pytest.raises(RegistrationError, match="with less load, or with the server stopped"):
        carry_out(backend.unregister())
    assert tools.state() == before


def test_subscriptions_go_with_their_classes(tools: InMemory, tmp_path: Path) -> None:
    def subscription(namespace: str, name: str) -> Subscription:
        asked = frozenset({(namespace, name.lower())})
        return Subscription(etree.Element("INSTANCENAME"), f"SELECT * FROM {name}", asked)

    backend = server(tools, tmp_path)
    carry_out(backend.register(offer(tmp_path)))
    tools.subscribed = [
        subscription("root/virt", "CIM_ManagedElement"),
        subscription("root/cimv2", "CIM_AlertIndication"),
        subscription("root/elsewhere", "CIM_ManagedElement"),
    ]
    kept = tools.subscribed[1:]
    assert "remove subscription SELECT * FROM CIM_ManagedElement (root/interop)" in carry_out(
        backend.unregister()
    )
    assert tools.subscribed == kept


def test_a_record_of_another_version(tools: InMemory, tmp_path: Path) -> None:
    (tmp_path / "libvirtcim.json").write_text('{"future": 1}')
    with pytest.raises(RegistrationError, match="of another version of libvirtcim"):
        server(tools, tmp_path).unregister()


def test_no_directory_for_libraries(tools: InMemory, tmp_path: Path) -> None:
    (tmp_path / "lib").rmdir()
    with pytest.raises(RegistrationError, match=f"{tmp_path / 'lib'}, {tmp_path / 'more'}"):
        server(tools, tmp_path).register(offer(tmp_path))
    (tmp_path / "more").mkdir()
    carry_out(server(tools, tmp_path).register(offer(tmp_path)))
    assert (tmp_path / "more/liblibvirtcim.so").exists()


def test_programs_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotInstalled, match=r"cimserver, cimmof, .* --prefix DIR"):
        _ = Tools(tmp_path).programs


@pytest.mark.parametrize("built", [True, False])
def test_the_home_of_the_server_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built: bool
) -> None:
    """One that was built from source has its repository beside its programs."""
    home = tmp_path / "pegasus"
    (home / "bin").mkdir(parents=True)
    (home / "bin/cimserver").touch(mode=0o755)
    if built:
        (home / "repository").mkdir()
    (tmp_path / "cimserver").symlink_to(home / "bin/cimserver")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PEGASUS_HOME", raising=False)
    assert Tools().home == (home if built else None)
    monkeypatch.setenv("PEGASUS_HOME", "/named")
    assert Tools().home == Path("/named")
    assert Tools(home).home == home
