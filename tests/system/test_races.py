#!/usr/bin/env python3
"""Things that happen at once: whatever the order, the outcome is one of those that are allowed."""

from harness import *

ANN, BOB = "ann@example.org", "bob@example.org"


def ids(answer):
    return [c["id"] for c in answer.json["certificates"]]


def assert_consistent(service):
    verification = service.admin("GET", "/v1/audit/verification").expect(200).json
    assert verification["ok"], verification


@test
def two_imports_of_one_pfx_at_once_get_the_same_ids(folder):
    service = Service(folder)
    # The first turns also race for the user, who is new.
    for turn in range(5):
        identity = Identity(folder, ANN, key="P-256", usage="keyAgreement")
        pfx, upn = identity.pfx(), f"user{turn}@example.org"
        answers = in_parallel(*[lambda: service.import_pfx(upn, pfx, "secret")] * 4)
        assert all(a.status in (200, 201) for a in answers), [a.body for a in answers]
        assert any(a.status == 201 for a in answers)
        assert all(len(ids(a)) == 1 for a in answers) and len({ids(a)[0] for a in answers}) == 1
        assert ids(service.admin("GET", f"/v1/users/{upn}/certificates")) == ids(answers[0])
    assert_consistent(service)


@test
def first_imports_of_a_new_user_at_once_make_one_user_who_has_all(folder):
    service = Service(folder)
    identities = [Identity(folder, ANN, key="P-256", usage="keyAgreement") for _ in range(4)]
    files = [identity.pfx() for identity in identities]
    for turn in range(4):
        # Whatever the case: it is one name.
        upns = [f"New{turn}@Example.org", f"new{turn}@example.org", f"NEW{turn}@EXAMPLE.ORG", f"new{turn}@example.ORG"]
        calls = [lambda upn=upn, pfx=pfx: service.import_pfx(upn, pfx, "secret") for upn, pfx in zip(upns, files)]
        calls.append(lambda: service.admin("POST", f"/v1/users/new{turn}@example.org/enrollments", {"name": "x"}))
        for answer in in_parallel(*calls):
            assert answer.status == 201, answer.body
        history = service.admin("GET", f"/v1/users/new{turn}@example.org/certificates").expect(200).json["certificates"]
        assert {c["thumbprint"] for c in history} == {identity.thumbprint for identity in identities}
    assert len(service.admin("GET", "/v1/users").json["users"]) == 4
    assert_consistent(service)


@test
def a_device_that_is_revoked_during_its_pull_gets_everything_or_403(folder):
    service = Service(folder)
    identities = [Identity(folder, ANN, key="P-256", usage="keyAgreement") for _ in range(3)]
    for identity in identities:
        service.import_pfx(ANN, identity.pfx(), "secret").expect(201)
    wanted = {identity.thumbprint for identity in identities}
    for turn in range(6):
        device = service.enrol(ANN, "P-256")
        pulls = in_parallel(*[device.pull] * 3, lambda: service.admin("DELETE", f"/v1/devices/{device.id}"))
        assert pulls.pop().status == 204
        for pull in pulls:
            assert pull.status in (200, 403), pull.body
            if pull.status == 200:
                assert {c["thumbprint"] for c in device.open(pull.body)["certificates"]} == wanted
        device.pull().expect(403, "forbidden")
    # After the record of a revocation the chain holds no release to that device.
    records = service.admin("GET", "/v1/audit?limit=1000").expect(200).json["records"]
    revoked = set()
    for record in sorted(records, key=lambda r: r["sequence"]):
        if record["event"] == "device.revoke":
            revoked.add(record["object"])
        assert record["event"] != "bundle.release" or record["object"] not in revoked, record
    assert_consistent(service)


@test
def one_enrolment_token_shown_by_fifty_devices_at_once_enrols_exactly_one(folder):
    service = Service(folder)
    token = service.enrolment_token(ANN)
    devices = [Device(service, folder / f"d{n}", "P-256") for n in range(50)]
    answers = in_parallel(*[lambda d=d: d.enrol(token) for d in devices])
    won = [d for d, answer in zip(devices, answers) if answer.status == 201]
    assert len(won) == 1, [answer.status for answer in answers]
    for answer in answers:
        if answer.status != 201:
            answer.expect(409, "token_spent")
    listed = service.admin("GET", f"/v1/devices?user={ANN}").expect(200).json["devices"]
    assert [d["id"] for d in listed] == [won[0].id]
    won[0].pull().expect(200)
    assert_consistent(service)


@test
def one_device_that_enrols_twice_at_once_gets_one_certificate(folder):
    service = Service(folder)
    for turn in range(5):
        device = Device(service, folder / f"d{turn}", "P-256")
        token = service.enrolment_token(f"user{turn}@example.org")
        answers = in_parallel(*[lambda: device.enrol(token)] * 4)
        assert all(a.status == 201 for a in answers), [a.body for a in answers]
        assert len({a.json["certificate"] for a in answers}) == 1
        device.pull().expect(200)
    assert_consistent(service)


@test
def a_renewed_certificate_that_is_used_several_times_at_once_ends_the_old_one_once(folder):
    service = Service(folder)
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256", usage="keyAgreement").pfx(), "secret").expect(201)
    for turn in range(3):
        device = service.enrol(ANN, "P-256")
        next_one = folder / f"next-{turn}"
        next_one.mkdir()
        csr = make_csr(next_one, "P-256")
        der = run("openssl", "req", "-outform", "DER", input=csr.encode()).stdout
        signature = run("openssl", "dgst", "-sha256", "-sign", device.key, input=der).stdout
        body = {"csr": csr, "signature": base64.b64encode(signature).decode()}
        answers = in_parallel(*[lambda: service.device("POST", "/v1/device/renew", body, device=device)] * 3)
        # However often it was asked, it is one certificate: none of the answers may be worth less than another.
        assert all(a.status == 201 for a in answers), [a.body for a in answers]
        assert len({a.json["certificate"] for a in answers}) == 1
        renewed = Device.__new__(Device)
        renewed.__dict__ = {**device.__dict__, "key": next_one / "device.key", "certificate": next_one / "device.crt"}
        renewed.certificate.write_text(answers[0].json["certificate"])
        # The old one may be used until the new one is.
        pulls = in_parallel(*[renewed.pull] * 3, device.pull)
        assert pulls.pop().status in (200, 401)
        assert all(p.status == 200 for p in pulls), [p.body for p in pulls]
        device.pull().expect(401, "unauthorized")
        renewed.pull().expect(200)
    assert_consistent(service)


@test
def an_identity_that_is_deleted_during_a_pull_is_in_the_bundle_whole_or_not_at_all(folder):
    service = Service(folder)
    stays = Identity(folder, ANN, key="P-256", usage="keyAgreement")
    service.import_pfx(ANN, stays.pfx(), "secret").expect(201)
    device = service.enrol(ANN, "P-256")
    for turn in range(3):
        goes = Identity(folder, ANN, key="P-256", usage="keyAgreement")
        service.import_pfx(ANN, goes.pfx(), "secret").expect(201)
        pulls = in_parallel(*[device.pull] * 3, lambda: service.admin(
            "DELETE", f"/v1/users/{ANN}/certificates/{goes.thumbprint}"))
        assert pulls.pop().status == 204
        for pull in pulls:
            opened = device.open(pull.expect(200).body)
            has = {c["thumbprint"] for c in opened["certificates"]}
            assert has in ({stays.thumbprint}, {stays.thumbprint, goes.thumbprint}), has
            # Told to remove it exactly when it is not there.
            assert (goes.thumbprint in opened["removed"]) == (goes.thumbprint not in has)
            for entry in opened["certificates"]:
                open_pkcs12(base64.b64decode(entry["pkcs12"]), entry["password"], device.folder)
        assert set(device.history()) == {stays.thumbprint}
    assert_consistent(service)


@test
def a_user_who_is_renamed_or_retired_during_imports_loses_nothing_to_others(folder):
    service = Service(folder)
    files = [(identity.thumbprint, identity.pfx()) for identity in
             (Identity(folder, ANN, key="P-256", usage="keyAgreement") for _ in range(6))]
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256").pfx(), "secret").expect(201)
    calls = [lambda pfx=pfx: service.import_pfx(ANN, pfx, "secret") for _, pfx in files]
    answers = in_parallel(*calls, lambda: service.admin("PATCH", f"/v1/users/{ANN}", {"upn": "anna@example.org"}))
    assert answers.pop().status == 200
    assert all(a.status == 201 for a in answers), [a.body for a in answers]
    users = service.admin("GET", "/v1/users").json["users"]
    assert [u["upn"] for u in users] == ["anna@example.org"] and users[0]["identities"] == 7, users
    # Retired meanwhile: each import went to the old user and is gone with it, or to a new user of that name.
    calls = [lambda pfx=pfx: service.import_pfx(BOB, pfx, "secret") for _, pfx in files]
    service.import_pfx(BOB, Identity(folder, BOB, key="P-256").pfx(), "secret").expect(201)
    answers = in_parallel(*calls, lambda: service.admin("DELETE", f"/v1/users/{BOB}"))
    assert answers.pop().status == 204
    assert all(a.status in (201, 503) for a in answers), [(a.status, a.body) for a in answers]
    left = service.admin("GET", f"/v1/users/{BOB}/certificates")
    assert left.status in (200, 404)
    if left.status == 200:
        assert {c["thumbprint"] for c in left.json["certificates"]} <= {thumbprint for thumbprint, _ in files}
    assert_consistent(service)


@test
def two_renames_to_one_name_at_once_give_it_to_one_of_them(folder):
    service = Service(folder)
    for turn in range(4):
        names = [f"a{turn}@example.org", f"b{turn}@example.org"]
        for name in names:
            service.enrolment_token(name)
        answers = in_parallel(*[lambda n=n: service.admin("PATCH", f"/v1/users/{n}", {"upn": f"c{turn}@example.org"})
                                for n in names])
        assert sorted(a.status for a in answers) == [200, 409], [a.body for a in answers]
    assert_consistent(service)


@test
def the_last_two_admin_tokens_revoked_at_once_leave_one(folder):
    service = Service(folder)
    second = service.admin("POST", "/v1/tokens", {"name": "second", "role": "admin"}).expect(201).json
    first = next(t["id"] for t in service.admin("GET", "/v1/tokens").json["tokens"] if t["id"] != second["id"])
    answers = in_parallel(lambda: service.admin("DELETE", f"/v1/tokens/{first}", token=second["token"]),
                          lambda: service.admin("DELETE", f"/v1/tokens/{second['id']}"))
    # Whoever comes second has no right any more, or would be the last.
    statuses = sorted(a.status for a in answers)
    assert statuses in ([204, 401], [204, 409]), statuses
    working = [token for token in (service.token, second["token"])
               if service.admin("GET", "/v1/users", token=token).status == 200]
    assert len(working) == 1


@test
def an_import_that_is_under_way_when_its_token_is_revoked_is_not_written(folder):
    service = Service(folder)
    token = service.make_token("importer")
    token_id = next(t["id"] for t in service.admin("GET", "/v1/tokens").json["tokens"] if t["role"] == "importer")
    identity = Identity(folder, ANN)
    pfx = {"pkcs12": base64.b64encode(identity.pfx()).decode(), "password": "secret"}
    # A first import connects an opener of this token; stopped, it holds the second one up.
    service.admin("POST", f"/v1/users/{ANN}/certificates", pfx, token=token).expect(201)
    openers = service.rooms()["opener-pfx"]
    send_signal(signal.SIGSTOP, openers)

    def revoke():
        wait_until(lambda: len(service.rooms()["opener-pfx"]) >= len(openers), what="the openers")
        assert service.admin("DELETE", f"/v1/tokens/{token_id}").status == 204
        send_signal(signal.SIGCONT, openers)

    def send():
        return service.admin("POST", "/v1/users/late@example.org/certificates", pfx, token=token)

    answer = in_parallel(send, revoke)[0]
    # Where it was slower than the revocation it never began; either way it is refused and nothing is kept.
    answer.expect(401, "unauthorized")
    service.admin("GET", "/v1/users/late@example.org").expect(404)


if __name__ == "__main__":
    main()
