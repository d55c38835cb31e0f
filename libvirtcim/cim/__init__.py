# SPDX-License-Identifier: LGPL-2.1-or-later
"""The CIM side of the helper library: declarations, schema, dispatch, associations.

Knows no libvirt. Providers declare classes in this vocabulary; front ends call `broker.Broker`.
"""
