"""When and where the stages run: rounds, graph, Prefect flow and workers. No tensors."""

import os

import lirf  # noqa: F401 - what the processor computes with, for all that is started here

# Here, because it must stand before the first `import prefect`: nothing leaves the machine.
# A value that the user has set wins.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_UI_V2_ENABLED", "false")  # v2 asks an analytics host
os.environ.setdefault("PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT", "false")
