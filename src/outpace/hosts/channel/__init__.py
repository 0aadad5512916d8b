"""How a worker and its caller talk: the messages, how they travel, and what is said beside them.

`messages` are the classes, `codec` makes frames of them and `framing` sends those; `handshake` is what
a worker is told first. How values get across that plain pickle cannot carry: `by_value`, `source` and
`exceptions`. `stdio` and `warning_filters`: what items print, log and warn of.
"""
