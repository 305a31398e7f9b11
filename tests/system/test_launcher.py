#!/usr/bin/env python3
"""The launcher: which folders it takes, what it says when it does not, and how it ends."""

import re

from harness import *


def refused(folder, *more):
    """Runs pfxd on a folder that it must refuse; returns what it says."""
    done = run(BUILD / "pfxd", "--dev", folder, *more, ok=False, timeout=60)
    assert done.returncode == 1 and not done.stdout, done
    return done.stderr.decode()


def start(service, *more):
    """Starts a service that was stopped, with further options."""
    log = open(service.log_path, "ab")
    service.process = subprocess.Popen([BUILD / "pfxd", "--dev", service.dir, "--base-port", str(service.base), *more],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
    log.close()
    Service.running.append(service)
    assert service.process.stdout.readline(), service.log()[-2000:]


def remove_database(service):
    for path in service.dir.glob("pfxd.db*"):
        path.unlink()


@test
def an_ordinary_end_says_so_and_looks_like_no_crash(folder):
    service = Service(folder)
    service.import_pfx("ann", Identity(folder, "ann", key="P-256").pfx(), "secret").expect(201)
    assert "opener-pfx" in service.rooms()
    assert service.stop() == 0
    assert "killed by" not in service.log() and service.log().rstrip().endswith("pfxd: 1001 ended"), service.log()


@test
def a_database_that_is_gone_is_not_replaced_without_a_word(folder):
    service = Service(folder)
    service.import_pfx("ann", Identity(folder, "ann", key="P-256").pfx(), "secret").expect(201)
    service.stop()
    database = (service.dir / "pfxd.db").read_bytes()
    assert "start without --empty" in refused(service.dir, "--empty")
    remove_database(service)
    said = refused(service.dir)
    assert "pfxd.db is gone" in said and "--empty" in said, said
    assert not (service.dir / "pfxd.db").exists()
    (service.dir / "pfxd.db").write_bytes(database)
    (service.dir / "pfxd.db").chmod(0o600)
    service.start()
    assert service.admin("GET", "/v1/users/ann/certificates").expect(200).json["certificates"]
    service.stop()
    remove_database(service)
    start(service, "--empty")
    service.admin("GET", "/v1/users/ann/certificates").expect(404)


@test
def an_empty_database_is_not_begun_with_a_keyring_that_has_no_first_token(folder):
    service = Service(folder)
    service.stop()
    remove_database(service)
    keyring = service.dir / "keyring"
    keyring.write_text(re.sub(r"(?m)^first-token .*\n", "", keyring.read_text()))
    said = refused(service.dir, "--empty")
    assert "the keyring has no first-token to begin one with" in said and "pfxctl restore" in said, said


@test
def a_wrong_path_of_the_database_is_told(folder):
    service = Service(folder)
    service.stop()
    path = service.dir / "pfxd.conf"
    path.write_text(path.read_text().replace("database = pfxd.db", "database: elsewhere.db ; moved"))
    said = refused(service.dir)
    assert "elsewhere.db is gone: " in said and "[paths] database" in said, said
    (service.dir / "pfxd.db").rename(service.dir / "elsewhere.db")
    service.start()
    assert not (service.dir / "pfxd.db").exists()


@test
def a_first_start_that_was_killed_before_there_was_a_database_is_made_good(folder):
    service = Service(folder)
    service.stop()
    remove_database(service)
    (service.dir / "begun").unlink()
    service.start()
    assert (service.dir / "begun").exists()


def reaches(host, port):
    try:
        socket.create_connection((host, port), 5).close()
        return True
    except ConnectionRefusedError:
        return False


@test
def it_listens_at_the_loopback_address_unless_told_otherwise_and_health_stays_there(folder):
    service = Service(folder)
    assert [reaches("127.0.0.1", service.base + i) for i in range(3)] == [True] * 3
    assert [reaches("127.0.0.2", service.base + i) for i in range(3)] == [False] * 3
    service.stop()
    start(service, "--listen", "0.0.0.0")
    assert [reaches("127.0.0.2", service.base + i) for i in range(3)] == [True, True, False]
    service.stop()
    start(service, "--listen", "127.0.0.2")
    assert [reaches("127.0.0.1", service.base + i) for i in range(3)] == [False, False, True]


@test
def it_listens_at_an_ipv6_address(folder):
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError:
        raise Skip("there is no IPv6 here")
    service = Service(folder, start=False)
    start(service, "--listen", "::1")
    assert not reaches("127.0.0.1", service.base)
    context = service.context()
    with context.wrap_socket(socket.create_connection(("::1", service.base + 1), 60), server_hostname="::1") as tls:
        tls.sendall(b"GET /v1/users HTTP/1.1\r\nHost: localhost\r\n"
                    b"Authorization: Bearer %s\r\n\r\n" % service.token.encode())
        assert read_answer(tls).expect(200).json["users"] == []


@test
def an_address_that_is_none_or_of_nobody_here_is_refused(folder):
    for word in ("", "localhost", "0.0.0.0:8443", "1.2.3", "256.0.0.1", "[::]"):
        done = run(BUILD / "pfxd", "--dev", folder / "d", "--listen", word, ok=False)
        assert done.returncode == 2 and b"--listen must be" in done.stderr, (word, done)
        assert not (folder / "d").exists()
    assert "can not listen on 192.0.2.1 port" in refused(folder / "d", "--listen", "192.0.2.1")


@test
def a_keyring_that_is_elsewhere_is_used_there_and_never_made(folder):
    service = Service(folder, start=False)
    run(BUILD / "pfxctl", "dev-init", folder)
    keyring = folder / "keyring"
    service.dir.mkdir(mode=0o700)
    (service.dir / "pfxd.conf").write_text(
        f"[paths]\ndatabase = pfxd.db\nkeyring={keyring}\nruntime = run\n"
        "tls_certificate = ../tls/server.pem\ntls_key = ../tls/server.key\n"
        "[keeper]\ndevice_front_user =\nadmin_front_user =\n")
    keyring.rename(folder / "away")
    said = refused(service.dir)
    assert f"the keyring is not where pfxd.conf says, {keyring}" in said and "pfxctl dev-init" in said, said
    assert not (service.dir / "keyring").exists() and not (service.dir / "begun").exists()
    (folder / "away").rename(keyring)
    service.start()
    for name in ("ca.pem", "admin.token"):
        shutil.copy(folder / name, service.dir / name)
    service.import_pfx("ann", Identity(folder, "ann", key="P-256").pfx(), "secret").expect(201)
    assert not (service.dir / "keyring").exists()
    service.stop()
    # A secret that was not mounted is no new beginning: the note that there was a database stays.
    keyring.rename(folder / "away")
    assert "holds a database but no keyring" in refused(service.dir)
    database = (service.dir / "pfxd.db").rename(folder / "pfxd.db")
    assert "the keyring is not where" in refused(service.dir)
    (folder / "away").rename(keyring)
    assert "pfxd.db is gone" in refused(service.dir)
    database.rename(service.dir / "pfxd.db")
    service.start()
    assert service.admin("GET", "/v1/users/ann/certificates").expect(200).json["certificates"]


@test
def a_folder_in_which_everybody_may_write_is_refused(folder):
    everybodys = folder / "everybodys"
    everybodys.mkdir()
    for mode in (0o777, 0o1777, 0o702):
        everybodys.chmod(mode)
        assert "chmod o-w" in refused(everybodys)
    assert not list(everybodys.iterdir())


@test
def a_folder_of_other_things_or_of_others_is_taken_with_a_warning(folder):
    service = Service(folder, start=False)
    service.dir.mkdir(mode=0o700)
    (service.dir / "letter.txt").write_text("Dear Ann")
    service.dir.chmod(0o770)
    service.start()
    assert "letter.txt" in service.log() and "others may write" in service.log()
    assert (service.dir / "letter.txt").read_text() == "Dear Ann"


@test
def a_folder_of_somebody_else_is_refused_to_who_is_not_root(folder):
    if os.getuid() != 0:
        raise Skip("only root can give a folder away")
    folder.chmod(0o755)
    foreign = folder / "foreign"
    foreign.mkdir(mode=0o755)
    done = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BUILD / "pfxd", "--dev", foreign, ok=False)
    if b"ermission" in done.stderr and b"belongs" not in done.stderr:
        raise Skip("nobody can not reach the programs here")
    assert done.returncode == 1 and b"belongs to another user (0)" in done.stderr, done
    assert not list(foreign.iterdir())


@test
def who_comes_second_learns_which_process_is_there(folder):
    service = Service(folder)
    assert f"(process {service.process.pid})" in refused(service.dir)


@test
def a_command_line_that_is_wrong_ends_with_2_and_help_names_the_statuses(folder):
    for arguments in ((), ("--dev", ""), ("--dev", folder, "more"), ("--nonsense",), ("--base-port", "0")):
        done = run(BUILD / "pfxd", *arguments, ok=False)
        assert done.returncode == 2 and done.stderr and not done.stdout, done
    for program in ("pfxd", "pfxd-front", "pfxd-keeper", "pfxd-opener"):
        short, long = (run(BUILD / program, option).stdout.decode() for option in ("-h", "--help"))
        assert short == long and "usage: " + program in short, short
    assert "--role ROLE" in run(BUILD / "pfxd-front", "--help").stdout.decode()
    text = run(BUILD / "pfxd", "--help").stdout.decode()
    assert "with 0" in text and "with 1" in text and "with 2" in text


@test
def an_opener_that_is_told_nonsense_or_has_no_connection_ends(folder):
    for arguments in ((), ("--kind", "mail"), ("--kind", "pfx", "more"), ("--nonsense",),
                      *(("--kind", "pfx", "--cpu-seconds", n) for n in ("0", "61", "-1", "many", ""))):
        done = run(BUILD / "pfxd-opener", *arguments, ok=False)
        assert done.returncode == 2 and b"usage: pfxd-opener" in done.stderr and not done.stdout, (arguments, done)
    version = run(BUILD / "pfxd-opener", "--version").stdout
    assert version == run(BUILD / "pfxd-opener", "--version", "--kind", "none").stdout and b"pfxd-opener " in version
    done = run(BUILD / "pfxd-opener", "--kind", "csr", ok=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 70 and b"no connection was passed" in done.stderr, done


@test
def a_keeper_without_its_sockets_says_who_passes_them(folder):
    service = Service(folder)
    service.stop()
    done = run(BUILD / "pfxd-keeper", "--config", service.dir / "pfxd.conf", ok=False, cwd=service.dir)
    assert done.returncode == 1 and b"sockets named device and admin were not passed" in done.stderr, done


@test
def a_room_without_its_configuration_says_why_and_what_next(folder):
    for path, why in ((folder / "nowhere.conf", "No such file"), (folder, "Is a directory")):
        done = run(BUILD / "pfxd-front", "--role", "device", "--config", path, ok=False)
        said = done.stderr.decode()
        assert done.returncode == 2 and why in said and "--sample" in said and "pfxd --dev" in said, said


@test
def pfxctl_finds_health_in_the_folder(folder):
    service = Service(folder)
    assert f"health = http://127.0.0.1:{service.base + 2}\n" in (service.dir / "pfxctl.conf").read_text()
    run(BUILD / "pfxctl", "health", "--dev", service.dir)


@test
def a_call_that_is_none_is_logged_with_front_method_and_path_but_no_query(folder):
    service = Service(folder)
    service.device("GET", "/v1/users/a%22b?token=verysecret").expect(404)
    service.admin("BREW", "/v1/users?cursor=verysecret").expect(405)
    service.admin("GET", "/" + "x" * 200).expect(404)
    lines = [line for line in service.log().splitlines() if " path=" in line]
    assert lines[0].startswith("pfxd-front (devices): 2001 "), lines
    assert 'method="GET" path="/v1/users/a%22b" status="404"' in lines[0], lines
    assert lines[1].startswith("pfxd-front (administrators): 2001 "), lines
    assert 'method="BREW" path="/v1/users" status="405"' in lines[1], lines
    assert "x" * 70 in lines[2] and "x" * 81 not in lines[2], lines
    assert "verysecret" not in service.log()


@test
def a_file_that_does_not_open_is_told_with_what_to_do(folder):
    service = Service(folder)
    identity = Identity(folder, "ann", key="P-256")
    pfx, pem = identity.pfx(), identity.certificate.read_bytes()
    der = run("openssl", "x509", "-in", identity.certificate, "-outform", "DER").stdout
    cases = (
        (pfx, "wrong", "wrong_password", "does not open this file"),
        (pfx[:-20], "secret", "malformed_pkcs12", "end of this PFX is missing"),
        (pfx + b"more", "secret", "malformed_pkcs12", "this PFX is damaged"),
        (pem, "secret", "malformed_pkcs12", "this is PEM"),
        (b"Bag Attributes\n" + pem, "secret", "malformed_pkcs12", "this is PEM"),
        (der, "secret", "malformed_pkcs12", "not a PFX file"),
        (b"Dear Ann,", "secret", "malformed_pkcs12", "not a PFX file"),
        (b"0", "secret", "malformed_pkcs12", "not a PFX file"),
        (b"0\x84\xff\xff\xff\xff", "secret", "malformed_pkcs12", "not a PFX file"),
    )
    for data, password, code, sentence in cases:
        detail = service.import_pfx("ann", data, password).expect(422, code).json["detail"]
        assert sentence in detail and "(RFC 7292 " in detail, detail


if __name__ == "__main__":
    main()
