#!/usr/bin/env python3
"""The enrolment CA has a life of its own: successors, a company's own root, and the end of the old one. Devices follow by
what an old CA vouches for; two of them, one is pfx-device and the other is openssl and curl."""

import hashlib
import re

from manager import *

UPN = "ann@example.org"
EXPORTLESS = ("--no-export",)


class World:
    """A service with one identity, whose keyring changes."""

    def __init__(self, folder, **more):
        need_root()
        self.folder = folder
        self.service = Managed(folder, "health_seconds = 1\n", **more)
        self.identity = Identity(folder, UPN)
        self.service.import_pfx(UPN, self.identity.pfx(), "secret").expect(201)
        self.phones = 0

    def ctl(self, *arguments, status=0):
        done = run(BUILD / "pfxctl", *arguments, "--dev", self.service.dir, ok=False)
        assert done.returncode == status, (arguments, done)
        return done.stderr.decode()

    def change(self, *arguments):
        """A command that changes the keyring, and the restart that systemd would do."""
        said = self.ctl(*arguments, status=3)
        assert "start it again" in said, said
        self.service.renew("keeper")
        return said + self.ctl(*arguments)

    def cas(self):
        """GET /v1/ca: the certificates, each PEM."""
        pem = self.service.call(self.service.base + 1, "GET", "/v1/ca",
                                headers={"Authorization": f"Bearer {self.service.token}"}).body.decode()
        return split(pem)

    def phone(self, env=None):
        self.phones += 1
        return Phone(self, self.folder / f"phone{self.phones}", env)

    def curl(self, device):
        """Pulls with curl, and opens with openssl as README has it."""
        out = device.folder / "pulled"
        run("curl", "-sSf", "--cacert", self.service.dir / "ca.pem", "--cert", device.certificate, "--key", device.key,
            f"https://localhost:{self.service.base}/v1/device/bundle", "-o", out)
        return device.open(out.read_bytes())


class Phone:
    """pfx-device in a folder of its own."""

    def __init__(self, world, folder, env=None):
        self.world, self.dir, self.env = world, folder, {**os.environ, **(env or {})}
        token = folder.with_suffix(".token")
        token.write_text(world.service.enrolment_token(UPN))
        token.chmod(0o600)
        self.run("enroll", "--server", f"https://localhost:{world.service.base}", "--ca", world.service.dir / "ca.pem",
                 "--token-file", token)

    def run(self, *arguments, status=0, env=None):
        done = run(BUILD / "pfx-device", *arguments, "--dir", self.dir, ok=False, env={**self.env, **(env or {})})
        assert done.returncode == status, (arguments, done)
        return done.stderr.decode()

    def believed(self):
        return split((self.dir / "enrol-ca.pem").read_text())

    def issuer(self):
        return issuer(self.dir / "device.crt")


def split(pem):
    return re.findall(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", pem, re.S)


def subject(pem):
    return run("openssl", "x509", "-noout", "-subject", input=pem.encode()).stdout.decode().strip().split("=", 1)[1]


def issuer(path):
    return run("openssl", "x509", "-noout", "-issuer", "-in", path).stdout.decode().strip().split("=", 1)[1]


def verifies(folder, leaf, cas):
    """Whether openssl verifies a device's certificate by these."""
    trusted = folder / "trusted.pem"
    trusted.write_text("".join(cas))
    return run("openssl", "verify", "-purpose", "sslclient", "-CAfile", trusted, leaf, ok=False).returncode == 0


@test
def devices_of_the_old_ca_learn_of_its_successor_and_are_renewed_by_it(folder):
    world = World(folder)
    phone, plain = world.phone(), world.service.enrol(UPN, "P-256")
    phone.run("sync")
    old = world.cas()
    assert len(old) == 1 and phone.believed() == old
    etag = plain.pull().expect(200).headers["etag"]
    said = world.change("ca", "rotate", *EXPORTLESS)
    assert "a new enrolment CA" in said, said
    new = world.cas()
    assert len(new) == 2 and new[1:] == old and new[0] != old[0]
    # The old device's bundle is signed under the old CA, and names both, newest first.
    assert plain.pull(etag).status == 200, "the entity tag does not tell of the new CA"
    assert world.curl(plain)["authorities"] == new
    # Before it has been told, the phone takes nothing of the new CA.
    said = phone.run("renew", status=1)
    assert "unknown_ca" in said or "does not know" in said or "that this device knows" in said, said
    assert phone.believed() == old and phone.issuer() == subject(old[0])
    phone.run("sync")
    assert phone.believed() == new
    phone.run("renew")
    assert phone.issuer() == subject(new[0])
    phone.run("sync")
    # Who enrols now meets the new CA alone; its chain is that one.
    late = world.service.enrol(UPN, "rsa:2048")
    assert split(late.ca.read_text()) == new[:1]
    assert verifies(folder, late.certificate, new[:1]) and not verifies(folder, late.certificate, old)
    assert world.curl(late)["authorities"] == new
    assert [c["thumbprint"] for c in world.curl(plain)["certificates"]] == [world.identity.thumbprint]
    # A bundle by the new CA's signer is none for who believes the old one only.
    late.ca.write_text(old[0])
    try:
        world.curl(late)
        raise SystemError("a bundle verified under a CA that did not vouch for it")
    except AssertionError:
        pass


@test
def a_sync_past_half_of_the_certificates_life_learns_and_renews_at_once(folder):
    world = World(folder)
    phone = world.phone()
    phone.run("sync")
    world.change("ca", "rotate", *EXPORTLESS)
    new = world.cas()
    later = clock("+400d")
    # The server's TLS certificate and clock are of today; what the device takes for due is its own clock.
    said = phone.run("sync", env=later)
    assert "was not renewed" in said and "is renewed" in said, said
    assert phone.issuer() == subject(new[0]) and phone.believed() == new


@test
def the_old_ca_is_retired_when_the_last_device_has_left_it_and_not_before(folder):
    world = World(folder)
    phone, plain = world.phone(), world.service.enrol(UPN, "P-256")
    phone.run("sync")
    assert "one enrolment CA" in world.ctl("ca", "retire")
    world.change("ca", "rotate", *EXPORTLESS)
    old, new = world.cas()[1], world.cas()[0]
    said = world.ctl("ca", "retire", status=1)
    assert "2 active devices still have a certificate" in said and "until 20" in said, said
    phone.run("sync")
    phone.run("renew")
    # Until the new one is used the old one is good, and counts.
    assert "2 active devices" in world.ctl("ca", "retire", status=1)
    phone.run("sync")
    assert "1 active devices" in world.ctl("ca", "retire", status=1)
    assert world.cas() == [new, old]
    world.service.admin("DELETE", f"/v1/devices/{plain.id}").expect(204)
    said = world.ctl("ca", "retire", status=3)
    world.service.renew("keeper")
    world.ctl("ca", "retire")
    assert world.cas() == [new]
    phone.run("sync")
    assert phone.believed() == [new], "the phone still believes a CA that was retired"
    assert world.service.device("GET", "/v1/device/bundle", device=plain).status == 403
    records = world.service.admin("GET", "/v1/audit?limit=1000").json["records"]
    seen = [(r["event"], r["object"]) for r in records if r["event"].startswith("ca.")]

    def digest(pem):
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    assert seen == [("ca.add", digest(new)), ("ca.retire", digest(old))], seen
    assert world.service.admin("GET", "/v1/audit/verification").json["ok"]


@test
def a_ca_that_a_held_device_needs_stays_and_the_device_comes_back(folder):
    world = World(folder)
    plain = world.service.enrol(UPN, "P-256")
    world.change("ca", "rotate", *EXPORTLESS)
    old, new = world.cas()[1], world.cas()[0]
    world.ctl("backup", folder / "b")
    restoring = subprocess.Popen([BUILD / "pfxctl", "restore", folder / "b", "--replace", "--trust-tokens", "--dev",
                                  world.service.dir],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert world.service.children["keeper"].wait(60) == 0  # it ends by itself; systemd would start the next one
    world.service.begin("keeper")
    said = restoring.communicate(timeout=60)[1].decode()
    assert restoring.returncode == 0 and "1 devices are held" in said, said
    assert world.service.device("GET", "/v1/device/bundle", device=plain).status == 403
    assert "1 active devices" in world.ctl("ca", "retire", status=1)
    assert world.cas() == [new, old]
    world.service.admin("PATCH", f"/v1/devices/{plain.id}", {"state": "active"}).expect(200)
    bundle = plain.open(plain.pull().expect(200).body)
    assert [c["thumbprint"] for c in bundle["certificates"]] == [world.identity.thumbprint]


@test
def an_expired_certificate_does_not_hold_its_ca(folder):
    world = World(folder)
    plain = world.service.enrol(UPN, "P-256")
    world.change("ca", "rotate", *EXPORTLESS)
    assert "1 active devices" in world.ctl("ca", "retire", status=1)
    world.service.end("keeper")
    world.service.env.update(clock("+731d"))
    world.service.begin("keeper")
    wait_until(lambda: "does not answer" not in run(BUILD / "pfxctl", "ca", "retire", "--dev", world.service.dir,
                                                     ok=False).stderr.decode(), what="an answer of the keeper")
    # A clock that is wrongly ahead would end them all: it has to be accepted first.
    assert "accept it with pfxctl clock accept" in world.ctl("ca", "retire", status=3)
    assert (world.service.dir / "keyring").read_text().count("\nca ") == 2
    world.ctl("clock", "accept")
    world.ctl("ca", "retire", status=3)
    keyring = (world.service.dir / "keyring").read_text()
    assert keyring.count("\nca ") == 1, "the CA of an expired certificate stays"
    world.service.renew("keeper")
    answer = world.service.device("GET", "/v1/device/bundle", device=plain)
    assert answer.status == 401, answer.body


@test
def the_keyring_has_its_most_cas_and_says_so(folder):
    world = World(folder)
    most = int(re.search(r"KEYRING_CAS_MAX = (\d+)", (ROOT / "daemon/keeper/keyring.h").read_text())[1])
    for n in range(1, most):
        world.change("ca", "rotate", *EXPORTLESS)
    assert len(world.cas()) == most
    before = (world.service.dir / "keyring").read_bytes()
    said = world.ctl("ca", "rotate", *EXPORTLESS, status=4)
    assert f"its most enrolment CAs already, {most}" in said and "ca retire" in said, said
    assert (world.service.dir / "keyring").read_bytes() == before
    device = world.service.enrol(UPN)
    assert len(world.curl(device)["authorities"]) == most
    phone = world.phone()
    phone.run("sync")
    assert phone.believed() == world.cas()


# ---- a company's own root ----

class Company:
    """A root of ten years, and what it signs."""

    def __init__(self, folder):
        self.folder = folder
        self.key, self.root = folder / "root.key", folder / "root.pem"
        self.make_root(self.root, "basicConstraints=critical,CA:TRUE")

    def make_root(self, path, *extensions):
        more = [part for e in ("keyUsage=critical,keyCertSign,cRLSign", *extensions) for part in ("-addext", e)]
        config = self.folder / "empty.cnf"
        config.write_text("[req]\ndistinguished_name=dn\n[dn]\n")
        run("openssl", "req", "-x509", "-config", config, "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out",
            path, "-subj", "/O=Company/CN=Company Root", "-days", "3650", *more)

    def sign(self, csr, *lines, days=3650, start=None, skid=True, key=None, by=None):
        """A certificate with these extensions, PEM."""
        out, extensions = self.folder / "signed.pem", self.folder / "extensions"
        extensions.write_text("\n".join(lines or ("basicConstraints=critical,CA:TRUE,pathlen:0",
                                                  "keyUsage=critical,keyCertSign,cRLSign")) + "\n" +
                              ("subjectKeyIdentifier=hash\n" if skid else "subjectKeyIdentifier=none\n") +
                              "authorityKeyIdentifier=keyid\n")
        run(*at_time(start and f"@{start}"), "openssl", "x509", "-req", "-in", csr, "-CA", by or self.root, "-CAkey",
            key or self.key, "-CAcreateserial", "-extfile", extensions, "-days", str(days), "-out", out, "-sha256")
        return out.read_text()


def requested(world, folder):
    csr = folder / "ca.csr"
    world.ctl("ca", "request", "--out", csr)
    return csr


def killed_at_each_step(world, states, *command):
    """Kills pfxctl at each call that puts the new keyring in its place, from the same keyring each time. states: what a
    keyring may look like then, as (CAs, keys that wait for a certificate)."""
    if not shutil.which("strace"):
        raise Skip("there is no strace")
    keyring = world.service.dir / "keyring"
    original, seen = keyring.read_bytes(), []
    for name in ("fsync", "link", "renameat2", "fchmod", "connect", "unlink"):
        for n in range(1, 4):
            for left in world.service.dir.glob("keyring?*"):
                left.unlink()
            keyring.write_bytes(original)
            done = run("strace", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={n}",
                       BUILD / "pfxctl", *command, "--dev", world.service.dir, ok=False)
            now = keyring.read_text()
            state = now.count("\nca "), now.count("\nca-request ")
            assert state in states and now.count("\nbundle-signer ") == state[0], (name, n, state)
            assert state != states[0] or now.encode() == original, (name, n)
            assert keyring.stat().st_mode & 0o777 == 0o600
            if done.returncode in (-9, 137):
                seen.append(state)
    assert set(seen) == set(states) and len(seen) > 4, seen


@test
def a_change_of_the_ca_that_was_killed_at_any_step_can_go_on(folder):
    world = World(folder)
    keyring = world.service.dir / "keyring"
    killed_at_each_step(world, [(1, 0), (2, 0)], "ca", "rotate", *EXPORTLESS)
    world.change("ca", "rotate", *EXPORTLESS)
    assert len(world.cas()) == 2 and not list(world.service.dir.glob("keyring?*"))
    killed_at_each_step(world, [(2, 0), (1, 0)], "ca", "retire")
    world.change("ca", "retire")
    only, = world.cas()
    assert not list(world.service.dir.glob("keyring?*"))
    company, csr = Company(folder), folder / "ca.csr"
    killed_at_each_step(world, [(1, 0), (1, 1)], "ca", "request", "--out", csr)
    # Whoever asks again after a kill gets a request for the key that waits, and no second one.
    world.ctl("ca", "request", "--out", csr)
    waits = keyring.read_bytes()
    world.ctl("ca", "request", "--out", csr)
    assert keyring.read_bytes() == waits
    chain = folder / "chain.pem"
    chain.write_text(company.sign(csr) + company.root.read_text())
    killed_at_each_step(world, [(1, 1), (2, 0)], "ca", "install", chain, *EXPORTLESS)
    world.change("ca", "install", chain, *EXPORTLESS)
    assert len([ca for ca in world.cas() if ca != only]) >= 1 and keyring.read_text().count("\nca ") == 2
    assert not list(world.service.dir.glob("keyring?*"))
    device = world.service.enrol(UPN)
    assert world.curl(device)["certificates"]


@test
def a_ca_that_a_companys_root_signed_issues_and_devices_verify_by_the_root(folder):
    world, company = World(folder), Company(folder)
    plain = world.service.enrol(UPN, "P-256")
    csr = requested(world, folder)
    text = run("openssl", "req", "-in", csr, "-noout", "-verify", "-text").stdout.decode()
    assert "CA:TRUE, pathlen:0" in text and "Certificate Sign" in text, text
    # The key waits in the keyring; asked once more, it is the same one, and the keeper does not mind it.
    again = folder / "again.csr"
    assert "waits for its certificate already" in world.ctl("ca", "request", "--out", again)
    key = run("openssl", "req", "-in", csr, "-noout", "-pubkey").stdout
    assert run("openssl", "req", "-in", again, "-noout", "-pubkey").stdout == key
    other = folder / "other.pem"
    for text in (company.root.read_text(), "", "-----BEGIN CERTIFICATE REQUEST----"):
        other.write_text(text)
        world.ctl("ca", "request", "--out", other, status=4)
        assert other.read_text() == text
    chain = folder / "chain.pem"
    root = company.root.read_text()
    ca = company.sign(csr)
    chain.write_text(ca + root)
    said = world.change("ca", "install", chain, *EXPORTLESS)
    assert "a new enrolment CA" in said, said
    assert "ca-request" not in (world.service.dir / "keyring").read_text()
    assert world.cas()[:2] == [ca, root] and len(world.cas()) == 3
    # Issuer first, root last; by that, and by the root alone, openssl verifies as README has it.
    late = world.service.enrol(UPN, "P-384")
    assert split(late.ca.read_text()) == [ca, root]
    assert verifies(folder, late.certificate, [ca, root])
    assert world.curl(late)["authorities"] == [ca + root, world.cas()[2]]
    late.ca.write_text(root)
    assert world.curl(late)["authorities"][0] == ca + root
    # The old device is told by its own CA.
    assert world.curl(plain)["authorities"][0] == ca + root
    phone = world.phone()
    assert phone.believed() == [ca]
    phone.run("sync")
    assert phone.believed()[0] == ca and root not in phone.believed(), "a whole company's root is believed"
    phone.run("renew")
    phone.run("sync")
    assert phone.issuer() == subject(ca)


@test
def a_certificate_that_can_not_be_the_enrolment_cas_is_refused_with_what_is_wrong(folder):
    world, company = World(folder), Company(folder)
    chain = folder / "chain.pem"
    root = company.root.read_text()
    chain.write_text(root + root)
    assert "no key waits" in world.ctl("ca", "install", chain, *EXPORTLESS, status=1)
    csr = requested(world, folder)
    before = (world.service.dir / "keyring").read_bytes()
    good = company.sign(csr)
    other_csr = folder / "other.csr"
    other_csr.write_text(make_csr(folder, "P-256"))
    ca = "basicConstraints=critical,CA:TRUE"
    usage = "keyUsage=critical,keyCertSign"
    long_ago = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - 60 * 86400))
    (folder / "narrow").mkdir()
    narrow = Company(folder / "narrow")
    narrow.make_root(narrow.root, "basicConstraints=critical,CA:TRUE,pathlen:0")
    cases = {
        "holds no certificate": "nothing",
        "the root last": good,
        "for another key": company.sign(other_csr) + root,
        "none of a CA": company.sign(csr, "basicConstraints=critical,CA:FALSE", usage) + root,
        "may not sign certificates": company.sign(csr, ca, "keyUsage=critical,digitalSignature") + root,
        "no subject key identifier": company.sign(csr, skid=False) + root,
        "not valid now": company.sign(csr, days=30, start=long_ago) + root,
        "ends within 180 days": company.sign(csr, days=179) + root,
        "more than 40 years": company.sign(csr, days=41 * 366) + root,
        "not signed by the one after it": good + narrow.root.read_text(),
        "would not verify": narrow.sign(csr, ca, usage) + narrow.root.read_text(),
        "damaged one": good.replace("MII", "!!!", 1) + root,
        "too many": good + root * 6,
        "at most 4": good + root * 5,
    }
    for sentence, pem in cases.items():
        chain.write_text(pem)
        said = world.ctl("ca", "install", chain, *EXPORTLESS, status=1)
        assert sentence in said, (sentence, said)
        assert (world.service.dir / "keyring").read_bytes() == before, sentence
    # Without its root.
    middle_key = folder / "middle.key"
    run("openssl", "genrsa", "-out", middle_key, "2048")
    middle_csr = folder / "middle.csr"
    run("openssl", "req", "-new", "-key", middle_key, "-subj", "/O=Company/CN=Middle", "-out", middle_csr)
    middle = folder / "middle.pem"
    middle.write_text(company.sign(middle_csr, ca, usage))
    below = company.sign(csr, key=middle_key, by=middle)
    chain.write_text(below + middle.read_text())
    assert "is no root" in world.ctl("ca", "install", chain, *EXPORTLESS, status=1)
    # At the edges it is taken: just long enough, and by one in the middle.
    chain.write_text(company.sign(csr, days=181, key=middle_key, by=middle) + middle.read_text() + root)
    world.change("ca", "install", chain, *EXPORTLESS)
    assert len(split((world.service.enrol(UPN).ca.read_text()))) == 3


@test
def what_else_a_companys_root_signed_can_sign_no_bundle_for_a_phone(folder):
    world, company = World(folder), Company(folder)
    csr = requested(world, folder)
    chain = folder / "chain.pem"
    ca = company.sign(csr)
    chain.write_text(ca + company.root.read_text())
    world.change("ca", "install", chain, *EXPORTLESS)
    phone = world.phone()
    phone.run("sync")
    # Somebody of the company who signs documents, and holds the front of the service.
    key = folder / "clerk.key"
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    clerk_csr, clerk = folder / "clerk.csr", folder / "clerk.pem"
    run("openssl", "req", "-new", "-key", key, "-subj", "/O=Company/CN=A clerk", "-out", clerk_csr)
    clerk.write_text(company.sign(clerk_csr, "basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature",
                                  "extendedKeyUsage=1.3.6.1.5.5.7.3.36"))
    state = json.loads((phone.dir / "state.json").read_text())
    body = json.dumps({"version": 1, "user": UPN, "device": state["deviceId"], "issuedAt": "2099-01-01T00:00:00Z",
                       "certificates": [], "intermediates": [], "removed": []})
    signed = run("openssl", "cms", "-sign", "-nodetach", "-binary", "-outform", "DER", "-signer", clerk, "-inkey", key,
                 "-nosmimecap", "-certfile", chain, input=body.encode()).stdout
    assert json.loads(run("openssl", "cms", "-verify", "-inform", "DER", "-CAfile", chain, "-purpose", "any",
                          input=signed).stdout), "by the root alone it would verify"
    sealed = run("openssl", "cms", "-encrypt", "-binary", "-aes-256-cbc", "-outform", "DER",
                 phone.dir / "device.crt", input=signed).stdout
    world.service.end("front-device")
    server = serve_bundle(world, sealed)
    said = phone.run("sync", status=1)
    server.shutdown()
    assert "not signed by the service" in said, said


def serve_bundle(world, bundle):
    """A front that answers every call with this."""
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "application/cms")
            self.send_header("Content-Length", str(len(bundle)))
            self.send_header("ETag", 'W/"x"')
            self.end_headers()
            self.wfile.write(bundle)

        def log_message(self, *_):
            pass
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.service.dir / "tls/server.pem", world.service.dir / "tls/server.key")
    world.service.sockets["front-device", "device"].close()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", world.service.base), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    main()
