#!/usr/bin/env python3
"""Backup and restore: consistent under load, refused when it is damaged or somebody else's, and never half-done. After a
restore nobody gets in on the backup's word alone."""

import random
import re
import resource

from backups import *

VERBS = verbs()


# ---- the drill ----

def serve_with(folder, name, keyring, token):
    """A service whose keyring came from elsewhere: another machine's."""
    (folder / name).mkdir()
    service = Service(folder / name, start=False)
    run(BUILD / "pfxctl", "dev-init", service.dir)
    (service.dir / "keyring").write_bytes(keyring)
    (service.dir / "admin.token").write_bytes(token)
    service.start()
    return service


@test
def on_another_machine_backup_and_exported_keyring_give_back_every_key(folder):
    old = Machine(folder, "old")
    export, passphrase, token = folder / "export", folder / "passphrase", folder / "token"
    old.ctl("keyring", "init", "--export", export, "--passphrase-out", passphrase, "--token-out", token)
    service = serve_with(folder, "first", old.keyring(), token.read_bytes())
    kept = [import_one(service, small(folder)) for _ in range(3)]
    phone, lost = service.enrol(ANN, "P-256"), service.enrol(ANN, "rsa:2048")
    over = threading.Event()
    answered = []

    def load(n):
        while not over.is_set():
            upn = f"user{n}@example.org"
            answer = service.import_pfx(upn, small(folder, upn).pfx(), "secret")
            answered.append((answer.status, upn))
            phone.pull().expect(200)

    def back_up():
        try:
            wait_until(lambda: len(answered) > 4, what="some load")
            return [backup(service, folder / f"{n}.backup") for n in range(3)]
        finally:
            over.set()

    told = in_parallel(back_up, lambda: load(1), lambda: load(2))[0]
    assert {status for status, _ in answered} == {201}, answered
    # What was answered before the first backup began is in all of them; each later one has at least as much.
    assert 3 + 4 <= told[0]["identities"] <= told[1]["identities"] <= told[2]["identities"], told
    assert (folder / "2.backup").stat().st_mode & 0o777 == 0o600
    # Lost after the backup: it does not know.
    assert service.admin("DELETE", f"/v1/devices/{lost.id}").status == 204
    service.stop()

    new = Machine(folder, "new")
    assert new.id.read_text() != old.id.read_text()
    new.ctl("keyring", "import", export, "--passphrase-file", passphrase)
    restored = serve_with(folder, "second", new.keyring(), token.read_bytes())
    told = restore(restored, folder / "2.backup")
    assert told["held"] == 2 and told["unreadable"] == 0, told
    assert states(restored) == {phone.id: "held", lost.id: "held"}
    phone.service = lost.service = restored
    for device in (phone, lost):
        answer = device.pull().expect(403, "forbidden")
        assert "held" in answer.json["detail"] and "administrator" in answer.json["detail"], answer.json
    assert restored.admin("DELETE", f"/v1/devices/{lost.id}").status == 204
    ctl(restored, "devices", "release", "--all")
    assert states(restored) == {phone.id: "active", lost.id: "revoked"}
    opened = phone.history()
    assert {identity.thumbprint: identity.key_pem for identity in kept} == opened
    lost.pull().expect(403, "forbidden")
    verify_audit(restored)
    assert ctl(restored, "verify").returncode == 0


# ---- what is held ----

def with_backup(folder):
    """A service with Ann, one identity and one device, and a backup of it."""
    service = Service(folder)
    import_one(service, small(folder))
    phone = service.enrol(ANN, "P-256")
    return service, phone


@test
def a_token_that_was_not_spent_at_the_backup_is_ended_by_the_restore(folder):
    service, phone = with_backup(folder)
    spent_later, never_spent = service.enrolment_token(ANN), service.enrolment_token(ANN)
    backup(service, folder / "b")
    late = Device(service, folder / "late", "P-256")
    late.enrol(spent_later).expect(201)
    told = restore(service, folder / "b", "--replace", "--trust-devices")
    assert (told["held"], told["ended"]) == (0, 2), told
    # Trusted is who was enrolled, not who may yet enrol.
    assert states(service) == {phone.id: "active"}
    phone.pull().expect(200)
    for token in (spent_later, never_spent):
        late.enrol(token).expect(410, "token_expired")
    # The device that the backup does not know is nobody.
    late.pull().expect(401)
    verify_audit(service)


@test
def a_held_device_gets_nothing_at_any_call_until_it_is_released(folder):
    service, phone = with_backup(folder)
    backup(service, folder / "b")
    restore(service, folder / "b", "--replace")
    csr = make_csr(phone.folder.parent, "P-256")
    for method, path, body in (("GET", "/v1/device/bundle", None), ("GET", "/v1/device/certificates", None),
                               ("POST", "/v1/device/receipts", {"installed": []}),
                               ("POST", "/v1/device/renew", {"csr": csr, "signature": "AAAA"})):
        answer = service.device(method, path, body, phone).expect(403, "forbidden")
        assert "is held" in answer.json["detail"], answer.json
    for role, status in (("importer", 403), ("auditor", 403), ("operator", 403), ("enroller", 200)):
        token = service.make_token(role)
        answer = service.admin("PATCH", f"/v1/devices/{phone.id}", {"state": "active"}, token)
        assert answer.status == status, (role, answer.body)
    assert answer.json["id"] == phone.id and answer.json["state"] == "active", answer.json
    assert phone.history()
    verify_audit(service)


@test
def an_administrator_whose_token_was_revoked_after_the_backup_can_release_nobody(folder):
    service, phone = with_backup(folder)
    enroller, admin = service.make_token("enroller"), service.make_token("admin")
    backup(service, folder / "b")
    own, listed = service.token, service.admin("GET", "/v1/tokens").expect(200).json["tokens"]
    for one in listed:
        if one["role"] == "enroller":
            assert service.admin("DELETE", f"/v1/tokens/{one['id']}").status == 204
    told = restore(service, folder / "b", "--replace")
    assert told["tokensEnded"] == len(listed) == 3 and "token" not in told, told
    assert service.token != own
    path = f"/v1/devices/{phone.id}"
    for token in (enroller, admin, own):
        service.admin("PATCH", path, {"state": "active"}, token).expect(401, "unauthorized")
    assert states(service) == {phone.id: "held"}
    only, = service.admin("GET", "/v1/tokens").expect(200).json["tokens"]
    assert (only["name"], only["role"], only.get("expiresAt")) == ("restored", "admin", None), only
    verify_audit(service)
    records = service.admin("GET", "/v1/audit?limit=1000").json["records"]
    record = [r for r in records if r["event"] == "service.restore"][-1]
    assert "3 tokens ended" in record["detail"] and "tokens ended (they" not in record["detail"], record
    assert [r["actor"] for r in records if r["event"] == "token.delete"] == ["root"] * 3, records
    # The row of one that is put back is found.
    with contextlib.closing(sqlite3.connect(folder / "b")) as database:
        row = database.execute("SELECT * FROM tokens WHERE role = 'enroller'").fetchone()
    service.stop()
    with contextlib.closing(service.database()) as database:
        database.execute(f"INSERT INTO tokens VALUES ({', '.join('?' * len(row))})", row)
    service.start()
    told = service.admin("GET", "/v1/audit/verification").expect(200).json
    assert told["differences"] == [f"token {row[0]} was revoked, but its row is there again"], told


@test
def tokens_stay_good_where_they_are_trusted_and_else_the_new_one_is_told_once(folder):
    service, phone = with_backup(folder)
    enroller = service.make_token("enroller")
    backup(service, folder / "b")
    told = restore(service, folder / "b", "--replace", "--trust-tokens")
    assert told["tokensEnded"] == 0 and "token" not in told, told
    assert service.admin("PATCH", f"/v1/devices/{phone.id}", {"state": "active"}, enroller).status == 200
    assert "no token is made" in refused(service, 2, "restore", folder / "b", "--replace", "--trust-tokens",
                                         *token_to(service))
    assert "is there already" in refused(service, 4, "restore", folder / "b", "--replace", *token_to(service)[:2])
    service.admin("GET", "/v1/users").expect(200)
    done = ctl(service, "restore", folder / "b", "--replace")
    shown = re.search(rb"^admin token: ([A-Za-z0-9_-]{43})$", done.stdout, re.M)[1]
    assert shown not in done.stderr and b"all 2 tokens of administrators in the backup were ended" in done.stderr, done
    service.admin("GET", "/v1/users").expect(401)
    service.admin("GET", "/v1/users", token=shown.decode()).expect(200)
    told = json.loads(ctl(service, "restore", folder / "b", "--replace", "--json").stdout)
    service.admin("GET", "/v1/users", token=shown.decode()).expect(401)
    service.admin("GET", "/v1/users", token=told["token"]).expect(200)
    # What can not be written is told, and the next restore brings another one.
    with open("/dev/full", "w") as full:
        done = subprocess.run([BUILD / "pfxctl", "--dev", service.dir, "restore", folder / "b", "--replace"],
                              stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 4 and b"its new admin token was lost" in done.stderr and b"again" in done.stderr, done
    until_answers(service)
    service.admin("GET", "/v1/users", token=told["token"]).expect(401)
    restore(service, folder / "b", "--replace")
    service.admin("GET", "/v1/users").expect(200)


@test
def what_is_no_release_is_refused(folder):
    service, phone = with_backup(folder)
    path = f"/v1/devices/{phone.id}"
    # One that is active stays so, and nothing is recorded.
    before = len(service.admin("GET", "/v1/audit?limit=1000").json["records"])
    assert service.admin("PATCH", path, {"state": "active"}).expect(200).json["state"] == "active"
    assert len(service.admin("GET", "/v1/audit?limit=1000").json["records"]) == before
    for body in ({"state": "held"}, {"state": "revoked"}, {"state": ""}, {"state": 1}, {}, {"state": "active", "x": 1}):
        service.admin("PATCH", path, body).expect(400, "malformed_request")
    service.admin("PATCH", "/v1/devices/00000000-0000-4000-8000-000000000000", {"state": "active"}).expect(404, "not_found")
    assert service.admin("DELETE", path).status == 204
    service.admin("PATCH", path, {"state": "active"}).expect(409, "conflict")
    assert states(service) == {phone.id: "revoked"}
    for arguments in (["devices", "release"], ["devices", "release", "--all", phone.id]):
        assert "which?" in refused(service, 2, *arguments)
    refused(service, 1, "devices", "release", phone.id)


@test
def a_held_device_counts_and_can_be_revoked_or_retired(folder):
    service, phone = with_backup(folder)
    import_one(service, small(folder, BEN), BEN)
    other = service.enrol(BEN, "P-256")
    backup(service, folder / "b")
    restore(service, folder / "b", "--replace")
    assert service.admin("DELETE", f"/v1/devices/{phone.id}").status == 204
    assert service.admin("DELETE", f"/v1/users/{BEN}").status == 204
    assert states(service) == {phone.id: "revoked", other.id: "revoked"}
    verify_audit(service)


@test
def a_held_device_whose_row_is_put_back_is_told_by_the_audit(folder):
    service, phone = with_backup(folder)
    backup(service, folder / "b")
    with contextlib.closing(sqlite3.connect(folder / "b")) as database:
        active = database.execute("SELECT state, mac FROM devices").fetchone()
    restore(service, folder / "b", "--replace")
    service.stop()
    with contextlib.closing(service.database()) as database:
        held = database.execute("SELECT state, mac FROM devices").fetchone()
        database.execute("UPDATE devices SET state = ?, mac = ?", active)
    service.start()
    told = service.admin("GET", "/v1/audit/verification").expect(200).json
    assert told["differences"] == [f"device {phone.id} was held and not released, but its row says that it is active"], told
    phone.pull().expect(200)
    told = service.admin("GET", "/v1/audit/verification").expect(200).json
    assert any("while it was held" in difference for difference in told["differences"]), told
    service.stop()
    with contextlib.closing(service.database()) as database:
        database.execute("UPDATE devices SET state = ?, mac = ?", held)
    service.start()
    phone.pull().expect(403)
    service.admin("PATCH", f"/v1/devices/{phone.id}", {"state": "active"}).expect(200)
    service.stop()
    with contextlib.closing(service.database()) as database:
        database.execute("UPDATE devices SET state = ?, mac = ?", held)
    service.start()
    told = service.admin("GET", "/v1/audit/verification").expect(200).json
    assert any("is held by its row, but nobody held it" in difference for difference in told["differences"]), told


# ---- what is refused ----

@test
def a_service_that_is_in_use_is_not_replaced_without_a_word(folder):
    service, _ = with_backup(folder)
    backup(service, folder / "b")
    import_one(service, small(folder, BEN), BEN)
    said = refused(service, 1, "restore", folder / "b")
    assert "2 users with 2 identities and 1 devices" in said and "--replace" in said, said
    assert upns(service) == [ANN, BEN] and beside(service) == []
    told = restore(service, folder / "b", "--replace")
    assert told["users"] == 1 and upns(service) == [ANN]


@test
def a_backup_of_another_keyring_is_refused_with_a_sentence_that_names_both(folder):
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    service, _ = with_backup(folder / "a")
    backup(service, folder / "backup")
    other = Service(folder / "b")
    ids = [re.search(r"^wrap ([0-9a-f]{8}) ", (s.dir / "keyring").read_text(), re.M)[1] for s in (service, other)]
    for command in (["restore", folder / "backup"], ["verify", "--database", folder / "backup"]):
        said = refused(other, 1, *command)
        assert "of another keyring" in said and ids[0] in said and ids[1] in said, (said, ids)
        assert "keyring import" in said, said
    assert upns(other) == [] and beside(other) == []


@test
def what_is_no_backup_of_this_version_is_refused_with_a_sentence(folder):
    service, _ = with_backup(folder)
    backup(service, folder / "good")

    def changed(name, *statements):
        path = folder / name
        shutil.copy(folder / "good", path)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
            for statement in statements:
                database.execute(statement)
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path

    fifo, link, empty, text = folder / "fifo", folder / "link", folder / "empty", folder / "text"
    os.mkfifo(fifo)
    link.symlink_to(folder / "nothing")
    empty.write_bytes(b"")
    text.write_bytes(b"no database at all" * 1000)
    with contextlib.closing(sqlite3.connect(folder / "foreign")) as database:
        database.execute("CREATE TABLE a (b)")
        database.commit()
    wanted = {
        changed("newer", "PRAGMA user_version = 99"): "of version 99",
        changed("trigger", "CREATE TRIGGER t AFTER INSERT ON audit BEGIN DELETE FROM users; END"): "trigger",
        changed("view", "CREATE VIEW v AS SELECT 1"): "service makes",
        changed("index", "DROP INDEX devices_user"): "service makes",
        # It would make every change of a device's state one of nothing: no hold, no revocation.
        changed("column", "ALTER TABLE devices ADD COLUMN x INTEGER GENERATED ALWAYS AS (CASE state WHEN 1 THEN 1 END) "
                "VIRTUAL"): "table devices of devices is not made as this service makes it",
        changed("fewer", "DELETE FROM devices", "DELETE FROM device_certificates"): "changed it",
        changed("audit", "UPDATE audit SET at = at + 1 WHERE sequence = 3"): "changed it",
        changed("shorter", "DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)"): "changed it",
        changed("promoted", "UPDATE devices SET name = 'x'"): "changed it",
        changed("no test value", "DELETE FROM meta"): "test value is gone",
        changed("no text", "UPDATE meta SET value = CAST(x'ff1bc3280a9b41c2' || substr(value, 9) AS BLOB) "
                "WHERE name = 'probe'"): "is of another keyring",
        folder / "foreign": "no database of this service", text: "no database of this service",
        empty: "is empty", fifo: "is no file", folder: "is no file", folder / "not there": "No such file",
        link: "No such file",
    }
    keeper = service.keeper_pid()
    for path, sentence in wanted.items():
        said = ctl(service, "restore", path, "--replace", ok=False, timeout=60)
        assert said.returncode in (1, 4) and sentence in said.stderr.decode(), (path, said)
        assert beside(service) == [], path
    assert service.keeper_pid() == keeper and upns(service) == [ANN]
    verify_audit(service)


@test
def a_backup_of_an_older_version_is_brought_to_this_one(folder):
    service, phone = with_backup(folder)
    backup(service, folder / "b")
    before = phone.history()
    first = folder / "first version"
    with contextlib.closing(sqlite3.connect(first, isolation_level=None)) as database:
        lines = (ROOT / "sql/001_tables.sql").read_text().splitlines()  # as sql/generate takes them
        database.execute("PRAGMA page_size = 8192")
        database.executescript("\n".join(" " + line.lstrip() for line in lines if line and not line.startswith("--")))
        database.execute("ATTACH ? AS newest", (str(folder / "b"),))
        for (table,) in database.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
            newest = {row[1] for row in database.execute(f"PRAGMA newest.table_info({table})")}
            columns = [row[1] for row in database.execute(f"PRAGMA main.table_info({table})")]
            values = [column if column in newest else "randomblob(1500)" for column in columns]
            database.execute(f"INSERT INTO main.{table} ({', '.join(columns)}) "
                             f"SELECT {', '.join(values)} FROM newest.{table}")
        database.execute("PRAGMA user_version = 1")
    assert json.loads(ctl(service, "verify", "--database", first, "--json").stdout)["readable"] == 1
    told = restore(service, first, "--replace", "--trust-devices")
    assert told["identities"] == 1 and phone.history() == before
    with contextlib.closing(sqlite3.connect(f"file:{service.dir}/pfxd.db?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA user_version").fetchone()[0] == len(list((ROOT / "sql").glob("[0-9]*.sql")))
        assert database.execute("PRAGMA page_size").fetchone()[0] == 8192
    verify_audit(service)
    # With pages of that size it serves on, and is backed up and brought back.
    import_one(service, small(folder))
    after = phone.history()
    assert len(after) == 2 and json.loads(ctl(service, "verify", "--json").stdout)["readable"] == 2
    backup(service, folder / "b2")
    assert json.loads(ctl(service, "verify", "--database", folder / "b2", "--json").stdout)["readable"] == 2
    told = restore(service, folder / "b2", "--replace", "--trust-devices")
    assert told["identities"] == 2 and phone.history() == after
    assert (folder / "b2").read_bytes()[16:18] == (8192).to_bytes(2, "big")


@test
def a_backup_that_is_damaged_anywhere_is_refused_or_tells_what_is_lost(folder):
    service, phone = with_backup(folder)
    import_one(service, small(folder))
    before = phone.history()
    told = backup(service, folder / "good")
    good = (folder / "good").read_bytes()
    assert told["bytes"] == len(good)
    page = int.from_bytes(good[16:18], "big")
    chance = random.Random(7501)
    keeper = service.keeper_pid()
    outcome = {"refused": 0, "unreadable": 0, "harmless": 0}
    for turn in range(32):
        damaged = bytearray(good)
        kind = turn % 4
        at = chance.randrange(len(good))
        if kind == 0:
            damaged[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            damaged[at:at + 512] = bytes(min(512, len(good) - at))
        elif kind == 2:
            at = at // page * page
            damaged[at:at + page] = chance.randbytes(page)
        else:
            del damaged[at:]
        (folder / "damaged").write_bytes(damaged or b"S")
        done = ctl(service, "verify", "--database", folder / "damaged", "--json", ok=False)
        if done.stdout:
            counts = json.loads(done.stdout)
            assert (done.returncode == 0) == (counts["readable"] == counts["total"]), (turn, done)
            outcome["harmless" if done.returncode == 0 else "unreadable"] += 1
        else:
            assert done.returncode == 1 and b"can not be used" in done.stderr, (turn, kind, done)
            outcome["refused"] += 1
    # A page that nobody uses may be damaged without harm; most are not such.
    assert outcome["refused"] > 10, outcome
    assert service.keeper_pid() == keeper and beside(service) == []
    for cut in (1, 100, page - 1, page, len(good) // 2, len(good) - page, len(good) - 1, len(good) + 1):
        (folder / "cut").write_bytes((good + b"\0")[:cut])
        assert ctl(service, "restore", folder / "cut", "--replace", ok=False).returncode == 1, cut
    assert service.keeper_pid() == keeper and phone.history() == before
    # Within sealed bytes nothing but the key sees it: the others are worth having.
    damage(folder / "good", "identities", "sealed_modern", at=40)
    done = ctl(service, "restore", folder / "good", "--replace", *token_to(service))
    assert b"1 identities in the backup are damaged" in done.stderr, done
    verify_audit(service)


# ---- never half-done ----

def cut_in(service, stage, verb="BACKUP", fields=b""):
    """A connection on which this was asked for, and has come to this stage; nothing more is read of it."""
    frames = local(service)
    frames.send(VERBS[verb], fields)
    while True:
        got = frames.receive()
        assert got and got[0] in (VERBS["PROGRESS"], VERBS["PART"]), got
        if got[0] == VERBS["PROGRESS"] and got[1][0] == STAGES[stage]:
            return frames


def has_written(process, folder):
    """Whether pfxctl has something of the backup in a file, which may have no name yet."""
    with contextlib.suppress(OSError):
        for link in pathlib.Path(f"/proc/{process.pid}/fd").iterdir():
            if pathlib.Path(os.readlink(link)).parent == folder and link.stat().st_size > 0:
                return True
    return False


def begin_backup(service, folder, *arguments):
    """pfxctl, when it has written something. The copy before may have come to its end a moment ago only."""
    while True:
        process = subprocess.Popen([BUILD / "pfxctl", "--dev", service.dir, "backup", *arguments],
                                   stderr=subprocess.PIPE)
        while process.poll() is None:  # without a pause: on a quick machine it is soon over
            if has_written(process, folder):
                return process
        said = process.communicate()[1]
        assert b"another one is under way" in said, said


@test
def a_keeper_that_is_killed_while_it_makes_a_backup_leaves_nothing(folder):
    service, phone = with_backup(folder)
    for stage in ("copying", "checking", "sending"):
        frames = cut_in(service, stage)
        service.kill_room("keeper")
        until_up(service)
        assert beside(service) == [], stage
        frames.close()
    service.stop()
    pad(service.dir / "pfxd.db", 64)
    service.start()
    target = folder / "b"
    process = begin_backup(service, folder, target)
    service.kill_room("keeper")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3 and b"the keeper does not answer" in said, (process.returncode, said)
    assert not target.exists() and not list(folder.glob("b.*")), list(folder.iterdir())
    until_up(service)
    assert beside(service) == []
    assert backup(service, target)["devices"] == 1
    phone.pull().expect(200)


@test
def whoever_ends_pfxctl_in_the_middle_has_no_backup_and_the_keeper_no_copy(folder):
    service, _ = with_backup(folder)
    service.stop()
    pad(service.dir / "pfxd.db", 64)
    service.start()
    target = folder / "the.backup"
    for force in ([], ["--force"]):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            process = begin_backup(service, folder, target, *force)
            process.send_signal(number)
            process.communicate(timeout=60)
            assert process.returncode == -number and not target.exists(), (number, process.returncode)
            # Who is killed can remove nothing; what has a name then does not look like a backup.
            assert len(list(folder.glob("the.backup.*"))) == (number == signal.SIGKILL and force != []), (number, force)
            wait_until(lambda: beside(service) == [], what="the end of the copy")
    wait_until(lambda: ctl(service, "backup", folder / "b", ok=False).returncode == 0, what="a backup afterwards")


@test
def a_second_backup_meanwhile_is_told_to_wait(folder):
    service, _ = with_backup(folder)
    service.stop()
    pad(service.dir / "pfxd.db", 16)
    service.start()
    frames = cut_in(service, "sending")
    said = refused(service, 1, "backup", folder / "b")
    assert "another one is under way" in said and not (folder / "b").exists(), said
    frames.close()
    wait_until(lambda: ctl(service, "backup", folder / "b", ok=False).returncode == 0, what="a backup afterwards")


@test
def a_restore_that_is_cut_anywhere_leaves_the_old_or_the_new(folder):
    service, _ = with_backup(folder)
    service.stop()
    pad(service.dir / "pfxd.db", 48)
    service.start()
    backup(service, folder / "b")
    chance = random.Random(4411)
    outcomes, lost = set(), 0
    for turn in range(10):
        # The old one is told from the new one by Ben.
        if BEN not in upns(service):
            import_one(service, small(folder, BEN), BEN)
        process = subprocess.Popen([BUILD / "pfxctl", "--dev", service.dir, "restore", folder / "b", "--replace",
                                    *token_to(service)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(chance.random() * 1.2)
        if turn % 3 == 2:
            process.kill()
        else:
            with contextlib.suppress(KeyError, ProcessLookupError):  # it may have ended by itself just then
                service.kill_room("keeper")
        process.communicate(timeout=120)
        until_answers(service)
        for left in service.dir.glob("admin.token.*"):  # of a pfxctl that was killed
            left.unlink()
        wait_until(lambda: beside(service) == [] or process.returncode == 0, 60, "the end of the copy")
        if service.admin("GET", "/v1/users").status == 401:
            # The backup is in its place, and nobody got its token: the same command once more brings another one.
            assert process.returncode != 0, "a token that was told is none"
            lost += 1
            restore(service, folder / "b", "--replace")
            until_up(service)
        users = upns(service)
        outcomes.add(BEN in users)
        assert users in ([ANN], [ANN, BEN]), users
        assert set(states(service).values()) == {"active" if BEN in users else "held"}, (users, states(service))
        verify_audit(service)
        ctl(service, "devices", "release", "--all")
        if turn % 4 == 3:
            service.kill()  # a keeper that dies again and again is started ever later
            service.start()
    print("    " + " and ".join("the old one" if old else "the new one" for old in sorted(outcomes)),
          f"; {lost} times without its token")
    service.stop()
    with contextlib.closing(service.database()) as database:
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


@test
def a_restore_that_was_committed_to_is_finished_at_the_next_start(folder):
    service, phone = with_backup(folder)
    backup(service, folder / "b")
    import_one(service, small(folder, BEN), BEN)
    # The old one with all that it has in its log, as a kill leaves it.
    service.kill()
    assert (service.dir / "pfxd.db-wal").stat().st_size > 0
    old = folder / "old"
    shutil.copytree(service.dir, old, ignore=lambda *_: {"run", "lock"})

    def put_back():
        for path in service.dir.glob("pfxd.db*"):
            path.unlink()
        for path in old.glob("pfxd.db*"):
            shutil.copy(path, service.dir)
        shutil.copy(folder / "b", service.dir / "pfxd.db.restored")

    # Each moment after the commit: nothing done, the log gone, the shared memory gone too.
    for gone in ((), ("-wal",), ("-wal", "-shm")):
        put_back()
        for ending in gone:
            (service.dir / f"pfxd.db{ending}").unlink()
        for left in ("pfxd.db.backup", "pfxd.db.restore", "pfxd.db.verify", "pfxd.db.restore-wal", "pfxd.db.restored-wal"):
            (service.dir / left).write_bytes(b"left over")
        service.start()
        assert upns(service) == [ANN] and beside(service) == [], (gone, beside(service))
        phone.pull().expect(200)
        verify_audit(service)
        service.kill()
    put_back()
    (service.dir / "pfxd.db.restored").unlink()
    service.start()
    assert upns(service) == [ANN, BEN], "the control: without it the old one and its log are what there is"


# ---- disks ----

@contextlib.contextmanager
def small_disk(folder, mib):
    need_root()
    folder.mkdir(exist_ok=True)
    if run("mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs", folder, ok=False).returncode != 0:
        raise Skip("this root may not mount")
    try:
        yield folder
    finally:
        Service.end_all()
        run("umount", folder)


@test
def where_there_is_no_room_for_a_copy_that_is_said_and_nothing_else_happens(folder):
    with small_disk(folder / "disk", 48) as disk:
        service = Service(disk, config="min_free_mib = 4\n")
        import_one(service, small(folder))
        phone = service.enrol(ANN, "P-256")
        backup(service, folder / "small")
        service.stop()
        pad(service.dir / "pfxd.db", 20)
        with contextlib.closing(service.database()) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        service.start()
        (disk / "filler").write_bytes(bytes(2 ** 20) * 8)
        said = refused(service, 3, "backup", folder / "b")
        assert "no room for one more copy" in said and "min_free_mib" in said, said
        (disk / "filler").unlink()
        backup(service, folder / "b")
        (disk / "filler").write_bytes(bytes(2 ** 20) * 8)
        for command in (["restore", folder / "b", "--replace"], ["verify", "--database", folder / "b"]):
            said = refused(service, 3, *command)
            assert "no room for one more copy" in said, said
        assert beside(service) == []
        phone.pull().expect(200)
        service.wait_ready()


@test
def a_disk_that_is_full_where_the_backup_goes_leaves_no_part_of_it(folder):
    service = Service(folder, config="min_free_mib = 2\n")
    import_one(service, small(folder))
    service.stop()
    pad(service.dir / "pfxd.db", 8)
    service.start()
    with small_disk(folder / "disk", 10) as disk:
        said = refused(service, 4, "backup", disk / "b")
        assert "there is no room for" in said and "min_free_mib" in said and list(disk.iterdir()) == [], said
        wait_until(lambda: beside(service) == [], what="the end of the copy")
        # A quota, or another who writes meanwhile, is not seen before: here a limit on the size of files.
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2 ** 22, 2 ** 22))
        done = ctl(service, "backup", folder / "b", ok=False, preexec_fn=limit)
        assert done.returncode != 0 and not (folder / "b").exists(), done
        wait_until(lambda: beside(service) == [], what="the end of the copy")
        assert backup(service, folder / "b")["identities"] == 1


# ---- files ----

@test
def a_file_that_is_there_stays_unless_it_is_to_be_replaced(folder):
    service, _ = with_backup(folder)
    target, other, link = folder / "b", folder / "other", folder / "link"
    target.write_text("mine")
    other.write_text("a file elsewhere")
    link.symlink_to(other)
    for path in (target, link):
        assert "is there already" in refused(service, 4, "backup", path)
    assert target.read_text() == "mine"
    ctl(service, "backup", target, "--force")
    assert target.read_bytes()[:15] == b"SQLite format 3" and target.stat().st_mode & 0o777 == 0o600
    ctl(service, "backup", link, "--force")
    assert not link.is_symlink() and other.read_text() == "a file elsewhere", "what a link names was written to"
    assert "is a folder" in refused(service, 2, "backup", folder)
    refused(service, 4, "backup", folder / "no such folder" / "b")
    # It is sealed as the original is: none of the keys is in it.
    assert b"PRIVATE KEY" not in target.read_bytes()


@test
def a_folder_keeps_the_newest_and_what_is_not_a_backup(folder):
    service, _ = with_backup(folder)
    kept = folder / "backups"
    kept.mkdir()
    foreign = ["pfxd-20200101T000000Z.backup.gpg", "pfxd-20200101.backup", "notes", "pfxd-2020010100000000.backup"]
    for name in foreign:
        (kept / name).write_text("not ours")
    for year in range(2001, 2006):
        (kept / f"pfxd-{year}0101T000000Z.backup").write_text("old")
    foreign += ["pfxd-20000101T000000Z.backup", "pfxd-20000102T000000Z.backup", "pfxd-20050101T000000Z.backup.abcdef"]
    (kept / foreign[-3]).mkdir()
    (kept / foreign[-2]).symlink_to(kept / "notes")
    (kept / foreign[-1]).mkdir()
    os.utime(kept / foreign[-1], (0, time.time() - 90000))
    stale, fresh = kept / "pfxd-20050101T000000Z.backup.aB3xY9", kept / "pfxd-20060101T000000Z.backup.aB3xY9"
    stale.write_text("left")
    fresh.write_text("somebody writes it just now")
    os.utime(stale, (0, time.time() - 90000))
    ctl(service, "backup", "--keep", "3", kept)
    names = sorted(p.name for p in kept.iterdir())
    ours = [n for n in names if n not in foreign and re.fullmatch(r"pfxd-\d{8}T\d{6}Z\.backup", n)]
    assert ours[:2] == ["pfxd-20040101T000000Z.backup", "pfxd-20050101T000000Z.backup"] and len(ours) == 3, names
    assert sorted(set(names) - set(ours)) == sorted([*foreign, fresh.name]), names
    # With a clock that went back the new one sorts before the others: it is not what is removed.
    ctl(service, "backup", "--keep", "2", kept, env={**os.environ, **clock("@2003-05-05 00:00:00")})
    names = sorted(n.name for n in kept.iterdir() if n.name not in foreign and n != fresh)
    assert len(names) == 2 and names[0].startswith("pfxd-20030505T") and names[1] == ours[-1], names
    for keep in ("0", "-1", "x", "10001"):
        refused(service, 2, "backup", "--keep", keep, kept)


@test
def without_a_file_it_goes_where_the_configuration_says(folder):
    service = Service(folder, config=f"[backup]\nbackup_folder = {folder}/made/here\nbackup_keep = 2\n")
    for _ in range(3):
        ctl(service, "backup")
        time.sleep(1.1)  # they are called by their second
    assert len(list((folder / "made/here").iterdir())) == 2
    assert (folder / "made/here").stat().st_mode & 0o777 == 0o700


@test
def without_a_file_that_of_a_launcher_stays_in_its_folder(folder):
    service = Service(folder)
    ctl(service, "backup")
    [made] = (service.dir / "backups").iterdir()
    assert made.stat().st_size > 4096 and (service.dir / "backups").stat().st_mode & 0o777 == 0o700


def verbs_asked(service, *command):
    """The verbs that a command sends to a keeper that hangs up on each of them."""
    path, verbs = service.dir / "run/keeper-local.sock", []
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    fd = os.open(path.parent, os.O_PATH)
    listener.bind(f"/proc/self/fd/{fd}/{path.name}")
    os.close(fd)
    listener.listen()

    def hang_up():
        with contextlib.suppress(OSError):  # the listener was shut down
            while True:
                with listener.accept()[0] as connection:
                    verbs.append(connection.recv(5)[4])
    thread = threading.Thread(target=hang_up)
    thread.start()
    try:
        assert "the keeper does not answer" in refused(service, 3, *command)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()
    return verbs


@test
def who_is_not_root_is_told_so_and_a_service_that_is_down_too(folder):
    service, _ = with_backup(folder)
    service.stop()
    for command in (["backup", folder / "b"], ["restore", __file__], ["verify"]):
        assert "the keeper does not answer" in refused(service, 3, *command)
    assert not (folder / "b").exists() and not list(folder.glob("b.*"))
    # systemd's socket takes connections also where no keeper starts: the wait for a sign of life is a minute, and not
    # the hour that the work may take.
    for command in (["backup", folder / "b"], ["restore", __file__, "--replace"], ["verify"]):
        assert verbs_asked(service, *command) == [VERBS["HEALTH"]], command
    if os.geteuid() != 0:
        return
    conf = folder / "pfxd.conf"
    conf.write_text("")
    shutil.copy(BUILD / "pfxctl", folder / "pfxctl")
    folder.chmod(0o755)
    for command in (["backup", "/tmp/b"], ["restore", "/tmp/b"], ["verify"]):
        done = run(folder / "pfxctl", *command, "--pfxd-conf", conf, ok=False, user=65534, group=65534)
        assert done.returncode == 4 and b"as root, on the server itself" in done.stderr, done


# ---- the local socket ----

@test
def a_file_that_does_not_come_as_it_was_announced_is_dropped(folder):
    service, _ = with_backup(folder)
    keeper = service.keeper_pid()

    def part(data):
        return struct.pack(">IB", len(data) + 5, VERBS["PART"]) + field(data)

    restore_of = lambda n, sha256=b"": struct.pack(">QBB", n, 1, 0) + field(sha256)
    for parts in ([part(b"x" * 101)], [part(b"x" * 60), part(b"x" * 41)], [part(b"")], [struct.pack(">IB", 1, VERBS["HEALTH"])],
                  [b"\xff\xff\xff\xff\xfe"], [struct.pack(">IB", 5, VERBS["PART"]) + b"\0\0\0\x09"], [b"\0\0"], []):
        for verb, fields in (("RESTORE", restore_of(100)), ("VERIFY_IDENTITIES", struct.pack(">Q", 100))):
            frames = cut_in(service, "receiving", verb, fields)
            for one in parts:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    frames.socket.sendall(one)
            frames.socket.shutdown(socket.SHUT_WR)
            got = frames.receive()
            assert got is None or got[0] == VERBS["ERROR"], (verb, parts, got)
            frames.close()
            wait_until(lambda: beside(service) == [], what="the end of what came")
    # A size that no disk has.
    frames = local(service)
    verb, fields = frames.ask(VERBS["RESTORE"], restore_of(2 ** 62))
    assert verb == VERBS["ERROR"] and b"no room" in fields, (verb, fields)
    for wrong in (struct.pack(">QBBI", 1, 1, 2, 0), restore_of(1, bytes(31)), restore_of(1, bytes(33))):
        assert frames.ask(VERBS["RESTORE"], wrong) is None, wrong
        frames = local(service)
    assert service.keeper_pid() == keeper and upns(service) == [ANN]


def lying_keeper(path, answers):
    """Takes connections at the local socket, says that it is well, and then sends what it is given, whatever is asked. Returns the thread, whose
    .sent is how many bytes were taken."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(1)

    def serve():
        connection, _ = listening.accept()  # is anybody there?
        with connection:
            connection.recv(100)
            connection.sendall(u32(9) + bytes([verbs()["HEALTH"]]) + u32(0) + u32(0))
        connection, _ = listening.accept()
        with connection, listening, contextlib.suppress(OSError):
            connection.recv(100)
            for frame in answers:
                connection.sendall(frame)
                thread.sent += len(frame)

    thread = threading.Thread(target=serve, daemon=True)
    thread.sent = 0
    thread.start()
    return thread


@test
def a_keeper_that_sends_more_than_it_said_fills_no_disk(folder):
    numbers, made = verbs(), folder / "service"
    run(BUILD / "pfxctl", "dev-init", made)
    (made / "pfxd.conf").write_text("[paths]\ndatabase = pfxd.db\nkeyring = keyring\nruntime = run\n")
    (made / "run").mkdir()

    def frame(verb, fields):
        return u32(1 + len(fields)) + bytes([numbers[verb]]) + fields

    def size(total):
        return frame("PROGRESS", struct.pack(">BQQ", 3, 0, total))  # STAGE_SENDING

    part = frame("PART", u32(65536) + bytes(65536))
    for sizes, why in (([2**64 - 1], "there is no room"), ([2**64 - 2**20], "there is no room"), ([], "more than it said"),
                       ([65536], "more than it said"), ([65536, 1], "more than it said")):
        frames = [f for total in sizes for f in (size(total), part)] + [part] * 1000
        keeper = lying_keeper(made / "run/keeper-local.sock", frames)
        done = run(BUILD / "pfxctl", "--dev", made, "backup", folder / "b", ok=False)
        keeper.join(20)
        assert done.returncode != 0 and why in done.stderr.decode(), (sizes, done)
        assert keeper.sent < 100 * len(part), (sizes, keeper.sent)
        assert not (folder / "b").exists()
        (made / "run/keeper-local.sock").unlink()


if __name__ == "__main__":
    main()
