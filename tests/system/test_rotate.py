#!/usr/bin/env python3
"""pfxctl keyring rotate and retire: everything is sealed anew while pulls go on, whoever is killed when, and afterwards
the old key opens nothing."""

import hashlib
import re

from manager import *

UPN = "ann@example.org"
ROTATE = ("keyring", "rotate", "--no-export")


class Rotated:
    """A service with a device of one user and identities of many, that all are one certificate."""

    def __init__(self, folder, identities, **more):
        need_root()
        self.folder = folder
        self.service = Managed(folder, "health_seconds = 1\n", **more)
        self.identity = Identity(folder, UPN)
        pfx = self.identity.pfx()
        self.service.import_pfx(UPN, pfx, "secret").expect(201)
        for n in range(identities - 1):
            self.service.import_pfx(f"u{n}@example.org", pfx, "secret").expect(201)
        self.device = self.service.enrol(UPN, "P-256")
        self.identities = identities

    def ctl(self, *arguments, ok=False, **options):
        return run(BUILD / "pfxctl", *arguments, "--dev", self.service.dir, ok=ok, **options)

    def newest(self):
        """Ids of the wrapping keys, newest first."""
        return re.findall(r"^wrap ([0-9a-f]{8}) ", (self.service.dir / "keyring").read_text(), re.M)

    def under(self):
        """{key id: how many identities}, read beside the keeper."""
        with contextlib.closing(sqlite3.connect(f"file:{self.service.dir}/pfxd.db?mode=ro", uri=True)) as database:
            return dict(database.execute("SELECT key_id, count(*) FROM identities GROUP BY key_id"))

    def wrapped(self):
        """The wrapped data keys."""
        with contextlib.closing(sqlite3.connect(f"file:{self.service.dir}/pfxd.db?mode=ro", uri=True)) as database:
            return [row[0] for row in database.execute("SELECT wrapped_key FROM identities")]

    def on_disk(self, value):
        return any(value in path.read_bytes() for path in self.service.dir.glob("pfxd.db*") if path.is_file())

    def events(self):
        records = self.service.admin("GET", "/v1/audit?limit=1000").expect(200).json["records"]
        return [(r["event"], r["object"]) for r in records if r["event"].startswith(("keyring.", "ca."))]

    def begin(self, *options):
        """Puts a new key into the keyring; the keeper has not read it yet."""
        done = self.ctl(*(options or ROTATE))
        assert done.returncode == 3 and b"start it again" in done.stderr, done
        return done

    def check(self):
        """All of it opens: on the device, and by the keeper's own word."""
        bundle = self.device.open(self.device.pull().expect(200).body)
        assert [c["thumbprint"] for c in bundle["certificates"]] == [self.identity.thumbprint]
        one = bundle["certificates"][0]
        key = open_pkcs12(base64.b64decode(one["pkcs12"]), one["password"], self.folder)
        assert key == self.identity.key_pem
        verified = self.service.admin("GET", "/v1/audit/verification").expect(200).json
        assert verified["ok"], verified

    def metric(self, name):
        lines = self.service.health("/metrics").expect(200).body.decode().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"pfxd_{name} "))


@test
def everything_is_sealed_anew_while_pulls_go_on_and_the_progress_is_told(folder):
    world = Rotated(folder, 300)
    old = world.newest()[0]
    before = world.under()
    assert before == {old: 300}
    over, pulls, errors = threading.Event(), [], []

    def pull():
        while not over.is_set():
            try:
                begun = time.monotonic()
                world.device.open(world.device.pull().expect(200).body)
                pulls.append(time.monotonic() - begun)
            except BaseException as error:
                errors.append(error)
                return
    puller = threading.Thread(target=pull)
    puller.start()
    try:
        said = world.begin().stderr.decode()
        assert "has a new wrapping key" in said, said
        new = world.newest()[0]
        assert world.newest() == [new, old] and new != old
        assert (world.service.dir / "keyring.before").exists()
        world.service.renew("keeper")
        done = world.ctl(*ROTATE, ok=True)
    finally:
        over.set()
        puller.join()
    assert not errors, errors
    assert pulls, "no pull was made meanwhile"
    said = done.stderr.decode()
    assert "under way" in said and "rewrapped 300 of 300" in said and "keyring retire" in said, said
    assert not (world.service.dir / "keyring.before").exists()
    assert world.newest() == [new, old], "following made another key"
    assert world.under() == {new: 300}
    world.check()
    assert world.events() == [("keyring.rotate", new)], world.events()
    wait_until(lambda: world.metric("identities_rewrapped_total") == 300, what="the counter")
    assert world.metric("identities_to_rewrap") == 0
    log = world.service.said("keeper")
    assert re.search(r'3030 .*keyring\.rotate ' + new, log) and re.search(r"3031 .*300", log), log[-2000:]
    # What is imported from now on is under it too, and what a restart finds is no change.
    other = Identity(folder, "bob@example.org")
    world.service.import_pfx("bob@example.org", other.pfx(), "secret").expect(201)
    world.service.renew("keeper")
    assert world.under() == {new: 301} and world.events() == [("keyring.rotate", new)]


@test
def the_keeper_may_be_killed_at_any_time_and_goes_on(folder):
    world = Rotated(folder, 400)
    old = world.newest()[0]
    world.begin()
    new = world.newest()[0]
    world.service.end("keeper")
    seen = set()  # how many were under the new key at a kill
    for n in range(40):
        mark = len(world.service.messages["keeper"])
        world.service.begin("keeper")
        if n == 0:
            world.service.wait_told("keeper", "READY=1", mark)
        else:  # a little later each time
            time.sleep(0.02 * n)
        world.service.children["keeper"].kill()
        world.service.children["keeper"].wait()
        under = world.under()
        assert sum(under.values()) == 400 and set(under) <= {old, new}, under
        seen.add(under.get(new, 0))
        if under.get(new, 0) == 400:
            break
    assert any(0 < n < 400 for n in seen), seen
    world.service.begin("keeper")
    wait_until(lambda: world.under() == {new: 400}, 60, "the rest")
    world.service.wait_ready()
    world.check()
    assert b"400 of 400" in world.ctl("verify", ok=True).stdout, "each of them opens"
    assert world.events() == [("keyring.rotate", new)], world.events()


@test
def a_keyring_from_before_is_refused_by_a_sentence_and_opens_nothing(folder):
    world = Rotated(folder, 3)
    keyring = world.service.dir / "keyring"
    stolen = keyring.read_bytes()
    wrapped = world.wrapped()
    assert len(wrapped) == 3 and all(world.on_disk(key) for key in wrapped), "the control: they were there"
    world.begin()
    world.service.renew("keeper")
    world.ctl(*ROTATE, ok=True)
    wait_until(lambda: not any(world.on_disk(key) for key in wrapped), 60, "the end of what the old key opens")
    fresh = keyring.read_bytes()
    world.service.end("keeper")
    keyring.write_bytes(stolen)
    world.service.begin("keeper")
    assert world.service.children["keeper"].wait(60) != 0
    assert "was not written under this keyring" in world.service.said("keeper")
    keyring.write_bytes(fresh)
    world.service.begin("keeper")
    world.service.wait_ready()
    world.check()


@test
def old_keys_are_retired_once_nothing_needs_them_and_not_before(folder):
    world = Rotated(folder, 20)
    first = world.newest()[0]
    said = world.ctl("keyring", "retire", ok=True).stderr.decode()
    assert "one wrapping key" in said, said
    world.begin()
    world.service.renew("keeper")
    world.ctl(*ROTATE, ok=True)
    # A backup from before that was brought back: its row is under the old key.
    world.service.end("keeper")
    second = world.newest()[0]
    database = sqlite3.connect(world.service.dir / "pfxd.db", isolation_level=None)
    kept = database.execute("SELECT * FROM identities LIMIT 1").fetchone()
    database.execute("UPDATE identities SET key_id = ? WHERE id = ?", (first, kept[0]))
    database.close()
    world.service.begin("keeper")
    world.service.wait_ready()
    done = world.ctl("keyring", "retire")
    assert done.returncode == 1 and b"1 of what is stored is still sealed" in done.stderr, done
    assert world.newest() == [second, first]
    # It does not open under the old key, as it is the new one's: it is named, and stays as it is.
    assert kept[0] in world.service.said("keeper") and "3032" in world.service.said("keeper")
    wait_until(lambda: world.metric("identities_not_rewrapped") == 1, what="the count of what does not open")


@test
def rows_whose_ids_are_none_are_named_and_the_rotation_goes_on_past_them(folder):
    world = Rotated(folder, 20)
    first = world.newest()[0]
    world.begin()
    world.service.end("keeper")
    with contextlib.closing(sqlite3.connect(world.service.dir / "pfxd.db", isolation_level=None)) as database:
        ids = [row[0] for row in database.execute("SELECT id FROM identities ORDER BY id")]
        columns = ", ".join(row[1] for row in database.execute("PRAGMA table_info(identities)") if row[1] != "id")
        # Such as sort before all others, between them, and last; one in whose middle is a NUL.
        made = ["", " " * 70000, ids[9] + "0", ids[9] + "\0" + "x" * 300, "~" * 37, "\U0010ffff\n"]
        for n, one in enumerate(made):
            database.execute(f"INSERT INTO identities (id, {columns}) SELECT ?, "
                             f"{columns.replace('sha256', 'randomblob(32)')} FROM identities WHERE id = ?", (one, ids[n]))
    world.service.begin("keeper")
    world.service.wait_ready()
    done = world.ctl(*ROTATE)
    assert done.returncode == 5 and f"{len(made)} identities do not open".encode() in done.stderr, done
    second = world.newest()[0]
    assert world.under() == {second: 20, first: len(made)}, world.under()
    log = world.service.said("keeper")
    assert ids[9] + "0: " in log and "~" * 37 in log and "~" * 37 + "\n" not in log, log
    # Nor does a verification end at them, or take them for well.
    said = world.ctl("verify", "--json")
    told = json.loads(said.stdout)
    assert (told["total"], told["readable"], said.returncode) == (20 + len(made), 20, 1), told
    assert "20 of 26 readable" in said.stderr.decode(), said
    database = sqlite3.connect(world.service.dir / "pfxd.db", isolation_level=None)
    database.execute("DELETE FROM identities WHERE key_id = ?", (first,))
    database.close()
    # Once they are gone nothing holds the old key any more.
    world.begin("keyring", "retire")
    assert world.newest() == [second]
    world.service.renew("keeper")
    world.check()


@test
def after_retire_the_keyring_has_the_newest_key_alone(folder):
    world = Rotated(folder, 5)
    first = world.newest()[0]
    world.begin()
    world.service.renew("keeper")
    world.ctl(*ROTATE, ok=True)
    second = world.newest()[0]
    done = world.ctl("keyring", "retire")
    assert done.returncode == 3, done
    assert world.newest() == [second]
    world.service.renew("keeper")
    said = world.ctl("keyring", "retire", ok=True).stderr.decode()
    assert "one wrapping key" in said, said
    world.check()
    wait_until(lambda: world.events() == [("keyring.rotate", second), ("keyring.retire", first)], what="both records")


def restore(world, path):
    """The keeper ends by itself then; systemd would start the next one."""
    restoring = subprocess.Popen([BUILD / "pfxctl", "restore", path, "--replace", "--trust-devices", "--trust-tokens",
                                  "--dev", world.service.dir], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert world.service.children["keeper"].wait(60) == 0
    world.service.begin("keeper")
    said = restoring.communicate(timeout=60)[1]
    assert restoring.returncode == 0, said
    world.service.wait_ready()


@test
def a_backup_from_before_a_rotation_is_sealed_anew_while_its_key_is_there_and_then_refused(folder):
    world = Rotated(folder, 20)
    old, backup = world.newest()[0], folder / "b"
    world.ctl("backup", backup, ok=True)
    world.begin()
    world.service.renew("keeper")
    world.ctl(*ROTATE, ok=True)
    new = world.newest()[0]
    assert world.under() == {new: 20}
    between = (world.service.dir / "keyring").read_bytes()

    def comes_back():
        restore(world, backup)
        wait_until(lambda: world.under() == {new: 20}, 60, "the rest")
        world.check()
        # It did not know of the new key: that is on record once more.
        wait_until(lambda: world.events() == [("keyring.rotate", new)], what="the record")

    comes_back()
    world.begin("keyring", "retire")
    world.service.renew("keeper")
    assert world.newest() == [new]
    for command in (["restore", backup, "--replace"], ["verify", "--database", backup]):
        done = world.ctl(*command)
        said = done.stderr.decode()
        assert done.returncode == 1 and old in said and new in said and "retired since" in said, done
    assert world.under() == {new: 20}
    world.check()
    # An export from before the key was retired has both.
    world.service.end("keeper")
    (world.service.dir / "keyring").write_bytes(between)
    world.service.begin("keeper")
    world.service.wait_ready()
    comes_back()
    with_old_alone = between.replace(re.search(rb"^wrap " + new.encode() + rb".*\n", between, re.M)[0], b"")
    # One from before the rotation opens the backup, and not what the service has now.
    world.service.end("keeper")
    (world.service.dir / "keyring").write_bytes(with_old_alone)
    world.service.begin("keeper")
    assert world.service.children["keeper"].wait(60) != 0
    for left in world.service.dir.glob("pfxd.db*"):
        left.unlink()
    world.service.begin("keeper")
    restore(world, backup)
    assert world.under() == {old: 20}
    world.check()


@test
def the_keyring_has_its_most_wrapping_keys_and_says_so(folder):
    world = Rotated(folder, 1)
    keyring = world.service.dir / "keyring"
    most = int(re.search(r"KEYRING_WRAPPING_KEYS_MAX = (\d+)", (ROOT / "daemon/keeper/keyring.h").read_text())[1])
    lines = keyring.read_text().splitlines(keepends=True)
    more = [f"wrap {n:08x} {base64.b64encode(os.urandom(32)).decode()}\n" for n in range(most - 2)]
    world.service.end("keeper")
    keyring.write_text("".join([lines[0], lines[1], *more, *lines[2:]]))
    world.service.begin("keeper")
    world.service.wait_ready()
    world.begin()  # the last that there is room for
    world.service.renew("keeper")
    world.ctl(*ROTATE, ok=True)
    assert len(world.newest()) == most
    whole = keyring.read_bytes()
    done = world.ctl(*ROTATE)
    assert done.returncode == 4 and f"its most wrapping keys already, {most}".encode() in done.stderr, done
    assert keyring.read_bytes() == whole


@test
def an_export_is_insisted_on_and_opens_what_is_new(folder):
    world = Rotated(folder, 2)
    before = (world.service.dir / "keyring").read_bytes()
    done = world.ctl("keyring", "rotate")
    assert done.returncode == 2 and b"do not have the new key" in done.stderr and b"--export FILE" in done.stderr, done
    assert (world.service.dir / "keyring").read_bytes() == before
    export, word = folder / "export", folder / "word"
    world.begin("keyring", "rotate", "--export", export, "--passphrase-out", word)
    opened = run("sh", "-c", 'exec openssl cms -decrypt -inform PEM -in "$1" -pwri_password "$(cat "$2")"', "sh", export, word)
    assert opened.stdout == (world.service.dir / "keyring").read_bytes() != before


@test
def without_a_keeper_or_beside_another_pfxctl_nothing_is_changed(folder):
    world = Rotated(folder, 1)
    before = (world.service.dir / "keyring").read_bytes()
    lock = world.service.dir / ".keyring.lock"
    assert world.ctl("keyring", "retire").returncode == 0  # changes nothing, and has made the file
    assert lock.stat().st_mode & 0o777 == 0o600 and lock.stat().st_uid == os.geteuid(), "others could lock it"
    fd = os.open(lock, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    done = world.ctl(*ROTATE)
    assert done.returncode == 3 and b"another pfxctl" in done.stderr, done
    os.close(fd)
    world.service.end("keeper")
    world.service.sockets["keeper", "local"].close()
    done = world.ctl(*ROTATE)
    assert done.returncode == 3 and b"does not answer at its local socket" in done.stderr, done
    assert (world.service.dir / "keyring").read_bytes() == before


@test
def nobody_who_can_read_the_folder_of_the_keyring_keeps_others_from_changing_it(folder):
    world = Rotated(folder, 1)
    for path in (world.service.dir, world.service.dir / "pfxd.conf", world.service.dir / "ca.pem"):
        fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX)  # as any user of the server can in /etc/pfxd
    assert "has a new wrapping key" in world.begin().stderr.decode()


@test
def one_that_was_cut_short_before_the_new_keyring_came_is_no_rotation_under_way(folder):
    world = Rotated(folder, 1)
    os.link(world.service.dir / "keyring", world.service.dir / "keyring.before")
    assert "has a new wrapping key" in world.begin().stderr.decode()
    assert len(world.newest()) == 2


# ---- pfxctl is killed ----

CALLS = "openat,write,fsync,renameat2,rename,link,linkat,unlink,unlinkat,fchown,connect,sendto,recvfrom"


def steps(world, folder):
    """(name, n) of each call of one rotation that changes or asks something, without those of a build that at its end
    writes down what lines ran."""
    trace = folder / "trace"
    run("strace", "-o", trace, "-e", f"trace={CALLS}", BUILD / "pfxctl", *ROTATE, "--dev", world.service.dir, ok=False)
    counts, found = {}, []
    for line in re.split(r'^openat\(.*\.gcda"', trace.read_text(), maxsplit=1, flags=re.M)[0].splitlines():
        name = line.split("(")[0]
        if name.isidentifier():
            counts[name] = counts.get(name, 0) + 1
            found.append((name, counts[name]))
    return found


@test
def a_rotation_that_was_killed_at_any_step_leaves_a_keyring_that_opens_and_can_go_on(folder):
    if not shutil.which("strace"):
        raise Skip("there is no strace")
    world = Rotated(folder, 3)
    keyring = world.service.dir / "keyring"
    original = keyring.read_bytes()
    all_steps = steps(world, folder)
    assert {name for name, _ in all_steps} >= {"fsync", "openat", "link"}, all_steps
    # From where it has read the keyring on.
    late = [s for s in all_steps if s[0] not in ("openat", "write")] + [s for s in all_steps if s[0] == "openat"][-8:]
    assert keyring.read_bytes() != original
    killed = 0
    for name, n in late:
        for left in world.service.dir.glob("keyring?*"):
            left.unlink()
        keyring.write_bytes(original)
        done = run("strace", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={n}",
                   BUILD / "pfxctl", *ROTATE, "--dev", world.service.dir, ok=False)
        assert done.returncode in (-9, 137, 3), (name, n, done)
        killed += done.returncode != 3  # an answer comes in more parts or fewer
        now = keyring.read_bytes()
        assert now == original or now.count(b"\nwrap ") == 2 and original.split(b"\n", 1)[1] in now, (name, n)
        assert keyring.stat().st_mode & 0o777 == 0o600
    assert killed > 12, killed
    # Whatever is there now: the same command goes on, or begins, and there is one new key in the end.
    assert world.ctl(*ROTATE).returncode == 3
    world.service.renew("keeper")
    assert world.ctl(*ROTATE).returncode == 0
    assert list(world.under()) == [world.newest()[0]] and len(world.newest()) == 2
    world.check()


if __name__ == "__main__":
    main()
