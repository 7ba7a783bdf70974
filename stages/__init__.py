"""The verbs of the pipeline, one file a stage: read inputs, call `lirf`, write outputs."""

import os

# Threads that wait for one another by spinning take the cores from those that they wait for, as
# soon as two stages run at a time. OpenMP reads this once, when torch or FAISS is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
