"""Write down what code every other stage runs: an edit then reruns what imports it, no more."""

from __future__ import annotations

from lirf.params import Params
from stages.support import code as sources
from stages.support import command
from stages.support.command import Out


def code(params: Params, manifests: Out) -> None:  # noqa: ARG001 - every stage has it
    """Write a manifest of each other stage into the folder `manifests`; see `support.code`.

    Raises:
        ValueError: a file is not valid Python.
    """
    manifests.mkdir()
    for name in sources.names():
        if name != code.__name__:
            sources.write(manifests, name)


if __name__ == "__main__":
    command.run(code)
