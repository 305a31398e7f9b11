#!/usr/bin/env python3
"""pfxctl verify: says of every identity whether it can be read, and of none that it can not be when something else failed."""

import re

from backups import *
from fake_opener import FakeOpener, STARTED, frame, identity, opened, passwords, says
from inputs import make_pfx

READABLE = re.compile(r"^(\d+) of (\d+) readable, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", re.M)


def metrics(service):
    lines = service.health("/metrics").expect(200).body.decode().splitlines()
    return {line.split(" ")[0]: int(line.split(" ")[1]) for line in lines
            if line.startswith(("pfxd_identities_verified", "pfxd_identities_readable"))}


def der(certificate):
    return run("openssl", "x509", "-in", certificate, "-outform", "DER").stdout


@test
def every_identity_is_read_and_the_result_is_told_logged_and_measured(folder):
    service = Service(folder)
    assert metrics(service) == {"pfxd_identities_verified": 0, "pfxd_identities_readable": 0,
                                "pfxd_identities_verified_at_seconds": 0}
    assert "0 of 0 readable" in ctl(service, "verify").stdout.decode()
    for key in ("P-256", "P-384", "rsa:2048", "rsa:1024", "brainpoolP256r1"):
        import_one(service, Identity(folder, ANN, key=key))
    before = time.time()
    done = ctl(service, "verify")
    assert READABLE.search(done.stdout.decode()).groups() == ("5", "5") and done.stderr == b"", done
    told = wait_until(lambda: metrics(service)["pfxd_identities_verified"] == 5 and metrics(service), what="the metrics")
    assert told["pfxd_identities_verified"] == told["pfxd_identities_readable"] == 5, told
    assert before - 1 <= told["pfxd_identities_verified_at_seconds"] <= time.time() + 1, told
    assert '1023 identities were verified readable="5" total="5" of="the database"' in service.log()
    # It is told after a restart as well.
    service.restart()
    wait_until(lambda: metrics(service) == told, what="the same metrics")
    found = json.loads(ctl(service, "verify", "--json").stdout)
    assert (found["ok"], found["total"], found["readable"], found["unreadable"]) == (True, 5, 5, []), found


OTHER_KEY = "the key is not that of the certificate"
OTHER_CERTIFICATE = "its certificate is another one than its record says"
UNREADABLE = "an opener can not read its key or certificate"


def import_made(service, upn, certificate, modern, legacy):
    """An identity of this certificate, whose two files are what an opener that was taken over made of it: functions of
    the password that they are to have."""
    def behave(connection, verb, fields):
        password = passwords(fields)[0]
        connection.sendall(STARTED + opened(identity(certificate=certificate, modern=modern(password),
                                                     legacy=legacy(password))))
    fake = FakeOpener(service, "pfx", behave)
    service.import_pfx(upn, b"x", "x").expect(201)
    fake.close()


def made_of(key, certificate):
    """A file like those of the opener, but for what it holds."""
    return lambda password: make_pfx([(key, certificate)], password, mac_iterations=2, key_iterations=2)


@test
def what_was_damaged_or_does_not_fit_is_named_and_the_rest_is_read(folder):
    service = Service(folder)
    ann, ben = small(folder), small(folder, BEN)
    import_one(service, small(folder))
    damaged = [import_one(service, small(folder, BEN), BEN) for _ in range(3)]
    # Stored as it should be, but not what the record says: only who reads it can see it.
    fits, garbage = made_of(ann.key, ann.certificate), lambda password: b"no PKCS#12 file"
    misfits = {"key": (made_of(ben.key, ann.certificate), OTHER_KEY),
               "certificate": (made_of(ben.key, ben.certificate), OTHER_CERTIFICATE), "garbage": (garbage, UNREADABLE)}
    for name, (made, _) in misfits.items():
        import_made(service, f"{name}.modern@example.org", der(ann.certificate), made, fits)
        import_made(service, f"{name}.legacy@example.org", der(ann.certificate), fits, made)
    # The control: nothing else is wrong with them.
    import_made(service, "control@example.org", der(ann.certificate), fits, fits)
    service.stop()
    for one, column in zip(damaged, ("wrapped_key", "sealed_modern", "sealed_legacy")):
        damage(service.dir / "pfxd.db", "identities", column, one.thumbprint)
    service.start()
    done = ctl(service, "verify", ok=False)
    assert done.returncode == 1 and "2 of 11 readable" in done.stderr.decode(), done
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 9, lines
    for one, sentence in zip(damaged, ("its data key does not unwrap", 'sealed part "modern"', 'sealed part "legacy"')):
        [line] = [line for line in lines if one.thumbprint in line]
        assert line.startswith(f"{BEN}, {one.thumbprint}, identity ") and sentence in line, line
    for name, (_, sentence) in misfits.items():
        for form in ("modern", "legacy"):
            [line] = [line for line in lines if f"{name}.{form}@" in line]
            assert line.endswith(sentence) and ann.thumbprint in line, line
    wait_until(lambda: (metrics(service)["pfxd_identities_readable"], metrics(service)["pfxd_identities_verified"]) ==
               (2, 11), what="the metrics")
    assert service.log().count("3016 an identity can not be read") == 9
    assert BEN not in "".join(line for line in service.log().splitlines() if " 3016 " in line), "a name in such an event"
    found = json.loads(ctl(service, "verify", "--json", ok=False).stdout)
    assert found["ok"] is False and len(found["unreadable"]) == 9, found


LOGGED_MAX, NAMED_MAX = 20, 1000


@test
def where_the_list_ends_and_where_the_log_ends_it_is_said(folder):
    service, made = Service(folder), 0
    for count in (LOGGED_MAX, LOGGED_MAX + 1, NAMED_MAX, NAMED_MAX + 1):
        fake = FakeOpener(service, "pfx", None)
        while made < count:
            some = min(count - made, 64, 400 - made % 400)  # a user has at most 500
            fake.behave = says(STARTED + opened(b"".join(identity(certificate=b"%d" % (made + n)) for n in range(some))))
            service.import_pfx(f"u{made // 400}@example.org", b"x", "x").expect(201)
            made += some
        fake.close()
        service.restart()
        mark = len(service.log())
        done = ctl(service, "verify", ok=False)
        lines = done.stdout.decode().splitlines()
        assert done.returncode == 1 and f"0 of {count:,} readable" in done.stderr.decode(), (count, done.stderr)
        assert len([line for line in lines if "an opener can not read" in line]) == min(count, NAMED_MAX), count
        assert len(lines) == min(count, NAMED_MAX + 1) and ("and more" in lines[-1]) == (count > NAMED_MAX), lines[-1]
        log = service.log()[mark:]
        assert log.count("an opener can not read") == LOGGED_MAX, count
        assert log.count("and more, which are not logged") == (count > LOGGED_MAX), count


@test
def a_row_that_was_changed_is_named_too(folder):
    service = Service(folder)
    for upn in (ANN, BEN):
        import_one(service, small(folder, upn), upn)
    service.stop()
    with contextlib.closing(service.database()) as database:
        database.execute("UPDATE identities SET subject = 'CN=' || x'0a' || 'forged' WHERE subject LIKE '%ben%'")
    service.start()
    done = ctl(service, "verify", ok=False)
    assert done.returncode == 1 and "1 of 2 readable" in done.stderr.decode(), done
    [line] = done.stdout.decode().splitlines()
    assert "was changed outside this service" in line, line


@test
def a_backup_is_verified_and_thrown_away_and_the_result_is_not_that_of_the_service(folder):
    service = Service(folder)
    import_one(service, small(folder))
    ctl(service, "verify")
    before = wait_until(lambda: metrics(service)["pfxd_identities_verified"] == 1 and metrics(service), what="the metrics")
    ctl(service, "backup", folder / "b")
    import_one(service, small(folder))
    content = (folder / "b").read_bytes()
    done = ctl(service, "verify", "--database", folder / "b")
    assert READABLE.search(done.stdout.decode()).groups() == ("1", "1"), done
    assert metrics(service) == before and beside(service) == [] and (folder / "b").read_bytes() == content
    assert 'readable="1" total="1" of="a backup"' in service.log()
    damage(folder / "b", "identities", "sealed_legacy")
    done = ctl(service, "verify", "--database", folder / "b", ok=False)
    assert done.returncode == 1 and "0 of 1 readable" in done.stderr.decode(), done
    assert metrics(service) == before
    assert READABLE.search(ctl(service, "verify").stdout.decode()).groups() == ("2", "2")


@test
def an_opener_that_ends_meanwhile_makes_no_identity_unreadable(folder):
    service = Service(folder)
    for _ in range(3):
        import_one(service, small(folder))
    died = []

    def die_once(connection, verb, fields):
        connection.sendall(STARTED)
        died.append(verb)
        return None if len(died) % 2 == 0 and not connection.sendall(frame(verb)) else "close"
    fake = FakeOpener(service, "pfx", die_once)
    done = ctl(service, "verify")
    assert READABLE.search(done.stdout.decode()).groups() == ("3", "3"), done
    assert died == [verbs()["CHECK_IDENTITY"]] * 6, died
    # One that is killed by it each time is believed.
    fake.behave = lambda connection, verb, fields: (connection.sendall(STARTED), "close")
    done = ctl(service, "verify", ok=False)
    assert done.returncode == 1 and done.stdout.count(b"did not survive it") == 3, done


@test
def without_an_opener_nothing_is_called_unreadable_and_an_end_is_clean(folder):
    need_root()
    service = Service(folder)
    for _ in range(2):
        import_one(service, small(folder))
    service.stop()
    (service.dir / "pfxd.conf").write_text((service.dir / "pfxd.conf").read_text().replace("local_user =", "local_user = root"))
    keeper = Keeper(service.dir, folder / "keeper.log", openers=("csr",))
    command = [BUILD / "pfxctl", "--dev", service.dir, "verify"]
    for end in ("the keeper", "pfxctl"):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # It waits for an opener, and tells meanwhile that it is at none of two.
        time.sleep(2.5)
        assert process.poll() is None, process.communicate()
        if end == "the keeper":
            keeper.stop_keeper()
            assert keeper.process.returncode == 0, keeper.log()[-1000:]
            _, said = process.communicate(timeout=60)
            assert process.returncode == 3 and b"given up" in said, (process.returncode, said)
            keeper.start()
        else:
            process.terminate()
            process.communicate(timeout=60)
            # The place is free again, once the keeper has seen it.
            frames = Frames(keeper.run / "keeper-local.sock")
            wait_until(lambda: keeper_takes(keeper), 30, "another verification")
            frames.close()
    assert "3016" not in keeper.log()


def keeper_takes(keeper):
    """Whether a verification is begun: its first word is how far it is."""
    frames = Frames(keeper.run / "keeper-local.sock")
    try:
        verb, _ = frames.ask(verbs()["VERIFY_IDENTITIES"], struct.pack(">Q", 0))
        return verb == verbs()["PROGRESS"]
    finally:
        frames.close()


@test
def imports_and_pulls_go_on_meanwhile_and_those_that_come_are_read_or_left(folder):
    service = Service(folder)
    for _ in range(8):
        import_one(service, small(folder))
    phone = service.enrol(ANN, "P-256")
    over = threading.Event()

    def verify():
        try:
            return [json.loads(ctl(service, "verify", "--json").stdout) for _ in range(10)]
        finally:
            over.set()

    def work():
        while not over.is_set():
            one = import_one(service, small(folder, BEN), BEN)
            phone.pull().expect(200)
            assert service.admin("DELETE", f"/v1/users/{BEN}/certificates/{one.thumbprint}").status == 204
    found = in_parallel(verify, work)[0]
    assert all(f["ok"] and f["total"] >= 8 for f in found), found


if __name__ == "__main__":
    main()
