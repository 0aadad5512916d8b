"""A plug-in of pytest: whatever calls `joblib.Parallel` in a test is carried out by one backend.

The environment says by which (`JOBLIB_BACKEND`).
"""

import os

import joblib

import outpace

outpace.register_joblib()
# Without `with` it lasts as long as the program.
joblib.parallel_config(backend=os.environ["JOBLIB_BACKEND"])
