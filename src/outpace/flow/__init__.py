"""How one item travels, in the order it does.

`data` what travels; `protocol` what a driver and a host must do; `job` what the user asked for;
`limit` how many at once; `order` in which order outcomes leave; `dispatch` the pure decisions;
`run` the loop that carries them out.
"""
