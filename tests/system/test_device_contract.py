#!/usr/bin/env python3
"""The device interface, call by call, as a device's author would read the design: every device here is openssl's."""

import calendar
import re

from inputs import *

UPN = "ann@example.org"
KEYS = ("rsa:2048", "P-256", "P-384")


def seconds(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def days_from_now(days):
    """A date for faketime and for Identity(start=)."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + days * 86400))


def encrypting(folder, upn=UPN, **more):
    return Identity(folder, upn, key="P-256", usage="keyAgreement", **more)


def signing(folder, upn=UPN, **more):
    return Identity(folder, upn, key="P-256", usage="digitalSignature", **more)


def give(service, *identities, upn=UPN, **more):
    for identity in identities:
        service.import_pfx(upn, identity.pfx(), "secret", **more).expect(201)


def opened(device, query=""):
    return device.open(device.pull(query=query).expect(200).body)


def text_of(certificate):
    return run("openssl", "x509", "-noout", "-text", "-in", certificate).stdout.decode()


def spend(service, token, csr):
    return service.device("POST", "/v1/enroll", {"token": token, "csr": csr})


def devices_of(service):
    return service.admin("GET", "/v1/devices").expect(200).json["devices"]


# ---- enrolment ----

@test
def a_token_is_43_base64url_characters_and_lives_as_long_as_asked(folder):
    service = Service(folder)
    path = f"/v1/users/{UPN}/enrollments"
    for wanted, lives in (({}, 86400), ({"expiresIn": 1}, 1), ({"expiresIn": 604800}, 604800)):
        before = int(time.time())
        made = service.admin("POST", path, {"name": "phone", **wanted}).expect(201).json
        assert set(made) == {"token", "expiresAt"} and re.fullmatch("[A-Za-z0-9_-]{43}", made["token"])
        assert re.fullmatch(TIME, made["expiresAt"])
        assert before + lives <= seconds(made["expiresAt"]) <= int(time.time()) + lives
    for wrong in (0, -1, 604801, 1 << 40):
        service.admin("POST", path, {"name": "phone", "expiresIn": wrong}).expect(400, "malformed_request")


@test
def an_enrolment_gives_a_certificate_with_the_contents_that_the_design_names(folder):
    service = Service(folder)
    usages = {"rsa:2048": "Digital Signature, Key Encipherment", "P-256": "Digital Signature, Key Agreement",
              "P-384": "Digital Signature, Key Agreement"}
    for key in KEYS:
        device = Device(service, folder / f"device-{key.replace(':', '-')}", key)
        now = int(time.time())
        answer = device.enrol(service.enrolment_token(UPN)).expect(201).json
        assert set(answer) == {"deviceId", "certificate", "chain"} and re.fullmatch(UUID, answer["deviceId"])
        assert answer["certificate"].count("BEGIN CERTIFICATE") == 1
        text = text_of(device.certificate)
        user = service.admin("GET", f"/v1/users/{UPN}").json["id"]
        assert re.search(r"X509v3 Key Usage: *(critical)?\s+" + usages[key] + "\n", text), text
        assert re.search(r"X509v3 Extended Key Usage: *(critical)?\s+TLS Web Client Authentication\n", text), text
        names = re.search(r"X509v3 Subject Alternative Name: *(?:critical)?\s+(.*)\n", text)[1]
        assert sorted(names.split(", ")) == sorted([f"URI:urn:uuid:{device.id}", f"URI:urn:uuid:{user}"]), names
        assert "CA:TRUE" not in text and "ignored" not in text
        ends = run("openssl", "x509", "-noout", "-enddate", "-in", device.certificate).stdout.decode().strip()[9:]
        lives = calendar.timegm(time.strptime(ends, "%b %d %H:%M:%S %Y GMT")) - now
        assert abs(lives - 730 * 86400) <= 3600, lives
        told = [d for d in devices_of(service) if d["id"] == device.id][0]["notAfter"]
        assert told == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.strptime(ends, "%b %d %H:%M:%S %Y GMT"))


@test
def the_chain_is_the_enrolment_ca_that_administrators_can_read_and_ends_in_its_root(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    chain = device.ca.read_text()
    run("openssl", "verify", "-CAfile", device.ca, "-purpose", "sslclient", device.certificate)
    last = "-----BEGIN" + chain.split("-----BEGIN")[-1]
    names = run("openssl", "x509", "-noout", "-subject", "-issuer", "-nameopt", "RFC2253", input=last.encode()).stdout
    subject, issuer = (line.partition(b"=")[2] for line in names.splitlines())
    assert subject == issuer, "the chain does not end in a root"
    answer = service.admin("GET", "/v1/ca").expect(200)
    assert answer.headers["content-type"] == "application/x-pem-file" and last.strip() in answer.body.decode()
    server_ca = (service.dir / "ca.pem").read_text()
    assert server_ca.strip() not in answer.body.decode(), "the CA of the server's TLS is not the enrolment CA"


@test
def what_a_request_asks_for_besides_its_key_is_ignored(folder):
    service = Service(folder)
    key = folder / "greedy.key"
    csr = run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
              key, "-subj", "/CN=root/O=evil", "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
              "keyUsage=keyCertSign", "-addext", "subjectAltName=DNS:localhost,email:boss@example.org").stdout.decode()
    answer = spend(service, service.enrolment_token(UPN), csr).expect(201).json
    text = run("openssl", "x509", "-noout", "-text", input=answer["certificate"].encode()).stdout.decode()
    assert not any(word in text for word in ("CA:TRUE", "evil", "localhost", "boss", "Certificate Sign")), text


@test
def a_spent_token_is_409_but_for_the_same_request_within_10_minutes(folder):
    service = Service(folder)
    device = Device(service, folder / "device", "P-256")
    token = service.enrolment_token(UPN)
    first = device.enrol(token).expect(201).json
    for _ in range(3):
        assert spend(service, token, device.csr).expect(201).json == first
    assert len(devices_of(service)) == 1
    device.pull().expect(200)
    for other in (make_csr(folder, "P-256"), "no request"):
        spend(service, token, other).expect(409, "token_spent")
    service.stop()
    service.env.update(clock("+9m"))
    service.start()
    assert spend(service, token, device.csr).expect(201).json == first
    service.stop()
    service.env.update(clock("+11m"))
    service.start()
    spend(service, token, device.csr).expect(409, "token_spent")
    assert len(devices_of(service)) == 1


@test
def of_two_requests_that_spend_a_token_at_once_one_wins(folder):
    service = Service(folder)
    token, csrs = service.enrolment_token(UPN), [make_csr(folder, "P-256") for _ in range(4)]
    answers = in_parallel(*[lambda c=c: spend(service, token, c) for c in csrs])
    assert sorted(a.status for a in answers) == [201, 409, 409, 409]
    assert all(a.status == 201 or a.expect(409, "token_spent") for a in answers)
    token = service.enrolment_token(UPN)
    same = in_parallel(*[lambda: spend(service, token, csrs[0])] * 4)
    assert [a.status for a in same] == [201] * 4 and len({a.body for a in same}) == 1
    assert len(devices_of(service)) == 2


@test
def an_expired_token_is_410_and_enrols_nothing(folder):
    service = Service(folder)
    token = service.enrolment_token(UPN, expiresIn=1)

    def expired():
        # The token is looked at before the request, so that one that is no request spends nothing.
        answer = spend(service, token, "no request")
        assert answer.status in (410, 422), answer.body
        return answer.status == 410
    wait_until(expired, what="the end of the token")
    spend(service, token, make_csr(folder, "P-256")).expect(410, "token_expired")
    assert devices_of(service) == []


@test
def a_foreign_token_is_401_whatever_comes_with_it(folder):
    service = Service(folder)
    csr = make_csr(folder, "P-256")
    for token in ("A" * 43, "", "short", "A" * 44, "a b", "A" * 5000, service.token, "ä" * 43):
        for request in (csr, "no request"):
            spend(service, token, request).expect(401, "unauthorized")
    assert devices_of(service) == []
    used_elsewhere = service.enrolment_token(UPN)
    service.admin("GET", "/v1/users", token=used_elsewhere).expect(401, "unauthorized")


@test
def a_request_that_is_refused_says_why_and_leaves_the_token_whole(folder):
    service = Service(folder)
    token = service.enrolment_token(UPN)
    good = make_csr(folder, "P-256")
    lines = good.splitlines()
    noise = base64.encodebytes(b"\x30\x82\x01\x00" + b"x" * 256).decode()
    foreign = f"-----BEGIN CERTIFICATE REQUEST-----\n{noise}-----END CERTIFICATE REQUEST-----\n"
    bad = [(damaged(good), ["bad_proof_of_possession"]),
           (damaged(make_csr(folder, "rsa:2048")), ["bad_proof_of_possession"]),
           ("no request", ["malformed_csr"]), ("\n".join(lines[:-2] + lines[-1:]), ["malformed_csr"]),
           (foreign, ["malformed_csr"]), (encrypting(folder).certificate.read_text(), ["malformed_csr"]),
           (csr_of(folder, "rsa:1024")[0], ["weak_key"]),
           (csr_of(folder, "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048")[0], ["weak_key", "unsupported_algorithm"]),
           (csr_of(folder, "ed25519")[0], ["weak_key", "unsupported_algorithm"]),
           (csr_of(folder, "ec", "-pkeyopt", "ec_paramgen_curve:P-521")[0], ["weak_key", "unsupported_algorithm"]),
           (csr_of(folder, "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1")[0], ["weak_key", "unsupported_algorithm"]),
           (csr_of(folder, "rsa:4112")[0], ["weak_key", "unsupported_algorithm"])]
    for csr, codes in bad:
        answer = spend(service, token, csr).expect(422)
        assert answer.code in codes, (answer.body, codes)
    assert devices_of(service) == []
    spend(service, token, good).expect(201)


@test
def an_enrolment_wants_its_two_fields_and_no_other(folder):
    service = Service(folder)
    token, csr = service.enrolment_token(UPN), make_csr(folder, "P-256")
    for body in ({"token": token}, {"csr": csr}, {}, {"token": token, "csr": csr, "name": "x"},
                 {"token": 1, "csr": csr}, {"token": token, "csr": [csr]}, {"token": token, "csr": ""}):
        service.device("POST", "/v1/enroll", body).expect(400, "malformed_request")
    assert devices_of(service) == []
    spend(service, token, csr).expect(201)


@test
def rsa_4096_is_taken(folder):
    service = Service(folder)
    give(service, encrypting(folder))
    assert len(service.enrol(UPN, "rsa:4096").history()) == 1


# ---- who a device is ----

DEVICE_CALLS = (("GET", "/v1/device/certificates", None), ("GET", "/v1/device/bundle", None),
                ("GET", "/v1/device/bundle?cms=enveloped", None), ("POST", "/v1/device/receipts", {"installed": []}),
                ("POST", "/v1/device/renew", {"csr": "x", "signature": "AAAA"}))


def all_are(service, status, code, device=None):
    for method, path, body in DEVICE_CALLS:
        service.device(method, path, body, device=device).expect(status, code)


class Stranger:
    """A certificate and key that this service did not make, for Service.device()."""

    def __init__(self, certificate, key):
        self.certificate, self.key = certificate, key


@test
def without_a_client_certificate_or_with_a_foreign_one_every_call_is_401(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    all_are(service, 401, "unauthorized")
    self_made = Identity(folder, UPN, key="P-256")
    all_are(service, 401, "unauthorized", Stranger(self_made.certificate, self_made.key))
    # One that says of itself exactly what the device's certificate says, by a CA that says it is the enrolment CA.
    ca_name = run("openssl", "x509", "-noout", "-subject", "-nameopt", "compat,sep_multiline", "-in", device.ca
                  ).stdout.decode()
    name = re.search(r"CN ?= ?(.*)", ca_name)[1].strip()
    user = service.admin("GET", f"/v1/users/{UPN}").json["id"]
    copy = folder / "copy.pem"
    Authority(folder, name).sign(device.key, device.id, "extendedKeyUsage=clientAuth\nsubjectAltName="
                                 f"URI:urn:uuid:{device.id},URI:urn:uuid:{user}", copy)
    all_are(service, 401, "unauthorized", Stranger(copy, device.key))
    device.pull().expect(200)


@test
def in_tls_the_leaf_alone_is_enough_and_the_whole_chain_does_no_harm(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    assert device.certificate.read_text().count("BEGIN") == 1
    device.pull().expect(200)
    device.certificate.write_text(device.certificate.read_text() + device.ca.read_text())
    device.pull().expect(200)


@test
def an_expired_certificate_is_401_and_a_living_one_is_not(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    for offset, status in (("+729d", 200), ("+731d", 401)):
        service.stop()
        service.env.update(clock(offset))
        service.start()
        device.pull().expect(status)
    all_are(service, 401, "unauthorized", device)


@test
def a_revoked_device_gets_403_at_every_call(folder):
    service = Service(folder)
    give(service, encrypting(folder))
    device = service.enrol(UPN, "P-256")
    etag = device.pull().expect(200).headers["etag"]
    service.admin("DELETE", f"/v1/devices/{device.id.upper()}").expect(204)
    all_are(service, 403, "forbidden", device)
    device.pull(etag).expect(403, "forbidden")
    device.pull("*").expect(403, "forbidden")
    assert devices_of(service)[0]["state"] == "revoked"


@test
def a_device_that_knows_only_tls_1_2_is_served_too(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    context = service.context(device.certificate, device.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    service.call(service.base, "GET", "/v1/device/bundle", context=context).expect(200)


@test
def no_session_is_resumed_and_each_connection_proves_the_key_anew(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    for port, ask in ((service.base, "/v1/device/bundle"), (service.base + 1, "/v1/users")):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context, session = service.context(device.certificate, device.key), None
            context.minimum_version = context.maximum_version = version
            for _ in range(2):
                with socket.create_connection(("localhost", port)) as plain, \
                        context.wrap_socket(plain, server_hostname="localhost", session=session) as tls:
                    tls.sendall(f"GET {ask} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                    assert tls.recv(12) == (b"HTTP/1.1 200" if port == service.base else b"HTTP/1.1 401")
                    assert not tls.session_reused and not tls.session.has_ticket, (port, version)
                    session = tls.session


@test
def an_administrators_token_and_paths_mean_nothing_to_the_devices_interface(folder):
    service = Service(folder)
    bearer = {"Authorization": f"Bearer {service.token}"}
    service.device("GET", "/v1/device/bundle", headers=bearer).expect(401, "unauthorized")
    for path in ("/v1/users", "/v1/tokens", "/v1/ca", "/livez", "/metrics", "/", "/v1/device", "/v1/device/bundle/",
                 "/v1//device/bundle", "/v2/device/bundle", "/v1/device/Bundle"):
        service.device("GET", path, headers=bearer).expect(404, "not_found")


# ---- the bundle ----

@test
def a_user_with_nothing_gets_an_empty_list(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    bundle = opened(device)
    assert bundle["certificates"] == [] and bundle["intermediates"] == [] and bundle["removed"] == []
    assert service.device("GET", "/v1/device/certificates", device=device).expect(200).json == {"certificates": []}


@test
def a_bundle_has_the_fields_of_the_design_and_every_pkcs12_opens_with_its_own_password(folder):
    service = Service(folder)
    identities = [encrypting(folder), encrypting(folder, start=days_from_now(-900), days=300)]
    give(service, *identities)
    device = service.enrol(UPN, "P-256")
    answer = device.pull().expect(200)
    assert answer.headers["content-type"] == "application/cms"
    bundle = device.open(answer.body)
    assert set(bundle) == {"version", "user", "device", "issuedAt", "certificates", "intermediates", "authorities", "removed"}
    assert (bundle["version"], bundle["user"], bundle["device"]) == (1, UPN, device.id)
    assert abs(seconds(bundle["issuedAt"]) - time.time()) < 300
    assert [c["thumbprint"] for c in bundle["certificates"]] == [i.thumbprint for i in identities]
    for identity, told in zip(identities, bundle["certificates"]):
        assert set(told) == FACTS | {"pkcs12", "password"}, set(told)
        assert re.fullmatch(UUID, told["id"])
        assert told["thumbprintSha256"] == fingerprint(identity.certificate, "sha256")
        assert told["subject"] == told["issuer"] == f"CN={UPN}" and told["usages"] == ["encryption"]
        serial = run("openssl", "x509", "-noout", "-serial", "-in", identity.certificate).stdout.decode().strip()[7:]
        assert told["serialNumber"].lstrip("0") == serial.lower().lstrip("0"), (told["serialNumber"], serial)
        dates = run("openssl", "x509", "-noout", "-dates", "-in", identity.certificate).stdout.decode().split("\n")
        for field, line in zip(("notBefore", "notAfter"), dates):
            assert seconds(told[field]) == calendar.timegm(time.strptime(line.split("=")[1], "%b %d %H:%M:%S %Y GMT"))
        pkcs12 = base64.b64decode(told["pkcs12"], validate=True)
        assert open_pkcs12(pkcs12, told["password"], folder) == identity.key_pem
        inside = run("openssl", "pkcs12", "-nokeys", "-passin", f"pass:{told['password']}", input=pkcs12).stdout
        leaf = run("openssl", "x509", input=inside).stdout
        assert leaf == run("openssl", "x509", "-in", identity.certificate).stdout and inside.count(b"BEGIN CERT") == 1
    words = {c["password"] for c in bundle["certificates"]}
    assert len(words) == 2 and all(len(word) >= 43 for word in words), "256 bits take 43 characters of base64"


@test
def the_form_of_a_pkcs12_is_what_the_platform_can_read(folder):
    service = Service(folder)
    identity = encrypting(folder)
    give(service, identity)
    for platform, legacy in (("ios-17", True), ("ios-18", False), ("windows", False), (None, False)):
        device = service.enrol(UPN, "P-256", **({"platform": platform} if platform else {}))
        told = opened(device)["certificates"][0]
        pkcs12 = base64.b64decode(told["pkcs12"])
        info = run("openssl", "pkcs12", "-info", "-noout", "-passin", f"pass:{told['password']}", input=pkcs12
                   ).stderr.decode()
        if legacy:
            assert re.search("MAC: sha1,", info) and "PBES2" not in info, info
            assert info.count("pbeWithSHA1And3-KeyTripleDES-CBC") == 2, info
        else:
            assert re.search("MAC: sha256,", info), info
            assert info.count("PBES2, PBKDF2, AES-256-CBC") == 2 and info.count("PRF hmacWithSHA256") == 2, info
        assert open_pkcs12(pkcs12, told["password"], folder) == identity.key_pem
        for empty in ([], ["-macalg", "sha1"]):
            assert run("openssl", "pkcs12", "-noout", "-passin", "pass:", input=pkcs12, ok=False).returncode, empty


def structure(path):
    return run("openssl", "cms", "-cmsout", "-print", "-inform", "DER", "-in", path).stdout.decode()


@test
def the_cms_around_a_bundle_is_what_the_design_says_for_both_forms_and_key_types(folder):
    service = Service(folder)
    give(service, encrypting(folder))
    expected = {
        ("rsa:2048", ""): ["id-smime-ct-authEnvelopedData", "d.ktri", "rsaesOaep", ":sha256", ":mgf1", "aes-256-gcm"],
        ("P-256", ""): ["id-smime-ct-authEnvelopedData", "d.kari", "dhSinglePass-stdDH-sha256kdf-scheme",
                        "id-aes256-wrap", "aes-256-gcm"],
        ("P-384", ""): ["id-smime-ct-authEnvelopedData", "d.kari", "dhSinglePass-stdDH-sha256kdf-scheme",
                        "id-aes256-wrap", "aes-256-gcm"],
        ("rsa:2048", "?cms=enveloped"): ["pkcs7-envelopedData", "d.ktri", "rsaEncryption", "aes-256-cbc"],
        ("P-256", "?cms=enveloped"): ["pkcs7-envelopedData", "d.kari", "dhSinglePass-stdDH-sha1kdf-scheme",
                                      "id-aes128-wrap", "aes-256-cbc"],
        ("P-384", "?cms=enveloped"): ["pkcs7-envelopedData", "d.kari", "dhSinglePass-stdDH-sha1kdf-scheme",
                                      "id-aes128-wrap", "aes-256-cbc"],
    }
    devices = {key: service.enrol(UPN, key) for key in KEYS}
    for (key, query), words in expected.items():
        device = devices[key]
        assert len(opened(device, query)["certificates"]) == 1
        printed = structure(device.folder / "bundle.cms")
        assert all(word in printed for word in words), (words, printed[:3000])
        assert printed.count("d.ktri") + printed.count("d.kari") == 1, "one recipient, the device"
        if key == "rsa:2048" and not query:
            assert printed.count(":sha256") >= 2, "both OAEP's hash and MGF1's are SHA-256"
        serial = run("openssl", "x509", "-noout", "-serial", "-in", device.certificate).stdout.decode().strip()[7:]
        assert "issuerAndSerialNumber" in printed
        assert str(int(serial, 16)) in printed or serial.lower() in printed.lower(), (serial, printed[:2000])
        inner = structure(device.folder / "signed.cms")
        assert "pkcs7-signedData" in inner and inner.count("signatureAlgorithm:") >= 1


@test
def another_device_can_not_open_a_bundle_and_a_query_of_another_value_is_malformed(folder):
    service = Service(folder)
    give(service, encrypting(folder))
    one, other = service.enrol(UPN, "P-256"), service.enrol(UPN, "P-256")
    bundle = one.pull().expect(200).body
    path = folder / "bundle"
    path.write_bytes(bundle)
    assert run("openssl", "cms", "-decrypt", "-inform", "DER", "-in", path, "-recip", other.certificate, "-inkey",
               other.key, ok=False).returncode != 0
    one.pull(query="?cms=plain").expect(400, "malformed_request")


@test
def the_signer_of_a_bundle_comes_from_the_enrolment_ca_and_from_no_other(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    opened(device)
    other = Authority(folder, "another CA")
    assert run("openssl", "cms", "-verify", "-inform", "DER", "-in", device.folder / "signed.cms", "-CAfile",
               other.certificate, "-purpose", "any", ok=False).returncode != 0
    signer = folder / "signer.pem"
    run("openssl", "cms", "-verify", "-inform", "DER", "-in", device.folder / "signed.cms", "-CAfile", device.ca,
        "-purpose", "any", "-signer", signer, "-out", folder / "json")
    run("openssl", "verify", "-CAfile", device.ca, signer)
    assert text_of(signer) != text_of(device.ca), "the CA itself signs no bundle"


@test
def the_history_is_whole_and_newest_first_and_one_is_current_for_each_usage(folder):
    service = Service(folder)
    expired = encrypting(folder, start=days_from_now(-1000), days=365)
    older = encrypting(folder, start=days_from_now(-200), days=365)
    newer = encrypting(folder, start=days_from_now(-100), days=365)
    future = encrypting(folder, start=days_from_now(50), days=365)
    old_signer = signing(folder, start=days_from_now(-300), days=900)
    new_signer = signing(folder, start=days_from_now(-20), days=30)
    give(service, newer, old_signer, future, expired, new_signer, older)
    delivered = [future, new_signer, newer, older, expired]
    device = service.enrol(UPN, "P-256")
    told = opened(device)["certificates"]
    assert [c["thumbprint"] for c in told] == [i.thumbprint for i in delivered], "sign-only: the newest alone"
    current = {c["thumbprint"]: c["currentFor"] for c in told if c["currentFor"]}
    assert current == {newer.thumbprint: ["encryption"], new_signer.thumbprint: ["signing"]}, current
    usages = {c["thumbprint"]: c["usages"] for c in told}
    assert usages[new_signer.thumbprint] == ["signing"] and usages[expired.thumbprint] == ["encryption"]
    history = service.admin("GET", f"/v1/users/{UPN}/certificates").expect(200).json["certificates"]
    assert [c["thumbprint"] for c in history] == [i.thumbprint for i in [future, new_signer, newer, older, old_signer,
                                                                         expired]]


@test
def of_those_that_are_not_valid_now_the_newest_that_has_begun_is_current_else_the_newest(folder):
    service = Service(folder)
    long_ago, ago = (encrypting(folder, start=days_from_now(-d), days=30) for d in (900, 500))
    soon, later = (encrypting(folder, start=days_from_now(d), days=30) for d in (20, 80))

    def current(upn):
        told = opened(service.enrol(upn, "P-256"))["certificates"]
        return [c["thumbprint"] for c in told if "encryption" in c["currentFor"]]
    give(service, long_ago, soon, ago, upn="begun@example.org")
    assert current("begun@example.org") == [ago.thumbprint]
    give(service, soon, later, upn="future@example.org")
    assert current("future@example.org") == [later.thumbprint]


@test
def ties_of_not_before_go_to_the_later_not_after_then_the_later_import(folder):
    service = Service(folder)
    start = days_from_now(-10)
    short, long, twin = (encrypting(folder, start=start, days=days) for days in (30, 60, 60))
    give(service, long, short)
    # A clock an hour on: imports in the same second would be a tie of their own.
    service.stop()
    service.env.update(clock("+1h"))
    service.start()
    give(service, twin)
    told = opened(service.enrol(UPN, "P-256"))["certificates"]
    assert [c["thumbprint"] for c in told] == [twin.thumbprint, long.thumbprint, short.thumbprint]
    assert [c["currentFor"] for c in told] == [["encryption"], [], []]


@test
def one_certificate_for_both_usages_is_current_for_both_until_a_newer_one_signs(folder):
    service = Service(folder)
    both = Identity(folder, UPN, key="rsa:2048", usage="digitalSignature,keyEncipherment", start=days_from_now(-50))
    give(service, both)
    device = service.enrol(UPN, "P-256")
    told = opened(device)["certificates"]
    assert [sorted(c["currentFor"]) for c in told] == [["encryption", "signing"]]
    signer = signing(folder)
    give(service, signer)
    current = {c["thumbprint"]: c["currentFor"] for c in opened(device)["certificates"]}
    assert current == {both.thumbprint: ["encryption"], signer.thumbprint: ["signing"]}


@test
def deliver_signing_none_delivers_no_identity_that_only_signs(folder):
    service = Service(folder, config="[keeper]\ndeliver_signing = none\n")
    give(service, encrypting(folder), signing(folder))
    assert [c["usages"] for c in opened(service.enrol(UPN, "P-256"))["certificates"]] == [["encryption"]]


@test
def the_certificates_above_the_leaves_are_delivered_once_as_intermediates(folder):
    service = Service(folder)
    root = Authority(folder, "a root")
    middle = Authority(folder, "a middle", root)
    for _ in range(2):
        leaf = middle.identity(UPN)
        chain = folder / "chain.pem"
        chain.write_text(middle.certificate.read_text() + root.certificate.read_text())
        service.import_pfx(UPN, leaf.pfx("secret", "-certfile", chain), "secret").expect(201)
    told = opened(service.enrol(UPN, "P-256"))
    delivered = [run("openssl", "x509", input=pem.encode()).stdout.decode() for pem in told["intermediates"]]
    pem = {name: run("openssl", "x509", "-in", a.certificate).stdout.decode()
           for name, a in (("middle", middle), ("root", root))}
    assert pem["middle"] in delivered and len(set(delivered)) == len(delivered)
    assert set(delivered) <= set(pem.values()) and len(told["certificates"]) == 2


@test
def a_deleted_identity_is_in_removed_and_no_longer_in_the_list(folder):
    service = Service(folder)
    kept, first, second = (encrypting(folder) for _ in range(3))
    give(service, kept, first, second)
    device = service.enrol(UPN, "P-256")
    etag = device.pull().headers["etag"]
    path = f"/v1/users/{UPN}/certificates/"
    service.admin("DELETE", path + first.thumbprint.upper()).expect(204)
    service.admin("DELETE", path + fingerprint(second.certificate, "sha256")).expect(204)
    answer = device.pull(etag).expect(200)
    told = device.open(answer.body)
    assert [c["thumbprint"] for c in told["certificates"]] == [kept.thumbprint]
    assert sorted(told["removed"]) == sorted([first.thumbprint, second.thumbprint])
    listed = service.device("GET", "/v1/device/certificates", device=device).expect(200).json["certificates"]
    assert [c["thumbprint"] for c in listed] == [kept.thumbprint]
    give(service, first)
    assert opened(device)["removed"] == [second.thumbprint], "what was imported again is not removed"


# ---- validators and polling ----

@test
def the_etag_is_weak_and_every_kind_of_if_none_match_is_understood(folder):
    service = Service(folder)
    give(service, encrypting(folder))
    device = service.enrol(UPN, "P-256")
    etag = device.pull().expect(200).headers["etag"]
    assert re.fullmatch(r'W/"[\x21\x23-\x7e]+"', etag), etag
    strong = etag.removeprefix("W/")
    for match in (etag, strong, "*", f'"x", {etag}', f'{etag}, "y"', f'W/"a",W/"b" , {strong}', f'"a,b", {etag}'):
        answer = device.pull(match)
        assert answer.status == 304 and answer.body == b"" and answer.headers["etag"] == etag, (match, answer.status)
        assert answer.headers["x-request-id"]
    for other in ('"x"', 'W/"x", "y"', "", "garbage", strong.strip('"'), '"*"', strong[:-2] + '"', "x" * 5000):
        assert device.pull(other or '""').status == 200, other


@test
def if_none_match_may_stand_in_several_header_lines(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    etag = device.pull().expect(200).headers["etag"]
    plain = socket.create_connection(("127.0.0.1", service.base), 60)
    with service.context(device.certificate, device.key).wrap_socket(plain, server_hostname="localhost") as c:
        c.sendall(f'GET /v1/device/bundle HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: "x"\r\nIf-None-Match: {etag}'
                  "\r\n\r\n".encode())
        assert read_answer(c).status == 304


@test
def the_etag_covers_contents_form_key_and_query(folder):
    service = Service(folder)
    give(service, encrypting(folder))
    modern, legacy = service.enrol(UPN, "P-256"), service.enrol(UPN, "P-256", platform="ios-17")

    def all_tags():
        return [d.pull(query=q).expect(200).headers["etag"] for d in (modern, legacy) for q in ("", "?cms=enveloped")]
    tags = all_tags()
    assert len(set(tags)) == 4 and all_tags() == tags, tags
    assert modern.pull(tags[1]).status == 200, "the tag of the other form"
    give(service, encrypting(folder))
    assert modern.pull().headers["etag"] not in tags


@test
def a_clock_that_passes_a_boundary_of_validity_changes_the_etag(folder):
    service = Service(folder)
    give(service, encrypting(folder, start=days_from_now(-10)), encrypting(folder, start=days_from_now(5)))
    device = service.enrol(UPN, "P-256")
    etag = device.pull().headers["etag"]
    for offset, status in (("+4d", 304), ("+6d", 200)):
        service.stop()
        service.env.update(clock(offset))
        service.start()
        assert device.pull(etag).status == status, offset


@test
def retry_after_is_4_hours_give_or_take_a_quarter(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    etag = device.pull().headers["etag"]
    hints = [int(device.pull(match).headers["retry-after"]) for match in [etag, None] * 5]
    assert all(10800 <= hint <= 18000 for hint in hints), hints
    assert len(set(hints)) > 1, "devices that enrolled together must not poll together"


@test
def a_release_is_on_record_and_a_304_is_none(folder):
    service = Service(folder)
    give(service, encrypting(folder))
    device = service.enrol(UPN, "P-256")

    def releases():
        records = service.admin("GET", "/v1/audit?limit=1000").expect(200).json["records"]
        return [r for r in records if "release" in r["event"]]
    answer = device.pull().expect(200)
    assert len(releases()) == 1 and releases()[0]["requestId"] == answer.headers["x-request-id"]
    assert device.pull(answer.headers["etag"]).status == 304
    assert len(releases()) == 1
    assert re.fullmatch(TIME, devices_of(service)[0]["lastPullAt"])


# ---- the list and the receipts ----

@test
def a_device_can_list_its_certificates_without_any_secret(folder):
    service = Service(folder)
    identity = encrypting(folder)
    give(service, identity)
    device = service.enrol(UPN, "P-256")
    answer = service.device("GET", "/v1/device/certificates", device=device).expect(200)
    assert answer.headers["content-type"] == "application/json"
    assert [set(c) for c in answer.json["certificates"]] == [LISTED_FACTS]
    told = answer.json["certificates"][0]
    assert told["emails"] == [UPN] and re.fullmatch(TIME, told["importedAt"])
    assert {k: told[k] for k in FACTS} == {k: opened(device)["certificates"][0][k] for k in FACTS}


@test
def receipts_are_taken_and_bad_ones_are_malformed(folder):
    service = Service(folder)
    one, other = encrypting(folder), encrypting(folder)
    give(service, one, other)
    device = service.enrol(UPN, "P-256")

    def send(body):
        return service.device("POST", "/v1/device/receipts", body, device=device)
    failed = [{"thumbprint": other.thumbprint, "error": "the key store is full"}]
    for good in ({"installed": [one.thumbprint], "failed": failed}, {"installed": [], "failed": []},
                 {"installed": [one.thumbprint, other.thumbprint], "failed": []}):
        answer = send(good).expect(204)
        assert answer.body == b""
    for bad in ({"installed": "x"}, {"installed": ["x"]}, {"installed": [one.thumbprint[:-1]]}, {"installed": [7]},
                {"installed": [None]}, {"installed": {}, "failed": []}, {"installed": [], "failed": [one.thumbprint]},
                {"installed": [], "failed": [{"thumbprint": one.thumbprint}]},
                {"installed": [], "failed": [{"error": "x"}]}, {"installed": [], "failed": [{**failed[0], "x": 1}]},
                {"installed": [], "failed": [{"thumbprint": one.thumbprint, "error": 7}]},
                {"installed": [], "failed": [], "x": []}, [], {"installed": ["é" * 20]}):
        send(bad).expect(400, "malformed_request")
    deep = '{"installed":' + "[" * 10000 + "]" * 10000 + "}"
    service.device("POST", "/v1/device/receipts", deep, device=device, headers={"Content-Type": "application/json"}
                   ).expect(400, "malformed_request")
    headers = {"Content-Type": "text/plain"}
    service.device("POST", "/v1/device/receipts", "{}", device=device, headers=headers).expect(415)


# ---- renewal ----

def renewal(device, key="P-256", digest="-sha256", signer=None):
    """(body, key file) of a renewal: a new key's request, signed by the present key as the design's openssl line."""
    csr, new_key = csr_of(device.folder, *(("rsa:2048",) if key.startswith("rsa") else
                                           ("ec", "-pkeyopt", f"ec_paramgen_curve:{key}")))
    raw = run("openssl", "req", "-outform", "DER", input=csr.encode()).stdout
    signature = run("openssl", "dgst", digest, "-sign", signer or device.key, input=raw).stdout
    return {"csr": csr, "signature": base64.b64encode(signature).decode()}, new_key


def renew(device, body):
    return device.service.device("POST", "/v1/device/renew", body, device=device)


@test
def a_renewal_gives_a_new_certificate_and_the_old_one_works_on(folder):
    service = Service(folder)
    give(service, encrypting(folder))
    for key, new_kind in (("rsa:2048", "P-256"), ("P-256", "rsa:2048"), ("P-384", "P-384")):
        device = service.enrol(UPN, key)
        body, new_key = renewal(device, new_kind)
        answer = renew(device, body).expect(201).json
        assert set(answer) == {"deviceId", "certificate", "chain"} and answer["deviceId"] == device.id
        old_etag = device.pull().expect(200).headers["etag"]
        assert len(device.history()) == 1, "the old certificate, right after"
        device.certificate.write_text(answer["certificate"])
        device.key.write_bytes(new_key.read_bytes())
        assert device.pull(old_etag).status == 200, "another key, another tag"
        assert len(device.history()) == 1, "the new one"
        assert f"URI:urn:uuid:{device.id}" in text_of(device.certificate)
    assert len(devices_of(service)) == 3


@test
def a_spent_token_gives_no_certificate_again_once_its_device_uses_the_next_one(folder):
    service = Service(folder)
    device = Device(service, folder / "device", "P-256")
    token = service.enrolment_token(UPN)
    first = device.enrol(token).expect(201).json
    body, new_key = renewal(device)
    answer = renew(device, body).expect(201).json
    assert spend(service, token, device.csr).expect(201).json == first
    device.certificate.write_text(answer["certificate"])
    device.key.write_bytes(new_key.read_bytes())
    device.pull().expect(200)
    assert "renewed since" in spend(service, token, device.csr).expect(409, "token_spent").json["detail"]


@test
def a_renewal_whose_answer_was_lost_can_be_had_again_until_the_new_certificate_is_used(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    body, new_key = renewal(device)
    first = renew(device, body).expect(201).json
    assert renew(device, body).expect(201).json == first
    new = Stranger(folder / "new.crt", new_key)
    new.certificate.write_text(first["certificate"])
    device.pull().expect(200)
    service.device("GET", "/v1/device/bundle", device=new).expect(200)
    # Who holds an old backup of the phone must not throw the phone out.
    late = renew(device, renewal(device)[0])
    assert late.status in (401, 403), late.body
    service.device("GET", "/v1/device/bundle", device=new).expect(200)
    assert len(devices_of(service)) == 1


@test
def a_renewal_with_a_wrong_signature_is_refused_and_changes_nothing(folder):
    service = Service(folder)
    for key in ("rsa:2048", "P-256"):
        device, stranger = service.enrol(UPN, key), service.enrol(UPN, key)
        good, _ = renewal(device)
        signature = bytearray(base64.b64decode(good["signature"]))
        signature[-1] ^= 1
        changed = {**good, "signature": base64.b64encode(signature).decode()}
        other = {**good, "csr": renewal(device)[0]["csr"]}
        pem_signed = run("openssl", "dgst", "-sha256", "-sign", device.key, input=good["csr"].encode()).stdout
        of_pem = {**good, "signature": base64.b64encode(pem_signed).decode()}
        for bad in (changed, other, of_pem, renewal(device, digest="-sha512")[0],
                    renewal(device, signer=stranger.key)[0], {**good, "signature": "AAAA"}):
            renew(device, bad).expect(422, "bad_proof_of_possession")
        broken = damaged(good["csr"])
        raw = run("openssl", "req", "-outform", "DER", input=broken.encode()).stdout
        signature = run("openssl", "dgst", "-sha256", "-sign", device.key, input=raw).stdout
        renew(device, {"csr": broken, "signature": base64.b64encode(signature).decode()}).expect(
            422, "bad_proof_of_possession")
        renew(device, good).expect(201)


@test
def a_renewal_to_a_weak_key_or_without_its_fields_is_refused(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    csr, _ = csr_of(folder, "rsa:1024")
    raw = run("openssl", "req", "-outform", "DER", input=csr.encode()).stdout
    signature = run("openssl", "dgst", "-sha256", "-sign", device.key, input=raw).stdout
    renew(device, {"csr": csr, "signature": base64.b64encode(signature).decode()}).expect(422, "weak_key")
    good, _ = renewal(device)
    for bad in ({"csr": good["csr"]}, {"signature": good["signature"]}, {**good, "signature": "!"}, {**good, "x": 1},
                {**good, "csr": 7}):
        renew(device, bad).expect(400, "malformed_request")


@test
def what_a_renewed_certificate_holds_is_what_an_enrolled_one_holds(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    service.stop()
    service.env.update(clock("+400d"))
    service.start()
    body, _ = renewal(device)
    answer = renew(device, body).expect(201).json
    text = run("openssl", "x509", "-noout", "-text", input=answer["certificate"].encode()).stdout.decode()

    def extensions(text):
        names = "Key Usage|Extended Key Usage|Subject Alternative Name"
        return re.findall(rf"X509v3 (?:{names}): *(?:critical)?\s+(.*)", text)
    assert extensions(text) == extensions(text_of(device.certificate))
    end = [d["notAfter"] for d in devices_of(service) if d["id"] == device.id][0]
    assert abs(seconds(end) - (time.time() + (400 + 730) * 86400)) < 7200, end


if __name__ == "__main__":
    main()
