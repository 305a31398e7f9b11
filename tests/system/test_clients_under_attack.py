#!/usr/bin/env python3
"""Servers that lie to the clients: pfxctl gives its token to nobody else and shows no control characters; pfx-device
believes nothing that its own service did not sign."""

from harness import *

import re

ANN, EVE = "ann@example.org", "eve@example.org"


class Liar:
    """A TLS server that answers each request with what reply(request) returns: the raw bytes of an HTTP answer, or
    None to close. requests holds everything that clients sent."""

    def __init__(self, certificate, key, reply, port=0):
        self.reply, self.requests, self.connections = reply, [], 0
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate, key)
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                plain, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            with contextlib.suppress(OSError), plain, self.tls.wrap_socket(plain, server_side=True) as connection:
                connection.settimeout(20)
                request = self.read(connection)
                self.requests.append(request)
                answer = self.reply(request)
                if answer is not None:
                    connection.sendall(answer)

    def read(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return data
            data += part
        head, body = data.split(b"\r\n\r\n", 1)
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while length and len(body) < int(length[1]):
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR) # wakes accept(), which would keep the port
        self.socket.close()


def http_answer(body=b"", status=200, content_type="application/json", headers=""):
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
    if isinstance(body, str):
        body = body.encode()
    return (f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nX-Request-Id: r\r\nContent-Length: {len(body)}\r\n"
            f"Connection: close\r\n{headers}\r\n").encode() + body


def make_ca(folder, name):
    """(ca, certificate, key) of a server localhost."""
    at = folder / name
    at.mkdir()
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
        at / "ca.key", "-out", at / "ca.pem", "-subj", f"/CN={name}", "-days", "9")
    csr = make_csr(at, "P-256")
    (at / "ext").write_text("subjectAltName=DNS:localhost\n")
    run("openssl", "x509", "-req", "-CA", at / "ca.pem", "-CAkey", at / "ca.key", "-days", "9", "-extfile", at / "ext",
        "-out", at / "server.pem", input=csr.encode())
    return at / "ca.pem", at / "server.pem", at / "device.key"


TOKEN = "T0ken-" + "x" * 37


class Ctl:
    """pfxctl with a configuration for a server on a port."""

    def __init__(self, folder, ca, port):
        self.folder = folder
        token = folder / "token"
        token.write_text(TOKEN + "\n")
        token.chmod(0o600)
        (folder / "pfxctl.conf").write_text(
            f"[pfxctl]\nserver = https://localhost:{port}\nca = {ca}\ntoken_file = token\n")

    def run(self, *arguments):
        return run(BUILD / "pfxctl", "--config", self.folder / "pfxctl.conf", *arguments, ok=False, timeout=120)


# ---- pfxctl ----

@test
def pfxctl_gives_its_token_to_no_server_that_its_ca_does_not_vouch_for(folder):
    ca, _, _ = make_ca(folder, "real")
    _, certificate, key = make_ca(folder, "evil")
    liar = Liar(certificate, key, lambda request: http_answer({"users": []}))
    done = Ctl(folder, ca, liar.port).run("users")
    assert done.returncode == 1 and b"not the server" in done.stderr, done
    assert liar.connections == 1 and liar.requests == []
    liar.close()


@test
def pfxctl_does_not_follow_a_redirect_with_its_token(folder):
    ca, certificate, key = make_ca(folder, "real")
    other = Liar(certificate, key, lambda request: http_answer({"users": []}))
    for status in (301, 302, 303, 307, 308):
        liar = Liar(certificate, key, lambda request: http_answer(
            b"", status, headers=f"Location: https://localhost:{other.port}/v1/users\r\n"))
        done = Ctl(folder, ca, liar.port).run("users")
        assert done.returncode not in (0,) and done.returncode > 0, (status, done)
        assert TOKEN.encode() in liar.requests[0], "the control: the token goes to the server that is meant"
        liar.close()
    assert other.connections == 0
    other.close()


NASTY = "x\x1b]0;owned\x07\x1b[2J\x1b[31m\rfake\x08\x7f\x9b31m\u202egnp.exe\u2066\u200b"


def assert_calm(done):
    """Nothing on the terminal that moves its cursor, rings, or turns the direction of text. (DEL does none of that.)"""
    text = (done.stdout + done.stderr).decode("utf-8")  # it must be UTF-8
    turns = "\u202e\u202d\u2066\u2067\u2068"
    bad = [c for c in text if (ord(c) < 32 and c not in "\n\t") or 128 <= ord(c) < 160 or c in turns]
    assert not bad, (bad, text[:500])


@test
def what_a_server_says_does_not_move_the_terminals_cursor(folder):
    ca, certificate, key = make_ca(folder, "real")
    user = {"id": NASTY, "upn": NASTY, "aliases": [NASTY], "identities": 1, "devices": 1}
    facts = {"id": NASTY, "thumbprint": NASTY, "thumbprintSha256": NASTY, "subject": NASTY, "issuer": NASTY,
             "serialNumber": NASTY, "notBefore": NASTY, "notAfter": NASTY, "usages": [NASTY], "currentFor": [NASTY],
             "keyAlgorithm": NASTY, "emails": [NASTY], "importedAt": NASTY}
    device = {"id": NASTY, "user": NASTY, "name": NASTY, "platform": NASTY, "state": NASTY, "enrolledAt": NASTY,
              "notAfter": NASTY, "lastPullAt": NASTY}
    token = {"id": NASTY, "name": NASTY, "role": NASTY, "createdAt": NASTY, "expiresAt": NASTY, "token": NASTY}
    record = {"sequence": 1, "at": NASTY, "event": NASTY, "actor": NASTY, "user": NASTY, "object": NASTY,
              "detail": NASTY, "requestId": NASTY}
    bodies = {
        ("users",): {"users": [user]}, ("user", ANN): user, ("devices",): {"devices": [device]},
        ("history", ANN): {"certificates": [facts]}, ("token", "list"): {"tokens": [token]},
        ("audit", "list"): {"records": [record]},
        ("audit", "verify"): {"ok": False, "records": 1, "differences": [NASTY]}, ("rename", ANN, EVE): user,
        ("ca",): NASTY,
    }
    liar = Liar(certificate, key, None)
    ctl = Ctl(folder, ca, liar.port)
    problem = {"type": NASTY, "title": NASTY, "status": 400, "detail": NASTY, "code": NASTY, "requestId": NASTY}
    for arguments, body in bodies.items():
        liar.reply = lambda request: http_answer(body)
        assert_calm(ctl.run(*arguments))
        assert_calm(ctl.run(*arguments, "--json"))
        liar.reply = lambda request: http_answer(problem, 400, "application/problem+json")
        done = ctl.run(*arguments)
        assert_calm(done)
        assert done.returncode == 1, (arguments, done)
    liar.close()


@test
def broken_answers_end_pfxctl_with_a_sentence_and_not_with_a_signal(folder):
    ca, certificate, key = make_ca(folder, "real")
    deep = b"[" * 200000 + b"]" * 200000
    answers = {
        "nothing": None, "no HTTP": b"SSH-2.0-OpenSSH_9.9\r\n", "half a header": b"HTTP/1.1 200 OK\r\nContent-Le",
        "not JSON": http_answer(b"<html>"), "an empty body": http_answer(b""), "a number": http_answer(b"7"),
        "an array": http_answer(b"[]"), "null": http_answer(b"null"), "deep": http_answer(deep),
        "deep in a member": http_answer(b'{"users":' + deep + b"}"),
        "not UTF-8": http_answer(b'{"users":["\xff\xfe"]}'),
        "users that is no list": http_answer({"users": 7}),
        "a list of numbers": http_answer({"users": [7, None, "x", []]}),
        "cut": http_answer(b'{"users":[]}')[:-3], "NUL": http_answer(b'{"users":[{"upn":"a\\u0000b"}]}'),
        "a lone surrogate": http_answer(b'{"users":[{"upn":"\\ud800"}]}'),
        "huge numbers": http_answer(b'{"users":[{"identities":1e999,"devices":-99999999999999999999999999}]}'),
        "a negative length": b"HTTP/1.1 200 X\r\nContent-Length: -5\r\n\r\nxxxxx",
        "broken chunks": b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
        "a problem that is none": http_answer(b"[]", 422, "application/problem+json"),
        "a status of 99": b"HTTP/1.1 99 X\r\n\r\n", "204": http_answer(b"", 204), "304": http_answer(b"", 304),
    }
    liar = Liar(certificate, key, None)
    ctl = Ctl(folder, ca, liar.port)
    pfx = folder / "a.pfx"
    pfx.write_bytes(b"x")
    word = folder / "word"
    word.write_text("secret")
    word.chmod(0o600)
    taken = []
    for what, body in answers.items():
        liar.reply = lambda request: body
        for arguments in (["users"], ["history", ANN], ["audit", "verify"], ["token", "list"], ["devices"],
                          ["import", ANN, pfx, "--password-file", word]):
            done = ctl.run(*arguments)
            assert 0 <= done.returncode <= 5, (what, arguments, done.returncode, done.stderr[-300:])
            assert done.returncode == 0 or done.stderr.strip(), (what, arguments)
            assert_calm(done)
            # What is not said to be done or well is not.
            if arguments[0] in ("import", "audit") and done.returncode == 0:
                taken.append((what, arguments[0], done.stdout))
    assert not taken, taken
    liar.close()


@test
def an_answer_without_end_does_not_fill_pfxctls_memory(folder):
    ca, certificate, key = make_ca(folder, "real")
    block = b'{"users":[' + b" " * (1 << 20)

    class Endless(Liar):
        def read(self, connection):
            super().read(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
            self.sent = 0
            while True: # ends when the client closes
                connection.sendall(block)
                self.sent += len(block)

    liar = Endless(certificate, key, None)
    done = Ctl(folder, ca, liar.port).run("users")
    assert done.returncode == 1 and b"larger" in done.stderr, done
    assert liar.sent < 256 << 20
    liar.close()


# ---- pfx-device ----

class Phone:
    """The real client in a folder."""

    def __init__(self, folder, port, ca, token):
        self.dir, self.port, self.ca = folder, port, ca
        self.token = folder.with_suffix(".token")
        self.token.write_text(token)
        self.token.chmod(0o600)

    def enroll(self):
        return run(BUILD / "pfx-device", "enroll", "--dir", self.dir, "--server", f"https://localhost:{self.port}",
                   "--ca", self.ca, "--token-file", self.token, ok=False)

    def command(self, *arguments):
        return run(BUILD / "pfx-device", *arguments, "--dir", self.dir, ok=False)

    def files(self):
        """What must not change when something was refused: all but the key that waits for its certificate."""
        return {str(p.relative_to(self.dir)): p.read_bytes() for p in sorted(self.dir.rglob("*"))
                if p.is_file() and not p.name.startswith("pending") and p.name != "lock"}


def issue(folder, public_csr, ca, ca_key, device_id, usage="clientAuth", name="crt"):
    """A certificate for the key of a request, by a CA of the attacker's own, PEM."""
    extensions = folder / "issue.ext"
    extensions.write_text(f"extendedKeyUsage={usage}\nkeyUsage=critical,digitalSignature,keyAgreement\n"
                          f"subjectAltName=URI:urn:uuid:{device_id}\n")
    return run("openssl", "x509", "-req", "-CA", ca, "-CAkey", ca_key, "-days", "9", "-extfile", extensions,
               input=public_csr.encode()).stdout.decode()


DEVICE_ID = "01234567-89ab-4cde-8f01-23456789abcd"


@test
def a_device_stores_no_certificate_that_is_not_for_its_key_and_its_name(folder):
    ca, certificate, key = make_ca(folder, "real")
    evil, _, _ = make_ca(folder, "evil")
    other = folder / "other"
    other.mkdir()
    other_csr = make_csr(other, "P-256")
    root = ca.read_text()

    def issued(request, **changes):
        csr = json.loads(request.split(b"\r\n\r\n", 1)[1])["csr"]
        answer = {"deviceId": DEVICE_ID, "certificate": issue(folder, csr, ca, ca.with_name("ca.key"), DEVICE_ID),
                  "chain": root}
        answer.update({k: v(csr) if callable(v) else v for k, v in changes.items()})
        return http_answer({k: v for k, v in answer.items() if v is not None}, 201)

    lies = {
        "for another key": {"certificate": issue(folder, other_csr, ca, ca.with_name("ca.key"), DEVICE_ID)},
        "that names another device": {"deviceId": "11111111-1111-4111-8111-111111111111"},
        "of another CA than its chain": {"chain": evil.read_text()},
        "without a chain": {"chain": ""}, "with no chain at all": {"chain": None},
        "that is for servers": {"certificate": lambda csr: issue(folder, csr, ca, ca.with_name("ca.key"), DEVICE_ID,
                                                                 "serverAuth")},
        "that is none": {"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
        "missing": {"certificate": None}, "for a folder": {"deviceId": "../../../../tmp/x"},
        "for nobody": {"deviceId": ""}, "for a number": {"deviceId": 7},
    }
    liar = Liar(certificate, key, None)
    stored = []
    for number, (what, changes) in enumerate(lies.items()):
        phone = Phone(folder / f"phone-{number}", liar.port, ca, TOKEN)
        liar.reply = lambda request: issued(request, **changes)
        done = phone.enroll()
        assert_calm(done)
        if done.returncode != 1 or (phone.dir / "device.crt").exists() or (phone.dir / "enrol-ca.pem").exists():
            stored.append((what, done.stderr))
            continue
        # The control: what it holds is good for an honest answer.
        liar.reply = issued
        assert phone.enroll().returncode == 0 and (phone.dir / "device.crt").exists(), what
    assert not stored, stored
    assert all(b"PRIVATE KEY" not in request for request in liar.requests)
    liar.close()


def real_phone(folder):
    """(service, phone): enrolled at the real service and in sync with it; and what the service would answer now."""
    service = Service(folder)
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256", usage="keyAgreement").pfx(), "secret").expect(201)
    phone = Phone(folder / "phone", service.base, service.dir / "ca.pem", service.enrolment_token(ANN))
    assert phone.enroll().returncode == 0
    done = phone.command("sync")
    assert done.returncode == 0, done.stderr
    return service, phone


@test
def a_renewal_that_a_captured_front_made_up_is_not_stored(folder):
    service, phone = real_phone(folder)
    device_id = json.loads((phone.dir / "state.json").read_text())["deviceId"]
    eve = service.enrol(EVE, "P-256")
    real_ca = (phone.dir / "enrol-ca.pem").read_text()
    evil_ca, _, _ = make_ca(folder, "evil")
    service.stop()
    before = phone.files()
    evil_key = evil_ca.with_name("ca.key")

    def reply(certificate, chain, device=device_id):
        def make(request):
            csr = json.loads(request.split(b"\r\n\r\n", 1)[1])["csr"]
            return http_answer({"deviceId": device, "chain": chain,
                                "certificate": certificate(csr) if callable(certificate) else certificate}, 201)
        return make

    liar = Liar(service.dir / "tls/server.pem", service.dir / "tls/server.key", None, service.base)
    own = lambda csr: issue(folder, csr, evil_ca, evil_key, device_id)
    for what, answer in {
        "by another CA": reply(own, evil_ca.read_text()),
        "by another CA, with the real one as its chain": reply(own, real_ca),
        "by another CA, with both": reply(own, evil_ca.read_text() + real_ca),
        "of another device": reply(eve.certificate.read_text(), eve.ca.read_text(), eve.id),
        "of another device, under this one's name": reply(eve.certificate.read_text(), eve.ca.read_text()),
        "the present one": reply((phone.dir / "device.crt").read_text(), real_ca),
        "nothing": lambda request: http_answer({}, 201), "a refusal": lambda request: http_answer({}, 500),
    }.items():
        liar.reply = answer
        done = phone.command("renew")
        assert done.returncode in (1, 3) and done.stderr.strip(), (what, done)
        assert phone.files() == before, what
    liar.close()
    # The service itself renews it still, and pulls go on with the new key.
    service.start()
    done = phone.command("renew")
    assert done.returncode == 0, done.stderr
    assert phone.command("sync").returncode == 0


@test
def a_phone_is_not_confused_by_a_server_without_the_right_tls_key(folder):
    service, phone = real_phone(folder)
    _, certificate, key = make_ca(folder, "evil")
    service.stop()
    before = phone.files()
    liar = Liar(certificate, key, lambda request: http_answer(b"", 403), service.base)
    for command in ("sync", "renew"):
        done = phone.command(command)
        assert done.returncode == 1 and b"not the server" in done.stderr, done
    assert liar.requests == [] and phone.files() == before
    liar.close()


@test
def what_a_server_says_to_a_phone_does_not_move_the_terminals_cursor(folder):
    service, phone = real_phone(folder)
    service.stop()
    liar = Liar(service.dir / "tls/server.pem", service.dir / "tls/server.key", None, service.base)
    problem = {"type": NASTY, "title": NASTY, "status": 403, "detail": NASTY, "code": NASTY, "requestId": NASTY}
    before = phone.files()
    for status in (400, 401, 403, 404, 422, 429, 500, 503):
        liar.reply = lambda request: http_answer(problem, status, "application/problem+json",
                                                     "Retry-After: 99999999999999999999\r\n")
        for command in ("sync", "renew"):
            done = phone.command(command)
            assert done.returncode in (1, 3), (status, done)
            assert_calm(done)
    # Not even a revocation that a front made up takes away what the phone has.
    assert phone.files() == before
    liar.close()


if __name__ == "__main__":
    main()
