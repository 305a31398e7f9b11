"""pfxctl backup, restore and verify, as tests of them run them; and a database that takes its time to be copied."""

from units import *

ANN, BEN = "ann@example.org", "ben@example.org"
STAGES = {name: number + 1 for number, name in enumerate(("copying", "checking", "sending", "receiving", "holding",
                                                           "verifying"))}


def ctl(service, *arguments, ok=True, **options):
    """pfxctl of a service that this process started."""
    return run(BUILD / "pfxctl", "--dev", service.dir, *arguments, ok=ok, **options)


def refused(service, status, *arguments):
    """What pfxctl says when it ends with this status."""
    done = ctl(service, *arguments, ok=False)
    assert done.returncode == status, (arguments, done)
    return done.stderr.decode()


def backup(service, path):
    return json.loads(ctl(service, "backup", path, "--json").stdout)


def token_to(service):
    """Where the new administrator's token is to go, so that this service is asked with it."""
    return "--token-out", service.dir / "admin.token", "--force"


def restore(service, path, *more):
    token = () if "--trust-tokens" in more else token_to(service)
    done = ctl(service, "restore", path, "--json", *token, *more)
    return json.loads(done.stdout)


def small(folder, upn=ANN):
    return Identity(folder, upn, key="P-256", usage="keyAgreement")


def import_one(service, identity, upn=ANN):
    service.import_pfx(upn, identity.pfx(), "secret").expect(201)
    return identity


def states(service):
    """{id: state} of every device."""
    return {d["id"]: d["state"] for d in service.admin("GET", "/v1/devices").expect(200).json["devices"]}


def upns(service):
    return sorted(u["upn"] for u in service.admin("GET", "/v1/users").expect(200).json["users"])


def verify_audit(service):
    told = service.admin("GET", "/v1/audit/verification").expect(200).json
    assert told["ok"], told


def beside(service):
    """What is in the folder of the service beside what belongs there."""
    own = {"admin.token", "begun", "ca.pem", "keyring", "lock", "pfxctl.conf", "pfxd.conf", "pfxd.db", "pfxd.db-shm",
           "pfxd.db-wal", "run", "tls"}
    return sorted(p.name for p in service.dir.iterdir() if p.name not in own)


def pad(path, mib):
    """Makes a database larger: what is here is nobody's chain. The service must be stopped."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN")
        for n in range(mib):
            database.execute("INSERT INTO chain_certificates VALUES (?, randomblob(1048576))", (os.urandom(32),))
        database.execute("COMMIT")


def damage(path, table, column, sha1=None, at=0):
    """Changes one byte of a blob behind the service's back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        where, values = (" WHERE sha1 = ?", (bytes.fromhex(sha1),)) if sha1 else ("", ())
        row, blob = database.execute(f"SELECT rowid, {column} FROM {table}{where} LIMIT 1", values).fetchone()
        changed = bytearray(blob)
        changed[at] ^= 1
        database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (bytes(changed), row))
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def local(service):
    """A connection to the local socket, as a pfxctl of one's own."""
    return Frames(service.dir / "run/keeper-local.sock")


def until_up(service, *statuses, seconds=60):
    def up():
        with contextlib.suppress(OSError, http.client.HTTPException):
            return service.admin("GET", "/v1/users").status in (statuses or (200,))
    wait_until(up, seconds, "the service after a restart")


def until_answers(service):
    """Up, whether or not the token that is asked with is still good."""
    until_up(service, 200, 401)
