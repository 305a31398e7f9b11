#!/usr/bin/env python3
"""The keeper's third socket, for root on the server: what it tells without a token, and to whom it tells nothing."""

import re

from units import *

ANN = "ann@example.org"
VERBS = verbs()
OWN = {"VERIFY", "INSPECT", "HEALTH", "BACKUP", "RESTORE", "VERIFY_IDENTITIES"}
DAY = 86400


def take(fields, *kinds):
    """The fields of a message: "u8", "u32", "u64", or "b" for a text or bytes."""
    values = []
    for kind in kinds:
        if kind == "b":
            length = struct.unpack(">I", fields[:4])[0]
            values.append(fields[4:4 + length])
            fields = fields[4 + length:]
        else:
            size = int(kind[1:]) // 8
            values.append(int.from_bytes(fields[:size], "big"))
            fields = fields[size:]
    assert fields == b"", fields
    return values


def inspect(keeper):
    verb, fields = keeper.ask("INSPECT")
    assert verb == VERBS["INSPECT"], (verb, fields)
    names = ("database", "bytes", "schema", "state", "damage", "ca", "ca_end", "signer_end", "users", "identities",
             "to_rewrap", "devices", "ended", "in_7", "in_30", "in_90", "last_record", "held", "verified_at", "verified",
             "readable")
    kinds = ("b", "u64", "u32", "u8", "b", "b", *["u64"] * 15)
    return dict(zip(names, take(fields, *kinds)))


def dev_folder(folder):
    """What pfxd --dev makes on first use, without pfxd: for a keeper that a test starts."""
    made = folder / "service"
    run(BUILD / "pfxctl", "dev-init", made)
    (made / "pfxd.conf").write_text(
        "[paths]\ndatabase = pfxd.db\nkeyring = keyring\ntls_certificate = tls/server.pem\ntls_key = tls/server.key\n"
        "runtime = run\n[keeper]\ndevice_front_user =\nadmin_front_user =\n")
    return made


def used_folder(folder):
    """One that was in use: Ann, one identity, one device, and another device that was revoked."""
    service = Service(folder)
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256", usage="keyAgreement").pfx(), "secret").expect(201)
    service.enrol(ANN, "P-256")
    assert service.admin("DELETE", f"/v1/devices/{service.enrol(ANN, 'P-256').id}").status == 204
    service.stop()
    return service


@test
def root_is_told_without_a_token_what_there_is_and_whether_it_is_whole(folder):
    need_root()
    service = used_folder(folder)
    keeper = Keeper(service.dir, folder / "keeper.log")
    verb, fields = keeper.ask("VERIFY")
    ok, records, differences = take(fields, "u8", "u64", "b")
    assert verb == VERBS["VERIFY"] and (ok, differences) == (1, b"") and records > 5, fields
    told = inspect(keeper)
    now = time.time()
    assert told["database"] == b"pfxd.db" and told["schema"] == len(list((ROOT / "sql").glob("[0-9]*.sql"))), told
    assert (told["state"], told["damage"]) == (0, b""), told
    assert (told["users"], told["identities"], told["devices"]) == (1, 1, 1), told
    assert (told["ended"], told["in_7"], told["in_30"], told["in_90"]) == (0, 0, 0, 0), told
    assert (told["held"], told["verified_at"], told["verified"], told["readable"]) == (0, 0, 0, 0), told
    assert now - 600 < told["last_record"] <= now + 1, told
    # Both end with the CA, in 20 years.
    assert told["ca_end"] == told["signer_end"] and 7303 * DAY < told["ca_end"] - now < 7306 * DAY, told
    pem = keeper.ask("CA", field("r") + field(service.token), "admin")[1]
    ca = folder / "ca.pem"
    ca.write_bytes(pem[4:])
    assert told["ca"].hex() == fingerprint(ca, "sha256"), told
    assert keeper.ask("HEALTH")[0] == VERBS["HEALTH"]
    keeper.stop_keeper()
    assert told["bytes"] == (service.dir / "pfxd.db").stat().st_size, told


@test
def verification_tells_root_of_a_row_that_was_put_back(folder):
    need_root()
    service = used_folder(folder)
    with contextlib.closing(service.database()) as database:
        database.execute("DELETE FROM devices WHERE state = 2")
    keeper = Keeper(service.dir, folder / "keeper.log")
    ok, _, differences = take(keeper.ask("VERIFY")[1], "u8", "u64", "b")
    assert ok == 0 and b"but its row is gone" in differences, differences


@test
def pfxctl_has_the_audit_verified_without_a_token(folder):
    need_root()
    service = used_folder(folder)
    service.start()
    by_server = service.admin("GET", "/v1/audit/verification").expect(200).json
    service.stop()
    keeper = Keeper(service.dir, folder / "keeper.log")

    def verify(status, *more):
        done = run(BUILD / "pfxctl", "audit", "verify", "--local", "--pfxd-conf", service.dir / "pfxd.conf", *more, ok=False)
        assert done.returncode == status, done
        return done
    assert re.fullmatch(rb"\d+ records, and what is stored agrees with them\n", verify(0).stdout)
    told = json.loads(verify(0, "--json").stdout)
    assert told == {"ok": True, "records": told["records"], "differences": []} and told["records"] > 5, told
    assert told == by_server, told
    with contextlib.closing(sqlite3.connect(service.dir / "pfxd.db", isolation_level=None)) as database:
        database.execute("DELETE FROM devices WHERE state = 2")
    done = verify(1)
    assert b"but its row is gone" in done.stdout and b"SECURITY.md" in done.stderr, done
    told = json.loads(verify(1, "--json").stdout)
    assert told["ok"] is False and len(told["differences"]) == len(done.stdout.splitlines()), told
    keeper.stop()
    done = verify(3)
    assert b"keeper-local.sock" in done.stderr and b"systemctl status pfxd-keeper" in done.stderr, done


@test
def who_sits_before_a_keeper_that_stands_still_is_told_that_he_waits(folder):
    service = Service(folder)
    terminal, end = pty.openpty()
    with stopped(service.keeper_pid()):
        client = subprocess.Popen([BUILD / "pfxctl", "--dev", service.dir, "audit", "verify", "--local"], stderr=end,
                                  stdout=subprocess.DEVNULL)
        os.close(end)
        said = os.read(terminal, 4096).decode()  # the first that it says
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while more := os.read(terminal, 4096):
            said += more.decode()
    os.close(terminal)
    assert client.wait(60) == 0 and "waiting for the keeper's answer, 60 seconds at most" in said, said


@test
def device_certificates_are_counted_by_how_soon_they_end(folder):
    need_root()
    service = used_folder(folder)
    # Issued for 730 days. The device that was revoked does not count.
    for days, expected in ((639, (0, 0, 0, 0)), (641, (0, 0, 0, 1)), (699, (0, 0, 0, 1)), (701, (0, 0, 1, 1)),
                           (722, (0, 0, 1, 1)), (724, (0, 1, 1, 1)), (729, (0, 1, 1, 1)), (731, (1, 0, 0, 0))):
        keeper = Keeper(service.dir, folder / "keeper.log", env=clock(f"+{days}d"), openers=())
        told = inspect(keeper)
        keeper.stop()
        assert tuple(told[name] for name in ("ended", "in_7", "in_30", "in_90")) == expected, (days, told)
        assert told["state"] == 0, told


@test
def metrics_carry_the_same_ends(folder):
    service = Service(folder, env=clock("+0d"))
    service.enrol(ANN, "P-256")
    service.stop()
    tls = run("openssl", "x509", "-in", service.dir / "tls/server.pem", "-noout", "-enddate").stdout.decode()
    tls_end = int(run("date", "-d", tls.strip().split("=")[1], "+%s").stdout)

    def ends():
        lines = service.health("/metrics").expect(200).body.decode().splitlines()
        return {line.split(" ")[0]: int(line.split(" ")[1]) for line in lines if "not_after" in line or "ending" in line
                if not line.startswith("#")}
    for days, soon in ((0, (0, 0, 0)), (720, (0, 1, 1))):
        service.env.update(clock(f"+{days}d"))
        service.start()
        wait_until(lambda: any("ending" in name for name in ends()), what="the first count")
        told = ends()
        assert told["pfxd_tls_not_after_seconds"] == tls_end, told
        assert 7303 * DAY < told["pfxd_ca_not_after_seconds"] - time.time() < 7306 * DAY, told
        assert told["pfxd_signer_not_after_seconds"] == told["pfxd_ca_not_after_seconds"], told
        assert tuple(told[f'pfxd_device_certificates_ending{{days="{n}"}}'] for n in (7, 30, 90)) == soon, (days, told)
        service.stop()


@test
def a_page_that_was_damaged_is_told(folder):
    need_root()
    service = used_folder(folder)
    with contextlib.closing(service.database()) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'receipts'").fetchone()[0]
        size = database.execute("PRAGMA page_size").fetchone()[0]
    with open(service.dir / "pfxd.db", "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 64)
    told = inspect(Keeper(service.dir, folder / "keeper.log"))
    assert told["state"] == 1 and told["damage"], told


@test
def who_is_not_root_is_cut_off_whatever_the_mode_of_the_socket(folder):
    keeper = Keeper(dev_folder(folder), folder / "keeper.log")
    path = keeper.run / "keeper-local.sock"
    path.chmod(0o666)
    for parent in (folder, folder / "service", keeper.run):
        parent.chmod(0o755)
    # The keeper's own user is not root either, unless it is.
    child = "import os, socket, sys\nif os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n" \
            "os.chdir(sys.argv[1]); s = socket.socket(socket.AF_UNIX); s.connect('keeper-local.sock')\n" \
            "s.settimeout(20)\n" \
            "try: s.sendall(bytes([0, 0, 0, 1, int(sys.argv[2])])); print(len(s.recv(5)))\n" \
            "except (BrokenPipeError, ConnectionResetError): print(0)"
    for verb in OWN:
        done = run(sys.executable, "-c", child, keeper.run, VERBS[verb])
        assert done.stdout.strip() == b"0", (verb, done)
    uid = os.getuid() or 65534
    wait_until(lambda: re.search(rf"turned away.*uid {uid}\b", keeper.log()), what="a line about it")
    if os.getuid() == 0:
        assert keeper.ask("HEALTH")[0] == VERBS["HEALTH"]
    # The fronts' sockets are as they were.
    assert keeper.ask("HEALTH", name="device")[0] == VERBS["HEALTH"]


@test
def nothing_else_is_answered_there(folder):
    need_root()
    service = used_folder(folder)
    keeper = Keeper(service.dir, folder / "keeper.log")
    who = field("r") + field(service.token)
    names = {number: name for name, number in VERBS.items()}
    for number in range(256):
        if names.get(number) not in OWN:
            assert keeper.ask(number, who) is None, f"verb {names.get(number, number)} was answered"
    for verb in OWN:
        assert keeper.ask(verb, b"\0") is None and keeper.ask(verb, who) is None, verb
    assert keeper.ask("HEALTH")[0] == VERBS["HEALTH"]


@test
def no_more_is_read_there_than_a_question_needs(folder):
    need_root()
    keeper = Keeper(dev_folder(folder), folder / "keeper.log")
    # 1024 bytes of fields are a frame, though of no message; one more is not read.
    assert keeper.ask("HEALTH", b"\0" * 1024) is None
    wait_until(lambda: "1024 bytes too many" in keeper.log(), what="a line about the message")
    assert keeper.ask("HEALTH", b"\0" * 1025) is None
    wait_until(lambda: "a frame of 1026 bytes" in keeper.log(), what="a line about the frame")
    assert "on the local socket: a frame of 1026 bytes" in keeper.log()


@test
def connections_there_are_few_and_take_nothing_from_the_fronts(folder):
    need_root()
    keeper = Keeper(dev_folder(folder), folder / "keeper.log")
    health = VERBS["HEALTH"]
    held = [Frames(keeper.run / "keeper-local.sock") for _ in range(8)]
    assert all(frames.ask(health)[0] == health for frames in held)
    assert keeper.ask("HEALTH") is None, "a ninth was served"
    assert keeper.ask("HEALTH", name="device")[0] == health and keeper.ask("HEALTH", name="admin")[0] == health
    for frames in held:
        frames.close()
    wait_until(lambda: keeper.ask("HEALTH"), what="a place that is free again")


@test
def a_keeper_without_that_socket_serves_the_fronts(folder):
    keeper = Keeper(dev_folder(folder), folder / "keeper.log", sockets=("device", "admin"))
    assert keeper.ask("HEALTH", name="device")[0] == VERBS["HEALTH"]
    for verb in ("VERIFY", "INSPECT"):
        assert keeper.ask(verb, name="device") is None and keeper.ask(verb, name="admin") is None


if __name__ == "__main__":
    main()
