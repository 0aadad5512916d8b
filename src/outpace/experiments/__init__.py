"""The built-in races: `pages` waits for the network, `sums` computes.

`pages` and `sums` are the work, written as a user would write it; `server` is the small web site
that `pages` reads by default; `published` is what others measured for the same two.
"""
