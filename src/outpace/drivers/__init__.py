"""One file = one way to keep items in flight inside one worker.

A driver file has a module-level `driver` that implements `flow.protocol.Driver`. Being in this folder
is all it takes: `outpace.registry` lists the folder, and every host, table, test and benchmark goes by
that list. Files with a leading underscore are what the drivers share.
"""
