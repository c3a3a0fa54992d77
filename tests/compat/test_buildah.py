"""buildah with --runtime hull-runtime (its OCI isolation)."""

IMAGE = "localhost/busybox:latest"


def test_build_runs_its_steps_with_the_runtime(podman, tmp_path):
    (tmp_path / "Dockerfile").write_text(
        f"FROM {IMAGE}\nRUN echo built > /made && id -u >> /made\nUSER 1000\nRUN id -u >> /tmp/made\nCMD cat /made\n")
    podman.buildah("bud", "--isolation", "oci", "--runtime", podman.runtime, "--network", "none", "-q", "-t",
                   "localhost/made", tmp_path)
    assert podman.podman("run", "--rm", "--network", "none", "localhost/made").out == "built\n0\n"


def test_run_in_a_working_container(podman):
    name = podman.buildah("from", "--pull-never", IMAGE).out.strip()
    out = podman.buildah("run", "--isolation", "oci", "--runtime", podman.runtime, "--network", "none", name, "--",
                         "sh", "-c", "echo $$; cat /proc/1/comm").out
    assert out.split()[0] == "1"
    podman.buildah("run", "--isolation", "oci", "--runtime", podman.runtime, "--network", "none", name, "--", "sh",
                   "-c", "exit 5", code=5)
    podman.buildah("rm", name)
