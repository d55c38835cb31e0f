# SPDX-License-Identifier: LGPL-2.1-or-later
"""CMPI objects ↔ the broker's values, through the SWIG functions of cmpi-bindings.

The functions are those of its extension module `_cmpi`, not the classes of its `cmpi.py`: an object
is then a bare pointer whose end nothing happens at. That is wanted, since every CMPI object
belongs to the call and the thread in which it was got, and the classes release some of them when
Python's collector comes by, in any thread, and their exceptions free their text twice.

So objects live in local variables only; what is released early is released here, by name. Types are
always those of the class declaration.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from libvirtcim.cim.errors import Failed
from libvirtcim.cim.objects import (
    Given,
    GivenInstance,
    Instance,
    InstancePath,
    KeyValue,
    RequestContext,
    Value,
)
from libvirtcim.cim.schema import (
    INTEGER_RANGES,
    ClassInfo,
    MethodInfo,
    ParameterInfo,
    PropertyInfo,
    Schema,
)

Pointer: TypeAlias = Any
"""A SWIG object: the address of a CMPI object, of no use once the call has ended."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class Kind:
    """A CMPI type: its number, and the name by which `CMPIValue` holds such values."""

    cim_type: str
    code: int
    member: str


class Refused(Failed):
    """The CIM server did not do what it was asked; `code` is CMPI's."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(f"The CIM server refused {what} (code {code})")
        self.code = code


class Swig:
    """The functions of `_cmpi`, with failures as CIM errors."""

    def __init__(self, module: Any) -> None:
        self.module = module
        names = {**{t: t for t in (*INTEGER_RANGES, "boolean", "char16", "real32", "real64")},
                 "string": "string", "datetime": "dateTime", "reference": "ref"}  # fmt: skip
        self.kinds = {
            cim_type: Kind(cim_type, getattr(module, f"CMPI_{name}"), name)
            for cim_type, name in names.items()
        }
        self.embedded = Kind("string", module.CMPI_instance, "inst")
        self.array: int = module.CMPI_ARRAY
        self.by_code = {kind.code: kind for kind in (*self.kinds.values(), self.embedded)}
        self.by_code[module.CMPI_chars] = Kind("string", module.CMPI_chars, "chars")
        self._absent = module.CMPI_nullValue | module.CMPI_notFound | module.CMPI_badValue
        self.get = {
            kind.code: getattr(module, f"CMPIValue_{kind.member}_get")
            for kind in self.by_code.values()
        }
        self.set = {
            kind.code: getattr(module, f"CMPIValue_{kind.member}_set")
            for kind in self.by_code.values()
        }
        self.get_array = module.CMPIValue_array_get
        self.set_array = module.CMPIValue_array_set

    def call(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function; raises Refused where the CIM server refuses `what`."""
        try:
            found = function(*arguments)
        except RuntimeError as error:
            raised: Any = error.args[0] if error.args else None
            if not hasattr(raised, "disown"):
                raise
            raised.disown()
            code = self.module.CMPIException_get_error_code(raised)
            raise Refused(what, code) from None
        return found

    def made(self, what: str, function: Callable[..., Any], *arguments: Any) -> Pointer:
        """A new object of the call's; raises Failed where there is none."""
        found = self.call(what, function, *arguments)
        if found is None:
            raise Failed(f"The CIM server made nothing of {what}")
        found.disown()
        return found

    def kind_of(self, declared: PropertyInfo | ParameterInfo | MethodInfo, value: Value) -> Kind:
        """The kind in which a value of what is declared is sent; an embedded instance may be text."""
        if getattr(declared, "embedded", None) is None:
            return self.kinds[declared.type]
        values = value if isinstance(value, list) else [value]
        return self.kinds["string"] if any(isinstance(v, str) for v in values) else self.embedded

    def is_absent(self, data: Pointer) -> bool:
        """Whether a datum has no value."""
        kind: int = self.module.CMPIData_type_get(data)
        state: int = self.module.CMPIData_state_get(data)
        return kind == 0 or bool(state & self._absent)


class Incoming:
    """What the CIM server hands over, as the broker's values."""

    def __init__(self, swig: Swig) -> None:
        self._swig = swig
        self._module = swig.module

    def context(self, context: Pointer) -> RequestContext:
        """Who asks."""
        try:
            data = self._swig.call("", self._module.CMPIContext_get_entry, context, "CMPIPrincipal")
        except Refused:  # there is no such entry
            return RequestContext()
        return RequestContext(self._datum(data).value or None)

    def path(self, path: Pointer) -> InstancePath:
        """A path with its keys; those without a value are left out."""
        namespace, classname = self.place(path)
        at = self._module.CMPIObjectPath_get_key_at
        count = self._swig.call("the keys of a path", self._module.CMPIObjectPath_key_count, path)
        keys: list[tuple[str, KeyValue]] = []
        for index in range(count):
            try:
                data, name = self._swig.call("a key of a path", at, path, index)
            except Refused as error:
                if error.code != self._module.CMPI_RC_ERR_NO_SUCH_PROPERTY:
                    raise
                continue  # OpenPegasus' answer for a key without a value
            value = self._datum(data).value
            if value is not None:
                keys.append((name, value))
        return InstancePath(classname, tuple(keys), namespace or None)

    def place(self, path: Pointer) -> tuple[str, str]:
        """Namespace ("" for none) and class name of a path."""
        if not has_namespace(path):
            return "", self._classname(path)
        namespace = self._swig.call("a namespace", self._module.CMPIObjectPath_namespace, path)
        return text(namespace) or "", self._classname(path)

    def _classname(self, path: Pointer) -> str:
        found = self._swig.call("a class name", self._module.CMPIObjectPath_classname, path)
        return text(found) or ""

    def arguments(self, arguments: Pointer) -> dict[str, Given]:
        """The arguments of a method by name."""
        return dict(
            self._pairs(
                arguments, self._module.CMPIArgs_arg_count, self._module.CMPIArgs_get_arg_at
            )
        )

    def instance(self, instance: Pointer, listed: Collection[str] | None = None) -> GivenInstance:
        """An instance. CIM servers fill up what a client sends with all properties of the class, so
        a NULL says nothing unless the property is `listed` (in lower case)."""
        path = self._swig.call(
            "the path of an instance", self._module.CMPIInstance_objectpath, instance
        )
        pairs = self._pairs(
            instance,
            self._module.CMPIInstance_property_count,
            self._module.CMPIInstance_get_property_at,
        )
        shown = listed or ()
        return GivenInstance(
            self._classname(path),
            {
                name: given if given.value is not None else Given(None)
                for name, given in pairs
                if given.value is not None or name.lower() in shown
            },
        )

    def _pairs(
        self,
        holder: Pointer,
        count: Callable[[Pointer], int],
        at: Callable[[Pointer, int], tuple[Pointer, str]],
    ) -> Iterator[tuple[str, Given]]:
        for index in range(self._swig.call("the number of values", count, holder)):
            data, name = self._swig.call("a value", at, holder, index)
            yield name, self._datum(data)

    def _datum(self, data: Pointer) -> Given:
        """The value of a datum, which is freed."""
        try:
            code = self._module.CMPIData_type_get(data)
            kind = self._swig.by_code.get(code & ~self._swig.array)
            cim_type = None if kind is None else kind.cim_type
            if self._swig.is_absent(data):
                return Given(None, cim_type)
            held = self._module.CMPIData_value_get(data)
            if kind is None:
                raise Failed(f"The CIM server handed over a value of unknown type {code:#x}")
            if code & self._swig.array:
                return Given(self._elements(self._swig.get_array(held)), cim_type)
            return Given(self._single(kind, self._swig.get[kind.code](held)), cim_type)
        finally:
            self._module.delete_CMPIData(data)

    def _elements(self, array: Pointer) -> list[Value] | None:
        if array is None:
            return None
        size = self._swig.call("the size of an array", self._module.CMPIArray_size, array)
        return [
            self._datum(
                self._swig.call("an element", self._module.CMPIArray_at, array, index)
            ).value
            for index in range(size)
        ]

    def _single(self, kind: Kind, held: Any) -> Value:
        if held is None:
            return None
        if kind.member == "string":
            return text(self._module.CMPIString___str__(held))
        if kind.member == "chars":
            return text(held)
        if kind.member == "dateTime":
            return text(self._module.CMPIDateTime___str__(held))
        if kind.member == "ref":
            return self.path(held)
        if kind.member == "inst":
            return self.instance(held)
        if kind.member == "boolean":
            return bool(held)
        return chr(held) if kind.member == "char16" else held


class Outgoing:
    """The broker's values as objects of one CIM server's broker."""

    def __init__(self, swig: Swig, broker: Pointer, schema: Schema) -> None:
        self._swig = swig
        self._module = swig.module
        self._broker = broker
        self._schema = schema

    def send_instances(
        self,
        result: Pointer,
        rows: Iterable[Instance],
        namespace: str,
        properties: Collection[str] | None,
    ) -> None:
        """Returns instances, and says that these were all."""
        for row in rows:
            made = self.instance(row, namespace, properties)
            self._swig.call("an instance", self._module.CMPIResult_return_instance, result, made)
        self.done(result)

    def send_paths(self, result: Pointer, paths: Iterable[InstancePath], namespace: str) -> None:
        """Returns paths, and says that these were all."""
        for path in paths:
            made = self.path(path, namespace)
            self._swig.call("a path", self._module.CMPIResult_return_objectpath, result, made)
        self.done(result)

    def send_method_result(
        self,
        result: Pointer,
        out: Pointer,
        declared: MethodInfo,
        value: Value,
        outputs: Mapping[str, Value],
        namespace: str,
    ) -> None:
        """Returns the value and the output parameters of a method."""
        if declared.type == "reference":
            raise Failed(f"{declared.name}: CIM servers can't take a reference as return value")
        set_argument = self._module.CMPIArgs_set
        for parameter in declared.parameters:
            if parameter.name in outputs:
                what = f"{declared.name}.{parameter.name}"
                output = outputs[parameter.name]
                self._hand_over(
                    what, parameter, output, namespace, set_argument, out, parameter.name
                )
        if value is not None:
            give = self._module.CMPIResult_return_data
            self._hand_over(declared.name, declared, value, namespace, give, result)
        self.done(result)

    def done(self, result: Pointer) -> None:
        """Says that an answer is complete."""
        self._swig.call("the end of the answer", self._module.CMPIResult_done, result)

    def path(self, path: InstancePath, namespace: str) -> Pointer:
        """A path; in `namespace` where it names none."""
        where = path.namespace or namespace
        cls = self._schema.get(where, path.classname)
        made = self._new_path(where, cls)
        for name, value in path.keys:
            declared = cls.by_name.get(name.lower())
            if declared is None or not declared.key:
                raise Failed(f"{cls.name} has no key {name}")
            if value is None:
                raise Failed(f"{cls.name}.{name}: a key has no value")
            add = self._module.CMPIObjectPath_add_key
            self._hand_over(f"{cls.name}.{name}", declared, value, where, add, made, name)
        return made

    def instance(
        self,
        row: Instance,
        namespace: str,
        properties: Collection[str] | None = None,
        *,
        embedded: bool = False,
    ) -> Pointer:
        """An instance with all its properties, NULL ones too: CIM servers preset the class's defaults."""
        cls = row.cls
        if row.path is None or embedded:
            path = self._new_path(namespace, cls)
        else:
            path = self.path(row.path, namespace)
        made = self._swig.made(
            f"an instance of {cls.name}",
            self._module.CMPIBroker_new_instance,
            self._broker,
            path,
            1,
        )
        selected = row.selected
        filtered = properties is not None and self._filter(made, properties)
        put = self._module.CMPIInstance_set_property
        for declared in cls.properties:
            shown = selected is None or declared.name in selected
            if not shown and (filtered or declared.key):
                continue
            value = row[declared.name] if shown else None
            what = f"{cls.name}.{declared.name}"
            self._hand_over(what, declared, value, namespace, put, made, declared.name)
        return made

    def _filter(self, instance: Pointer, properties: Collection[str]) -> bool:
        """Tells the CIM server what of an instance to send; false where it refuses, as it may, since
        cmpi-bindings names the keys among the properties only."""
        listed = [name.encode() for name in properties]
        apply = self._module.CMPIInstance_set_property_filter
        try:
            self._swig.call("a property list", apply, instance, listed)
        except Refused:
            return False
        return True

    def _new_path(self, namespace: str, cls: ClassInfo) -> Pointer:
        new = self._module.CMPIBroker_new_object_path
        return self._swig.made(
            f"a path of {cls.name}", new, self._broker, sendable(namespace), cls.name
        )

    def _hand_over(
        self,
        what: str,
        declared: PropertyInfo | ParameterInfo | MethodInfo,
        value: Value,
        namespace: str,
        function: Callable[..., Any],
        *place: Any,
    ) -> None:
        """Calls `function` with `place`, the value and its type."""
        kind = self._swig.kind_of(declared, value)
        array = getattr(declared, "array", False)
        code = kind.code | self._swig.array if array else kind.code
        if value is None:
            self._swig.call(what, function, *place, None, code)
            return
        held = self._module.new_CMPIValue()
        try:
            release = self._fill(held, kind, value, namespace, what, array=array)
            self._swig.call(what, function, *place, held, code)
            if release is not None:
                release()
        finally:
            self._module.delete_CMPIValue(held)

    def _fill(
        self, held: Pointer, kind: Kind, value: Value, namespace: str, what: str, *, array: bool
    ) -> Callable[[], None] | None:
        """Puts a value into a `CMPIValue`; what releases it once it is copied, where that can be done."""
        try:
            if array:
                self._swig.set_array(held, self._array(kind, value, namespace, what))
                return None
            made, release = self._single(kind, value, namespace)
            self._swig.set[kind.code](held, made)
        except (TypeError, ValueError, OverflowError) as error:
            raise Failed(f"{what}: {error}") from None
        return release

    def _array(self, kind: Kind, values: Value, namespace: str, what: str) -> Pointer:
        """An array, whose elements live as long as the call: OpenPegasus keeps pointers to them."""
        if not isinstance(values, (list, tuple)):
            raise TypeError(f"a list expected, not {type(values).__name__}")
        new, put = self._module.CMPIBroker_new_array, self._module.CMPIArray_set
        array = self._swig.made("an array", new, self._broker, len(values), kind.code)
        for index, value in enumerate(values):
            if value is None:
                continue
            held = self._module.new_CMPIValue()
            try:
                self._fill(held, kind, value, namespace, what, array=False)
                self._swig.call("an array element", put, array, index, held, kind.code)
            finally:
                self._module.delete_CMPIValue(held)
        return array

    def _single(
        self, kind: Kind, value: Value, namespace: str
    ) -> tuple[Any, Callable[[], None] | None]:
        module = self._module
        if kind.member == "string":
            string = self._swig.made(
                "a text", module.CMPIBroker_new_string, self._broker, sendable(value)
            )
            return string, lambda: module.delete_CMPIString(string)
        if kind.member == "dateTime":
            new = module.CMPIBroker_new_datetime_from_string
            moment = self._swig.made(f"the datetime {value}", new, self._broker, sendable(value))
            return moment, lambda: module.delete_CMPIDateTime(moment)
        if kind.member == "ref":
            return self.path(value, namespace), None
        if kind.member == "inst":
            return self.instance(value, namespace, embedded=True), None
        return checked(kind.cim_type, value), None


_Get = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_GET_NAMESPACE, _GET_CHARS = 4, 3
"""Places in the function tables of CMPI's paths and strings."""


def has_namespace(path: Pointer) -> bool:
    """Whether a path has a namespace; asking cmpi-bindings for one that isn't there ends the process."""
    string = _get(int(path), _GET_NAMESPACE)
    return bool(string) and bool(_get(string, _GET_CHARS))


def _get(address: int, place: int) -> int:
    """What a CMPI object's function of the shape f(object, status) returns: an address, 0 for none."""
    status = (ctypes.c_void_p * 2)()
    size = ctypes.sizeof(ctypes.c_void_p)
    table = ctypes.c_void_p.from_address(address + size).value or 0
    function = ctypes.c_void_p.from_address(table + place * size).value or 0
    return _Get(function)(address, ctypes.addressof(status)) or 0


def checked(cim_type: str, value: Value) -> Value:
    """A number, truth value or character as SWIG takes it; raises TypeError, ValueError or OverflowError."""
    if cim_type == "boolean":
        if not isinstance(value, bool):
            raise TypeError(f"true or false expected, not {type(value).__name__}")
    elif cim_type == "char16":
        return ord(sendable(value))
    elif cim_type in INTEGER_RANGES:
        low, high = INTEGER_RANGES[cim_type]
        if not isinstance(value, int):
            raise TypeError(f"an integer expected, not {type(value).__name__}")
        if not low <= value <= high:
            raise OverflowError(f"{value} is no {cim_type}")
    return value


def sendable(value: Value) -> str:
    """The text, where XML can carry it; raises TypeError or ValueError."""
    if not isinstance(value, str):
        raise TypeError(f"text expected, not {type(value).__name__}")
    value.encode()  # halves of characters raise
    control = _CONTROL.search(value)
    if control is not None:
        raise ValueError(f"the control character U+{ord(control[0]):04X} can't be sent")
    return value


def text(found: str | None) -> str | None:
    """A text that SWIG decoded: bytes that are no UTF-8 become U+FFFD."""
    if found is None or found.isascii():
        return found
    return found.encode(errors="surrogateescape").decode(errors="replace")
