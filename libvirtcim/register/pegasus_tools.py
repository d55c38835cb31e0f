# SPDX-License-Identifier: LGPL-2.1-or-later
"""OpenPegasus through its own command-line tools, which need neither a port nor a password.

Requests go through `wbemexec`, MOF through `cimmof`, settings through `cimconfig`: all of them
reach the server over its local socket, as the user that runs them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lxml import etree

from libvirtcim.register.plan import RegistrationError, run_tool

SERVER = "cimserver"
TOOLS = (SERVER, "cimmof", "cimprovider", "cimconfig", "wbemexec")
HOME_VARIABLE = "PEGASUS_HOME"
TOOL_SECONDS = 120.0
"""How long one tool may take; the longest is a server that ends while requests run."""
NOT_RUNNING = 2
"""Exit status of `cimserver --status`."""
NAMESPACE = "__Namespace"
"""Class whose instances are the namespaces below the one that is asked."""
INVALID_NAMESPACE, CLASS_HAS_CHILDREN, CLASS_HAS_INSTANCES = 3, 8, 9
"""CIM status codes (DSP0200 5.2.1)."""

Instance = Mapping[str, str | list[str]]
"""Property name → value or values as text; a NULL is absent, of an array empty."""


class RequestRefused(RegistrationError):
    """The server answered a request with a CIM error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Tools:
    """The tools of this machine's OpenPegasus, or of the one whose programs are in `home`/bin."""

    def __init__(self, home: Path | None = None) -> None:
        self.environment = {**os.environ, "LC_ALL": "C"}
        if home is not None:
            self.environment[HOME_VARIABLE] = str(home)
            self.environment["PATH"] = f"{home / 'bin'}:{os.environ.get('PATH', '')}"

    @property
    def home(self) -> Path:
        """Directory that its relative settings refer to; packaged servers use absolute ones."""
        return Path(self.environment.get(HOME_VARIABLE, "/"))

    def missing(self) -> list[str]:
        """Those of its programs that are not on PATH."""
        path = self.environment.get("PATH")
        return [tool for tool in TOOLS if shutil.which(tool, path=path) is None]

    def running(self) -> bool:
        """Whether the server runs."""
        command = [SERVER, "--status"]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=TOOL_SECONDS
        )
        if done.returncode not in (0, NOT_RUNNING):
            raise RegistrationError(f"`{' '.join(command)}`: {done.stdout}{done.stderr}")
        return done.returncode == 0

    @contextmanager
    def reachable(self) -> Iterator[None]:
        """A server that answers the tools: where none runs, one that listens on no port.

        The one that is started here ends with the block.
        """
        if self.running():
            yield
            return
        self.tool(SERVER, "enableHttpConnection=false", "enableHttpsConnection=false")
        try:
            yield
        finally:
            self.tool(SERVER, "-s")

    def tool(self, *command: str) -> str:
        """Runs a program; returns what it printed. Raises RegistrationError when it fails."""
        return run_tool(command, self.environment, TOOL_SECONDS)

    def setting(self, name: str) -> str:
        """The current value of a setting of the running server."""
        return self.tool("cimconfig", "-g", name, "-c").partition(":")[2].strip()

    def compile(self, namespace: str, mof: str) -> None:
        """Adds what the MOF declares; what is there already is a failure, not passed over."""
        with _file(mof, ".mof") as path:
            said = self.tool("cimmof", "-n", namespace, path)
        if said:  # of what is there already it warns, changes nothing, and reports success
            raise RegistrationError(f"cimmof, namespace {namespace}: {said}")

    def class_names(self, namespace: str, below: str | None = None) -> set[str] | None:
        """All classes of a namespace (that derive from `below`); None: no such namespace."""
        given = {} if below is None else {"ClassName": _class(below)}
        given["DeepInheritance"] = _element("VALUE", text="TRUE")
        return self._names("EnumerateClassNames", namespace, "CLASSNAME", **given)

    def qualifier_names(self, namespace: str) -> set[str] | None:
        """All qualifiers that are declared in a namespace; None: there is no such namespace."""
        return self._names("EnumerateQualifiers", namespace, "QUALIFIER.DECLARATION")

    def used_qualifiers(self, namespace: str) -> set[str]:
        """The qualifiers that classes of a namespace carry."""
        flags = ("DeepInheritance", "LocalOnly", "IncludeQualifiers")
        given = {flag: _element("VALUE", text="TRUE") for flag in flags}
        return self._names("EnumerateClasses", namespace, "QUALIFIER", **given) or set()

    def instances(self, namespace: str, classname: str) -> list[Instance]:
        """All instances of a class."""
        found = self._request("EnumerateInstances", namespace, ClassName=_class(classname))
        return [_instance(instance) for instance in found.iter("INSTANCE")]

    def create_namespace(self, namespace: str) -> None:
        """Makes a namespace; its parent must exist."""
        parent, _, name = namespace.rpartition("/")
        named = _element("PROPERTY", _element("VALUE", text=name), NAME="Name", TYPE="string")
        new = _element("INSTANCE", named, CLASSNAME=NAMESPACE)
        self._request("CreateInstance", parent, NewInstance=new)

    def delete_namespace(self, namespace: str) -> None:
        """Removes a namespace, which must be empty."""
        parent, _, name = namespace.rpartition("/")
        value = _element("KEYVALUE", text=name, VALUETYPE="string")
        key = _element("KEYBINDING", value, NAME="Name")
        path = _element("INSTANCENAME", key, CLASSNAME=NAMESPACE)
        self._request("DeleteInstance", parent, InstanceName=path)

    def delete_class(self, namespace: str, name: str) -> None:
        """Removes a class, which must have neither subclasses nor instances."""
        self._request("DeleteClass", namespace, ClassName=_class(name))

    def delete_qualifier(self, namespace: str, name: str) -> None:
        """Removes the declaration of a qualifier."""
        self._request("DeleteQualifier", namespace, QualifierName=_element("VALUE", text=name))

    def _names(
        self, method: str, namespace: str, element: str, **parameters: etree._Element
    ) -> set[str] | None:
        try:
            found = self._request(method, namespace, **parameters)
        except RequestRefused as refused:
            if refused.code == INVALID_NAMESPACE:
                return None
            raise
        return {item.get("NAME", "") for item in found.iter(element)}

    def _request(self, method: str, namespace: str, **parameters: etree._Element) -> etree._Element:
        parts = (_element("NAMESPACE", NAME=part) for part in namespace.split("/"))
        path = _element("LOCALNAMESPACEPATH", *parts)
        values = [_element("IPARAMVALUE", value, NAME=name) for name, value in parameters.items()]
        call = _element("SIMPLEREQ", _element("IMETHODCALL", path, *values, NAME=method))
        message = _element("MESSAGE", call, ID="1", PROTOCOLVERSION="1.0")
        request = _element("CIM", message, CIMVERSION="2.0", DTDVERSION="2.0")
        text = etree.tostring(request, xml_declaration=True, encoding="utf-8").decode()
        with _file(text, ".xml") as file:
            answered = self.tool("wbemexec", file)
        answer: etree._Element = etree.fromstring(answered.encode())
        error = answer.find(".//ERROR")
        if error is not None:
            said = error.get("DESCRIPTION", "")
            raise RequestRefused(int(error.get("CODE", "1")), f"{method} in {namespace}: {said}")
        return answer


@contextmanager
def _file(text: str, suffix: str) -> Iterator[str]:
    """A file that holds the text for the time of the block; its path."""
    with tempfile.NamedTemporaryFile("w", suffix=suffix, encoding="utf-8") as file:
        file.write(text)
        file.flush()
        yield file.name


def _element(
    tag: str, *children: etree._Element, text: str | None = None, **attributes: str
) -> etree._Element:
    made = etree.Element(tag, attributes)
    made.text = text
    made.extend(children)
    return made


def _class(name: str) -> etree._Element:
    return _element("CLASSNAME", NAME=name)


def _text(value: etree._Element) -> str:
    """The text of an element; wbemexec puts line ends around it."""
    return (value.text or "").strip()


def _instance(element: etree._Element) -> Instance:
    properties: dict[str, str | list[str]] = {}
    for item in element:
        name, values = item.get("NAME", ""), [_text(v) for v in item.iter("VALUE")]
        if item.tag == "PROPERTY.ARRAY":
            properties[name] = values
        elif values:
            properties[name] = values[0]
    return properties
