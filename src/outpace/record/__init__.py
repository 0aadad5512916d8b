"""What ran when: the measured timeline of a run, as columns, and everything that follows from it.

`states` the closed set of what a lane can be doing; `timeline` the model that a recorder fills and all
pictures are drawn from; `gather` makes one from the columns of reports; `fold` puts many items into few
lanes and many lanes into few rows; `thin` makes fewer rows of many; `filling` says what one lane was
doing and `fill` what all were; `derive` sums and strips; `grid` brings it down to what a picture can
show; `format` is the versioned JSON.
"""
