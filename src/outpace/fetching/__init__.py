"""Pages by URL: what a request is, who is asked when, what is kept, and what is written down of it.

In the order a URL travels: `url_source` reads it, `urls` writes it the one right way, `seen_urls` knows
whether it came before, `politeness` says when its host may be asked, `transfer` is the one download,
`errors` names what went wrong, `file_names` what its file is called, a sink (`sinks`, `warc`) keeps it,
and the `manifest` has a line of it. `job` is all of that for one run; `api` puts it together for
`outpace.fetch` and the command line.
"""
