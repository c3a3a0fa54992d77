"""hull-image push, artifacts and lists against a registry whose every request is seen."""

import json
import os

import pytest

from harness.fake_registry import OCI_INDEX, FakeRegistry, Reply, digest_of, make_layer

LAYER = make_layer({"noise": os.urandom(2_500_000)})


@pytest.fixture
def stored(image, fake_registry):
    """An image in the store; what it took is forgotten again by the registry."""
    name = fake_registry.add_image("src", [LAYER])
    image("pull", name)
    fake_registry.requests.clear()
    return name


@pytest.fixture
def target():
    started = FakeRegistry()
    yield started
    started.close()


@pytest.fixture
def modern():
    started = FakeRegistry(referrers=True)
    yield started
    started.close()


def test_a_push_sends_each_blob_once_and_the_manifest_last(image, stored, target):
    digest = image("push", stored, f"{target.host}/dst:1").out.strip()
    media_type, content = target.manifests["dst", "1"]
    assert digest_of(content) == digest
    document = json.loads(content)
    assert all(one["digest"] in target.blobs for one in [document["config"], *document["layers"]])
    assert target.requests[-1][:2] == ("PUT", "/v2/dst/manifests/1")
    assert len(target.paths("POST")) == 2
    again = image("push", stored, f"{target.host}/dst:2")
    assert again.err.count("already there") == 2 and len(target.paths("POST")) == 2


def test_chunks_are_as_large_as_asked(image, stored, target):
    image("push", "--chunk-size=1m", stored, f"{target.host}/dst:1")
    ranges = [headers["content-range"] for method, _, headers in target.requests
              if method == "PATCH" and "content-range" in headers]
    assert ranges[0] == f"0-{(1 << 20) - 1}" and len(ranges) >= 3
    assert ("dst", "1") in target.manifests


def test_an_upload_that_breaks_is_resumed(image, stored, target):
    broken = []

    def rule(request):
        if request.method == "PATCH" and not broken:
            broken.append(request.path)
            # Half of what came is kept; the client is told nothing but an error.
            upload = request.path.rsplit("/", 1)[1]
            target.uploads[upload] += request.body[:len(request.body) // 2]
            return Reply(500)
        return None

    target.rules.append(rule)
    image("push", "--retry-delay=1ms", stored, f"{target.host}/dst:1")
    resumed = [headers["content-range"] for method, _, headers in target.requests
               if method == "PATCH" and "content-range" in headers]
    assert broken and int(resumed[-1].split("-")[0]) > 0
    assert ("dst", "1") in target.manifests


def test_a_refused_push_says_why(image, stored, target):
    target.rules.append(lambda request: Reply(403, b'{"errors":[{"code":"DENIED","message":"no rights here"}]}')
                        if request.method == "POST" else None)
    error = image.fails("push", stored, f"{target.host}/dst:1")
    assert "no rights here" in error and "may not do that" in error
    target.rules.clear()
    target.rules.append(lambda request: Reply(201, b"", {"Docker-Content-Digest": "sha256:" + "0" * 64})
                        if request.method == "PUT" and "/manifests/" in request.path else None)
    assert "stored it as" in image.fails("push", stored, f"{target.host}/dst:1")
    assert "no such image" in image.fails("push", "never/was:1", f"{target.host}/dst:1").lower()


def test_an_upload_location_on_a_forbidden_place_is_refused(image, stored, target):
    target.rules.append(lambda request: Reply(202, b"", {"Location": "file:///tmp/x"})
                        if request.method == "POST" else None)
    assert "refused" in image.fails("push", stored, f"{target.host}/dst:1")


def test_the_password_is_not_sent_to_an_upload_location_elsewhere(image, stored, target):
    other = FakeRegistry()
    try:
        target.require_token("user", "secret")

        def rule(request):
            if request.method == "POST" and "/uploads/" in request.path:
                reply = other._honest(request)
                return Reply(202, b"", {"Location": f"http://{other.host}" + reply.headers["Location"]})
            return None

        target.rules.append(rule)
        image("push", "--creds=user:secret", stored, f"{target.host}/dst:1", check=False)
        assert other.requests, "nothing was uploaded"
        assert all("authorization" not in headers for _, _, headers in other.requests)
    finally:
        other.close()


def test_blobs_are_mounted_from_another_repository(image, fake_registry):
    name = fake_registry.add_image("one", [LAYER])
    # An honest registry has a blob in the repository it was pushed to only.
    fake_registry.rules.append(lambda request: Reply(404) if request.method == "HEAD" and "/two/blobs/" in request.path
                               else None)
    image("copy", f"docker://{name}", f"docker://{fake_registry.host}/two:1")
    assert len(fake_registry.mounted) == 2 and all(source == "one" for _, source in fake_registry.mounted)
    assert "PATCH" not in [method for method, _, _ in fake_registry.requests]
    assert ("two", "1") in fake_registry.manifests


def test_tags_come_page_by_page(image, fake_registry):
    for tag in ("a", "b", "c", "d", "e"):
        fake_registry.add_image("many", [LAYER], tag=tag)
    assert json.loads(image("list-tags", f"docker://{fake_registry.host}/many").out)["Tags"] == list("abcde")
    fake_registry.rules.append(lambda request: Reply(200, b'{"tags":["x"]}', {"Link": '<http://127.0.0.1:9/x>; rel="next"'})
                               if request.path.endswith("/tags/list") else None)
    assert "another host" in image.fails("list-tags", f"docker://{fake_registry.host}/many")
    fake_registry.rules.insert(0, lambda request: Reply(200, b'{"tags":["x"]}', {"Link": f'<{request.path}>; rel="next"'})
                               if request.path.endswith("/tags/list") else None)
    assert "no end" in image.fails("list-tags", f"docker://{fake_registry.host}/many")


@pytest.mark.parametrize("endpoint", [False, True])
def test_artifacts_are_pushed_listed_and_pulled(image, scratch, fake_registry, modern, endpoint):
    server = modern if endpoint else fake_registry
    name = server.add_image("app", [LAYER])
    bill = scratch / "bill.json"
    bill.write_text('{"components":[]}')
    digest = image("artifact", "push", "--artifact-type=application/vnd.test.bill", "--subject=latest",
                   "--annotation=by=test", f"{server.host}/app", f"{bill}:application/json").out.strip()
    other = image("artifact", "push", "--artifact-type=application/vnd.test.other", "--subject=latest",
                  f"{server.host}/app").out.strip()
    listed = json.loads(image("artifact", "ls", "--format=json", name).out)["manifests"]
    assert {entry["digest"] for entry in listed} == {digest, other}
    only = json.loads(image("artifact", "ls", "--format=json", "--artifact-type=application/vnd.test.bill", name).out)
    assert [entry["digest"] for entry in only["manifests"]] == [digest]
    assert only["manifests"][0]["annotations"] == {"by": "test"}
    subject = json.loads(server.manifests["app", digest][1])["subject"]["digest"]
    fallback = ("app", subject.replace(":", "-")) in server.manifests
    assert fallback == (not endpoint)
    out = scratch / "out"
    image("artifact", "pull", "-o", out, f"{server.host}/app@{digest}")
    assert (out / "bill.json").read_text() == bill.read_text()
    assert "there already" in image.fails("artifact", "pull", "-o", out, f"{server.host}/app@{digest}")
    assert "no container image but an artifact" in image.fails("pull", f"{server.host}/app@{digest}")


@pytest.mark.parametrize("title", ["../evil", "/etc/evil", "a/b", "..", ""])
def test_an_artifacts_file_cannot_leave_the_folder(image, fake_registry, scratch, title):
    layer = fake_registry.describe(b"evil", "text/plain")
    layer["annotations"] = {"org.opencontainers.image.title": title}
    fake_registry.add_manifest("evil", "latest", {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "x/y",
        "config": fake_registry.describe(b"{}", "application/vnd.oci.empty.v1+json"), "layers": [layer]})
    out = scratch / "out"
    assert "refused" in image.fails("artifact", "pull", "-o", out, f"{fake_registry.host}/evil")
    assert list(out.iterdir()) == [] and not (scratch / "evil").exists()


def test_a_manifest_format_that_cannot_hold_the_image_is_refused(image, fake_registry, scratch):
    manifest = fake_registry.image_manifest([LAYER])
    manifest["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar+zstd"
    fake_registry.add_manifest("zstd", "latest", manifest)
    error = image.fails("copy", "--format=v2s2", f"docker://{fake_registry.host}/zstd", f"dir:{scratch}/x")
    assert "no zstd layers" in error
    assert "cannot go together" in image.fails("copy", "--format=oci", "--preserve-digests", "a", f"dir:{scratch}/x")


def test_an_index_inside_an_index_is_copied_with_all(image, fake_registry, scratch):
    document = fake_registry.image_manifest([LAYER])
    digest = fake_registry.add_manifest("deep", "image", document)
    size = len(fake_registry.manifests["deep", digest][1])
    entry = {"mediaType": document["mediaType"], "digest": digest, "size": size,
             "platform": {"os": "linux", "architecture": "amd64"}}
    inner = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
    inner_digest = fake_registry.add_manifest("deep", "inner", inner, OCI_INDEX)
    nested = {"mediaType": OCI_INDEX, "digest": inner_digest, "size": len(fake_registry.manifests["deep", "inner"][1])}
    outer = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry, nested]}
    fake_registry.add_manifest("deep", "latest", outer, OCI_INDEX)
    image("copy", "--all", "--preserve-digests", f"docker://{fake_registry.host}/deep", f"oci:{scratch}/deep:1")
    assert (scratch / "deep/blobs/sha256" / inner_digest[7:]).exists()


def test_bad_places_are_named(image, scratch):
    assert "unknown transport" in image.fails("copy", "ftp://x/y", "dir:/tmp/x")
    assert "nothing after" in image.fails("copy", "oci:", f"dir:{scratch}/x")
    assert "no such file" in image.fails("copy", f"oci-archive:{scratch}/none.tar", f"dir:{scratch}/x")
    assert "index.json" in image.fails("copy", f"oci:{scratch}/none", f"dir:{scratch}/x")
    assert "an argument is missing" in image.fails("copy", "one")
    assert "did you mean pull" in image.fails("pul", "x")
