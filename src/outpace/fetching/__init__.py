"""Pages by URL: what a request is, who is asked when, what is kept, and what is written down of it.

In the order a URL travels: `source` reads it, `urls` writes it the one right way, `seen` knows whether
it came before, `politeness` says when its host may be asked, `transfer` is the one download, `kinds`
names what went wrong, `names` is what its file is called, a sink (`directory`, `warc`) keeps it, and the
`manifest` has a line of it. `door` puts them together for `outpace.fetch` and the command line.
"""
