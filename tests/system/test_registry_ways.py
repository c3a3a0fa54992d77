"""The ways to a registry: proxies, client certificates, credential files and helpers, short names, a registry
that is slow, silent or cheats about ranges."""

import base64
import json
import os
import time

import pytest

from harness.fake_registry import FakeRegistry, Reply, make_layer
from harness.http_servers import Proxy, SilentServer, TlsFront
from harness.image_tool import ImageTool
from harness.programs import run

LAYER = make_layer({"etc/name": b"here\n", "noise": os.urandom(400_000)})


@pytest.fixture
def second():
    started = FakeRegistry()
    yield started
    started.close()


# --- proxies --------------------------------------------------------------------------------------


@pytest.fixture
def proxy(fake_registry):
    started = Proxy(fake_registry.host)
    yield started
    started.close()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_plain_http_goes_through_the_proxy(image, fake_registry, proxy, variable):
    fake_registry.add_image("app", [LAYER])
    # https is tried first and has no proxy of its own: the name cannot be resolved. So the proxy serves both.
    env = {variable: f"http://{proxy.host}", "HTTPS_PROXY": f"http://{proxy.host}"}
    image("pull", "--tls-verify=false", "registry.invalid/app", env=env)
    assert any(line.startswith("GET http://registry.invalid/v2/app/manifests/") for line in proxy.asked), proxy.asked
    assert image.find("etc/name")


@pytest.mark.needs("openssl")
def test_https_goes_through_connect_and_the_proxy_sees_no_password(image, fake_registry, scratch):
    fake_registry.add_image("app", [LAYER])
    wanted = "Basic " + base64.b64encode(b"user:secret").decode()
    fake_registry.rules.append(lambda request: None if request.headers.get("authorization") == wanted else Reply(
        401, b"", {"WWW-Authenticate": 'Basic realm="test"'}))
    front = TlsFront(fake_registry.host, scratch, demands_certificate=False)
    proxy = Proxy(front.host)
    try:
        env = {"HTTPS_PROXY": f"http://name:word@{proxy.host}"}
        image("pull", "--tls-verify=false", "--creds=user:secret", "registry.invalid/app", env=env)
        assert all(line.startswith("CONNECT registry.invalid:443 ") for line in proxy.asked) and proxy.asked
        basic = base64.b64encode(b"name:word").decode().lower()
        assert all(f"proxy-authorization: basic {basic}" in head for head in proxy.heads)
        assert not any("\nauthorization:" in head for head in proxy.heads)
        assert all("proxy-authorization" not in headers for _, _, headers in fake_registry.requests)
    finally:
        proxy.close()
        front.close()


def test_no_proxy_and_loopback_are_not_proxied(image, fake_registry, proxy):
    name = fake_registry.add_image("app", [LAYER])
    env = {"HTTP_PROXY": f"http://{proxy.host}", "HTTPS_PROXY": f"http://{proxy.host}"}
    image("pull", name, env=env)
    assert proxy.asked == []
    error = image.fails("pull", "--tls-verify=false", "--retry=0", "registry.invalid/app",
                        env={**env, "NO_PROXY": "example.com,.invalid"})
    assert "cannot find the host" in error and proxy.asked == []


def test_a_proxy_that_is_not_there_is_named(image):
    error = image.fails("pull", "--retry=0", "registry.invalid/app", env={"HTTPS_PROXY": "http://127.0.0.1:9"})
    assert "127.0.0.1:9" in error and "proxy" in error.lower()


# --- TLS ------------------------------------------------------------------------------------------


@pytest.mark.needs("openssl")
def test_a_client_certificate_of_certs_d_is_shown(image, fake_registry, scratch):
    fake_registry.add_image("app", [LAYER])
    tls = scratch / "tls"
    tls.mkdir()
    front = TlsFront(fake_registry.host, tls)
    try:
        folder = scratch / "config/containers/certs.d" / front.host
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(front.authority.read_bytes())
        env = {"XDG_CONFIG_HOME": str(scratch / "config")}
        name = f"{front.host}/app"
        error = image.fails("pull", "--retry=0", name, env=env)
        assert front.host in error and not fake_registry.paths()
        certificate, key = front.issue("client")
        (folder / "client.cert").write_bytes(certificate.read_bytes())
        error = image.fails("pull", name, env=env)
        assert "client.key is missing" in error
        (folder / "client.key").write_bytes(key.read_bytes())
        image("pull", name, env=env)
        assert image.find("etc/name")
        image("copy", "--cert-dir", folder, f"docker://{name}", f"dir:{scratch}/out")
        (folder / "client.cert").write_text("no certificate")
        error = image.fails("pull", "--retry=0", name, env=env)
        assert "client certificate" in error and "certs.d" in error
    finally:
        front.close()


# --- credentials ----------------------------------------------------------------------------------


def auth(user, password):
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_the_usual_files_are_read_without_being_named(image, fake_registry, scratch):
    """podman's auth.json, docker's config.json; and the longest name wins."""
    name = fake_registry.add_image("team/app", [LAYER])
    fake_registry.require_token("user", "secret")
    home = scratch / "home"
    empty = {"HOME": str(home), "REGISTRY_AUTH_FILE": "", "XDG_CONFIG_HOME": "", "DOCKER_CONFIG": ""}
    image.fails("pull", name, env=empty)
    places = {"docker": home / ".docker/config.json", "podman": home / ".config/containers/auth.json",
              "DOCKER_CONFIG": scratch / "elsewhere/config.json"}
    for kind, path in places.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"auths": {fake_registry.host: auth("user", "secret")}}))
        env = {**empty, "DOCKER_CONFIG": str(path.parent)} if kind == "DOCKER_CONFIG" else empty
        image("pull", name, env=env)
        path.unlink()
    places["podman"].write_text(json.dumps({"auths": {
        fake_registry.host: auth("user", "wrong"), f"{fake_registry.host}/team": auth("user", "secret"),
        f"{fake_registry.host}/tea": auth("no", "one")}}))
    image("pull", name, env=empty)
    error = image.fails("logout", fake_registry.host, env=empty)
    assert str(places["podman"]) in error and "--authfile" in error
    places["podman"].write_text('{"auths": {"x": {"auth": "no base64!"}}}')
    error = image.fails("pull", name, env=empty)
    assert "auth.json" in error and "hull login" in error


HELPER = """#!/bin/sh
read -r line
case $1 in
store) printf '%s' "$line" >"$STATE" ;;
get) test -s "$STATE" || { echo "credentials not found in native keychain"; exit 1; }; cat "$STATE" ;;
erase) rm -f "$STATE" ;;
esac
"""


@pytest.mark.parametrize("form", ["credsStore", "credHelpers"])
def test_login_and_logout_keep_the_password_in_the_helper(image, fake_registry, scratch, form):
    name = fake_registry.add_image("app", [LAYER])
    fake_registry.require_token("user", "secret")
    tools = scratch / "tools"
    tools.mkdir()
    helper = tools / "docker-credential-test"
    # The protocol's JSON comes on one line without a line end: `read` still fills the variable.
    helper.write_text(HELPER)
    helper.chmod(0o755)
    config = scratch / "config.json"
    config.write_text(json.dumps({form: "test" if form == "credsStore" else {fake_registry.host: "test"}}))
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "STATE": str(scratch / "state")}
    image.fails("pull", "--authfile", config, name, env=env)
    image("login", "-u", "user", "--password-stdin", "--authfile", config, fake_registry.host, input="secret", env=env)
    kept = json.loads((scratch / "state").read_text())
    assert kept == {"ServerURL": fake_registry.host, "Username": "user", "Secret": "secret"}
    assert "secret" not in config.read_text() and auth("user", "secret")["auth"] not in config.read_text()
    image("pull", "--authfile", config, name, env=env)
    assert image("login", "--get-login", "--authfile", config, fake_registry.host, env=env).out == "user\n"
    image("logout", "--authfile", config, fake_registry.host, env=env)
    assert not (scratch / "state").exists()
    image.fails("pull", "--authfile", config, name, env=env)


def test_an_identity_token_of_a_helper_is_exchanged(image, fake_registry, scratch):
    name = fake_registry.add_image("app", [LAYER])
    fake_registry.require_token(identity_token="refresh-me")
    tools = scratch / "tools"
    tools.mkdir()
    helper = tools / "docker-credential-test"
    helper.write_text('#!/bin/sh\necho \'{"Username":"<token>","Secret":"refresh-me"}\'\n')
    helper.chmod(0o755)
    config = scratch / "config.json"
    config.write_text('{"credsStore": "test"}')
    image("pull", "--authfile", config, name, env={"PATH": f"{tools}:{os.environ['PATH']}"})
    assert ("POST", "/token") in [(method, path) for method, path, _ in fake_registry.requests]


def test_a_password_is_in_no_message_and_no_argument(image, fake_registry, scratch):
    name = fake_registry.add_image("app", [LAYER])
    fake_registry.require_token("user", "secret")
    done = image("pull", "--creds=user:hunter2hunter2", name, code=125)
    assert "hunter2" not in done.err
    done = image("login", "-u", "user", "-p", "hunter2hunter2", "--authfile", scratch / "a", fake_registry.host, code=125)
    assert "hunter2" not in done.err and not (scratch / "a").exists()


# --- names ----------------------------------------------------------------------------------------


def test_a_short_name_is_looked_for_in_each_search_registry(image, fake_registry, second, scratch):
    second.add_image("only/there", [LAYER])
    second.add_image("single", [LAYER])
    conf = scratch / "registries.conf"
    conf.write_text(f'unqualified-search-registries = ["127.0.0.1:9", "{fake_registry.host}", "{second.host}"]\n')
    assert image("pull", "--registries-conf", conf, "single").out == f"{second.host}/single:latest\n"
    assert image("pull", "--registries-conf", conf, "only/there:latest").out == f"{second.host}/only/there:latest\n"
    assert f"{second.host}/single:latest" in image.references()
    error = image.fails("pull", "--registries-conf", conf, "nowhere")
    assert all(host in error for host in ("127.0.0.1:9", fake_registry.host, second.host))
    assert "with its registry" in error


def test_run_follows_a_short_name_to_its_registry(hull, fake_registry, busybox_tar, scratch):
    fake_registry.add_image("tools/box", [busybox_tar.read_bytes()])
    conf = scratch / "registries.conf"
    conf.write_text(f'[aliases]\n"box" = "{fake_registry.host}/tools/box"\n')
    env = {"CONTAINERS_REGISTRIES_CONF": str(conf)}
    assert hull("run", "--rm", "--network", "none", "box", "echo", "found", env=env).out == "found\n"
    assert hull("run", "--rm", "--network", "none", "--pull", "always", "box", "echo", "again", env=env).out == "again\n"


def test_an_image_that_is_here_under_its_short_name_is_asked_for_no_more(hull, fake_registry, busybox_tar, scratch):
    fake_registry.add_image("tools/box", [busybox_tar.read_bytes()])
    name = f"{fake_registry.host}/tools/box:latest"
    conf = scratch / "registries.conf"
    conf.write_text(f'[aliases]\n"box" = "{fake_registry.host}/tools/box"\n')
    env = {"CONTAINERS_REGISTRIES_CONF": str(conf)}
    hull("pull", name)  # by its whole name: the alias is found by the first run
    fake_registry.requests.clear()
    for _ in range(2):
        assert hull("run", "--rm", "--network", "none", "box", "echo", "here", env=env).out == "here\n"
    assert hull("pull", "--missing", "box", env=env).out == f"{name}\n"
    assert not fake_registry.requests
    # Remembered by then: also without the file, and by every other command.
    assert hull("run", "--rm", "--network", "none", "box:latest", "echo", "here").out == "here\n"
    assert json.loads(hull("inspect", "--type", "image", "box").out)[0]["RepoTags"] == [name]
    hull("tag", "box", "other:1")
    assert not fake_registry.requests
    hull("rmi", "box")
    assert name not in hull("images", "--format", "{{.Repository}}:{{.Tag}}").out
    hull("run", "--rm", "--network", "none", "box", "true", env=env)
    assert fake_registry.requests


def test_a_pull_of_what_is_missing_mends_what_is_not_whole(image, fake_registry):
    name = fake_registry.add_image("app", [LAYER])
    image("pull", "--missing", name)
    asked = len(fake_registry.requests)
    image("pull", "--missing", name)
    assert len(fake_registry.requests) == asked > 0
    next(image.root.glob("layers/sha256/*")).rename(image.root / "staging/lost")
    image("pull", "--missing", name)
    assert image.find("etc/name")


def test_insecure_and_rewritten_places_of_registries_conf(image, fake_registry, proxy, scratch):
    """`insecure = true` allows plain http elsewhere than on loopback; `location` takes the prefix's place."""
    fake_registry.add_image("real/app", [LAYER])
    conf = scratch / "registries.conf"
    conf.write_text('[[registry]]\nprefix = "company.example/apps"\nlocation = "registry.invalid/real"\ninsecure = true\n')
    env = {"HTTP_PROXY": f"http://{proxy.host}", "HTTPS_PROXY": f"http://{proxy.host}"}
    image("pull", "--registries-conf", conf, "company.example/apps/app", env=env)
    assert "company.example/apps/app:latest" in image.references()
    assert any("http://registry.invalid/v2/real/app/manifests/latest" in line for line in proxy.asked)
    conf.write_text(conf.read_text().replace("insecure = true", "insecure = false"))
    proxy.asked.clear()
    image.fails("pull", "--retry=0", "--registries-conf", conf, "company.example/apps/app", env=env)
    assert not any(line.startswith("GET http://") for line in proxy.asked)


def test_a_mirror_that_lies_does_not_get_its_way(image, fake_registry, second, scratch):
    """What a mirror gives for a digest is checked; for a missing image the next place is asked."""
    digest = fake_registry.add_image("app", [LAYER]) and fake_registry.manifests["app", "latest"]
    real = next(key[1] for key, value in fake_registry.manifests.items() if value == digest and ":" in key[1])
    second.add_image("app", [make_layer({"etc/evil": b"x"})])
    second.manifests["app", real] = second.manifests["app", "latest"]
    conf = scratch / "registries.conf"
    conf.write_text(f'[[registry]]\nprefix = "{fake_registry.host}"\n[[registry.mirror]]\nlocation = "{second.host}"\n')
    image("pull", "--registries-conf", conf, f"{fake_registry.host}/app@{real}")
    assert image.find("etc/name") and not image.find("etc/evil")


# --- slow, silent, cheating -----------------------------------------------------------------------


def test_a_registry_that_never_answers_is_given_up(image):
    silent = SilentServer()
    try:
        started = time.monotonic()
        error = image.fails("pull", "--timeout=2s", "--retry=1", "--retry-delay=10ms", f"{silent.host}/app")
        assert silent.host in error and "network" in error
        assert time.monotonic() - started < 30
    finally:
        silent.close()


def test_a_blob_that_stops_half_way_is_given_up_and_kept_for_the_next_time(image, fake_registry):
    name = fake_registry.add_image("app", [make_layer({"noise": os.urandom(2_000_000)})])
    manifest = json.loads(fake_registry.manifests["app", "latest"][1])
    layer = manifest["layers"][0]["digest"]

    def stall(request):
        if not request.path.endswith(layer):
            return None
        start = int(request.headers.get("range", "bytes=0-")[6:].split("-")[0])
        body = fake_registry.blobs[layer][start:start + 600_000]
        headers = {"Content-Range": f"bytes {start}-{len(fake_registry.blobs[layer]) - 1}/{len(fake_registry.blobs[layer])}"}
        return Reply(206 if start else 200, body, headers if start else {}, length=len(fake_registry.blobs[layer]) - start)

    fake_registry.rules.append(stall)
    error = image.fails("pull", "--timeout=2s", "--retry=0", name)
    assert "layer" in error and fake_registry.host in error
    partial = [path.stat().st_size for path in (image.root / "partial").glob("sha*")]
    assert partial and partial[0] >= 500_000
    fake_registry.rules.clear()
    fake_registry.requests.clear()
    image("pull", name)
    assert any(int(headers["range"][6:-1]) == partial[0] for _, path, headers in fake_registry.requests
               if path.endswith(layer) and "range" in headers)


def trickling(fake_registry, name):
    """From now on the image's layer comes at 20 bytes a second after its first 300,000."""
    layer = json.loads(fake_registry.manifests[name, "latest"][1])["layers"][0]["digest"]
    whole = fake_registry.blobs[layer]

    def rule(request):
        if not request.path.endswith(layer):
            return None
        start = int(request.headers.get("range", "bytes=0-")[6:].split("-")[0])
        headers = {"Content-Range": f"bytes {start}-{len(whole) - 1}/{len(whole)}"} if start else {}
        return Reply(206 if start else 200, whole[start:], headers, rate=20, fast_until=max(300_000 - start, 0))

    fake_registry.rules.append(rule)
    return layer


def test_a_registry_that_trickles_is_given_up_and_what_came_is_kept(image, fake_registry):
    name = fake_registry.add_image("app", [make_layer({"noise": os.urandom(2_000_000)})])
    layer = trickling(fake_registry, "app")
    started = time.monotonic()
    error = image.fails("pull", "--timeout=2s", "--retry=2", "--retry-delay=1ms", name)
    assert time.monotonic() - started < 60
    assert "less than 1000 bytes a second for 2 seconds" in error and "--min-rate" in error and "try again" in error
    assert len([path for path in fake_registry.paths("GET") if path.endswith(layer)]) == 3
    partial = [path.stat().st_size for path in (image.root / "partial").glob("sha*")]
    assert partial and partial[0] >= 250_000
    fake_registry.rules.clear()
    fake_registry.requests.clear()
    image("pull", name)
    assert any(int(headers["range"][6:-1]) == partial[0] for _, path, headers in fake_registry.requests
               if path.endswith(layer) and "range" in headers)


def test_the_least_rate_can_be_set(image, fake_registry):
    content = make_layer({"noise": os.urandom(3_000)})
    name = fake_registry.add_image("app", [content], compress=False)
    digest = json.loads(fake_registry.manifests["app", "latest"][1])["layers"][0]["digest"]
    fake_registry.rules.append(lambda request: Reply(200, content, rate=3000) if request.path.endswith(digest) else None)
    error = image.fails("pull", "--timeout=1s", "--retry=0", "--min-rate=100k", name)
    assert "less than 100000 bytes a second" in error or "less than 102400 bytes a second" in error
    image("pull", "--timeout=1s", "--min-rate=1", name)
    assert "--min-rate" in image.fails("pull", "--min-rate=0", name)


@pytest.mark.parametrize("lie", ["whole body with 206", "range of another place", "200 with the whole body",
                                 "more bytes than asked for", "416"])
def test_a_resumed_download_is_not_fooled(image, fake_registry, lie):
    name = fake_registry.add_image("app", [make_layer({"noise": os.urandom(1_000_000)})])
    manifest = json.loads(fake_registry.manifests["app", "latest"][1])
    layer = manifest["layers"][0]["digest"]
    whole = fake_registry.blobs[layer]
    asked = []

    def rule(request):
        if not request.path.endswith(layer):
            return None
        asked.append(request.headers.get("range"))
        if len(asked) == 1:
            return Reply(200, whole, cut_after=300_000)
        if len(asked) == 2 and asked[1]:
            start = int(asked[1][6:-1])
            total = len(whole)
            if lie == "whole body with 206":
                return Reply(206, whole, {"Content-Range": f"bytes {start}-{total - 1}/{total}"})
            if lie == "range of another place":
                return Reply(206, whole[start + 1:], {"Content-Range": f"bytes {start + 1}-{total - 1}/{total}"})
            if lie == "200 with the whole body":
                return Reply(200, whole)
            if lie == "more bytes than asked for":
                return Reply(206, whole[start:] + b"x" * 1000, {"Content-Range": f"bytes {start}-{total - 1}/{total}"})
            return Reply(416)
        return None

    fake_registry.rules.append(rule)
    done = image("pull", "--retry-delay=1ms", name, check=False)
    assert image("fsck").out == "the store is whole\n"
    if done.code == 0:
        assert image.find("noise")[0].stat().st_size == 1_000_000
    else:
        assert name not in image.references() and len(done.err.strip().splitlines()) < 8
        fake_registry.rules.clear()
        image("pull", name)
    assert image.find("noise")[0].stat().st_size == 1_000_000
    image.check_nothing_staged()


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", "", "application/vnd.docker.distribution.manifest.v1+json"])
def test_a_wrong_type_of_manifest_is_named_or_recognised(image, fake_registry, kind):
    fake_registry.add_image("app", [LAYER])
    content = fake_registry.manifests["app", "latest"][1]
    page = b"<html>please log in</html>" if kind == "text/html" else content
    fake_registry.manifests["app", "latest"] = (kind, page)
    done = image("pull", f"{fake_registry.host}/app", check=False)
    if done.code == 0:  # the document itself says what it is
        assert kind != "text/html" and image.find("etc/name")
    else:
        assert f"{fake_registry.host}/app" in done.err
        assert image.references().strip() == "" and not image.layer_trees()


def test_too_many_bytes_of_a_blob_are_not_taken(image, fake_registry):
    """Endless zeros behind a layer's bytes: no more is read than the manifest says."""
    name = fake_registry.add_image("app", [LAYER])
    manifest = json.loads(fake_registry.manifests["app", "latest"][1])
    layer = manifest["layers"][0]["digest"]
    fake_registry.rules.append(lambda request: Reply(200, endless=b"\0" * 65536) if request.path.endswith(layer) else None)
    error = image.fails("pull", "--retry=0", name)
    assert layer[7:19] in error
    assert sum(path.stat().st_size for path in (image.root / "partial").glob("*")) <= manifest["layers"][0]["size"]


# --- a world that is full or closed ---------------------------------------------------------------


def test_a_read_only_store_is_an_error_that_says_so(image, fake_registry, scratch):
    name = fake_registry.add_image("app", [LAYER])
    image("pull", name)
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    for words in (["pull", f"{fake_registry.host}/app:latest"], ["tag", name, "other:1"], ["prune"],
                  ["import", "/dev/null", "x"]):
        done = run("unshare", "-m", "sh", "-c", script, "sh", image.root, *image.arguments(*words), code=125,
                   env=image.env)
        errors = [line for line in done.err.splitlines() if line.startswith("hull-image: ")]
        assert len(errors) == 1 and "read-only" in errors[0].lower(), done


def test_a_store_of_somebody_else_is_refused(image, rootless_image, ordinary_user, fake_registry):
    image("pull", fake_registry.add_image("app", [LAYER]))
    os.chmod(image.root.parent, 0o755)
    stranger = ImageTool(rootless_image.program, image.root, rootless_image.runroot, rootless_image.prefix,
                         rootless_image.env)
    error = stranger.fails("pull", fake_registry.add_image("app", [LAYER]))
    assert str(image.root) in error and ("permission denied" in error or "belongs to" in error)
