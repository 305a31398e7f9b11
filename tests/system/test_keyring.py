#!/usr/bin/env python3
"""pfxctl keyring on a server: what it makes, what it never overwrites, and that nothing is ever half made."""

import hashlib
import re
import stat

from units import *

PASSPHRASE = re.compile(r"[a-km-np-z2-9]{4}(-[a-km-np-z2-9]{4}){6}")


class Made:
    """What one keyring init made, with everything in files."""

    def __init__(self, machine, *more, **options):
        self.machine = machine
        self.export, self.passphrase, self.token = (machine.dir / name for name in ("export", "passphrase", "token"))
        self.arguments = ["keyring", "init", "--export", self.export, "--passphrase-out", self.passphrase,
                          "--token-out", self.token, *more]
        self.done = machine.ctl(*self.arguments, **options)

    def secrets(self):
        """Every key of the keyring, the token, the passphrase."""
        words = [word for line in self.machine.keyring().splitlines()[1:] for word in line.split() if len(word) > 40]
        assert len(words) == 8, words
        return [*words, self.token.read_bytes().strip(), self.passphrase.read_bytes().strip()]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def first_token(keyring):
    return re.search(rb"^first-token ([0-9a-f]{64})$", keyring, re.M)[1].decode()


def opened_by_openssl(export, passphrase, ok=True):
    """As somebody would who has no pfxd. openssl takes the passphrase as an argument only."""
    return run("sh", "-c", 'exec openssl cms -decrypt -inform PEM -in "$1" -pwri_password "$(cat "$2")"', "sh", export,
               passphrase, ok=ok)


def tool(folder, name, script):
    """A program that takes the place of another."""
    path = folder / name
    path.write_text(script)
    path.chmod(0o755)
    return path


# ---- init ----

@test
def init_makes_a_keyring_a_token_and_a_certificate_with_which_the_service_runs(folder):
    machine = Machine(folder)
    made = Made(machine, "--name", "pfx.example.org,192.0.2.7")
    assert made.done.stdout == b"", made.done
    token = made.token.read_text().rstrip("\n")
    assert len(token) == 43 and mode(made.token) == mode(made.passphrase) == mode(machine.credential) == 0o600
    keyring = machine.keyring()
    assert first_token(keyring) == hashlib.sha256(token.encode()).hexdigest()
    keeper = machine.start_keeper()
    verb, fields = keeper.ask("TOKENS", field("r") + field(token), "admin")
    assert verb == verbs()["TOKENS"] and b"first" in fields, fields
    tls = machine.dir / "tls"
    run("openssl", "verify", "-CAfile", tls / "ca.pem", "-purpose", "sslserver", tls / "server.pem")
    for check, name in (("-verify_hostname", "pfx.example.org"), ("-verify_ip", "192.0.2.7"),
                        ("-verify_hostname", "localhost"), ("-verify_ip", "127.0.0.1"), ("-verify_ip", "::1")):
        run("openssl", "verify", "-CAfile", tls / "ca.pem", check, name, tls / "server.pem")
    of_key = run("openssl", "pkey", "-in", tls / "server.key", "-pubout").stdout
    assert of_key == run("openssl", "x509", "-in", tls / "server.pem", "-noout", "-pubkey").stdout
    said = made.done.stderr.decode()
    assert "systemctl start pfxd.target" in said and "systemctl reload" in said and str(made.export) in said, said
    assert sorted(machine.files()) == sorted(
        ["pfxd.conf", "keyring.cred", "export", "passphrase", "token", "tls", "tls/ca.pem", "tls/server.pem",
         "tls/server.key", "machine-id", "systemd", "run", "pfxd.db", "pfxd.db-shm", "pfxd.db-wal"])


@test
def token_and_passphrase_are_shown_once_on_standard_output_and_nowhere_else(folder):
    machine = Machine(folder)
    export = machine.dir / "export"
    done = machine.ctl("keyring", "init", "--export", export)
    shown = re.fullmatch(r"admin token: (\S{43})\nrecovery passphrase: (\S+)\n", done.stdout.decode())
    token, passphrase = shown.groups()
    assert PASSPHRASE.fullmatch(passphrase), passphrase
    keyring = machine.keyring()
    assert first_token(keyring) == hashlib.sha256(token.encode()).hexdigest()
    word = folder / "word"
    word.write_text(passphrase)
    assert opened_by_openssl(export, word).stdout == keyring
    everything = b"".join(content or b"" for content in machine.files().values()) + done.stderr
    for secret in (token, passphrase, passphrase.replace("-", "")):
        assert secret.encode() not in everything
    for line in keyring.splitlines()[1:]:
        assert line.split()[-1] not in everything


@test
def what_is_shown_can_not_be_lost_without_a_word(folder):
    machine = Machine(folder)
    before = machine.files()
    with open("/dev/full", "wb") as full:
        done = subprocess.run(machine.command(BUILD / "pfxctl", "keyring", "init", "--no-export", "--pfxd-conf",
                                              machine.conf), stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 4 and b"can not write the admin token" in done.stderr, done
    assert machine.files() == {**before, "tls": None}


@test
def without_a_word_on_the_export_nothing_is_made(folder):
    machine = Machine(folder)
    before = machine.files()
    said = machine.refused(2, "keyring", "init")
    assert "--export FILE" in said and "--no-export" in said and "dies with it" in said, said
    machine.refused(2, "keyring", "init", "--export", machine.dir / "export", "--no-export")
    machine.refused(2, "keyring", "init", "--no-export", "--passphrase-out", machine.dir / "x")
    machine.refused(2, "keyring", "init", "--no-export", "--with-key", "tpm2")
    assert machine.files() == before
    done = machine.ctl("keyring", "init", "--no-export")
    assert b"when this machine is lost, so is everything" in done.stderr, done
    assert b"passphrase" not in done.stdout and machine.credential.exists()


@test
def who_is_not_root_is_told_so(folder):
    # The test's own user, or nobody.
    uid = os.getuid() or 65534
    for command in (["keyring", "init", "--no-export"], ["keyring", "export", "x"], ["keyring", "import", "x"],
                    ["keyring", "rotate", "--no-export"], ["keyring", "retire"], ["ca", "rotate", "--no-export"],
                    ["ca", "retire"], ["ca", "request", "--out", "x"], ["ca", "install", "/dev/null", "--no-export"],
                    ["clock", "accept"], ["doctor"], ["audit", "verify", "--local"]):
        done = run(BUILD / "pfxctl", *command, ok=False, user=uid, cwd="/")
        assert done.returncode == 4 and b"as root" in done.stderr, done


@test
def a_keyring_that_is_there_is_never_overwritten(folder):
    machine = Machine(folder)
    machine.credential.write_bytes(b"precious")
    plain = folder / "plain"
    plain.write_bytes(b"pfxd-keyring 1\n")
    before = machine.files()
    for command in (["init", "--no-export"], ["init", "--export", machine.dir / "export"], ["import", plain]):
        said = machine.refused(4, "keyring", *command)
        assert "is there already" in said and "never overwritten" in said, said
        assert machine.files() == before


@test
def a_database_without_its_keyring_gets_no_new_one(folder):
    machine = Machine(folder)
    (machine.dir / "pfxd.db").write_bytes(b"data")
    before = machine.files()
    said = machine.refused(4, "keyring", "init", "--no-export")
    assert "keyring import" in said and str(machine.dir / "pfxd.db") in said, said
    assert machine.files() == before


@test
def a_configuration_that_names_another_keyring_is_not_given_a_sealed_one(folder):
    machine = Machine(folder)
    machine.configure("[paths]\nkeyring = plain\n")
    before = machine.files()
    assert "[paths] keyring" in machine.refused(2, "keyring", "init", "--no-export")
    assert machine.files() == before


@test
def a_file_that_is_in_the_way_is_kept_and_nothing_is_made(folder):
    for name in ("export", "passphrase", "token", "tls/ca.pem", "tls/server.pem", "tls/server.key"):
        machine = Machine(folder, name.replace("/", "-"))
        path = machine.dir / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"precious")
        tls = path.parent if path.parent != machine.dir else None
        before = machine.files()
        done = Made(machine, ok=False).done
        assert done.returncode == 4 and str(path) in done.stderr.decode() and done.stdout == b"", (name, done)
        assert machine.files() == ({**before, "tls": None} if not tls and "tls" in machine.files() else before), name


@test
def two_outputs_of_one_name_are_refused_and_nothing_is_made(folder):
    machine = Machine(folder)
    before = machine.files()
    same = machine.dir / "same"
    said = machine.refused(4, "keyring", "init", "--export", same, "--token-out", same)
    assert str(same) in said and "nothing was made" in said, said
    assert machine.files() == {**before, "tls": None}


@test
def a_certificate_that_is_there_stays(folder):
    machine = Machine(folder)
    tls = machine.dir / "tls"
    tls.mkdir()
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
        tls / "server.key", "-out", tls / "server.pem", "-subj", "/CN=own")
    before = machine.files()
    done = machine.ctl("keyring", "init", "--no-export", "--name", "pfx.example.org")
    assert b"--name is not needed" in done.stderr and b"made a TLS certificate" not in done.stderr, done
    after = machine.files()
    assert {name: after[name] for name in before} == before and set(after) == {*before, "keyring.cred"}


@test
def what_is_no_name_of_a_server_is_refused(folder):
    machine = Machine(folder)
    before = machine.files()
    for names in ("", "a b", "a,,b", "-a", "a..b", "a_b", "a/b", "a:b", "DNS:a", "a" * 64 + ".org", "1.2.3.4.5,",
                  "a\nb", "x." * 126 + "toolong", ",".join(f"a{n}" for n in range(14))):
        said = machine.refused(2, "keyring", "init", "--no-export", "--name", names)
        assert "name" in said, (names, said)
        assert machine.files() == before, names
    longest = "a" * 63 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * 61
    assert len(longest) == 253
    machine.ctl("keyring", "init", "--no-export", "--name", f"*.example.org,2001:db8::1,{longest}," +
                ",".join(f"h{n}" for n in range(10)))
    text = run("openssl", "x509", "-in", machine.dir / "tls/server.pem", "-noout", "-ext",
               "subjectAltName").stdout.decode()
    assert longest in text and "*.example.org" in text and "2001:DB8:0:0:0:0:0:1" in text and "h9" in text, text


@test
def a_name_that_is_given_twice_is_once_in_the_certificate(folder):
    machine = Machine(folder)
    done = machine.ctl("keyring", "init", "--no-export", "--name",
                       "localhost,pfx.example.org,PFX.example.org,local,::1")
    text = run("openssl", "x509", "-in", machine.dir / "tls/server.pem", "-noout", "-ext",
               "subjectAltName").stdout.decode()
    assert text.splitlines()[1].split() == ["DNS:localhost,", "DNS:pfx.example.org,", "DNS:local,", "IP",
                                            "Address:0:0:0:0:0:0:0:1,", "IP", "Address:127.0.0.1"], text
    assert b"for localhost,pfx.example.org,local,::1,127.0.0.1, " in done.stderr, done


@test
def the_fronts_group_may_read_the_tls_key_where_there_is_one(folder):
    machine = Machine(folder)
    machine.ctl("keyring", "init", "--no-export")
    tls = machine.dir / "tls"
    if not re.search("^pfxd-tls:", pathlib.Path("/etc/group").read_text(), re.M):
        assert mode(tls / "server.key") == 0o600 and mode(tls) == 0o750
    grouped = Machine(folder, "grouped")
    groups = folder / "group"
    groups.write_text("root:x:0:\npfxd-tls:x:4242:\n")
    grouped.ctl("keyring", "init", "--no-export", binds={"/etc/group": groups})
    tls = grouped.dir / "tls"
    for path, expected in ((tls, 0o750), (tls / "server.key", 0o640), (tls / "server.pem", 0o644)):
        assert mode(path) == expected and path.stat().st_gid == 4242 and path.stat().st_uid == 0, path


# ---- the export ----

@test
def an_export_is_opened_by_openssl_alone_and_by_no_other_passphrase(folder):
    machine = Machine(folder)
    made = Made(machine)
    keyring = machine.keyring()
    assert opened_by_openssl(made.export, made.passphrase).stdout == keyring
    passphrase = made.passphrase.read_text().rstrip("\n")
    assert PASSPHRASE.fullmatch(passphrase), passphrase
    text = made.export.read_text()
    assert "pfxctl keyring import" in text and "openssl cms -decrypt -inform PEM" in text, text
    parsed = run("openssl", "cms", "-cmsout", "-print", "-inform", "PEM", "-in", made.export).stdout.decode()
    assert "authEnvelopedData" in parsed and "aes-256-gcm" in parsed and "pwri" in parsed, parsed
    wrong = folder / "wrong"
    for other in ("", passphrase[:-1], passphrase[:-1] + ("a" if passphrase[-1] != "a" else "b"), passphrase.upper()):
        wrong.write_text(other)
        done = opened_by_openssl(made.export, wrong, ok=False)
        assert done.returncode != 0 and b"wrap" not in done.stdout, other


@test
def every_export_has_a_passphrase_of_its_own(folder):
    machine = Machine(folder)
    made = Made(machine)
    seen = {made.passphrase.read_text()}
    for n in range(3):
        copy = machine.dir / f"copy{n}"
        done = machine.ctl("keyring", "export", copy)
        passphrase = re.fullmatch(r"recovery passphrase: (\S+)\n", done.stdout.decode())[1]
        assert PASSPHRASE.fullmatch(passphrase) and passphrase not in seen
        seen.add(passphrase)
        word = folder / "word"
        word.write_text(passphrase)
        assert mode(copy) == 0o600 and opened_by_openssl(copy, word).stdout == machine.keyring()
    # The first one is as good as it was.
    assert opened_by_openssl(made.export, made.passphrase).stdout == machine.keyring()
    before = machine.files()
    assert "is there already" in machine.refused(4, "keyring", "export", made.export)
    assert "is there already" in machine.refused(4, "keyring", "export", machine.dir / "new", "--passphrase-out",
                                                 made.token)
    assert "is a folder: name a file in it" in machine.refused(4, "keyring", "export", folder)
    assert machine.files() == before
    machine.credential.unlink()
    assert "keyring init makes one" in machine.refused(4, "keyring", "export", machine.dir / "new")
    assert "keyring.cred" in machine.refused(4, "keyring", "export", machine.dir / "new")


# ---- import ----

@test
def an_export_is_the_keyring_on_another_machine_and_the_sealed_file_is_not(folder):
    old = Machine(folder, "old")
    made = Made(old)
    token = made.token.read_text().rstrip("\n")
    keeper = old.start_keeper()
    keeper.ask("ADD_ENROLMENT", field("r") + field(token) + field("ann@example.org") + field("phone") + field("") +
               u32(60), "admin")
    keeper.stop()
    new = Machine(folder, "new")
    shutil.copy(old.dir / "pfxd.db", new.dir)
    shutil.copy(old.credential, new.credential)
    assert "systemd-creds" in new.refused(4, "keyring", "export", new.dir / "copy")
    new.credential.unlink()
    done = new.ctl("keyring", "import", made.export, "--passphrase-file", made.passphrase, "--name", "pfx.example.org")
    assert new.keyring() == old.keyring() and mode(new.credential) == 0o600
    assert new.credential.read_bytes() != old.credential.read_bytes()
    assert (new.dir / "tls/server.key").exists() and b"pfx.example.org" in done.stderr, done
    keeper = new.start_keeper()
    verb, fields = keeper.ask("USERS", field("r") + field(token) + field("") + u32(10) + field(""), "admin")
    assert verb == verbs()["USERS"] and b"ann@example.org" in fields, fields


@test
def a_passphrase_comes_from_a_file_a_descriptor_or_the_terminal_however_it_was_typed(folder):
    made = Made(Machine(folder))
    keyring, passphrase = made.machine.keyring(), made.passphrase.read_text().rstrip("\n")
    machine = Machine(folder, "new")

    def imported(*arguments, **options):
        machine.ctl("keyring", "import", made.export, *arguments, **options)
        assert machine.keyring() == keyring
        machine.credential.unlink()
    for typed in (passphrase, passphrase.upper(), passphrase.replace("-", ""), passphrase.replace("-", " "),
                  "  " + passphrase + " \r"):
        imported("--passphrase-file", "-", input=typed.encode() + b"\nnext line")
    read, write = os.pipe()
    os.write(write, passphrase.encode())
    os.close(write)
    imported("--passphrase-fd", read, pass_fds=[read])
    status, output = ask_on_terminal(
        [shutil.which("unshare"), *machine.command(BUILD / "pfxctl", "keyring", "import", made.export, "--pfxd-conf",
                                                   machine.conf)[1:]], [passphrase.encode() + b"\n"])
    assert status == 0 and "Recovery passphrase" in output and passphrase not in output, output
    assert machine.keyring() == keyring
    machine.credential.unlink()
    said = machine.refused(2, "keyring", "import", made.export, start_new_session=True)
    assert "--passphrase-file" in said, said
    machine.refused(2, "keyring", "import", made.export, "--passphrase-file", "-", "--passphrase-fd", "0", input=b"x")


@test
def what_is_no_export_or_has_another_passphrase_is_refused_with_a_sentence(folder):
    made = Made(Machine(folder))
    machine = Machine(folder, "new")
    before = machine.files()
    export = made.export.read_bytes()
    passphrase = made.passphrase.read_bytes()
    word = folder / "word"
    third = Made(Machine(folder, "third")).passphrase.read_bytes()
    for other in (b"", b"x", passphrase.strip()[:-1] + b"?", passphrase[1:], third):
        word.write_bytes(other)
        said = machine.refused(1, "keyring", "import", made.export, "--passphrase-file", word)
        assert "this passphrase does not open the export" in said, (other, said)
        assert machine.files() == before
    body = export.index(b"-----BEGIN")
    damaged = folder / "damaged"
    # Wherever it is cut or changed, it opens no more.
    for at in range(body + 30, len(export) - 30, (len(export) - body) // 12):
        for changed in (export[:at], export[:at] + (b"A" if export[at:at + 1] != b"A" else b"B") + export[at + 1:]):
            damaged.write_bytes(changed)
            done = machine.ctl("keyring", "import", damaged, "--passphrase-file", made.passphrase, ok=False)
            assert done.returncode in (1, 4) and (b"export" in done.stderr), (at, done)
            assert machine.files() == before
    for content in (b"", b"text", b"-----BEGIN CMS-----\n-----END CMS-----\n", b"pfxd-keyring 1\n", b"pfxd-keyring 2\n",
                    b"x" * (256 * 1024 + 1)):
        damaged.write_bytes(content)
        said = machine.refused(4, "keyring", "import", damaged, "--passphrase-file", made.passphrase)
        assert str(damaged) in said or "this is no export" in said, (content[:20], said)
    # Something else that opens.
    text = run("openssl", "cms", "-encrypt", "-aes-256-cbc", "-pwri_password", "word", "-outform", "PEM",
               input=b"no keyring")
    damaged.write_bytes(text.stdout)
    word.write_text("word\n")
    assert "holds no keyring" in machine.refused(4, "keyring", "import", damaged, "--passphrase-file", word)
    assert "can not open" in machine.refused(4, "keyring", "import", folder / "none", "--passphrase-file", word)
    assert machine.files() == before


@test
def a_keyring_of_pfxd_dev_moves_to_a_server(folder):
    dev = folder / "dev"
    run(BUILD / "pfxctl", "dev-init", dev)
    machine = Machine(folder)
    machine.ctl("keyring", "import", dev / "keyring")
    assert machine.keyring() == (dev / "keyring").read_bytes()


# ---- what seals it ----

@test
def when_systemd_creds_fails_nothing_is_made_and_its_words_are_told(folder):
    machine = Machine(folder)
    real = folder / "real"
    shutil.copy("/usr/bin/systemd-creds", real)
    before = machine.files()
    tools = {
        "it can not be run": ("", "Permission denied"),
        "it says no": ("cat > /dev/null\necho first >&2; echo 'no luck' >&2; exit 1", "no luck"),
        "it says nothing": ("exit 3", "status 3"), "it dies": ("kill -9 $$", "status 137"),
        "it writes nothing": ("exit 0", ""), "it writes nonsense": ("cat > /dev/null; echo nonsense", ""),
        "it does not read": ("exec <&-; echo nonsense", ""),
        "it writes without end": ("exec cat /dev/zero", "more than was expected"),
        "it opens something else": (f'[ "$1" = encrypt ] && exec {real} "$@"\necho other', "something else"),
        "it can not open": (f'[ "$1" = encrypt ] && exec {real} "$@"\necho "no TPM" >&2; exit 1', "no TPM"),
    }
    for what, (script, said) in tools.items():
        fake = tool(folder, "fake", "#!/bin/sh\n" + script + "\n")
        if not script:
            fake.chmod(0o644)
        done = Made(machine, ok=False, binds={"/usr/bin/systemd-creds": fake}).done
        assert done.returncode == 4 and b"systemd-creds" in done.stderr and said.encode() in done.stderr, (what, done)
        assert done.stdout == b"" and machine.files() == before, what
    Made(machine)


@test
def without_systemd_creds_it_says_what_to_install(folder):
    machine = Machine(folder)
    before = machine.files()
    # A whiteout over it, as in overlayfs.
    hide = f"""
    cd {machine.dir}/run && mount -t tmpfs none . && cd . && mkdir up work && mknod up/systemd-creds c 0 0 &&
    mount -t overlay -o lowerdir=/usr/bin,upperdir=up,workdir=work none /usr/bin || exit 125
    cd /
    """
    done = machine.ctl("keyring", "init", "--no-export", before=hide, ok=False)
    if done.returncode == 125:
        raise Skip("this root may not mount an overlay")
    assert done.returncode == 4 and b"there is no /usr/bin/systemd-creds" in done.stderr, done
    assert b"install systemd" in done.stderr, done
    assert machine.files() == before


SPY = """#!/usr/bin/python3 -I
import os, sys
fds = []
for name in os.listdir("/proc/self/fd"):
    try:
        fds.append(name + " " + os.readlink("/proc/self/fd/" + name))
    except OSError:
        pass
with open("{log}", "ab") as log:
    log.write(open("/proc/self/cmdline", "rb").read() + b"\\n" + open("/proc/self/environ", "rb").read() + b"\\n")
    log.write("\\n".join(fds).encode() + b"\\n\\n")
os.execv("{real}", ["systemd-creds", *sys.argv[1:]])
"""


@test
def systemd_creds_gets_secrets_by_a_pipe_alone_and_nothing_of_our_environment(folder):
    machine = Machine(folder)
    real, log = folder / "real", folder / "log"
    shutil.copy("/usr/bin/systemd-creds", real)
    spy = {"/usr/bin/systemd-creds": tool(folder, "spy", SPY.format(log=log, real=real))}
    with open("/dev/null") as null:
        made = Made(machine, binds=spy, pass_fds=[null.fileno()], env={**os.environ, "SYSTEMD_CREDENTIAL_SECRET": "/x"})
        new = Machine(folder, "new")
        new.ctl("keyring", "import", made.export, "--passphrase-file", made.passphrase, binds=spy)
        new.ctl("keyring", "export", new.dir / "copy", binds=spy)
    seen = log.read_bytes()
    calls = seen.strip().split(b"\n\n")
    assert len(calls) == 5, seen
    for call in calls:
        cmdline, environment, *fds = call.split(b"\n")
        assert b"systemd-creds" in cmdline or b"spy" in cmdline
        variables = {v.split(b"=")[0] for v in environment.split(b"\0") if v}
        assert variables <= {b"PATH", b"LC_ALL", b"LC_CTYPE"}, variables  # the last one is Python's own
        assert {f.split(b" ")[0] for f in fds if b"/proc/" not in f and b"spy" not in f} == {b"0", b"1", b"2"}, fds
        assert all(b"pipe:" in f for f in fds if f[:2] in (b"0 ", b"1 ", b"2 ")), fds
    assert b"--with-key=host\0" in seen and b"--tpm2-pcrs=\0" in seen
    for secret in made.secrets():
        assert secret not in seen


@test
def no_program_that_it_starts_is_given_a_secret_as_an_argument(folder):
    if not shutil.which("strace"):
        raise Skip("there is no strace")
    trace = folder / "trace"
    attempt = Attempt(folder, "traced")
    attempt.machine.inside("strace", "-f", "-v", "-s", "100000", "-e", "trace=execve", "-o", trace, BUILD / "pfxctl",
                           *attempt.arguments, "--pfxd-conf", attempt.machine.conf)
    seen = trace.read_bytes()
    assert seen.count(b"/usr/bin/systemd-creds") == 2, seen
    for secret in attempt.secrets():
        assert secret not in seen


@test
def where_there_is_a_tpm_it_seals_to_it_and_to_no_pcr(folder):
    machine = Machine(folder)
    log = folder / "log"
    # It has no TPM, so what is asked for is written down, and the host's key taken.
    real = folder / "real"
    shutil.copy("/usr/bin/systemd-creds", real)
    fake = tool(folder, "fake", f'#!/bin/sh\necho "$@" >> {log}\n[ "$1" = decrypt ] && exec {real} "$@"\n'
                f"exec {real} encrypt --name=keyring --with-key=host - -\n")
    devices = f"""
    mkdir -p {folder}/dev && mount -t tmpfs none {folder}/dev || exit 125
    for name in null zero random urandom; do
        touch {folder}/dev/$name && mount --bind /dev/$name {folder}/dev/$name || exit 125
    done
    touch {folder}/dev/tpmrm0 && mount --rbind {folder}/dev /dev || exit 125
    """
    done = machine.ctl("keyring", "init", "--no-export", before=devices, binds={"/usr/bin/systemd-creds": fake})
    assert b"and its TPM" in done.stderr, done
    lines = log.read_text().splitlines()
    assert lines[0].split() == ["encrypt", "--name=keyring", "--with-key=host+tpm2", "--tpm2-pcrs=", "-", "-"], lines
    machine.credential.unlink()
    machine.ctl("keyring", "init", "--no-export", "--with-key", "host", before=devices,
                binds={"/usr/bin/systemd-creds": fake})
    assert "--with-key=host " in log.read_text().splitlines()[2], log.read_text()


# ---- shares ----

def split(machine, folder, how="3/5"):
    machine.ctl("keyring", "export", "--shares", how, folder)
    return sorted(folder.glob("share-*")), folder / "keyring.export"


def import_refused(machine, status, *arguments):
    said = machine.refused(status, "keyring", "import", *arguments)
    assert not machine.credential.exists()
    return said


@test
def enough_shares_of_the_passphrase_bring_the_keyring_to_another_machine(folder):
    machine, other = Machine(folder), Machine(folder, "other")
    Made(machine)
    shares, export = split(machine, folder / "safe")
    assert [p.name for p in shares] == [f"share-{n}-of-5" for n in range(1, 6)]
    assert {mode(p) for p in [*shares, export]} == {0o600} and mode(folder / "safe") == 0o700
    text = shares[1].read_text()
    assert text.startswith("Share 2 of 5 of the recovery passphrase") and "Any 3 of the 5" in text, text
    assert re.search(r"^[a-km-np-z2-9]{4}(-[a-km-np-z2-9]{4}){11}$", text, re.M), text
    other.ctl("keyring", "import", export, shares[4], shares[0], shares[2])
    assert other.keyring() == machine.keyring()
    assert [p.name for p in (folder / "safe").iterdir() if p.name not in [s.name for s in shares]] == ["keyring.export"]


@test
def what_is_wrong_with_shares_is_said_and_makes_no_keyring(folder):
    machine, other = Machine(folder), Machine(folder, "other")
    Made(machine)
    shares, export = split(machine, folder / "safe")
    foreign, foreign_export = split(machine, folder / "second")
    assert "3 of these shares restore the passphrase, and here are 2" in import_refused(other, 1, export, *shares[:2])
    said = import_refused(other, 1, export, shares[0], foreign[1], shares[2])
    assert "share-1-of-5 and" in said and "different passphrases" in said, said
    assert "not the one of" in import_refused(other, 1, foreign_export, *shares[:3])
    assert "one and the same share, number 2" in import_refused(other, 1, export, shares[0], shares[1], shares[1])
    damaged = folder / "damaged"
    line = re.search(r"^(\S{4}-)+\S{4}$", shares[0].read_text(), re.M)[0]
    damaged.write_text(("b" if line[0] == "a" else "a") + line[1:])
    assert "damaged is damaged" in import_refused(other, 1, export, damaged, *shares[1:3])
    damaged.write_text(line[:-5])
    assert "holds no share" in import_refused(other, 1, export, damaged, *shares[1:3])
    import_refused(other, 4, export, folder / "nowhere", *shares[1:3])
    word = folder / "word"
    word.write_text("x")
    import_refused(other, 2, export, *shares[:3], "--passphrase-file", word)
    # Typed from paper, with capitals and blanks.
    damaged.write_text(line.upper().replace("-", "  ") + "\n")
    other.ctl("keyring", "import", export, damaged, *shares[1:3])


@test
def how_a_passphrase_is_split_is_bounded_and_nothing_is_replaced(folder):
    machine = Machine(folder)
    Made(machine)
    for how in ("1/5", "6/5", "2/17", "0/0", "3", "3/", "/5", "3/5x", "-2/5", "a/b"):
        assert "--shares takes K/N" in machine.refused(2, "keyring", "export", "--shares", how, folder / "safe"), how
    machine.refused(2, "keyring", "export", "--shares", "2/3", "--passphrase-out", folder / "word", folder / "safe")
    assert not (folder / "safe").exists()
    split(machine, folder / "least", "2/2")
    assert len(split(machine, folder / "most", "16/16")[0]) == 16
    (folder / "there").mkdir()
    (folder / "there" / "share-2-of-3").write_text("somebody's")
    assert "is there already" in machine.refused(4, "keyring", "export", "--shares", "2/3", folder / "there")
    assert [p.name for p in (folder / "there").iterdir()] == ["share-2-of-3"]


# ---- changed while the service runs ----

class Running:
    """A machine whose keeper runs, with a systemctl that has it started again."""

    def __init__(self, folder):
        self.machine = Machine(folder)
        Made(self.machine)
        self.keeper = self.machine.start_keeper()
        self.asked, self.log = folder / "asked", folder / "systemctl.log"
        self.run = folder / "run"
        (self.run / "systemd/system").mkdir(parents=True)
        self.binds = {"/usr/bin/systemctl": tool(folder, "systemctl", f"""#!/bin/sh
echo "$@" >> {self.log}; touch {self.asked}
while [ -e {self.asked} ]; do sleep 0.05; done
"""), "/run": self.run}

    def ctl(self, *arguments, **options):
        process = subprocess.Popen(self.machine.command(BUILD / "pfxctl", *arguments, "--pfxd-conf", self.machine.conf,
                                                        binds=self.binds), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None:
            if self.asked.exists():
                self.restart()
                self.asked.unlink()
            time.sleep(0.02)
        out, said = process.communicate()
        assert process.returncode == 0, (arguments, said)
        return out.decode(), said.decode()

    def restart(self):
        self.keeper.stop_keeper()
        (self.machine.dir.parent / "machine-credentials/keyring").write_bytes(self.machine.keyring())
        self.keeper.start()


@test
def a_sealed_keyring_is_rotated_with_one_command(folder):
    world = Running(folder)
    machine = world.machine
    before, sealed = machine.keyring(), machine.credential.read_bytes()
    export = machine.dir / "second.export"
    out, said = world.ctl("keyring", "rotate", "--export", export)
    passphrase = re.fullmatch(r"recovery passphrase: (\S+)\n", out)[1]
    assert world.log.read_text() == "restart pfxd-keeper.service\n"
    assert "rewrapped 0 of 0" in said and "keyring retire" in said, said
    after = machine.keyring()
    lines = after.splitlines()
    assert lines[0] == before.splitlines()[0] and lines[2:] == before.splitlines()[1:] and lines[1].startswith(b"wrap ")
    assert mode(machine.credential) == 0o600 and machine.credential.read_bytes() != sealed
    assert not list(machine.dir.glob("keyring.cred?*")), "something was left beside the keyring"
    word = folder / "word"
    word.write_text(passphrase)
    assert opened_by_openssl(export, word).stdout == after
    world.ctl("keyring", "retire")
    assert machine.keyring() == b"\n".join([*lines[:2], *lines[3:]]) + b"\n"
    said = world.ctl("ca", "rotate", "--no-export")[1]
    assert "new enrolment CA" in said and machine.keyring().count(b"\nca ") == 2, said
    world.ctl("ca", "retire")
    assert machine.keyring().count(b"\nca ") == 1
    assert world.log.read_text() == "restart pfxd-keeper.service\n" * 4
    everything = b"".join(content or b"" for path, content in machine.files().items() if "export" not in path)
    for line in after.splitlines()[1:]:
        assert line.split()[-1] not in everything


@test
def a_keeper_that_does_not_come_back_leaves_the_old_keyring_beside_the_new(folder):
    world = Running(folder)
    before = world.machine.keyring()
    world.binds["/usr/bin/systemctl"] = tool(folder, "broken", "#!/bin/sh\necho it hurts >&2; exit 1\n")
    done = world.machine.ctl("keyring", "rotate", "--no-export", binds=world.binds, ok=False)
    assert done.returncode == 4 and b"it hurts" in done.stderr and b"keyring.cred.before is the old one" in done.stderr, done
    old = world.machine.dir / "keyring.cred.before"
    assert world.machine.keyring(old) == before and world.machine.keyring().count(b"\nwrap ") == 2
    world.restart()
    said = world.machine.ctl("keyring", "rotate", "--no-export", binds=world.binds).stderr.decode()
    assert "under way" in said and not old.exists(), said


# ---- cut short ----

PLACED = ("export", "passphrase", "token", "ca.pem", "server.pem", "server.key", "keyring.cred")

STEPS = ("mkdir", "chmod", "fchmod", "fchown", "write", "fsync", "linkat", "renameat2", "unlink")


def count_steps(trace):
    """How often each call that changes a file stands in a trace; of openat those that make one. A build that counts the
    lines that ran writes them down at its end: that is no step of what it does."""
    trace = re.split(r'^openat\(.*\.gcda"', trace, maxsplit=1, flags=re.M)[0]
    counts = {name: len(re.findall(rf"^{name}\(", trace, re.M)) for name in STEPS}
    opened = re.findall(r"^openat\((.*)$", trace, re.M)
    made = [n for n, call in enumerate(opened, 1) if "O_CREAT" in call or "O_TMPFILE" in call]
    return [(name, n) for name in STEPS for n in range(1, counts[name] + 1)] + [("openat", n) for n in made]


def cut_at(machine, made, name, n, fault):
    """keyring init under strace, which does what fault says at the n-th call of that name."""
    return machine.inside("strace", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:{fault}:when={n}",
                          BUILD / "pfxctl", *made.arguments, "--pfxd-conf", machine.conf, ok=False)


class Attempt(Made):
    """A machine on which keyring init is still to be run."""

    def __init__(self, folder, name):
        machine = Machine(folder, name)
        (machine.dir / "tls").mkdir(mode=0o750)
        self.machine = machine
        self.export, self.passphrase, self.token = (machine.dir / n for n in ("export", "passphrase", "token"))
        self.arguments = ["keyring", "init", "--export", self.export, "--passphrase-out", self.passphrase,
                          "--token-out", self.token]

    def check_whole(self):
        keyring = self.machine.keyring()
        assert first_token(keyring) == hashlib.sha256(self.token.read_bytes().strip()).hexdigest()
        assert opened_by_openssl(self.export, self.passphrase).stdout == keyring
        tls = self.machine.dir / "tls"
        run("openssl", "verify", "-CAfile", tls / "ca.pem", tls / "server.pem")
        assert run("openssl", "pkey", "-in", tls / "server.key", "-pubout").stdout == \
            run("openssl", "x509", "-in", tls / "server.pem", "-noout", "-pubkey").stdout


def all_steps(folder):
    if not shutil.which("strace"):
        raise Skip("there is no strace")
    attempt, trace = Attempt(folder, "traced"), folder / "trace"
    attempt.machine.inside("strace", "-o", trace, BUILD / "pfxctl", *attempt.arguments, "--pfxd-conf",
                           attempt.machine.conf)
    attempt.check_whole()
    steps = count_steps(trace.read_text())
    assert {name for name, _ in steps} >= {"write", "fsync", "openat"} and len(steps) > 25, steps
    return steps


def temporary_files(machine):
    return [path for path in machine.files() if re.search(r"\.\w{6}$", path)]


def need_files_without_a_name(folder):
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY))
    except OSError as error:
        raise Skip(f"the file system of {folder} has no files without a name: {error}") from error


@test
def an_init_that_was_killed_at_any_step_has_made_no_keyring_or_a_whole_one(folder):
    need_files_without_a_name(folder)
    tried = set()
    for name, n in all_steps(folder):
        attempt = Attempt(folder, f"{name}-{n}")
        machine = attempt.machine
        done = cut_at(machine, attempt, name, n, "signal=KILL")
        assert done.returncode in (137, -9), (name, n, done)
        assert not temporary_files(machine), (name, n, "left behind")
        if machine.credential.exists():
            attempt.check_whole()
            continue
        placed = frozenset(p.name for p in machine.dir.rglob("*"))
        if placed in tried:
            continue
        tried.add(placed)
        # What found its place before stays there until somebody moves it away; nothing else is in the way.
        for _ in range(7):
            done = machine.ctl(*attempt.arguments, ok=False)
            if done.returncode == 0:
                break
            said = done.stderr.decode()
            leftover = re.search(rf"({re.escape(str(machine.dir))}/\S+) is there", said)
            assert leftover, (name, n, said)
            pathlib.Path(leftover[1]).unlink()
        attempt.check_whole()
        shutil.rmtree(machine.dir)


@test
def an_init_that_fails_at_any_step_takes_back_what_it_had_begun(folder):
    for name, n in all_steps(folder):
        attempt = Attempt(folder, f"{name}-{n}")
        machine = attempt.machine
        before = machine.files()
        done = cut_at(machine, attempt, name, n, "error=EIO")
        after = machine.files()
        if machine.credential.exists():
            attempt.check_whole()  # it was the last step, or one that does not matter
        else:
            assert done.returncode == 4 and done.stderr, (name, n, done)
            assert after == before, (name, n, set(after) - set(before), done)
        assert (done.returncode == 0) == machine.credential.exists(), (name, n, done)
        shutil.rmtree(machine.dir)


@test
def where_files_need_a_name_init_makes_the_same_and_cleans_up(folder):
    """As on a stick: no file system of a machine has to know O_TMPFILE or RENAME_NOREPLACE."""
    if not shutil.which("strace"):
        raise Skip("there is no strace")
    for name, faults in (("done", []), ("failed", ["-e", "inject=fsync:error=EIO:when=3"])):
        attempt = Attempt(folder, name)
        before = attempt.machine.files()
        # /proc is where a file without a name would get its name; without it there is none.
        hide = "mount -t tmpfs none /proc || exit 125\n"
        done = attempt.machine.inside("strace", "-o", "/dev/null", "-e", "trace=fsync,renameat2", "-e",
                                      "inject=renameat2:error=EINVAL", *faults, BUILD / "pfxctl", *attempt.arguments,
                                      "--pfxd-conf", attempt.machine.conf, ok=False, before=hide)
        assert done.returncode == (4 if faults else 0), done
        if faults:
            assert attempt.machine.files() == before
        else:
            attempt.check_whole()
            assert not temporary_files(attempt.machine)


@test
def on_a_disk_that_fills_up_all_is_made_or_nothing(folder):
    machine = Machine(folder)
    made = Made(machine)
    results = set()
    for command in (["init", "--export", "export", "--passphrase-out", "passphrase", "--token-out", "token"],
                    ["export", "copy", "--passphrase-out", "passphrase"]):
        for pages in range(3, 16):
            script = f"""
            mount -t tmpfs -o size={pages * 4}k tmpfs {machine.dir}/run && cd {machine.dir}/run && mkdir tls || exit 125
            cp ../pfxd.conf . || exit 125
            [ {command[0]} = init ] || cp ../keyring.cred . || exit 125
            find . -type f | sort > ../before
            {BUILD}/pfxctl keyring {' '.join(command)} --pfxd-conf pfxd.conf > ../said 2>&1
            echo $? > ../status
            find . -type f ! -name .keyring.lock | sort > ../after
            """
            machine.inside("sh", "-c", script)
            status, said, before, after = ((machine.dir / n).read_text() for n in ("status", "said", "before", "after"))
            results.add((command[0], status))
            if status == "0\n":
                assert len(after.split()) == len(before.split()) + (7 if command[0] == "init" else 2), (pages, after)
            else:
                assert status == "4\n" and "No space left" in said and after == before, (command, pages, said, after)
    assert results == {(c, s) for c in ("init", "export") for s in ("0\n", "4\n")}, results
    assert made.secrets()


@test
def of_two_inits_at_once_one_makes_all_and_the_other_nothing(folder):
    for name, n in [step for step in all_steps(folder) if step[0] in ("linkat", "renameat2")]:
        attempt = Attempt(folder, f"{name}-{n}")
        machine = attempt.machine
        one = subprocess.Popen(machine.command("strace", "-o", "/dev/null", "-e", f"trace={name}", "-e",
                                               f"inject={name}:signal=STOP:when={n}", BUILD / "pfxctl",
                                               *attempt.arguments, "--pfxd-conf", machine.conf), stderr=subprocess.DEVNULL)
        children = pathlib.Path(f"/proc/{one.pid}/task/{one.pid}/children")

        def has_stopped():
            with contextlib.suppress(OSError, IndexError):  # children come and go before the one that stops
                status = pathlib.Path(f"/proc/{children.read_text().split()[0]}/status").read_text()
                return (re.search(r"^State:\s+[tT]", status, re.M) and
                        len([p for p in machine.files() if p.split("/")[-1] in PLACED]) == n)

        wait_until(has_stopped, what="the first one's stop")
        try:
            before = machine.files()
            assert "at work" in machine.refused(3, "keyring", "init", "--no-export"), (name, n)
            assert machine.files() == before
        finally:
            os.kill(int(children.read_text()), signal.SIGCONT)
            assert one.wait(60) == 0
        attempt.check_whole()
        shutil.rmtree(machine.dir)


@test
def an_init_that_is_told_to_end_while_it_writes_finishes_first(folder):
    steps = [step for step in all_steps(folder) if step[0] in ("linkat", "renameat2")]
    assert len(steps) == 7, steps
    for name, n in steps:
        attempt = Attempt(folder, f"{name}-{n}")
        cut_at(attempt.machine, attempt, name, n, "signal=TERM")
        attempt.check_whole()
        assert not temporary_files(attempt.machine)
        shutil.rmtree(attempt.machine.dir)


if __name__ == "__main__":
    main()
