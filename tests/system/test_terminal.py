"""`hull run -t` with a real terminal on this side: size, resize, keys."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import time

import pytest


class Terminal:
    """A program on a pty of ours."""

    def __init__(self, words, env, rows=40, columns=100):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen([str(word) for word in words], stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True, env={**os.environ, **env},
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        os.set_blocking(self.master, False)
        self.seen = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, text, seconds=15):
        """Reads until `text` was seen since the last expect()."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, f"waited for {text!r}, saw {self.seen!r}"
            try:
                self.seen += os.read(self.master, 4096).decode(errors="replace")
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                assert text in self.seen, f"ended before {text!r}, saw {self.seen!r}"
        self.seen = self.seen.partition(text)[2]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


@pytest.fixture
def on_terminal(hull, busybox_image):
    opened = []

    def start(*args):
        opened.append(Terminal(hull.arguments(*args), hull.env))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def test_size_and_resize(on_terminal, busybox_image):
    terminal = on_terminal("run", "--rm", "-it", busybox_image, "sh")
    terminal.type("tty; stty size\n")
    terminal.expect("/dev/pts/0")
    terminal.expect("40 100")
    terminal.resize(50, 120)
    terminal.process.send_signal(signal.SIGWINCH)
    terminal.type("sleep 0.3; stty size\n")
    terminal.expect("50 120")
    terminal.type("exit 4\n")
    assert terminal.process.wait(15) == 4


def test_control_c_reaches_the_foreground_program(on_terminal, busybox_image):
    terminal = on_terminal("run", "--rm", "-it", busybox_image, "sh")
    terminal.type("echo rea''dy; sleep 100; echo code=$?\n")
    terminal.expect("ready")
    time.sleep(0.2)
    terminal.type("\x03")
    terminal.type("echo al''ive\n")
    terminal.expect("alive")
    terminal.type("exit\n")
    terminal.process.wait(15)


def test_detach_and_attach(on_terminal, hull, busybox_image):
    terminal = on_terminal("run", "-it", "--name", "c1", busybox_image, "sh")
    terminal.type("X=kept; echo rea''dy\n")
    terminal.expect("ready")
    terminal.type("\x10\x11")  # ctrl-p ctrl-q
    assert terminal.process.wait(15) == 0
    assert hull.inspect("c1")["State"]["Status"] == "running"
    again = on_terminal("attach", "c1")
    again.type("echo $X-again\n")
    again.expect("kept-again")
    again.type("exit 6\n")
    assert again.process.wait(15) == 6
    hull("rm", "c1")


def test_exec_with_a_terminal(on_terminal, hull, busybox_image):
    hull("run", "-d", "--name", "c1", busybox_image, "sleep", "300")
    terminal = on_terminal("exec", "-it", "c1", "sh")
    terminal.type("tty; stty size; exit 8\n")
    terminal.expect("/dev/pts/")
    terminal.expect("40 100")
    assert terminal.process.wait(15) == 8
    hull("rm", "-f", "c1")


def test_the_terminal_is_restored(on_terminal, busybox_image):
    terminal = on_terminal("run", "--rm", "-it", busybox_image, "true")
    assert terminal.process.wait(15) == 0
    flags = termios.tcgetattr(terminal.master)[3]
    assert flags & termios.ECHO and flags & termios.ICANON
