"""hull-image tag, untag, prune, df and fsck, and pulls that are killed."""

import json
import os
import random
import signal
import time

import pytest

from harness.fake_registry import make_layer
from harness.programs import run

ONE = [make_layer({"etc/one": b"one\n", "noise": os.urandom(300_000)})]
TWO = [make_layer({"etc/two": b"two\n", "noise": os.urandom(300_000)})]


def usage(path):
    """Bytes on disk, as du counts them."""
    return int(run("du", "-s", "-B1", path).out.split()[0])


def test_names_are_given_and_taken(image, fake_registry):
    name = fake_registry.add_image("one", ONE)
    image("pull", name)
    image("tag", name, "mine:1", "other.example/x:2")
    assert "docker.io/library/mine:1" in image.references() and "other.example/x:2" in image.references()
    assert image("untag", name).out == f"Untagged: {name}\n"
    assert name not in image.references()
    assert "no image has the name" in image.fails("untag", name)
    assert "cannot have a digest" in image.fails("tag", "mine:1", "x@sha256:" + "0" * 64)
    assert "no such image" in image.fails("tag", "never:1", "x:1").lower()
    image("save", "-o", image.root.parent / "x.tar", "mine:1")


def test_prune_frees_what_has_no_name_and_keeps_the_rest(image, fake_registry):
    first, second = fake_registry.add_image("one", ONE), fake_registry.add_image("two", TWO)
    image("pull", first)
    alone = usage(image.root)
    image("pull", second)
    assert json.loads(image("df", "--format=json").out)["reclaimable"] == 0
    image("untag", second)
    assert json.loads(image("df", "--format=json").out)["reclaimable"] > 600_000
    assert "reclaimed space" in image("prune").out
    assert image.find("etc/one") and not image.find("etc/two")
    assert usage(image.root) <= alone + 64_000
    image("prune", "--all", "--force")
    assert not image.layer_trees() and not image.blobs() and not image.references().strip()


def test_a_budget_is_kept_by_dropping_what_is_unused_longest(image, fake_registry):
    first, second = fake_registry.add_image("one", ONE), fake_registry.add_image("two", TWO)
    image("pull", first)
    image("pull", second)
    done = image("prune", "--budget=1m")
    assert f"untagged: {first}" in done.out
    assert second in image.references() and first not in image.references()


def test_fsck_finds_and_mends_every_kind_of_damage(image, fake_registry):
    name = fake_registry.add_image("one", ONE)
    image("pull", name)
    assert image("fsck").out == "the store is whole\n"
    manifest = json.loads(fake_registry.manifests["one", "latest"][1])
    blob = image.root / "blobs/sha256" / manifest["layers"][0]["digest"][7:]

    def flip():
        data = bytearray(blob.read_bytes())
        data[len(data) // 2] ^= 1
        blob.write_bytes(data)

    def lose():
        blob.unlink()

    def change_tree():
        path = image.find("etc/one")[0]
        path.write_text("bad\n")

    def remove_from_tree():
        image.find("etc/one")[0].unlink()

    for damage in (flip, lose, change_tree, remove_from_tree):
        damage()
        found = image("fsck", code=125)
        assert "--repair" in found.err, damage.__name__
        mended = image("fsck", "--repair")
        assert "all is mended" in mended.out or "(mended)" in mended.out, damage.__name__
        assert image("fsck").out == "the store is whole\n", damage.__name__
        assert image.find("etc/one")[0].read_text() == "one\n"


def test_fsck_names_what_cannot_be_mended(image, busybox_tar):
    image("import", busybox_tar, "local:1")
    for blob in (image.root / "blobs/sha256").iterdir():
        if blob.stat().st_size > 100_000:
            blob.unlink()
    done = image("fsck", "--repair", "--retry=0", code=125)
    assert "lost docker.io/library/local:1" in done.out


def test_pulls_and_removals_that_are_killed_leave_a_store_that_mends_itself(image, fake_registry):
    """kill -9 at random moments; afterwards the store is whole and the next pull completes."""
    rounds = int(os.environ.get("HULL_KILL_ROUNDS", "60"))
    choice = random.Random(4)
    names = [fake_registry.add_image("one", ONE), fake_registry.add_image("two", TWO),
             fake_registry.add_image("both", [*ONE, *TWO])]
    for number in range(rounds):
        verb = choice.choice(("pull", "pull", "pull", "prune"))
        arguments = (verb, choice.choice(names)) if verb == "pull" else ("prune", "--all")
        running = image.popen(*arguments)
        # A pull takes about 60 ms here; a longer wait only means that nothing is killed.
        time.sleep(choice.uniform(0, 0.12))
        running.send_signal(signal.SIGKILL)
        running.communicate()
        if number % 10 == 9:
            checked = image("fsck", check=False)
            assert checked.code == 0, f"after {number + 1} kills: {checked}"
    for name in names:
        image("pull", name)
    assert image("fsck").out == "the store is whole\n"
    image("prune", "--all")
    image.check_nothing_staged()
    assert not image.layer_trees() and not image.blobs()
    assert usage(image.root) < 200_000


@pytest.mark.needs("userns", "newuidmap")
def test_an_ordinary_user_prunes_layers_with_the_owners_of_its_range(rootless_image, fake_registry):
    name = fake_registry.add_image("one", ONE)
    rootless_image("pull", name)
    rootless_image("tag", name, "mine:1")
    rootless_image("prune", "--all")
    assert not rootless_image.layer_trees()
