# SPDX-License-Identifier: LGPL-2.1-or-later
"""Provider modules, one per class family: each declares its classes and fills their properties.

A module that serves classes has a function `provide(hosts: Hosts) -> Provided`; the composition
root finds it by that name. Only modules here know both libvirt and CIM.
"""
