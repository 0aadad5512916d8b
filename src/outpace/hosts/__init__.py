"""One file = one place for many workers; the folders are what such a place is made of.

A host file has a module-level `host` that implements `flow.protocol.Host`; being in this folder is all
it takes, as with drivers. Most of what a host does is the same for all of them: `pool` decides who gets
what and what becomes of a worker that dies, over a transport; `worker.serve` is what runs on the far
side. `launch` is the transport of worker processes, `channel` how values travel between two processes,
`crash` who is to blame for a death.
"""
