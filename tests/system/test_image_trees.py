"""hull-image diff, unpack and repack."""

import json
import os

import pytest

from harness.fake_registry import make_layer
from harness.programs import run


@pytest.fixture
def images(image, fake_registry):
    base = make_layer({"etc/keep": b"same\n", "etc/change": b"old\n", "etc/go": b"gone\n", "dir/inner": b"x"})
    top = make_layer({"etc/change": b"newer\n", "etc/come": b"here\n", "etc/.wh.go": b"", ".wh.dir": b""})
    return (f"docker://{fake_registry.add_image('one', [base])}",
            f"docker://{fake_registry.add_image('two', [base, top])}")


def test_diff_lists_files_and_settings(image, images, scratch):
    found = json.loads(image("diff", "--format=json", *images).out)
    assert [entry["path"] for entry in found["added"]] == ["/etc/come"]
    assert {entry["path"] for entry in found["removed"]} == {"/etc/go", "/dir", "/dir/inner"}
    changed = {entry["path"]: entry for entry in found["changed"]}
    assert changed["/etc/change"]["sizeBefore"] == 4 and changed["/etc/change"]["sizeAfter"] == 6
    assert "content" in changed["/etc/change"]["fields"] and "/etc/keep" not in changed
    assert found["configuration"] == {}
    text = image("diff", *images).out
    assert "A /etc/come" in text and "D /etc/go" in text and "C /etc/change" in text
    assert image("diff", images[0], images[0]).out == "no difference\n"
    image.check_nothing_staged()


def test_an_image_is_compared_with_a_folder(image, images, scratch):
    image("unpack", images[1], scratch / "bundle")
    assert image("diff", images[1], scratch / "bundle/rootfs").out == "no difference\n"
    (scratch / "bundle/rootfs/etc/keep").write_text("other")
    assert "C /etc/keep" in image("diff", images[1], scratch / "bundle/rootfs").out


def test_a_bundle_is_unpacked_changed_and_repacked(image, images, scratch):
    bundle = scratch / "bundle"
    image("unpack", images[1], bundle)
    root = bundle / "rootfs"
    assert sorted(os.listdir(root / "etc")) == ["change", "come", "keep"] and not (root / "dir").exists()
    config = json.loads((bundle / "config.json").read_text())
    assert config["process"]["args"] == ["true"] and config["root"]["path"] == "rootfs"
    (root / "etc/come").unlink()
    (root / "new").mkdir()
    (root / "new/file").write_text("fresh\n")
    digest = image("repack", "-m", "by test", bundle, "mine:2").out.strip()
    assert digest in image.references()
    found = json.loads(image("diff", "--format=json", images[1], "store:mine:2").out)
    assert [entry["path"] for entry in found["removed"]] == ["/etc/come"]
    assert {entry["path"] for entry in found["added"]} == {"/new", "/new/file"}
    history = json.loads(image("history", "--format=json", "mine:2").out)
    assert history[-1]["comment"] == "by test"
    manifest = json.loads(image("inspect", "--raw", "mine:2").out)
    assert len(manifest["layers"]) == 3
    assert "is not empty" in image.fails("unpack", images[0], bundle)
    assert "hull-image.json" in image.fails("repack", scratch, "x:1")


@pytest.mark.needs("umoci", "runc")
def test_a_bundle_runs_and_umoci_unpacks_the_repacked_image(image, scratch, busybox_tar):
    image("import", "-c", 'CMD ["/bin/sh","-c","cat /added"]', busybox_tar, "base:1")
    bundle = scratch / "bundle"
    image("unpack", "base:1", bundle)
    (bundle / "rootfs/added").write_text("from the bundle\n")
    image("repack", bundle, "base:2")
    image("copy", "store:base:2", f"oci:{scratch}/out:x")
    run("umoci", "unpack", "--image", f"{scratch}/out:x", scratch / "umoci")
    assert (scratch / "umoci/rootfs/added").read_text() == "from the bundle\n"


def test_a_layer_that_lies_is_not_unpacked(image, fake_registry, scratch):
    name = fake_registry.add_image("lies", [make_layer({"a": b"x"})])
    manifest = json.loads(fake_registry.manifests["lies", "latest"][1])
    fake_registry.blobs[manifest["layers"][0]["digest"]] = os.urandom(manifest["layers"][0]["size"])
    image.fails("unpack", f"docker://{name}", scratch / "bundle")
    assert not (scratch / "bundle/rootfs").exists() and not (scratch / "bundle/config.json").exists()
