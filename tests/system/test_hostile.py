#!/usr/bin/env python3
"""Under hostile load the honest are served: while somebody does what is in a test's name, 100 fresh connections of
honest devices each get their bundle, or 304. How long they waited is printed, before and meanwhile, and decides nothing.

The hostile come from other addresses than the honest, unless a test says otherwise: what one address may have is in
test_front_limits.py, and that what is slow is cut in the end."""

from harness import *

UPN = "ann@example.org"
LOAD = BUILD / "tests/bench/load"
PATIENCE = 120  # seconds for things that a busy machine may be late with


class Honest:
    """A service, and devices that pull from it with the load generator: a fresh connection for each call."""

    def __init__(self, folder, config=None):
        self.folder, self.service = folder, Service(folder, config=config)
        for _ in range(2):
            self.service.import_pfx(UPN, Identity(folder, UPN).pfx(), "secret").expect(201)
        self.devices = [self.service.enrol(UPN, "P-256") for _ in range(4)]
        self.script = folder / "pull"
        self.script.write_text("GET /v1/device/bundle\n")
        pulls = [(d.certificate, d.key, d.pull().expect(200).headers["etag"]) for d in self.devices]
        (folder / "anew").write_text("".join(f"{c} {k}\n" for c, k, _ in pulls))
        (folder / "known").write_text("".join(f"{c} {k} {etag}\n" for c, k, etag in pulls))
        self.before = self.pull()

    def _load(self, clients, status):
        done = run(LOAD, f"localhost:{self.service.base}", "--ca", self.service.dir / "ca.pem", "--script", self.script,
                   "--clients", self.folder / clients, "--fresh", "--calls", 50, "--threads", 4, "--expect", status)
        said = json.loads(done.stdout)
        assert said["calls"] == 50 and said["failed"] == 0, (said, done.stderr)
        return said["p99_us"] / 1000

    def pull(self):
        """(p99 of 50 pulls, p99 of 50 answers of 304), ms. Each must succeed."""
        return self._load("anew", 200), self._load("known", 304)

    def meanwhile(self, what):
        during = self.pull()
        print(f"    {what}: p99 of pulls {self.before[0]:.0f} ms before, {during[0]:.0f} meanwhile; of 304 "
              f"{self.before[1]:.0f} and {during[1]:.0f}", flush=True)


class Crowd(threading.Thread):
    """So many hostile connections, each opened anew when it is closed, and each given its turn again and again:
    turn(connection) does what it likes, and an OSError is an end."""

    def __init__(self, count, connect, turn=lambda connection: None, pause=0.05):
        super().__init__(daemon=True)
        self.count, self.connect, self.turn, self.pause = count, connect, turn, pause
        self.over, self.all_there = threading.Event(), threading.Event()
        self.opened = self.turns = 0

    def _open(self):
        with contextlib.suppress(OSError):
            connection = self.connect(f"127.0.1.{1 + self.opened % 20}")
            connection.settimeout(0)
            self.opened += 1
            return connection

    def _give_turn(self, connection):
        """The same, or one in its place."""
        self.turns += 1
        if not connection:
            return self._open()
        try:
            self.turn(connection)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            connection.close()
            return self._open()
        return connection

    def run(self):
        connections = [self._open() for _ in range(self.count)]
        self.all_there.set()
        while not self.over.wait(self.pause):
            for n, connection in enumerate(connections):
                connections[n] = self._give_turn(connection)
                if self.over.is_set():
                    break
        for connection in filter(None, connections):
            connection.close()

    def __enter__(self):
        self.start()
        assert self.all_there.wait(PATIENCE) and self.opened >= self.count, "the hostile do not come through"
        wait_until(lambda: self.turns >= self.count, PATIENCE, "the first turn of each")
        return self

    def __exit__(self, *error):
        self.over.set()
        self.join(PATIENCE)
        assert not self.is_alive()


def bytes_one_by_one(head, text):
    """A turn that sends head first, and then the text, a byte at a time, for ever."""
    sent = {}

    def turn(connection):
        n = sent.get(connection, -1)
        connection.sendall(head if n < 0 else text[n % len(text):n % len(text) + 1])
        sent[connection] = n + 1
    return turn


def shaken(service):
    """Connects to the devices' port and shakes hands."""
    context = service.context()
    return lambda source: context.wrap_socket(service.connect(service.base, tls=False, source=source),
                                              server_hostname="localhost")


# ---- slow ----

@test
def honest_devices_are_served_while_others_send_headers_a_byte_at_a_time(folder):
    honest = Honest(folder)
    turn = bytes_one_by_one(b"GET /v1/device/bundle HTTP/1.1\r\nHost: localhost\r\nX: ", b"a")
    with Crowd(200, shaken(honest.service), turn):
        honest.meanwhile("200 clients that send headers a byte at a time")


@test
def honest_devices_are_served_while_others_send_a_body_a_byte_at_a_time(folder):
    honest = Honest(folder)
    head = b"POST /v1/enroll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n{"
    with Crowd(200, shaken(honest.service), bytes_one_by_one(head, b" ")):
        honest.meanwhile("200 clients that send a body a byte at a time")


def client_hello(context):
    """The first message of a TLS client."""
    read, written = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(read, written, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return written.read()


@test
def honest_devices_are_served_while_others_begin_handshakes_and_leave_them(folder):
    honest = Honest(folder)
    hello = client_hello(honest.service.context())
    begun = {}

    def begin(source):
        connection = honest.service.connect(honest.service.base, tls=False, source=source)
        begun[connection] = len(begun)
        # By turns: nothing at all; half of the first message, with more of it to come; all of it, and no answer to it.
        connection.sendall((b"", hello[:len(hello) // 2], hello)[len(begun) % 3])
        return connection
    with Crowd(300, begin):
        honest.meanwhile("300 handshakes that are begun and left")


@test
def honest_devices_are_served_while_others_shake_hands_and_go_again_and_again(folder):
    honest = Honest(folder)

    def go(connection):
        raise OSError("enough")
    with Crowd(20, shaken(honest.service), go, pause=0) as crowd:
        before = crowd.opened
        honest.meanwhile("handshakes without a request, one after the other")
        wait_until(lambda: crowd.opened > before + 20, PATIENCE, "more handshakes")


@test
def honest_devices_are_served_beside_1000_idle_connections(folder):
    honest = Honest(folder)
    with Crowd(1000, shaken(honest.service), pause=1):
        honest.meanwhile("1,000 idle connections")


@test
def honest_devices_are_served_while_others_read_a_byte_a_second(folder):
    honest = Honest(folder)
    greedy = honest.service.enrol(UPN, "P-256")
    context = honest.service.context(greedy.certificate, greedy.key)

    def ask(source):
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.bind((source, 0))
        plain.settimeout(PATIENCE)
        plain.connect(("127.0.0.1", honest.service.base))
        connection = context.wrap_socket(plain, server_hostname="localhost")
        connection.sendall(b"GET /v1/device/bundle HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        return connection
    with Crowd(60, ask, lambda connection: connection.recv(1), pause=1):
        honest.meanwhile("60 devices that ask for 100 bundles each and read a byte a second")


# ---- TLS ----

@contextlib.contextmanager
def s_clients(service, count, typed, *options):
    """OpenSSL's clients that get the same line typed again and again: R renegotiates, K changes keys. New ones come in
    place of those that end. Gives the list of files with what each client said."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{service.base}", *options]
    over, outputs = threading.Event(), []

    def one_more():
        path = service.folder / f"s_client-{threading.get_ident()}-{len(outputs)}"
        with open(path, "wb") as out:
            client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=out)
        with contextlib.suppress(OSError):
            while client.poll() is None and not over.wait(0.01):
                client.stdin.write(typed)
                client.stdin.flush()
        client.kill()
        with contextlib.suppress(OSError):
            client.stdin.close()
        client.wait()
        if not over.is_set():
            outputs.append(path)

    def again_and_again():
        while not over.is_set():
            one_more()
    threads = [threading.Thread(target=again_and_again) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield outputs
        wait_until(lambda: len(outputs) >= count, PATIENCE, "the ends of hostile clients")
    finally:
        over.set()
        for thread in threads:
            thread.join()


@test
def honest_devices_are_served_while_others_ask_to_renegotiate_and_no_connection_survives_it(folder):
    honest = Honest(folder)
    with s_clients(honest.service, 8, b"R\n", "-tls1_2") as outputs:
        honest.meanwhile("8 clients that renegotiate")
    said = [path.read_bytes() for path in outputs]
    assert all(b"TLSv1.2" in text for text in said), said[0]
    asked = [text for text in said if b"RENEGOTIATING" in text]
    assert asked and not any(b"read R BLOCK" in text for text in asked), asked[0]


@test
def honest_devices_are_served_while_others_change_their_keys_again_and_again(folder):
    honest = Honest(folder)
    with s_clients(honest.service, 8, b"K\n" * 50, "-tls1_3"):
        honest.meanwhile("8 clients that change keys (TLS 1.3)")


# ---- large and odd ----

class Bombs(threading.Thread):
    """Sends each text over a connection of its own, again and again; notes the statuses."""

    def __init__(self, service, port, texts, source="127.0.1.1", timeout=20):
        super().__init__(daemon=True)
        self.service, self.port, self.texts, self.source, self.timeout = service, port, texts, source, timeout
        self.over, self.statuses, self.cut = threading.Event(), {}, 0

    def run(self):
        for n in range(1 << 40):
            if self.over.is_set():
                return
            try:
                with self.service.connect(self.port, source=self.source, timeout=self.timeout) as connection:
                    connection.sendall(self.texts[n % len(self.texts)])
                    status = read_answer(connection).status
                self.statuses[status] = self.statuses.get(status, 0) + 1
            except (OSError, http.client.HTTPException):
                self.cut += 1

    def sent(self):
        return sum(self.statuses.values()) + self.cut

    def __enter__(self):
        self.start()
        wait_until(self.sent, PATIENCE, "the first bomb")
        return self

    def __exit__(self, *error):
        self.over.set()
        self.join(PATIENCE)
        assert not self.is_alive()


def post(path, body, *more):
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json",
                        f"Content-Length: {len(body)}", *more, "", ""]).encode() + body


HEADER_BOMBS = [b"GET /v1/device/bundle HTTP/1.1\r\nHost: localhost\r\n" + more + b"\r\n" for more in (
    b"".join(b"X%d: y\r\n" % n for n in range(3000)), b"X: " + b"a" * 100000 + b"\r\n",
    b"Cookie: " + b"a=b; " * 1000 + b"\r\n", b"Cookie: " + b"a=b; " * 6000 + b"\r\n",
    b"X:" + b" \t" * 15000 + b"\r\n", b"If-None-Match: " + b'W/"a", ' * 4000 + b"\r\n")]


@test
def honest_devices_are_served_while_others_send_header_bombs(folder):
    honest = Honest(folder)
    with contextlib.ExitStack() as stack:
        bombs = [stack.enter_context(Bombs(honest.service, honest.service.base, HEADER_BOMBS)) for _ in range(4)]
        honest.meanwhile("header bombs")
    for bomb in bombs:
        assert set(bomb.statuses) <= {431, 401}, bomb.statuses


@test
def honest_devices_are_served_while_others_send_json_bombs(folder):
    honest = Honest(folder)
    importer = honest.service.make_token("importer")
    bodies = [b"[" * 1000000, b'{"a":' * 200000, b'{"pkcs12":' + b"9" * 1000000 + b"}",
              b"{" + b",".join(b'"k%d":1' % n for n in range(100000)) + b"}", b'{"pkcs12":"' + b"\\u0000" * 100000 + b'"}',
              b'{"pkcs12":"AAAA","password":' + b"[" * 500000 + b"]" * 500000 + b"}", b'{"' + b"a" * 1500000 + b'":1}']
    imports = [post(f"/v1/users/{UPN}/certificates", b, f"Authorization: Bearer {importer}") for b in bodies]
    enrolments = [post("/v1/enroll", body[:15000]) for body in bodies]
    with Bombs(honest.service, honest.service.base + 1, imports) as first, \
            Bombs(honest.service, honest.service.base, enrolments) as second:
        honest.meanwhile("JSON bombs")
        wait_until(lambda: first.sent() >= len(imports) and second.sent() >= len(enrolments), PATIENCE, "all of them")
    assert set(first.statuses) == {400} and set(second.statuses) == {400}, (first.statuses, second.statuses)


@test
def honest_devices_are_served_while_others_try_wrong_tokens_and_honest_administrators_elsewhere_too(folder):
    honest = Honest(folder, "[front]\nfailures_per_minute = 20\n")
    service, wrong = honest.service, "Authorization: Bearer " + "A" * 43
    admin = [f"GET /v1/users HTTP/1.1\r\nHost: localhost\r\n{wrong}\r\n\r\n".encode()]
    enrol = [post("/v1/enroll", json.dumps({"token": "A" * 43, "csr": honest.devices[0].csr}).encode())]
    # From the address of the honest devices, whose pulls show no token.
    with contextlib.ExitStack() as stack:
        floods = [stack.enter_context(Bombs(service, port, texts, source="127.0.0.1"))
                  for port, texts in ((service.base + 1, admin), (service.base, enrol))]
        wait_until(lambda: all(429 in flood.statuses for flood in floods), PATIENCE, "the limit of failures")
        honest.meanwhile("floods of wrong tokens")
        with service.connect(service.base + 1, source="127.0.2.1") as elsewhere:
            elsewhere.sendall(f"GET /v1/users HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {service.token}\r\n\r\n"
                              .encode())
            read_answer(elsewhere).expect(200)
        # Who shares the guesser's address waits with him, and is told for how long. A minute may just have begun.
        answer = wait_until(lambda: (a := service.admin("GET", "/v1/users")).status == 429 and a, PATIENCE, "the limit")
        print(f"    an administrator at the address of the flood is told to come again in "
              f"{answer.headers['retry-after']} s", flush=True)
    for flood in floods:
        assert set(flood.statuses) == {401, 429}, flood.statuses


# ---- smuggling ----

HIDDEN = b"GET /v1/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"0\r\n\r\n" + HIDDEN
# What two readers might see another end of. If the second reader is this one, HIDDEN is a request of its own.
SHAPES = {
    "both lengths": b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % len(CHUNKED) + CHUNKED,
    "the other way round": b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n" % len(CHUNKED) + CHUNKED,
    "two lengths": b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked, identity\r\n\r\n" + CHUNKED,
    "a list of lengths": b"Content-Length: 0, %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a length with a sign": b"Content-Length: +%d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a negative length": b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "a hexadecimal length": b"Content-Length: 0x10\r\n\r\n" + HIDDEN,
    "a length over 64 bits": b"Content-Length: 18446744073709551616\r\n\r\n" + HIDDEN,
    "a space before the colon": b"Transfer-Encoding : chunked\r\nContent-Length: %d\r\n\r\n" % len(CHUNKED) + CHUNKED,
    "an unknown coding": b"Transfer-Encoding: xchunked\r\nContent-Length: %d\r\n\r\n" % len(CHUNKED) + CHUNKED,
    "a folded header": b"Transfer-Encoding:\r\n chunked\r\nContent-Length: %d\r\n\r\n" % len(CHUNKED) + CHUNKED,
    "a bare LF": b"X: a\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a NUL": b"X: a\0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a chunk over 64 bits": b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + HIDDEN,
    "a chunk with a sign": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + HIDDEN,
}


def answers_to(service, shape):
    """The statuses of all answers on one connection, which is closed for writing after the shape."""
    found = []
    with service.connect(service.base, source="127.0.1.1", timeout=5) as connection:
        try:
            connection.sendall(b"POST /v1/enroll HTTP/1.1\r\nHost: localhost\r\n" + shape)
            while True:
                found.append(read_answer(connection, "POST").status)
        except (OSError, http.client.HTTPException):
            return found


@test
def honest_devices_are_served_while_others_send_shapes_that_smuggle_requests(folder):
    honest = Honest(folder)
    found = in_parallel(*[lambda s=shape: answers_to(honest.service, s) for shape in SHAPES.values()])
    for name, statuses in zip(SHAPES, found):
        assert 404 not in statuses and 200 not in statuses, f"{name}: {statuses}"
    texts = [b"POST /v1/enroll HTTP/1.1\r\nHost: localhost\r\n" + shape for shape in SHAPES.values()]
    with contextlib.ExitStack() as stack:
        for shape in texts:
            stack.enter_context(Bombs(honest.service, honest.service.base, [shape], timeout=2))
        honest.meanwhile("shapes that smuggle requests")


if __name__ == "__main__":
    main()
