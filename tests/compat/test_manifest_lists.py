"""Manifest lists and artifacts that hull made, read by podman, skopeo and docker; and podman's, read by hull."""

import hashlib
import json
import platform

import pytest

from harness.fake_registry import make_layer
from harness.programs import run

pytestmark = pytest.mark.needs("skopeo", "docker-registry")

OTHER = "arm64" if platform.machine() == "x86_64" else "amd64"


@pytest.fixture
def images(image, registry, scratch):
    """A registry with one image for this machine and one for another; answers (server, {architecture: name})."""
    server = registry()
    names = {}
    for architecture in ("amd64", "arm64"):
        tar = scratch / f"{architecture}.tar"
        tar.write_bytes(make_layer({"etc/": 0o755, "etc/architecture": architecture.encode()}))
        image("import", "--platform", f"linux/{architecture}", tar, f"one:{architecture}")
        names[architecture] = f"{server.host}/one:{architecture}"
        image("copy", f"store:one:{architecture}", f"docker://{names[architecture]}")
    return server, names


@pytest.mark.parametrize("front", ["hull-image", "hull image", "hull"])
def test_skopeo_reads_a_list_that_was_made_added_to_annotated_and_pushed(image, hull, images, scratch, front):
    server, names = images

    def manifest(*args, **how):
        command = {"hull-image": (image, ()), "hull image": (hull, ("image",)), "hull": (hull, ())}[front]
        return command[0](*command[1], "manifest", *args, **how)

    manifest("create", "lists/both:1", f"docker://{names['amd64']}")
    manifest("add", "lists/both:1", f"docker://{names['arm64']}")
    entries = json.loads(manifest("inspect", "lists/both:1").out)["manifests"]
    manifest("annotate", "--variant", "v8", "--annotation", "org.example.note=yes", "lists/both:1", entries[1]["digest"])
    digest = manifest("push", "lists/both:1", f"docker://{server.host}/both:1").out.strip()
    raw = run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{server.host}/both:1").out
    assert "sha256:" + hashlib.sha256(raw.encode()).hexdigest() == digest
    told = json.loads(raw)["manifests"]
    assert [entry["platform"]["architecture"] for entry in told] == ["amd64", "arm64"]
    assert told[1]["platform"]["variant"] == "v8" and told[1]["annotations"] == {"org.example.note": "yes"}
    for architecture in names:
        config = run("skopeo", "inspect", "--config", "--tls-verify=false", f"--override-arch={architecture}",
                     f"docker://{server.host}/both:1").out
        assert json.loads(config)["architecture"] == architecture
    run("skopeo", "--insecure-policy", "copy", "-q", "--all", "--src-tls-verify=false", f"docker://{server.host}/both:1",
        f"dir:{scratch}/by-skopeo")
    manifest("remove", "lists/both:1", entries[0]["digest"])
    assert len(json.loads(manifest("inspect", "lists/both:1").out)["manifests"]) == 1
    manifest("rm", "lists/both:1")
    assert manifest("inspect", "lists/both:1", check=False).code == 125


@pytest.mark.needs("podman")
def test_podman_pulls_each_platform_of_hulls_list_and_hull_those_of_podmans(image, images, podman):
    server, names = images
    image("manifest", "create", "lists/both:1", *(f"docker://{name}" for name in names.values()))
    image("manifest", "push", "lists/both:1", f"docker://{server.host}/both:1")
    for architecture in names:
        podman.podman("pull", "-q", "--tls-verify=false", "--arch", architecture, f"{server.host}/both:1")
        told = json.loads(podman.podman("image", "inspect", f"{server.host}/both:1").out)[0]
        assert told["Architecture"] == architecture
    podman.podman("manifest", "create", "localhost/theirs:1")
    for name in names.values():
        podman.podman("manifest", "add", "--tls-verify=false", "localhost/theirs:1", f"docker://{name}")
    podman.podman("manifest", "push", "--tls-verify=false", "--all", "localhost/theirs:1",
                  f"docker://{server.host}/theirs:1")
    image("pull", f"{server.host}/theirs:1")
    image("copy", "--all", f"docker://{server.host}/theirs:1", f"docker://{server.host}/again:1")
    first, second = (run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{server.host}/{name}:1").out
                     for name in ("theirs", "again"))
    assert first == second


@pytest.mark.needs("docker", "dockerd")
def test_docker_pulls_its_platform_of_hulls_list(image, images, docker):
    server, names = images
    image("manifest", "create", "lists/both:1", *(f"docker://{name}" for name in names.values()))
    image("manifest", "push", "lists/both:1", f"docker://{server.host}/both:1")
    for architecture in names:
        docker.docker("pull", "-q", "--platform", f"linux/{architecture}", f"{server.host}/both:1")
        told = json.loads(docker.docker("image", "inspect", f"{server.host}/both:1").out)[0]
        assert told["Architecture"] == architecture
    docker.docker("rmi", f"{server.host}/both:1")


@pytest.mark.parametrize("front", ["image", None])
def test_skopeo_copies_an_artifact_and_hull_gets_its_files_back(hull, images, scratch, front):
    server, _ = images
    words = [front, "artifact"] if front else ["artifact"]
    bill = scratch / "bill.json"
    bill.write_text('{"bill": "of materials"}')
    hull(*words, "push", "--artifact-type", "application/vnd.example.bill", f"{server.host}/bills:1", bill)
    raw = json.loads(run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{server.host}/bills:1").out)
    assert raw["layers"][0]["digest"] == "sha256:" + hashlib.sha256(bill.read_bytes()).hexdigest()
    run("skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false",
        f"docker://{server.host}/bills:1", f"docker://{server.host}/copied:1")
    hull(*words, "pull", "-o", scratch / "back", f"{server.host}/copied:1")
    assert (scratch / "back/bill.json").read_bytes() == bill.read_bytes()
    assert hull(*words, "ls", f"{server.host}/one:amd64").code == 0


@pytest.mark.parametrize("verb", ["manifest create", "manifest add", "manifest annotate", "manifest inspect",
                                  "manifest push", "manifest remove", "manifest rm", "artifact push", "artifact pull",
                                  "artifact ls"])
def test_help_is_there_in_every_form(image, hull, verb):
    words = verb.split()
    own = image(*words, "--help").out
    assert own.startswith("Usage: hull-image " + verb) or ("Usage" in own and verb in own)
    for prefix in ((), ("image",)):
        told = hull(*prefix, *words, "--help").out
        assert verb in told and "Options" in told
    for prefix in ((), ("image",)):
        assert verb in hull(*prefix, words[0], "--help").out
        assert words[1] in hull(*prefix, words[0], "nonsense", code=125).err
        assert "a verb is missing" in hull(*prefix, words[0], code=125).err
