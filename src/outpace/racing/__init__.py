"""How models compare: the same work under each, measured side by side.

`plan` which setting each model runs at and when one is stopped; `trial` one measured pass; `stats`
medians and what is distinguishable; `speedup` how many times faster than serial; `verify` whether
results are the same; `advise` what to use and why; `controls` what this machine can give at best;
`result` the finished race, and `race_json` reads one that was saved. `runner` runs the rounds, `summary`
sums them up, and `api` does both for `outpace.race` and the command line.
"""
