#!/usr/bin/env python3
"""How much one user may have, each limit at its edge: a sentence that says what to do, nothing cut, nothing half done, and
all that fits is delivered. The openers are made up: to fill a limit with real files would take hours."""

from fake_opener import *

ANN, BOB = "ann@example.org", "bob@example.org"
IDENTITIES_MAX, DEVICES_MAX, PKCS12_BYTES, CHAIN_BYTES = 500, 100, 5 * 2 ** 20, 2 ** 20
IN_ONE_FILE = 64
PKCS12_MAX, CERTIFICATE_MAX = 256 * 2 ** 10, 64 * 2 ** 10
SEALED_MORE = 43 + 12 + 16  # a password, a nonce and a tag beside each file


class Source:
    """A service whose opener finds in the next file what it is told to."""

    def __init__(self, folder, config=None):
        self.service = Service(folder, config=config)
        self.opener = FakeOpener(self.service, "pfx", None)

    def file(self, identities, chain=b""):
        """The answer to an import of a file with them."""
        self.opener.behave = says(STARTED + opened(b"".join(identities), chain))
        return self.service.import_pfx(ANN, b"x", "x")

    def history(self, upn=ANN):
        return self.service.admin("GET", f"/v1/users/{upn}/certificates").expect(200).json["certificates"]

    def delete(self, facts):
        self.service.admin("DELETE", f"/v1/users/{ANN}/certificates/{facts['thumbprint']}").expect(204)


def expect_full(answer, words):
    detail = answer.expect(409, "conflict").json["detail"]
    assert words in detail and "delete some first" in detail, detail


def delivered(service):
    device = service.enrol(ANN, "P-256")
    return len(device.open(device.pull().expect(200).body)["certificates"])


@test
def a_user_has_500_identities_and_not_one_more(folder):
    source = Source(folder)
    numbers = iter(range(10000))

    def some(count):
        return [identity(certificate=b"certificate %d" % next(numbers)) for _ in range(count)]

    for _ in range(IDENTITIES_MAX // IN_ONE_FILE):
        source.file(some(IN_ONE_FILE)).expect(201)
    left = IDENTITIES_MAX - len(source.history())
    expect_full(source.file(some(left + 1)), f"more than {IDENTITIES_MAX} identities")
    assert len(source.history()) == IDENTITIES_MAX - left, "half of a file was kept"
    source.file(some(left)).expect(201)
    one_more = some(1)
    expect_full(source.file(one_more), f"more than {IDENTITIES_MAX} identities")
    assert len(source.history()) == delivered(source.service) == IDENTITIES_MAX
    # Another user is not concerned, and a place that is free is free.
    source.service.import_pfx(BOB, b"x", "x").expect(201)
    source.delete(source.history()[0])
    source.file(one_more).expect(201)
    assert len(source.history()) == IDENTITIES_MAX


@test
def the_files_of_a_user_have_5_mib_and_not_a_byte_more(folder):
    source = Source(folder)
    whole = PKCS12_BYTES // PKCS12_MAX

    def sized(number, bytes):
        return identity(certificate=b"certificate %d" % number, legacy=b"x" * (bytes - SEALED_MORE))

    source.file([sized(n, PKCS12_MAX) for n in range(whole - 1)]).expect(201)
    expect_full(source.file([sized(whole, PKCS12_MAX), sized(whole + 1, SEALED_MORE + 1)]),
                f"more than {PKCS12_BYTES} bytes of PKCS#12 files")
    assert len(source.history()) == whole - 1
    source.file([sized(whole, PKCS12_MAX)]).expect(201)
    expect_full(source.file([sized(whole + 1, SEALED_MORE + 1)]), f"more than {PKCS12_BYTES} bytes")
    assert len(source.history()) == delivered(source.service) == whole


@test
def the_chains_of_a_user_have_1_mib_and_each_certificate_counts_once(folder):
    source = Source(folder)
    count = CHAIN_BYTES // CERTIFICATE_MAX
    chain = [field(bytes([n]) * CERTIFICATE_MAX) for n in range(count)]
    every = bytes(range(count))
    source.file([identity(certificate=b"1", chain=every), identity(certificate=b"2", chain=every)],
                b"".join(chain)).expect(201)
    expect_full(source.file([identity(certificate=b"3", chain=b"\0")], field(b"x")),
                f"more than {CHAIN_BYTES} bytes of chain certificates")
    source.file([identity(certificate=b"3", chain=every)], b"".join(chain)).expect(201)
    assert len(source.history()) == delivered(source.service) == 3


@test
def a_user_has_100_devices_and_the_token_of_one_too_many_is_not_lost(folder):
    service = Service(folder)
    devices = [service.enrol(ANN, "P-256", name=f"device {n}") for n in range(DEVICES_MAX)]
    late = Device(service, folder / "late", "P-256")
    token = service.enrolment_token(ANN)
    detail = late.enrol(token).expect(409, "conflict").json["detail"]
    assert f"{DEVICES_MAX} devices already: revoke one first" in detail, detail
    service.enrol(BOB, "P-256")
    service.admin("DELETE", f"/v1/devices/{devices[0].id}").expect(204)
    late.enrol(token).expect(201)
    assert len(service.admin("GET", f"/v1/devices?user={ANN}&limit=1000").expect(200).json["devices"]) == DEVICES_MAX + 1


@test
def there_are_as_many_users_as_the_configuration_says_however_they_are_made(folder):
    service = Service(folder, config="[keeper]\nmax_users = 9\n")
    opener = FakeOpener(service, "pfx", says(STARTED + opened(identity())))
    for n in range(9):
        if n % 2:
            service.import_pfx(f"u{n}@example.org", b"x", "x").expect(201)
        else:
            service.enrolment_token(f"u{n}@example.org")
    for _ in range(2):
        for answer in (service.import_pfx("more@example.org", b"x", "x"),
                       service.admin("POST", "/v1/users/more@example.org/enrollments", {"name": "phone"})):
            detail = answer.expect(409, "conflict").json["detail"]
            assert "there are 9 users already: retire some, or raise [keeper] max_users" in detail, detail
    assert len(service.admin("GET", "/v1/users").expect(200).json["users"]) == 9
    # Those who are there are served, and who is retired makes room.
    service.import_pfx("u0@example.org", b"x", "x").expect(201)
    service.admin("DELETE", "/v1/users/u1@example.org").expect(204)
    service.import_pfx("more@example.org", b"x", "x").expect(201)
    service.import_pfx("evenmore@example.org", b"x", "x").expect(409, "conflict")
    opener.close()


@test
def the_database_shrinks_after_deletions_while_devices_pull(folder):
    """Beside limits, because it takes a history as large as one can be."""
    source = Source(folder, config="[keeper]\nhealth_seconds = 1\n")
    database = source.service.dir / "pfxd.db"
    device = source.service.enrol(BOB, "P-256")
    gone = threading.Event()

    def pull():
        while not gone.is_set():
            device.pull().expect(200)

    def fill_and_delete():
        try:
            source.file([identity(certificate=b"%d" % n, legacy=b"x" * 200000) for n in range(20)]).expect(201)
            wait_until(lambda: database.stat().st_size > 4 * 2 ** 20, what="a large database")
            source.service.admin("DELETE", f"/v1/users/{ANN}").expect(204)
            # DB_FREE_PAGES_KEPT and what is in use.
            wait_until(lambda: database.stat().st_size < 3 * 2 ** 20, 60, "the end of a large database")
        finally:
            gone.set()

    in_parallel(fill_and_delete, pull)
    source.service.stop()
    with contextlib.closing(source.service.database()) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA freelist_count").fetchone()[0] >= 400, "nothing is kept for what comes next"


if __name__ == "__main__":
    main()
