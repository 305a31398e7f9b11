#!/usr/bin/env python3
"""pfxctl doctor: each thing that usually goes wrong on a server is broken here, and must be named with how to mend it,
and nothing else."""

import re

from units import *

DAY = 86400


class Patient:
    """A machine whose service runs, and what the doctor says of it."""

    def __init__(self, folder, keeper=True, **more):
        self.folder = folder
        self.machine = Machine(folder)
        self.dir = self.machine.dir
        self.token = folder / "token"
        self.machine.ctl("keyring", "init", "--no-export", "--token-out", self.token)
        self.keeper = self.machine.start_keeper(**more) if keeper else None
        if self.keeper:
            wait_until(lambda: self.findings()[0] in (0, 1) and not self.unknown(), what="the first checks")

    def unknown(self):
        return [f for f in self.all if f["detail"] == "not checked yet"]

    def findings(self, *more, **options):
        """(exit status, {check: [finding that is not ok]})"""
        done = self.machine.ctl("doctor", "--json", *more, ok=False, **options)
        self.stderr = done.stderr.decode()
        told = json.loads(done.stdout)
        self.all = told["findings"]
        wrong = [f for f in self.all if f["state"] != "ok"]
        assert told["ok"] == (not any(f["state"] == "mend" for f in wrong)) == (done.returncode == 0), done
        assert all(f["mend"] for f in wrong) and all(f["detail"] for f in self.all), self.all
        found = {}
        for finding in wrong:
            found.setdefault(finding["check"], []).append(finding)
        return done.returncode, found

    def only(self, check, detail, mend, state="mend", **options):
        """That the doctor finds this and nothing else."""
        status, found = self.findings(**options)
        assert set(found) == {check}, (check, found)
        assert any(re.search(detail, f["detail"]) and re.search(mend, f["mend"]) and f["state"] == state
                   for f in found[check]), found
        assert status == (1 if state == "mend" else 0)
        return found[check]

    def well(self, **options):
        status, found = self.findings(**options)
        assert (status, found) == (0, {}), found

    def until(self, check, detail, mend):
        """The same for what the keeper sees at one of its next checks."""
        wait_until(lambda: self.findings()[1], 60, "something wrong")
        self.only(check, detail, mend)


# ---- the form ----

CHECKS = ["configuration", "clock", "keyring", "TLS certificate", "TLS key", "units", "sockets", "keeper",
          "keyring's database", "database", "audit chain", "time on record", "disk", "PFX openers", "CSR openers",
          "database file", "enrolment CA", "bundle signer", "device certificates", "identities", "backups"]


@test
def what_is_well_is_told_a_line_each_and_not_at_all_when_quiet(folder):
    patient = Patient(folder)
    patient.well()
    assert [f["check"] for f in patient.all] == CHECKS, patient.all
    done = patient.machine.ctl("doctor")
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(CHECKS) and done.stderr == b"", done
    assert all(line.startswith(f"ok   {check:<20} ") for line, check in zip(lines, CHECKS)), lines
    assert re.search(r"^ok   TLS certificate      ends 20\d\d-\d\d-\d\d, in 82[345] days$", lines[3]), lines[3]
    assert "1 MiB" in lines[15] or "0 MiB" in lines[15] and "whole" in lines[15], lines[15]
    done = patient.machine.ctl("doctor", "--quiet")
    assert done.stdout == done.stderr == b"", done


@test
def what_is_wrong_is_told_with_how_to_mend_it_and_status_1(folder):
    patient = Patient(folder)
    (patient.dir / "tls/server.key").chmod(0o644)
    for quiet in ([], ["--quiet"]):
        done = patient.machine.ctl("doctor", *quiet, ok=False)
        lines = done.stdout.decode().splitlines()
        at = next(n for n, line in enumerate(lines) if line.startswith("MEND "))
        assert re.fullmatch(r"MEND TLS key +everybody may read .*\(mode 0644\)", lines[at]), lines
        assert re.fullmatch(r" {26}chown root:\S+ and chmod 640 .*server\.key", lines[at + 1]), lines
        assert done.returncode == 1 and done.stderr == b"pfxctl: 1 thing to mend\n", done
        assert len(lines) == (2 if quiet else len(CHECKS) + 1), lines


@test
def a_file_name_can_not_move_the_terminals_cursor(folder):
    machine = Machine(folder)
    machine.configure("[paths]\ntls_key = tls/\x1b[2Jkey\n")
    done = machine.ctl("doctor", ok=False)
    assert b"\x1b" not in done.stdout + done.stderr and b"key" in done.stdout, done


# ---- configuration, clock ----

@test
def a_configuration_that_is_wrong_is_named_with_its_line(folder):
    machine = Machine(folder)
    machine.configure("colour = blue\n")
    done = machine.ctl("doctor", ok=False)
    line = len(machine.conf.read_text().splitlines())
    assert done.returncode == 1 and f"line {line}: there is no key colour".encode() in done.stdout, done
    assert b"--sample" in done.stdout
    machine.conf.unlink()
    assert machine.ctl("doctor", ok=False).returncode == 1


@test
def a_configuration_behind_a_link_that_the_rooms_do_not_see_is_named(folder):
    patient = Patient(folder)
    conf = patient.machine.conf
    conf.rename(folder / "elsewhere")
    conf.symlink_to(folder / "elsewhere")
    patient.only("configuration", f"is a link to {folder / 'elsewhere'}", "put a copy there in place of the link")
    conf.unlink()
    (folder / "elsewhere").rename(conf.with_name("beside"))
    conf.symlink_to("beside")  # this one they see
    patient.well()


@test
def a_clock_that_is_behind_is_named(folder):
    patient = Patient(folder, env=clock("+2d"))
    patient.only("clock", "the last audit record is of", "set the clock")
    # Behind the program itself: the keeper says nothing then, for its record is of the same day.
    env = {**os.environ, **clock("-9000d"), "NO_FAKE_STAT": "1"}
    _, found = patient.findings(env=env)
    assert any("this program was made" in f["detail"] for f in found["clock"]), found


@test
def a_clock_that_jumped_ahead_is_named_with_how_to_accept_it(folder):
    patient = Patient(folder)
    patient.keeper.stop()
    patient.keeper = patient.machine.start_keeper(env=clock("+91d"))
    patient.until("time on record", "at once, and may be wrong", "pfxctl clock accept")
    patient.keeper.ask("CLOCK_ACCEPT")
    wait_until(lambda: "time on record" not in patient.findings()[1], what="a doctor who is content")


# ---- keyring ----

@test
def a_keyring_that_does_not_open_here_is_named(folder):
    patient = Patient(folder)
    good = patient.machine.credential.read_bytes()
    other = Machine(folder, "other")
    other.ctl("keyring", "init", "--no-export")
    patient.machine.credential.write_bytes(other.credential.read_bytes())
    patient.only("keyring", "systemd-creds", "keyring import EXPORT")
    for damaged in (b"", b"garbage", good[:-40], good.replace(good[200:204], b"AAAA")):
        patient.machine.credential.write_bytes(damaged)
        patient.only("keyring", "systemd-creds", "keyring import EXPORT")
    patient.machine.inside("systemd-creds", "encrypt", "--name=keyring", "--with-key=host", "-",
                           patient.machine.credential, input=b"no keyring")
    patient.only("keyring", "it opens, but holds no keyring", "keyring import EXPORT")
    patient.machine.credential.unlink()
    patient.only("keyring", "is not there", "there is a database: next: pfxctl keyring import EXPORT")
    patient.machine.credential.write_bytes(good)
    patient.machine.credential.chmod(0o644)
    patient.only("keyring", "others than root may read.*mode 0644", "chmod 600")
    patient.machine.credential.chmod(0o600)
    os.chown(patient.machine.credential, 65534, -1)
    patient.only("keyring", "user 65534", "chown root")
    os.chown(patient.machine.credential, 0, -1)
    patient.well()


@test
def without_a_keyring_it_says_so_and_nothing_of_what_follows(folder):
    machine = Machine(folder)
    for quiet, before in (([], ["ok   configuration", "ok   clock"]), (["--quiet"], [])):
        done = machine.ctl("doctor", *quiet, ok=False, before=SYSTEMD_RUNS)  # where no unit is active
        lines = done.stdout.decode().splitlines()
        assert [line[:len(want)] for line, want in zip(lines, before)] == before, lines
        assert re.fullmatch(r"MEND keyring +there is no keyring, so nothing starts: .*/keyring.cred is not there",
                            lines[-2]), lines
        assert lines[-1].strip().startswith("next: pfxctl keyring init"), lines
        assert len(lines) == len(before) + 2 and done.stderr == b"pfxctl: 1 thing to mend\n", done
        assert done.returncode == 1


@test
def another_keyring_than_the_one_that_the_keeper_runs_with_is_named(folder):
    patient = Patient(folder)
    patient.machine.credential.unlink()
    (patient.dir / "pfxd.db").rename(patient.dir / "away")
    patient.machine.ctl("keyring", "init", "--no-export")
    (patient.dir / "away").rename(patient.dir / "pfxd.db")
    patient.only("keyring", "runs with another keyring", "put back the one that belongs to the database")


@test
def a_database_that_is_not_of_this_keyring_is_named(folder):
    patient = Patient(folder)
    with contextlib.closing(sqlite3.connect(patient.dir / "pfxd.db", isolation_level=None)) as database:
        database.execute("UPDATE meta SET value = zeroblob(120) WHERE name = 'probe'")
    patient.until("keyring's database", "was not written under this keyring", "keyring import")


# ---- TLS ----

def make_pair(folder, start=None, days=365, name="server"):
    """A CA, and a pair by it that began at a moment and lasts so many days. (certificate, key, CA's certificate)"""
    folder.mkdir()
    paths = [folder / n for n in ("server.pem", "server.key", "ca.pem")]
    when = at_time(start and f"@{start}")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run(*when, "openssl", "req", "-x509", *curve, "-keyout", folder / "ca.key", "-out", paths[2], "-subj", "/CN=CA",
        "-days", "9999")
    csr = run("openssl", "req", "-new", *curve, "-keyout", paths[1], "-subj", f"/CN={name}").stdout
    paths[0].write_bytes(run(*when, "openssl", "x509", "-req", "-CA", paths[2], "-CAkey", folder / "ca.key", "-days",
                             days, input=csr).stdout)
    return paths


def put_pair(patient, certificate, key):
    (patient.dir / "tls/server.pem").write_bytes(certificate)
    (patient.dir / "tls/server.key").write_bytes(key)
    (patient.dir / "tls/server.key").chmod(0o600)


@test
def a_tls_certificate_is_told_of_at_90_days_to_be_mended_at_30_and_at_once_at_7(folder):
    patient = Patient(folder)
    # (days that it lasts, days that are left, what is told)
    cases = [(400, 91, "ok"), (400, 89, "soon"), (400, 31, "soon"), (400, 29, "mend"), (400, 8, "mend"),
             (400, 6, "at once"), (400, 1, "at once"), (400, -1, "at once"),
             # One that lives for 90 days is renewed when a third is left: 22, 7 and 1.7 days are its share.
             (90, 30, "ok"), (90, 23, "ok"), (90, 21, "soon"), (90, 8, "soon"), (90, 6, "mend"), (90, 2, "mend"),
             (90, 1, "at once")]
    for n, (days, left, expected) in enumerate(cases):
        begins = time.time() + (left - days) * DAY + 3600
        start = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(begins))
        certificate, key, _ = make_pair(folder / str(n), start, days)
        put_pair(patient, certificate.read_bytes(), key.read_bytes())
        if expected == "ok":
            patient.well()
            continue
        date = time.strftime("%Y-%m-%d", time.gmtime(begins + days * DAY))
        detail = f"^ended {date}$" if left < 0 else f"^ends {date}, in {left} days$"
        patient.only("TLS certificate", detail, ("^at once: " if expected == "at once" else "^") + "put a new one",
                     "soon" if expected == "soon" else "mend")


@test
def a_tls_pair_that_fronts_could_not_use_is_named(folder):
    patient = Patient(folder)
    certificate, key, ca = (p.read_bytes() for p in make_pair(folder / "one"))
    other = (folder / "one/ca.key").read_bytes()
    put_pair(patient, certificate + ca, key)
    patient.well()
    put_pair(patient, certificate, other)
    patient.only("TLS key", "does not belong to the first certificate", "from one request")
    put_pair(patient, ca + certificate, key)
    status, found = patient.findings()
    assert set(found) == {"TLS key", "TLS chain"} and "certificate 1" in found["TLS chain"][0]["detail"], found
    put_pair(patient, certificate + certificate, key)
    patient.only("TLS chain", "was not issued by the one after it", "the server's certificate first")
    for content in (b"", b"text", certificate[:200], certificate + certificate[:200]):
        put_pair(patient, content, key)
        patient.only("TLS certificate", "holds no certificate", "put a new one")
    encrypted = run("openssl", "pkey", "-aes256", "-passout", "pass:x", input=key).stdout
    for content in (b"", b"text", certificate, encrypted):
        put_pair(patient, certificate, content)
        patient.only("TLS key", "holds no private key", "without a passphrase")
    (patient.dir / "tls/server.key").unlink()
    patient.only("TLS key", "No such file", "put the key")
    put_pair(patient, certificate, key)
    (patient.dir / "tls/server.pem").unlink()
    patient.only("TLS certificate", "No such file", "put a new one")


@test
def a_tls_key_that_the_fronts_can_not_read_is_named(folder):
    patient = Patient(folder)
    groups = folder / "group"
    groups.write_text("root:x:0:\npfxd-tls:x:4242:\n")
    binds = {"/etc/group": groups}
    key = patient.dir / "tls/server.key"
    patient.only("TLS key", "the fronts can not read", "chown root:pfxd-tls and chmod 640", binds=binds)
    os.chown(key, -1, 4242)
    patient.only("TLS key", "the fronts can not read", "chown root:pfxd-tls and chmod 640", binds=binds)
    key.chmod(0o640)
    patient.well(binds=binds)


@test
def a_tls_pair_behind_links_that_the_fronts_do_not_see_is_named_and_left_alone(folder):
    patient = Patient(folder)
    tls = patient.dir / "tls"
    elsewhere = folder / "acme"
    elsewhere.mkdir()
    for name, check in (("server.pem", "TLS certificate"), ("server.key", "TLS key")):
        (tls / name).rename(elsewhere / name)
        (tls / name).symlink_to(elsewhere / name)
        found = patient.only(check, f"is a link to {elsewhere / name}", "put a copy there in place of the link")
        assert len(found) == 1 and not re.search("chmod|chown", found[0]["mend"]), found
        (tls / name).unlink()
        (elsewhere / name).rename(tls / f"new-{name}")
        (tls / name).symlink_to(f"new-{name}")  # this one they see
        patient.well()


# ---- units, sockets, the keeper ----

# As systemd 252 answers; a unit that it does not know is inactive.
SYSTEMCTL = """#!/bin/sh
[ "$1" = show ] || exit 9
shift 2
empty=
for unit; do
    printf "$empty"
    case $unit in {case}) state={state} restarts={restarts};; *) state=active restarts=0;; esac
    case $unit in *.service) echo NRestarts=$restarts;; esac
    echo ActiveState=$state
    empty='\\n'
done
"""
SYSTEMD_RUNS = "mount -t tmpfs none /run && mkdir -p /run/systemd/system || exit 125\n"


@test
def a_unit_that_is_not_active_is_named(folder):
    patient = Patient(folder)
    fake = folder / "systemctl"

    def binds(case, state, restarts=0):
        fake.write_text(SYSTEMCTL.format(case=case, state=state, restarts=restarts))
        fake.chmod(0o755)
        return {"before": SYSTEMD_RUNS, "binds": {"/usr/bin/systemctl": fake}}
    patient.well(**binds("none", "none"))
    assert any(f["check"] == "units" and "are active" in f["detail"] for f in patient.all)
    for unit in sorted(p.name for p in (ROOT / "systemd").glob("*.s*") if "@" not in p.name and
                       not re.search("audit|doctor|backup|verify|[.]d$|sysusers", p.name)):
        patient.only("units", f"{unit} is inactive", "systemctl start pfxd.target", **binds(unit, "inactive"))
        patient.only("units", f"{unit} is failed", f"journalctl -u {unit}", **binds(unit, "failed"))
    patient.well(**binds("pfxd-admin.service", "activating"))
    patient.well(**binds("pfxd-admin.service", "active", 3))
    for room in ("pfxd-keeper", "pfxd-device", "pfxd-admin"):
        patient.only("units", f"{room}.service does not stay up: it was started again 7 times", f"journalctl -u {room}",
                     **binds(f"{room}.service", "activating", 7))
    patient.keeper.stop()
    [told] = patient.only("units", "the service is not started", "systemctl start pfxd.target",
                          **binds("*", "inactive"))
    assert "none of its 11 units is active" in told["detail"], told
    patient.only("units", "pfxd-keeper.service does not stay up", "journalctl -u pfxd-keeper",
                 **binds("pfxd-keeper.service", "activating", 7))
    patient.keeper = patient.machine.start_keeper()
    wait_until(lambda: patient.findings()[0] in (0, 1) and not patient.unknown(), what="the first checks")
    fake.write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n")
    patient.well(before=SYSTEMD_RUNS, binds={"/usr/bin/systemctl": fake})
    assert any(f["check"] == "units" and "Failed to connect" in f["detail"] for f in patient.all)


@test
def the_age_of_the_newest_backup_is_told_where_the_timer_is_enabled(folder):
    patient = Patient(folder)
    kept, fake = folder / "kept", folder / "systemctl"
    patient.machine.configure(f"[backup]\nbackup_folder = {kept}\n")
    fake.write_text('#!/bin/sh\n[ "$1 $2" = "is-enabled pfxd-backup.timer" ]\n')
    fake.chmod(0o755)
    enabled = {"binds": {"/usr/bin/systemctl": fake}}
    patient.only("backups", "can not read the folder", "make the folder", **enabled)
    kept.mkdir()
    patient.only("backups", f"there is none in {kept}", "systemctl start pfxd-backup", **enabled)
    patient.machine.ctl("backup", "--keep", "2", kept)
    patient.well(**enabled)
    assert any(f["check"] == "backups" and f["detail"].startswith("1; the newest is of") for f in patient.all), patient.all
    [newest] = kept.iterdir()
    for hours, finding in ((47, False), (49, True)):
        os.utime(newest, (time.time() - hours * 3600,) * 2)
        if finding:
            patient.only("backups", "2 days ago", "journalctl -u pfxd-backup", **enabled)
        else:
            patient.well(**enabled)
    os.utime(newest, (time.time() + 49 * 3600,) * 2)
    patient.only("backups", "yet to come", "move it away", **enabled)
    fake.write_text("#!/bin/sh\nexit 1\n")
    patient.well(**enabled)
    assert any(f["check"] == "backups" and "is not enabled" in f["detail"] for f in patient.all), patient.all


@test
def what_the_last_verification_found_is_told_and_that_it_was_long_ago(folder):
    patient = Patient(folder)
    patient.machine.ctl("verify")
    patient.well()
    assert any(f["check"] == "identities" and "0 of 0 were readable" in f["detail"] for f in patient.all), patient.all
    patient.keeper.stop_keeper()
    for result, finding in ((f"{int(time.time()) - 13 * 86400} 7 7", None),
                            (f"{int(time.time()) - 15 * 86400} 7 7", ("but that was", "pfxd-verify", "soon")),
                            (f"{int(time.time())} 7 6", ("6 of 7 were readable", "pfxctl verify", "mend"))):
        with contextlib.closing(sqlite3.connect(patient.dir / "pfxd.db", isolation_level=None)) as database:
            database.execute("UPDATE meta SET value = ? WHERE name = 'verified'", (result.encode(),))
        patient.keeper.start()
        wait_until(lambda: patient.findings()[0] in (0, 1) and not patient.unknown(), what="the first checks")
        if finding:
            patient.only("identities", *finding[:2], state=finding[2])
        else:
            patient.well()
        patient.keeper.stop_keeper()


@test
def a_socket_that_is_gone_open_to_others_or_of_somebody_else_is_named(folder):
    patient = Patient(folder)
    for name in ("keeper-device", "keeper-admin", "opener-pfx", "opener-csr"):
        path = patient.keeper.run / f"{name}.sock"
        path.rename(path.with_suffix(".away"))
        wait_until(lambda: "sockets" in patient.findings()[1], what="a socket that is missing")
        assert any(str(path) in f["detail"] and "pfxd.target" in f["mend"] for f in patient.findings()[1]["sockets"])
        path.write_bytes(b"")
        assert any("is no socket" in f["detail"] for f in patient.findings()[1]["sockets"])
        path.unlink()
        path.with_suffix(".away").rename(path)
        path.chmod(0o660)
        assert any("mode 0660" in f["detail"] for f in patient.findings()[1]["sockets"]), name
        path.chmod(0o600)
    users = folder / "passwd"
    users.write_text("root:x:0:0::/:/bin/sh\npfxd-device:x:4001:4001::/:\npfxd-admin:x:4002:4002::/:\n"
                     "pfxd-keeper:x:4003:4003::/:\n")
    conf = patient.machine.conf.read_text()
    patient.machine.conf.write_text(conf.replace("device_front_user =", "device_front_user = pfxd-device")
                                    .replace("admin_front_user =", "admin_front_user = pfxd-admin"))
    owners = {"keeper-device": 4001, "keeper-admin": 4002, "opener-pfx": 4003, "opener-csr": 4003}
    _, found = patient.findings(binds={"/etc/passwd": users})
    for name, uid in owners.items():
        assert any(f"{name}.sock belongs to user 0 instead of {uid}" in f["detail"] for f in found["sockets"]), found
        os.chown(patient.keeper.run / f"{name}.sock", uid, -1)
    status, found = patient.findings(binds={"/etc/passwd": users})
    assert "sockets" not in found, found
    os.chown(patient.keeper.run / "keeper-local.sock", 4001, -1)
    _, found = patient.findings(binds={"/etc/passwd": users})
    assert re.search("keeper-local.sock belongs to user 4001 instead of 0", found["sockets"][0]["detail"]), found


@test
def a_keeper_that_does_not_run_is_named(folder):
    patient = Patient(folder)
    patient.keeper.stop()
    patient.only("keeper", "does not answer.*Connection refused", "journalctl -u pfxd-keeper")
    (patient.dir / "run/keeper-local.sock").unlink()
    _, found = patient.findings()
    assert set(found) == {"sockets", "keeper"}, found


@test
def openers_that_do_not_answer_are_named(folder):
    patient = Patient(folder, openers=("pfx",))
    _, found = patient.findings()
    assert set(found) == {"sockets", "CSR openers"}, found
    assert "opener-csr" in found["CSR openers"][0]["mend"], found
    patient.keeper.stop()
    patient.keeper = patient.machine.start_keeper(openers=("csr",))
    wait_until(lambda: "CSR openers" not in patient.findings()[1], what="an opener")
    _, found = patient.findings()
    assert set(found) == {"PFX openers"}, found  # its socket is still there, with nobody behind it


# ---- the database ----

@test
def a_database_that_is_damaged_is_named(folder):
    patient = Patient(folder)
    patient.keeper.stop()
    with contextlib.closing(sqlite3.connect(patient.dir / "pfxd.db", isolation_level=None)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'receipts'").fetchone()[0]
        size = database.execute("PRAGMA page_size").fetchone()[0]
    with open(patient.dir / "pfxd.db", "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 64)
    patient.keeper = patient.machine.start_keeper()
    wait_until(lambda: patient.findings()[1] and not patient.unknown(), what="the first checks")
    patient.only("database file", "damaged", "start pfxd.target; pfxctl restore FILE")


@test
def an_audit_chain_that_was_changed_is_named(folder):
    patient = Patient(folder)
    with contextlib.closing(sqlite3.connect(patient.dir / "pfxd.db", isolation_level=None)) as database:
        database.execute("UPDATE audit SET detail = 'other' WHERE sequence = 1")
    done = patient.machine.ctl("audit", "verify", "--local", ok=False)
    assert done.returncode == 1, done
    patient.until("audit chain", "changed outside this service", "audit verify --local")


@test
def a_disk_that_is_full_is_named(folder):
    free = os.statvfs(folder)
    if free.f_bavail * free.f_frsize >= 1048576 << 20:
        raise Skip("this disk has more free than can be asked for")
    patient = Patient(folder, keeper=False)
    patient.machine.configure("min_free_mib = 1048576\n")
    patient.keeper = patient.machine.start_keeper()
    patient.until("disk", r"\d+ MiB are free", "make room")


@test
def certificates_of_devices_that_end_are_counted(folder):
    patient = Patient(folder)
    who = field("r") + field(patient.token.read_text().strip())
    for n in range(2):
        enrolment = who + field("ann@example.org") + field("phone") + field("") + u32(600)
        done = patient.keeper.ask("ADD_ENROLMENT", enrolment, "admin")[1]
        device = folder / f"device{n}"
        device.mkdir()
        token = done[4:47].decode()
        csr = make_csr(device, "P-256")
        assert patient.keeper.ask("ENROLL", field("r") + field(token) + field(csr), "device")[0] == verbs()["ENROLL"]
    for days, state, detail in ((600, "ok", "2 devices 0 end within 7 days, 0 within 30, 0 within 90"),
                                (645, "soon", "0 end within 7 days, 0 within 30, 2 within 90"),
                                (705, "soon", "0 end within 7 days, 2 within 30, 2 within 90"),
                                (725, "mend", "2 end within 7 days, 2 within 30, 2 within 90"),
                                (740, "ok", "0 within 90; 2 have ended")):
        patient.keeper.stop()
        patient.keeper = patient.machine.start_keeper(env=clock(f"+{days}d"))
        wait_until(lambda: patient.findings()[0] in (0, 1) and not patient.unknown(), what="the first checks")
        found = next(f for f in patient.all if f["check"] == "device certificates")
        assert found["state"] == state and detail in found["detail"], (days, found)
        assert "pfxctl devices" in found["mend"] if state != "ok" else not found["mend"], found


@test
def the_end_of_the_enrolment_ca_is_told_in_time(folder):
    patient = Patient(folder)
    for days, state, mend in ((7305 - 91, "ok", ""), (7305 - 89, "soon", "^pfxctl ca rotate"),
                              (7305 - 31, "soon", "^pfxctl ca rotate"), (7305 - 29, "mend", "^pfxctl ca rotate"),
                              (7305 - 6, "mend", "^at once: pfxctl ca rotate"), (7306, "mend", "^at once: pfxctl ca rotate")):
        patient.findings(env={**os.environ, **clock(f"+{days}d")})
        told = {f["check"]: f for f in patient.all}
        for check in ("enrolment CA", "bundle signer"):
            assert told[check]["state"] == state and re.search(mend, told[check]["mend"]), (days, told[check])


# ---- the sandbox of its timer ----

@test
def in_a_user_namespace_it_judges_no_owner_and_no_tpm_that_it_can_not_see(folder):
    patient = Patient(folder)
    os.chown(patient.dir / "run/keeper-local.sock", 4001, -1)
    patient.only("sockets", "belongs to user 4001", "restart its .socket unit")
    confined = patient.machine.command("unshare", "--user", "--map-root-user", BUILD / "pfxctl", "doctor", "--json",
                                       "--pfxd-conf", patient.machine.conf)
    if run("unshare", "--user", "--map-root-user", "true", ok=False).returncode != 0:
        raise Skip("user namespaces are forbidden here")

    def inside():
        return {f["check"]: f for f in json.loads(run(*confined, ok=False).stdout)["findings"]}
    # The keeper's socket is not root's now, so root in a namespace can not reach it; that is another finding.
    assert "sockets" in inside() and inside()["sockets"]["state"] == "ok", inside()
    os.chown(patient.dir / "run/keeper-local.sock", 0, -1)
    assert all(f["state"] == "ok" for f in inside().values()), inside()
    # Sealed to a TPM, by the id that stands at its beginning.
    sealed = bytes.fromhex("93a8940948740ff4a7c0f5e3e2c7d6ab") + os.urandom(100)
    patient.machine.credential.write_bytes(base64.b64encode(sealed) + b"\n")
    found = inside()["keyring"]
    assert found["state"] == "ok" and "run pfxctl doctor as root" in found["detail"], found
    patient.only("keyring", "systemd-creds", "keyring import EXPORT")


if __name__ == "__main__":
    main()
