# SPDX-License-Identifier: LGPL-2.1-or-later
"""OpenPegasus through its own command-line tools, which need neither a port nor a password.

Requests go through `wbemexec`, MOF through `cimmof`, settings through `cimconfig`: all of them
reach the server over its local socket, as the user that runs them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from libvirtcim.register.plan import NotInstalled, RegistrationError, run_tool

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

SUBSCRIPTION_CLASS, FILTER_CLASS = "CIM_IndicationSubscription", "CIM_IndicationFilter"
_FROM = re.compile(r"\bfrom\s+(\w+)", re.IGNORECASE)

Instance = Mapping[str, str | list[str]]
"""Property name → value or values as text; a NULL is absent, of an array empty."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A client's wish for indications."""

    path: etree._Element
    """Its INSTANCENAME."""
    query: str
    classes: frozenset[tuple[str, str]]
    """Namespaces and classes that the query asks, in lower case."""


class RequestRefused(RegistrationError):
    """The server answered a request with a CIM error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Tools:
    """The tools of the OpenPegasus in `home`, else of the one in PEGASUS_HOME or on PATH."""

    def __init__(self, home: Path | None = None) -> None:
        self.environment = {**os.environ, "LC_ALL": "C"}
        if home is not None:
            self.environment[HOME_VARIABLE] = str(home)
            path = (home / "bin", home / "sbin", os.environ.get("PATH", ""))
            self.environment["PATH"] = ":".join(map(str, path))
        elif HOME_VARIABLE not in os.environ and (built := _built()) is not None:
            self.environment[HOME_VARIABLE] = str(built)

    @property
    def home(self) -> Path | None:
        """Directory that relative settings refer to; None: it is a packaged server, without one."""
        named = self.environment.get(HOME_VARIABLE)
        return Path(named) if named else None

    @property
    def programs(self) -> Path:
        """Directory in which its server is found. Raises NotInstalled where it lacks programs."""
        path = self.environment.get("PATH")
        found = {tool: shutil.which(tool, path=path) for tool in TOOLS}
        missing = [tool for tool, where in found.items() if where is None]
        server = found[SERVER]
        if missing or server is None:
            raise NotInstalled(
                f"OpenPegasus: {', '.join(missing)} not found on PATH; install it, or name its "
                "directory with --prefix DIR"
            )
        return Path(server).parent

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
        except BaseException:
            with suppress(RegistrationError):
                self.tool(SERVER, "-s")
            raise
        self.tool(SERVER, "-s")

    def tool(self, *command: str) -> str:
        """Runs a program; returns what it printed. Raises RegistrationError when it fails."""
        return run_tool(command, self.environment, TOOL_SECONDS)

    def settings(self) -> dict[str, str]:
        """The current settings of the running server; packaged servers hide those of places."""
        lines = self.tool("cimconfig", "-l", "-c").splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

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
        self.delete_instance(parent, path)

    def delete_instance(self, namespace: str, path: etree._Element) -> None:
        """Removes an instance; `path` is its INSTANCENAME."""
        self._request("DeleteInstance", namespace, InstanceName=path)

    def subscriptions(self, interop: str) -> list[Subscription]:
        """All subscriptions to indications."""
        filters = {str(one.get("Name")): one for one in self.instances(interop, FILTER_CLASS)}
        found = self._request(
            "EnumerateInstanceNames", interop, ClassName=_class(SUBSCRIPTION_CLASS)
        )
        paths = found.iterfind(".//IRETURNVALUE/INSTANCENAME")
        return [_subscription(path, filters) for path in paths]

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


def _built() -> Path | None:
    """The directory of an OpenPegasus that was built from source, whose server is on PATH."""
    server = shutil.which(SERVER)
    if server is None:
        return None
    home = Path(server).resolve().parent.parent
    return home if (home / "repository").is_dir() else None


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


def _subscription(path: etree._Element, filters: Mapping[str, Instance]) -> Subscription:
    name = path.find("KEYBINDING[@NAME='Filter']//KEYBINDING[@NAME='Name']/KEYVALUE")
    asked = filters.get("" if name is None else _text(name), {})
    query = str(asked.get("Query", ""))
    namespaces = [*asked.get("SourceNamespaces", ()), str(asked.get("SourceNamespace", ""))]
    pairs = {(ns.lower(), name.lower()) for ns in namespaces for name in _FROM.findall(query)}
    return Subscription(path, query, frozenset(pairs))


def _instance(element: etree._Element) -> Instance:
    properties: dict[str, str | list[str]] = {}
    for item in element:
        name, values = item.get("NAME", ""), [_text(v) for v in item.iter("VALUE")]
        if item.tag == "PROPERTY.ARRAY":
            properties[name] = values
        elif values:
            properties[name] = values[0]
    return properties
