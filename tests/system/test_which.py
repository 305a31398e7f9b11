#!/usr/bin/env python3
"""`pfxctl which`: whose certificate opens this mail, is it here, and which device has it. The mails are made by openssl,
as clients make them: RSA and EC, by issuer and serial number or by key identifier, EnvelopedData and AuthEnvelopedData."""

import urllib.parse

from inputs import *

ANN, BOB = "ann@example.org", "bob@example.org"


def which(service, mail, status=0, *options, **more):
    done = run(BUILD / "pfxctl", "--dev", service.dir, "which", mail, *options, ok=False, **more)
    assert done.returncode == status, done
    return done.stdout.decode() if status == 0 else done.stderr.decode()


def asked(service, mail, **more):
    return json.loads(which(service, mail, 0, "--json", **more))


def mail(folder, *recipients, options=(), name="mail.eml", to="-outform SMIME"):
    """A mail with headers before and behind those that openssl writes."""
    path = folder / name
    body = run("openssl", "cms", "-encrypt", *(options or ["-aes-256-cbc"]), *to.split(), "-from", ANN, "-to", BOB,
               "-subject", "x", *(r.certificate for r in recipients), input=b"Content-Type: text/plain\n\nhello").stdout
    if "SMIME" in to:
        body = b"Received: from a.example (a.example [192.0.2.1])\n\tby b.example; Tue, 24 Nov 2026\n" + body
    path.write_bytes(body)
    return path


@test
def a_mail_is_told_by_issuer_and_serial_number_whatever_form_it_has(folder):
    service = Service(folder)
    for n, key in enumerate(("rsa:2048", "P-256")):
        ann = Identity(folder, ANN, key=key, name=f'Ann "A." Müller, {key}')
        service.import_pfx(ANN, ann.pfx(), "secret").expect(201)
        forms = [dict(), dict(to="-outform DER"), dict(to="-outform PEM"), dict(options=["-aes-256-gcm"]),
                 dict(options=["-keyid", "-aes-256-cbc"]), dict(to="-outform DER -stream"),
                 dict(to="-outform SMIME -crlfeol")]
        for form in forms:
            path = mail(folder, ann, **form)
            said = asked(service, path)
            assert said["others"] == 0 and len(said["recipients"]) == 1, (form, said)
            (recipient,) = said["recipients"]
            (found,) = recipient["certificates"]
            assert found["certificate"]["thumbprint"] == ann.thumbprint and found["user"] == ANN, (form, said)
            by_key = "-keyid" in form.get("options", ())
            assert ("subjectKeyIdentifier" in recipient) == by_key, (form, recipient)
            assert ("serialNumber" in recipient) != by_key, (form, recipient)
            assert found["devices"] == [] and set(found["certificate"]) == LISTED_FACTS, found
    assert "no device of this user is enrolled: pfxctl enroll" in which(service, path)
    # The same from standard input.
    assert asked(service, "-", input=path.read_bytes())["recipients"] == said["recipients"]


@test
def a_hundred_users_of_one_certificate_are_told_and_one_more_is_refused(folder):
    service = Service(folder)
    shared = Identity(folder, ANN, key="P-256", usage="keyAgreement")
    pfx, path = shared.pfx(), None
    for n in range(100):
        service.import_pfx(f"user{n}@example.org", pfx, "secret").expect(201)
    path = mail(folder, shared)
    (recipient,) = asked(service, path)["recipients"]
    assert len({found["user"] for found in recipient["certificates"]}) == 100
    service.import_pfx("user100@example.org", pfx, "secret").expect(201)
    for how in ({}, {"options": ["-keyid", "-aes-256-cbc"]}):
        assert "more than 100 users have this certificate" in which(service, mail(folder, shared, **how), 1), how


@test
def what_was_never_imported_is_named(folder):
    service = Service(folder)
    ann, stranger = Identity(folder, ANN), Identity(folder, "x@example.net", name="Stranger")
    service.import_pfx(ANN, ann.pfx(), "secret").expect(201)
    serial = run("openssl", "x509", "-in", stranger.certificate, "-noout", "-serial").stdout.decode()
    serial = serial.strip().split("=")[1].lower()
    both = which(service, mail(folder, ann, stranger))
    assert f"serial number {serial} of CN=Stranger" in both and "never imported here, or deleted" in both, both
    assert f"the identity {ann.thumbprint} of {ANN}" in both, both
    said = which(service, mail(folder, stranger), 1)
    assert "import the PFX with that issuer and serial number" in said, said
    # The serial number alone is not enough: somebody else's CA may have given the same one.
    twin = Identity(folder, ANN, name="Another CA", extra=["-set_serial", "0x" + serial])
    service.import_pfx(ANN, twin.pfx(), "secret").expect(201)
    which(service, mail(folder, stranger), 1)
    # Deleted: as if it had never been here.
    service.admin("DELETE", f"/v1/users/{ANN}/certificates/{ann.thumbprint}").expect(204)
    which(service, mail(folder, ann), 1)


@test
def each_device_of_the_user_is_told_with_what_it_has(folder):
    service = Service(folder)
    ann = Identity(folder, ANN)
    eml = mail(folder, ann)
    early = service.enrol(ANN, name="pulled before")
    early.pull().expect(200)
    time.sleep(1.1)  # the times are in seconds
    service.import_pfx(ANN, ann.pfx(), "secret").expect(201)
    never, pulled, installed, failed = (service.enrol(ANN, name=name) for name in
                                        ("never pulled", "pulled", "installed", "failed"))
    gone = service.enrol(ANN, name="gone")
    for device in (pulled, installed, failed, gone):
        device.pull().expect(200)
    service.device("POST", "/v1/device/receipts", {"installed": [ann.thumbprint], "failed": []},
                   device=installed).expect(204)
    service.device("POST", "/v1/device/receipts", {"installed": [], "failed": [
        {"thumbprint": ann.thumbprint, "error": "the keychain is \u202e locked"}]}, device=failed).expect(204)
    service.admin("DELETE", f"/v1/devices/{gone.id}").expect(204)
    (recipient,) = asked(service, eml)["recipients"]
    (found,) = recipient["certificates"]
    holds = {h["device"]["name"]: h["holds"] for h in found["devices"]}
    assert holds == {"pulled before": "no", "never pulled": "no", "pulled": "delivered", "installed": "installed",
                     "failed": "failed", "gone": "delivered"}, holds
    said = which(service, eml)
    for line in (f"pulled before ({early.id}): does not have it: its last pull was before it was imported",
                 f"never pulled ({never.id}): does not have it: its last pull was never",
                 f"pulled ({pulled.id}): got it, and has not said", f"installed ({installed.id}): has it: installed",
                 f"failed ({failed.id}): could not install it", "gone (revoked): got it"):
        assert line in said, (line, said)
    assert "\u202e" not in said, "a mark that turns the text of the terminal"


@test
def a_certificate_of_several_users_is_told_for_each(folder):
    service = Service(folder)
    shared = Identity(folder, "office@example.org")
    for upn in (ANN, BOB):
        service.import_pfx(upn, shared.pfx(), "secret").expect(201)
    (recipient,) = asked(service, mail(folder, shared))["recipients"]
    assert {c["user"] for c in recipient["certificates"]} == {ANN, BOB}, recipient


@test
def what_is_no_encrypted_mail_is_told_as_what_it_is(folder):
    service = Service(folder)
    ann = Identity(folder, ANN)
    text = folder / "text.eml"
    text.write_text("From: a\nContent-Type: text/plain\n\nhello\n")
    assert "save its attachment smime.p7m" in which(service, text, 2)
    signed = folder / "signed.eml"
    signed.write_bytes(run("openssl", "cms", "-sign", "-nodetach", "-signer", ann.certificate, "-inkey", ann.key,
                           input=b"hello").stdout)
    assert "signed, but not encrypted" in which(service, signed, 2)
    assert "No such file" in which(service, folder / "none", 4)
    whole = mail(folder, ann, to="-outform DER").read_bytes()
    for cut in (0, 1, 2, 10, len(whole) // 2):
        path = folder / "cut.p7m"
        path.write_bytes(whole[:cut])
        which(service, path, 2)
    # By a password alone: nobody's certificate.
    path = folder / "password.p7m"
    path.write_bytes(run("openssl", "cms", "-encrypt", "-pwri_password", "x", "-aes-256-cbc", "-outform", "DER",
                         input=b"hello").stdout)
    which(service, path, 1)


@test
def a_mail_that_says_it_needs_a_passphrase_asks_nobody_for_one(folder):
    service = Service(folder)
    path = folder / "asks.pem"
    path.write_text("-----BEGIN CMS-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
                    + "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=\n-----END CMS-----\n")
    status, said = ask_on_terminal(["/usr/bin/timeout", "--foreground", "20", BUILD / "pfxctl", "--dev", service.dir,
                                    "which", path], [])
    assert status == 2 and "is no encrypted mail" in said and "pass phrase" not in said, (status, said)


@test
def the_call_takes_one_name_of_a_recipient_and_checks_it(folder):
    service = Service(folder)
    ann = Identity(folder, ANN)
    service.import_pfx(ANN, ann.pfx(), "secret").expect(201)
    (facts,) = service.admin("GET", f"/v1/users/{ANN}/certificates").expect(200).json["certificates"]
    issuer, serial = urllib.parse.quote(facts["issuer"]), facts["serialNumber"]
    good = f"/v1/certificates?issuer={issuer}&serialNumber={serial}"
    assert len(service.admin("GET", good).expect(200).json["certificates"]) == 1
    for query in ("", "?issuer=x", "?serialNumber=01", f"?issuer={issuer}&serialNumber={serial}&subjectKeyIdentifier=01",
                  "?issuer=x&subjectKeyIdentifier=01", "?subjectKeyIdentifier=", "?subjectKeyIdentifier=0",
                  "?subjectKeyIdentifier=zz", "?subjectKeyIdentifier=" + "00" * 65, "?thumbprint=00",
                  "?issuer=x&serialNumber=" + "0" * 129, "?issuer=" + "x" * 4097 + "&serialNumber=01"):
        service.admin("GET", "/v1/certificates" + query).expect(400, "malformed_request")
    for query in ("?subjectKeyIdentifier=" + "00" * 64, "?issuer=x&serialNumber=" + "0" * 128,
                  "?issuer=" + "x" * 4096 + "&serialNumber=01"):
        assert service.admin("GET", "/v1/certificates" + query).expect(200).json == {"certificates": []}
    for role, status in (("auditor", 200), ("admin", 200), ("importer", 403), ("enroller", 403), ("operator", 403)):
        service.admin("GET", good, token=service.make_token(role)).expect(status)


if __name__ == "__main__":
    main()
