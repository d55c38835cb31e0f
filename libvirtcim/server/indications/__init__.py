# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indication subscriptions of the embedded server (DSP1054), and their delivery (DSP0200 6).

::

    CIM_IndicationFilter ── CIM_IndicationSubscription ── CIM_ListenerDestinationCIMXML
      query: what                                           destination: where to

`subscriptions` makes and wires the rest: `providers` is what clients see, `registry` what they have made,
kept by `store`; `query` decides what a filter lets through; `delivery` runs one `sender` for each
destination, which puts indications into messages (`export`) and sends them.
"""
