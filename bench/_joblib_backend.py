"""A plug-in of pytest: what calls `joblib.Parallel` in a test is carried out by one backend, two jobs.

The environment says by which (`JOBLIB_BACKEND`). Most tests say nothing of `n_jobs`, which would be one.
"""

import os

import joblib

import outpace

outpace.register_joblib()
# Without `with` it lasts as long as the program.
joblib.parallel_config(backend=os.environ["JOBLIB_BACKEND"], n_jobs=2)
