"""Waits for a condition, with a deadline: no test depends on how long something takes."""

import time


def wait_until(condition, what, seconds=20):
    """Returns as soon as `condition()` is true; fails, naming `what`, after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s: {what}"
        time.sleep(0.01)
