#!/usr/bin/env python3
"""Everything on disk but the keyring, in a thief's hands: no byte of a private key, no password, no token is in it."""

from needles import *

ANN, BOB = "ann@example.org", "bob@example.org"
PASSWORD = "correct hörse battery staple"


KNOWN = {"keyring", "admin.token", "tls/server.key"}


def stolen(service):
    """{path: bytes} of every file in DIR but what the thief is not given, and of the service's log."""
    files = {str(p.relative_to(service.dir)): p.read_bytes() for p in service.dir.rglob("*") if p.is_file()}
    assert KNOWN <= set(files) and "pfxd.db" in files, sorted(files)
    files = {name: data for name, data in files.items() if name not in KNOWN}
    return {**files, "the log": service.log_path.read_bytes()}


def search(service, needles, when):
    for name, data in stolen(service).items():
        found = needles.found_in(data)
        assert not found, f"{when}: {name} holds {found}"


@test
def a_stolen_folder_holds_nothing_of_keys_passwords_and_tokens(folder):
    service = Service(folder, config="[log]\nlevel = 7\n")
    needles = Needles()
    identities = [Identity(folder, ANN), Identity(folder, ANN, key="P-256", usage="keyAgreement"),
                  Identity(folder, BOB, key="P-384", usage="keyAgreement")]
    for number, (identity, upn) in enumerate(zip(identities, (ANN, ANN, BOB))):
        components = numbers_of(identity.key.read_bytes())
        assert components, "no private number was found: the search would find nothing either"
        for name, value in components.items():
            needles.add_binary(f"{name} of key {number}", value)
        pfx = identity.pfx(PASSWORD)
        needles.add_file(f"PFX {number}", pfx, Identity(folder, upn, key="P-256").pfx(PASSWORD), identity.thumbprint)
        pkcs8 = run("openssl", "pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", identity.key).stdout
        # From where the private number begins: what stands before it is the same in every key.
        private = max(components.values(), key=len)
        needles.add_binary(f"PKCS#8 {number}", pkcs8[pkcs8.index(private):][:len(private)])
        service.import_pfx(upn, pfx, PASSWORD).expect(201)
        # What was refused must not be kept either.
        service.import_pfx(upn, pfx, PASSWORD + "!").expect(422, "wrong_password")
    needles.add_text("the PFX password", PASSWORD)
    enrolment, admin = service.enrolment_token(ANN), service.make_token("admin")
    needles.add_text("an enrolment token", enrolment)
    needles.add_text("an administrator's token", admin)
    needles.add_text("the first token", service.token)
    service.admin("GET", "/v1/users", token=admin).expect(200)
    for name, token in (("modern", enrolment), ("legacy", service.enrolment_token(ANN, platform="ios-16"))):
        device = Device(service, folder / name)
        device.enrol(token).expect(201)
        entries = device.open(device.pull().expect(200).body)["certificates"]
        for entry, other in zip(entries, reversed(entries)):
            needles.add_text(f"password of a {name} bundle", entry["password"])
            needles.add_file(f"PKCS#12 of a {name} bundle", *[base64.b64decode(e["pkcs12"]) for e in (entry, other)],
                             entry["thumbprint"])
    # Also what is refused, deleted and renamed, for the log and the write-ahead log.
    service.admin("GET", "/v1/users", token=admin + "x").expect(401)
    assert service.admin("DELETE", f"/v1/users/{ANN}/certificates/{identities[0].thumbprint}").status == 204
    assert any(name.endswith("-wal") for name in stolen(service)), "no write-ahead log to search"
    search(service, needles, "while it runs")
    service.stop()
    search(service, needles, "after it ended")
    # The control: each is found where it is. In the files that a thief is not given, and in what is planted.
    assert "the first token, UTF-8" in needles.found_in((service.dir / "admin.token").read_bytes())
    der = run("openssl", "pkey", "-outform", "DER", "-in", identities[0].key).stdout
    assert "prime1 of key 0, as it is" in needles.found_in(der)
    planted = {"the PFX password, UTF-16BE": PASSWORD.encode("utf-16-be"),
               "base64": base64.b64encode(b"xy" + numbers_of(identities[0].key.read_bytes())["prime1"]),
               "backwards": numbers_of(identities[2].key.read_bytes())["priv"][::-1]}
    for name, data in planted.items():
        with open(service.dir / "pfxd.db", "ab") as database:
            database.write(b"\0" * 7 + data + b"\0" * 5)
        assert any(name in found for found in needles.found_in(stolen(service)["pfxd.db"])), name


@test
def a_deleted_identity_leaves_nothing_sealed_behind_within_a_minute(folder):
    service = Service(folder, config="[keeper]\nhealth_seconds = 1\n")
    identity = Identity(folder, ANN, key="P-256", usage="keyAgreement")
    service.import_pfx(ANN, identity.pfx(), "secret").expect(201)
    with contextlib.closing(sqlite3.connect(service.dir / "pfxd.db", timeout=20)) as db:
        row = db.execute("SELECT wrapped_key, sealed_modern, sealed_legacy FROM identities").fetchone()
    needles = Needles()
    for name, data in zip(("wrapped_key", "sealed_modern", "sealed_legacy"), row):
        needles.add(name, data)
    files = lambda: {name: data for name, data in stolen(service).items() if name.startswith("pfxd.db")}
    assert any(needles.found_in(data) for data in files().values()), "the control: before the deletion it is there"
    assert service.admin("DELETE", f"/v1/users/{ANN}/certificates/{identity.thumbprint}").status == 204
    wait_until(lambda: not any(needles.found_in(data) for data in files().values()), 60, "the end of what was deleted")


@test
def a_stolen_folder_with_another_keyring_opens_nothing(folder):
    service = Service(folder)
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256").pfx(), "secret").expect(201)
    service.stop()
    (service.dir / "keyring").unlink()
    # pfxd makes no new keyring beside an old database: that would look like a service and lose everything.
    assert not service.start(expect_ready=False)
    assert service.process.wait(60) != 0
    assert "keyring" in service.log() and not (service.dir / "keyring").exists()


@test
def secret_files_are_for_their_owner_alone(folder):
    service = Service(folder)
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256").pfx(), "secret").expect(201)
    for path in service.dir.rglob("*"):
        if path.is_file() and path.name not in ("ca.pem", "server.pem"):
            assert path.stat().st_mode & 0o077 == 0, f"{path.name}: {path.stat().st_mode:o}"
    assert service.dir.stat().st_mode & 0o077 == 0
    # A keyring that others may read is refused.
    service.stop()
    (service.dir / "keyring").chmod(0o644)
    assert not service.start(expect_ready=False) and service.process.wait(60) != 0
    assert "keyring" in service.log()


if __name__ == "__main__":
    main()
