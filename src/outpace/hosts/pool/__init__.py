"""The pool: what many workers somewhere else are given, and what becomes of them.

`pool` decides and knows no clock, socket or process; what it decides by is in `state` (the table),
`timeouts`, `settle`, `restart` and `shutdown`. It acts on a `transport`, of which `launch.transport` is
the one for processes. `workers` is the thin shell that a run sees.
"""
