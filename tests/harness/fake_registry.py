"""A registry inside the test's own process that can be told to misbehave.

    server = FakeRegistry()
    name = server.add_image("evil", [make_layer({"a": b"x"})])
    server.rules.append(lambda request: ... or None)   # first one that answers wins
    server.requests                                    # every request: (method, path, headers)

A rule gets a Request and answers a Reply, or None to let the next rule (in the end the honest registry)
answer.
"""

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest_of(content, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def make_layer(files):
    """A tar of `files`, {name: bytes}; a folder, "name/", has its mode for a value."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            if name.endswith("/"):
                entry.type, entry.mode, content = tarfile.DIRTYPE, content, b""
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


@dataclass
class Request:
    method: str
    path: str
    query: dict
    headers: dict
    body: bytes = b""


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict = field(default_factory=dict)
    cut_after: int = None    # close the connection after so many bytes of the body
    endless: bytes = None    # send this again and again until the other side goes away
    length: int = None       # the Content-Length to claim
    rate: int = None         # bytes a second
    fast_until: int = 0      # as many bytes come at once before


class FakeRegistry:
    def __init__(self, referrers=False):
        self.manifests = {}  # (repository, tag or digest) -> (media type, bytes)
        self.blobs = {}      # digest -> bytes
        self.uploads = {}
        self.rules = []
        self.requests = []
        self.has_referrers = referrers
        self.mounted = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                fake._answer(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a client that hangs up is what some tests want

        self._server = Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    # What it holds.

    def add_blob(self, content, algorithm="sha256"):
        digest = digest_of(content, algorithm)
        self.blobs[digest] = content
        return digest

    def add_manifest(self, repository, tag, document, media_type=OCI_MANIFEST):
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = digest_of(content)
        for reference in (tag, digest):
            self.manifests[repository, reference] = (media_type, content)
        return digest

    def describe(self, content, media_type, algorithm="sha256"):
        return {"mediaType": media_type, "digest": self.add_blob(content, algorithm), "size": len(content)}

    def add_packed_image(self, repository, layers, tag="latest"):
        """`layers` are (media type, bytes of the blob, diff id)."""
        config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]},
                  "rootfs": {"type": "layers", "diff_ids": [diff_id for _, _, diff_id in layers]}}
        self.add_manifest(repository, tag, {
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": self.describe(json.dumps(config).encode(), OCI_CONFIG),
            "layers": [self.describe(blob, media_type) for media_type, blob, _ in layers]})
        return f"{self.host}/{repository}:{tag}"

    def image_manifest(self, layers, architecture="amd64", algorithm="sha256", compress=True):
        """A manifest and its blobs; `layers` are uncompressed archives."""
        config = {"architecture": architecture, "os": "linux", "config": {"Cmd": ["true"]},
                  "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]}}
        packed = [gzip.compress(layer, mtime=0) if compress else layer for layer in layers]
        layer_type = OCI_LAYER if compress else OCI_LAYER.removesuffix("+gzip")
        return {"schemaVersion": 2, "mediaType": OCI_MANIFEST,
                "config": self.describe(json.dumps(config).encode(), OCI_CONFIG, algorithm),
                "layers": [self.describe(one, layer_type, algorithm) for one in packed]}

    def add_image(self, repository, layers, tag="latest", **how):
        self.add_manifest(repository, tag, self.image_manifest(layers, **how))
        return f"{self.host}/{repository}:{tag}"

    def require_token(self, user=None, password=None, expected_scope=None, identity_token=None):
        """Every request needs a bearer token from /token, which asks for a password if `user` is given."""
        token = base64.b64encode(b"token of " + self.host.encode()).decode()

        def rule(request):
            if request.path == "/token":
                if identity_token:
                    form = parse_qs(request.body.decode())
                    good = form.get("refresh_token") == [identity_token] and form["grant_type"] == ["refresh_token"]
                    return Reply(200, json.dumps({"access_token": token}).encode()) if good else Reply(401)
                wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else None
                if user and request.headers.get("authorization") != wanted:
                    return Reply(401, b'{"details":"incorrect username or password"}')
                if expected_scope and expected_scope not in request.query.get("scope", []):
                    return Reply(200, json.dumps({"token": "without-rights"}).encode())
                return Reply(200, json.dumps({"token": token, "expires_in": 300}).encode())
            if request.headers.get("authorization") != f"Bearer {token}":
                challenge = f'Bearer realm="http://{self.host}/token",service="fake"'
                if expected_scope:
                    challenge += f',scope="{expected_scope}"'
                return Reply(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}',
                             {"WWW-Authenticate": challenge})
            return None

        self.rules.append(rule)

    def paths(self, method=None):
        return [path for verb, path, _ in self.requests if method in (None, verb)]

    # How it answers.

    def _answer(self, handler):
        parts = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        request = Request(handler.command, parts.path, parse_qs(parts.query),
                          {name.lower(): value for name, value in handler.headers.items()}, handler.rfile.read(length))
        self.requests.append((request.method, handler.path, request.headers))
        for rule in [*self.rules, self._honest]:
            reply = rule(request)
            if reply is not None:
                break
        self._send(handler, request, reply)

    def _send(self, handler, request, reply):
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if reply.endless is not None:
            handler.send_header("Connection", "close")
        else:
            length = len(reply.body) if reply.length is None else reply.length
            if "Content-Length" not in reply.headers:
                handler.send_header("Content-Length", str(length))
        handler.end_headers()
        if request.method == "HEAD":
            return
        if reply.endless is not None:
            handler.close_connection = True
            while True:
                handler.wfile.write(reply.endless)
        elif reply.rate is not None:
            step = max(reply.rate // 20, 1)
            handler.wfile.write(reply.body[:reply.fast_until])
            for start in range(reply.fast_until, len(reply.body), step):
                handler.wfile.write(reply.body[start:start + step])
                handler.wfile.flush()
                time.sleep(0.05)
        elif reply.cut_after is not None:
            handler.wfile.write(reply.body[:reply.cut_after])
            handler.wfile.flush()
            handler.close_connection = True
        else:
            handler.wfile.write(reply.body)

    def _honest(self, request):
        path = request.path
        if path == "/v2/":
            return Reply(200, b"{}", {"Content-Type": "application/json"})
        for kind in ("manifests", "blobs", "referrers", "tags"):
            repository, found, rest = path.removeprefix("/v2/").partition(f"/{kind}/")
            if found:
                return getattr(self, "_" + kind)(request, repository, rest)
        return Reply(404)

    def _manifests(self, request, repository, reference):
        if request.method == "PUT":
            digest = self.add_manifest(repository, reference, request.body, request.headers["content-type"])
            headers = {"Docker-Content-Digest": digest}
            subject = json.loads(request.body).get("subject")
            if subject and self.has_referrers:
                headers["OCI-Subject"] = subject["digest"]
            return Reply(201, b"", headers)
        if (repository, reference) not in self.manifests:
            return Reply(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
        media_type, content = self.manifests[repository, reference]
        return Reply(200, content, {"Content-Type": media_type, "Docker-Content-Digest": digest_of(content)})

    def _blobs(self, request, repository, rest):
        if rest.startswith("uploads/"):
            return self._upload(request, repository, rest.removeprefix("uploads/"))
        if rest not in self.blobs:
            return Reply(404)
        content = self.blobs[rest]
        wanted = request.headers.get("range")
        if wanted:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            return Reply(206, content[start:],
                         {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"})
        return Reply(200, content)

    def _upload(self, request, repository, upload):
        if request.method == "POST":
            source = request.query.get("mount", [None])[0]
            if source in self.blobs and request.query.get("from"):
                self.mounted.append((source, request.query["from"][0]))
                return Reply(201, b"", {"Location": f"/v2/{repository}/blobs/{source}"})
            name = str(len(self.uploads))
            self.uploads[name] = b""
            return Reply(202, b"", {"Location": f"/v2/{repository}/blobs/uploads/{name}?state=x"})
        if upload not in self.uploads:
            return Reply(404)
        place = {"Location": f"/v2/{repository}/blobs/uploads/{upload}?state=y"}
        if request.method == "GET":
            return Reply(204, b"", {**place, "Range": f"0-{max(len(self.uploads[upload]) - 1, 0)}"})
        given = request.headers.get("content-range")
        if given and int(given.split("-")[0]) != len(self.uploads[upload]):
            return Reply(416, b"", place)
        self.uploads[upload] += request.body
        if request.method == "PATCH":
            return Reply(202, b"", {**place, "Range": f"0-{len(self.uploads[upload]) - 1}"})
        content = self.uploads.pop(upload)
        wanted = request.query["digest"][0]
        if digest_of(content, wanted.split(":")[0]) != wanted:
            return Reply(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"digest invalid"}]}')
        self.blobs[wanted] = content
        return Reply(201, b"", {"Location": f"/v2/{repository}/blobs/{wanted}"})

    def _referrers(self, request, repository, subject):
        if not self.has_referrers:
            return Reply(404)
        found = []
        for (name, reference), (media_type, content) in self.manifests.items():
            document = json.loads(content)
            if name == repository and reference.startswith("sha256:") and \
                    document.get("subject", {}).get("digest") == subject:
                kind = document.get("artifactType") or document.get("config", {}).get("mediaType")
                found.append({"mediaType": media_type, "digest": reference, "size": len(content),
                              "artifactType": kind, "annotations": document.get("annotations", {})})
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
        return Reply(200, json.dumps(index).encode(), {"Content-Type": OCI_INDEX})

    def _tags(self, request, repository, rest):
        tags = sorted(tag for name, tag in self.manifests if name == repository and ":" not in tag)
        if not tags:
            return Reply(404)
        count = int(request.query.get("n", ["2"])[0])
        last = request.query.get("last", [""])[0]
        page = [tag for tag in tags if tag > last][:count]
        headers = {}
        if page and page[-1] != tags[-1]:
            headers["Link"] = f'</v2/{repository}/tags/list?n={count}&last={page[-1]}>; rel="next"'
        return Reply(200, json.dumps({"name": repository, "tags": page}).encode(), headers)
