#!/usr/bin/env python3
"""Openers that die, run wild, or were taken over and lie to the keeper: that costs the request and nothing else."""

from fake_opener import *

ANN = "ann@example.org"


# ---- openers that die on request: a build of their own ----

def faults_build():
    """The programs, with openers that abort, spin or take memory when the input says so."""
    folder = BUILD / "faults"
    run("make", "-C", ROOT, f"BUILD={folder}", "OPT=-O2 -g -DPFXD_OPENER_FAULTS", "-j2", folder / "pfxd-opener",
        timeout=600, env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")})
    for name in ("pfxd", "pfxd-front", "pfxd-keeper", "pfxctl"):
        # Not a link: pfxd looks for the others beside the file that it really is.
        (folder / name).unlink(missing_ok=True)
        shutil.copy(BUILD / name, folder / name)
    return folder


def bad_csr(mark):
    body = base64.encodebytes(mark + b"x" * 64).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


def deaths(service):
    """How many openers the keeper lost so far, by its own count."""
    for line in service.health("/metrics").body.decode().splitlines():
        if "opener_deaths" in line and not line.startswith("#"):
            return int(line.split()[-1])
    raise AssertionError("no metric tells of lost openers")


def expect_its_end(answer, code):
    """422 with the code; or 503, where others kept the machine so busy that the opener ran out of time first."""
    if answer.status != 503:
        answer.expect(422, code)


@test
def a_pfx_that_kills_its_opener_costs_that_request_alone(folder):
    service = Service(folder, build=faults_build())
    for mark, code in ((b"PFXD-TEST-ABORT", "malformed_pkcs12"), (b"PFXD-TEST-SPIN", "too_expensive"),
                       (b"PFXD-TEST-MEMORY", "too_expensive")):
        expect_its_end(service.import_pfx(ANN, mark, "secret"), code)
        identity = Identity(folder, ANN, key="P-256")
        service.import_pfx(ANN, identity.pfx(), "secret").expect(201)
    assert len(service.admin("GET", f"/v1/users/{ANN}/certificates").json["certificates"]) == 3
    assert deaths(service) >= 1


@test
def a_request_that_kills_its_opener_costs_that_request_alone(folder):
    service = Service(folder, build=faults_build())
    device = Device(service, folder / "device", "P-256")
    token = service.enrolment_token(ANN)
    for mark, code in ((b"PFXD-TEST-ABORT", "malformed_csr"), (b"PFXD-TEST-SPIN", "too_expensive"),
                       (b"PFXD-TEST-MEMORY", "too_expensive")):
        expect_its_end(device.enrol(token, bad_csr(mark)), code)
    # None of that spent the token.
    device.enrol(token).expect(201)
    device.pull().expect(200)


@test
def a_pfx_is_blamed_for_what_it_computes_and_not_for_the_time_of_a_busy_machine(folder):
    service = Service(folder, build=faults_build())

    def spin_until(number):
        """The answer to a PFX that spins, whose opener gets the signal of a limit."""
        def send():
            busy = lambda: [pid for pid in service.rooms().get("opener-pfx", []) if busy_cpu([pid])]
            os.kill(wait_until(busy, 60, "an opener at work")[0], number)

        return in_parallel(lambda: service.import_pfx(ANN, b"PFXD-TEST-SPIN", "secret"), send)[0]

    spin_until(signal.SIGALRM).expect(503, "unavailable")
    spin_until(signal.SIGXCPU).expect(422, "too_expensive")


class Session:
    """One connection that is kept alive."""

    def __init__(self, service, port, certificate=None, key=None):
        self.service = service
        self.connection = http.client.HTTPSConnection("localhost", port, timeout=60,
                                                      context=service.context(certificate, key))

    def call(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())


def many(service, count, call):
    """Has several threads make count calls, each on a connection of its own; returns the answers."""
    threads = 8

    def work():
        session = Session(service, service.base + 1)
        return [call(session) for _ in range(count // threads)]

    return [answer for answers in in_parallel(*[work] * threads) for answer in answers]


@test
def after_a_thousand_pfx_files_that_kill_an_opener_imports_and_pulls_work(folder):
    service = Service(folder, build=faults_build())
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256").pfx(), "secret").expect(201)
    device = service.enrol(ANN, "P-256")
    keeper, token = service.keeper_pid(), service.token
    body = json.dumps({"pkcs12": base64.b64encode(b"PFXD-TEST-ABORT" * 10).decode(), "password": "x"})
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    over = threading.Event()

    def attack():
        try:
            return many(service, 1000, lambda s: s.call("POST", f"/v1/users/{ANN}/certificates", body, headers))
        finally:
            over.set()

    def pull_meanwhile():
        session = Session(service, service.base, device.certificate, device.key)
        pulls = 0
        while not over.is_set():
            assert session.call("GET", "/v1/device/bundle").status == 200
            pulls += 1
        return pulls

    answers, pulls = in_parallel(attack, pull_meanwhile)
    assert len(answers) == 1000 and pulls > 0
    for answer in answers:
        answer.expect(422, "malformed_pkcs12")
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256").pfx(), "secret").expect(201)
    assert len(device.history()) == 2
    assert service.keeper_pid() == keeper
    service.wait_ready()
    # Nothing is left of them: no zombies, and no more openers than work.
    assert len([p for pids in (service.rooms().get("opener-pfx", []),) for p in pids]) <= 4


@test
def after_a_hundred_requests_that_kill_an_opener_devices_still_enrol(folder):
    service = Service(folder, build=faults_build())
    token = service.enrolment_token(ANN)
    body = json.dumps({"token": token, "csr": bad_csr(b"PFXD-TEST-ABORT")})

    def attack():
        session = Session(service, service.base)
        return [session.call("POST", "/v1/enroll", body, {"Content-Type": "application/json"}) for _ in range(25)]

    for answer in [a for part in in_parallel(*[attack] * 4) for a in part]:
        answer.expect(422, "malformed_csr")
    Device(service, folder / "device", "P-256").enrol(token).expect(201)


# ---- openers that were taken over ----

PROTOCOL_BREAKS = {
    "nothing in it": frame(VERBS["OPEN_PFX"]),
    "no identity": opened(b""),
    "an identity cut short": opened(identity()[:-1]),
    "an identity with a byte too many": opened(identity() + b"\0"),
    "lists that are not there": frame(VERBS["OPEN_PFX"], field(identity())),
    "a list that is longer than it is": frame(VERBS["OPEN_PFX"], struct.pack(">I", 1000) + identity() + field(b"") * 2),
    "bytes behind it": frame(VERBS["OPEN_PFX"], field(identity()) + field(b"") + field(b"") + b"\0"),
    "65 identities": opened(b"".join(identity(certificate=b"%d" % n) for n in range(65))),
    "a chain index out of range": opened(identity(chain=b"\0")),
    "a chain index past the list": opened(identity(chain=b"\1"), chain=field(b"ca")),
    "a chain index of 255": opened(identity(chain=b"\xff"), chain=field(b"ca")),
    "65 chain indexes": opened(identity(chain=b"\0" * 65), chain=field(b"ca")),
    "a broken chain that nobody names": opened(identity(), chain=b"\0\0\0\x09x"),
    "a chain certificate that is too large": opened(identity(chain=b"\0"), chain=field(b"x" * 65537)),
    "broken warnings": opened(identity(), warnings=b"\0\0\0\1"),
    "a warning that is no text": opened(identity(), warnings=field("code") + field(b"\xff\xfe") + field(b"")),
    "broken addresses": opened(identity(emails=b"\0\0\0\x09x")),
    "an address that is no text": opened(identity(emails=field(b"a\nb"))),
    "no usage": opened(identity(usages=0)),
    "an unknown usage": opened(identity(usages=4)),
    "no certificate": opened(identity(certificate=b"")),
    "no modern form": opened(identity(modern=b"")),
    "no legacy form": opened(identity(legacy=b"")),
    "a subject that is no text": opened(identity(subject=b"\xff")),
    "a subject with a line break": opened(identity(subject="CN=a\nlevel=info all is well")),
    "a serial that is too long": opened(identity(serial="0" * 129)),
    "a key identifier that is too long": opened(identity(key_identifier=b"x" * 65)),
    "a modern form that is too long": opened(identity(modern=b"x" * (2 ** 18 + 1))),
    "a legacy form that is too long": opened(identity(legacy=b"x" * (2 ** 18 + 1))),
    "a certificate that is too large": opened(identity(certificate=b"x" * 65537)),
    "the verb of the other kind": frame(VERBS["OPEN_CSR"], field(identity())),
    "an administrators' verb": frame(VERBS["IMPORT"]),
    "the verb 0": frame(0),
    "started twice": STARTED,
    "a length of 0": b"\0\0\0\0\x30",
    "a length of 4 GiB": b"\xff\xff\xff\xff\x30",
    "a length over the limit": struct.pack(">IB", 32 * 2 ** 20 + 2, 0x30),
    "an error that is broken": frame(VERBS["ERROR"], b"\1"),
    "an error without number": error(0),
    "an unknown error": error(255),
    "an error that would mean the token": error(2),
    "an error that is not clean": frame(VERBS["ERROR"], u8(11) + u32(0) + field(b"a\x1b[2Jb")),
    "an error that asks for a long time": frame(VERBS["ERROR"], u8(11) + u32(86401) + field("no")),
}


@test
def an_opener_that_breaks_the_protocol_gets_nothing_stored(folder):
    service = Service(folder)
    keeper = service.keeper_pid()
    # The control: what the fake says is understood when it is whole.
    fake = FakeOpener(service, "pfx", says(STARTED + opened(identity(chain=b"\0"), chain=field(b"ca"))))
    service.import_pfx("control@example.org", b"x", "x").expect(201)
    wrong = []
    for what, answer in PROTOCOL_BREAKS.items():
        fake.behave = says_and_closes(STARTED, answer)
        got = service.import_pfx(ANN, b"x", "x")
        if got.status not in (422, 500):
            wrong.append(f"{what}: {got.status} {got.body[:300]!r}")
    assert not wrong, wrong
    users = [u["upn"] for u in service.admin("GET", "/v1/users").expect(200).json["users"]]
    assert users == ["control@example.org"], users
    assert service.keeper_pid() == keeper
    # The front did nothing wrong: its connection is not what has to be dropped.
    assert "was dropped: on the administrators' socket" not in service.log(), service.log()[-1500:]


@test
def the_sentence_of_an_error_that_is_not_an_openers_reaches_neither_log_nor_client(folder):
    service = Service(folder)
    marker = "a key that was taken out of a PFX"
    fake = FakeOpener(service, "pfx", None)
    for fault in (2, 255):
        fake.behave = says_and_closes(STARTED, error(fault, marker))
        assert marker not in service.import_pfx(ANN, b"x", "x").expect(500, "internal").body.decode()
    assert marker not in service.log()
    # The control: a refusal that an opener may give is told in its words.
    fake.behave = says_and_closes(STARTED, error(14, "what is wrong"))
    assert "what is wrong" in service.import_pfx(ANN, b"x", "x").expect(422, "malformed_pkcs12").json["detail"]


@test
def an_opener_that_dies_before_it_has_read_is_tried_again_and_then_503(folder):
    service = Service(folder, config="[opener]\nwait_seconds = 3\n")
    for behave in (lambda connection, verb, fields: "close", says_and_closes(STARTED[:3]),
                   says_and_closes(opened(identity())), says_and_closes(frame(VERBS["PING"]))):
        fake = FakeOpener(service, "pfx", behave)

        def refused_after_tries():
            # While openers end at once the keeper connects less and less often, and refuses without trying.
            got = service.import_pfx(ANN, b"x", "x").expect(503, "unavailable")
            assert int(got.headers["retry-after"]) > 0
            return len(fake.requests) > 1
        wait_until(refused_after_tries, 60, "another try")
        fake.close()
    # One that does better at the third try is good enough.
    tries = []
    def third(connection, verb, fields):
        tries.append(1)
        if len(tries) < 3:
            return "close"
        connection.sendall(STARTED + opened(identity()))
    fake = FakeOpener(service, "pfx", third)
    wait_until(lambda: service.import_pfx(ANN, b"x", "x").status == 201, 60, "an import")
    fake.close()


@test
def without_any_opener_imports_and_enrolments_get_503_and_pulls_go_on(folder):
    service = Service(folder, config="[opener]\nwait_seconds = 3\n[keeper]\nhealth_seconds = 1\n")
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256").pfx(), "secret").expect(201)
    device = service.enrol(ANN, "P-256")
    for kind in ("pfx", "csr"):
        (service.dir / f"run/opener-{kind}.sock").unlink()
        service.end_openers(kind)
    answer = service.import_pfx(ANN, b"x", "x").expect(503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    token = service.enrolment_token(ANN)
    other = Device(service, folder / "other", "P-256")
    assert int(other.enrol(token).expect(503, "unavailable").headers["retry-after"]) > 0
    assert len(device.history()) == 1
    wait_until(lambda: service.health("/readyz?for=import").status == 503, what="unreadiness for imports")
    assert service.health("/readyz").status == 200


@test
def an_opener_that_says_nothing_or_trickles_is_given_up(folder):
    service = Service(folder, config="[opener]\nwait_seconds = 2\npfx_openers = 4\n")
    ended = threading.Event()

    def silent(connection, verb, fields):
        connection.sendall(STARTED)
        ended.wait(60)

    def trickle(connection, verb, fields):
        connection.sendall(STARTED + struct.pack(">IB", 10 ** 6, verb))
        while not ended.wait(0.1):
            connection.sendall(b"\0")

    fake = FakeOpener(service, "pfx", None)
    for fake.behave in (silent, trickle):
        service.import_pfx(ANN, b"x", "x").expect(422, "too_expensive")
    ended.set()
    fake.behave = says(STARTED + opened(identity()))
    service.import_pfx(ANN, b"x", "x").expect(201)


@test
def a_pfx_is_not_blamed_for_the_time_that_it_waited_for_an_opener(folder):
    # One opener at a time. The second request gets it late, and then takes no longer than it may.
    service = Service(folder, config="[opener]\nwait_seconds = 4\npfx_openers = 1\n")

    def slow(connection, verb, fields):
        connection.sendall(STARTED)
        time.sleep(3.5)
        connection.sendall(opened(identity()))

    FakeOpener(service, "pfx", slow)
    calls = [lambda upn=upn: service.import_pfx(upn, b"x", "x") for upn in (ANN, "bob@example.org")]
    for answer in in_parallel(*calls):
        # "Too expensive" would tell an administrator never to try this file again.
        assert answer.status in (201, 503), (answer.status, answer.body)


@test
def one_opener_never_serves_two_administrators_tokens(folder):
    service = Service(folder)
    fake = FakeOpener(service, "pfx", says(STARTED + opened(identity())))
    importers = [service.token, service.make_token("importer"), service.make_token("importer")]
    served = {}
    for turn in range(3):
        for token in importers:
            count = len(fake.requests)
            service.admin("POST", f"/v1/users/{ANN}/certificates",
                          {"pkcs12": base64.b64encode(b"x").decode(), "password": "x"}, token=token)
            assert len(fake.requests) == count + 1
            served.setdefault(fake.requests[-1][0], set()).add(token)
    assert all(len(tokens) == 1 for tokens in served.values()), served


# ---- certificate requests ----

def spki_parts(csr):
    """(modulus, exponent) of an RSA request."""
    text = run("openssl", "req", "-noout", "-modulus", input=csr.encode()).stdout.decode()
    return bytes.fromhex(text.strip().split("=")[1]), 65537


def ec_point(csr):
    der = run("openssl", "pkey", "-pubin", "-outform", "DER",
              input=run("openssl", "req", "-noout", "-pubkey", input=csr.encode()).stdout).stdout
    return der[-65:]


def opened_csr(kind, modulus=b"", exponent=0, point=b""):
    return STARTED + frame(VERBS["OPEN_CSR"], u8(kind) + field(modulus) + struct.pack(">Q", exponent) + field(point))


@test
def a_key_that_is_not_in_the_request_is_not_certified(folder):
    service = Service(folder)
    keeper = service.keeper_pid()
    device = Device(service, folder / "device", "rsa:2048")
    ec = Device(service, folder / "ec", "P-256")
    evil = make_csr(Identity(folder, "x", key="P-256").folder)
    modulus, exponent = spki_parts(device.csr)
    evil_modulus, _ = spki_parts(evil)
    point = ec_point(ec.csr)
    token = service.enrolment_token(ANN)
    fake = FakeOpener(service, "csr", None)
    turned = point[:-1] + bytes([point[-1] ^ 1])
    lies = [
        ("the attacker's key", device.csr, opened_csr(1, evil_modulus, 65537)),
        ("another exponent", device.csr, opened_csr(1, modulus, 3)),
        ("exponent 1", device.csr, opened_csr(1, modulus, 1)),
        ("exponent 0", device.csr, opened_csr(1, modulus, 0)),
        ("an even modulus", device.csr, opened_csr(1, modulus[:-1] + b"\0", 65537)),
        ("part of the modulus", device.csr, opened_csr(1, modulus[:128], 65537)),
        ("a modulus that is too long", device.csr, opened_csr(1, modulus * 2 + b"\1", 65537)),
        ("no modulus", device.csr, opened_csr(1, b"", 65537)),
        ("no kind", device.csr, opened_csr(0, modulus, 65537)),
        ("an unknown kind", device.csr, opened_csr(4, modulus, 65537)),
        ("another kind", ec.csr, opened_csr(3, b"", 0, point)),
        ("RSA for EC", ec.csr, opened_csr(1, modulus, 65537)),
        ("a point off the curve", ec.csr, opened_csr(2, b"", 0, turned)),
        ("no point", ec.csr, opened_csr(2, b"", 0, b"")),
        ("a compressed point", ec.csr, opened_csr(2, b"", 0, b"\2" + point[1:33])),
        ("a point that is too long", ec.csr, opened_csr(2, b"", 0, point + b"\0")),
        ("half of it", device.csr, STARTED + frame(VERBS["OPEN_CSR"], u8(1) + field(modulus))),
        ("too much", device.csr, STARTED + frame(VERBS["OPEN_CSR"], u8(1) + field(modulus) + struct.pack(">Q", 65537) +
                                                 field(b"") + b"\0")),
        ("the other verb", device.csr, STARTED + opened(identity())),
        ("4 GiB", device.csr, STARTED + b"\xff\xff\xff\xff\x31"),
        ("nothing more", device.csr, STARTED),
    ]
    for what, csr, answer in lies:
        fake.behave = says_and_closes(answer)
        got = device.enrol(token, csr)
        assert got.status in (422, 500), f"{what}: {got.status} {got.body[:300]!r}"
        got.expect(got.status)
    assert service.admin("GET", f"/v1/devices?user={ANN}").json["devices"] == []
    assert service.keeper_pid() == keeper and "was dropped: on the devices' socket" not in service.log()
    # The control: the truth is certified, and none of the lies spent the token.
    fake.behave = says(opened_csr(1, modulus, exponent))
    device.enrol(token).expect(201)
    device.pull().expect(200)


@test
def a_request_reaches_no_opener_before_its_token_was_checked(folder):
    service = Service(folder)
    fake = FakeOpener(service, "csr", says(STARTED + error(22)))
    device = Device(service, folder / "device", "P-256")
    for token in ("A" * 43, "", service.token):
        assert device.enrol(token).status in (400, 401)
    token = service.enrolment_token(ANN)
    assert service.admin("DELETE", f"/v1/users/{ANN}").status == 204
    assert device.enrol(token).status in (401, 403)
    assert fake.requests == []


if __name__ == "__main__":
    main()
