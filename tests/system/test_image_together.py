"""Several commands on one store at the same time, and images that ask for care."""

import gzip
import json
import os

import pytest

from harness.fake_registry import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, make_layer
from harness.programs import run

NOISE = [make_layer({f"noise{number}": os.urandom(1_500_000)}) for number in range(3)]


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, (out, err)
    return out, err


def test_two_pulls_of_one_image_fetch_each_blob_once(image, fake_registry):
    name = fake_registry.add_image("app", NOISE)
    running = [image.popen("pull", name) for _ in range(4)]
    for one in running:
        finish(one)
    # The configuration is read by each, to know the diff ids.
    layers = {one["digest"] for one in json.loads(fake_registry.manifests["app", "latest"][1])["layers"]}
    blobs = [path for path in fake_registry.paths("GET") if path.rsplit("/", 1)[1] in layers]
    assert len(blobs) == len(set(blobs)) == 3, blobs
    assert len(list(image.root.glob("layers/sha256/*"))) == 3
    assert image("fsck").out == "the store is whole\n"
    image.check_nothing_staged()


def test_a_prune_beside_loads_and_pulls_takes_nothing_from_them(image, fake_registry, scratch):
    names = [fake_registry.add_image(f"app{number}", [layer]) for number, layer in enumerate(NOISE)]
    archive = scratch / "image.tar"
    image("pull", names[0])
    image("save", "-o", archive, names[0])
    image("untag", names[0])
    for _ in range(6):
        running = [image.popen("load", "-i", archive), image.popen("pull", names[1]), image.popen("prune"),
                   image.popen("pull", names[2]), image.popen("prune")]
        for one in running:
            finish(one)
        assert image("fsck").out == "the store is whole\n"
        assert all(image.find(f"noise{number}") for number in range(3))
        image("prune", "--all")
        assert not image.layer_trees() and not image.blobs()


def test_an_image_of_a_running_container_is_not_removed(hull, busybox_image):
    hull("run", "-d", "--name", "busy", "--network", "none", busybox_image, "sleep", "300")
    done = hull("rmi", busybox_image, check=False)
    assert done.code != 0 and "busy" in done.err and len(done.err.splitlines()) == 1
    hull("rmi", "-f", busybox_image)  # the name goes, the bytes stay
    hull("image", "prune", "--all")
    assert hull("exec", "busy", "ls", "/bin/busybox").out == "/bin/busybox\n"
    hull("stop", "-t", "0", "busy")
    hull("start", "busy")
    hull("rm", "-f", "busy")
    hull("image", "prune", "--all")
    assert not list((hull.root / "layers/sha256").iterdir())


def test_runs_beside_removals(hull, busybox_tar):
    """Whoever wins: a run works or says that there is no such image; nothing is left broken."""
    for _ in range(5):
        hull("import", busybox_tar, "racy")
        run_one = hull.popen("run", "--rm", "--pull", "never", "--network", "none", "racy", "echo", "ran")
        remove = hull.popen("rmi", "-f", "racy")
        out, err = run_one.communicate(timeout=60)
        remove.communicate(timeout=60)
        lost = run_one.returncode == 125 and ("no such image" in err or "is not unpacked here" in err)
        assert (run_one.returncode, out) == (0, "ran\n") or lost, err
        assert hull("ps", "-aq").out == ""
        assert hull("image", "fsck").out == "the store is whole\n"
    hull("image", "prune", "--all")


def test_a_new_image_under_an_old_name_and_what_becomes_of_the_old(image, fake_registry):
    name = fake_registry.add_image("app", [NOISE[0]])
    image("pull", name)
    fake_registry.add_image("app", [NOISE[1]])
    image("pull", name)
    image("prune")
    assert not image.find("noise0") and image.find("noise1")
    assert len(image.blobs()) == 3


# --- images that ask for care ---------------------------------------------------------------------


def test_gzip_of_many_members_is_read_whole(image, fake_registry):
    """eStargz packs every file as a gzip member of its own, and a footer of nothing at the end."""
    layer = make_layer({f"file{number}": os.urandom(3000) for number in range(40)})
    pieces = [layer[at:at + 4096] for at in range(0, len(layer), 4096)]
    packed = b"".join(gzip.compress(piece, mtime=0) for piece in pieces) + gzip.compress(b"", mtime=0)
    manifest = fake_registry.image_manifest([layer])
    manifest["layers"] = [fake_registry.describe(packed, OCI_LAYER)]
    fake_registry.add_manifest("stargz", "latest", manifest)
    image("pull", f"{fake_registry.host}/stargz")
    assert len(image.find("file39")) == 1 and image("fsck").out == "the store is whole\n"


@pytest.mark.needs("zstd")
def test_zstd_of_many_frames_is_read_whole(image, fake_registry):
    layer = make_layer({f"file{number}": os.urandom(3000) for number in range(40)})
    half = len(layer) // 2
    packed = b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip" + b"".join(
        run("zstd", "-c", input=piece, text=False).out for piece in (layer[:half], layer[half:]))
    manifest = fake_registry.image_manifest([layer])
    manifest["layers"] = [fake_registry.describe(packed, OCI_LAYER.replace("gzip", "zstd"))]
    fake_registry.add_manifest("frames", "latest", manifest)
    image("pull", f"{fake_registry.host}/frames")
    assert image.find("file39")


def test_the_variant_of_a_platform_is_chosen(image, fake_registry):
    entries = []
    for variant in ("v6", "v7", "v5"):
        document = fake_registry.image_manifest([make_layer({"which": variant.encode()})], "arm")
        digest = fake_registry.add_manifest("arm", variant, document)
        entries.append({"mediaType": OCI_MANIFEST, "digest": digest, "size": len(json.dumps(document)),
                        "platform": {"os": "linux", "architecture": "arm", "variant": variant}})
    fake_registry.add_manifest("arm", "latest", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, OCI_INDEX)
    name = f"{fake_registry.host}/arm"

    def pulled(platform):
        image("pull", "--platform", platform, name)
        text = image.find("which")[0].read_text()
        image("untag", name)
        image("prune", "--all")
        return text

    assert pulled("linux/arm/v6") == "v6"
    assert pulled("linux/arm/v7") == "v7"
    assert pulled("linux/arm") == "v7"
    assert pulled("linux/arm/v8") == "v7"  # the best that such a machine can run
    error = image.fails("pull", "--platform", "linux/mips", name)
    assert "linux/arm/v7" in error
    assert "--platform" in image.fails("pull", "--platform", "linux", name)


def test_layers_that_repeat_and_layers_of_nothing(image, fake_registry):
    empty = make_layer({})
    name = fake_registry.add_image("same", [NOISE[0], empty, NOISE[0], empty])
    image("pull", name)
    assert len(list(image.root.glob("layers/sha256/*"))) == 2 and image("fsck").out == "the store is whole\n"
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    fake_registry.add_manifest("none", "latest", {
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
        "config": fake_registry.describe(json.dumps(config).encode(), OCI_CONFIG)})
    image("pull", f"{fake_registry.host}/none")
    image("copy", f"docker://{fake_registry.host}/same", "store:again:1")
    assert image("fsck").out == "the store is whole\n"


def test_every_verb_of_images_is_reached_through_hull(hull, busybox_image, fake_registry, scratch):
    """pull push tag untag rmi save load import export history inspect images list-tags manifest, as hull's own
    verbs and below `hull image`."""
    there = f"{fake_registry.host}/team/box:1"
    hull("push", busybox_image, there)
    hull("rmi", busybox_image)
    hull("pull", there)
    hull("tag", there, "box:2", "box:3")
    hull("untag", "box:3")
    assert sorted(hull("images", "--format", "{{.Repository}}:{{.Tag}}").out.split()) == sorted(["box:2", there])
    hull("save", "-o", scratch / "box.tar", "box:2")
    hull("rmi", "box:2")
    hull("load", "-i", scratch / "box.tar")
    assert "hull import" in hull("history", "box:2").out
    assert json.loads(hull("image", "inspect", "box:2").out)["Digest"].startswith("sha256:")
    assert json.loads(hull("inspect", "box:2").out)[0]["Id"].startswith("sha256:")
    remote = json.loads(hull("image", "inspect", f"docker://{there}").out)
    assert remote["RepoTags"] == ["1"] and remote["LayersData"][0]["Size"] > 100_000
    assert json.loads(hull("list-tags", f"docker://{fake_registry.host}/team/box").out)["Tags"] == ["1"]
    hull("manifest", "create", "list:1", "box:2")
    assert hull("manifest", "inspect", "list:1").out
    hull("image", "copy", "box:2", f"oci:{scratch}/layout:x")
    hull("image", "unpack", "box:2", scratch / "bundle")
    hull("image", "repack", scratch / "bundle", "box:4")
    assert hull("image", "diff", "box:2", "box:4").out == "no difference\n"
    hull("create", "--name", "c", "box:2", "true")
    hull("export", "-o", scratch / "c.tar", "c")
    hull("import", scratch / "c.tar", "imported")
    hull("image", "fsck")
    hull("image", "prune")
    for words in (["pull"], ["image", "frobnicate"], ["save"], ["image", "copy", "x"], ["tag", "box:2"]):
        done = hull(*words, check=False)
        assert done.code == 125 and len(done.err.strip().splitlines()) == 1, done
