"""Work for several processes, in a file that they can import."""

import atexit
import os
import signal
import time

import torch


def add(share, agree, signalled, mine: list[float]) -> tuple[float, int, int]:
    total = torch.tensor(mine[share.place])
    share.add(total)
    return total.item(), agree(share.place), torch.get_num_threads()


def wait_for_a_signal(share, agree, signalled) -> int:
    for _ in range(1000):
        if number := signalled():
            return agree(number)
        time.sleep(0.01)
    return 0


def fail(share, agree, signalled, how: str, aborts: str) -> None:
    if share.place == 1:
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise {"mistaken": ValueError, "broken": RuntimeError}[how]("the second")
    if aborts == "after its word":
        atexit.register(os.abort)
    try:
        share.add(torch.ones(1))  # waits for the other
    except RuntimeError:
        if aborts == "at once":
            os.abort()
        raise
