# SPDX-License-Identifier: LGPL-2.1-or-later
"""The broker: every CIM operation, checked and dispatched; what all front ends call."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from libvirtcim.cim import associations, made, values
from libvirtcim.cim.arguments import check_arguments
from libvirtcim.cim.associations import Association, Filter, Handler, Hit
from libvirtcim.cim.errors import (
    Failed,
    InvalidClass,
    MethodNotAvailable,
    MethodNotFound,
    NoSuchProperty,
    NotFound,
    NotSupported,
    TypeMismatch,
)
from libvirtcim.cim.indications import Indications, IndicationSource
from libvirtcim.cim.objects import (
    Given,
    GivenInstance,
    Instance,
    InstancePath,
    KeyValue,
    RequestContext,
    Value,
)
from libvirtcim.cim.provider import (
    InstanceProvider,
    InstanceWriter,
    Layout,
    ProviderRequest,
    Unmade,
    UnmadePaths,
    check_reference,
    ready_layout,
)
from libvirtcim.cim.schema import ClassInfo, Schema

NAMES_ONLY: frozenset[str] = frozenset()


class Broker:
    """Carries out CIM operations against the registered providers.

    All methods raise `CIMError`. Class, namespace, property and key names are taken in any case;
    key values as text or typed. `properties`: names of a property list (None: all; empty: none).
    Results are iterators: an error can only arise before the first item.
    Paths in results carry their namespace; `host` is left to the front end.
    `names`: declared namespaces → what they are called in paths that start in another namespace.
    """

    def __init__(
        self,
        schema: Schema,
        providers: Iterable[InstanceProvider[object]],
        table: Iterable[Association] = (),
        sources: Iterable[IndicationSource] = (),
        names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.schema = schema
        self._names = names
        self.indications = Indications(schema, sources, self._row_of)
        self._providers: dict[str, InstanceProvider[object]] = {}
        self._associations: dict[str, Association] = {}
        self._writers: dict[str, InstanceWriter] = {}
        self._layouts: dict[str, Layout] = {}
        self._bases: set[str] = set()
        self.add(providers, table)

    def add(self, providers: Iterable[InstanceProvider[Any]], table: Iterable[Association]) -> None:
        """Serves further classes. For front ends whose own need the broker; before the first request."""
        for provider in providers:
            self._providers.update((name.lower(), provider) for name in provider.classes)
        for association in table:
            names = [association.decl.class_name(p).lower() for p in association.decl.prefixes]
            self._associations.update((name, association) for name in names)
            if association.writer is not None:
                self._writers.update((name, association.writer) for name in names)
        self._writers.update(self._providers)
        served = (*self._providers, *self._associations)
        self._bases = {name.partition("_")[2] for name in served}

    # --- instances ---------------------------------------------------------------------------

    def enumerate_instances(
        self,
        context: RequestContext,
        namespace: str,
        classname: str,
        properties: Collection[str] | None = None,
        *,
        deep: bool = True,
    ) -> Iterator[Instance]:
        """Instances of the class and its subclasses, each with its path.

        deep=False: only properties that `classname` itself has (DSP0200 5.4.2.11).
        """
        namespace = self.schema.namespace(namespace)
        asked = self.schema.get(namespace, classname)
        shown = properties if deep else _restricted(asked, properties)
        rows: list[Instance] = []
        shared: dict[Any, Any] = {}
        for cls in self.schema.family(namespace, classname):
            rows.extend(self._rows(self._request(context, cls, namespace, shown, shared)))
        return iter(rows)

    def enumerate_instance_names(
        self, context: RequestContext, namespace: str, classname: str
    ) -> Iterator[InstancePath]:
        """Paths of the instances of the class and its subclasses."""
        namespace = self.schema.namespace(namespace)
        paths: list[InstancePath] = []
        shared: dict[Any, Any] = {}
        for cls in self.schema.family(namespace, classname):
            paths.extend(self._paths(self._request(context, cls, namespace, NAMES_ONLY, shared)))
        return iter(paths)

    def instances_of(
        self,
        context: RequestContext,
        namespace: str,
        classname: str,
        properties: Collection[str] | None = None,
    ) -> Iterable[Instance]:
        """Instances of exactly this class, each made when it is taken; so each can raise an error.

        For those who ask for every subclass by itself and send what they have at once.
        """
        namespace = self.schema.namespace(namespace)
        cls = self.schema.get(namespace, classname)
        return self._rows(self._request(context, cls, namespace, properties))

    def paths_of(
        self, context: RequestContext, namespace: str, classname: str
    ) -> Iterable[InstancePath]:
        """Paths of the instances of exactly this class, as `instances_of`."""
        namespace = self.schema.namespace(namespace)
        cls = self.schema.get(namespace, classname)
        return self._paths(self._request(context, cls, namespace, NAMES_ONLY))

    def _rows(self, request: ProviderRequest) -> Iterable[Instance]:
        association = self._associations.get(request.cls.name.lower())
        if association is not None:
            hits = self._all_hits(request, association)
            return (hit.reference(request.namespace, request.wanted) for hit in hits)
        provider = self._serving(request)
        if provider is None:
            return ()
        layout = self._layout(request.cls, provider)
        return Unmade(layout, provider.items(request), request.namespace, request.wanted)

    def _serving(self, request: ProviderRequest) -> InstanceProvider[object] | None:
        """The provider of the class, if it has instances in the namespace."""
        provider = self._providers.get(request.cls.name.lower())
        declared = self.schema.declared(request.namespace)
        return provider if provider is not None and provider.serves(declared) else None

    def _paths(self, request: ProviderRequest) -> Iterable[InstancePath]:
        association = self._associations.get(request.cls.name.lower())
        if association is not None:
            hits = self._all_hits(request, association)
            return (_path_of(hit.reference(request.namespace)) for hit in hits)
        provider = self._serving(request)
        if provider is None:
            return ()
        layout = self._layout(request.cls, provider)
        return UnmadePaths(layout, provider.items(request), request.namespace)

    def get_instance(
        self,
        context: RequestContext,
        path: InstancePath,
        properties: Collection[str] | None = None,
    ) -> Instance:
        """The instance at `path` (whose namespace must be set)."""
        namespace, cls, path = self._locate(path)
        request = self._request(context, cls, namespace, properties)
        association = self._associations.get(cls.name.lower())
        if association is not None:
            return self._get_reference(request, association, path)
        provider = self._serving(request)
        if provider is None:
            raise _no_instances(cls)
        row = self._layout(cls, provider).row(
            provider.find(request, path), namespace, request.wanted
        )
        check_reference(_path_of(row), path, provider.checked_keys)
        return row

    def create_instance(
        self, context: RequestContext, namespace: str, instance: GivenInstance
    ) -> InstancePath:
        """Creates an instance; returns its path."""
        namespace = self.schema.namespace(namespace)
        cls = self.schema.get(namespace, instance.classname)
        writer = self._writer(cls)
        checked = self._typed_values(cls, instance.values, namespace)
        return writer.create(
            self._request(context, cls, namespace, None),
            GivenInstance(cls.name, {name: Given(value) for name, value in checked.items()}),
        )

    def modify_instance(
        self,
        context: RequestContext,
        path: InstancePath,
        instance: GivenInstance,
        properties: Collection[str] | None = None,
    ) -> None:
        """Changes the named properties of the instance at `path`."""
        namespace, cls, path = self._locate(path)
        writer = self._writer(cls)
        checked = self._typed_values(cls, instance.values, namespace)
        if properties is not None:
            chosen = _declared_names(cls, properties)
            checked = {name: value for name, value in checked.items() if name in chosen}
        writer.modify(self._request(context, cls, namespace, None), path, checked)

    def delete_instance(self, context: RequestContext, path: InstancePath) -> None:
        """Deletes the instance at `path`."""
        namespace, cls, path = self._locate(path)
        self._writer(cls).delete(self._request(context, cls, namespace, None), path)

    # --- associations ------------------------------------------------------------------------

    def associators(
        self,
        context: RequestContext,
        path: InstancePath,
        assoc_class: str | None = None,
        result_class: str | None = None,
        role: str | None = None,
        result_role: str | None = None,
        properties: Collection[str] | None = None,
    ) -> Iterator[Instance]:
        """Instances associated with the one at `path`."""
        filters = Filter(assoc_class, result_class, role, result_role)
        namespace = self.schema.namespace(path.namespace or "")
        return iter(
            [
                hit.target_row(namespace, _wanted(hit.layout.cls, properties))
                for hit in self._hits(context, path, filters, properties)
            ]
        )

    def associator_names(
        self,
        context: RequestContext,
        path: InstancePath,
        assoc_class: str | None = None,
        result_class: str | None = None,
        role: str | None = None,
        result_role: str | None = None,
    ) -> Iterator[InstancePath]:
        """Paths of the instances associated with the one at `path`."""
        filters = Filter(assoc_class, result_class, role, result_role)
        namespace = self.schema.namespace(path.namespace or "")
        hits = self._hits(context, path, filters, NAMES_ONLY)
        return iter([hit.target_path(namespace) for hit in hits])

    def references(
        self,
        context: RequestContext,
        path: InstancePath,
        result_class: str | None = None,
        role: str | None = None,
        properties: Collection[str] | None = None,
    ) -> Iterator[Instance]:
        """Association instances that refer to the one at `path`."""
        namespace = self.schema.namespace(path.namespace or "")
        hits = self._hits(context, path, Filter(result_class, None, role), NAMES_ONLY)
        return iter([hit.reference(namespace, _wanted(hit.cls, properties)) for hit in hits])

    def reference_names(
        self,
        context: RequestContext,
        path: InstancePath,
        result_class: str | None = None,
        role: str | None = None,
    ) -> Iterator[InstancePath]:
        """Paths of association instances that refer to the one at `path`."""
        return iter([_path_of(row) for row in self.references(context, path, result_class, role)])

    def _hits(
        self,
        context: RequestContext,
        path: InstancePath,
        filters: Filter,
        properties: Collection[str] | None,
    ) -> Iterator[Hit]:
        namespace, source, path = self._locate(path)
        if not (
            self._is_known(filters.assoc_class, (namespace,))
            # what is found may be in another namespace
            and self._is_known(filters.result_class, self.schema.namespaces)
        ):
            return
        provider = self._provider(source)
        found: object | None = None
        names_only = properties is not None and not properties
        request = self._request(context, source, namespace, NAMES_ONLY if names_only else None)
        find = self._find(namespace)
        for classname, association in self._associations.items():
            cls = find(classname, None)
            if cls is None:
                continue
            chosen = associations.choose(association, cls, source, filters, find)
            if chosen is None:
                continue
            handler = self._placed(chosen, namespace)
            if found is None:
                found = provider.find(replace(request, wanted=None), path)
                built = self._layout(source, provider).path(found, namespace)
                check_reference(built, path, provider.checked_keys)
            layouts = self._target_layouts(request, handler, filters.result_class)
            hits = associations.walk(request, cls, handler, layouts, [(built, found)])
            yield from (hit for hit in hits if not hit.swapped or hit.fits(filters))

    def _is_known(self, name: str | None, namespaces: Iterable[str]) -> bool:
        """Whether a filter can let anything through; raises InvalidClass where there is no such class."""
        if name is None or any(self.schema.find(ns, name) is not None for ns in namespaces):
            return True
        if name.partition("_")[2].lower() not in self._bases:
            where = " or ".join(namespaces)
            raise InvalidClass(f"Class {name!r} does not exist in namespace {where}")
        # a family that lacks a class which others have: nothing can match it
        return False

    def _target_layouts(
        self, request: ProviderRequest, handler: Handler, result_class: str | None
    ) -> dict[str, Layout]:
        """Base name → layout, of the handler's targets that are asked for."""
        find = self._find(request.namespace)
        classes = associations.target_classes(find, request.prefix, handler, result_class)
        return {base: self._layout_of(cls) for base, cls in classes.items()}

    def _all_hits(self, request: ProviderRequest, association: Association) -> Iterator[Hit]:
        for declared in association.handlers:
            handler = self._placed(declared, request.namespace)
            where = handler.source_namespace or request.namespace
            for base in handler.source if handler.enumerated else ():
                source = self.schema.find(where, f"{request.prefix}_{base}")
                if source is None:
                    continue
                provider = self._provider(source)
                asked = self._request(request.context, source, where, NAMES_ONLY, request.shared)
                layout = self._layout(source, provider)
                sources = ((layout.path(item, where), item) for item in provider.items(asked))
                layouts = self._target_layouts(asked, handler, None)
                hits = associations.walk(asked, request.cls, handler, layouts, sources)
                yield from (hit for hit in hits if not hit.swapped)

    def _get_reference(
        self, request: ProviderRequest, association: Association, path: InstancePath
    ) -> Instance:
        for handler in association.handlers:
            end = path.get(handler.source_role)
            if not isinstance(end, InstancePath):
                raise NotFound(f"No such instance ({handler.source_role})")
            where = self._placed(handler, request.namespace).source_namespace or request.namespace
            source = self.schema.find(where, end.classname)
            bases = {f"{request.prefix}_{base}".lower() for base in handler.source}
            if source is None or source.name.lower() not in bases:
                continue
            hits = self._hits(
                request.context,
                end.at(where),
                Filter(request.cls.name, None, handler.source_role, handler.target_role),
                NAMES_ONLY,
            )
            for hit in hits:
                row = hit.reference(request.namespace, request.wanted)
                if _same_reference(_path_of(row), path):
                    return row
        raise NotFound(f"No such instance of {request.cls.name}")

    def _placed(self, handler: Handler, asked: str) -> Handler:
        """The handler, with its namespaces called as a request in the namespace `asked` sees them."""
        return replace(
            handler,
            source_namespace=self._seen(handler.source_namespace, asked),
            target_namespace=self._seen(handler.target_namespace, asked),
        )

    def _seen(self, declared: str | None, asked: str) -> str | None:
        if declared is None:
            return None
        if self.schema.declared(asked) == declared:
            return asked
        return self._names.get(declared, declared)

    # --- methods -----------------------------------------------------------------------------

    def invoke_method(
        self,
        context: RequestContext,
        path: InstancePath,
        method: str,
        arguments: Mapping[str, Given],
    ) -> tuple[Value, dict[str, Value]]:
        """Calls an extrinsic method; returns (return value, output parameters without NULLs).

        A path without keys is a call on the class. Types are those of the class's declaration.
        A provider that has methods answers an unknown one FAILED, as clients of the model expect.
        """
        namespace, cls, path = self._locate(path)
        declared = cls.method(method)
        provider = self._providers.get(cls.name.lower())
        handlers = provider.methods if provider is not None else {}
        handler = handlers.get(method)
        if handler is None or declared is None:
            if provider is not None and provider.has_methods:
                raise Failed("Unknown Method")
            if declared is None:
                raise MethodNotFound(f"{cls.name} has no method {method!r}")
            raise MethodNotAvailable(f"{method} is not available on {cls.name}")
        request = self._request(context, cls, namespace, None)
        checked = check_arguments(
            self.schema, namespace, declared, arguments, handler.required, handler.undeclared
        )
        result, outputs = handler.call(request, path, checked)
        return result, {
            name: made.embedded(self.schema, namespace, value)
            for name, value in outputs.items()
            if value is not None
        }

    # --- common ------------------------------------------------------------------------------

    def _locate(self, path: InstancePath) -> tuple[str, ClassInfo, InstancePath]:
        namespace = self.schema.namespace(path.namespace or "")
        cls = self.schema.get(namespace, path.classname)
        return namespace, cls, self._normalised(cls, path, namespace)

    def _normalised(self, cls: ClassInfo, path: InstancePath, namespace: str) -> InstancePath:
        keys: list[tuple[str, KeyValue]] = []
        for name, value in path.keys:
            declared = cls.by_name.get(name.lower())
            if declared is None or not declared.key:
                keys.append((name, value))
                continue
            if declared.type == "reference":
                if not isinstance(value, InstancePath):
                    raise NotFound(f"No such instance ({declared.name})")
                keys.append((declared.name, self._reference(value, namespace)))
            elif declared.type == "string":
                keys.append((declared.name, _key_text(value)))
            else:
                try:
                    keys.append((declared.name, values.scalar(value, declared.type, name)))
                except TypeMismatch:
                    raise NotFound(f"No such instance ({declared.name})") from None
        return InstancePath(cls.name, tuple(keys), namespace)

    def _reference(self, path: InstancePath, namespace: str) -> InstancePath:
        """A path that stands in another's key or in a property, as its class has it."""
        where = path.namespace or namespace
        target = self.schema.find(self.schema.namespace(where), path.classname)
        return self._normalised(target, path, where) if target else path.at(where)

    def _typed_values(
        self, cls: ClassInfo, given: Mapping[str, Given], namespace: str
    ) -> dict[str, Value]:
        checked: dict[str, Value] = {}
        for name, value in given.items():
            declared = cls.by_name.get(name.lower())
            if declared is None:
                raise NoSuchProperty(f"{cls.name} has no property {name!r}")
            typed = values.typed(value, declared)
            if isinstance(typed, InstancePath):
                typed = self._reference(typed, namespace)
            checked[declared.name] = typed
        return checked

    def _provider(self, cls: ClassInfo) -> InstanceProvider[object]:
        provider = self._providers.get(cls.name.lower())
        if provider is None:
            raise _no_instances(cls)
        return provider

    def _writer(self, cls: ClassInfo) -> InstanceWriter:
        writer = self._writers.get(cls.name.lower())
        if writer is None:
            raise NotSupported(f"{cls.name} has no provider that changes instances")
        return writer

    def _layout(self, cls: ClassInfo, provider: InstanceProvider[object]) -> Layout:
        layout = self._layouts.get(cls.name)
        if layout is None:
            layout = self._layouts[cls.name] = Layout(cls, provider.columns)
        return layout

    def _row_of(self, namespace: str, classname: str, item: object) -> Instance:
        """An item of a class's provider as every read shows it."""
        cls = self.schema.get(namespace, classname)
        return self._layout(cls, self._provider(cls)).row(item, namespace)

    def _find(self, namespace: str) -> associations.Find:
        """Looks classes up in a namespace, unless another is named."""
        return lambda name, other: self.schema.find(other or namespace, name)

    def _layout_of(self, cls: ClassInfo) -> Layout:
        """The layout of a class, which may have no provider: its instances are ready-made."""
        provider = self._providers.get(cls.name.lower())
        return ready_layout(cls) if provider is None else self._layout(cls, provider)

    @staticmethod
    def _request(
        context: RequestContext,
        cls: ClassInfo,
        namespace: str,
        properties: Collection[str] | None,
        shared: dict[Any, Any] | None = None,
    ) -> ProviderRequest:
        prefix = cls.name.partition("_")[0]
        wanted = _wanted(cls, properties)
        return ProviderRequest(
            context, cls, prefix, namespace, wanted, {} if shared is None else shared
        )


def _no_instances(cls: ClassInfo) -> NotFound:
    return NotFound(f"The requested object could not be found: {cls.name} has no instances")


def _wanted(cls: ClassInfo, properties: Collection[str] | None) -> frozenset[str] | None:
    return None if properties is None else frozenset(_declared_names(cls, properties))


def _declared_names(cls: ClassInfo, properties: Collection[str]) -> set[str]:
    found = (cls.by_name.get(name.lower()) for name in properties)
    return {prop.name for prop in found if prop is not None}


def _restricted(cls: ClassInfo, properties: Collection[str] | None) -> set[str]:
    names = {prop.name for prop in cls.properties}
    return names if properties is None else names & _declared_names(cls, properties)


def _path_of(row: Instance) -> InstancePath:
    assert row.path is not None
    return row.path


def _key_text(value: KeyValue) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return str(value)


def _same_reference(built: InstancePath, given: InstancePath) -> bool:
    for name, value in built.keys:
        other = given.get(name)
        if not isinstance(value, InstancePath) or not isinstance(other, InstancePath):
            return False
        try:
            check_reference(value, other)
        except NotFound:
            return False
    return True
