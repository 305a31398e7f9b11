"""An opener that says what a test wants it to say, in the place of the real one, and what openers say."""

from harness import *

VERBS = verbs()
STARTED = struct.pack(">IB", 1, VERBS["STARTED"])


class FakeOpener:
    """Listens where the openers' socket unit does. behave(connection, verb, fields) is called for each request but
    PING; requests holds (number of the connection, verb). The real openers that the keeper has at hand are ended."""

    def __init__(self, service, kind, behave):
        self.path, self.behave, self.requests, self.connections = service.dir / f"run/opener-{kind}.sock", behave, [], []
        self.path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(short(self.path))
        self.socket.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()
        service.end_openers(kind)

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection, len(self.connections)), daemon=True).start()

    def serve(self, connection, number):
        with contextlib.suppress(OSError, struct.error), connection:
            while True:
                length, verb = struct.unpack(">IB", read_exactly(connection, 5))
                fields = read_exactly(connection, length - 1)
                if verb == VERBS["PING"]:
                    connection.sendall(STARTED + frame(VERBS["PING"]))
                    continue
                self.requests.append((number, verb))
                if self.behave(connection, verb, fields) is not None:
                    return

    def close(self):
        """Nobody is served any more, those who are connected neither."""
        self.socket.close()
        self.path.unlink(missing_ok=True)
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def short(path):
    """The same place by a name that fits into a socket's address."""
    return f"/proc/self/fd/{os.open(path.parent, os.O_PATH)}/{path.name}"


def read_exactly(connection, n):
    data = b""
    while len(data) < n:
        part = connection.recv(n - len(data))
        if not part:
            raise OSError("closed")
        data += part
    return data


def frame(verb, fields=b""):
    return struct.pack(">IB", len(fields) + 1, verb) + fields


def says(*parts):
    """A behaviour: sends these bytes and waits for the next request."""
    return lambda connection, verb, fields: connection.sendall(b"".join(parts))


def says_and_closes(*parts):
    return lambda connection, verb, fields: (connection.sendall(b"".join(parts)), "close")


def u64(value):
    return struct.pack(">q", value)


def identity(certificate=b"certificate", modern=b"modern", legacy=b"legacy", subject="CN=a", issuer="CN=b",
             serial="01", key_identifier=b"", usages=1, algorithm="RSA-2048", emails=b"", chain=b""):
    """msg_opened_identity. The keeper parses none of these bytes, so they may be anything."""
    return (field(certificate) + field(modern) + field(legacy) + field(subject) + field(issuer) +
            field(serial) + field(key_identifier) + u64(1) + u64(2 ** 31) + u8(usages) + field(algorithm) +
            field(emails) + field(chain))


def passwords(fields):
    """Of a request to open a PFX: for each identity that may be found the password that its files are to have."""
    at = 8 + 1
    for _ in range(3):
        length = int.from_bytes(fields[at:at + 4], "big")
        value, at = fields[at + 4:at + 4 + length].decode("latin-1"), at + 4 + length
    assert at == len(fields) and length == 64 * 43, (at, len(fields), length)
    return [value[n:n + 43] for n in range(0, length, 43)]


def opened(identities, chain=b"", warnings=b""):
    return frame(VERBS["OPEN_PFX"], field(identities) + field(chain) + field(warnings))


def error(fault, detail="no", retry_after=0):
    return frame(VERBS["ERROR"], u8(fault) + u32(retry_after) + field(detail))
