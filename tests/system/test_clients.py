#!/usr/bin/env python3
"""What pfxctl and pfx-device say and do for the people who use them: mistakes that are caught before the server is
asked, sentences that say what to do next, and tokens that are not lost."""

import stat

from harness import *

ANN = "ann@example.org"


class Ctl:
    """pfxctl for a service, as its administrator."""

    def __init__(self, service):
        self.service = service

    def run(self, *arguments, ok=True, **options):
        return run(BUILD / "pfxctl", "--dev", self.service.dir, *arguments, ok=ok, **options)

    def refused(self, status, *arguments, **options):
        """What it says when it ends with this status."""
        done = self.run(*arguments, ok=False, **options)
        assert done.returncode == status, (arguments, done)
        return done.stderr.decode()


def write(path, content, mode=0o600):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


@test
def a_command_line_that_is_wrong_is_refused_before_anybody_is_asked(folder):
    def refused(*arguments):
        done = run(BUILD / "pfxctl", "--server", "https://localhost:1", "--token-file", token, *arguments, ok=False)
        assert done.returncode == 2, (arguments, done)
        return done.stderr.decode()

    token = write(folder / "token", "a" * 43 + "\n")
    assert "token add, pfxctl token list, pfxctl token revoke" in refused("token")
    assert "audit list" in refused("audit") and "audit verify" in refused("audit", "lsit")
    assert "ca retire" in refused("ca", "retier")  # a command of its own, and the first word of others
    assert 'what is "ann"? pfxctl users takes no argument' in refused("users", "ann")
    for arguments in (["history", ""], ["enroll", "", "--name", "x"], ["enroll", ANN, "--name", ""],
                      ["token", "add", "", "--role", "admin"], ["token", "add", "x", "--role", "boss"],
                      ["delete", ANN, "00" * 20], ["dev-init", str(folder / "x"), "--json"]):
        refused(*arguments)
    manual = run(BUILD / "pfxctl", "token", "--help").stdout.decode()
    assert "token add" in manual and "token revoke" in manual and "audit" not in manual
    assert "--server" not in run(BUILD / "pfxctl", "dev-init", "--help").stdout.decode()
    done = run(BUILD / "pfxctl", "--dev", folder / "none", "users", ok=False)
    assert done.returncode == 4 and b"No such file" in done.stderr and b"pfxd --dev" in done.stderr, done


@test
def a_token_is_asked_for_only_when_there_is_a_file_for_it(folder):
    service = Service(folder)
    ctl = Ctl(service)
    for what in (["enroll", ANN, "--name", "phone"], ["token", "add", "script", "--role", "auditor"]):
        out = folder / f"{what[0]}.token"
        assert "can not write" in ctl.refused(4, *what, "--token-out", folder / "none" / "t")
        assert "it is a folder" in ctl.refused(4, *what, "--token-out", folder, "--force")
        assert ctl.run(*what, "--token-out", out).stdout == b""
        first = out.read_text()
        assert stat.S_IMODE(out.stat().st_mode) == 0o600 and len(first) == 44
        assert "--force" in ctl.refused(4, *what, "--token-out", out)
        assert out.read_text() == first
        ctl.run(*what, "--token-out", out, "--force")
        assert out.read_text() != first
    events = [r["event"] for r in json.loads(ctl.run("audit", "list", "--json").stdout)["records"]]
    assert events.count("enrolment.create") == 2, events
    assert events.count("token.create") == 3, events  # with the administrator's own
    assert not list(folder.glob("*.token.*")), "temporary files"
    said = json.loads(ctl.run("token", "add", "x", "--role", "auditor", "--json").stdout)
    assert said["expiresAt"] is None and len(said["token"]) == 43 and said["name"] == "x", said


@test
def what_is_refused_says_what_to_do(folder):
    service = Service(folder)
    ctl = Ctl(service)
    identity = Identity(folder, ANN)
    pfx = write(folder / "a.pfx", identity.pfx())
    word, wrong = write(folder / "word", "secret\n", 0o644), write(folder / "wrong", "other\n")
    said = ctl.refused(1, "import", ANN, pfx, "--password-file", wrong)
    assert "a.pfx: wrong_password: " in said and "others may read" not in said, said
    said = ctl.refused(1, "import", ANN, identity.certificate, "--password-file", wrong)
    assert "malformed_pkcs12" in said and "openssl pkcs12 -export" in said, said
    done = ctl.run("import", ANN, pfx, pfx, "--password-file", word)
    assert done.stderr.count(b"others may read the password file") == 1, done
    stranger = write(folder / "stranger", "a" * 43 + "\n")
    assert str(stranger) in ctl.refused(1, "users", "--token-file", stranger)
    assert "is this the port of the administrators?" in ctl.refused(
        1, "users", "--server", f"https://localhost:{service.base}")
    assert "is this an https port?" in ctl.refused(3, "users", "--server", f"https://localhost:{service.base + 2}")
    importer = write(folder / "importer", service.make_token("importer") + "\n")
    done = ctl.run("history", ANN, "--token-file", importer)
    assert b"that this token may see" in done.stdout and ANN.encode() in done.stdout, done
    done = ctl.run("enroll", ANN, "--name", "phone")
    assert f"--server https://localhost:{service.base} --ca {service.dir}/ca.pem" in done.stderr.decode(), done
    assert b"nothing to do" in ctl.run("rename", ANN, ANN).stderr
    assert "--yes" in ctl.refused(2, "delete", ANN, identity.thumbprint)
    ctl.run("delete", ANN, identity.thumbprint, "--yes")


@test
def a_certificate_of_another_address_is_told_with_how_to_take_it_back(folder):
    service = Service(folder)
    ctl = Ctl(service)
    identity = Identity(folder, ANN)
    pfx, word = write(folder / "ann.pfx", identity.pfx()), write(folder / "word", "secret\n")
    assert b"take it back" not in ctl.run("import", ANN, pfx, "--password-file", word).stdout
    done = ctl.run("import", "bob@example.org", pfx, "--password-file", word)
    assert f"pfxctl delete bob@example.org {identity.thumbprint}\n" in done.stdout.decode(), done
    ctl.run("delete", "bob@example.org", identity.thumbprint, "--yes")
    assert identity.thumbprint not in ctl.run("history", "bob@example.org").stdout.decode()


@test
def expired_certificates_are_counted_and_told_only_when_asked_for(folder):
    service = Service(folder)
    ctl = Ctl(service)
    files = [write(folder / f"{year}.pfx", Identity(folder, ANN, start=f"{year}-03-01 00:00:00").pfx())
             for year in (2017, 2019)]
    word = write(folder / "word", "secret\n")
    done = ctl.run("import", ANN, *files, "--password-file", word)
    assert b"warning: expired" not in done.stdout and b"2 expired" in done.stderr, done
    done = ctl.run("import", ANN, files[0], "--password-file", word, "--verbose")
    assert b"warning: expired" in done.stdout, done
    done = ctl.run("import", ANN, files[0], "--password-file", word, "--json")
    assert "expired" in [w["code"] for w in json.loads(done.stdout)["warnings"]]
    listing = write(folder / "list.csv", f"{ANN},2017.pfx\n{ANN},2019.pfx\n")
    done = ctl.run("import", "--list", listing, ok=False, start_new_session=True)
    assert done.returncode == 2 and b"2 no_password" in done.stderr, done


@test
def a_password_prompt_says_which_file_of_how_many_and_ends_by_ctrl_c(folder):
    service = Service(folder)
    files = [write(folder / f"{name}.pfx", Identity(folder, ANN).pfx()) for name in "ab"]
    command = [BUILD / "pfxctl", "--dev", service.dir, "import", ANN, *files]
    status, output = ask_on_terminal(command, [b"secret\n", b"secret\n"])
    assert status == 0 and "2 imported" in output, output
    assert "a.pfx (1 of 2): " in output and "b.pfx (2 of 2): " in output and "of 2Password" not in output, output
    status, output = ask_on_terminal(command, [b"\x03"])
    assert status == -signal.SIGINT, (status, output)
    thumbprint = service.admin("GET", f"/v1/users/{ANN}/certificates").json["certificates"][0]["thumbprint"]
    command = [BUILD / "pfxctl", "--dev", service.dir, "delete", ANN, thumbprint]
    status, output = ask_on_terminal(command, [b"no\n"])
    assert status == 2 and "nothing was changed" in output, output
    assert ask_on_terminal(command, [b"yes\n"])[0] == 0
    command = [BUILD / "pfxctl", "--dev", service.dir, "import", ANN, folder / "c.pfx"]
    status, output = ask_on_terminal(command, [b"secret\n"])  # no password is asked for what is not there
    assert status == 4 and "Password" not in output and "c.pfx: No such file" in output, output
    write(folder / "c.pfx", "-----BEGIN CERTIFICATE-----\n")
    status, output = ask_on_terminal(command, [b"secret\n"])
    assert status == 1 and output.count("PEM") == 1, output


@test
def a_device_remembers_that_it_was_refused(folder):
    service = Service(folder)
    service.import_pfx(ANN, Identity(folder, ANN).pfx(), "secret").expect(201)
    token = write(folder / "token", service.enrolment_token(ANN) + "\n")
    device = folder / "device"

    def phone(*arguments, ok=True):
        return run(BUILD / "pfx-device", *arguments, "--dir", device, ok=ok)

    enroll = ["enroll", "--ca", service.dir / "ca.pem", "--token-file", token, "--server"]
    done = phone(*enroll, f"https://localhost:{service.base + 1}", ok=False)
    assert done.returncode == 1 and b"is this the port of the devices?" in done.stderr, done
    phone(*enroll, f"https://localhost:{service.base}")
    phone("sync")
    done = phone("sync", "--out", folder / "elsewhere")
    assert f"the files in {device}/certificates stay".encode() in done.stderr, done
    assert b"stay" not in phone("sync", "--out", folder / "elsewhere").stderr
    assert json.loads(phone("status", "--json").stdout)["revokedAt"] == ""
    assert phone("sync", "--if-due").stderr == b""
    [one] = service.admin("GET", "/v1/devices").json["devices"]
    assert service.admin("DELETE", f"/v1/devices/{one['id']}").status == 204
    assert phone("sync", ok=False).returncode == 1
    done = phone("sync", "--if-due", ok=False)
    assert done.returncode == 1 and b"refused this device (seen " in done.stderr, done
    assert b"refused (seen " in phone("status").stdout
    assert json.loads(phone("status", "--json").stdout)["revokedAt"]


@test
def no_client_writes_down_what_opens_its_connections(folder):
    service = Service(folder)
    keys, device = folder / "keys", folder / "device"
    env = {**os.environ, "SSLKEYLOGFILE": str(keys)}
    Ctl(service).run("users", env=env)
    token = write(folder / "enrol.token", service.enrolment_token(ANN) + "\n")
    run(BUILD / "pfx-device", "enroll", "--dir", device, "--server", f"https://localhost:{service.base}", "--ca",
        service.dir / "ca.pem", "--token-file", token, env=env)
    run(BUILD / "pfx-device", "sync", "--dir", device, env=env)
    assert not keys.exists(), keys.read_bytes()[:100]


if __name__ == "__main__":
    main()
