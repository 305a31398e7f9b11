"""What the system tests share: a real service in a temporary folder, real clients, and a runner.

A test is a function whose name is a sentence, decorated with @test; it gets a fresh folder as its argument.
Everything that a test starts ends with it."""

import base64
import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PFXD_BUILD", ROOT / "build")).resolve()

TESTS = []


def test(function):
    """Registers a test."""
    TESTS.append(function)
    return function


class Skip(Exception):
    """Raised by a test that can not run here; says why."""


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root, to look into processes that others may not look into")


def is_sanitized():
    return re.search(rb"lib[a-z]+san\.so", run("ldd", BUILD / "pfxd-opener").stdout) is not None


def without_a_sanitizer():
    """Its library is linked into everything, maps more memory than any limit allows, and has its own allocator."""
    if is_sanitized():
        raise Skip("a sanitizer is linked into these programs")


def finding(folder):
    """What a sanitizer said in one of the test's files: a room that it ended is replaced, and the test may go on."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            said = re.search(rb"(?:ERROR|WARNING): \w+Sanitizer|: runtime error: ", path.read_bytes())
            if said:
                return f"{path.name}:\n{path.read_bytes()[said.start():][:10000].decode(errors='replace')}"
    return None


def main():
    """Runs the tests of the calling file, or those whose names contain one of the arguments."""
    wanted = sys.argv[1:]
    if not (BUILD / "pfxd").exists():
        sys.exit(f"there is no pfxd in {BUILD}: run make first, or set PFXD_BUILD")
    failed = passed = skipped = 0
    sanitized = is_sanitized()
    for function in TESTS:
        if wanted and not any(w in function.__name__ for w in wanted):
            continue
        name = function.__name__.replace("_", " ")
        folder = pathlib.Path(tempfile.mkdtemp(prefix="pfxd-test-"))
        started = time.monotonic()
        try:
            function(folder)
            Service.end_all()
            found = finding(folder) if sanitized else None
            assert not found, found
            passed += 1
            print(f"ok - {name} ({time.monotonic() - started:.1f} s)", flush=True)
        except Skip as why:
            skipped += 1
            print(f"skipped - {name}: {why}", flush=True)
        except BaseException as error:
            failed += 1
            print(f"FAILED - {name}", flush=True)
            traceback.print_exc()
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            Service.end_all()
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    if passed + failed + skipped == 0:
        sys.exit("no test has that in its name")
    sys.exit(1 if failed else 0)


def run(*command, ok=True, **options):
    """Runs a command and returns its CompletedProcess (bytes). With ok, a failure raises and shows its output."""
    options.setdefault("timeout", 120)
    done = subprocess.run([str(c) for c in command], capture_output=True, **options)
    if ok and done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]!r}\n{done.stderr[-2000:]!r}")
    return done


def wait_until(condition, seconds=20, what="a condition"):
    """Polls until condition() is true and returns its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {seconds} s")


def is_running(pid):
    """Whether there is such a process; one that has ended and was not waited for does not count."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def send_signal(number, pids):
    """To those of them that still are."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextlib.contextmanager
def stopped(*pids):
    """These processes stand still."""
    try:
        send_signal(signal.SIGSTOP, pids)
        yield
    finally:
        send_signal(signal.SIGCONT, pids)


def busy_cpu(pids):
    """Whether one of them has used a tenth of a second of CPU: it is at work, then."""
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[11]) + int(fields[12]) >= os.sysconf("SC_CLK_TCK") // 10:
                return True
    return False


def free_base_port():
    """Three ports in a row that nobody listens on. A lock file each keeps parallel runs apart."""
    folder = pathlib.Path(tempfile.gettempdir()) / "pfxd-test-ports"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777) if folder.stat().st_uid == os.getuid() else None
    start = 20000 + os.getpid() % 400 * 30
    for offset in range(0, 12000, 3):
        port = 20000 + (start - 20000 + offset) % 12000
        lock = open(folder / f"{port}-{os.getuid()}", "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for p in range(port, port + 3):
                with socket.socket() as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.bind(("127.0.0.1", p))
            return port, lock
        except OSError:
            lock.close()
    raise AssertionError("no free ports")


class Answer:
    """Status, headers (lower-case names) and body of one answer."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json.get("code")

    def expect(self, status, code=None):
        """Checks status and, for an error, the shape of RFC 9457 and the code. Returns self."""
        assert self.status == status, f"status {self.status} instead of {status}: {self.body[:500]!r}"
        assert self.headers.get("x-request-id"), "an answer without X-Request-Id"
        if status >= 400:
            assert self.headers["content-type"].startswith("application/problem+json"), self.headers
            problem = self.json
            assert set(problem) == {"type", "title", "status", "detail", "code", "requestId"}, problem
            assert problem["status"] == status and problem["requestId"] == self.headers["x-request-id"], problem
            assert problem["detail"], "an error without a sentence"
        if code is not None:
            assert self.code == code, f"code {self.code} instead of {code}: {self.body[:500]!r}"
        return self


class Service:
    """pfxd --dev in a folder."""

    running = []

    def __init__(self, folder, env=None, config=None, start=True, build=None):
        self.folder = pathlib.Path(folder)
        self.dir = self.folder / "service"
        self.base, self.lock = free_base_port()
        self.env = {**os.environ, **(env or {})}
        self.config = config
        self.build = build or BUILD
        self.process = None
        self.log_path = self.folder / "service.log"
        if start:
            self.start()

    # ---- life ----

    def start(self, expect_ready=True, wait=True):
        """Starts pfxd and returns the line that it prints when all answers; with wait=False returns at once."""
        if self.config is not None:
            self.dir.mkdir(mode=0o700, exist_ok=True)
            (self.dir / "pfxd.conf").write_text(
                "[paths]\ndatabase = pfxd.db\nkeyring = keyring\ntls_certificate = tls/server.pem\n"
                "tls_key = tls/server.key\nruntime = run\n"
                "[keeper]\ndevice_front_user =\nadmin_front_user =\n" + self.config)
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [self.build / "pfxd", "--dev", self.dir, "--base-port", str(self.base)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=self.env)
        log.close()
        Service.running.append(self)
        if not wait:
            return None
        line = self.process.stdout.readline()
        if expect_ready and not line:
            raise AssertionError("pfxd did not start: " + self.log()[-2000:])
        return line

    def stop(self):
        """SIGTERM; returns the exit status."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("pfxd did not end within 60 s of SIGTERM")
        status = self.process.returncode if self.process else None
        self._forget()
        return status

    def kill(self):
        """SIGKILL to the launcher: the rooms must end too. Returns when they have."""
        rooms = []
        if self.process and self.process.poll() is None:
            rooms = [pid for pids in self.rooms().values() for pid in pids]
            self.process.kill()
            self.process.wait(10)
        self._forget()
        wait_until(lambda: not any(is_running(pid) for pid in rooms), what="the end of the rooms")

    def _forget(self):
        if self in Service.running:
            Service.running.remove(self)
        if self.process and self.process.stdout:
            self.process.stdout.close()

    def restart(self):
        self.stop()
        self.start()

    @classmethod
    def end_all(cls):
        for service in list(cls.running):
            with contextlib.suppress(Exception):
                service.stop()
            service.kill()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # ---- processes ----

    def rooms(self):
        """{name: [pid]} of the launcher's children, named front-device, front-admin, keeper, opener-pfx, opener-csr."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                stat = (entry / "stat").read_text()
                parent = int(stat.rsplit(")", 1)[1].split()[1])
                if parent != self.process.pid or stat.rsplit(")", 1)[1].split()[0] == "Z":
                    continue
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            name = words[0].decode().rsplit("/", 1)[-1].removeprefix("pfxd-")
            for flag in (b"--role", b"--kind"):
                if flag in words:
                    name += "-" + words[words.index(flag) + 1].decode()
            found.setdefault(name, []).append(int(entry.name))
        return found

    def keeper_pid(self):
        return self.rooms()["keeper"][0]

    def kill_room(self, name, number=signal.SIGKILL):
        pid = self.rooms()[name][0]
        os.kill(pid, number)
        return pid

    def end_openers(self, kind):
        """Kills them until there is none; for a test that has taken their socket away. One may end by itself just then."""
        while pids := self.rooms().get(f"opener-{kind}"):
            send_signal(signal.SIGKILL, pids)
            wait_until(lambda: not any(is_running(pid) for pid in pids), what="the end of the openers")

    def wait_ready(self, seconds=30):
        wait_until(lambda: self._ready(), seconds, "readiness")

    def _ready(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.health("/readyz?for=import").status == 200

    # ---- calls ----

    @property
    def token(self):
        return (self.dir / "admin.token").read_text().strip()

    def context(self, certificate=None, key=None):
        context = ssl.create_default_context(cafile=self.dir / "ca.pem")
        if certificate:
            context.load_cert_chain(certificate, key)
        return context

    def call(self, port, method, path, body=None, headers=None, context=None, timeout=60):
        if port == self.base + 2:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        else:
            connection = http.client.HTTPSConnection("localhost", port, timeout=timeout,
                                                     context=context or self.context())
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def admin(self, method, path, body=None, token=None, headers=None):
        headers = {"Authorization": f"Bearer {token or self.token}", **(headers or {})}
        return self.call(self.base + 1, method, path, body, headers)

    def device(self, method, path, body=None, device=None, headers=None):
        context = self.context(device.certificate, device.key) if device else None
        return self.call(self.base, method, path, body, headers, context)

    def connect(self, port, tls=True, source="127.0.0.1", timeout=60):
        """A bare connection, TLS shaken hands on or not, for what http.client would not send."""
        plain = socket.create_connection(("127.0.0.1", port), timeout, (source, 0))
        return self.context().wrap_socket(plain, server_hostname="localhost") if tls else plain

    def health(self, path, method="GET"):
        return self.call(self.base + 2, method, path)

    def import_pfx(self, upn, pfx, password, **more):
        return self.admin("POST", f"/v1/users/{upn}/certificates",
                          {"pkcs12": base64.b64encode(pfx).decode(), "password": password, **more})

    def enrolment_token(self, upn, name="phone", **more):
        return self.admin("POST", f"/v1/users/{upn}/enrollments", {"name": name, **more}).expect(201).json["token"]

    def make_token(self, role, name="a token", **more):
        return self.admin("POST", "/v1/tokens", {"name": name, "role": role, **more}).expect(201).json["token"]

    def enrol(self, upn, key="rsa:2048", name="phone", **more):
        """Enrols a new device with a key that openssl makes."""
        device = Device(self, self.folder / f"device-{len(list(self.folder.glob('device-*')))}", key)
        device.enrol(self.enrolment_token(upn, name, **more)).expect(201)
        return device

    def database(self):
        """The database file, opened directly: for attacks while the service is stopped."""
        assert self.process is None or self.process.poll() is not None, "stop the service first"
        return sqlite3.connect(self.dir / "pfxd.db", isolation_level=None)


class Device:
    """A device whose every step is openssl's: key, request, decryption, verification."""

    def __init__(self, service, folder, key="rsa:2048"):
        self.service, self.folder = service, pathlib.Path(folder)
        self.folder.mkdir()
        self.key, self.certificate = self.folder / "device.key", self.folder / "device.crt"
        self.ca = self.folder / "enrol-ca.pem"
        self.csr = make_csr(self.folder, key)
        self.id = None

    def enrol(self, token, csr=None):
        answer = self.service.device("POST", "/v1/enroll", {"token": token, "csr": csr or self.csr})
        if answer.status == 201:
            self.certificate.write_text(answer.json["certificate"])
            self.ca.write_text(answer.json["chain"])
            self.id = answer.json["deviceId"]
        return answer

    def pull(self, etag=None, query=""):
        return self.service.device("GET", "/v1/device/bundle" + query, device=self,
                                   headers={"If-None-Match": etag} if etag else None)

    def open(self, bundle):
        """Decrypts and verifies the bytes of a bundle with openssl cms; returns the JSON."""
        cms, signed = self.folder / "bundle.cms", self.folder / "signed.cms"
        cms.write_bytes(bundle)
        run("openssl", "cms", "-decrypt", "-inform", "DER", "-in", cms, "-recip", self.certificate, "-inkey", self.key,
            "-out", signed)
        return json.loads(run("openssl", "cms", "-verify", "-inform", "DER", "-in", signed, "-CAfile", self.ca,
                              "-purpose", "any").stdout)

    def history(self):
        """Pulls and opens: {thumbprint: private key, PEM} of everything delivered, each PKCS#12 opened by openssl."""
        bundle = self.open(self.pull().expect(200).body)
        return {entry["thumbprint"]: open_pkcs12(base64.b64decode(entry["pkcs12"]), entry["password"], self.folder)
                for entry in bundle["certificates"]}


def read_answer(connection, method="GET"):
    """The next answer on a bare connection."""
    answer = http.client.HTTPResponse(connection, method=method)
    answer.begin()
    return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())


def clock(offset):
    """The environment of a Service whose clock is off by this much: "+10m", "-2d" (libfaketime)."""
    found = list(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise Skip("libfaketime is not installed")
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1"}


def at_time(moment):
    """What stands before a command that is to run at another time: "@2017-03-01 00:00:00", or off by "-40d"; None: now.
    Not the program faketime: what a killed process left in /dev/shm under an id that it gets is an error to it."""
    return ["env", *(f"{name}={value}" for name, value in clock(moment).items())] if moment else []


# ---- making inputs, with openssl ----

def make_csr(folder, key="rsa:2048", digest="-sha256"):
    """Makes device.key and returns the request, PEM. key: rsa:N, or a curve's name."""
    out = pathlib.Path(folder) / "device.key"
    kind = ["-newkey", key] if key.startswith("rsa:") else ["-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{key}"]
    return run("openssl", "req", "-new", *kind, "-nodes", "-keyout", out, "-subj", "/CN=ignored", digest).stdout.decode()


class Identity:
    """A self-made S/MIME certificate with its key."""

    def __init__(self, folder, upn, key="rsa:2048", start=None, end=None, days=365, usage=None, name=None, extra=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="identity-", dir=folder))
        self.key, self.certificate = self.folder / "key.pem", self.folder / "cert.pem"
        kind = ["-newkey", key] if ":" in key else ["-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{key}"]
        extensions = ["-addext", f"subjectAltName=email:{upn}", *extra]
        if usage:
            extensions += ["-addext", f"keyUsage=critical,{usage}"]
        command = ["openssl", "req", "-x509", *kind, "-nodes", "-keyout", self.key, "-out", self.certificate,
                   "-subj", f"/CN={name or upn}", "-days", str(days), *extensions]
        run(*at_time(start and f"@{start}"), *command)

    def pfx(self, password="secret", *options):
        return run("openssl", "pkcs12", "-export", "-inkey", self.key, "-in", self.certificate, "-passout",
                   f"pass:{password}", *options).stdout

    @property
    def key_pem(self):
        return run("openssl", "pkey", "-in", self.key).stdout

    @property
    def thumbprint(self):
        return fingerprint(self.certificate, "sha1")

    def encrypt(self, text):
        """A mail, encrypted to this certificate: S/MIME, DER."""
        return run("openssl", "cms", "-encrypt", "-aes-256-cbc", "-outform", "DER", self.certificate, input=text).stdout


def fingerprint(certificate, digest):
    der = run("openssl", "x509", "-in", certificate, "-outform", "DER").stdout
    import hashlib
    return hashlib.new(digest, der).hexdigest()


def open_pkcs12(pkcs12, password, folder, *options):
    """The private key in a PKCS#12, PEM, as openssl opens it."""
    path, word = pathlib.Path(folder) / "one.p12", pathlib.Path(folder) / "one.password"
    path.write_bytes(pkcs12)
    word.write_text(password)
    key = run("openssl", "pkcs12", "-in", path, "-nodes", "-nocerts", "-passin", f"file:{word}", *options).stdout
    return run("openssl", "pkey", input=key).stdout


# ---- frames, as a captured front would send them ----

class Frames:
    """A connection to one of the keeper's sockets. Fields are bytes that field() and friends make."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        # Relative from the folder: a socket's path has at most 107 bytes.
        fd = os.open(path.parent, os.O_PATH)
        try:
            self.socket.connect(f"/proc/self/fd/{fd}/{path.name}")
        finally:
            os.close(fd)

    def send(self, verb, fields=b""):
        self.socket.sendall(struct.pack(">IB", len(fields) + 1, verb) + fields)

    def receive(self):
        """(verb, fields), or None when the keeper dropped the connection."""
        header = self._read(5)
        if header is None:
            return None
        length, verb = struct.unpack(">IB", header)
        return verb, self._read(length - 1)

    def _read(self, n):
        data = b""
        while len(data) < n:
            try:
                part = self.socket.recv(n - len(data))
            except ConnectionResetError:
                return None
            if not part:
                return None
            data += part
        return data

    def ask(self, verb, fields=b""):
        try:
            self.send(verb, fields)
        except (BrokenPipeError, ConnectionResetError):
            return None
        return self.receive()

    def close(self):
        self.socket.close()


def field(value):
    """A text or bytes field of a frame."""
    if isinstance(value, str):
        value = value.encode()
    return struct.pack(">I", len(value)) + value


def u8(value):
    return struct.pack(">B", value)


def u32(value):
    return struct.pack(">I", value)


def verbs():
    """{name: number} of every verb, read from the header that holds them."""
    text = (ROOT / "common/protocol.h").read_text()
    return {m[1]: int(m[2]) for m in re.finditer(r"\bV\((\w+),\s*(\d+),", text)}


def ask_on_terminal(command, typed):
    """Runs a command on a terminal of its own; types what is given once a prompt shows. (exit status, output)"""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(command[0], [str(c) for c in command])
    output, answered = b"", 0
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while part := os.read(fd, 4096):
            output += part
            if answered < len(typed) and output.count(b": ") > answered:
                time.sleep(0.2)  # the echo goes off after the prompt is out
                os.write(fd, typed[answered])
                answered += 1
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output.decode()


def in_parallel(*functions):
    """Runs the functions at once, each on a thread; returns their results, or raises the first error."""
    results = [None] * len(functions)
    errors = []
    barrier = threading.Barrier(len(functions))

    def work(i, function):
        try:
            barrier.wait()
            results[i] = function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=item) for item in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
