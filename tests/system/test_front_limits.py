#!/usr/bin/env python3
"""Caps and time-outs of the fronts: what one client takes, another one still has."""

from inputs import *

UPN = "ann@example.org"
GET = b"GET /v1/users HTTP/1.1\r\nHost: localhost\r\n"


def front(folder, **keys):
    """A service with these keys of [front]."""
    return Service(folder, config="[front]\n" + "".join(f"{name} = {value}\n" for name, value in keys.items()))


def closed(connection, seconds=60):
    """Whether the other side closes within seconds; what comes before that is thrown away."""
    connection.settimeout(seconds)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def held(service, port, source="127.0.0.1"):
    """A connection that the front has taken and keeps, or None when it closed it at once."""
    try:
        connection = service.connect(port, tls=port != service.base + 2, source=source)
        connection.sendall(b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return connection if read_answer(connection).status == 404 else None
    except (OSError, http.client.HTTPException):
        return None


def trickle(connection, text, seconds=60):
    """Sends a byte now and then until the other side has had enough. Returns how much it took, or fails."""
    connection.settimeout(0.05)
    end = time.monotonic() + seconds
    for n in range(len(text)):
        try:
            connection.sendall(text[n:n + 1])
            if connection.recv(65536) == b"":
                return n
        except TimeoutError:
            pass
        except OSError:
            return n
        assert time.monotonic() < end, f"still open after {seconds} s"
    raise AssertionError("it took everything")


# ---- how many ----

@test
def connections_over_max_connections_are_closed_at_once_and_a_freed_place_is_taken(folder):
    service = front(folder, max_connections=6, max_connections_per_address=100)
    for port in (service.base, service.base + 1):
        connections = [wait_until(lambda: held(service, port), 60, "a place") for _ in range(6)]
        assert held(service, port) is None and held(service, port, "127.0.0.2") is None
        service.health("/livez").expect(200)
        connections.pop().close()
        connections.append(wait_until(lambda: held(service, port), 60, "the freed place"))
        for connection in connections:
            connection.close()


@test
def one_address_has_at_most_its_share_and_another_is_served(folder):
    service = front(folder, max_connections=100, max_connections_per_address=3)
    for port in (service.base, service.base + 1):
        connections = [wait_until(lambda: held(service, port), 60, "a place") for _ in range(3)]
        assert held(service, port) is None
        other = held(service, port, "127.0.0.2")
        assert other, "another address has a share of its own"
        other.close()
        connections.pop().close()
        connections.append(wait_until(lambda: held(service, port), 60, "the freed place"))
        for connection in connections:
            connection.close()


HEALTH_CONNECTIONS_MAX = 64


@test
def health_is_told_though_others_hold_all_of_its_connections(folder):
    service = front(folder)
    silent, idle, begun = [], [], []
    for _ in range(80):
        silent.append(service.connect(service.base + 2, tls=False))
    for _ in range(5):
        service.health("/livez").expect(200)
    for _ in range(80):
        idle.append(held(service, service.base + 2))
        assert idle[-1], "a connection that asks is served"
    for _ in range(5):
        service.health("/livez").expect(200)
        service.health("/readyz").expect(200)
    for _ in range(80):
        begun.append(service.connect(service.base + 2, tls=False))
        begun[-1].sendall(b"GET /livez HTTP/1.1\r\nX: ")
        if len(begun) == 1:
            service.health("/livez").expect(200)  # then the first has been read, before any other of them is there
    for _ in range(5):
        service.health("/livez").expect(200)
    assert all(closed(connection, 5) for connection in [*silent, *idle, begun[0]]), "who waited longest made room"
    assert len([connection for connection in begun if not closed(connection, 0.05)]) <= HEALTH_CONNECTIONS_MAX


# ---- how much ----

def answer_to(service, port, head):
    with service.connect(port, tls=port != service.base + 2) as connection:
        connection.sendall(head)
        return read_answer(connection)


@test
def headers_over_max_header_bytes_are_431_and_below_it_are_read(folder):
    service = front(folder, max_header_bytes=8192)
    for port in (service.base, service.base + 1, service.base + 2):
        for big in (b"X: " + b"a" * 9000 + b"\r\n", b"".join(b"X%d: y\r\n" % n for n in range(2000))):
            assert answer_to(service, port, b"GET /none HTTP/1.1\r\nHost: localhost\r\n" + big + b"\r\n").status == 431
        fitting = b"X: " + b"a" * 3000 + b"\r\n\r\n"
        answer_to(service, port, b"GET /none HTTP/1.1\r\nHost: localhost\r\n" + fitting).expect(404, "not_found")


@test
def headers_of_every_size_around_the_limit_are_answered(folder):
    service = front(folder, max_header_bytes=8192)
    statuses = []
    for size in range(7000, 9000, 20):
        head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "
        head += b"a" * (size - len(head) - 4) + b"\r\n\r\n"
        statuses.append(answer_to(service, service.base + 2, head).status)
    assert set(statuses) == {200, 431} and statuses == sorted(statuses), statuses


@test
def headers_of_20_kib_fit_the_default(folder):
    service = Service(folder)
    service.admin("GET", "/v1/users", headers={"X-Filler": "a" * 20480}).expect(200)


@test
def a_body_over_max_body_bytes_is_413(folder):
    service = front(folder, max_body_bytes=4096)
    pfx = Identity(folder, UPN, key="P-256").pfx()
    service.import_pfx(UPN, pfx + b"\0" * 4096, "secret").expect(413, "too_large")
    service.import_pfx(UPN, pfx, "secret").expect(201)


# ---- how long ----

def ports_of(service):
    """(port, whether it speaks TLS) of the three listeners."""
    return [(service.base, True), (service.base + 1, True), (service.base + 2, False)]


def says_nothing_at_all(port):
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        assert closed(connection)


def says_nothing_or_too_little(service, port, tls):
    with service.connect(port, tls=tls) as connection:
        assert closed(connection)
    with service.connect(port, tls=tls) as connection:
        assert trickle(connection, b"GET /" + b"a" * 4000) > 0


@test
def a_client_that_says_nothing_is_cut_after_header_seconds(folder):
    service = front(folder, header_seconds=1, request_seconds=3000, idle_seconds=3000)
    in_parallel(*[lambda p=p: says_nothing_at_all(p) for p, _ in ports_of(service)],
                *[lambda p=p, t=t: says_nothing_or_too_little(service, p, t) for p, t in ports_of(service)])


def dribbles(service, port, tls, start, text):
    with service.connect(port, tls=tls) as connection:
        connection.sendall(start)
        assert trickle(connection, text) > 0


@test
def a_client_that_sends_a_byte_now_and_then_is_cut_at_the_total_deadline(folder):
    service = front(folder, header_seconds=3000, request_seconds=2, idle_seconds=3000)
    device, admin, health = ports_of(service)
    bearer = f"Authorization: Bearer {service.token}\r\n".encode()
    post = b"POST /v1/users/x/certificates HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    enroll = b"POST /v1/enroll HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    slow = [(*admin, GET + b"X: ", b"a" * 4000), (*admin, post + bearer + b"Content-Length: 4000\r\n\r\n", b"a" * 4000),
            (*admin, post + b"Content-Length: 4000\r\n\r\n", b"a" * 4000), (*device, enroll, b"1\r\na\r\n" * 1000),
            (*health, b"GET /livez HTTP/1.1\r\nX: ", b"a" * 4000)]
    in_parallel(*[lambda s=s: dribbles(service, *s) for s in slow])
    service.admin("GET", "/v1/users").expect(200)


def state_of(local_port, remote_port):
    """The kernel's word for the server's side of a connection: "01" is established."""
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1].endswith(f":{local_port:04X}") and words[2].endswith(f":{remote_port:04X}"):
            return words[3]


@test
def a_client_that_does_not_read_its_answers_is_cut_at_the_total_deadline(folder):
    service = front(folder, request_seconds=2)
    for _ in range(100):
        service.enrolment_token(UPN)
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect(("127.0.0.1", service.base + 1))
    with service.context().wrap_socket(plain, server_hostname="localhost") as connection:
        port = connection.getsockname()[1]
        ask = GET.replace(b"/v1/users", b"/v1/audit?limit=1000")
        ask += f"Authorization: Bearer {service.token}\r\n\r\n".encode()
        connection.sendall(ask * 300)  # some 8 MiB of answers, more than the kernel keeps for them
        assert state_of(service.base + 1, port) == "01"
        wait_until(lambda: state_of(service.base + 1, port) != "01", 60, "the cut")
    service.admin("GET", "/v1/users").expect(200)


def goes_idle(service, port):
    with contextlib.closing(held(service, port)) as connection:
        for _ in range(3):
            connection.sendall(b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n")
            read_answer(connection).expect(404, "not_found")
        assert closed(connection)


@test
def a_kept_alive_connection_is_closed_after_idle_seconds_and_serves_until_then(folder):
    service = front(folder, header_seconds=3000, request_seconds=3000, idle_seconds=1)
    in_parallel(*[lambda p=p: goes_idle(service, p) for p, _ in ports_of(service)])


@test
def a_request_that_waits_for_its_body_does_not_fall_to_the_idle_or_header_deadline(folder):
    service = front(folder, header_seconds=1, request_seconds=3000, idle_seconds=1)
    with service.connect(service.base + 1) as connection:
        body = b'{"name":"phone"}'
        connection.sendall(f"POST /v1/users/x/enrollments HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
                           f"{service.token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                           .encode())
        with service.connect(service.base + 2, tls=False) as silent:
            assert closed(silent)  # header_seconds have passed, and a little
        connection.sendall(body)
        read_answer(connection, "POST").expect(201)


@test
def many_slow_clients_leave_room_for_others(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    slow = []
    for _ in range(40):
        for port in (service.base, service.base + 1):
            connection = service.connect(port)
            connection.sendall(b"POST /v1/enroll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{")
            slow.append(connection)
    device.pull().expect(200)
    service.admin("GET", "/v1/users").expect(200)
    service.health("/readyz").expect(200)
    for connection in slow:
        connection.close()


# ---- guessing ----

def guess_until_limited(call, allowed):
    """Guesses until 429. The minute may end on the way, so up to twice as many and one are refused before that."""
    for _ in range(2 * allowed + 1):
        answer = call()
        if answer.status == 429:
            answer.expect(429, "rate_limited")
            assert 1 <= int(answer.headers["retry-after"]) <= 61
            return
        answer.expect(401, "unauthorized")
    raise AssertionError("no 429")


@test
def who_guesses_tokens_gets_429_with_retry_after_and_others_are_served(folder):
    service = front(folder, failures_per_minute=5)
    device = service.enrol(UPN, "P-256")
    guess_until_limited(lambda: service.admin("GET", "/v1/users", token="A" * 43), 5)
    with service.connect(service.base + 1, source="127.0.0.2") as other:
        other.sendall(GET + f"Authorization: Bearer {service.token}\r\n\r\n".encode())
        read_answer(other).expect(200)
    csr = make_csr(folder, "P-256")
    guess_until_limited(lambda: service.device("POST", "/v1/enroll", {"token": "A" * 43, "csr": csr}), 5)
    device.pull().expect(200)
    service.health("/readyz").expect(200)


@test
def right_tokens_and_wrong_contents_are_no_guesses(folder):
    service = front(folder, failures_per_minute=3)
    for _ in range(8):
        service.admin("GET", "/v1/users").expect(200)
        service.admin("GET", "/v1/users/nobody").expect(404)
        service.import_pfx(UPN, b"nothing", "secret").expect(422)
        service.admin("GET", "/v1/users", token=service.make_token("operator")).expect(403)


# ---- room for pulls and probes ----

@contextlib.contextmanager
def no_pfx_is_opened(service):
    """The openers of PFX files stand still, and the launcher too, which would start others."""
    with stopped(service.process.pid), stopped(*service.rooms().get("opener-pfx", [])):
        yield


@test
def imports_that_wait_do_not_hold_what_pulls_probes_and_lists_need(folder):
    service = front(folder, import_workers=2, workers=2, threads=1)
    service.import_pfx(UPN, Identity(folder, UPN, key="P-256").pfx(), "secret").expect(201)
    device = service.enrol(UPN, "P-256")
    files = [Identity(folder, UPN, key="P-256").pfx() for _ in range(6)]
    answers = []
    threads = [threading.Thread(target=lambda f=f: answers.append(service.import_pfx(UPN, f, "secret"))) for f in files]
    with no_pfx_is_opened(service):
        for thread in threads:
            thread.start()
        # Until the front holds all of them, so that its import workers and their queue are in use.
        port = f"0100007F:{service.base + 1:04X}"
        wait_until(lambda: sum(line.split()[1] == port and line.split()[3] == "01" for line in
                               pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]) >= len(files), 60, "imports")
        for _ in range(3):
            assert len(device.history()) == 1
            device.pull("*")
            service.admin("GET", "/v1/users").expect(200)
            service.health("/readyz").expect(200)
            service.health("/livez").expect(200)
        assert answers == [], "an import that had no opener was answered"
    for thread in threads:
        thread.join(120)
    for answer in answers:
        assert answer.status == 201 or answer.expect(503, "unavailable"), answer.status
    assert len(answers) == len(files)


@test
def imports_over_what_can_wait_are_told_503_with_retry_after(folder):
    service = front(folder, import_workers=1)
    answers = []
    body = Identity(folder, UPN, key="P-256").pfx()
    service.import_pfx(UPN, body, "secret").expect(201)
    threads = [threading.Thread(target=lambda: answers.append(service.import_pfx(UPN, body, "secret")))
               for _ in range(60)]
    with no_pfx_is_opened(service):
        for thread in threads:
            thread.start()
        wait_until(lambda: answers, 60, "a refusal")
        refused = list(answers)
        service.admin("GET", "/v1/users").expect(200)
    for thread in threads:
        thread.join(120)
    for answer in refused:
        answer.expect(503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
    assert sum(answer.status == 200 for answer in answers) > 0 and len(answers) == 60


@test
def imports_of_two_administrators_and_pulls_go_on_side_by_side(folder):
    service = Service(folder)
    service.import_pfx(UPN, Identity(folder, UPN, key="P-256").pfx(), "secret").expect(201)
    device = service.enrol(UPN, "P-256")
    tokens = [service.token, service.make_token("importer")]
    files = [Identity(folder, UPN, key="P-256").pfx() for _ in range(8)]

    def send(pfx, token):
        body = {"pkcs12": base64.b64encode(pfx).decode(), "password": "secret"}
        return service.admin("POST", f"/v1/users/{UPN}/certificates", body, token=token)
    jobs = [lambda f=f, t=tokens[n % 2]: send(f, t) for n, f in enumerate(files)] + [device.pull] * 8
    answers = in_parallel(*jobs)
    assert [a.status for a in answers] == [201] * 8 + [200] * 8, [a.status for a in answers]
    assert len(device.history()) == 9


if __name__ == "__main__":
    main()
