#!/usr/bin/env python3
"""What an import says of a good file, and of one that is nearly good: warnings, passwords, the bound on work."""

from inputs import *

ANN = "ann@example.org"


def warnings(service, upn, identity, password="secret"):
    """{code: thumbprint} of what an import of this identity is told."""
    answer = service.import_pfx(upn, identity.pfx(password), password).expect(201).json
    return {w["code"]: w.get("thumbprint") for w in answer["warnings"]}


@test
def an_identity_that_does_not_name_the_user_as_its_mail_address_is_told_with_its_thumbprint(folder):
    service = Service(folder)
    ann = Identity(folder, ANN, key="P-256")
    assert warnings(service, ANN, ann) == {}
    assert warnings(service, "ANN@Example.ORG", Identity(folder, ANN, key="P-256")) == {}
    assert warnings(service, "bob@example.org", ann) == {"address_mismatch": ann.thumbprint}
    # One of several addresses is enough, and one in the subject too.
    several = Identity(folder, f"x@example.org,email:{ANN}", key="P-256", name="Ann")
    assert warnings(service, ANN, several) == {}
    folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
        folder / "key", "-out", folder / "cert", "-subj", f"/CN=Ann/emailAddress={ANN}", "-days", "300")
    pfx = run("openssl", "pkcs12", "-export", "-inkey", folder / "key", "-in", folder / "cert", "-passout",
              "pass:secret").stdout
    assert service.import_pfx(ANN, pfx, "secret").expect(201).json["warnings"] == []
    assert [w["code"] for w in service.import_pfx("bob@example.org", pfx, "secret").expect(201).json["warnings"]] == [
        "address_mismatch"]


@test
def each_warning_names_its_certificate_and_says_something(folder):
    service = Service(folder)
    authority = Authority(folder, "CA")
    old = Identity(folder, ANN, key="rsa:1024", start="2009-05-01 00:00:00", days=365)
    soon = Identity(folder, ANN, key="P-256", days=20)
    later = Identity(folder, ANN, key="P-256", start="2099-01-01 00:00:00", days=365)
    alone = authority.identity(ANN)
    for identity, expected in ((old, {"expired", "weak_key"}), (soon, {"expires_soon"}), (later, {"not_yet_valid"}),
                               (alone, {"chain_incomplete", "expires_soon"})):
        answer = service.import_pfx(ANN, identity.pfx(), "secret").expect(201).json
        assert {w["code"] for w in answer["warnings"]} == expected, answer["warnings"]
        for warning in answer["warnings"]:
            assert warning["thumbprint"] == identity.thumbprint and len(warning["detail"]) > 20, warning


@test
def a_password_of_1024_bytes_opens_and_a_longer_one_is_malformed(folder):
    service, ann = Service(folder), Identity(folder, ANN, key="P-256")
    longest = "ä" * 511 + "xy"
    assert len(longest.encode()) == 1024
    service.import_pfx(ANN, ann.pfx(longest), longest).expect(201)
    answer = service.import_pfx(ANN, ann.pfx(longest), longest + "z").expect(400, "malformed_request")
    assert "password" in answer.json["detail"], answer.json


@test
def passwords_of_every_kind_pass_through_every_room(folder):
    service, ann = Service(folder), Identity(folder, ANN, key="P-256")
    for password in ("🔑 пароль", "quote\" back\\slash", "\u0085\u00a0", "tab\there", "cafe\u0301"):
        assert service.import_pfx(ANN, ann.pfx(password), password).status in (200, 201), password
    service.import_pfx(ANN, ann.pfx("caf\u00e9"), "cafe\u0301").expect(422, "wrong_password")
    # A NUL does not end it.
    service.import_pfx(ANN, ann.pfx("secret"), "secret\0x").expect(422, "wrong_password")


@test
def a_wrong_password_is_not_confused_with_an_unsupported_algorithm_or_a_changed_file(folder):
    service, ann = Service(folder), Identity(folder, ANN, key="P-256")
    aria = ann.pfx("secret", "-keypbe", "ARIA-256-CBC", "-certpbe", "ARIA-256-CBC")
    service.import_pfx(ANN, aria, "secret").expect(422, "unsupported_algorithm")
    service.import_pfx(ANN, aria, "Secret").expect(422, "wrong_password")
    changed = bytearray(ann.pfx())
    changed[len(changed) // 2] ^= 1
    service.import_pfx(ANN, bytes(changed), "secret").expect(422, "malformed_pkcs12")
    service.import_pfx(ANN, bytes(changed), "Secret").expect(422, "wrong_password")


@test
def the_bound_on_work_is_the_administrators(folder):
    # A key, a certificate and the MAC, of 1,000 iterations each.
    ann = Identity(folder, ANN, key="P-256")
    pfx = ann.pfx("secret", "-iter", "1000")
    for bound, enough in ((2999, False), (3000, True)):
        place = folder / str(bound)
        place.mkdir()
        service = Service(place, config=f"[opener]\nmax_work = {bound}\n")
        answer = service.import_pfx(ANN, pfx, "secret")
        answer.expect(201) if enough else answer.expect(422, "too_expensive")
        service.stop()


if __name__ == "__main__":
    main()
