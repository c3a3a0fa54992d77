"""A thousand containers, eight at a time: no failure, no leak."""

import os
import subprocess
import tempfile
import threading

CYCLES = int(os.environ.get("HULL_TEST_CYCLES", "1000"))


def test_a_thousand_cycles_in_parallel(runtime, bundle):
    it = bundle(["sleep", "300"])
    ids = [runtime.new_id("cycle") for _ in range(CYCLES)]
    waiting = list(reversed(ids))
    failures = []
    lock = threading.Lock()

    def command(*args):
        with tempfile.TemporaryFile("w+") as errors:  # a pipe would be kept open by the container
            done = subprocess.run([str(a) for a in runtime.arguments(*args)], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=errors, timeout=120)
            errors.seek(0)
            if done.returncode != 0:
                with lock:
                    failures.append(f"{args}: exit {done.returncode}: {errors.read()}")
        return done.returncode == 0

    def work():
        while not failures:
            with lock:
                if not waiting:
                    return
                id = waiting.pop()
            if command("create", "--bundle", it, id) and command("start", id):
                command("kill", id, "KILL")
            command("delete", "--force", id)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures, "\n".join(failures[:10])
    assert runtime("list", "-q").out == ""
