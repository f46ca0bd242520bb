# SPDX-License-Identifier: MIT
"""What is under way in dom0, as the agent tells it: a command, or a file that is followed."""
import base64
import contextlib
import re
import signal
import threading

TIMEOUT = 120       # of a command; the processor is emulated, and others have it, too


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err
        self.lines = out.splitlines()


class Job:
    """A command in dom0, or a file that is followed."""

    def __init__(self, host, number, what):
        self.host, self.number, self.what = host, number, what
        self.out, self.err, self.status = b"", b"", None
        self.changed = threading.Condition()
        self.seen = 0       # what line() has gone past, in octets

    def take(self, message):
        with self.changed:
            if message is None and self.status is None:
                self.status = -1        # the host is gone
            elif message:
                self.out += base64.b64decode(message.get("out", ""))
                self.err += base64.b64decode(message.get("err", ""))
                self.status = message.get("end", self.status)
            self.changed.notify_all()

    def wait(self, timeout=TIMEOUT, check=True):
        with self.changed:
            ended = self.changed.wait_for(lambda: self.status is not None, timeout)
        result = Result(self.status, self.out.decode(errors="replace"),
                        self.err.decode(errors="replace"))
        if not ended:
            with contextlib.suppress(AssertionError):
                self.kill()
            raise AssertionError("%s: not done in %d s\n%s%s" % (
                self.what, timeout, result.out[-3000:], result.err[-3000:]))
        assert not check or self.status == 0, "%s: exit %d\n%s%s" % (
            self.what, self.status, result.out[-3000:], result.err[-3000:])
        return result

    def _find(self, regex):
        """Whole lines only: what is still being written may go on."""
        at = self.seen
        while True:
            end = self.out.find(b"\n", at)
            if end < 0:
                return None
            text = self.out[at:end].decode(errors="replace").rstrip("\r")
            at = end + 1
            found = regex.search(text)
            if found:
                self.seen = at
                return found

    def line(self, regex, timeout=TIMEOUT):
        """The match of the next line that has one, after those found before."""
        regex, found = re.compile(regex), None

        def have():
            nonlocal found
            found = self._find(regex)
            return found or self.status is not None

        with self.changed:
            self.changed.wait_for(have, timeout)
        assert found, "%s: no line like %r%s; the last ones:\n%s%s" % (
            self.what, regex.pattern, "" if self.status is None else ", it ended",
            self.out[-1500:].decode(errors="replace"), self.err[-1500:].decode(errors="replace"))
        return found

    def write(self, data):
        """To its standard input; None closes that."""
        if isinstance(data, str):
            data = data.encode()
        self.host.send(id=self.number, op="in",
                       data=None if data is None else base64.b64encode(data).decode())

    def signal(self, number):
        self.host.send(id=self.number, op="signal", number=number)

    def kill(self):
        self.signal(signal.SIGKILL)

    @property
    def lines(self):
        return self.out.decode(errors="replace").splitlines()
