"""The programs whose handling of images is measured, each with a store and, where it has one, a daemon of its own."""

import json

from harness.containerd_daemon import Containerd
from harness.docker_daemon import DockerDaemon
from harness.podman_tool import PodmanTool
from measure import BIN, BUILT
from peers import built, must, need

SAVED = "docker.io/library/bench:1"  # the name of the image in the archive that `load` reads


class ImagePeer:
    """One program with an empty store in the folder `work`, for one sample. `pull`, `push`, `save`, `load` and
    `copy` give the words of the command that is measured; `kinds` lists those that the program has, `compressions`
    what its layers may be. What `daemon` names works for it."""

    name = ""
    kinds = ("pull", "push", "save", "load")
    compressions = ("gzip", "zstd")
    env = None
    daemon = None

    def __init__(self, work):
        self.work = work
        work.mkdir(parents=True)

    def stop(self):
        """Ends what runs."""


class Hull(ImagePeer):
    name = "hull"
    kinds = ("pull", "push", "save", "load", "copy")

    def __init__(self, work):
        super().__init__(work)
        self.command = [built(BIN / "hull"), "--root", self.work / "data", "--runroot", self.work / "run"]

    def pull(self, image):
        return [*self.command, "pull", "-q", image]

    def push(self, image):
        return [*self.command, "push", "-q", image]

    def save(self, image, file):
        return [*self.command, "save", "-o", file, image]

    def load(self, file):
        return [*self.command, "load", "-q", "-i", file]

    def copy(self, source, target):
        return [*self.command, "image", "copy", "-q", source, target]


class Podman(ImagePeer):
    name = "podman"

    def __init__(self, work):
        super().__init__(work)
        need("podman")
        self.tool = PodmanTool(work / "p", "runc")
        self.env = self.tool.environment

    def pull(self, image):
        return self.tool.podman_command("pull", "-q", "--tls-verify=false", image)

    def push(self, image):
        return self.tool.podman_command("push", "-q", "--tls-verify=false", image)

    def save(self, image, file):
        return self.tool.podman_command("save", "-q", "-o", file, image)

    def load(self, file):
        return self.tool.podman_command("load", "-q", "-i", file)

    def stop(self):
        self.tool.close()


class Docker(ImagePeer):
    name = "docker"
    compressions = ("gzip",)

    def __init__(self, work):
        super().__init__(work)
        need("dockerd")
        self.server = DockerDaemon(work / "docker", "runc")
        self.daemon = self.server.pid

    def pull(self, image):
        return self.server.command("pull", "-q", image)

    def push(self, image):
        return self.server.command("push", "-q", image)

    def save(self, image, file):
        return self.server.command("save", "-o", file, image)

    def load(self, file):
        return self.server.command("load", "-q", "-i", file)

    def stop(self):
        self.server.stop()


class ContainerdPeer(ImagePeer):
    name = "containerd"

    def __init__(self, work):
        super().__init__(work)
        need("ctr")
        self.server = Containerd(work / "containerd", "runc")
        self.daemon = self.server.pid

    def ctr(self, *words):
        return ["ctr", "-a", self.server.directory / "containerd.sock", "images", *words]

    def pull(self, image):
        return self.ctr("pull", "--plain-http", image)

    def push(self, image):
        return self.ctr("push", "--plain-http", image)

    def save(self, image, file):
        return self.ctr("export", file, image)

    def load(self, file):
        return self.ctr("import", file)

    def stop(self):
        self.server.stop()


class SkopeoUmoci(ImagePeer):
    """skopeo alone where nothing is unpacked. Its store is an OCI layout; umoci knows no zstd."""

    name = "skopeo+umoci"
    kinds = ("pull", "push", "save", "load", "copy")
    compressions = ("gzip",)

    def __init__(self, work):
        super().__init__(work)
        need("skopeo")
        need("umoci")
        self.layout = f"oci:{self.work}/image:x"

    def unpacked(self, *copy):
        script = 'store=$1; shift; "$@" && umoci unpack --image "$store/image:x" "$store/bundle"'
        return ["sh", "-c", script, "sh", self.work, *copy]

    @staticmethod
    def copied(source, target):
        return ["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false",
                source, target]

    def pull(self, image):
        return self.unpacked(*self.copied(f"docker://{image}", self.layout))

    def push(self, image):
        return self.copied(self.layout, f"docker://{image}")

    def save(self, _image, file):
        return self.copied(self.layout, f"docker-archive:{file}:{SAVED}")

    def load(self, file):
        return self.unpacked(*self.copied(f"docker-archive:{file}", self.layout))

    def copy(self, source, target):
        return self.copied(source, target)


class OneThread(ImagePeer):
    """The same bytes with nothing around them: curl, then one thread that decompresses, takes both digests and
    writes the files (bench/unpack_floor.cpp). Layer after layer; no blob is kept."""

    name = "one-thread"
    kinds = ("pull",)

    def pull(self, image):
        floor = built(BUILT / "unpack_floor")
        lines = [f"mkdir {self.work}/{number}; curl -sf {url} | {floor} {self.work}/{number}"
                 for number, url in enumerate(layer_urls(image))]
        return ["bash", "-c", "set -e -o pipefail\n" + "\n".join(lines)]


class Limit(ImagePeer):
    """The same bytes by the common tools, in pipes that run side by side: curl, openssl twice, igzip or zstd,
    bsdtar."""

    name = "limit"
    kinds = ("pull",)

    def pull(self, image):
        need("igzip")
        need("bsdtar")
        unpacker = "zstd -dcq" if "/zstd:" in image else "igzip -dc"
        lines = ["set -e -o pipefail"]
        for number, url in enumerate(layer_urls(image)):
            folder = self.work / str(number)
            lines.append(f"mkdir {folder}; curl -sf {url} | tee >(openssl dgst -sha256 >&2) | {unpacker} | "
                         f"tee >(openssl dgst -sha256 >&2) | bsdtar -xpf - -C {folder}")
        return ["bash", "-c", "\n".join(lines)]


def layer_urls(image):
    host, _, rest = image.partition("/")
    repository, _, tag = rest.partition(":")
    base = f"http://{host}/v2/{repository}"
    accept = "Accept: application/vnd.oci.image.manifest.v1+json"
    manifest = json.loads(must("curl", "-sf", "-H", accept, f"{base}/manifests/{tag}"))
    return [f"{base}/blobs/{layer['digest']}" for layer in manifest["layers"]]


PEERS = {peer.name: peer for peer in (Hull, Podman, Docker, ContainerdPeer, SkopeoUmoci, OneThread, Limit)}
