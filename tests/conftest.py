"""Settings of all tests."""

from hypothesis import settings

# The first call into torch or FAISS takes longer than Hypothesis's deadline.
settings.register_profile("lirf", deadline=None)
settings.load_profile("lirf")
