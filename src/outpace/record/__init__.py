"""What ran when: the measured timeline of a run, as columns, and everything that follows from it.

`states` the closed set of what a lane can be doing; `timeline` the model that a recorder fills and all
pictures are drawn from; `collect` makes one from the columns of reports; `lanes` puts many items into
few lanes and many lanes into few rows; `thin` makes fewer rows of many; `lane_intervals` says what one
lane was doing and `intervals` what all were; `metrics` sums and strips; `raster` brings it down to what
a picture can show; `timeline_json` is the versioned JSON. `sampler` looks at threads from outside.
"""
