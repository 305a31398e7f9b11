#!/usr/bin/env python3
"""Attacks on the database file by somebody who can write it but has no keyring: what is edited, moved, exchanged,
promoted or put back is refused with a line that names the record, or reported by the audit; nothing is delivered."""

from backups import ctl
from harness import *

import hashlib

ANN, BOB = "ann@example.org", "bob@example.org"
SEALED = ("wrapped_key", "sealed_modern", "sealed_legacy")


class Scene:
    """Ann with two identities and two devices (one reads the modern form, one the legacy), and Bob with one each."""

    def __init__(self, folder):
        self.service = Service(folder)
        self.ids = {}
        for upn, count in ((ANN, 2), (BOB, 1)):
            for _ in range(count):
                identity = Identity(folder, upn, key="P-256", usage="keyAgreement")
                answer = self.service.import_pfx(upn, identity.pfx(), "secret").expect(201)
                self.ids.setdefault(upn, []).append(answer.json["certificates"][0]["id"])
        self.modern = self.service.enrol(ANN, "P-256")
        self.legacy = self.service.enrol(ANN, "P-256", platform="ios-17")
        self.bob = self.service.enrol(BOB, "P-256")
        self.users = {u["upn"]: u["id"] for u in self.service.admin("GET", "/v1/users").expect(200).json["users"]}
        for device in (self.modern, self.legacy, self.bob):
            device.pull().expect(200)

    def sql(self, statement, *values):
        """Runs one statement on the file, beside the service: it must not matter that somebody else writes."""
        with contextlib.closing(sqlite3.connect(self.service.dir / "pfxd.db", isolation_level=None, timeout=20)) as db:
            return db.execute(statement, values).fetchall()

    def value(self, table, key, row, column):
        return self.sql(f"SELECT {column} FROM {table} WHERE {key} = ?", row)[0][0]

    def set(self, table, key, row, column, value):
        self.sql(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", value, row)

    @contextlib.contextmanager
    def edited(self, table, key, row, **columns):
        """The columns of one row have other values for as long as this lasts."""
        before = {column: self.value(table, key, row, column) for column in columns}
        for column, value in columns.items():
            self.set(table, key, row, column, value)
        try:
            yield
        finally:
            # What could be identified by it is put back last.
            for column, value in before.items():
                current = columns[key] if key in columns and column != key else row
                if column != key:
                    self.set(table, key, current, column, value)
            if key in columns:
                self.set(table, key, columns[key], key, row)

    @contextlib.contextmanager
    def exchanged(self, table, key, a, b, *columns):
        """Two rows have each other's columns for as long as this lasts."""
        old = {row: [self.value(table, key, row, c) for c in columns] for row in (a, b)}
        for row, other in ((a, b), (b, a)):
            for column, value in zip(columns, old[other]):
                self.set(table, key, row, column, value)
        try:
            yield
        finally:
            for row in (a, b):
                for column, value in zip(columns, old[row]):
                    self.set(table, key, row, column, value)

    def tail(self):
        """Returns a function that tells what was logged from now on."""
        start = len(self.service.log())
        return lambda: self.service.log()[start:]


def assert_refused(scene, device, record):
    """A pull is answered 500 without a body of use, and the log names the record."""
    logged = scene.tail()
    answer = device.pull()
    assert answer.status != 200, f"delivered although {record} was changed"
    answer.expect(500, "internal")
    assert record in logged(), f"{record} is not named:\n{logged()}"


def flips(data):
    """(what, bytes): data with single bits turned, cut and extended."""
    for at in sorted({0, 5, 11, 12, len(data) // 2, len(data) - 17, len(data) - 16, len(data) - 1}):
        if 0 <= at < len(data):
            yield f"bit of byte {at}", data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1:]
    yield "nothing", b""
    yield "cut", data[:-1]
    yield "cut at the front", data[1:]
    yield "extended", data + b"\0"


@test
def an_identity_that_is_moved_to_another_owner_is_not_delivered(folder):
    scene = Scene(folder)
    moved = scene.ids[ANN][0]
    # All that is sealed goes with the row: what binds it to Ann is its mac and the additional data.
    with scene.edited("identities", "id", moved, user_id=scene.users[BOB]):
        assert_refused(scene, scene.bob, moved)
        # Ann has one less; nothing of it is hers to lose to Bob.
        assert moved not in [c["id"] for c in scene.modern.open(scene.modern.pull().expect(200).body)["certificates"]]
    scene.modern.pull().expect(200)
    scene.bob.pull().expect(200)


@test
def sealed_parts_do_not_open_in_another_row(folder):
    scene = Scene(folder)
    mine, also_mine, other = scene.ids[ANN][0], scene.ids[ANN][1], scene.ids[BOB][0]
    used = {"sealed_modern": [scene.modern], "sealed_legacy": [scene.legacy],
            "wrapped_key": [scene.modern, scene.legacy]}
    for partner in (also_mine, other):
        for column, devices in used.items():
            with scene.exchanged("identities", "id", mine, partner, column):
                for device in devices:
                    assert_refused(scene, device, "identity")
        # Everything sealed together with the key that opens it, and the wrapping key's id.
        with scene.exchanged("identities", "id", mine, partner, *SEALED, "key_id"):
            for device in (scene.modern, scene.legacy):
                assert_refused(scene, device, "identity")
            if partner == other:
                assert_refused(scene, scene.bob, other)
    # Whole rows but for id and owner: facts and mac as well.
    everything = ("sha1", "subject", "issuer", "serial", "not_before", "not_after", "usages", "key_algorithm", "emails",
                  "chain", "imported_at", "imported_by", "mac", "key_id", *SEALED)
    with scene.exchanged("identities", "id", mine, other, *everything):
        assert_refused(scene, scene.modern, mine)
        assert_refused(scene, scene.bob, other)
    for device in (scene.modern, scene.legacy, scene.bob):
        device.pull().expect(200)


@test
def one_part_of_an_identity_does_not_stand_for_another(folder):
    scene = Scene(folder)
    identity = scene.ids[ANN][0]
    # Under the same data key and in the same row: what is left to tell them apart is the part's name.
    for column, source, device, other in (("sealed_modern", "sealed_legacy", scene.modern, scene.legacy),
                                          ("sealed_legacy", "sealed_modern", scene.legacy, scene.modern)):
        with scene.edited("identities", "id", identity, **{column: scene.value("identities", "id", identity, source)}):
            assert_refused(scene, device, identity)
            # Nobody goes without his mail for what he does not get; the verification tells of it.
            got = other.open(other.pull().expect(200).body)["certificates"]
            assert identity in [c["id"] for c in got]
            told = ctl(scene.service, "verify", ok=False)
            assert told.returncode == 1 and identity.encode() in told.stdout and column[7:].encode() in told.stdout, told


@test
def every_turned_bit_of_what_is_sealed_is_refused(folder):
    scene = Scene(folder)
    identity = scene.ids[ANN][0]
    used = {"wrapped_key": [scene.modern, scene.legacy], "sealed_modern": [scene.modern],
            "sealed_legacy": [scene.legacy]}
    for column, devices in used.items():
        for what, data in flips(scene.value("identities", "id", identity, column)):
            with scene.edited("identities", "id", identity, **{column: data}):
                for device in devices:
                    assert_refused(scene, device, identity)
    key_id = scene.value("identities", "id", identity, "key_id")
    for other in ("", key_id[:-1], key_id + "0", format(int(key_id, 16) ^ 1, "08x"), key_id.upper() + " "):
        with scene.edited("identities", "id", identity, key_id=other):
            assert_refused(scene, scene.modern, identity)
    scene.modern.pull().expect(200)


@test
def every_changed_fact_of_an_identity_is_refused(folder):
    scene = Scene(folder)
    identity = scene.ids[ANN][0]
    for column in ("sha1", "sha256", "subject", "issuer", "serial", "not_before", "not_after", "usages",
                   "key_algorithm", "emails", "chain", "imported_at", "imported_by", "mac"):
        old = scene.value("identities", "id", identity, column)
        if isinstance(old, bytes):
            new = old[:-1] + bytes([old[-1] ^ 1]) if old else b"\0" * 32
        else:
            new = old + (1 if isinstance(old, int) else "x")
        with scene.edited("identities", "id", identity, **{column: new}):
            assert_refused(scene, scene.modern, identity)
            assert scene.service.admin("GET", f"/v1/users/{ANN}/certificates").status == 500
    with scene.edited("identities", "id", identity, id="00000000-0000-4000-8000-000000000000"):
        assert_refused(scene, scene.modern, "00000000-0000-4000-8000-000000000000")


@test
def a_chain_certificate_that_was_changed_is_not_delivered(folder):
    service = Service(folder)
    ca, leaf = Identity(folder, "ca@example.org", key="P-256", name="A CA"), folder / "leaf"
    leaf.mkdir()
    csr = make_csr(leaf, "P-256")
    run("openssl", "x509", "-req", "-CA", ca.certificate, "-CAkey", ca.key, "-days", "9", "-out", leaf / "crt",
        input=csr.encode())
    pfx = run("openssl", "pkcs12", "-export", "-inkey", leaf / "device.key", "-in", leaf / "crt", "-certfile",
              ca.certificate, "-passout", "pass:secret").stdout
    service.import_pfx(ANN, pfx, "secret", usages=["encryption"]).expect(201)
    device = service.enrol(ANN, "P-256")
    assert len(device.open(device.pull().expect(200).body)["intermediates"]) == 1
    with contextlib.closing(sqlite3.connect(service.dir / "pfxd.db", isolation_level=None, timeout=20)) as db:
        der = run("openssl", "x509", "-in", Identity(folder, "evil@example.org", key="P-256").certificate, "-outform",
                  "DER").stdout
        db.execute("UPDATE chain_certificates SET der = ?", (der,))
    device.pull().expect(500, "internal")
    assert "chain certificate" in service.log()


def fingerprint_of(device):
    return fingerprint(device.certificate, "sha256")


def ask_bundle(scene, sha256):
    """What a captured front gets that names this client certificate: (verb, fields)."""
    frames = Frames(scene.service.dir / "run/keeper-device.sock")
    try:
        return frames.ask(verbs()["BUNDLE"], field("r") + field(bytes.fromhex(sha256)) + u8(0) + field(""))
    finally:
        frames.close()


@test
def a_device_row_with_another_key_owner_or_state_is_refused(folder):
    scene = Scene(folder)
    error, mine = verbs()["ERROR"], fingerprint_of(scene.modern)
    # The attacker's own certificate in the place of Ann's device: first the key alone, then under its own fingerprint.
    evil = Identity(folder, ANN, key="P-256")
    der = run("openssl", "x509", "-in", evil.certificate, "-outform", "DER").stdout
    sha256 = hashlib.sha256(der).hexdigest()
    with scene.edited("device_certificates", "fingerprint", mine, der=der):
        assert_refused(scene, scene.modern, mine)
        with scene.edited("device_certificates", "fingerprint", mine, fingerprint=sha256):
            logged = scene.tail()
            assert ask_bundle(scene, sha256)[0] == error
            assert sha256 in logged()
    # Another device's certificate, mac and all, or just its device.
    theirs = fingerprint_of(scene.bob)
    with scene.edited("device_certificates", "fingerprint", theirs, device_id=scene.modern.id):
        assert_refused(scene, scene.bob, theirs)
    for column, value in (("not_after", 2 ** 40), ("issued_at", 1), ("replaces", theirs), ("csr_sha256", b"\1" * 32)):
        with scene.edited("device_certificates", "fingerprint", mine, **{column: value}):
            assert_refused(scene, scene.modern, mine)
    with scene.edited("devices", "id", scene.bob.id, user_id=scene.users[ANN]):
        assert_refused(scene, scene.bob, scene.bob.id)
    with scene.edited("devices", "id", scene.modern.id, platform="ios-1"):
        assert_refused(scene, scene.modern, scene.modern.id)
    assert scene.service.admin("DELETE", f"/v1/devices/{scene.legacy.id}").status == 204
    scene.legacy.pull().expect(403, "forbidden")
    with scene.edited("devices", "id", scene.legacy.id, state=1):
        assert_refused(scene, scene.legacy, scene.legacy.id)
    scene.legacy.pull().expect(403, "forbidden")
    scene.modern.pull().expect(200)


@test
def exchanged_users_and_names_are_refused(folder):
    scene = Scene(folder)
    ann, bob = scene.users[ANN], scene.users[BOB]
    with scene.exchanged("users", "id", ann, bob, "upn"):
        assert_refused(scene, scene.modern, ann)
        assert_refused(scene, scene.bob, bob)
    with scene.exchanged("users", "id", ann, bob, "upn", "mac"):
        assert_refused(scene, scene.modern, ann)
    with scene.edited("users", "id", ann, state=2):
        assert_refused(scene, scene.modern, ann)
    pfx = Identity(folder, BOB, key="P-256").pfx()
    # Names lead from a UPN to a user: an import for Bob must not become Ann's.
    for columns in (("user_id",), ("user_id", "mac"), ("user_id", "shown", "mac")):
        with scene.exchanged("names", "name", ANN, BOB, *columns):
            logged = scene.tail()
            scene.service.import_pfx(BOB, pfx, "secret").expect(500, "internal")
            scene.service.admin("GET", f"/v1/users/{BOB}/certificates").expect(500, "internal")
            scene.service.admin("POST", f"/v1/users/{BOB}/enrollments", {"name": "x"}).expect(500, "internal")
            scene.service.admin("PATCH", f"/v1/users/{BOB}", {"upn": "eve@example.org"}).expect(500, "internal")
            scene.service.admin("DELETE", f"/v1/users/{BOB}").expect(500, "internal")
            assert BOB in logged()
    assert len(scene.modern.history()) == 2 and len(scene.bob.history()) == 1


@test
def tokens_that_were_promoted_or_forged_are_refused(folder):
    scene = Scene(folder)
    service = scene.service
    made = service.admin("POST", "/v1/tokens", {"name": "a", "role": "auditor", "expiresIn": 1000}).expect(201).json
    token, row = made["token"], made["id"]
    service.admin("GET", "/v1/audit", token=token).expect(200)
    for column, value in (("role", "admin"), ("expires_at", 0), ("name", "b"), ("created_at", 1)):
        with scene.edited("tokens", "id", row, **{column: value}):
            logged = scene.tail()
            service.admin("GET", "/v1/users", token=token).expect(500, "internal")
            service.admin("DELETE", f"/v1/users/{BOB}", token=token).expect(500, "internal")
            assert row in logged()
    # The attacker's own token in the place of the administrator's, and as a row of its own.
    own = "A" * 43
    sha256 = hashlib.sha256(own.encode()).digest()
    admin = scene.sql("SELECT id FROM tokens WHERE role = 'admin'")[0][0]
    with scene.edited("tokens", "id", admin, token_sha256=sha256):
        service.admin("GET", "/v1/users", token=own).expect(500, "internal")
        assert admin in service.log()
    columns = "token_sha256, name, role, created_at, expires_at, mac"
    scene.sql(f"INSERT INTO tokens (id, {columns}) SELECT 'forged', ?, name, role, created_at, expires_at, mac "
              "FROM tokens WHERE id = ?", sha256, admin)
    service.admin("GET", "/v1/users", token=own).expect(500, "internal")
    verification = service.admin("GET", "/v1/audit/verification").expect(200).json
    assert not verification["ok"] and any("forged" in d for d in verification["differences"]), verification


@test
def an_enrolment_token_that_was_edited_enrols_nobody(folder):
    scene = Scene(folder)
    service = scene.service
    token = service.enrolment_token(BOB)
    sha256 = hashlib.sha256(token.encode()).digest()
    device = Device(service, folder / "eve", "P-256")
    for column, value in (("user_id", scene.users[ANN]), ("expires_at", 2 ** 40), ("platform", "x"), ("name", "x"),
                          ("spent_at", 1), ("device_id", scene.modern.id)):
        with scene.edited("enrolments", "token_sha256", sha256, **{column: value}):
            logged = scene.tail()
            device.enrol(token).expect(500, "internal")
            assert sha256.hex() in logged(), logged()
    other = hashlib.sha256(b"B" * 43).digest()
    with scene.edited("enrolments", "token_sha256", sha256, token_sha256=other):
        device.enrol("B" * 43).expect(500, "internal")
    device.enrol(token).expect(201)
    assert len(device.history()) == 1


# ---- the audit chain ----

def verification_of(service):
    return service.admin("GET", "/v1/audit/verification").expect(200).json


def answers(service, any_status=False):
    with contextlib.suppress(OSError, http.client.HTTPException):
        status = service.admin("GET", "/v1/users").status
        return any_status or status == 200
    return False


def audit_attacks():
    """(name, attack, wanted in a difference): each gets the database and the count of its records."""
    def change(column, value):
        return lambda db, n: db.execute(f"UPDATE audit SET {column} = ? WHERE sequence = ?", (value, n // 2))

    def reorder(db, n):
        for old, new in ((3, -3), (4, 3), (-3, 4)):
            db.execute("UPDATE audit SET sequence = ? WHERE sequence = ?", (new, old))

    def append(db, n):
        db.execute("INSERT INTO audit SELECT ?, at, event, actor, user_id, object, detail, request_id, mac FROM audit "
                   "WHERE sequence = ?", (n + 1, n))

    def append_and_move_head(db, n):
        append(db, n)
        db.execute("UPDATE audit_head SET sequence = ?, chain = (SELECT mac FROM audit WHERE sequence = ?)",
                   (n + 1, n + 1))

    def cut_and_move_head(db, n):
        db.execute("DELETE FROM audit WHERE sequence > ?", (n - 2,))
        db.execute("UPDATE audit_head SET sequence = ?, chain = (SELECT mac FROM audit WHERE sequence = ?)",
                   (n - 2, n - 2))

    yield "an actor changed", change("actor", "service2"), "was changed"
    yield "a moment changed", change("at", 1), "was changed"
    yield "an event changed", change("event", "nothing"), "was changed"
    yield "a mac changed", change("mac", b"\1" * 32), "was changed"
    yield "the middle removed", lambda db, n: db.execute("DELETE FROM audit WHERE sequence = ?", (n // 2,)), "gone"
    yield "the first removed", lambda db, n: db.execute("DELETE FROM audit WHERE sequence = 1"), "gone"
    yield "the last removed", lambda db, n: db.execute("DELETE FROM audit WHERE sequence = ?", (n,)), "should end"
    yield "two exchanged", reorder, "was changed"
    yield "one appended", append, "was changed"
    yield "one appended with the head", append_and_move_head, "head"
    yield "the end cut off with the head", cut_and_move_head, "head"
    yield "the head's number changed", lambda db, n: db.execute("UPDATE audit_head SET sequence = sequence - 1"), "head"
    yield ("one put before the first", lambda db, n: db.execute(
        "INSERT INTO audit VALUES (-1, 0, 'identity.delete', '', '', 'x', '', '', x'')"), "before the first")
    yield ("a record made too large to be read", lambda db, n: db.execute(
        "UPDATE audit SET detail = hex(zeroblob(5000)) WHERE sequence = 2"), "larger than any")
    yield "all removed", lambda db, n: db.execute("DELETE FROM audit"), "should end"


@test
def every_change_of_the_audit_chain_is_told_and_stops_releases(folder):
    scene = Scene(folder)
    service = scene.service
    assert verification_of(service)["ok"]
    service.stop()
    with contextlib.closing(service.database()) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # The chain is verified at the keeper's start, so each attack has one of its own.
    good = (service.dir / "pfxd.db").read_bytes()
    for name, attack, wanted in audit_attacks():
        with contextlib.closing(service.database()) as db:
            attack(db, db.execute("SELECT max(sequence) FROM audit").fetchone()[0])
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        logged = scene.tail()
        service.start(wait=False) # what pulls need is not well, so nobody says "ready"
        wait_until(lambda: answers(service), 30, "the administrators' interface")
        verification = verification_of(service)
        assert not verification["ok"], name
        assert any(wanted in d for d in verification["differences"]), (name, verification)
        assert "audit" in logged(), name
        pull = scene.modern.pull()
        assert pull.status == 503, f"{name}: a release that can not be recorded was answered {pull.status}"
        refused = service.admin("POST", f"/v1/users/{ANN}/enrollments", {"name": "x"})
        assert refused.status == 503, f"{name}: an act that can not be recorded was answered {refused.status}"
        service.stop()
        for suffix in ("", "-wal", "-shm"):
            (service.dir / ("pfxd.db" + suffix)).unlink(missing_ok=True)
        (service.dir / "pfxd.db").write_bytes(good)
    service.start()
    assert verification_of(service)["ok"]
    scene.modern.pull().expect(200)


@test
def a_service_whose_audit_chain_was_changed_stays_up_and_tells_what_is_wrong(folder):
    scene = Scene(folder)
    service = scene.service
    etag = scene.modern.pull().expect(200).headers["etag"]
    service.stop()
    with contextlib.closing(service.database()) as db:
        db.execute("UPDATE audit SET actor = 'x' WHERE sequence = 3")
    # It never says that all is well, and does not end either: without listings nobody could see which record it is.
    service.start(wait=False)
    wait_until(lambda: "not ready yet" in service.log(), 60, "a line that tells why it is not ready")
    assert "audit chain was changed" in service.log() and service.process.poll() is None
    assert "3" in verification_of(service)["differences"][0]
    service.admin("GET", "/v1/audit").expect(200)
    assert scene.modern.pull(etag).status == 304
    scene.modern.pull().expect(503, "unavailable")


AUDIT_AWAITED_RECORDS = 1000  # daemon/keeper/health.c


@test
def a_chain_too_long_to_wait_for_is_verified_beside_the_first_requests(folder):
    scene = Scene(folder)
    service, device = scene.service, scene.modern
    connection = http.client.HTTPSConnection("localhost", service.base,
                                             context=service.context(device.certificate, device.key))
    for _ in range(AUDIT_AWAITED_RECORDS):  # a record each, after those of the scene
        connection.request("GET", "/v1/device/bundle")
        assert connection.getresponse().read()
    connection.close()
    assert verification_of(service)["ok"]
    service.stop()
    with contextlib.closing(service.database()) as db:
        assert db.execute("SELECT max(sequence) FROM audit").fetchone()[0] > AUDIT_AWAITED_RECORDS
        db.execute("UPDATE audit SET actor = 'x' WHERE sequence = 3")
    service.start(wait=False)
    wait_until(lambda: answers(service), 30, "the administrators' interface")
    wait_until(lambda: device.pull().status == 503, 30, "the end of releases")
    assert "3" in verification_of(service)["differences"][0]


def assert_does_not_serve(scene, words):
    """The service may end at once or stay without serving; it says why, and nothing is delivered."""
    service = scene.service
    logged = scene.tail()
    service.start(wait=False)
    wait_until(lambda: service.process.poll() is not None or answers(service, any_status=True), 60, "end or answer")
    # It may be ending while it is asked: no answer is as good as a refusal.
    with contextlib.suppress(OSError, http.client.HTTPException):
        assert scene.modern.pull().status != 200
        assert service.admin("POST", f"/v1/users/{ANN}/enrollments", {"name": "x"}).status >= 400
    wait_until(lambda: any(word in logged() for word in words), what="a line that says why: " + logged())
    service.stop()


@test
def a_service_without_the_head_of_its_chain_does_not_serve(folder):
    scene = Scene(folder)
    scene.service.stop()
    with contextlib.closing(scene.service.database()) as db:
        db.execute("DELETE FROM audit_head")
    assert_does_not_serve(scene, ["audit chain"])


@test
def a_database_whose_whole_audit_was_wiped_is_not_taken_for_a_new_one(folder):
    scene = Scene(folder)
    service = scene.service
    # The first token was replaced and revoked, as it should be; wiping the audit must not bring it back.
    second = service.make_token("admin")
    first = next(t["id"] for t in service.admin("GET", "/v1/tokens").json["tokens"] if t["name"] == "first")
    assert service.admin("DELETE", f"/v1/tokens/{first}", token=second).status == 204
    service.admin("GET", "/v1/users").expect(401)
    service.stop()
    with contextlib.closing(service.database()) as db:
        for table in ("audit", "audit_head", "meta"):
            db.execute(f"DELETE FROM {table}")
    assert_does_not_serve(scene, ["audit chain"])


@test
def a_database_is_not_served_under_another_keyring(folder):
    scene = Scene(folder)
    service = scene.service
    (folder / "other").mkdir()
    other = Service(folder / "other")
    service.stop()
    other.stop()
    shutil.copy(other.dir / "keyring", service.dir / "keyring")
    logged = scene.tail()
    assert not service.start(expect_ready=False), "it serves a database that it can not open"
    assert service.process.wait(60) != 0
    assert "was not written under this keyring" in logged()


@test
def a_head_of_the_chain_that_is_rolled_back_is_told_with_and_without_its_records(folder):
    scene = Scene(folder)
    service = scene.service
    # A head that was once right, its mac included; since then an identity came and a device was revoked.
    head = scene.sql("SELECT sequence, chain, mac FROM audit_head")[0]
    late = Identity(folder, BOB, key="P-256", usage="keyAgreement")
    identity = service.import_pfx(BOB, late.pfx(), "secret").expect(201).json["certificates"][0]["id"]
    assert service.admin("DELETE", f"/v1/devices/{scene.legacy.id}").status == 204
    roll_back = lambda: scene.sql("UPDATE audit_head SET sequence = ?, chain = ?, mac = ?", *head)
    roll_back()
    # Nothing is written over the records that are there past it.
    assert scene.modern.pull().status != 200
    assert service.admin("POST", f"/v1/users/{ANN}/enrollments", {"name": "x"}).status >= 400
    verification = verification_of(service)
    assert any("should end" in d for d in verification["differences"]), verification
    # With its records gone the chain is whole, and what they told of is not explained any more.
    scene.sql("DELETE FROM audit WHERE sequence > ?", head[0])
    differences = "\n".join(verification_of(service)["differences"])
    assert identity in differences and scene.legacy.id in differences, differences


# ---- rows put back to what they once were ----

class Image:
    """The bytes of one row, to be put back later."""

    def __init__(self, scene, table, key, row):
        columns = [c[1] for c in scene.sql(f"PRAGMA table_info({table})")]
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        self.scene, self.row = scene, row
        self.values = scene.sql(f"SELECT {names} FROM {table} WHERE {key} = ?", row)[0]
        self.statement = f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})"

    def put_back(self):
        self.scene.sql(self.statement, *self.values)


def assert_told(scene, record):
    """GET /v1/audit/verification and pfxctl audit verify both report a difference that names the record."""
    verification = verification_of(scene.service)
    assert not verification["ok"] and any(record in d for d in verification["differences"]), (record, verification)
    done = run(BUILD / "pfxctl", "--config", scene.service.dir / "pfxctl.conf", "audit", "verify", ok=False)
    assert done.returncode != 0 and record in (done.stdout + done.stderr).decode(), (record, done)


@test
def what_stands_in_a_column_does_not_blind_the_verification(folder):
    scene = Scene(folder)
    scene.sql("INSERT INTO tokens VALUES ('x' || char(1) || 'é', x'00', 'a', 'admin', 0, 0, x'00')")
    scene.sql("UPDATE identities SET subject = hex(zeroblob(200000)) WHERE id = ?", scene.ids[ANN][0])
    verification = verification_of(scene.service)
    assert not verification["ok"]
    assert any("has a row, but was never made" in d for d in verification["differences"]), verification
    assert any(scene.ids[ANN][0] in d and "was changed" in d for d in verification["differences"]), verification


@test
def a_table_that_can_not_be_read_as_it_was_made_stops_releases(folder):
    scene = Scene(folder)
    scene.service.stop()
    with contextlib.closing(scene.service.database()) as db:
        db.execute("ALTER TABLE enrolments RENAME COLUMN platform TO platforms")
    assert_does_not_serve(scene, ["could not be verified"])


@test
def names_that_were_taken_away_are_told_by_the_audit(folder):
    scene = Scene(folder)
    scene.service.admin("PATCH", f"/v1/users/{BOB}", {"upn": "robert@example.org"}).expect(200)
    for name in (ANN, BOB):
        row = scene.sql("SELECT * FROM names WHERE name = ?", name)[0]
        scene.sql("DELETE FROM names WHERE name = ?", name)
        differences = verification_of(scene.service)["differences"]
        assert any(row[1] in d and "leads nowhere" in d for d in differences), (name, differences)
        scene.sql("INSERT INTO names VALUES (?, ?, ?, ?)", *row)
    assert verification_of(scene.service)["ok"]


@test
def usages_that_are_put_back_are_told_by_the_audit(folder):
    scene = Scene(folder)
    service = scene.service
    identity = Identity(folder, ANN)
    first = service.import_pfx(ANN, identity.pfx(), "secret", usages=["signing"]).expect(201).json["certificates"][0]
    row = scene.sql("SELECT usages, mac FROM identities WHERE id = ?", first["id"])[0]
    service.import_pfx(ANN, identity.pfx(), "secret", usages=["encryption"]).expect(200)
    assert verification_of(service)["ok"]
    scene.sql("UPDATE identities SET usages = ?, mac = ? WHERE id = ?", *row, first["id"])
    assert any(first["id"] in d and "usages" in d for d in verification_of(service)["differences"])


@test
def an_order_to_remove_a_certificate_that_nobody_gave_is_not_passed_on(folder):
    scene = Scene(folder)
    sha1 = scene.value("identities", "id", scene.ids[ANN][0], "sha1")
    scene.sql("INSERT INTO removals VALUES (?, ?, 0, zeroblob(32))", scene.users[ANN], sha1)
    scene.modern.pull().expect(500, "internal")
    scene.bob.pull().expect(200)


@test
def a_revoked_device_that_is_put_back_is_told_by_the_audit(folder):
    scene = Scene(folder)
    image = Image(scene, "devices", "id", scene.modern.id)
    assert scene.service.admin("DELETE", f"/v1/devices/{scene.modern.id}").status == 204
    assert verification_of(scene.service)["ok"]
    image.put_back()
    assert_told(scene, scene.modern.id)


@test
def an_enrolment_token_that_is_put_back_to_unspent_is_told_also_after_it_was_used_again(folder):
    scene = Scene(folder)
    token = scene.service.enrolment_token(ANN)
    sha256 = hashlib.sha256(token.encode()).digest()
    image = Image(scene, "enrolments", "token_sha256", sha256)
    enrolment = scene.value("enrolments", "token_sha256", sha256, "id")
    Device(scene.service, folder / "first", "P-256").enrol(token).expect(201)
    assert verification_of(scene.service)["ok"]
    image.put_back()
    assert_told(scene, enrolment)
    # Used again the row says "spent" as it should. The chain still tells that it was spent twice.
    again = Device(scene.service, folder / "second", "P-256").enrol(token)
    if again.status == 201:
        assert_told(scene, enrolment)


@test
def an_admin_token_that_is_put_back_is_told_by_the_audit(folder):
    scene = Scene(folder)
    made = scene.service.admin("POST", "/v1/tokens", {"name": "gone", "role": "admin"}).expect(201).json
    image = Image(scene, "tokens", "id", made["id"])
    assert scene.service.admin("DELETE", f"/v1/tokens/{made['id']}").status == 204
    scene.service.admin("GET", "/v1/users", token=made["token"]).expect(401)
    image.put_back()
    assert_told(scene, made["id"])


@test
def a_deleted_identity_that_is_put_back_is_told_by_the_audit(folder):
    scene = Scene(folder)
    identity = scene.ids[ANN][0]
    image = Image(scene, "identities", "id", identity)
    sha1 = scene.value("identities", "id", identity, "sha1").hex()
    assert scene.service.admin("DELETE", f"/v1/users/{ANN}/certificates/{sha1}").status == 204
    image.put_back()
    assert_told(scene, identity)


def hide(path, index, statement, values):
    """Runs a statement that an index of the file does not hear of."""
    def change(*steps):
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            version, = db.execute("PRAGMA schema_version").fetchone()
            db.execute("PRAGMA writable_schema = ON")
            for step in steps:
                db.execute(*step)
            db.execute(f"PRAGMA schema_version = {version + 1}")

    with contextlib.closing(sqlite3.connect(path)) as db:
        entry = db.execute("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema WHERE name = ?", [index]).fetchone()
    change(("DELETE FROM sqlite_schema WHERE name = ?", [index]))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(statement, values)
    change(("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", entry))


@test
def an_identity_that_was_never_imported_is_told_by_the_audit_though_an_index_does_not_show_it(folder):
    scene = Scene(folder)
    service, database = scene.service, scene.service.dir / "pfxd.db"
    # As from a fork of the service: its macs are good, and no record tells of it.
    service.stop()
    shutil.copy(database, folder / "before.db")
    service.start()
    identity = Identity(folder, ANN, key="P-256")
    made = service.import_pfx(ANN, identity.pfx(), "secret").expect(201).json["certificates"][0]["id"]
    image = Image(scene, "identities", "id", made)
    for index in ("identities_key_identifier", "identities_recipient", "identities_key"):
        service.stop()
        shutil.copy(folder / "before.db", database)
        hide(database, index, image.statement, image.values)
        service.start()
        assert made in [c["id"] for c in service.admin("GET", f"/v1/users/{ANN}/certificates").expect(200).json["certificates"]]
        assert_told(scene, made)


@test
def a_user_that_is_put_back_is_told_by_the_audit(folder):
    scene = Scene(folder)
    ann, bob = scene.users[ANN], scene.users[BOB]
    renamed, retired = Image(scene, "users", "id", ann), Image(scene, "users", "id", bob)
    scene.service.admin("PATCH", f"/v1/users/{ANN}", {"upn": "anna@example.org"}).expect(200)
    assert scene.service.admin("DELETE", f"/v1/users/{BOB}").status == 204
    assert verification_of(scene.service)["ok"]
    renamed.put_back()
    assert_told(scene, ann)
    retired.put_back()
    assert_told(scene, bob)


@test
def a_device_certificate_that_was_replaced_and_is_put_back_is_told_by_the_audit(folder):
    scene = Scene(folder)
    device = scene.modern
    image = Image(scene, "device_certificates", "fingerprint", fingerprint_of(device))
    old_key, old_certificate = device.key.read_bytes(), device.certificate.read_bytes()
    # A renewal ends the certificate before it once it is used. Whoever stole the first key must stay out then.
    for _ in range(2):
        renew(scene.service, device).expect(201)
    verified = verification_of(scene.service)
    assert verified["ok"], verified
    device.key.write_bytes(old_key)
    device.certificate.write_bytes(old_certificate)
    device.pull().expect(401, "unauthorized")
    image.put_back()
    assert_told(scene, image.row)


def renew(service, device):
    """Renews with a new key, signed by the present one, and goes on with it."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=device.folder))
    csr = make_csr(folder, "P-256")
    der = run("openssl", "req", "-outform", "DER", input=csr.encode()).stdout
    signature = run("openssl", "dgst", "-sha256", "-sign", device.key, input=der).stdout
    answer = service.device("POST", "/v1/device/renew", {"csr": csr, "signature": base64.b64encode(signature).decode()},
                            device=device)
    if answer.status == 201:
        shutil.copy(folder / "device.key", device.key)
        device.certificate.write_text(answer.json["certificate"])
    return answer


if __name__ == "__main__":
    main()
