"""hull-image and skopeo, podman, umoci and docker hand images to each other, both ways."""

import hashlib
import json
import os
import stat

import pytest

from harness.programs import run


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """An OCI layout of two layers that umoci made: hard links, modes, owners, xattrs, a removed file."""
    folder = tmp_path_factory.mktemp("layout")
    image = f"{folder}/image"
    bundle = folder / "bundle"
    run("umoci", "init", "--layout", image)
    run("umoci", "new", "--image", f"{image}:v1")
    run("umoci", "unpack", "--image", f"{image}:v1", bundle)
    root = bundle / "rootfs"
    (root / "etc/keep").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (root / "etc/keep/secret").write_text("secret\n")
    (root / "etc/keep/secret").chmod(0o640)
    os.chown(root / "etc/keep/secret", 7, 8)
    os.link(root / "etc/passwd", root / "etc/passwd-")
    os.symlink("passwd", root / "etc/link")
    (root / "gone").write_text("to be removed")
    (root / "data").write_bytes(os.urandom(200_000))
    run("umoci", "repack", "--image", f"{image}:v1", bundle)
    run("rm", "-rf", bundle)
    run("umoci", "unpack", "--image", f"{image}:v1", bundle)
    (root / "gone").unlink()
    (root / "second").write_text("layer\n")
    run("umoci", "repack", "--image", f"{image}:v1", bundle)
    run("umoci", "config", "--image", f"{image}:v1", "--config.cmd", "true", "--architecture", "amd64")
    run("rm", "-rf", bundle)
    return f"oci:{image}:v1"


def listing(root):
    """Every file below a folder: type, mode, owner, links, content."""
    found = {}
    for top, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(top, name)
            info = os.lstat(path)
            entry = [stat.filemode(info.st_mode), info.st_uid, info.st_gid]
            if stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    entry += [info.st_nlink, int(info.st_mtime), hashlib.sha256(file.read()).hexdigest()]
            elif stat.S_ISLNK(info.st_mode):
                entry.append(os.readlink(path))
            found[os.path.relpath(path, root)] = tuple(entry)
    return found


def unpacked(layout, scratch, name):
    """What umoci makes of an OCI layout."""
    run("umoci", "unpack", "--image", layout.removeprefix("oci:"), scratch / name)
    found = listing(scratch / name / "rootfs")
    run("rm", "-rf", scratch / name)
    return found


@pytest.fixture
def wanted(layout, scratch):
    return unpacked(layout, scratch, "wanted")


@pytest.mark.needs("skopeo", "umoci", "docker-registry")
def test_skopeo_pushes_hull_copies_umoci_unpacks_the_same(image, registry, layout, wanted, scratch):
    server = registry()
    name = server.push(layout, "a/b:1")
    image("copy", f"docker://{name}", f"oci:{scratch}/out:x")
    assert unpacked(f"oci:{scratch}/out:x", scratch, "got") == wanted


@pytest.mark.needs("skopeo", "umoci", "docker-registry")
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_hull_pulls_and_pushes_what_skopeo_reads_back(image, registry, layout, wanted, scratch, compression):
    server = registry()
    name = server.push(layout, "a/b:1", f"--dest-compress-format={compression}", "--format=oci")
    image("pull", name)
    pushed = image("push", name, f"{server.host}/c/d:2")
    original = run("skopeo", "inspect", "--tls-verify=false", "--format={{.Digest}}", f"docker://{name}").out.strip()
    assert pushed.out.strip() == original, "the manifest's bytes were changed"
    run("skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-decompress",
        f"docker://{server.host}/c/d:2", f"dir:{scratch}/plain")
    run("skopeo", "--insecure-policy", "copy", "-q", f"dir:{scratch}/plain", f"oci:{scratch}/out:x")
    assert unpacked(f"oci:{scratch}/out:x", scratch, "got") == wanted


@pytest.mark.needs("skopeo", "umoci")
@pytest.mark.parametrize("transport", ["oci:{}/t:tag", "oci-archive:{}/t.tar:tag", "dir:{}/t", "docker-archive:{}/t.tar:n:1"])
def test_every_transport_is_read_by_skopeo_and_what_skopeo_writes_is_read(image, layout, wanted, scratch, transport):
    there = transport.format(scratch)
    image("copy", layout, there)
    run("skopeo", "--insecure-policy", "copy", "-q", there, f"oci:{scratch}/read:x")
    assert unpacked(f"oci:{scratch}/read:x", scratch, "got") == wanted
    by_skopeo = transport.format(scratch / "by-skopeo")
    (scratch / "by-skopeo").mkdir()
    run("skopeo", "--insecure-policy", "copy", "-q", layout, by_skopeo)
    image("copy", by_skopeo, f"oci:{scratch}/back:x")
    assert unpacked(f"oci:{scratch}/back:x", scratch, "back") == wanted
    image("copy", by_skopeo, "store:from/skopeo:1")
    assert image.find("second")
    image.check_nothing_staged()


@pytest.mark.needs("skopeo", "umoci")
@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_save_and_load_round_trip_also_through_skopeo(image, layout, wanted, scratch, form):
    image("copy", layout, "saved:1")
    archive = scratch / "saved.tar"
    image("save", "-o", archive, "--format", form, "saved:1")
    run("skopeo", "--insecure-policy", "copy", "-q", f"{form}:{archive}", f"oci:{scratch}/read:x")
    assert unpacked(f"oci:{scratch}/read:x", scratch, "got") == wanted
    piped = run(*image.arguments("save", "--format", form, "saved:1"), text=False)
    assert piped.out == archive.read_bytes(), "the same image gives other bytes"
    run("rm", "-rf", image.root)
    assert "saved:1" in image("load", "-i", archive).out
    assert image.find("second")


@pytest.mark.needs("podman", "umoci")
def test_podman_loads_and_saves(image, podman, layout, scratch):
    image("copy", layout, "handed/to:podman")
    archive = scratch / "image.tar"
    for form in ("docker-archive", "oci-archive"):
        image("save", "-o", archive, "--format", form, "handed/to:podman")
        # In a docker archive podman takes a short name for one of localhost.
        name = podman.podman("load", "-q", "-i", archive).out.removeprefix("Loaded image: ").strip()
        assert name.endswith("/handed/to:podman")
        assert len(json.loads(podman.podman("image", "inspect", name).out)[0]["RootFS"]["Layers"]) == 2
        back = scratch / "back.tar"
        podman.podman("save", "-q", "-o", back, "--format", form, name)
        assert name in image("load", "-i", back).out
        back.unlink()
        podman.podman("rmi", name)


@pytest.mark.needs("podman", "docker-registry", "umoci")
def test_podman_pulls_what_hull_pushed(image, podman, registry, layout):
    server = registry()
    image("copy", layout, f"docker://{server.host}/for/podman:1")
    podman.podman("pull", "-q", "--tls-verify=false", f"{server.host}/for/podman:1")
    podman.podman("tag", f"{server.host}/for/podman:1", f"{server.host}/from/podman:1")
    podman.podman("push", "-q", "--tls-verify=false", f"{server.host}/from/podman:1")
    image("pull", f"{server.host}/from/podman:1")
    assert image.find("second")


@pytest.mark.needs("docker", "dockerd", "umoci", "docker-registry")
def test_docker_exchanges_images_by_daemon_archive_and_registry(image, docker, registry, layout, scratch):
    env = {"DOCKER_HOST": f"unix://{docker.socket}"}
    image("copy", layout, "docker-daemon:by/hull:1", env=env)
    layers = json.loads(docker.docker("image", "inspect", "by/hull:1").out)[0]["RootFS"]["Layers"]
    assert len(layers) == 2
    docker.docker("tag", "by/hull:1", "by/docker:2")
    image("copy", "docker-daemon:by/docker:2", "store:by/docker:2", env=env)
    assert image.find("second")
    archive = scratch / "docker.tar"
    docker.docker("save", "-o", archive, "by/hull:1", "by/docker:2")
    loaded = image("load", "-i", archive).out
    assert "by/hull:1" in loaded and "by/docker:2" in loaded
    image("save", "-o", scratch / "hull.tar", "by/docker:2")
    docker.docker("rmi", "by/hull:1", "by/docker:2")
    assert "by/docker:2" in docker.docker("load", "-i", scratch / "hull.tar").out
    server = registry()
    image("copy", "--format=v2s2", layout, f"docker://{server.host}/d:1")
    docker.docker("pull", "-q", f"{server.host}/d:1")
    docker.docker("tag", f"{server.host}/d:1", f"{server.host}/d:2")
    docker.docker("push", "-q", f"{server.host}/d:2")
    image("pull", f"{server.host}/d:2")
    assert "does not exist" in image.fails("copy", "docker-daemon:not/there:1", f"dir:{scratch}/none", env=env)


@pytest.mark.needs("skopeo", "umoci", "docker-registry")
def test_registry_to_registry_passes_only_what_is_missing(image, registry, layout):
    first, second = registry(), registry()
    name = first.push(layout, "src/app:1")
    done = image("copy", f"docker://{name}", f"docker://{first.host}/dst/app:1")
    assert done.err.count("mounted") == 3 and "done" not in done.err
    done = image("copy", f"docker://{name}", f"docker://{second.host}/app:1")
    assert done.err.count(": done") == 3
    done = image("copy", f"docker://{name}", f"docker://{second.host}/app:2")
    assert done.err.count("already there") == 3
    assert not image.layer_trees() and not image.blobs()
    digests = {run("skopeo", "inspect", "--tls-verify=false", "--format={{.Digest}}", f"docker://{where}").out
               for where in (name, f"{first.host}/dst/app:1", f"{second.host}/app:2")}
    assert len(digests) == 1


@pytest.mark.needs("skopeo", "umoci", "docker-registry")
def test_manifest_lists_are_made_annotated_pushed_and_copied_whole(image, registry, layout, scratch):
    server = registry()
    amd = server.push(layout, "one:amd")
    run("umoci", "config", "--image", layout.removeprefix("oci:"), "--tag", "arm", "--architecture", "arm64")
    arm = server.push(layout.removesuffix("v1") + "arm", "one:arm")
    image("manifest", "create", "my/list:1", f"docker://{amd}")
    image("manifest", "add", "my/list:1", f"docker://{arm}")
    digest = run("skopeo", "inspect", "--tls-verify=false", "--format={{.Digest}}", f"docker://{arm}").out.strip()
    image("manifest", "annotate", "--variant=v8", "--annotation", "k=v", "my/list:1", digest)
    listed = json.loads(image("manifest", "inspect", "my/list:1").out)
    assert [entry["platform"]["architecture"] for entry in listed["manifests"]] == ["amd64", "arm64"]
    assert listed["manifests"][1]["platform"]["variant"] == "v8"
    assert listed["manifests"][1]["annotations"] == {"k": "v"}
    pushed = image("manifest", "push", "my/list:1", f"docker://{server.host}/list:1").out.strip()
    raw = run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{server.host}/list:1").out
    assert "sha256:" + hashlib.sha256(raw.encode()).hexdigest() == pushed
    image("copy", "--all", f"docker://{server.host}/list:1", f"oci:{scratch}/all:1")
    run("skopeo", "--insecure-policy", "copy", "-q", "--all", f"oci:{scratch}/all:1", f"dir:{scratch}/by-skopeo")
    assert len(list((scratch / "by-skopeo").glob("*.manifest.json"))) == 2
    image("copy", "--platform=linux/arm64", f"docker://{server.host}/list:1", f"dir:{scratch}/arm")
    assert "is not in" not in image("pull", f"{server.host}/list:1").err
    image("manifest", "remove", "my/list:1", digest)
    assert len(json.loads(image("manifest", "inspect", "my/list:1").out)["manifests"]) == 1
    assert "is there already" in image.fails("manifest", "create", "my/list:1")
    image("manifest", "rm", "my/list:1")
    assert "no manifest list" in image.fails("manifest", "rm", "my/list:1")


@pytest.mark.needs("skopeo", "umoci", "docker-registry")
def test_inspect_list_tags_and_history_see_what_skopeo_sees(image, registry, layout):
    server = registry()
    name = server.push(layout, "look/at:1")
    server.push(layout, "look/at:2")
    theirs = json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{name}").out)
    ours = json.loads(image("inspect", f"docker://{name}").out)
    for key in ("Name", "Digest", "RepoTags", "Architecture", "Os", "Layers", "Created"):
        assert ours[key] == theirs[key], key
    assert [layer["Digest"] for layer in ours["LayersData"]] == theirs["Layers"]
    raw = run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}").out
    assert image("inspect", "--raw", f"docker://{name}").out == raw
    config = run("skopeo", "inspect", "--config", "--raw", "--tls-verify=false", f"docker://{name}").out
    assert image("inspect", "--config", "--raw", f"docker://{name}").out == config
    assert json.loads(image("list-tags", f"docker://{server.host}/look/at").out) == json.loads(
        run("skopeo", "list-tags", "--tls-verify=false", f"docker://{server.host}/look/at").out)
    rows = json.loads(image("history", "--format=json", f"docker://{name}").out)
    assert len([row for row in rows if not row["emptyLayer"]]) == 2
    assert "not found" in image.fails("list-tags", f"docker://{server.host}/nothing/here")


@pytest.mark.needs("skopeo", "umoci", "docker-registry")
def test_a_list_of_images_is_mirrored(image, registry, layout, scratch):
    first, second = registry(), registry()
    for tag in ("1", "2"):
        first.push(layout, f"team/app:{tag}")
    first.push(layout, "other:x")
    wanted = scratch / "list"
    wanted.write_text(f"# what we need\ndocker://{first.host}/team/app:1\n{first.host}/other:x  # bare\n")
    image("sync", "--scoped", wanted, f"docker://{second.host}/mirror")
    for path in ("team/app:1", "other:x"):
        there = f"docker://{second.host}/mirror/{first.host.replace(':', '-')}/{path}"
        assert run("skopeo", "inspect", "--raw", "--tls-verify=false", there).out == run(
            "skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{first.host}/{path}").out
    done = image("sync", f"docker://{first.host}/team/app", f"docker://{second.host}/all")
    assert "2 of 2" in done.out
    tags = json.loads(image("list-tags", f"docker://{second.host}/all/app").out)["Tags"]
    assert sorted(tags) == ["1", "2"]


@pytest.mark.needs("skopeo", "umoci", "docker-registry")
def test_login_is_shared_with_skopeo_both_ways(image, registry, layout, scratch):
    server = registry(basic_auth=True)
    name = server.push(layout, "private:1")
    auth = scratch / "auth.json"
    wrong = image("login", "-u", server.user, "-p", "wrong", "--authfile", auth, server.host, code=125)
    assert "was not accepted" in wrong.err and not auth.exists()
    done = image("login", "-u", server.user, "--password-stdin", "--authfile", auth, server.host,
                 input=server.password + "\n")
    assert "Login Succeeded" in done.out
    assert stat.S_IMODE(auth.stat().st_mode) == 0o600
    run("skopeo", "inspect", "--tls-verify=false", "--authfile", auth, f"docker://{name}")
    assert image("login", "--get-login", "--authfile", auth, server.host).out.strip() == server.user
    image("pull", "--authfile", auth, name)
    image("logout", "--authfile", auth, server.host)
    assert "no credentials" in image.fails("pull", "--authfile", auth, name)
    run("skopeo", "login", "--tls-verify=false", "-u", server.user, "-p", server.password, "--authfile", auth, server.host)
    image("pull", "--authfile", auth, name)


@pytest.fixture
def signer(scratch):
    """A GPG home with one key; answers (environment, fingerprint, public key file)."""
    home = scratch / "gpg"
    home.mkdir(mode=0o700)
    env = {"GNUPGHOME": str(home)}
    run("gpg", "--batch", "--passphrase", "", "--quick-generate-key", "test@example.com", "rsa2048", "sign", "never",
        env=env)
    key = scratch / "key.asc"
    key.write_text(run("gpg", "--batch", "--armor", "--export", "test@example.com", env=env).out)
    yield env, key
    run("gpgconf", "--kill", "all", env=env, check=False)


# signedIdentity, the name that was signed, how it is pulled, whether containers-policy.json(5) lets it through; HOST
# is the registry's, DIGEST the manifest's.
IDENTITIES = [
    (None, "HOST/a/b:1", "HOST/a/b:1", True),
    (None, "HOST/a/b:2", "HOST/a/b:1", False),
    (None, "HOST/a/b", "HOST/a/b:1", False),
    (None, "HOST/a/b:2", "HOST/a/b@DIGEST", True),
    (None, "HOST/a/c:1", "HOST/a/b@DIGEST", False),
    ({"type": "matchExact"}, "HOST/a/b:1", "HOST/a/b:1", True),
    ({"type": "matchExact"}, "HOST/a/b:2", "HOST/a/b:1", False),
    ({"type": "matchExact"}, "HOST/a/b:1", "HOST/a/b@DIGEST", False),
    ({"type": "matchExact"}, "HOST/a/b@DIGEST", "HOST/a/b@DIGEST", True),
    ({"type": "matchRepoDigestOrExact"}, "HOST/a/b:1", "HOST/a/b@DIGEST", True),
    ({"type": "matchRepoDigestOrExact"}, "HOST/a/b:2", "HOST/a/b:1", False),
    ({"type": "matchRepository"}, "HOST/a/b:other", "HOST/a/b:1", True),
    ({"type": "matchRepository"}, "HOST/a/b", "HOST/a/b:1", True),
    ({"type": "matchRepository"}, "HOST/a:1", "HOST/a/b:1", False),
    ({"type": "exactReference", "dockerReference": "company.example/x:1"}, "company.example/x:1", "HOST/a/b:1", True),
    ({"type": "exactReference", "dockerReference": "company.example/x:1"}, "HOST/a/b:1", "HOST/a/b:1", False),
    ({"type": "exactReference", "dockerReference": "busybox:1"}, "docker.io/library/busybox:1", "HOST/a/b:1", True),
    ({"type": "exactReference", "dockerReference": "company.example/x"}, "company.example/x", "HOST/a/b:1", False),
    ({"type": "exactRepository", "dockerRepository": "company.example/x"}, "company.example/x:9", "HOST/a/b:1", True),
    ({"type": "exactRepository", "dockerRepository": "company.example/x"}, "company.example/y:9", "HOST/a/b:1", False),
    ({"type": "remapIdentity", "prefix": "HOST", "signedPrefix": "company.example/m"}, "company.example/m/a/b:1",
     "HOST/a/b:1", True),
    ({"type": "remapIdentity", "prefix": "HOST/a", "signedPrefix": "company.example"}, "company.example/b:1",
     "HOST/a/b:1", True),
    ({"type": "remapIdentity", "prefix": "HOST/a/b", "signedPrefix": "company.example/z"}, "company.example/z:1",
     "HOST/a/b:1", True),
    ({"type": "remapIdentity", "prefix": "HOST/a", "signedPrefix": "company.example"}, "company.example/b:2",
     "HOST/a/b@DIGEST", True),
    ({"type": "remapIdentity", "prefix": "HOST/a", "signedPrefix": "company.example"}, "HOST/a/b:1", "HOST/a/b:1", False),
    ({"type": "remapIdentity", "prefix": "127.0.0.1", "signedPrefix": "company.example"}, "company.exampleHOSTPORT/a/b:1",
     "HOST/a/b:1", False),
    ({"type": "remapIdentity", "prefix": "HOST/other", "signedPrefix": "company.example"}, "HOST/a/b:1", "HOST/a/b:1", True),
    ({"type": "remapIdentity", "prefix": "HOST/a:1", "signedPrefix": "company.example"}, "HOST/a/b:1", "HOST/a/b:1", False),
    ({"type": "matchSomething"}, "HOST/a/b:1", "HOST/a/b:1", False),
]


@pytest.mark.needs("skopeo", "umoci", "docker-registry", "gpg", "gpgv")
def test_every_signed_identity_is_judged_as_skopeo_judges_it(image, registry, layout, scratch, signer):
    env, key = signer
    server = registry()
    name = server.push(layout, "a/b:1")
    manifest = scratch / "manifest.json"
    manifest.write_bytes(run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}", text=False).out)
    digest = "sha256:" + hashlib.sha256(manifest.read_bytes()).hexdigest()
    places = scratch / "registries.d"
    places.mkdir()
    (places / "test.yaml").write_text(f"default-docker:\n  lookaside: file://{scratch}/lookaside\n")
    folder = scratch / "lookaside" / f"a/b@{digest.replace(':', '=')}"
    folder.mkdir(parents=True)
    policy = scratch / "policy.json"
    assert name == f"{server.host}/a/b:1"

    def fill(text):
        return text.replace("HOSTPORT", ":" + server.host.split(":")[1]).replace("HOST", server.host).replace("DIGEST", digest)

    wrong = []
    for number, (identity, signed, pulled, allowed) in enumerate(IDENTITIES):
        run("skopeo", "standalone-sign", "-o", folder / "signature-1", manifest, fill(signed), "test@example.com", env=env)
        demand = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(key)}
        if identity:
            demand["signedIdentity"] = {name: fill(value) for name, value in identity.items()}
        policy.write_text(json.dumps({"default": [{"type": "reject"}],
                                      "transports": {"docker": {server.host: [demand]}}}))
        theirs = run("skopeo", "--policy", policy, "--registries.d", places, "copy", "-q", "--src-tls-verify=false",
                     f"docker://{fill(pulled)}", f"dir:{scratch}/by-skopeo{number}", env=env, check=False)
        ours = image("copy", "--policy", policy, "--registries.d", places, f"docker://{fill(pulled)}",
                     f"dir:{scratch}/by-hull{number}", check=False)
        if (theirs.code == 0, ours.code == 0) != (allowed, allowed):
            wrong.append((identity, signed, pulled, allowed, theirs.err, ours.err))
        assert ours.code == 0 or "policy.json" in ours.err, ours
        assert ours.code == 0 or not (scratch / f"by-hull{number}/manifest.json").exists()
    assert not wrong, wrong


@pytest.mark.needs("skopeo", "umoci", "docker-registry", "gpg", "gpgv")
def test_the_policy_demands_skopeos_signature(image, registry, layout, scratch, signer):
    env, key = signer
    server = registry()
    places = scratch / "registries.d"
    places.mkdir()
    signatures = scratch / "signatures"
    (places / "local.yaml").write_text(f"docker:\n  {server.host}:\n    lookaside: file://{signatures}\n"
                                       f"    lookaside-staging: file://{signatures}\n")
    run("skopeo", "--insecure-policy", "--registries.d", places, "copy", "-q", "--dest-tls-verify=false",
        "--sign-by", "test@example.com", layout, f"docker://{server.host}/signed:1", env=env)
    server.push(layout, "unsigned:1")
    policy = scratch / "policy.json"

    def demand(requirement, scope=""):
        policy.write_text(json.dumps({"default": [{"type": "reject"}], "transports": {"docker": {scope: [requirement]}}}))
        return ["--policy", policy, "--registries.d", places]

    signed_by = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(key)}
    options = demand(signed_by)
    image("pull", *options, f"{server.host}/signed:1")
    error = image.fails("pull", *options, f"{server.host}/unsigned:1")
    assert "unsigned" in error and "policy.json" in error
    other = scratch / "other.asc"
    run("gpg", "--batch", "--passphrase", "", "--quick-generate-key", "other@example.com", "rsa2048", "sign", "never", env=env)
    other.write_text(run("gpg", "--batch", "--armor", "--export", "other@example.com", env=env).out)
    error = image.fails("pull", *demand({**signed_by, "keyPath": str(other)}), f"{server.host}/signed:1")
    assert "another key" in error
    for scope, allowed in ((server.host, True), (f"{server.host}/signed", True), ("elsewhere.example", False)):
        options = demand({"type": "insecureAcceptAnything"}, scope)
        assert image("pull", *options, f"{server.host}/signed:1", check=False).code == (0 if allowed else 125)
    assert "refused by policy.json" in image.fails("copy", "--policy", policy, layout, f"dir:{scratch}/refused")
    policy.write_text('{"default": [{"type": "insecureAcceptAnythin"}]}')
    assert "default[0]" in image.fails("pull", "--policy", policy, f"{server.host}/signed:1")
