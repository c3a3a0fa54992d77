"""What images take on disk: the budget of the settings, hull system df, removal that frees all bytes at once."""

import json
import os
import time

import pytest

from harness.fake_registry import make_layer
from harness.programs import run

LAYERS = [make_layer({f"etc/{name}": name.encode(), "noise": os.urandom(1_000_000)}) for name in ("a", "b", "c")]


def allocated(path):
    return int(run("du", "-s", "-B1", path).out.split()[0])


def images_of(tool):
    return [line.split("\t")[0].split(" ")[0] for line in tool.references().splitlines() if "@sha256" not in line]


def set_budget(root, text):
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    (root / "settings.json").write_text(text)


def test_the_budget_of_the_settings_drops_what_is_unused_longest(image, fake_registry):
    names = [fake_registry.add_image(f"app{number}", [layer]) for number, layer in enumerate(LAYERS)]
    set_budget(image.root, '{"imageBudget": "5m"}')  # two images of about 2 MB each
    image("pull", names[0])
    time.sleep(1.1)  # names remember their time in seconds
    image("pull", names[1])
    time.sleep(1.1)
    done = image("pull", names[2])
    assert f"dropped {names[0]}" in done.err and "5.0 MiB" in done.err
    assert names[0] not in image.references()
    assert not image.find("etc/a") and image.find("etc/b") and image.find("etc/c")
    assert "whole" in image("fsck").out
    assert allocated(image.root) < 6 << 20


def test_an_image_larger_than_the_budget_stays_and_is_warned_of(image, fake_registry, scratch):
    set_budget(image.root, '{"imageBudget": 1000000}')
    name = fake_registry.add_image("large", [LAYERS[0]])
    done = image("pull", name)
    assert "over the budget" in done.err and str(image.root / "settings.json") in done.err
    assert image.find("etc/a")
    archive = scratch / "large.tar"
    image("save", "-o", archive, name)
    assert "over the budget" in image("load", "-i", archive).err
    assert "untagged" in image("prune").out  # prune keeps to the settings as well, and nothing uses it
    assert not image.find("etc/a")


@pytest.mark.parametrize("text, word", [('{"imageBudget": "lots"}', "imageBudget"), ('{"imageBugdet": "1g"}', "imageBugdet"),
                                        ("{", "line 1"), ("[]", "object"), ('{"imageBudget": -1}', "imageBudget")])
def test_settings_that_cannot_be_read_are_named_before_anything_is_fetched(image, fake_registry, text, word):
    set_budget(image.root, text)
    error = image.fails("pull", fake_registry.add_image("app", [LAYERS[0]]))
    assert "settings.json" in error and word in error
    assert not any("/blobs/" in path for path in fake_registry.paths())


def test_a_run_counts_as_use_for_the_budget(hull, busybox_tar, scratch):
    hull("import", busybox_tar, "first")
    hull("import", "-c", "ENV A=1", busybox_tar, "second")
    other = scratch / "third.tar"
    other.write_bytes(make_layer({"noise": os.urandom(3_000_000)}))
    time.sleep(1.1)
    hull("run", "--rm", "--network", "none", "first", "true")
    # The two share their layer: one of them can go, and it is the one that was not run.
    before = hull("images", "--format", "{{.Repository}}").out.split()
    assert sorted(before) == ["first", "second"]
    done = hull("image", "prune", "--budget", "1k")
    assert done.out.index("second") < done.out.index("first")


def test_a_container_keeps_its_image_from_the_budget(hull, busybox_tar):
    hull("import", busybox_tar, "used")
    hull("create", "--name", "keeper", "used", "echo", "still here")
    hull("image", "prune", "--all", "--budget", "1k")
    assert hull("start", "-a", "keeper").out == "still here\n"
    assert "used" in hull("images").out


def usage(hull):
    rows = [json.loads(line) for line in hull("system", "df", "--format", "json").out.splitlines()]
    return {row["Type"]: row for row in rows}


def test_system_df_counts_what_du_counts(hull, busybox_image, busybox_tar):
    rows = usage(hull)
    assert int(rows["Images"]["TotalCount"]) == 1 and int(rows["Images"]["Active"]) == 0
    there = allocated(hull.root / "layers") + allocated(hull.root / "blobs")
    assert abs(int(rows["Images"]["Bytes"]) - there) < 100_000
    assert int(rows["Images"]["ReclaimableBytes"]) > there * 0.9
    hull("run", "-d", "--name", "writer", "--network", "none", "-v", "data:/data", busybox_image, "sh", "-c",
         "head -c 5000000 /dev/zero | tr '\\0' x >/written; cp /written /data/; echo done; exec sleep 300")
    hull.wait_for_log("writer", "done")
    rows = usage(hull)
    assert rows["Images"]["Active"] == "1" and int(rows["Images"]["ReclaimableBytes"]) == 0
    assert rows["Containers"]["Active"] == "1" and int(rows["Containers"]["Bytes"]) >= 5_000_000
    assert int(rows["Containers"]["ReclaimableBytes"]) == 0
    assert rows["Local Volumes"]["Active"] == "1" and int(rows["Local Volumes"]["Bytes"]) >= 5_000_000
    hull("stop", "-t", "0", "writer")
    assert int(usage(hull)["Containers"]["ReclaimableBytes"]) >= 5_000_000
    hull("rm", "writer")
    rows = usage(hull)
    assert rows["Containers"]["TotalCount"] == "0"
    assert int(rows["Local Volumes"]["ReclaimableBytes"]) >= 5_000_000
    text = hull("df").out
    assert text.splitlines()[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert "(100%)" in text


@pytest.mark.needs("userns", "newuidmap")
def test_system_df_of_an_ordinary_user(rootless_hull, busybox_tar):
    tar = rootless_hull.root.parent / "busybox.tar"
    tar.write_bytes(busybox_tar.read_bytes())
    tar.chmod(0o644)
    rootless_hull("import", tar, "mine")
    rows = usage(rootless_hull)
    assert int(rows["Images"]["Bytes"]) > 1_000_000 and rows["Images"]["TotalCount"] == "1"


def of_images(root):
    """All of the store but hull.db, which grows by pages of its own."""
    return sum(allocated(path) for path in root.iterdir() if path.is_dir())


@pytest.mark.parametrize("kind", ["root", "ordinary user"])
def test_a_removed_image_frees_its_bytes_at_once(request, kind, scratch, fake_registry):
    hull = request.getfixturevalue("hull" if kind == "root" else "rootless_hull")
    base = make_layer({"base": os.urandom(500_000)})
    first = fake_registry.add_image("one", [base, LAYERS[0]])
    second = fake_registry.add_image("two", [base, LAYERS[1]])
    hull("pull", first)
    alone = of_images(hull.root)
    hull("pull", second)
    assert of_images(hull.root) > alone + 1_900_000
    out = hull("rmi", second).out
    assert "Untagged" in out and "Deleted" in out
    assert abs(of_images(hull.root) - alone) <= 16384
    hull("rmi", first)
    for folder in ("blobs/sha256", "layers/sha256", "layers/chains", "partial", "staging", "trash", "leases", "used"):
        assert not list((hull.root / folder).iterdir()), folder
    assert of_images(hull.root) < 100_000
