"""`hull run` and the commands around it, as root and as an ordinary user: what docker's users expect."""

import json
import signal

import pytest
from harness.waiting import wait_until


@pytest.fixture(params=["root", "ordinary user"])
def any_hull(request, busybox_tar):
    """hull with the image `busybox`, once as root and once as an ordinary user."""
    it = request.getfixturevalue("hull" if request.param == "root" else "rootless_hull")
    with open(busybox_tar, "rb") as tar:
        it("import", "-", "busybox", stdin=tar)
    return it


def status_of(hull, name):
    return hull.inspect(name)["State"]["Status"]


def test_output_input_and_exit_code(any_hull):
    assert any_hull("run", "--rm", "busybox", "echo", "hello").out == "hello\n"
    done = any_hull("run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo oops >&2", input="typed\n")
    assert (done.out, done.err) == ("typed\n", "oops\n")
    any_hull("run", "--rm", "busybox", "sh", "-c", "exit 7", code=7)
    any_hull("run", "--rm", "busybox", "sh", "-c", "sh -c 'kill -9 $$'; exit $?", code=137)
    assert any_hull("ps", "-aq").out == ""


def test_much_output_arrives_whole(any_hull):
    done = any_hull("run", "--rm", "busybox", "sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x")
    assert len(done.out) == 20000000 and set(done.out) == {"x"}


def test_without_i_stdin_is_empty(any_hull):
    assert any_hull("run", "--rm", "busybox", "cat", input="not for you").out == ""


def test_125_126_and_127(any_hull):
    done = any_hull("run", "--rm", "busybox", "no-such-program", code=127)
    assert "executable file not found" in done.err and len(done.err.splitlines()) == 1
    done = any_hull("run", "--rm", "busybox", "/etc/passwd", code=126)
    assert "permission denied" in done.err
    any_hull("run", "--no-such-flag", "busybox", code=125)
    any_hull("run", "--rm", "no/such/image/here:1", "true", code=125)
    assert any_hull("ps", "-aq").out == ""


def test_options_reach_the_process(any_hull):
    done = any_hull("run", "--rm", "-e", "A=b c", "-e", "EMPTY=", "-w", "/made/here", "-u", "1000:50", "--hostname",
                    "named", "busybox", "sh", "-c", 'echo "$A|${EMPTY-unset}"; pwd; id -u; id -g; hostname')
    assert done.out == "b c|\n/made/here\n1000\n50\nnamed\n"


def test_a_user_by_name_comes_from_the_image(any_hull):
    assert any_hull("run", "--rm", "-u", "user", "busybox", "sh", "-c", "id -u; id -g; echo $HOME").out \
        == "1000\n1000\n/home/user\n"
    done = any_hull("run", "--rm", "-u", "nosuchuser", "busybox", "true", code=125)
    assert "nosuchuser" in done.err


def test_entrypoint_and_read_only(any_hull):
    assert any_hull("run", "--rm", "--entrypoint", "/bin/echo", "busybox", "one", "two").out == "one two\n"
    done = any_hull("run", "--rm", "--read-only", "busybox", "touch", "/x", code=1)
    assert "Read-only file system" in done.err


def test_names_ids_and_ps(any_hull):
    id = any_hull("run", "-d", "--name", "web", "busybox", "sleep", "300").out.strip()
    assert len(id) == 64
    rows = [json.loads(line) for line in any_hull("ps", "--format", "json").out.splitlines()]
    assert [row["Names"] for row in rows] == ["web"] and id.startswith(rows[0]["ID"])
    done = any_hull("run", "-d", "--name", "web", "busybox", "true", code=125)
    assert "web" in done.err and "already in use" in done.err
    assert any_hull("rm", "web", check=False).code == 1  # it runs: docker refuses as well
    any_hull("rm", "-f", id[:12])
    assert any_hull("ps", "-aq").out == ""
    assert any_hull("rm", "web", check=False).code == 1


def test_forced_removal_of_what_is_not_there(any_hull):
    done = any_hull("rm", "-f", "nobody")  # as docker: said, and no failure
    assert done.out == "" and "no such container: nobody" in done.err


def test_the_latest_container_and_images_by_name(any_hull):
    any_hull("create", "--name", "one", "busybox", "true")
    any_hull("create", "--name", "two", "busybox", "true")
    assert any_hull("ps", "-l", "--format", "{{.Names}}").out == "two\n"
    any_hull("tag", "busybox", "other:v1")
    names = "{{.Repository}}:{{.Tag}}"
    assert any_hull("images", "other", "--format", names).out == "other:v1\n"
    assert any_hull("images", "busybox:latest", "--format", names).out == "busybox:latest\n"
    assert any_hull("images", "-q", "nothing").out == ""
    any_hull("images", "one", "two", code=125)


def test_warnings_are_lines_of_the_command(hull, busybox_image, scratch):
    (scratch / "mine").mkdir()
    done = hull("run", "--rm", "-v", f"{scratch}/mine:/x", busybox_image, "true")
    assert done.err.startswith("hull: warning: root owns ") and len(done.err.splitlines()) == 1


def test_logs_exec_kill_wait_and_restart(any_hull):
    any_hull("run", "-d", "--name", "c1", "busybox", "sh", "-c", "echo out; echo err >&2; exec sleep 300")
    wait_until(lambda: any_hull("logs", "c1").out == "out\n", "the log has the line")
    assert any_hull("logs", "c1").err == "err\n"
    assert any_hull("exec", "c1", "cat", "/proc/1/comm").out == "sleep\n"
    assert any_hull("exec", "-i", "c1", "cat", input="typed").out == "typed"
    any_hull("exec", "c1", "sh", "-c", "exit 9", code=9)
    assert any_hull("exec", "-u", "1000", "-w", "/tmp", "-e", "X=y", "c1", "sh", "-c", "id -u; pwd; echo $X").out \
        == "1000\n/tmp\ny\n"
    any_hull("exec", "c1", "no-such-program", code=127)
    any_hull("exec", "c1", "/etc/passwd", code=126)
    any_hull("kill", "c1")
    assert any_hull("wait", "c1").out == "137\n"
    assert status_of(any_hull, "c1") == "exited"
    assert any_hull("exec", "c1", "true", check=False).code != 0
    any_hull("start", "c1")
    assert status_of(any_hull, "c1") == "running"
    any_hull("stop", "-t", "0", "c1")
    assert any_hull.inspect("c1")["State"]["ExitCode"] == 137
    any_hull("rm", "c1")


def test_stop_asks_first(any_hull):
    any_hull("run", "-d", "--name", "polite", "busybox", "sh", "-c",
             "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
    wait_until(lambda: "ready" in any_hull("logs", "polite").out, "it is ready")
    any_hull("stop", "polite")
    assert any_hull("logs", "polite").out == "ready\nasked\n"
    assert any_hull("wait", "polite").out == "3\n"
    any_hull("rm", "polite")


def test_signals_are_forwarded(any_hull):
    child = any_hull.popen("run", "--rm", "busybox", "sh", "-c",
                           "trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.1; done")
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGUSR1)
    assert child.stdout.readline() == "got\n"
    assert child.wait(15) == 5


def test_interrupting_the_command_ends_the_container(any_hull):
    child = any_hull.popen("run", "--rm", "--name", "c1", "busybox", "sh", "-c",
                           "trap 'exit 130' INT; echo ready; while :; do sleep 0.1; done")
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    assert child.wait(15) == 130
    assert any_hull("ps", "-aq").out == ""


def test_a_killed_command_line_leaves_the_container_running(any_hull):
    child = any_hull.popen("run", "--name", "c1", "-i", "busybox", "sh", "-c", "echo ready; exec cat")
    assert child.stdout.readline() == "ready\n"
    child.kill()
    child.wait()
    assert status_of(any_hull, "c1") == "running"
    again = any_hull.popen("attach", "c1")
    again.stdin.write("hello again\n")
    again.stdin.flush()
    assert again.stdout.readline() == "hello again\n"
    again.stdin.close()
    assert again.wait(15) == 0
    any_hull("rm", "c1")


def test_bind_mounts_and_volumes(any_hull, scratch):
    folder = scratch / "bound"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    (folder / "file").write_text("from the host\n")
    assert any_hull("run", "--rm", "-v", f"{folder}:/data:ro", "busybox", "cat", "/data/file").out == "from the host\n"
    done = any_hull("run", "--rm", "-v", f"{folder}:/data:ro", "busybox", "touch", "/data/x", check=False)
    assert done.code == 1 and "Read-only" in done.err
    any_hull("run", "--rm", "-v", "kept:/v", "busybox", "sh", "-c", "echo 1 > /v/x")
    assert any_hull("run", "--rm", "-v", "kept:/v", "busybox", "cat", "/v/x").out == "1\n"


def test_etc_files_are_right(any_hull):
    out = any_hull("run", "--rm", "--hostname", "named", "busybox", "sh", "-c",
                   "cat /etc/hostname; grep -c localhost /etc/hosts; grep named /etc/hosts; test -s /etc/resolv.conf "
                   "&& echo resolv").out.splitlines()
    assert out[0] == "named" and int(out[1]) >= 1 and out[-1] == "resolv"


def test_host_network(any_hull):
    with open("/proc/net/dev") as devices:
        own = {line.split(":")[0].strip() for line in devices if ":" in line}
    assert set(any_hull("run", "--rm", "--network", "host", "busybox", "ls", "/sys/class/net").out.split()) == own
    assert any_hull("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net").out.split() == ["lo"]


def test_images_and_rmi(any_hull):
    rows = [json.loads(line) for line in any_hull("images", "--format", "json").out.splitlines()]
    assert any("busybox" in row["Repository"] for row in rows)
    any_hull("run", "--name", "user", "busybox", "true")
    done = any_hull("rmi", "busybox", check=False)
    assert done.code == 1 and "user" in done.err or "being used" in done.err
    any_hull("rm", "user")
    any_hull("rmi", "busybox")
    assert any_hull("images", "-q").out == ""


def test_info_and_version(any_hull):
    info = json.loads(any_hull("info", "--format", "json").out)
    assert info
    assert any_hull("version").out
    version = any_hull("--version").out
    assert version.startswith("hull version ")
    for field in ("Version", "Client.Version", "Server.Version"):  # scripts ask docker for these
        assert any_hull("version", "--format", "{{.%s}}" % field).out == version.split()[2] + "\n"
    assert any_hull("version", "--format", "{{.Client.Os}}/{{.Client.Arch}}").out.startswith("linux/")
    assert "Version: " + version.split()[2] in any_hull("version").out


def test_exec_in_a_folder_that_is_missing(any_hull, busybox_tar):
    """As runc and crun under docker and podman: `run -w` makes it, `exec -w` does not."""
    any_hull("import", busybox_tar, "busybox")
    assert any_hull("run", "--name", "c1", "-d", "-w", "/made", "busybox", "sleep", "300").err.count("rror") == 0
    assert any_hull("exec", "-w", "/made", "c1", "pwd").out == "/made\n"
    done = any_hull("exec", "-w", "/missing/deep", "c1", "pwd", check=False)
    assert done.code in (126, 127) and "no such file or directory" in done.err and "/missing/deep" in done.err
    assert any_hull("exec", "c1", "ls", "-d", "/missing", check=False).code == 1


@pytest.mark.needs("cgroup:memory", "cgroup:pids")
def test_limits(hull, busybox_image):
    hull("run", "--rm", "--memory", "16m", busybox_image, "tail", "/dev/zero", code=137)
    done = hull("run", "--rm", "--pids-limit", "5", busybox_image, "sh", "-c",
                "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait", check=False)
    assert "can't fork" in done.err


@pytest.mark.needs("runc", "crun")
@pytest.mark.parametrize("runtime", ["runc", "/usr/bin/crun"])
def test_another_runtime(hull, busybox_image, runtime):
    if "crun" in runtime:
        pytest.skip("needs a crun that knows hybrid cgroups (1.8.1 refuses /sys/fs/cgroup/unified)")
    assert hull("run", "--rm", "--runtime", runtime, busybox_image, "echo", "hello").out == "hello\n"
