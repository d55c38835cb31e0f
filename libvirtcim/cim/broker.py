# SPDX-License-Identifier: LGPL-2.1-or-later
"""The broker: every CIM operation, checked and dispatched; what all front ends call."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from libvirtcim.cim.objects import (
    Given,
    GivenInstance,
    Instance,
    InstancePath,
    RequestContext,
    Value,
)
from libvirtcim.cim.schema import Schema


class Broker:
    """Carries out CIM operations against the registered providers.

    All methods raise `CIMError`. Class, namespace, property and key names are taken in any case;
    key values as text or typed. `properties`: names of a property list (None: all; empty: none).
    Results are iterators: an error can only arise before the first item.
    Paths in results carry their namespace; `host` is left to the front end.
    """

    schema: Schema

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
        raise NotImplementedError

    def enumerate_instance_names(
        self, context: RequestContext, namespace: str, classname: str
    ) -> Iterator[InstancePath]:
        """Paths of the instances of the class and its subclasses."""
        raise NotImplementedError

    def get_instance(
        self,
        context: RequestContext,
        path: InstancePath,
        properties: Collection[str] | None = None,
    ) -> Instance:
        """The instance at `path` (whose namespace must be set)."""
        raise NotImplementedError

    def create_instance(
        self, context: RequestContext, namespace: str, instance: GivenInstance
    ) -> InstancePath:
        """Creates an instance; returns its path."""
        raise NotImplementedError

    def modify_instance(
        self,
        context: RequestContext,
        path: InstancePath,
        instance: GivenInstance,
        properties: Collection[str] | None = None,
    ) -> None:
        """Changes the named properties of the instance at `path`."""
        raise NotImplementedError

    def delete_instance(self, context: RequestContext, path: InstancePath) -> None:
        """Deletes the instance at `path`."""
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

    def references(
        self,
        context: RequestContext,
        path: InstancePath,
        result_class: str | None = None,
        role: str | None = None,
        properties: Collection[str] | None = None,
    ) -> Iterator[Instance]:
        """Association instances that refer to the one at `path`."""
        raise NotImplementedError

    def reference_names(
        self,
        context: RequestContext,
        path: InstancePath,
        result_class: str | None = None,
        role: str | None = None,
    ) -> Iterator[InstancePath]:
        """Paths of association instances that refer to the one at `path`."""
        raise NotImplementedError

    def invoke_method(
        self,
        context: RequestContext,
        path: InstancePath,
        method: str,
        arguments: Mapping[str, Given],
    ) -> tuple[Value, dict[str, Value]]:
        """Calls an extrinsic method; returns (return value, output parameters without NULLs).

        A path without keys is a call on the class. Types are those of the class's declaration.
        """
        raise NotImplementedError
