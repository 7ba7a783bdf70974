"""Settings of all tests."""

from hypothesis import settings

import stages  # noqa: F401 - before torch: it says how threads wait

# The first call into torch or FAISS takes longer than Hypothesis's deadline.
settings.register_profile("lirf", deadline=None)
settings.load_profile("lirf")
