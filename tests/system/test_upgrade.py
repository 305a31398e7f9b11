#!/usr/bin/env python3
"""A database that an older version wrote: it is migrated with nothing lost, and there is no way back unseen.

tests/data/database-1 was written by the last build whose database was of version 1, with what that version could keep.
`tests/system/test_upgrade.py --write BUILD` writes such a folder with the programs of another build."""

from harness import *

STORED = ROOT / "tests/data/database-1"
MIGRATIONS = sorted((ROOT / "sql").glob("[0-9]*.sql"))
ANN, BEN, EVE = "ann@example.org", "ben@example.org", "eve@example.org"
YEARS = {2017: "2017-03-01 12:00:00", 2019: "2019-03-01 12:00:00", 2021: "2021-03-01 12:00:00"}
FILES = ("device.key", "device.crt", "enrol-ca.pem")
DROPPED = {"identities": ("sealed_key", "sealed_certificate")}  # what is kept no more, and is in both PKCS#12 files


def digest(pem):
    return run("openssl", "dgst", "-sha256", input=pem).stdout.decode().split()[-1]


# ---- how the folder was made ----

def import_one(service, upn, year=None):
    identity = Identity(service.folder, upn, key="P-256", usage="keyAgreement", start=year, days=700)
    service.import_pfx(upn, identity.pfx(), "secret").expect(201)
    return identity


def fill(service):
    """Everything that a database of version 1 can hold. Returns what must still be so after years."""
    history = [import_one(service, ANN, year) for year in (*YEARS.values(), None)]
    gone = import_one(service, ANN)
    service.admin("DELETE", f"/v1/users/{ANN}/certificates/{gone.thumbprint}").expect(204)
    bens = import_one(service, BEN)
    service.admin("PATCH", f"/v1/users/{BEN}", {"upn": "benedict@example.org"}).expect(200)
    import_one(service, EVE)
    service.admin("DELETE", f"/v1/users/{EVE}").expect(204)
    device, lost = service.enrol(ANN, "P-256"), service.enrol(ANN, "P-256", name="lost")
    assert len(device.history()) == 4
    service.device("POST", "/v1/device/receipts", {"installed": [i.thumbprint for i in history], "failed": []},
                   device=device).expect(204)
    service.admin("DELETE", f"/v1/devices/{lost.id}").expect(204)
    importer, ended = service.make_token("importer"), service.make_token("auditor", "ended")
    tokens = service.admin("GET", "/v1/tokens").expect(200).json["tokens"]
    service.admin("DELETE", "/v1/tokens/" + next(t["id"] for t in tokens if t["name"] == "ended")).expect(204)
    return {"device": device, "lost": lost, "told": {
        "importer": importer, "ended": ended, "enrolment": service.enrolment_token(BEN, "Ben's phone", expiresIn=604800),
        "keys": {i.thumbprint: digest(i.key_pem) for i in history}, "bens": {bens.thumbprint: digest(bens.key_pem)},
        "removed": gone.thumbprint, "writtenAt": int(time.time())}}


def write(build):
    with tempfile.TemporaryDirectory() as folder:
        service = Service(folder, build=pathlib.Path(build).resolve())
        kept = fill(service)
        service.stop()
        STORED.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(service.dir / "pfxd.db")) as database:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            lines = [*database.iterdump(), f"PRAGMA user_version = {version};"]
        (STORED / "database.sql").write_text("\n".join(lines) + "\n")
        for name in ("keyring", "admin.token"):
            shutil.copy(service.dir / name, STORED / name)
        for which in ("device", "lost"):
            (STORED / which).mkdir(exist_ok=True)
            for name in FILES:
                shutil.copy(kept[which].folder / name, STORED / which / name)
        (STORED / "told.json").write_text(json.dumps(kept["told"], indent=1) + "\n")


# ---- how it is opened ----

class Upgraded(Service):
    """A service of this build on the stored folder, an hour after it was written: certificates of devices do not last for
    as long as this test shall."""

    def __init__(self, folder, start=True):
        self.told = json.loads((STORED / "told.json").read_text())
        passed = int(time.time()) - self.told["writtenAt"] - 3600
        super().__init__(folder, env=clock(f"{-passed:+d}"), start=False)
        run(BUILD / "pfxctl", "dev-init", self.dir)
        for name in ("keyring", "admin.token"):
            shutil.copy(STORED / name, self.dir / name)
            (self.dir / name).chmod(0o600)
        with self.open() as database:
            database.executescript((STORED / "database.sql").read_text())
        self.before = self.rows()
        if start:
            self.start()

    def open(self):
        return contextlib.closing(sqlite3.connect(self.dir / "pfxd.db", isolation_level=None))

    def version(self):
        with self.open() as database:
            return database.execute("PRAGMA user_version").fetchone()[0]

    def rows(self):
        """{table: (columns, rows)}"""
        with self.open() as database:
            tables = [name for name, in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            result = {}
            for table in tables:
                cursor = database.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
                result[table] = ([column[0] for column in cursor.description], cursor.fetchall())
            return result

    def stored_device(self, which):
        device = Device.__new__(Device)
        device.service, device.folder = self, self.folder / which
        shutil.copytree(STORED / which, device.folder)
        device.key, device.certificate, device.ca = (device.folder / name for name in FILES)
        return device


@test
def a_database_of_the_first_version_is_migrated_and_no_row_is_lost(folder):
    service = Upgraded(folder)
    service.stop()
    before, after = service.before, service.rows()
    assert service.version() == len(MIGRATIONS) > 1
    filled = {table for table, (_, rows) in before.items() if rows}
    assert filled >= {"users", "names", "identities", "removals", "devices", "device_certificates", "receipts",
                      "audit", "meta"}, filled
    for table, (columns, rows) in before.items():
        dropped = DROPPED.get(table, ())
        assert not set(dropped) & set(after[table][0]), after[table][0]
        wanted = [n for n, column in enumerate(columns) if column not in dropped]
        places = [after[table][0].index(columns[n]) for n in wanted]
        kept = [tuple(row[place] for place in places) for row in after[table][1]]
        changed = [row for row in (tuple(row[n] for n in wanted) for row in rows) if row not in kept]
        # What the service counts and tries for itself goes on.
        assert not changed or table in ("meta", "probe"), (table, changed)


@test
def what_is_kept_no_more_is_in_no_file_afterwards(folder):
    service = Upgraded(folder, start=False)

    def on_disk():
        files = [path.read_bytes() for path in service.dir.glob("pfxd.db*") if path.is_file()]
        return [name for name, piece in pieces if any(piece in data for data in files)]
    # Pieces so small that they are in one page: of what is dropped, and as the control of what stays.
    columns, rows = service.before["identities"]
    pieces = [(name, row[columns.index(name)][at:at + 24]) for name in (*DROPPED["identities"], "sealed_modern")
              for row in rows for at in (0, 64)]
    assert on_disk() == [name for name, _ in pieces] and len(rows) == 5
    service.start()
    service.stop()
    assert on_disk() == [name for name, _ in pieces if name == "sealed_modern"]


@test
def what_the_first_version_kept_opens_on_its_devices_and_serves_on(folder):
    service = Upgraded(folder)
    told, device = service.told, service.stored_device("device")
    history = device.history()
    assert {thumbprint: digest(key) for thumbprint, key in history.items()} == told["keys"]
    bundle = device.open(device.pull().expect(200).body)
    assert bundle["removed"] == [told["removed"]]
    service.stored_device("lost").pull().expect(403, "forbidden")
    service.admin("GET", "/v1/users", token=told["ended"]).expect(401, "unauthorized")
    assert service.admin("GET", "/v1/audit/verification").expect(200).json["ok"]
    upns = {user["upn"] for user in service.admin("GET", "/v1/users").expect(200).json["users"]}
    assert upns == {ANN, "benedict@example.org"}, upns
    # An enrolment that waited, by the name that he had then.
    phone = Device(service, folder / "phone", "P-256")
    phone.enrol(told["enrolment"]).expect(201)
    assert {thumbprint: digest(key) for thumbprint, key in phone.history().items()} == told["bens"]
    more = Identity(folder, ANN, key="P-256", usage="keyAgreement", start=time.strftime(
        "%F %T", time.gmtime(told["writtenAt"])))
    service.admin("POST", f"/v1/users/{ANN}/certificates", {"pkcs12": base64.b64encode(more.pfx()).decode(),
                  "password": "secret"}, token=told["importer"]).expect(201)
    assert set(device.history()) == {*told["keys"], more.thumbprint}
    verified = run(BUILD / "pfxctl", "verify", "--dev", service.dir, env=service.env)
    assert verified.stdout.startswith(b"6 of 6 readable"), verified


@test
def a_database_of_a_newer_version_is_refused_with_a_sentence_and_left_as_it_is(folder):
    service = Upgraded(folder, start=False)
    newer = len(MIGRATIONS) + 1
    with service.open() as database:
        database.execute(f"PRAGMA user_version = {newer}")
    before = (service.dir / "pfxd.db").read_bytes()
    assert not service.start(expect_ready=False)
    assert service.process.wait(60) != 0
    sentence = f"is of version {newer}, this program knows up to {newer - 1}: install the newer pfxd again"
    assert sentence in service.log(), service.log()[-2000:]
    assert service.rows() == service.before and service.version() == newer
    assert (service.dir / "pfxd.db").read_bytes()[100:] == before[100:]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(sys.argv[2])
    else:
        main()
