#!/usr/bin/env python3
"""A front that was taken over: it speaks to the keeper's sockets as it likes, holds the TLS key, and sends devices what
it likes. It must get nothing that opens, change nothing that it may not, end nothing, and make no device believe it."""

from harness import *

import re
import resource
import select

ANN, BOB, EVE = "ann@example.org", "bob@example.org", "eve@example.org"


def faults():
    """{name: number} of every fault, read from the header that holds them."""
    names = re.findall(r"\bF\((\w+),\s+\d+,", (ROOT / "common/fault.h").read_text())
    return {name: number for number, name in enumerate(names, 1)}


VERBS, FAULTS = verbs(), faults()


def socket_of(service, name):
    return Frames(service.dir / f"run/keeper-{name}.sock")


def ask(service, socket_name, verb, fields=b""):
    """One frame on a connection of its own: what came back, as answer() has it."""
    frames = socket_of(service, socket_name)
    try:
        return answer(frames.ask(VERBS[verb] if isinstance(verb, str) else verb, fields))
    finally:
        frames.close()


def answer(received):
    """"dropped", the name of a fault, or the fields (bytes) of an answer."""
    if received is None:
        return "dropped"
    verb, fields = received
    if verb == VERBS["ERROR"]:
        return {number: name for name, number in FAULTS.items()}[fields[0]]
    return fields


def admin_messages(token, upn=ANN, thumbprint=b"\1" * 20, object_id="00000000-0000-4000-8000-000000000000"):
    """{verb: fields}: a message for every administrators' verb, as the admin front would send it."""
    who = field("r") + field(token)
    listing = who + field("") + u32(10) + field("")
    return {
        "AUTHORIZE": who + u8(VERBS["IMPORT"]), "HISTORY": who + field(upn),
        "IMPORT": who + field(upn) + u8(0) + field(b"x") + field("secret"),
        "DELETE_IDENTITY": who + field(upn) + field(thumbprint),
        "ADD_ENROLMENT": who + field(upn) + field("phone") + field("") + u32(60),
        "USERS": listing, "USER": who + field(upn), "RENAME_USER": who + field(upn) + field("anna@example.org"),
        "RETIRE_USER": who + field(upn), "DEVICES": listing, "REVOKE_DEVICE": who + field(object_id),
        "RELEASE_DEVICE": who + field(object_id),
        "ADD_TOKEN": who + field("t") + field("admin") + u32(0), "TOKENS": who, "DELETE_TOKEN": who + field(object_id),
        "AUDIT": listing, "VERIFY_AUDIT": who, "CA": who,
    }


def device_messages(fingerprint_bytes, token="A" * 43, csr="x", signature=b"x"):
    who = field("r") + field(fingerprint_bytes)
    return {
        "ENROLL": field("r") + field(token) + field(csr), "CERTIFICATES": who, "BUNDLE": who + u8(0) + field(""),
        "RECEIPTS": who + field(b""), "RENEW": who + field(csr) + field(signature),
    }


# What root alone may ask, at a socket of its own.
LOCAL_MESSAGES = {"VERIFY": b"", "INSPECT": b"", "BACKUP": b"", "RESTORE": struct.pack(">QBBI", 1, 1, 1, 0),
                  "VERIFY_IDENTITIES": struct.pack(">Q", 0)}


def sha256_of(device):
    return bytes.fromhex(fingerprint(device.certificate, "sha256"))


class Scene:
    """A running service with Ann, one identity and one device."""

    def __init__(self, folder, key="P-256"):
        self.service = Service(folder)
        self.identity = Identity(folder, ANN, key="P-256", usage="keyAgreement")
        self.service.import_pfx(ANN, self.identity.pfx(), "secret").expect(201)
        self.device = self.service.enrol(ANN, key)
        self.keeper = self.service.keeper_pid()

    def assert_unharmed(self):
        """The same keeper still answers, on both sockets and to a real device; nothing was added or lost."""
        assert self.service.keeper_pid() == self.keeper, "the keeper died and was started again"
        assert list(self.device.history()) == [self.identity.thumbprint]
        users = self.service.admin("GET", "/v1/users").expect(200).json["users"]
        assert [u["upn"] for u in users] == [ANN], users
        assert self.service.admin("GET", "/v1/audit/verification").expect(200).json["ok"]


# ---- verbs ----

@test
def every_verb_of_another_socket_or_of_none_drops_the_connection(folder):
    scene = Scene(folder)
    good = {**admin_messages(scene.service.token), **device_messages(sha256_of(scene.device)), **LOCAL_MESSAGES,
            "HEALTH": b""}
    names = {number: name for name, number in VERBS.items()}
    of_socket = {"device": set(device_messages(b"")) | {"HEALTH"}, "admin": set(admin_messages("")) | {"HEALTH"}}
    for kind, own in of_socket.items():
        for number in range(256):
            name = names.get(number)
            if name in own:
                continue
            # With the very message that the right socket would take, a good token in it.
            got = ask(scene.service, kind, number, good.get(name, field("r") + field(scene.service.token)))
            assert got == "dropped", f"verb {name or number} on the {kind} socket: {got!r}"
            assert f"the verb {name or '?'} ({number}) is not permitted on this socket" in scene.service.log(), name
    scene.assert_unharmed()


@test
def a_good_administrators_token_is_worth_nothing_on_the_devices_socket(folder):
    scene = Scene(folder)
    for verb, fields in admin_messages(scene.service.token).items():
        frames = socket_of(scene.service, "device")
        # What follows on the same connection is not read either.
        assert frames.ask(VERBS["HEALTH"]) is not None
        assert frames.ask(VERBS[verb], fields) is None, verb
        assert frames.ask(VERBS["HEALTH"]) is None, verb
        frames.close()
        assert "is not permitted on this socket" in scene.service.log()
    # As a device's credential it is none.
    token = scene.service.token
    assert ask(scene.service, "device", "ENROLL", field("r") + field(token) + field(scene.device.csr)) == "UNAUTHORIZED"
    scene.assert_unharmed()


@test
def without_credentials_no_verb_does_anything(folder):
    scene = Scene(folder)
    for token in ("", "A" * 43, scene.service.token[:-1], scene.service.token + "A", scene.service.token.swapcase()):
        for verb, fields in admin_messages(token).items():
            assert ask(scene.service, "admin", verb, fields) == "UNAUTHORIZED", (verb, token)
    real = sha256_of(scene.device)
    for sha256 in (b"", b"\0" * 32, real[:31], bytes([real[0] ^ 1]) + real[1:]):
        for verb, fields in device_messages(sha256).items():
            assert ask(scene.service, "device", verb, fields) == "UNAUTHORIZED", (verb, sha256)
    # No fields at all is no message.
    for kind, names in (("admin", admin_messages("")), ("device", device_messages(b""))):
        for verb in names:
            assert ask(scene.service, kind, verb) == "dropped", verb
    scene.assert_unharmed()


@test
def a_token_does_what_its_role_says_and_nothing_else(folder):
    scene = Scene(folder)
    may = {
        "importer": {"AUTHORIZE", "IMPORT", "HISTORY", "CA"},
        "enroller": {"AUTHORIZE", "ADD_ENROLMENT", "DEVICES", "REVOKE_DEVICE", "RELEASE_DEVICE", "CA"},
        "auditor": {"AUTHORIZE", "HISTORY", "USERS", "USER", "DEVICES", "TOKENS", "AUDIT", "VERIFY_AUDIT", "CA"},
        "operator": {"AUTHORIZE", "CA"},
    }
    for role, allowed in may.items():
        for verb, fields in admin_messages(scene.service.make_token(role)).items():
            got = ask(scene.service, "admin", verb, fields)
            if verb == "AUTHORIZE":
                assert (got == "FORBIDDEN") == (role != "importer"), (role, got)
            else:
                assert (got == "FORBIDDEN") == (verb not in allowed), (role, verb, got)
    # An importer does not see what somebody else imported.
    importer = scene.service.make_token("importer")
    assert ask(scene.service, "admin", "HISTORY", admin_messages(importer)["HISTORY"]) == u32(0)
    scene.assert_unharmed()


# ---- frames ----

@test
def frames_that_break_the_protocol_drop_the_connection_and_nothing_else(folder):
    scene = Scene(folder)
    service = scene.service
    messages = {"admin": admin_messages(service.token), "device": device_messages(sha256_of(scene.device))}
    for kind, of_kind in messages.items():
        for verb, fields in of_kind.items():
            for broken in (fields[:-1], fields[:4], fields + b"\0", fields + fields, b"\xff" * 4 + fields[4:]):
                got = ask(service, kind, verb, broken)
                assert got in ("dropped", "UNAUTHORIZED"), (verb, broken, got)
    raw = [b"\0\0\0\0", b"\0\0\0\0\0", b"\xff\xff\xff\xff\x11", b"\x7f\xff\xff\xff\x11", b"\x00\x30\x00\x00\x11",
           b"\0\0\0", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500]
    for kind in messages:
        for data in raw:
            frames = socket_of(service, kind)
            frames.socket.sendall(data)
            frames.socket.shutdown(socket.SHUT_WR)
            assert frames.receive() is None, data
            frames.close()
    scene.assert_unharmed()


@test
def text_that_is_no_text_and_numbers_out_of_range_are_not_taken(folder):
    scene = Scene(folder)
    service = scene.service
    who = field("r") + field(service.token)
    bad = [b"a\0b", b"a\nb", b"a\x1b[2J", b"\x7f", b"\xc2\x85", b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80",
           b"\xf4\x90\x80\x80", b"\xe2\x82", b"x" * 321]
    for text in bad:
        for verb, fields in {
            "HISTORY": who + field(text), "ADD_ENROLMENT": who + field(ANN) + field(text) + field("") + u32(60),
            "RENAME_USER": who + field(ANN) + field(text), "ADD_TOKEN": who + field(text) + field("admin") + u32(0),
            "USER": field(text) + field(service.token) + field(ANN), "REVOKE_DEVICE": who + field(text),
        }.items():
            assert ask(service, "admin", verb, fields) == "dropped", (verb, text)
    for verb, fields in {
        "IMPORT": who + field(ANN) + u8(4) + field(b"x") + field("secret"),
        "USERS": who + field("") + u32(1001) + field(""),
        "ADD_ENROLMENT": who + field(ANN) + field("n") + field("") + u32(604801),
        "DELETE_IDENTITY": who + field(ANN) + field(b"x" * 33),
    }.items():
        assert ask(service, "admin", verb, fields) == "dropped", verb
    device = field("r") + field(sha256_of(scene.device))
    assert ask(service, "device", "BUNDLE", device + u8(2) + field("")) == "dropped"
    assert ask(service, "device", "BUNDLE", device + u8(0) + field("x" * 1025)) == "dropped"
    assert ask(service, "device", "CERTIFICATES", field("r") + field(sha256_of(scene.device) + b"x")) == "dropped"
    receipt = field(b"\1" * 20) + u8(1) + field("")
    for broken in (receipt[:-1], receipt + b"\0", field(b"\1" * 33) + u8(1) + field(""), receipt.replace(u8(1), u8(2))):
        got = ask(service, "device", "RECEIPTS", device + field(broken))
        assert isinstance(got, str), "broken receipts were taken"
    assert isinstance(ask(service, "device", "RECEIPTS", device + field(receipt * 1001)), str)
    # A user of no name, or of one that nobody could type, is not made.
    for verb in ("IMPORT", "ADD_ENROLMENT"):
        fields = admin_messages(service.token, upn="")[verb]
        assert isinstance(ask(service, "admin", verb, fields), str)
    scene.assert_unharmed()


@test
def slow_and_half_open_connections_are_capped_and_stop_nobody_else(folder):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1500:
        raise Skip("this user may not open 1,500 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1500), hard))
    scene = Scene(folder)
    service = scene.service
    held = []
    for i in range(1000):
        with contextlib.suppress(OSError):
            frames = socket_of(service, "device")
            held.append(frames)
            # Some say nothing, some begin a header, some promise a megabyte.
            frames.socket.sendall((b"", b"\0\0", b"\0\x0f\xff\xff\x03")[i % 3])
    # No more than so many keep a thread: the rest were closed.
    closed = lambda: sum(is_closed(f.socket) for f in held)
    wait_until(lambda: closed() >= 1000 - 256 - 40, what="the closing of connections over the cap")
    # The administrators' side has a cap of its own and goes on.
    service.admin("GET", "/v1/users").expect(200)
    extra = Identity(folder, EVE, key="P-256", usage="keyAgreement")
    service.import_pfx(EVE, extra.pfx(), "secret").expect(201)
    assert service.admin("DELETE", f"/v1/users/{EVE}").status == 204
    assert service.health("/livez").status == 200
    for frames in held:
        frames.close()
    wait_until(lambda: pull_works(scene.device), what="a pull after the flood")
    # A frame that trickles in is still a frame.
    frames = socket_of(service, "device")
    for byte in struct.pack(">IB", 1, VERBS["HEALTH"]):
        frames.socket.sendall(bytes([byte]))
        time.sleep(0.05)
    assert frames.receive()[0] == VERBS["HEALTH"]
    frames.close()
    scene.assert_unharmed()


def is_closed(connection):
    poll = select.poll()
    poll.register(connection, select.POLLIN | select.POLLRDHUP)
    return any(events & (select.POLLRDHUP | select.POLLHUP) for _, events in poll.poll(0))


def pull_works(device):
    with contextlib.suppress(OSError, http.client.HTTPException):
        return device.pull().status == 200


@test
def frames_sent_ahead_are_answered_in_order_and_a_bad_one_ends_it(folder):
    scene = Scene(folder)
    sha256 = sha256_of(scene.device)
    frames = socket_of(scene.service, "device")
    for verb, fields in (("HEALTH", b""), ("CERTIFICATES", field("r") + field(sha256)), ("HEALTH", b"")):
        frames.send(VERBS[verb], fields)
    frames.send(VERBS["IMPORT"], b"")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        frames.send(VERBS["HEALTH"])
    assert [frames.receive()[0] for _ in range(3)] == [VERBS["HEALTH"], VERBS["CERTIFICATES"], VERBS["HEALTH"]]
    assert frames.receive() is None
    frames.close()
    scene.assert_unharmed()


@test
def what_a_captured_front_pulls_for_a_device_it_can_not_open(folder):
    scene = Scene(folder)
    fields = ask(scene.service, "device", "BUNDLE", device_messages(sha256_of(scene.device))["BUNDLE"])
    assert isinstance(fields, bytes)
    for secret in (ANN.encode(), scene.identity.thumbprint.encode(), b"pkcs12", b"password"):
        assert secret not in fields
    # The attacker has a device too; its key does not open Ann's bundle.
    eve = scene.service.enrol(EVE, "P-256")
    bundle = folder / "ann.cms"
    bundle.write_bytes(fields[fields.index(b"\x30\x82"):])
    done = run("openssl", "cms", "-decrypt", "-inform", "DER", "-in", bundle, "-inkey", eve.key, "-recip",
               eve.certificate, ok=False)
    assert done.returncode != 0 and b"pkcs12" not in done.stdout


# ---- renewal ----

def request_for(device, folder):
    """A new request for a device, PEM, and its DER; the key goes into folder."""
    folder.mkdir()
    csr = make_csr(folder, "P-256")
    return csr, run("openssl", "req", "-outform", "DER", input=csr.encode()).stdout


def sign(key, data):
    return run("openssl", "dgst", "-sha256", "-sign", key, input=data).stdout


def renewal(device, csr, signature):
    return device_messages(sha256_of(device), csr=csr, signature=signature)["RENEW"]


def integer(data):
    return b"\x02" + bytes([len(data)]) + data


def broken_signatures(good):
    """(what, bytes): ECDSA-Sig-Value in shapes that are not it."""
    r_len = good[3]
    r, s = good[4:4 + r_len], good[6 + r_len:]
    sequence = lambda body: b"\x30" + bytes([len(body)]) + body
    yield "nothing", b""
    yield "a trailing byte", good + b"\0"
    yield "cut", good[:-1]
    yield "a long length", b"\x30\x81" + good[1:]
    yield "an indefinite length", b"\x30\x80" + good[2:] + b"\0\0"
    yield "a set", b"\x31" + good[1:]
    yield "a third number", sequence(integer(r) + integer(s) + integer(b"\1"))
    yield "one number", sequence(integer(r))
    yield "an empty number", sequence(b"\x02\x00" + integer(s))
    yield "zeros", sequence(integer(b"\0") + integer(b"\0"))
    yield "ones", sequence(integer(b"\1") + integer(b"\1"))
    yield "a negative number", sequence(integer(b"\xff" * 32) + integer(s))
    yield "a padded number", sequence(integer(b"\0\0" + r) + integer(s))
    yield "a huge number", sequence(integer(b"\x7f" + b"\xff" * 49) + integer(s))
    yield "a length past the end", b"\x30\x44\x02\x60" + r + integer(s)
    yield "exchanged", sequence(integer(s) + integer(r))
    yield "a turned bit", good[:-1] + bytes([good[-1] ^ 1])
    yield "random", b"\x30\x06\x02\x01\x01\x02\x01\x01"
    yield "a kilobyte", b"\x30" * 1024


@test
def a_renewal_takes_the_signature_of_the_devices_present_key_and_no_other(folder):
    scene = Scene(folder)
    service, device = scene.service, scene.device
    eve = service.enrol(EVE, "P-256")
    csr, der = request_for(device, folder / "next")
    other_csr, other_der = request_for(device, folder / "other")
    good = sign(device.key, der)
    for what, signature in [
        *broken_signatures(good), ("the new key's", sign(folder / "next/device.key", der)),
        ("another device's", sign(eve.key, der)), ("over another request", sign(device.key, other_der)),
        ("over the PEM", sign(device.key, csr.encode())),
    ]:
        got = ask(service, "device", "RENEW", renewal(device, csr, signature))
        assert got == "BAD_PROOF_OF_POSSESSION", (what, got)
    # In the name of another device, or for a request that another key signed.
    assert ask(service, "device", "RENEW", renewal(eve, csr, good)) == "BAD_PROOF_OF_POSSESSION"
    assert ask(service, "device", "RENEW", renewal(device, other_csr, good)) == "BAD_PROOF_OF_POSSESSION"
    assert isinstance(ask(service, "device", "RENEW", renewal(device, csr, good)), bytes)
    assert service.admin("DELETE", f"/v1/users/{EVE}").status == 204
    scene.assert_unharmed()


@test
def an_rsa_device_renews_with_its_own_signature_alone(folder):
    scene = Scene(folder, key="rsa:2048")
    csr, der = request_for(scene.device, folder / "next")
    good = sign(scene.device.key, der)
    other = folder / "rsa"
    other.mkdir()
    make_csr(other)
    for signature in (b"", good[:-1], good + b"\0", b"\0" * 256, b"\xff" * 256, good[::-1],
                      sign(other / "device.key", der),
                      run("openssl", "dgst", "-sha1", "-sign", scene.device.key, input=der).stdout,
                      run("openssl", "dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sign", scene.device.key,
                          input=der).stdout):
        assert ask(scene.service, "device", "RENEW", renewal(scene.device, csr, signature)) == "BAD_PROOF_OF_POSSESSION"
    assert isinstance(ask(scene.service, "device", "RENEW", renewal(scene.device, csr, good)), bytes)
    scene.assert_unharmed()


@test
def a_renewal_that_is_sent_again_by_front_does_not_lock_the_device_out(folder):
    scene = Scene(folder)
    service, device = scene.service, scene.device
    csr, der = request_for(device, folder / "next")
    frame = renewal(device, csr, sign(device.key, der))
    fields = ask(service, "device", "RENEW", frame)
    pem = fields[fields.index(b"-----BEGIN"):fields.index(b"-----END CERTIFICATE-----") + 26]
    device.certificate.write_bytes(pem)
    device.key.write_bytes((folder / "next/device.key").read_bytes())
    device.pull().expect(200)
    # The front kept the frame. Sent again it must not end the certificate that the device now has.
    for _ in range(3):
        ask(service, "device", "RENEW", frame)
    device.pull().expect(200)


# ---- bundles that a front makes up ----

class Phone:
    """The real client, enrolled at the real service."""

    def __init__(self, service, folder, upn=ANN, key="rsa2048"):
        self.service, self.dir = service, folder
        self.out = folder / "certificates"
        token = folder.with_suffix(".token")
        token.write_text(service.enrolment_token(upn))
        token.chmod(0o600)
        run(BUILD / "pfx-device", "enroll", "--dir", folder, "--server", f"https://localhost:{service.base}", "--ca",
            service.dir / "ca.pem", "--token-file", token, "--key", key)

    def sync(self):
        return run(BUILD / "pfx-device", "sync", "--dir", self.dir, ok=False)

    def files(self):
        return {str(p.relative_to(self.dir)): p.read_bytes() for p in sorted(self.dir.rglob("*")) if p.is_file()}

    def genuine(self):
        """A bundle as the service sends it now, and what was signed inside it."""
        context = self.service.context(self.dir / "device.crt", self.dir / "device.key")
        cms = self.service.call(self.service.base, "GET", "/v1/device/bundle", context=context).expect(200).body
        return cms, run("openssl", "cms", "-decrypt", "-inform", "DER", "-recip", self.dir / "device.crt", "-inkey",
                        self.dir / "device.key", input=cms).stdout

    def encrypt(self, signed):
        """What anybody can do who knows the device's certificate."""
        return run("openssl", "cms", "-encrypt", "-binary", "-aes-256-cbc", "-outform", "DER", self.dir / "device.crt",
                   input=signed).stdout


class FakeFront:
    """A TLS server with the service's own key and port, when that was stopped: it answers every pull with body."""

    def __init__(self, service):
        self.body, self.status, self.requests = b"", 200, []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(service.dir / "tls/server.pem", service.dir / "tls/server.key")
        self.socket = socket.create_server(("127.0.0.1", service.base))
        self.context = context
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                plain, _ = self.socket.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), plain, self.context.wrap_socket(plain, server_side=True) as connection:
                self.answer(connection)

    def answer(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return
            data += part
        self.requests.append(data.split(b"\r\n")[0].decode())
        body, status = (self.body, self.status) if b"/v1/device/bundle" in data else (b"", 204)
        connection.sendall(b"HTTP/1.1 %d X\r\nContent-Type: application/cms\r\nETag: W/\"%s\"\r\nContent-Length: %d\r\n"
                           b"Connection: close\r\n\r\n" % (status, os.urandom(8).hex().encode(), len(body)) + body)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR) # wakes accept(), which would keep the port
        self.socket.close()


def signed_by(certificate, key, content, *options):
    return run("openssl", "cms", "-sign", "-binary", "-nodetach", "-md", "sha256", "-outform", "DER", "-signer",
               certificate, "-inkey", key, *options, input=content).stdout


def own_signer(folder):
    """(certificate, key, CA) of a bundle signer that a CA of the attacker's own issued, with all the right extensions
    and the names of the real one."""
    folder.mkdir()
    ca = folder / "ca.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
        folder / "ca.key", "-out", ca, "-subj", "/CN=pfxd enrolment CA", "-days", "99")
    csr = make_csr(folder, "P-256")
    extensions = folder / "ext"
    extensions.write_text("keyUsage=critical,digitalSignature\nextendedKeyUsage=1.3.6.1.5.5.7.3.36\n"
                          "basicConstraints=CA:FALSE\n")
    run("openssl", "x509", "-req", "-CA", ca, "-CAkey", folder / "ca.key", "-days", "9", "-extfile", extensions, "-out",
        folder / "crt", input=csr.encode())
    return folder / "crt", folder / "device.key", ca


def forgeries(folder, service, phone, eve, genuine, signed, content, older):
    """(what, bytes of a pull's body)"""
    certificate, key, ca = own_signer(folder / "evil")
    enrolment_ca = phone.dir / "enrol-ca.pem"
    signer = folder / "signer.pem"
    run("openssl", "cms", "-verify", "-noverify", "-inform", "DER", "-signer", signer, "-out", "/dev/null",
        input=signed)
    yield "not signed at all", phone.encrypt(content)
    yield "signed under a CA of the attacker's own", phone.encrypt(
        signed_by(certificate, key, content, "-certfile", ca))
    yield "signed by an enrolled device", phone.encrypt(
        signed_by(eve.certificate, eve.key, content, "-certfile", enrolment_ca))
    yield "signed by an enrolled device, with the signer's certificate beside it", phone.encrypt(
        signed_by(eve.certificate, eve.key, content, "-certfile", signer))
    yield "signed by a device, the phone's own", phone.encrypt(
        signed_by(phone.dir / "device.crt", phone.dir / "device.key", content, "-certfile", enrolment_ca))
    yield "signed with the TLS key", phone.encrypt(
        signed_by(service.dir / "tls/server.pem", service.dir / "tls/server.key", content, "-certfile",
                  service.dir / "ca.pem"))
    yield "two signers, neither of them the service", phone.encrypt(
        signed_by(certificate, key, content, "-certfile", ca, "-signer", eve.certificate, "-inkey", eve.key))
    yield "without signers", phone.encrypt(run("openssl", "crl2pkcs7", "-nocrl", "-certfile", enrolment_ca, "-outform",
                                               "DER").stdout)
    changed = signed.replace(ANN.encode(), b"ann@examplf.org")
    assert changed != signed
    yield "a byte changed in what is signed", phone.encrypt(changed)
    yield "not encrypted", signed
    yield "for another device", phone.encrypt(run("openssl", "cms", "-decrypt", "-inform", "DER", "-recip",
                                                  eve.certificate, "-inkey", eve.key, input=eve.pull_bytes).stdout)
    yield "for another device, as it came", eve.pull_bytes
    yield "an older one", older
    for cut in (0, 1, 100, len(genuine) // 2, len(genuine) - 1):
        yield f"cut to {cut} bytes", genuine[:cut]
    for at in (0, 4, 20, 60, len(genuine) // 3, len(genuine) // 2, len(genuine) - 40, len(genuine) - 1):
        yield f"byte {at} changed", genuine[:at] + bytes([genuine[at] ^ 0x10]) + genuine[at + 1:]
    yield "something behind it", genuine + b"\0"
    yield "a web page", b"<!doctype html><title>Log in</title>"
    yield "the JSON itself", content


@test
def a_bundle_that_front_made_up_is_refused_with_a_sentence_and_nothing_is_written(folder):
    service = Service(folder)
    identity = Identity(folder, ANN, key="P-256", usage="keyAgreement")
    service.import_pfx(ANN, identity.pfx(), "secret").expect(201)
    phone = Phone(service, folder / "phone")
    eve = service.enrol(EVE, "rsa:2048")
    older, _ = phone.genuine()
    # Times in bundles have whole seconds: the next one must be of a later one.
    second = int(time.time())
    wait_until(lambda: int(time.time()) > second + 1, what="another second")
    assert phone.sync().returncode == 0
    genuine, signed = phone.genuine()
    content = run("openssl", "cms", "-verify", "-noverify", "-inform", "DER", input=signed).stdout
    assert json.loads(content)["user"] == ANN
    eve.pull_bytes = eve.pull().expect(200).body
    service.stop()
    before = phone.files()
    assert any(name.endswith(".p12") for name in before)
    front = FakeFront(service)
    # What was written is asked for again: without it the client would send its ETag and take nothing but 304.
    for what, body in forgeries(folder, service, phone, eve, genuine, signed, content, older):
        front.body = body
        done = phone.sync()
        said = done.stderr.decode()
        assert done.returncode == 1, f"{what}: exit status {done.returncode}: {said}"
        assert "nothing was written" in said, f"{what}: {said}"
        assert phone.files() == before, f"{what}: files changed"
    assert all("receipts" not in request for request in front.requests), "it told the front that it installed something"
    # The control: the fake front itself is believed when it passes on what the service made.
    front.body = genuine
    done = phone.sync()
    assert done.returncode == 0, done.stderr
    front.close()


@test
def a_first_bundle_that_front_made_up_is_refused_too(folder):
    service = Service(folder)
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256", usage="keyAgreement").pfx(), "secret").expect(201)
    phone = Phone(service, folder / "phone")
    genuine, signed = phone.genuine()
    content = run("openssl", "cms", "-verify", "-noverify", "-inform", "DER", input=signed).stdout
    service.stop()
    front = FakeFront(service)
    certificate, key, ca = own_signer(folder / "evil")
    forged = signed_by(certificate, key, content, "-certfile", ca)
    for front.body in (phone.encrypt(content), phone.encrypt(forged), genuine[:-1]):
        done = phone.sync()
        assert done.returncode == 1 and b"nothing was written" in done.stderr, done
        assert not list(phone.dir.rglob("*.p12"))
    # "Nothing new" to a device that has nothing is no answer either.
    front.body, front.status = b"", 304
    assert phone.sync().returncode == 1
    front.body, front.status = genuine, 200
    assert phone.sync().returncode == 0 and list(phone.dir.rglob("*.p12"))
    front.close()


if __name__ == "__main__":
    main()
