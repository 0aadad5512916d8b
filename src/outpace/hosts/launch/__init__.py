"""Worker processes: how they come to be and go, and the transport that they are.

`launcher` starts them, by forks of a clean process (`forkserver`) or as new interpreters (`bootstrap`);
`process_group` and `orphans` end what they leave behind; `shared_memory` is what they write on.
`transport` is what the pool sees of it.
"""
