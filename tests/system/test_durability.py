#!/usr/bin/env python3
"""What was answered 2xx is there after the keeper, or everything, was killed at once; what was not is there whole or
not at all."""

from harness import *

ANN = "ann@example.org"


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


def wrapped_key(service, upn):
    """The wrapped data key of a user's only identity, read beside the service."""
    with contextlib.closing(sqlite3.connect(f"file:{service.dir}/pfxd.db?mode=ro", uri=True)) as db:
        return db.execute("SELECT wrapped_key FROM identities i JOIN names n ON n.user_id = i.user_id WHERE n.name = ?",
                          (upn,)).fetchone()[0]


def on_disk(service, needle):
    return any(needle in (service.dir / name).read_bytes() for name in ("pfxd.db", "pfxd.db-wal")
               if (service.dir / name).exists())


@test
def a_deleted_identity_is_gone_from_database_and_log_while_devices_pull(folder):
    service = Service(folder)
    doomed = Identity(folder, "doomed@example.org", key="P-256", usage="keyAgreement")
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256", usage="keyAgreement").pfx(), "secret").expect(201)
    service.import_pfx("doomed@example.org", doomed.pfx(), "secret").expect(201)
    devices = [service.enrol(ANN, "P-256") for _ in range(4)]
    key = wrapped_key(service, "doomed@example.org")
    assert on_disk(service, key), "the control: it was there"
    gone = threading.Event()

    def pull(device):
        while not gone.is_set():
            device.pull().expect(200)

    def delete():
        try:
            path = f"/v1/users/doomed@example.org/certificates/{doomed.thumbprint}"
            assert service.admin("DELETE", path).status == 204
            wait_until(lambda: not on_disk(service, key), 60, "the end of the data key")
        finally:
            gone.set()

    in_parallel(delete, *[lambda d=d: pull(d) for d in devices])


@test
def a_deleted_identity_is_gone_from_the_log_also_when_the_keeper_was_killed_at_once(folder):
    service = Service(folder, config="[keeper]\nhealth_seconds = 1\n")
    doomed = Identity(folder, "doomed@example.org", key="P-256", usage="keyAgreement")
    service.import_pfx("doomed@example.org", doomed.pfx(), "secret").expect(201)
    key = wrapped_key(service, "doomed@example.org")
    path = f"/v1/users/doomed@example.org/certificates/{doomed.thumbprint}"
    assert service.admin("DELETE", path).status == 204
    service.kill_room("keeper")
    until_up(lambda: service.admin("GET", "/v1/users"))
    wait_until(lambda: not on_disk(service, key), 60, "the end of the data key")


if __name__ == "__main__":
    main()
