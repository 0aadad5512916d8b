"""One file = one place for many workers, and (with an underscore) what the hosts share.

A host file has a module-level `host` that implements `flow.protocol.Host`; being in this folder is all
it takes, as with drivers. `_wire` is how values travel between two processes, `_launch` how a worker
process comes to be, `_template` and `_worker` are what runs on the far side.
"""
