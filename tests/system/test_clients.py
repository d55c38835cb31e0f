# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that nobody here wrote do their main jobs: wbemcli, pywbem, pywbemcli."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import pywbem

from tests.system.conftest import Served

WBEMCLI = shutil.which("wbemcli")
PYWBEMCLI = Path(sys.executable).parent / "pywbemcli"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)


def wbemcli(served: Served, command: str, target: str, *options: str) -> list[str]:
    """Output lines of wbemcli on `root/virt:<target>`."""
    assert WBEMCLI
    done = run(WBEMCLI, command, *options, f"{served.url}/root/virt:{target}")
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout.splitlines()


needs_wbemcli = pytest.mark.skipif(WBEMCLI is None, reason="wbemcli (sblim-wbemcli) is missing")
needs_pywbemcli = pytest.mark.skipif(
    not PYWBEMCLI.exists(), reason="pywbemcli (pywbemtools) is missing"
)

DB1 = 'KVM_ComputerSystem.CreationClassName="KVM_ComputerSystem",Name="db1"'


@needs_wbemcli
class TestWbemcli:
    def test_ein(self, sample: Served) -> None:
        lines = wbemcli(sample, "ein", "KVM_ComputerSystem")
        assert len(lines) == 3
        assert any(line.endswith(f"root/virt:{DB1}") for line in lines)

    def test_ei(self, sample: Served) -> None:
        lines = wbemcli(sample, "ei", "KVM_DiskResourceAllocationSettingData", "-nl")
        assert '-Address="rbd:pool/db1-data"' in lines
        assert "-VirtualQuantity=10737418240" in lines

    def test_gi(self, sample: Served) -> None:
        lines = wbemcli(sample, "gi", DB1, "-nl")
        assert '-Caption="Virtual System (Console on spice://' in "\n".join(lines)
        assert "-OperationalStatus=2" in lines

    @pytest.mark.parametrize(("command", "count"), [("ain", 9), ("rin", 9)])
    def test_names_of_devices(self, sample: Served, command: str, count: int) -> None:
        option = ("-ac", "KVM_SystemDevice") if command == "ain" else ("-arc", "KVM_SystemDevice")
        lines = wbemcli(sample, command, DB1, *option)
        assert len(lines) == count

    def test_ai(self, sample: Served) -> None:
        lines = wbemcli(sample, "ai", DB1, "-nl", "-ac", "KVM_SettingsDefineState")
        assert '-InstanceID="KVM:db1"' in lines

    def test_ri(self, sample: Served) -> None:
        lines = wbemcli(sample, "ri", DB1, "-nl", "-arc", "KVM_HostedDependency")
        assert any(line.startswith("-Antecedent") and "db1" in line for line in lines)

    def test_cm(self, sample: Served) -> None:
        assert WBEMCLI
        target = f"{sample.url}/root/virt:{DB1}"
        paused = run(WBEMCLI, "cm", target, "RequestStateChange.RequestedState=9")
        assert paused.returncode == 0, paused.stderr
        assert "-EnabledState=9" in wbemcli(sample, "gi", DB1, "-nl")
        again = run(WBEMCLI, "cm", target, "RequestStateChange.RequestedState=9")
        assert again.returncode != 0
        assert "Domain not running" in again.stderr + again.stdout
        resumed = run(WBEMCLI, "cm", target, "RequestStateChange.RequestedState=2")
        assert resumed.returncode == 0

    def test_error(self, sample: Served) -> None:
        assert WBEMCLI
        done = run(WBEMCLI, "gi", f"{sample.url}/root/virt:{DB1.replace('db1', 'nosuch')}")
        assert "CIM_ERR_NOT_FOUND" in done.stderr + done.stdout


class TestPywbem:
    def test_server_discovery(self, sample: Served) -> None:
        server = pywbem.WBEMServer(sample.client())
        assert server.interop_ns == "root/interop"
        assert set(server.namespaces) == {"root/virt", "root/interop", "root/cimv2"}
        assert server.brand == "libvirtcim"
        assert server.version

    @pytest.mark.parametrize("pull", [True, False, None])
    def test_iter_operations(self, sample: Served, pull: bool | None) -> None:
        client = pywbem.WBEMConnection(
            sample.url, default_namespace="root/virt", use_pull_operations=pull
        )
        every = list(client.IterEnumerateInstances("KVM_ComputerSystem", MaxObjectCount=2))
        paths = list(client.IterEnumerateInstancePaths("KVM_ComputerSystem", MaxObjectCount=1))
        assert sorted(i["Name"] for i in every) == sorted(p["Name"] for p in paths)
        assert len(every) == 3
        guest = next(p for p in paths if p["Name"] == "db1")
        devices = list(client.IterAssociatorInstances(guest, "KVM_SystemDevice", MaxObjectCount=3))
        assert len(devices) == 9
        names = list(
            client.IterAssociatorInstancePaths(guest, "KVM_SystemDevice", MaxObjectCount=4)
        )
        assert {d.path["DeviceID"] for d in devices} == {n["DeviceID"] for n in names}
        assert len(list(client.IterReferenceInstances(guest, MaxObjectCount=5))) == len(
            list(client.IterReferenceInstancePaths(guest, MaxObjectCount=5))
        )

    def test_property_list_and_class_flags(self, sample: Served) -> None:
        client = sample.client()
        (guest, *_rest) = client.EnumerateInstances("KVM_ComputerSystem", PropertyList=["UUID"])
        assert list(guest.properties) == ["UUID"]
        cls = client.GetClass("KVM_ComputerSystem", LocalOnly=True, IncludeClassOrigin=True)
        assert list(cls.properties) == ["UUID"]
        assert cls.properties["UUID"].class_origin == "KVM_ComputerSystem"
        everything = client.GetClass("KVM_ComputerSystem", LocalOnly=False)
        assert everything.properties["Name"].qualifiers["Key"].value is True

    def test_superclass_enumeration_spans_families(self, sample: Served) -> None:
        client = sample.client()
        systems = client.EnumerateInstanceNames("CIM_ComputerSystem")
        classes = {path.classname for path in systems}
        assert {"KVM_ComputerSystem", "Xen_ComputerSystem", "KVM_HostSystem"} <= classes

    @pytest.mark.parametrize(
        ("status", "call"),
        [
            (
                pywbem.CIM_ERR_INVALID_NAMESPACE,
                ("EnumerateInstances", "KVM_Memory", "root/nowhere"),
            ),
            (pywbem.CIM_ERR_INVALID_CLASS, ("EnumerateInstances", "KVM_Nonsense", None)),
            (pywbem.CIM_ERR_NOT_FOUND, ("GetClass", "KVM_Nonsense", None)),
            (pywbem.CIM_ERR_NOT_SUPPORTED, ("DeleteClass", "KVM_Memory", None)),
        ],
    )
    def test_errors(self, sample: Served, status: int, call: tuple[str, str, str | None]) -> None:
        operation, classname, namespace = call
        with pytest.raises(pywbem.CIMError) as caught:
            getattr(sample.client(), operation)(classname, namespace=namespace)
        assert caught.value.status_code == status

    def test_nothing_can_be_created_modified_or_deleted(self, sample: Served) -> None:
        client = sample.client()
        guest = client.EnumerateInstances("KVM_ComputerSystem")[0]
        for change in (
            lambda: client.CreateInstance(guest),
            lambda: client.ModifyInstance(guest),
            lambda: client.DeleteInstance(guest.path),
        ):
            with pytest.raises(pywbem.CIMError) as caught:
                change()
            assert caught.value.status_code == pywbem.CIM_ERR_NOT_SUPPORTED

    def test_every_class_and_qualifier_can_be_read(self, sample: Served) -> None:
        client = sample.client()
        for namespace in ("root/virt", "root/interop", "root/cimv2"):
            names = client.EnumerateClassNames(namespace=namespace, DeepInheritance=True)
            classes = client.EnumerateClasses(
                namespace=namespace, DeepInheritance=True, LocalOnly=False
            )
            assert sorted(names) == sorted(c.classname for c in classes)
            declared = {q.name for q in client.EnumerateQualifiers(namespace=namespace)}
            used = {name for c in classes for name in c.qualifiers}
            assert used <= declared

    def test_an_absent_hypervisor_has_no_guests(self, sample: Served) -> None:
        client = sample.client()
        assert client.EnumerateInstances("LXC_ComputerSystem") == []
        path = pywbem.CIMInstanceName("LXC_ComputerSystem", {"Name": "c1"}, namespace="root/virt")
        with pytest.raises(pywbem.CIMError) as caught:
            client.GetInstance(path)
        assert caught.value.status_code == pywbem.CIM_ERR_NOT_FOUND


@needs_pywbemcli
class TestPywbemcli:
    def pywbemcli(self, served: Served, *arguments: str) -> str:
        done = run(str(PYWBEMCLI), "-s", served.url, "-d", "root/virt", *arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        assert "Traceback" not in done.stderr
        return done.stdout

    def test_instance_enumerate(self, sample: Served) -> None:
        shown = self.pywbemcli(sample, "instance", "enumerate", "KVM_ComputerSystem", "--no")
        assert shown.count("KVM_ComputerSystem") >= 3

    def test_instance_get(self, sample: Served) -> None:
        shown = self.pywbemcli(sample, "instance", "get", f"root/virt:{DB1}")
        assert 'ElementName = "db1"' in shown

    def test_instance_associators(self, sample: Served) -> None:
        shown = self.pywbemcli(
            sample,
            "instance",
            "associators",
            f"root/virt:{DB1}",
            "--ac",
            "KVM_SystemDevice",
            "--no",
        )
        assert "KVM_LogicalDisk" in shown

    def test_instance_shrub(self, sample: Served) -> None:
        shown = self.pywbemcli(sample, "instance", "shrub", f"root/virt:{DB1}")
        assert "KVM_SystemDevice" in shown

    def test_class_tree(self, sample: Served) -> None:
        shown = self.pywbemcli(sample, "class", "tree", "CIM_ComputerSystem")
        assert "LXC_HostSystem" in shown

    def test_statistics(self, sample: Served) -> None:
        shown = self.pywbemcli(sample, "--timestats", "class", "get", "KVM_Memory")
        assert "GetClass" in shown or "class KVM_Memory" in shown

    def test_invokemethod(self, sample: Served) -> None:
        target = f"root/virt:{DB1}"
        for state in ("9", "2"):
            self.pywbemcli(
                sample, "instance", "invokemethod", target, "RequestStateChange",
                "-p", f"RequestedState={state}",
            )  # fmt: skip
