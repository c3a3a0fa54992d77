"""Unix sockets that stand for a console, a seccomp agent or a receiver of pidfds."""

import array
import socket


def listen(path, kind=socket.SOCK_STREAM):
    listener = socket.socket(socket.AF_UNIX, kind)
    listener.bind(str(path))
    if kind == socket.SOCK_STREAM:
        listener.listen()
    listener.settimeout(30)
    return listener


def received(listener):
    """The message and the descriptor that the next peer sends."""
    peer, _ = listener.accept()
    with peer:
        message, ancillary, _, _ = peer.recvmsg(65536, socket.CMSG_SPACE(4))
    return message, array.array("i", ancillary[0][2])[0]
