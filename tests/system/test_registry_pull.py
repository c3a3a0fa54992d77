"""hull-image pull against Debian's docker-registry and against registries that cheat."""

import gzip
import json
import os
import signal
import subprocess
import threading

import pytest

from harness.fake_registry import OCI_INDEX, OCI_LAYER, Reply, digest_of, make_layer
from harness.programs import run

LAYERS = [make_layer({"etc/first": b"one\n", "both": b"low\n"}), make_layer({"etc/second": b"two\n", "both": b"high\n"})]


def content(image, name):
    return [path.read_text() for path in image.find(name)]


@pytest.mark.needs("docker-registry", "skopeo")
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_an_image_that_skopeo_pushed_is_pulled_and_unpacked(image, registry, busybox_tar, scratch, compression):
    run("skopeo", "--version")
    server = registry()
    layout = scratch / "layout"
    source = ImageSource(layout, busybox_tar)
    name = server.push(source.oci, "team/busybox:1", f"--dest-compress-format={compression}", "--format=oci")
    result = image.result("pull", name)["images"][0]
    assert result["name"] == name
    assert image.find("bin/busybox")[0].stat().st_size > 500_000
    assert name in image.references() and result["digest"] in image.references()
    again = image("pull", name)
    assert again.out == f"{name}\n"
    assert "already here" in again.err
    image.check_nothing_staged()


class ImageSource:
    """busybox as an OCI layout, made by hand: the push tools need one."""

    def __init__(self, layout, tar):
        layer = tar.read_bytes()
        config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
                  "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]}}
        (layout / "blobs/sha256").mkdir(parents=True)

        def put(data, media_type):
            digest = digest_of(data)
            (layout / "blobs/sha256" / digest.split(":")[1]).write_bytes(data)
            return {"mediaType": media_type, "digest": digest, "size": len(data)}

        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
                    "layers": [put(layer, "application/vnd.oci.image.layer.v1.tar")]}
        entry = put(json.dumps(manifest).encode(), manifest["mediaType"])
        entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
        (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self.oci = f"oci:{layout}:latest"


@pytest.mark.needs("docker-registry", "skopeo")
def test_basic_auth_needs_the_right_password(image, registry, busybox_tar, scratch):
    server = registry(basic_auth=True)
    name = server.push(ImageSource(scratch / "layout", busybox_tar).oci, "busybox:1")
    error = image.fails("pull", name)
    assert server.host in error and "no credentials" in error and f"hull login {server.host}" in error
    error = image.fails("pull", "--creds", f"{server.user}:wrong", name)
    assert "was not accepted" in error and server.user in error
    image("pull", "--creds", f"{server.user}:{server.password}", name)
    assert image.find("bin/busybox")


@pytest.mark.needs("docker-registry", "skopeo", "openssl")
def test_a_certificate_must_be_trusted_through_certs_d_or_a_folder(image, registry, busybox_tar, scratch):
    server = registry(tls=True)
    name = server.push(ImageSource(scratch / "layout", busybox_tar).oci, "busybox:1")
    error = image.fails("pull", name)
    assert "certificate" in error and "not trusted" in error and "certs.d" in error
    folder = scratch / "certs"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(server.certificate.read_bytes())
    image("pull", "--cert-dir", folder, name)
    config = scratch / "config/containers/certs.d" / server.host
    config.mkdir(parents=True)
    (config / "own.crt").write_bytes(server.certificate.read_bytes())
    image("pull", name, env={"XDG_CONFIG_HOME": str(scratch / "config")})
    image("pull", "--tls-verify=false", name)


def test_a_token_server_is_asked_with_the_scope_and_the_password(image, fake_registry):
    name = fake_registry.add_image("team/app", LAYERS)
    fake_registry.require_token("user", "secret", "repository:team/app:pull")
    error = image.fails("pull", name)
    assert "refuses access" in error and "hull login" in error
    image("pull", "--creds=user:secret", name)
    assert content(image, "etc/second") == ["two\n"]
    tokens = [path for path in fake_registry.paths("GET") if path.startswith("/token")]
    assert "scope=repository%3Ateam%2Fapp%3Apull" in tokens[-1] and "service=fake" in tokens[-1]


def test_an_identity_token_of_the_credentials_file_is_exchanged(image, fake_registry, scratch):
    name = fake_registry.add_image("app", LAYERS)
    fake_registry.require_token(identity_token="refresh-me")
    auth = scratch / "auth.json"
    auth.write_text(json.dumps({"auths": {fake_registry.host: {"identitytoken": "refresh-me"}}}))
    image("pull", "--authfile", auth, name)
    assert ("POST", "/token") in [(method, path) for method, path, _ in fake_registry.requests]


def test_a_credential_helper_is_asked(image, fake_registry, scratch):
    name = fake_registry.add_image("app", LAYERS)
    fake_registry.require_token("helped", "by-helper")
    tools = scratch / "tools"
    tools.mkdir()
    helper = tools / "docker-credential-test"
    helper.write_text("#!/bin/sh\nread host\n"
                      'echo "{\\"ServerURL\\":\\"$host\\",\\"Username\\":\\"helped\\",\\"Secret\\":\\"by-helper\\"}"\n')
    helper.chmod(0o755)
    auth = scratch / "config.json"
    auth.write_text(json.dumps({"credHelpers": {fake_registry.host: "test"}}))
    image("pull", "--authfile", auth, name, env={"PATH": f"{tools}:{os.environ['PATH']}"})
    auth.write_text(json.dumps({"credHelpers": {fake_registry.host: "missing"}}))
    assert "docker-credential-missing" in image.fails("pull", "--authfile", auth, name)


def test_the_platform_of_a_list_is_chosen(image, fake_registry):
    manifests = []
    for architecture, text in (("amd64", b"intel"), ("arm64", b"arm")):
        document = fake_registry.image_manifest([make_layer({"which": text})], architecture)
        digest = fake_registry.add_manifest("multi", architecture, document)
        size = len(fake_registry.manifests["multi", digest][1])
        manifests.append({"mediaType": document["mediaType"], "digest": digest, "size": size,
                          "platform": {"os": "linux", "architecture": architecture}})
    fake_registry.add_manifest("multi", "latest", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests},
                               OCI_INDEX)
    name = f"{fake_registry.host}/multi"
    image("pull", "--platform=linux/arm64", name)
    assert content(image, "which") == ["arm"]
    error = image.fails("pull", "--platform=linux/s390x", name)
    assert "linux/amd64" in error and "linux/arm64" in error
    by_digest = f"{fake_registry.host}/multi@{manifests[0]['digest']}"
    image("pull", by_digest)
    assert sorted(content(image, "which")) == ["arm", "intel"]
    assert by_digest in image.references()


def test_sha512_digests_are_checked_as_well(image, fake_registry):
    name = fake_registry.add_image("big", LAYERS, algorithm="sha512")
    image("pull", name)
    assert content(image, "etc/first") == ["one\n"]


def test_uncompressed_layers_are_taken(image, fake_registry):
    image("pull", fake_registry.add_image("plain", LAYERS, compress=False))
    assert content(image, "etc/first") == ["one\n"]


def test_a_layer_with_other_content_is_refused(image, fake_registry):
    name = fake_registry.add_image("lies", LAYERS)
    manifest = json.loads(fake_registry.manifests["lies", "latest"][1])
    digest = manifest["layers"][1]["digest"]
    evil = gzip.compress(make_layer({"etc/evil": b"no"}), mtime=0)
    fake_registry.blobs[digest] = (evil + b"\0" * 10000)[:manifest["layers"][1]["size"]]
    error = image.fails("pull", name)
    assert digest[7:19] in error
    assert not image.find("etc/evil") and name not in image.references()


def test_a_layer_that_is_not_its_diff_id_is_refused(image, fake_registry):
    document = fake_registry.image_manifest(LAYERS)
    other = gzip.compress(make_layer({"etc/other": b"other"}), mtime=0)
    document["layers"][0] = fake_registry.describe(other, OCI_LAYER)
    fake_registry.add_manifest("diff", "latest", document)
    error = image.fails("pull", f"{fake_registry.host}/diff")
    assert digest_of(LAYERS[0])[7:19] in error
    assert not image.find("etc/other")


@pytest.mark.parametrize("claimed", [-100, 100])
def test_a_wrong_size_is_refused(image, fake_registry, claimed):
    document = fake_registry.image_manifest(LAYERS)
    document["layers"][0]["size"] += claimed
    fake_registry.add_manifest("size", "latest", document)
    error = image.fails("pull", f"{fake_registry.host}/size")
    assert "bytes" in error and "corrupt" not in image.references()


def test_a_manifest_that_is_not_its_digest_is_refused(image, fake_registry):
    fake_registry.add_image("pin", LAYERS)
    wrong = "sha256:" + "0" * 64
    fake_registry.manifests["pin", wrong] = fake_registry.manifests["pin", "latest"]
    error = image.fails("pull", f"{fake_registry.host}/pin@{wrong}")
    assert wrong in error and "other content" in error


def big_layer():
    return make_layer({"noise": os.urandom(3_000_000)})


def test_a_connection_that_breaks_is_resumed_where_it_broke(image, fake_registry):
    name = fake_registry.add_image("cut", [big_layer()])
    manifest = json.loads(fake_registry.manifests["cut", "latest"][1])
    path = f"/v2/cut/blobs/{manifest['layers'][0]['digest']}"
    cuts = [1_000_000, 500_000]

    def rule(request):
        if request.path != path or not cuts:
            return None
        reply = fake_registry._honest(request)
        reply.cut_after = cuts.pop()
        return reply

    fake_registry.rules.append(rule)
    image("pull", name)
    ranges = [headers.get("range") for method, where, headers in fake_registry.requests if where == path]
    assert ranges[0] is None and ranges[1].startswith("bytes=") and len(ranges) == 3
    starts = [int(text[6:-1]) for text in ranges[1:]]
    assert 0 < starts[0] <= 500_000 and starts[0] < starts[1] <= 1_500_000


def test_a_server_that_always_closes_half_way_is_given_up(image, fake_registry):
    name = fake_registry.add_image("half", [big_layer()])
    manifest = json.loads(fake_registry.manifests["half", "latest"][1])
    path = f"/v2/half/blobs/{manifest['layers'][0]['digest']}"

    def rule(request):
        if request.path != path:
            return None
        return Reply(200, fake_registry.blobs[path.split("/")[-1]], cut_after=0 if request.headers.get("range") else 999)

    fake_registry.rules.append(rule)
    error = image.fails("pull", "--retry-delay=1ms", name)
    assert "closed" in error and name not in image.references()


def test_endless_json_is_cut_off(image, fake_registry):
    fake_registry.rules.append(lambda request: Reply(200, endless=b'{"a":' * 1000, headers={"Content-Type": OCI_INDEX})
                               if "/manifests/" in request.path else None)
    assert "longer than" in image.fails("pull", f"{fake_registry.host}/endless")


def test_an_endless_header_is_cut_off(image, fake_registry):
    headers = {f"X-Filler-{number}": "x" * 1000 for number in range(400)}
    fake_registry.rules.append(lambda request: Reply(200, b"{}", headers) if "/manifests/" in request.path else None)
    assert "header" in image.fails("pull", f"{fake_registry.host}/endless").lower()


def test_ten_thousand_layers_are_refused(image, fake_registry):
    document = fake_registry.image_manifest(LAYERS)
    document["layers"] = document["layers"][:1] * 10_000
    fake_registry.add_manifest("many", "latest", document)
    error = image.fails("pull", f"{fake_registry.host}/many")
    assert "10000" in error and "more than" in error and not any("/blobs/" in path for path in fake_registry.paths())


@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://127.0.0.1/x", "http://user:pw@127.0.0.1/x"])
def test_a_redirect_to_a_forbidden_place_is_refused(image, fake_registry, target):
    name = fake_registry.add_image("redirect", LAYERS)
    fake_registry.rules.append(lambda request: Reply(307, headers={"Location": target})
                               if "/blobs/" in request.path else None)
    error = image.fails("pull", name)
    assert "refused" in error and target.split(":")[0] in error


def test_a_redirect_to_another_host_loses_the_password(image, fake_registry):
    from harness.fake_registry import FakeRegistry
    other = FakeRegistry()
    try:
        name = fake_registry.add_image("cdn", LAYERS)
        other.blobs = fake_registry.blobs
        fake_registry.require_token("user", "secret")
        fake_registry.rules.append(lambda request: Reply(
            307, headers={"Location": f"http://{other.host}{request.path}"}) if "/blobs/" in request.path else None)
        image("pull", "--creds=user:secret", name)
        assert len(other.requests) == 3
        assert all("authorization" not in headers for _, _, headers in other.requests)
        assert any("authorization" in headers for _, path, headers in fake_registry.requests if "/blobs/" in path)
    finally:
        other.close()


def test_a_redirect_in_a_circle_ends(image, fake_registry):
    fake_registry.rules.append(lambda request: Reply(302, headers={"Location": request.path})
                               if "/manifests/" in request.path else None)
    assert "redirects" in image.fails("pull", f"{fake_registry.host}/circle")


def test_a_busy_server_is_asked_again_when_it_says(image, fake_registry):
    name = fake_registry.add_image("busy", LAYERS)
    refusals = [Reply(429, headers={"Retry-After": "0"}), Reply(503, headers={"Retry-After": "0"}), Reply(502)]
    fake_registry.rules.append(lambda request: refusals.pop() if "/manifests/" in request.path and refusals else None)
    image("pull", name)
    assert not refusals
    fake_registry.rules.append(lambda request: None)
    fake_registry.rules.insert(0, lambda request: Reply(429, headers={"Retry-After": "86400"}))
    assert "86400 seconds" in image.fails("pull", name)


def test_what_is_not_there_is_named(image, fake_registry):
    fake_registry.add_image("there", LAYERS)
    error = image.fails("pull", f"{fake_registry.host}/there:missing")
    assert f"{fake_registry.host}/there:missing" in error and "not found" in error and "list-tags" in error


def test_an_unreachable_host_is_named(image):
    error = image.fails("pull", "127.0.0.1:9/none")
    assert "127.0.0.1:9" in error and "cannot connect" in error and "check that the registry runs" in error
    error = image.fails("pull", "no-such-host.invalid/none")
    assert "no-such-host.invalid" in error and "cannot find the host" in error


@pytest.mark.parametrize("name", ["UPPER/case", "a//b", "x:bad tag", "x@sha256:123", "", "-x/y", "a" * 300])
def test_a_bad_name_is_refused_before_anything_is_asked(image, name):
    error = image.fails("pull", "--", name)
    assert error.startswith("hull-image: ")
    assert not (image.root / "blobs").exists() or not image.blobs()


def test_blocked_mirrored_and_short_names_follow_registries_conf(image, fake_registry, scratch):
    fake_registry.add_image("mirror/app", LAYERS)
    conf = scratch / "registries.conf"
    conf.write_text(f'unqualified-search-registries = ["{fake_registry.host}"]\n'
                    f'[aliases]\n"short" = "{fake_registry.host}/mirror/app"\n'
                    '[[registry]]\nprefix = "blocked.example"\nblocked = true\n'
                    '[[registry]]\nprefix = "far.example/team"\n'
                    f'[[registry.mirror]]\nlocation = "127.0.0.1:9/dead"\n'
                    f'[[registry.mirror]]\nlocation = "{fake_registry.host}/mirror"\n')
    pull = ("pull", "--registries-conf", conf)
    assert "blocked" in image.fails(*pull, "blocked.example/x")
    done = image(*pull, "far.example/team/app")
    assert done.out == "far.example/team/app:latest\n"
    assert "127.0.0.1:9" in done.err and f"mirror {fake_registry.host}" in done.err
    image(*pull, "short")
    conf.write_text("[[registry]\n")
    assert f"{conf}:1" in image.fails(*pull, "x")


def test_plain_http_is_for_loopback_only(image, fake_registry):
    port = fake_registry.host.split(":")[1]
    hosts = run("hostname", "-I").out.split()
    if not hosts:
        pytest.skip("needs an address beside loopback")
    # The registry listens on loopback only: what matters is that http is not even tried.
    error = image.fails("pull", f"{hosts[0]}:{port}/x")
    assert "https" in error or "cannot connect" in error
    assert not fake_registry.requests


def test_a_full_disk_is_an_error_that_names_it(image, fake_registry, scratch):
    name = fake_registry.add_image("large", [make_layer({"noise": os.urandom(6_000_000)})])
    # A mount namespace of the test's own: the tmpfs is gone with the process.
    script = ('mount -t tmpfs -o size=4m tmpfs "$1" && shift && "$@"; code=$?; '
              'test -z "$(ls -A "$ROOT/staging")" || { echo staging is not empty >&2; exit 1; }; exit $code')
    image.root.mkdir()
    done = run("unshare", "-m", "sh", "-c", script, "sh", image.root, *image.arguments("pull", name), code=125,
               env={"ROOT": str(image.root), **image.env})
    assert "no space left on device" in done.err.lower()
    assert len([line for line in done.err.splitlines() if line.startswith("hull-image: ")]) == 1


def test_an_interrupted_pull_is_continued_by_the_next(image, fake_registry):
    name = fake_registry.add_image("resume", [big_layer()])
    manifest = json.loads(fake_registry.manifests["resume", "latest"][1])
    digest = manifest["layers"][0]["digest"]
    path = f"/v2/resume/blobs/{digest}"
    reached = threading.Event()
    held = threading.Event()

    class Slow(bytes):
        """A body whose second half is sent only when the test says so."""

    def rule(request):
        if request.path != path or request.headers.get("range"):
            return None
        reply = Reply(200, fake_registry.blobs[digest])
        reply.cut_after = 2_000_000
        reached.set()
        return reply

    def refuse(request):
        if request.path == path and request.headers.get("range"):
            held.set()
            return Reply(503, headers={"Retry-After": "100"})
        return None

    fake_registry.rules += [rule, refuse]
    running = image.popen("pull", name)
    assert held.wait(30), "the first part was never received"
    running.send_signal(signal.SIGKILL)
    running.communicate()
    fake_registry.rules.clear()
    image("pull", name)
    ranges = [headers["range"] for _, where, headers in fake_registry.requests if where == path and "range" in headers]
    assert int(ranges[-1][6:-1]) > 0
    assert image.find("noise")


def test_interrupting_a_pull_leaves_nothing_staged(image, fake_registry):
    name = fake_registry.add_image("wait", LAYERS)
    seen = threading.Event()

    def rule(request):
        if "/blobs/" in request.path and request.path not in ("",):
            seen.set()
            return Reply(503, headers={"Retry-After": "100"})
        return None

    fake_registry.rules.append(rule)
    running = image.popen("pull", name)
    assert seen.wait(30)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 125 and "interrupted" in err
    image.check_nothing_staged()


def test_errors_and_results_can_go_to_descriptors(image, fake_registry):
    read, write = os.pipe()
    done = subprocess.run([str(a) for a in image.arguments("--error-fd", write, "pull", f"{fake_registry.host}/none")],
                          pass_fds=(write,), capture_output=True, text=True)
    os.close(write)
    with os.fdopen(read) as pipe:
        encoded = pipe.read()
    assert done.returncode == 125 and "hull-image:" not in done.stderr
    assert "not found in the registry" in encoded
    name = fake_registry.add_image("result", LAYERS)
    result = image.result("pull", name)
    assert result["images"][0]["name"] == name and result["images"][0]["id"].startswith("sha256:")


def test_progress_comes_as_json_lines_when_asked(image, fake_registry):
    name = fake_registry.add_image("progress", LAYERS)
    done = run(*image.arguments("--progress", "json", "pull", name))
    events = [json.loads(line) for line in done.err.splitlines()]
    ended = [event for event in events if event["event"] == "end"]
    assert len(ended) == 3 and all(event["outcome"] == "done" for event in ended)


@pytest.mark.needs("userns", "newuidmap")
def test_an_ordinary_user_pulls_into_its_own_range(rootless_image, fake_registry, busybox_tar):
    name = fake_registry.add_image("rootless", [busybox_tar.read_bytes()])
    rootless_image("pull", name)
    busybox = rootless_image.find("bin/busybox")[0]
    assert busybox.stat().st_uid == rootless_image.root.stat().st_uid
    rootless_image.check_nothing_staged()
