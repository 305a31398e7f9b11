#!/usr/bin/env python3
"""The admin interface, call by call, and who may make which."""

import re

from inputs import *

UPN = "ann@example.org"
USER = f"/v1/users/{UPN}"
PATH = f"{USER}/certificates"
NOBODY = "/v1/users/nobody@example.org"
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


def leaf(folder, upn=UPN):
    """An identity whose certificate is no CA's."""
    return Identity(folder, upn, key="P-256", extra=("-addext", "basicConstraints=critical,CA:FALSE"))


def history(service, upn=UPN):
    return service.admin("GET", f"/v1/users/{upn}/certificates").expect(200).json["certificates"]


def get(service, path, name):
    return service.admin("GET", path).expect(200).json[name]


def records(service):
    return pages(service, "/v1/audit", "records", 1000)[0]


def pages(service, path, name, limit):
    """Everything of a list, and the sizes of the pages that it came in."""
    found, sizes, cursor = [], [], None
    while True:
        more = f"&cursor={cursor}" if cursor else ""
        answer = service.admin("GET", f"{path}{'&' if '?' in path else '?'}limit={limit}{more}").expect(200).json
        assert set(answer) <= {name, "nextCursor"}, set(answer)
        found += answer[name]
        sizes.append(len(answer[name]))
        assert len(answer[name]) <= limit
        cursor = answer.get("nextCursor")
        if not cursor:
            return found, sizes
        assert re.fullmatch("[A-Za-z0-9._~:@!$*,;/-]+", cursor), "a cursor must go into a query as it is"


# ---- imports ----

@test
def an_import_answers_201_with_the_facts_and_makes_the_user(folder):
    service, identity = Service(folder), leaf(folder)
    answer = service.import_pfx(UPN, identity.pfx(), "secret").expect(201)
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json) == {"certificates", "warnings"} and answer.json["warnings"] == []
    facts = answer.json["certificates"][0]
    assert set(facts) == LISTED_FACTS and re.fullmatch(UUID, facts["id"])
    assert facts["thumbprint"] == identity.thumbprint
    assert facts["thumbprintSha256"] == fingerprint(identity.certificate, "sha256")
    assert facts["emails"] == [UPN] and sorted(facts["usages"]) == ["encryption", "signing"]
    assert all(re.fullmatch(TIME, facts[name]) for name in ("notBefore", "notAfter", "importedAt"))
    assert history(service) == [facts]
    user = service.admin("GET", USER).expect(200).json
    assert set(user) == {"id", "upn", "aliases", "identities", "devices"} and re.fullmatch(UUID, user["id"])
    assert (user["upn"], user["aliases"], user["identities"], user["devices"]) == (UPN, [], 1, 0)


@test
def importing_what_is_known_answers_200_with_the_same_ids_and_a_mixture_201(folder):
    service = Service(folder)
    one, two = leaf(folder), leaf(folder)
    first = service.import_pfx(UPN, one.pfx(), "secret").expect(201).json["certificates"]
    again = service.import_pfx(UPN, one.pfx("another"), "another").expect(200).json["certificates"]
    assert again == first
    both = make_pfx([(one.key, one.certificate), (two.key, two.certificate)])
    mixed = service.import_pfx(UPN, both, "secret").expect(201).json["certificates"]
    assert {c["thumbprint"] for c in mixed} == {one.thumbprint, two.thumbprint}
    assert [c["id"] for c in mixed if c["thumbprint"] == one.thumbprint] == [first[0]["id"]]
    known = service.import_pfx(UPN, both, "secret").expect(200).json["certificates"]
    assert {c["id"] for c in known} == {c["id"] for c in mixed} and len(history(service)) == 2


@test
def several_identities_in_one_pfx_are_one_entry_each_and_all_delivered(folder):
    service = Service(folder)
    identities = [leaf(folder) for _ in range(5)]
    pfx = make_pfx([(i.key, i.certificate) for i in identities])
    answer = service.import_pfx(UPN, pfx, "secret").expect(201).json
    expected = {i.thumbprint: i.key_pem for i in identities}
    assert {c["thumbprint"] for c in answer["certificates"]} == set(expected) and len(answer["certificates"]) == 5
    assert service.enrol(UPN, "P-256").history() == expected


@test
def a_pfx_that_pk12util_makes_of_two_identities_is_imported(folder):
    if not shutil.which("certutil") or not shutil.which("pk12util"):
        raise Skip("libnss3-tools is not installed")
    service, store = Service(folder), folder / "nss"
    store.mkdir()
    db = ["-d", f"sql:{store}"]
    run("certutil", "-N", *db, "--empty-password")
    identities = [Identity(folder, UPN, name="Ann") for _ in range(2)]
    for identity in identities:
        single = folder / "single.p12"
        single.write_bytes(identity.pfx("secret", "-name", "Ann"))
        run("pk12util", "-i", single, *db, "-W", "secret")
    both = folder / "both.p12"
    run("pk12util", "-o", both, "-n", "Ann", *db, "-W", "wörd")
    # Five derivations of 600,000 iterations: an opener, which is nice to all others, may be told that the machine is busy.
    imported = lambda: service.import_pfx(UPN, both.read_bytes(), "wörd")
    answer = wait_until(lambda: (a := imported()).status != 503 and a, 120, "an import").expect(201).json
    assert {c["thumbprint"] for c in answer["certificates"]} == {i.thumbprint for i in identities}, answer


@test
def one_whole_identity_is_imported_and_the_orphans_are_warnings(folder):
    service = Service(folder)
    whole, no_key, no_certificate = leaf(folder), leaf(folder), leaf(folder)
    pfx = make_pfx([(whole.key, whole.certificate), (None, no_key.certificate), (no_certificate.key, None)])
    answer = service.import_pfx(UPN, pfx, "secret").expect(201).json
    assert [c["thumbprint"] for c in answer["certificates"]] == [whole.thumbprint] == [
        c["thumbprint"] for c in history(service)]
    for warning in answer["warnings"]:
        assert {"code", "detail"} <= set(warning) <= {"code", "detail", "thumbprint"} and warning["detail"], warning
    told = {w["code"]: w.get("thumbprint") for w in answer["warnings"]}
    assert told == {"no_private_key": no_key.thumbprint, "no_certificate": None}, told


@test
def imports_at_once_make_one_user_and_each_identity_once(folder):
    service = Service(folder)
    files = [leaf(folder).pfx() for _ in range(4)]
    answers = in_parallel(*[lambda f=f: service.import_pfx(UPN, f, "secret") for f in files * 2])
    assert sorted(a.status for a in answers) == [200] * 4 + [201] * 4, [a.body for a in answers]
    ids = {c["id"] for a in answers for c in a.json["certificates"]}
    assert len(ids) == 4 == len(history(service)) and len(get(service, "/v1/users", "users")) == 1


@test
def an_uploaded_pfx_may_have_an_empty_password_and_the_delivered_one_never_has(folder):
    service, identity = Service(folder), leaf(folder)
    service.import_pfx(UPN, identity.pfx(""), "").expect(201)
    device = service.enrol(UPN, "P-256")
    told = device.open(device.pull().expect(200).body)["certificates"][0]
    assert len(told["password"]) >= 43
    assert open_pkcs12(base64.b64decode(told["pkcs12"]), told["password"], folder) == identity.key_pem


@test
def usages_replaces_what_the_certificate_says(folder):
    service = Service(folder)
    signer = Identity(folder, UPN, key="P-256", usage="digitalSignature")
    both = leaf(folder)
    every = ["encryption", "signing"]
    for identity, said, wanted in ((signer, ["signing"], ["encryption"]), (both, every, ["signing"]),
                                   (both, None, ["encryption"]), (signer, None, every)):
        if said:
            assert sorted(service.import_pfx(UPN, identity.pfx(), "secret").json["certificates"][0]["usages"]) == said
        answer = service.import_pfx(UPN, identity.pfx(), "secret", usages=wanted).expect(200)
        assert sorted(answer.json["certificates"][0]["usages"]) == wanted
    service.import_pfx(UPN, signer.pfx(), "secret").expect(200)
    assert {c["thumbprint"]: sorted(c["usages"]) for c in history(service)} == {
        signer.thumbprint: ["encryption", "signing"], both.thumbprint: ["encryption"]}


@test
def old_expired_and_weak_identities_are_imported_for_the_sake_of_old_mail(folder):
    service = Service(folder)
    old = Identity(folder, UPN, key="rsa:1024", start="2009-05-01 00:00:00", days=365)
    answer = service.import_pfx(UPN, old.pfx(), "secret").expect(201).json
    assert [c["thumbprint"] for c in answer["certificates"]] == [old.thumbprint]
    assert service.enrol(UPN, "P-256").history() == {old.thumbprint: old.key_pem}


@test
def one_certificate_may_belong_to_several_users(folder):
    service, shared = Service(folder), leaf(folder, "team@example.org")
    users = ("ann@example.org", "bob@example.org")
    ids = [service.import_pfx(u, shared.pfx(), "secret").expect(201).json["certificates"][0]["id"] for u in users]
    assert ids[0] != ids[1]
    devices = [service.enrol(u, "P-256") for u in users]
    assert all(d.history() == {shared.thumbprint: shared.key_pem} for d in devices)
    service.admin("DELETE", f"/v1/users/{users[0]}/certificates/{shared.thumbprint}").expect(204)
    assert devices[0].history() == {} and devices[1].history() == {shared.thumbprint: shared.key_pem}


# ---- deletion ----

@test
def an_identity_is_deleted_by_sha1_or_sha256_in_either_case_and_then_gone(folder):
    service = Service(folder)
    identities = [leaf(folder) for _ in range(4)]
    service.import_pfx(UPN, make_pfx([(i.key, i.certificate) for i in identities]), "secret").expect(201)
    names = [fingerprint(i.certificate, digest) for i, digest in zip(identities, ("sha1", "sha1", "sha256", "sha256"))]
    for n, name in enumerate((names[0], names[1].upper(), names[2], names[3].upper())):
        answer = service.admin("DELETE", f"{PATH}/{name}").expect(204)
        assert answer.body == b""
        assert len(history(service)) == 3 - n
        service.admin("DELETE", f"{PATH}/{name}").expect(404, "not_found")
    assert service.admin("GET", USER).expect(200).json["identities"] == 0
    service.admin("DELETE", f"{PATH}/{'0' * 40}").expect(404, "not_found")
    service.admin("DELETE", f"{NOBODY}/certificates/{'0' * 64}").expect(404, "not_found")


@test
def another_users_certificate_can_not_be_deleted_by_way_of_this_user(folder):
    service, identity = Service(folder), leaf(folder)
    service.import_pfx(UPN, identity.pfx(), "secret").expect(201)
    service.import_pfx("bob@example.org", leaf(folder).pfx(), "secret").expect(201)
    service.admin("DELETE", f"/v1/users/bob@example.org/certificates/{identity.thumbprint}").expect(404, "not_found")
    assert len(history(service)) == 1


# ---- users ----

@test
def a_renamed_user_keeps_history_and_devices_and_the_old_name_as_an_alias(folder):
    service, identity, renamed = Service(folder), leaf(folder), "ann.miller@example.org"
    service.import_pfx(UPN, identity.pfx(), "secret").expect(201)
    device = service.enrol(UPN, "P-256")
    before = history(service)
    etag = device.pull().expect(200).headers["etag"]
    user = service.admin("PATCH", USER, {"upn": renamed}).expect(200).json
    assert (user["upn"], user["aliases"], user["identities"], user["devices"]) == (renamed, [UPN], 1, 1)
    assert service.admin("GET", f"/v1/users/{renamed}").json == user == service.admin("GET", USER).expect(200).json
    assert history(service, renamed) == before == history(service, UPN)
    bundle = device.open(device.pull(etag).expect(200).body)
    assert bundle["user"] == renamed and [c["thumbprint"] for c in bundle["certificates"]] == [identity.thumbprint]
    assert [d["user"] for d in get(service, f"/v1/devices?user={UPN}", "devices")] == [renamed]
    service.import_pfx(UPN.upper(), leaf(folder).pfx(), "secret").expect(201)
    assert len(get(service, "/v1/users", "users")) == 1 and len(history(service, renamed)) == 2


@test
def a_user_can_not_be_renamed_onto_another_or_anothers_alias(folder):
    service = Service(folder)
    for name in ("ann", "bob", "eve"):
        service.enrolment_token(f"{name}@example.org")
    service.admin("PATCH", "/v1/users/bob@example.org", {"upn": "robert@example.org"}).expect(200)
    before = get(service, "/v1/users", "users")
    for taken in ("eve@example.org", "EVE@example.org", "robert@example.org", "bob@example.org"):
        service.admin("PATCH", USER, {"upn": taken}).expect(409, "conflict")
    service.admin("PATCH", NOBODY, {"upn": "free@example.org"}).expect(404, "not_found")
    for bad in ({}, {"upn": 7}, {"upn": "x", "y": 1}):
        service.admin("PATCH", USER, bad).expect(400, "malformed_request")
    assert get(service, "/v1/users", "users") == before
    back = service.admin("PATCH", "/v1/users/robert@example.org", {"upn": "bob@example.org"}).expect(200).json
    assert (back["upn"], back["aliases"]) == ("bob@example.org", ["robert@example.org"])
    shouted = service.admin("PATCH", USER, {"upn": "Ann@Example.ORG"}).expect(200).json
    assert (shouted["upn"], shouted["aliases"]) == ("Ann@Example.ORG", [])


@test
def a_retired_user_is_gone_with_devices_and_enrolment_tokens_and_the_audit_stays(folder):
    service, identity = Service(folder), leaf(folder)
    service.import_pfx(UPN, identity.pfx(), "secret").expect(201)
    device, open_token = service.enrol(UPN, "P-256"), service.enrolment_token(UPN)
    user = service.admin("GET", USER).json["id"]
    device.pull().expect(200)
    service.admin("PATCH", USER, {"upn": "ann2@example.org"}).expect(200)
    before = records(service)
    answer = service.admin("DELETE", "/v1/users/ann2@example.org").expect(204)
    assert answer.body == b""
    device.pull().expect(403, "forbidden")
    device.pull("*").expect(403, "forbidden")
    for path in (USER, PATH, "/v1/users/ann2@example.org"):
        service.admin("GET", path).expect(404, "not_found")
    service.admin("DELETE", USER).expect(404, "not_found")
    assert get(service, "/v1/users", "users") == []
    late = Device(service, folder / "late", "P-256").enrol(open_token)
    assert late.status in (401, 403, 409, 410), late.body
    after = records(service)
    assert after[:len(before)] == before and [r["user"] for r in after[len(before):]].count(user) >= 1
    assert service.admin("GET", "/v1/audit/verification").expect(200).json["ok"] is True


@test
def a_new_user_with_a_retired_ones_name_begins_with_nothing(folder):
    service, identity = Service(folder), leaf(folder)
    service.import_pfx(UPN, identity.pfx(), "secret").expect(201)
    first, old_device = service.admin("GET", USER).json["id"], service.enrol(UPN, "P-256")
    service.admin("DELETE", USER).expect(204)
    new_device = service.enrol(UPN, "P-256")
    user = service.admin("GET", USER).expect(200).json
    assert user["id"] != first and (user["identities"], user["devices"]) == (0, 1)
    bundle = new_device.open(new_device.pull().expect(200).body)
    assert bundle["certificates"] == [] and bundle["removed"] == []
    old_device.pull().expect(403, "forbidden")
    service.import_pfx(UPN, identity.pfx(), "secret").expect(201)
    assert new_device.history() == {identity.thumbprint: identity.key_pem}
    old_device.pull().expect(403, "forbidden")


# ---- lists ----

@test
def users_come_in_pages_each_once(folder):
    service = Service(folder)
    names = [f"user{n}+x@example.org" for n in range(5)] + ["Ärger@example.org", "a/b c@example.org"]
    for name in names:
        service.enrolment_token(name.replace("/", "%2F").replace(" ", "%20").replace("Ä", "%C3%84"))
    for limit in (1, 2, 3, 6, 7, 8, 1000):
        users, sizes = pages(service, "/v1/users", "users", limit)
        assert sorted(u["upn"] for u in users) == sorted(names), (limit, sizes)
        assert len({u["id"] for u in users}) == 7 and all(set(u) == {"id", "upn", "aliases", "identities", "devices"}
                                                          for u in users)
    assert len(get(service, "/v1/users", "users")) == 7


@test
def a_page_goes_on_where_the_last_one_ended_when_the_list_has_changed(folder):
    service = Service(folder)
    for name in "bdfh":
        service.enrolment_token(f"{name}@example.org")
    first = service.admin("GET", "/v1/users?limit=2").expect(200).json
    for name in "ac":
        service.enrolment_token(f"{name}@example.org")
    service.admin("DELETE", f"/v1/users/{first['users'][-1]['upn']}").expect(204)
    rest = service.admin("GET", f"/v1/users?limit=100&cursor={first['nextCursor']}").expect(200).json["users"]
    seen = [u["upn"][0] for u in first["users"] + rest]
    assert len(seen) == len(set(seen)) and set("bdfh") <= set(seen), seen


@test
def devices_come_in_pages_of_all_or_of_one_user(folder):
    service = Service(folder)
    ids = {}
    for n, upn in enumerate([UPN, UPN, UPN, "bob@example.org"]):
        device = service.enrol(upn, "P-256", name=f"phone {n}", platform="ios-17")
        ids[device.id] = upn
    for limit in (1, 2, 3, 4, 5):
        found, _ = pages(service, "/v1/devices", "devices", limit)
        assert {d["id"]: d["user"] for d in found} == ids and len(found) == 4
        found, _ = pages(service, f"/v1/devices?user={UPN}", "devices", limit)
        assert {d["id"] for d in found} == {i for i, u in ids.items() if u == UPN} and len(found) == 3
    one = found[0]
    assert set(one) == {"id", "user", "name", "platform", "state", "enrolledAt", "notAfter", "lastPullAt"}
    assert one["state"] == "active" and one["platform"] == "ios-17" and one["lastPullAt"] is None
    assert {d["name"] for d in pages(service, "/v1/devices", "devices", 9)[0]} == {f"phone {n}" for n in range(4)}


@test
def the_limits_of_a_page_and_cursors_that_are_none_are_malformed(folder):
    service = Service(folder)
    for path in ("/v1/users", "/v1/devices", "/v1/audit"):
        for limit in ("0", "-1", "1001", "99999999999999999999", "x", "", "1.5", "0x10", "+1", "%201"):
            service.admin("GET", f"{path}?limit={limit}").expect(400, "malformed_request")
        for cursor in ("%ff", "!", "x%00", "A" * 5000, "%F0%9F%92%A9"):
            service.admin("GET", f"{path}?cursor={cursor}").expect(400, "malformed_request")
        service.admin("GET", f"{path}?limit=1&limit=2").expect(400, "malformed_request")
        service.admin("GET", f"{path}?limit=1").expect(200)


@test
def the_audit_has_a_record_of_every_act_in_order_and_comes_in_pages(folder):
    service, identity = Service(folder), leaf(folder)
    sent = [service.import_pfx(UPN, identity.pfx(), "secret").expect(201)]
    device = service.enrol(UPN, "P-256")
    sent.append(device.pull().expect(200))
    for method, path, body in (("PATCH", USER, {"upn": "ann2@example.org"}),
                               ("DELETE", f"/v1/devices/{device.id}", None),
                               ("DELETE", f"{PATH}/{identity.thumbprint}", None),
                               ("POST", "/v1/tokens", {"name": "x", "role": "auditor"})):
        sent.append(service.admin(method, path, body))
    token = sent[-1].json["id"]
    sent += [service.admin("DELETE", f"/v1/tokens/{token}").expect(204), service.admin("DELETE", USER).expect(204)]
    everything = records(service)
    noted = [r["requestId"] for r in everything]
    for answer in sent:
        assert answer.status < 300 and answer.headers["x-request-id"] in noted, (answer.status, noted)
    places = [noted.index(a.headers["x-request-id"]) for a in sent]
    assert places == sorted(places) or places == sorted(places, reverse=True)
    for limit in (1, 4, len(everything) - 1, len(everything)):
        assert pages(service, "/v1/audit", "records", limit)[0] == everything
    verified = service.admin("GET", "/v1/audit/verification").expect(200).json
    assert verified == {"ok": True, "records": len(everything), "differences": []}


@test
def what_is_refused_or_only_read_leaves_no_record(folder):
    service = Service(folder)
    before = records(service)
    for path in ("/v1/users", "/v1/devices", "/v1/tokens", "/v1/ca", "/v1/audit/verification"):
        service.admin("GET", path).expect(200)
    service.import_pfx(UPN, b"nothing", "secret").expect(422)
    service.admin("DELETE", NOBODY).expect(404)
    assert records(service) == before


# ---- tokens ----

def tokens(service):
    return get(service, "/v1/tokens", "tokens")


@test
def a_token_is_shown_once_and_in_no_list(folder):
    service = Service(folder)
    made = service.admin("POST", "/v1/tokens", {"name": "ci", "role": "importer", "expiresIn": 3600}).expect(201).json
    assert {"id", "token"} <= set(made) and re.fullmatch(UUID, made["id"])
    text = service.admin("GET", "/v1/tokens").expect(200).body.decode()
    import hashlib
    digest = hashlib.sha256(made["token"].encode())
    for secret in (made["token"], service.token, digest.hexdigest(), base64.b64encode(digest.digest()).decode()):
        assert secret not in text
    assert {(t["name"], t["role"]) for t in tokens(service)} >= {("ci", "importer")}
    assert made["token"] not in json.dumps(records(service)) and made["token"] not in service.log()
    mine = next(t for t in tokens(service) if t["id"] == made["id"])
    assert re.fullmatch(TIME, mine["expiresAt"])


@test
def no_list_and_no_fact_holds_a_secret(folder):
    service, identity = Service(folder), leaf(folder)
    enrolment = service.enrolment_token(UPN)
    service.import_pfx(UPN, identity.pfx("a-secret-word"), "a-secret-word").expect(201)
    device = service.enrol(UPN, "P-256")
    password = device.open(device.pull().expect(200).body)["certificates"][0]["password"]
    for path in ("/v1/users", USER, PATH, "/v1/devices", "/v1/tokens", "/v1/audit", "/v1/ca", "/v1/audit/verification"):
        text = service.admin("GET", path).expect(200).body.decode()
        for secret in ("a-secret-word", password, enrolment, service.token, "PRIVATE KEY", "pkcs12", "password"):
            assert secret not in text, (path, secret)
    for secret in ("a-secret-word", password, enrolment, service.token, "PRIVATE KEY"):
        assert secret not in service.log()


@test
def a_deleted_and_an_expired_token_are_401(folder):
    service = Service(folder)
    made = service.admin("POST", "/v1/tokens", {"name": "x", "role": "auditor"}).expect(201).json
    service.admin("GET", "/v1/users", token=made["token"]).expect(200)
    service.admin("DELETE", f"/v1/tokens/{made['id']}").expect(204)
    service.admin("GET", "/v1/users", token=made["token"]).expect(401, "unauthorized")
    service.admin("DELETE", f"/v1/tokens/{made['id']}").expect(404, "not_found")
    short = service.make_token("auditor", expiresIn=1)
    wait_until(lambda: service.admin("GET", "/v1/users", token=short).status == 401, what="the end of the token")
    service.admin("GET", "/v1/users", token=short).expect(401, "unauthorized")


@test
def the_last_admin_token_can_not_be_deleted(folder):
    service = Service(folder)
    service.make_token("auditor")
    first = next(t["id"] for t in tokens(service) if t["role"] == "admin")
    service.admin("DELETE", f"/v1/tokens/{first}").expect(409, "conflict")
    second = service.admin("POST", "/v1/tokens", {"name": "second", "role": "admin"}).expect(201).json
    service.admin("DELETE", f"/v1/tokens/{first}").expect(204)
    service.admin("GET", "/v1/tokens").expect(401, "unauthorized")
    service.admin("DELETE", f"/v1/tokens/{second['id']}", token=second["token"]).expect(409, "conflict")
    service.admin("GET", "/v1/tokens", token=second["token"]).expect(200)


@test
def two_deletions_at_once_never_take_both_admin_tokens(folder):
    service = Service(folder)
    second = service.admin("POST", "/v1/tokens", {"name": "second", "role": "admin"}).expect(201).json
    first = next(t["id"] for t in tokens(service) if t["id"] != second["id"])
    answers = in_parallel(lambda: service.admin("DELETE", f"/v1/tokens/{first}", token=second["token"]),
                          lambda: service.admin("DELETE", f"/v1/tokens/{second['id']}"))
    assert sum(a.status == 204 for a in answers) == 1, [a.status for a in answers]


# ---- authorization ----

CALLS = {  # a call of each kind that harms nothing: what it names does not exist, or its body is not understood
    "import": ("POST", f"{NOBODY}/certificates", {}),
    "history": ("GET", f"{NOBODY}/certificates", None),
    "delete identity": ("DELETE", f"{NOBODY}/certificates/{'0' * 40}", None),
    "enrol": ("POST", f"{NOBODY}/enrollments", {}),
    "users": ("GET", "/v1/users", None),
    "user": ("GET", NOBODY, None),
    "rename": ("PATCH", NOBODY, {"upn": "x"}),
    "retire": ("DELETE", NOBODY, None),
    "devices": ("GET", "/v1/devices", None),
    "revoke": ("DELETE", f"/v1/devices/{UNKNOWN_ID}", None),
    "release": ("PATCH", f"/v1/devices/{UNKNOWN_ID}", {"state": "active"}),
    "add token": ("POST", "/v1/tokens", {}),
    "tokens": ("GET", "/v1/tokens", None),
    "delete token": ("DELETE", f"/v1/tokens/{UNKNOWN_ID}", None),
    "audit": ("GET", "/v1/audit", None),
    "verify": ("GET", "/v1/audit/verification", None),
    "ca": ("GET", "/v1/ca", None),
}
READS = {"history", "users", "user", "devices", "tokens", "audit", "verify", "ca"}
ROLES = {  # role: (may, the design does not say)
    "importer": ({"import", "history"}, {"ca", "user"}),
    "enroller": ({"enrol", "revoke", "release"}, {"ca", "devices"}),
    "auditor": (READS, set()),
    "operator": (set(), {"ca"}),
    "admin": (set(CALLS), set()),
}


@test
def every_role_may_make_its_calls_and_gets_403_for_every_other(folder):
    service = Service(folder)
    for role, (may, unsaid) in ROLES.items():
        token = service.make_token(role)
        for name, (method, path, body) in CALLS.items():
            answer = service.admin(method, path, body, token=token)
            if name in may:
                assert answer.status in (200, 400, 404), (role, name, answer.status)
            elif name not in unsaid:
                assert answer.status == 403, (role, name, answer.status)
                answer.expect(403, "forbidden")


@test
def without_a_right_token_every_call_is_401_whatever_it_asks(folder):
    service = Service(folder)
    right = service.token
    wrong = [None, "", "Bearer", "Bearer ", right, f"Basic {right}", f"Bearer {right}x", f"Bearer {right[:-1]}",
             "Bearer " + "A" * 43, f"Bearer {right} {right}", f"Bearer {right},", "Bearer " + "A" * 5000,
             "Token " + right, f"Bearer{right}", f"Bearer {right.swapcase()}", "Bearer é"]
    for method, path, body in CALLS.values():
        for value in wrong if path in (NOBODY, "/v1/tokens") else wrong[:2] + wrong[8:9]:
            headers = {} if value is None else {"Authorization": value.encode()}
            answer = service.call(service.base + 1, method, path, body, headers).expect(401, "unauthorized")
            assert answer.headers["www-authenticate"].startswith("Bearer"), "RFC 9110 15.5.2"
    assert get(service, "/v1/users", "users") == []


@test
def the_scheme_is_compared_without_regard_to_case(folder):
    service = Service(folder)
    for scheme in ("Bearer", "bearer", "BEARER"):
        headers = {"Authorization": f"{scheme} {service.token}"}
        service.call(service.base + 1, "GET", "/v1/users", None, headers).expect(200)


@test
def an_importer_sees_what_it_imported_and_nothing_else(folder):
    service = Service(folder)
    mine, other = leaf(folder), leaf(folder)
    importer = service.make_token("importer")
    service.import_pfx(UPN, other.pfx(), "secret").expect(201)
    body = {"pkcs12": base64.b64encode(mine.pfx()).decode(), "password": "secret"}
    service.admin("POST", PATH, body, token=importer).expect(201)
    seen = service.admin("GET", PATH, token=importer).expect(200).json["certificates"]
    assert [c["thumbprint"] for c in seen] == [mine.thumbprint]
    second = service.make_token("importer")
    assert service.admin("GET", PATH, token=second).expect(200).json["certificates"] == []


@test
def an_enroller_enrols_and_revokes(folder):
    service = Service(folder)
    enroller = service.make_token("enroller")
    token = service.admin("POST", f"{USER}/enrollments", {"name": "phone"}, token=enroller).expect(201).json["token"]
    device = Device(service, folder / "device", "P-256")
    device.enrol(token).expect(201)
    device.pull().expect(200)
    service.admin("DELETE", f"/v1/devices/{device.id}", token=enroller).expect(204)
    service.admin("DELETE", f"/v1/devices/{device.id}", token=enroller).expect(204)
    device.pull().expect(403, "forbidden")


@test
def an_unknown_device_is_404(folder):
    service = Service(folder)
    for name in (UNKNOWN_ID, "x", "%00", "..", UPN):
        service.admin("DELETE", f"/v1/devices/{name}").expect(404, "not_found")
        service.admin("DELETE", f"/v1/tokens/{name}").expect(404, "not_found")


# ---- paths and methods ----

ROUTES = {
    f"{USER}/certificates": {"POST", "GET"}, f"{USER}/certificates/{'0' * 40}": {"DELETE"},
    f"{USER}/enrollments": {"POST"}, "/v1/users": {"GET"}, USER: {"GET", "PATCH", "DELETE"}, "/v1/devices": {"GET"},
    f"/v1/devices/{UNKNOWN_ID}": {"PATCH", "DELETE"}, "/v1/tokens": {"POST", "GET"}, f"/v1/tokens/{UNKNOWN_ID}": {"DELETE"},
    "/v1/audit": {"GET"}, "/v1/audit/verification": {"GET"}, "/v1/ca": {"GET"},
}
DEVICE_ROUTES = {"/v1/enroll": {"POST"}, "/v1/device/certificates": {"GET"}, "/v1/device/bundle": {"GET"},
                 "/v1/device/receipts": {"POST"}, "/v1/device/renew": {"POST"}}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get")


@test
def a_wrong_method_is_405_with_allow_on_every_path_of_both_interfaces(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    for routes, call in ((ROUTES, service.admin), (DEVICE_ROUTES, lambda m, p: service.device(m, p, device=device))):
        for path, right in routes.items():
            for method in METHODS:
                if method in right:
                    continue
                answer = call(method, path).expect(405, "method_not_allowed")
                allowed = {word.strip() for word in answer.headers["allow"].split(",")}
                assert right <= allowed <= right | {"HEAD", "OPTIONS"}, (path, answer.headers["allow"])
            head = call("HEAD", path)
            assert head.body == b"" and (head.status == 405 or "GET" in right), (path, head.status)


@test
def an_unknown_path_is_404(folder):
    service = Service(folder)
    for path in ("/", "/v1", "/v1/", "/v1/users/a/b", f"{USER}/", f"{USER}/certificates/", f"{USER}/devices",
                 "/v1/Users", "/v1/users/x/certificates/y/z", "/v2/users", "/v1/tokens/x/y", "/v1/audit/", "/v1/enroll",
                 "/v1/device/bundle", "/livez", "/readyz", "/healthz", "/metrics", "//v1/users", "/v1/users%2Fx",
                 "/v1/ca/../users", "*"):
        for method in ("GET", "POST", "DELETE"):
            service.admin(method, path).expect(404, "not_found")


if __name__ == "__main__":
    main()
