"""Small servers beside a registry: a forward proxy, and a TLS front with client certificates."""

import contextlib
import select
import socket
import ssl
import threading

from harness.programs import run


def pump(one, other):
    """Passes bytes both ways until one side closes."""
    with contextlib.suppress(OSError, ssl.SSLError):
        while True:
            pending = [side for side in (one, other) if isinstance(side, ssl.SSLSocket) and side.pending()]
            readable = pending or select.select([one, other], [], [], 30)[0]
            if not readable:
                return
            for side in readable:
                data = side.recv(65536)
                if not data:
                    return
                (other if side is one else one).sendall(data)


class _Server:
    def __init__(self):
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._guarded, args=(client,), daemon=True).start()

    def _guarded(self, client):
        with contextlib.suppress(OSError, ssl.SSLError), client:
            self._handle(client)

    def close(self):
        self._listener.close()


class Proxy(_Server):
    """A forward proxy that sends everything to `target`, whatever host is asked for. `asked`: the first line of
    each request, `headers` its whole head."""

    def __init__(self, target):
        self.target = target
        self.asked = []
        self.heads = []
        super().__init__()

    def _handle(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(65536)
            if not data:
                return
            head += data
        first, _, rest = head.partition(b"\r\n")
        self.asked.append(first.decode())
        self.heads.append(head.split(b"\r\n\r\n")[0].decode().lower())
        method, url, version = first.decode().split(" ")
        host, port = self.target.split(":")
        with socket.create_connection((host, int(port))) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                # One request a connection: the next one has to be seen as well.
                path = "/" + url.split("/", 3)[3]
                server.sendall(f"{method} {path} {version}\r\nConnection: close\r\n".encode() + rest)
            pump(client, server)


class SilentServer(_Server):
    """Accepts connections and never says a word."""

    def _handle(self, client):
        while client.recv(65536):
            pass


class TlsFront(_Server):
    """Ends TLS for `target`, for clients whose certificate `authority` signed."""

    def __init__(self, target, directory, demands_certificate=True):
        self.target = target
        self.authority, self._authority_key = directory / "ca.crt", directory / "ca.key"
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test CA",
            "-keyout", self._authority_key, "-out", self.authority)
        self._directory = directory
        certificate, key = self.issue("server", "subjectAltName=IP:127.0.0.1")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        if demands_certificate:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(self.authority)
        super().__init__()

    def issue(self, name, extension="extendedKeyUsage=clientAuth"):
        """A certificate and key signed by the authority."""
        key, request, certificate = (self._directory / f"{name}.{end}" for end in ("key", "csr", "cert"))
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(extension + "\n")
        run("openssl", "x509", "-req", "-days", "2", "-in", request, "-CA", self.authority, "-CAkey",
            self._authority_key, "-CAcreateserial", "-extfile", extensions, "-out", certificate)
        return certificate, key

    def _handle(self, client):
        host, port = self.target.split(":")
        with self._context.wrap_socket(client, server_side=True) as plain, \
                socket.create_connection((host, int(port))) as server:
            pump(plain, server)
