"""The verbs of the pipeline, one file a stage: read inputs, call `lirf`, write outputs."""

import os

# OpenMP's threads wait for one another by spinning, and when two stages share the cores they take
# them from those that they wait for: a training step of two stages at a time took 61 ms on two
# cores, 38 ms with this short spin, and alone 14 and 15 ms. Read when torch or FAISS is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
