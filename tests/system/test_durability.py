#!/usr/bin/env python3
"""What was answered 2xx is there after the keeper, or everything, was killed at once; what was not is there whole or
not at all."""

from harness import *

ANN, DOOMED = "ann@example.org", "doomed@example.org"


def until_up(call, seconds=60):
    """The answer of call(), which is made again while the service comes back."""
    def attempt():
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = call()
            return answer if answer.status < 500 else None
    return wait_until(attempt, seconds, "an answer of the service")


def start_anew(service, turn):
    """Every few turns: a room that dies again and again is started ever later, and that is not what is tested here."""
    if turn % 4 == 3:
        service.kill()
        service.start()


@test
def imports_that_were_answered_survive_a_killed_keeper_twenty_times(folder):
    service = Service(folder)
    identities = [Identity(folder, ANN, key="P-256", usage="keyAgreement") for _ in range(20)]
    device = service.enrol(ANN, "P-256")
    for turn, identity in enumerate(identities):
        pfx = identity.pfx()
        # While the keeper comes back the answer is 503; it is the next 2xx that counts.
        answer = until_up(lambda: service.import_pfx(ANN, pfx, "secret"))
        service.kill_room("keeper")
        assert answer.status in (200, 201), answer.body
        start_anew(service, turn)
    until_up(lambda: device.pull())
    opened = device.history()
    assert set(opened) == {identity.thumbprint for identity in identities}
    for identity in identities:
        assert opened[identity.thumbprint] == identity.key_pem
    assert service.admin("GET", "/v1/audit/verification").expect(200).json["ok"]


@test
def what_was_answered_survives_when_everything_is_killed(folder):
    service = Service(folder)
    identities = []
    device = None
    for turn in range(4):
        identity = Identity(folder, ANN, key="P-256", usage="keyAgreement")
        identities.append(identity)
        service.import_pfx(ANN, identity.pfx(), "secret").expect(201)
        if turn == 1:
            device = service.enrol(ANN, "P-256")
        service.kill()
        service.start()
    assert set(device.history()) == {identity.thumbprint for identity in identities}
    assert service.admin("GET", "/v1/audit/verification").expect(200).json["ok"]


@test
def deletions_and_revocations_survive_a_kill_too(folder):
    service = Service(folder)
    identity = Identity(folder, ANN, key="P-256", usage="keyAgreement")
    service.import_pfx(ANN, identity.pfx(), "secret").expect(201)
    lost, kept = service.enrol(ANN, "P-256"), service.enrol(ANN, "P-256")
    assert service.admin("DELETE", f"/v1/devices/{lost.id}").status == 204
    service.kill_room("keeper")
    assert until_up(lambda: lost.pull()).status == 403
    assert service.admin("DELETE", f"/v1/users/{ANN}/certificates/{identity.thumbprint}").status == 204
    service.kill_room("keeper")
    assert until_up(lambda: kept.pull()).status == 200
    assert kept.history() == {}
    token = service.enrolment_token(ANN)
    service.kill()
    service.start()
    Device(service, folder / "late", "P-256").enrol(token).expect(201)


@test
def imports_during_which_the_keeper_is_killed_are_there_whole_or_not_at_all(folder):
    service = Service(folder)
    device = service.enrol(ANN, "P-256")
    identities = [Identity(folder, ANN, key="P-256", usage="keyAgreement") for _ in range(12)]
    files = [(identity, identity.pfx()) for identity in identities]
    answered = []
    for turn, (identity, pfx) in enumerate(files):
        def send():
            with contextlib.suppress(OSError, http.client.HTTPException):
                return service.import_pfx(ANN, pfx, "secret").status
            return None

        def kill():
            # A little later each time, so that it hits other steps of the import.
            time.sleep(turn * 0.003)
            service.kill_room("keeper")

        if in_parallel(send, kill)[0] in (200, 201):
            answered.append(identity.thumbprint)
        until_up(lambda: service.admin("GET", "/v1/users"))
        start_anew(service, turn)
    until_up(lambda: device.pull())
    opened = device.history()
    assert set(answered) <= set(opened) <= {identity.thumbprint for identity in identities}
    assert service.admin("GET", "/v1/audit/verification").expect(200).json["ok"]


PIECE_BYTES = 24  # no two random values share so many


def sealed_pieces(service, upn):
    """Pieces of all that is sealed for the user, read beside the service: the wrapped data keys, and each sealed column
    every so often, because SQLite cuts what is large into pages."""
    with contextlib.closing(sqlite3.connect(f"file:{service.dir}/pfxd.db?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT wrapped_key, sealed_modern, sealed_legacy FROM identities i "
                          "JOIN names n ON n.user_id = i.user_id WHERE n.name = ?", (upn,)).fetchall()
    assert rows, upn
    return [value[at:at + PIECE_BYTES] for row in rows for value in row
            for at in range(0, len(value) - PIECE_BYTES, 500)]


def on_disk(service, pieces):
    """How many of the pieces stand in any file of the database: in rows, free pages, or the log."""
    files = [path.read_bytes() for path in service.dir.glob("pfxd.db*") if path.is_file()]
    return sum(any(piece in data for data in files) for piece in pieces)


def make_doomed(service, folder, count=1):
    """A user with certificates, and what is sealed for them."""
    identities = [Identity(folder, DOOMED) for _ in range(count)]
    for identity in identities:
        service.import_pfx(DOOMED, identity.pfx(), "secret").expect(201)
    pieces = sealed_pieces(service, DOOMED)
    assert on_disk(service, pieces) == len(pieces) > 10 * count, "the control: all of it was there"
    return identities, pieces


@test
def what_is_deleted_or_retired_is_gone_from_database_free_pages_and_log_while_devices_pull(folder):
    service = Service(folder, config="[keeper]\nhealth_seconds = 1\n")
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256", usage="keyAgreement").pfx(), "secret").expect(201)
    devices = [service.enrol(ANN, "P-256") for _ in range(3)]
    gone = threading.Event()

    def pull(device):
        while not gone.is_set():
            device.pull().expect(200)

    def delete():
        try:
            (identity, *_), pieces = make_doomed(service, folder)
            service.admin("DELETE", f"/v1/users/{DOOMED}/certificates/{identity.thumbprint}").expect(204)
            wait_until(lambda: not on_disk(service, pieces), 60, "the end of what was deleted")
            _, pieces = make_doomed(service, folder, 3)
            service.admin("DELETE", f"/v1/users/{DOOMED}").expect(204)
            wait_until(lambda: not on_disk(service, pieces), 60, "the end of what a retired user had")
        finally:
            gone.set()

    in_parallel(delete, *[lambda d=d: pull(d) for d in devices])


@test
def what_is_deleted_or_retired_is_gone_also_when_the_keeper_was_killed_at_once(folder):
    service = Service(folder, config="[keeper]\nhealth_seconds = 1\n")
    for path in ("/v1/users/{0}/certificates/{1.thumbprint}", "/v1/users/{0}"):
        (identity, *_), pieces = make_doomed(service, folder)
        service.admin("DELETE", path.format(DOOMED, identity)).expect(204)
        service.kill_room("keeper")
        until_up(lambda: service.admin("GET", "/v1/users"))
        wait_until(lambda: not on_disk(service, pieces), 60, "the end of what was sealed")


if __name__ == "__main__":
    main()
