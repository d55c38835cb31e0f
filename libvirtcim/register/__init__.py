# SPDX-License-Identifier: LGPL-2.1-or-later
"""Registers the plugin's classes with a CIM server: what `libvirtcim register` does.

A back end (`Cimom`) looks at its server and answers with a `Plan`: the steps that lead from what is
there to what is wanted, in the order in which they depend on each other. A dry run prints it,
otherwise it is carried out step by step.
"""
