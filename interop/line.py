"""A line to the broker that can be cut, for the Python clients that come back by themselves."""

import contextlib
import socket
import threading
import urllib.parse


class Line:
    """Listens on the loopback and passes on what comes, both ways, until it is cut; then it serves anew."""

    def __init__(self, uri):
        parts = urllib.parse.urlsplit(uri)
        self.broker = parts.hostname, parts.port or 5672
        self.listener = socket.create_server(("127.0.0.1", 0))
        login = parts.netloc.rpartition("@")[0]
        self.uri = parts._replace(netloc=f"{login}@127.0.0.1:{self.listener.getsockname()[1]}").geturl()
        self.ends, self.lock = [], threading.Lock()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        """Connects whoever comes with the broker."""
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(self.broker)
            with self.lock:
                self.ends += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self.pass_on, args=(source, target), daemon=True).start()

    @staticmethod
    def pass_on(source, target):
        """Passes on what comes until one end is gone, then takes the other with it."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        """Ends all connections that there are now; returns how many these were."""
        with self.lock:
            ends, self.ends = self.ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        return len(ends) // 2
