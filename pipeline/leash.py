"""Run a command that ends with whoever started it: `python leash.py COMMAND ...`.

The command gets a process group of its own. When standard input closes, because the starter
closed it or because the starter is gone (kill -9 included: the kernel closes a dead process's
pipes), the whole group is ended: interrupt first, so that DVC takes its locks back and a stage
drops its partial outputs; then terminate; then kill. When the command itself dies, what is left
of its group dies too: a `kill -9` of dvc would else leave the stage writing.

Standard library only and no import of the project: it starts in 20 ms.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time

PATIENCE_S = ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


def main(command: list[str]) -> int:
    """Run `command` and return its exit status; 128 + N where signal N ended it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the starter decides, by closing the pipe
    child = subprocess.Popen(  # noqa: S603  # the starter's own command
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        # An ignored signal would stay ignored in the child. No thread runs yet.
        preexec_fn=_undo_ignores,  # noqa: PLW1509
    )
    threading.Thread(target=_end_on_close, args=(child.pid,), daemon=True).start()
    status = child.wait()
    _signal(child.pid, signal.SIGKILL)
    return status if status >= 0 else 128 - status


def _undo_ignores() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _end_on_close(group: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        selector.select()
    for number, patience_s in PATIENCE_S:
        _signal(group, number)
        time.sleep(patience_s)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
