"""A container whose program (`payload watch`) looks into every process that appears beside it."""


def seen_of_execs(runtime, bundle, execs=60):
    """What the program of `bundle` told of that many execs into its container: a line each."""
    id = runtime.new_id()
    watcher = runtime.popen("run", "--bundle", bundle, id)
    assert watcher.stdout.readline() == "ready\n"
    for _ in range(execs):
        runtime("exec", id, "/bin/true")
    out, err = watcher.communicate("x", timeout=60)
    seen = out.split("\n")
    assert any(line.startswith("looked ") and line != "looked 0" for line in seen), (out, err)
    return seen
