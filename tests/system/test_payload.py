"""The test program's verbs, without a container: what they say must be true before tests rely on it."""

import os

from harness.programs import popen, run


def test_it_is_static_and_runs_in_an_empty_root(payload, scratch):
    (scratch / "payload").write_bytes(payload.read_bytes())
    (scratch / "payload").chmod(0o755)
    assert "identity" in run("chroot", scratch, "/payload", "help").out


def test_identity_says_what_the_kernel_says(payload):
    lines = run(payload, "identity").out.splitlines()
    assert lines[0] == f"uid {os.getuid()} {os.geteuid()} {os.geteuid()}"
    assert open("/proc/self/uid_map").read().split() == lines[lines.index("uid_map") + 1].split()


def test_a_refused_system_call_is_named(payload):
    assert run(payload, "syscall", 3, 9999).out == "EBADF\n"  # close(9999)
    assert run(payload, "syscall", 39).out == "ok\n"  # getpid()


def test_forking_stops_at_the_limit_of_the_caller(payload, ordinary_user):
    own = ordinary_user.work / "payload"
    own.write_bytes(payload.read_bytes())
    own.chmod(0o755)
    out = ordinary_user.run("prlimit", "--nproc=20", own, "fork-many", 200).out
    assert out.startswith("forked ") and out.endswith(" EAGAIN\n") and 0 < int(out.split()[1]) < 20


def test_signals_are_reported_by_name(payload):
    it = popen(payload, "signals")
    assert it.stdout.readline() == "ready\n"
    it.send_signal(10)
    assert it.stdout.readline() == "USR1\n"
    it.terminate()
    assert it.wait(10) == 0


def test_fill_stops_where_the_file_system_is_full(payload, scratch):
    run("mount", "-t", "tmpfs", "-o", "size=256k", "none", scratch)
    try:
        assert run(payload, "fill", scratch / "big", 10_000_000).out == "wrote 262144 ENOSPC\n"
    finally:
        run("umount", scratch)
