#!/usr/bin/env python3
"""Passwords, tokens, PFX files and private keys are gone once a request is answered, refused, or cut short: from the
memory and the registers of every room. They never reach a file, the log, a command line or an environment.

Nothing resists: there is no list of exceptions here. Not looked for is what the service is there to keep (the keyring,
the servers' own TLS key, what is sealed in the database), and what is not in its processes: the kernel's buffers."""

from needles import *
from inputs import make_pfx

import ctypes
import errno

ANN, BOB, CAROL = "ann@example.org", "bob@example.org", "carol@example.org"

# PFX files that take different ways through an opener: the key, and what `openssl pkcs12 -export` is told.
FORMS = (
    ("rsa:2048", ()),
    ("P-256", ()),
    ("P-521", ("-keypbe", "AES-128-CBC", "-macalg", "sha512")),
    ("brainpoolP384r1", ()),
    ("rsa:1024", ()),
    ("rsa:4096", ("-legacy",)),
    ("P-384", ("-legacy", "-descert")),
    ("rsa:3072", ("-legacy", "-keypbe", "PBE-SHA1-RC4-128", "-certpbe", "PBE-SHA1-RC2-128")),
)
# What TLS decrypts with different code. None: what clients choose of themselves, in TLS 1.3.
CIPHERS = (None, "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-CCM",
           "ECDHE-ECDSA-AES128-SHA")


# ---- looking into processes ----

PTRACE_DETACH, PTRACE_GETREGSET, PTRACE_SETREGSET, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4204, 0x4205, 0x4206, 0x4207
WALL = 0x40000000                                       # __WALL of waitpid(2): threads too
REGISTER_SETS = (0x202, 2)                              # NT_X86_XSTATE; elsewhere NT_PRFPREG
REGISTERS_MAX_BYTES = 1 << 16
NOT_MEMORY = ("[vvar]", "[vvar_vclock]", "[vsyscall]")  # pages of the kernel's

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Vector(ctypes.Structure):
    """struct iovec"""
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Frozen:
    """A process with all its threads held: what is read of it is of one moment."""

    def __init__(self, pid):
        self.pid, self.threads = pid, []

    def _hold(self, thread):
        if libc.ptrace(PTRACE_SEIZE, thread, None, None) != 0:
            error = ctypes.get_errno()
            if error == errno.EPERM:
                raise Skip("this root may not look into processes")
            raise OSError(error, os.strerror(error))
        self.threads.append(thread)
        libc.ptrace(PTRACE_INTERRUPT, thread, None, None)
        os.waitpid(thread, WALL)

    def __enter__(self):
        tasks = pathlib.Path(f"/proc/{self.pid}/task")
        while new := {int(task.name) for task in tasks.iterdir()} - set(self.threads):
            for thread in new:
                self._hold(thread)
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            libc.ptrace(PTRACE_DETACH, thread, None, None)

    def memory(self, mode="rb"):
        return open(f"/proc/{self.pid}/mem", mode, buffering=0)

    def mappings(self):
        """(first address, end, name) of what can be read."""
        for line in pathlib.Path(f"/proc/{self.pid}/maps").read_text().splitlines():
            span, rights, _, _, _, *name = line.split(None, 5)
            if rights.startswith("r") and not (name and name[0] in NOT_MEMORY):
                yield *(int(n, 16) for n in span.split("-")), name[0] if name else "anonymous memory"

    def registers(self, thread):
        """(set, bytes)"""
        for kind in REGISTER_SETS:
            buffer = ctypes.create_string_buffer(REGISTERS_MAX_BYTES)
            vector = Vector(ctypes.addressof(buffer), REGISTERS_MAX_BYTES)
            if libc.ptrace(PTRACE_GETREGSET, thread, kind, ctypes.addressof(vector)) == 0:
                return kind, buffer.raw[:vector.length]
        raise AssertionError("no registers can be read")

    def set_registers(self, thread, kind, data):
        buffer = ctypes.create_string_buffer(data, len(data))
        vector = Vector(ctypes.addressof(buffer), len(data))
        assert libc.ptrace(PTRACE_SETREGSET, thread, kind, ctypes.addressof(vector)) == 0

    def parts(self):
        """(where, bytes) of all that it holds."""
        with self.memory() as memory:
            for start, end, name in self.mappings():
                data = b""
                with contextlib.suppress(OSError):
                    memory.seek(start)
                    data = memory.read(end - start)
                # A file may end before its mapping does, as while a process begins.
                assert len(data) == end - start or name.startswith("/"), f"{name} was not read to its end"
                yield f"{name} at {start:x}", data
        for thread in self.threads:
            yield f"registers of {thread}", self.registers(thread)[1]


def parts_of(pid):
    """(where, bytes) of a process; nothing if it has ended in the meantime, as openers do after a minute."""
    try:
        with Frozen(pid) as process:
            parts = list(process.parts())
        return parts + [(name, pathlib.Path(f"/proc/{pid}/{name}").read_bytes()) for name in ("cmdline", "environ")]
    except (OSError, AssertionError):
        if is_running(pid):
            raise
        return []


def everybody(service):
    """[(room, pid)], with the launcher."""
    return [("launcher", service.process.pid)] + [(room, pid) for room, pids in service.rooms().items() for pid in pids]


def traces_in_processes(service, needles):
    """{room: {needle: where}} of what memory, registers, command lines and environments hold."""
    found = {}
    for room, pid in everybody(service):
        for where, data in parts_of(pid):
            for needle, at in needles.found_in(data).items():
                found.setdefault(room, {})[needle] = f"{where} + {at:x}"
    return found


def open_files(service):
    """The regular files that rooms have open, those without a name too."""
    for room, pid in everybody(service):
        entries = []
        with contextlib.suppress(FileNotFoundError):  # an opener may have ended meanwhile
            entries = list(pathlib.Path(f"/proc/{pid}/fd").iterdir())
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file():
                    yield f"{room}: {os.readlink(entry)}", entry.read_bytes()


def traces_in_files(service, needles):
    """{file: {needle: offset}} of the whole folder, the log, and what else is open."""
    files = [(str(path), path.read_bytes()) for path in service.dir.rglob("*")
             if path.is_file() and path.name != "admin.token"]  # which is where that token belongs
    files += [("the log", service.log_path.read_bytes()), *open_files(service)]
    return {name: found for name, data in files if (found := needles.found_in(data))}


# ---- the end of all work ----

def connections(service):
    """How many connections of clients the service still holds."""
    held, ports = ("01", "08"), {format(service.base + i, "04X") for i in range(3)}  # ESTABLISHED, CLOSE_WAIT
    lines = [line.split() for table in ("tcp", "tcp6")
             for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return sum(line[3] in held and line[1].rsplit(":", 1)[1] in ports for line in lines)


def threads(service):
    """({thread: how often it has gone to sleep}, whether all sleep)."""
    seen, asleep = {}, True
    for _, pid in everybody(service):
        for path in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
            text = path.read_text()
            seen[path] = re.search(r"^voluntary_ctxt_switches:\t(\d+)", text, re.M)[1]
            asleep &= "State:\tS" in text
    return seen, asleep


def at_rest(service, clients):
    """All sleep, and none has woken since all were seen asleep; nobody is connected but those who are meant to be."""
    with contextlib.suppress(OSError):
        before, asleep = threads(service)
        return asleep and threads(service) == (before, True) and connections(service) == clients
    return False


def assert_gone(passed, when, clients=0):
    """After one unrelated request there is nothing anywhere of what has passed, that request's own token included."""
    service, unrelated = passed.service, passed.token("auditor")
    service.admin("GET", "/v1/users", token=unrelated).expect(200)
    wait_until(lambda: at_rest(service, clients), 60, "the end of all work")
    assert {"launcher", "keeper", "front-admin", "front-device"} <= {room for room, _ in everybody(service)}
    for found in (traces_in_processes(service, passed), traces_in_files(service, passed)):
        assert not found, f"{when}: {found}"


# ---- what passes ----

class Passed(Needles):
    """What clients send and get, to be looked for; and the sending of it."""

    def __init__(self, folder, config=""):
        need_root()
        without_a_sanitizer()
        super().__init__()
        self.folder = folder
        self.service = Service(folder, config="[log]\nlevel = 7\n" + config)
        self.nobody = Identity(folder, "nobody@example.org", key="P-256")
        self.add_text("the first token", self.service.token)
        self.admin_token = self.token("admin")

    def token(self, role):
        made = self.service.make_token(role)
        self.add_text(f"a token, {role}", made)
        return made

    def password(self):
        """One of its own for each file. Not all of it is ASCII, so its JSON is not its UTF-8."""
        word = f"pässwörd {os.urandom(8).hex()} \N{KEY}"
        self.add_text("a password", word)
        return word

    def private_key(self, what, path):
        numbers = numbers_of(path.read_bytes())
        assert numbers, f"{what}: no private number was found, and so none would be looked for"
        for name, value in numbers.items():
            self.add_binary(f"{name} of {what}", value)

    def pkcs12(self, what, file, other, thumbprint):
        """A file, as it is and as base64. other: of the same form; what both hold, wherever it lies, tells nothing."""
        self.add_file(what, file, other, thumbprint)
        common = b"".join([*base64_cores(other), *base64_cores(bytes.fromhex(thumbprint))])
        self.add_file(f"base64 of {what}", base64.b64encode(file), common, thumbprint)

    def pfx(self, upn, key="P-256", options=()):
        """(file, password) of a new identity."""
        identity, word, name = Identity(self.folder, upn, key=key), self.password(), " ".join((key, *options))
        file = identity.pfx(word, *options)
        self.private_key(name, identity.key)
        self.pkcs12(f"PFX {name}", file, self.nobody.pfx(word, *options), identity.thumbprint)
        return file, word

    def send(self, body, path=f"/v1/users/{ANN}/certificates", token=None, port=1, method="POST", context=None,
             kind="application/json"):
        """A request with the administrator's token, or another; token "": without."""
        headers = {"Content-Type": kind}
        if token != "":
            headers["Authorization"] = f"Bearer {token or self.admin_token}"
        return self.service.call(self.service.base + port, method, path, body, headers, context)

    def enrol(self, upn, key, **more):
        wish = json.dumps({"name": "phone", **more})
        token = self.send(wish, f"/v1/users/{upn}/enrollments").expect(201).json["token"]
        self.add_text("an enrolment token", token)
        device = Device(self.service, pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / "device", key)
        device.enrol(token).expect(201)
        return device

    def pull(self, device):
        """In both forms. What the device has decrypted is looked for from now on."""
        for query in ("", "?cms=enveloped"):
            entries = device.open(device.pull(query=query).expect(200).body)["certificates"]
        assert len(entries) > 1, "files can only be told from others of their form"
        for entry, other in zip(entries, entries[1:] + entries[:1]):
            self.add_text("the password of a delivered PKCS#12", entry["password"])
            self.pkcs12("a delivered PKCS#12", *(base64.b64decode(e["pkcs12"]) for e in (entry, other)),
                        entry["thumbprint"])


def import_body(pfx, password, **more):
    return json.dumps({"pkcs12": base64.b64encode(pfx).decode(), "password": password, **more}).encode()


def raw_import(passed, body, framing=None):
    """The bytes of an import, for connections that do what http.client would not."""
    framing = framing or f"Content-Length: {len(body)}"
    return (f"POST /v1/users/{ANN}/certificates HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {passed.admin_token}\r\n{framing}\r\n\r\n").encode() + body


def chunked(body, size=1000):
    parts = [body[at:at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


# ---- the tests ----

@test
def what_was_imported_and_pulled_is_gone(folder):
    passed = Passed(folder)
    for key, options in FORMS:
        passed.send(import_body(*passed.pfx(ANN, key, options))).expect(201)
    pair, word = [Identity(folder, BOB) for _ in range(2)], passed.password()
    for identity in pair:
        passed.private_key("one of two keys in a PFX", identity.key)
    body = import_body(make_pfx([(identity.key, identity.certificate) for identity in pair], word), word)
    assert len(passed.send(body, f"/v1/users/{BOB}/certificates").expect(201).json["certificates"]) == 2
    for device in (passed.enrol(ANN, "rsa:2048"), passed.enrol(BOB, "P-256", platform="ios-16")):
        passed.pull(device)
    for cipher in CIPHERS:
        context = passed.service.context()
        if cipher:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(cipher)
        passed.send(import_body(*passed.pfx(CAROL)), f"/v1/users/{CAROL}/certificates", context=context).expect(201)
    assert len(passed.service.rooms()["opener-pfx"]) > 1, "the opener that served has ended already"
    assert_gone(passed, "imported and pulled")
    # Every key once more, through the keeper and an opener of its own.
    for arguments in (["verify"], ["backup", folder / "b"], ["verify", "--database", folder / "b"],
                      ["restore", folder / "b", "--replace", "--trust-tokens"]):
        run(BUILD / "pfxctl", "--dev", passed.service.dir, *arguments)
    passed.service.wait_ready()
    assert_gone(passed, "verified, backed up and restored")


@test
def what_was_refused_is_gone(folder):
    passed = Passed(folder)
    pfx, _ = passed.pfx(ANN)
    text = base64.b64encode(pfx).decode()
    cases = (
        # status; the body with a password of its own; how it is sent
        (422, lambda word: import_body(pfx, word), {}),
        (422, lambda word: import_body(pfx[:-50], word), {}),
        (400, lambda word: import_body(pfx, word)[:-1], {}),
        (400, lambda word: import_body(pfx, word)[:-2], {}),
        (400, lambda word: b"[" + import_body(pfx, word) + b"]", {}),
        (400, lambda word: json.dumps([word, text]), {}),
        (400, lambda word: json.dumps({"pkcs12": [text], "password": {"is": word}}), {}),
        (400, lambda word: import_body(pfx, word, note=[word, text]), {}),
        (400, lambda word: import_body(pfx, word, usages=word), {}),
        (413, lambda word: import_body(pfx, word) + b" " * (2 << 20), {}),
        (400, lambda word: import_body(pfx, word * 100), {}),
        (415, lambda word: import_body(pfx, word), {"kind": "text/plain"}),
        (401, lambda word: import_body(pfx, word), {"token": passed.admin_token[::-1]}),
        (401, lambda word: import_body(pfx, word), {"token": ""}),
        (403, lambda word: import_body(pfx, word), {"token": passed.token("auditor")}),
        (400, lambda word: import_body(pfx, word), {"path": "/v1/users/%zz/certificates"}),
        (400, lambda word: import_body(pfx, word), {"path": f"/v1/users/{ANN}/certificates?x=y"}),
        (404, lambda word: import_body(pfx, word), {"path": "/v1/nothing"}),
        (405, lambda word: import_body(pfx, word), {"method": "PUT"}),
        (400, lambda word: import_body(pfx, word), {"path": "/v1/enroll", "port": 0}),
        (405, lambda word: import_body(pfx, word), {"path": "/livez", "port": 2}),
    )
    for number, (status, make, how) in enumerate(cases):
        answer = passed.send(make(passed.password()), **how)
        assert answer.status == status, (number, answer.status, answer.body)
    passed.add_text("a token with its characters turned round", passed.admin_token[::-1])
    # One that was opened, key and all, before it was refused.
    unfit, word = Identity(folder, ANN, usage="keyCertSign"), passed.password()
    passed.private_key("a key that is not for mail", unfit.key)
    passed.send(import_body(unfit.pfx(word), word)).expect(422, "not_for_mail")
    assert_gone(passed, "refused")


@test
def what_was_cut_short_is_gone(folder):
    passed = Passed(folder)
    pfx, _ = passed.pfx(ANN, "rsa:2048")
    for framing in (None, "Transfer-Encoding: chunked"):
        for end in (-len(pfx), -20, -1, None):  # in the PFX, in the password, before the last byte, before the answer
            body = import_body(pfx, passed.password())
            with passed.service.connect(passed.service.base + 1) as connection:
                connection.sendall(raw_import(passed, chunked(body) if framing else body, framing)[:end])
    with passed.service.connect(passed.service.base + 1) as connection:
        connection.sendall(raw_import(passed, b"")[:-30])  # in the headers, after the token
    assert_gone(passed, "cut short")


@test
def a_connection_that_stays_open_keeps_nothing_of_what_was_answered(folder):
    passed = Passed(folder)
    service = passed.service
    bodies = [import_body(*passed.pfx(ANN, key)) for key in ("rsa:2048", "P-256", "P-384")]
    plain, pieces, crowd = (service.connect(service.base + 1) for _ in range(3))
    plain.sendall(raw_import(passed, bodies[0]))
    pieces.sendall(raw_import(passed, chunked(bodies[1]), "Transfer-Encoding: chunked"))
    crowd.sendall(2 * raw_import(passed, bodies[2]))  # the second before the first is answered
    for connection, status in ((plain, 201), (pieces, 201), (crowd, 201), (crowd, 200)):
        read_answer(connection, "POST").expect(status)
    device = passed.enrol(ANN, "P-256")
    passed.pull(device)
    context = service.context(device.certificate, device.key)
    bundles = http.client.HTTPSConnection("localhost", service.base, context=context)
    bundles.request("GET", "/v1/device/bundle")
    assert bundles.getresponse().read()
    assert_gone(passed, "on connections that are open", clients=4)
    for connection in (plain, pieces, crowd, bundles):
        connection.close()
    assert_gone(passed, "on connections that were open")


SLOW = ("-iter", "1000000")  # time enough to catch an opener at it
SLOW_CONFIG = "[opener]\nmax_work = 20000000\n"


def held_opener(service):
    """Waits until an opener works on a slow PFX, stops it there, and returns it."""
    wait_until(lambda: busy_cpu(service.rooms().get("opener-pfx", [])), what="an opener at work")
    pid = next(pid for pid in service.rooms()["opener-pfx"] if busy_cpu([pid]))
    os.kill(pid, signal.SIGSTOP)
    return pid


@test
def what_a_room_was_working_on_when_it_was_killed_is_gone_from_the_others(folder):
    passed = Passed(folder, SLOW_CONFIG)
    service = passed.service
    for room in ("opener-pfx", "keeper", "front-admin"):
        body = import_body(*passed.pfx(ANN, "P-256", SLOW))

        def ask():
            with contextlib.suppress(OSError, http.client.HTTPException):
                return passed.send(body).status

        def kill():
            opener = held_opener(service)
            victim = opener if room == "opener-pfx" else service.rooms()[room][0]
            os.kill(victim, signal.SIGKILL)
            send_signal(signal.SIGCONT, [opener])
            wait_until(lambda: not is_running(victim), what=f"the end of {room}")

        status, _ = in_parallel(ask, kill)
        assert status != 201, f"{room} was killed too late"
        service.wait_ready()
        assert_gone(passed, f"{room} was killed")


# ---- that the search would see it ----

def plant(pid, marker):
    """Writes it where nothing else is: at the far end of the stack, at the end of the heap, into a register. Returns
    ({where}, what the process then holds)."""
    with Frozen(pid) as process, process.memory("r+b") as memory:
        spots = {name: start if name == "[stack]" else end - 64 for start, end, name in process.mappings()
                 if name in ("[stack]", "[heap]")}
        for at in spots.values():
            memory.seek(at)
            memory.write(marker)
        kind, registers = process.registers(pid)
        changed = bytearray(registers)
        changed[160:160 + WINDOW] = marker[:WINDOW]  # xmm0, by the layout of FXSAVE; v10 of arm64
        if kind == REGISTER_SETS[0]:
            changed[512] |= 2  # XSTATE_BV: the xmm registers are in use
        process.set_registers(pid, kind, bytes(changed))
        return {*spots, "registers"}, list(process.parts())


def places(parts, needles):
    """Without addresses."""
    return {re.split(" at | of ", where)[0] for where, data in parts if needles.found_in(data)}


@test
def the_search_finds_what_is_planted_in_every_room_and_file(folder):
    passed = Passed(folder)
    service = passed.service
    passed.send(import_body(*passed.pfx(ANN))).expect(201)
    passed.enrol(ANN, "P-256")
    wait_until(lambda: at_rest(service, 0), 60, "the end of all work")
    needles, marker = Needles(), os.urandom(32)
    needles.add("a marker", marker)
    assert not traces_in_processes(service, needles) and not traces_in_files(service, needles)
    for room, pid in everybody(service):
        spots, parts = plant(pid, marker)
        assert "[stack]" in spots and ("[heap]" in spots or room == "launcher"), (room, spots)
        assert places(parts, needles) == spots, room
    assert set(traces_in_processes(service, needles)) == {"launcher", "keeper", "front-device", "front-admin",
                                                          "opener-pfx", "opener-csr"}
    spy = subprocess.Popen([sys.executable, "-c", "input(1)", marker.hex()], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, env={"MARK": marker.hex()})
    assert spy.stdout.read(1)  # it has begun
    needles.add("a marker, hex", marker.hex().encode())
    assert {"cmdline", "environ"} <= places(parts_of(spy.pid), needles)
    spy.communicate(b"\n")
    paths = (service.dir / "pfxd.db", service.dir / "run" / "a new file", service.log_path)
    for path in paths:
        with open(path, "ab") as file:
            file.write(b"..." + marker)
    assert {str(paths[0]), str(paths[1]), "the log"} <= set(traces_in_files(service, needles))


@test
def the_search_finds_what_rooms_keep_and_what_they_are_working_on(folder):
    passed = Passed(folder, SLOW_CONFIG)
    service, kept = passed.service, Needles()
    for name, number in numbers_of((service.dir / "tls/server.key").read_bytes()).items():
        kept.add_binary(f"{name} of the TLS key", number)
    keyring = (service.dir / "keyring").read_text()
    kept.add("a wrapping key", base64.b64decode(re.search(r"^wrap \S+ (\S+)", keyring, re.M)[1]))
    found = traces_in_processes(service, kept)
    assert set(found) == {"keeper", "front-device", "front-admin"} and "a wrapping key" in found["keeper"], found

    pfx, word = passed.pfx(ANN, "P-256", SLOW)
    (folder / "word").touch(0o600)
    (folder / "word").write_text(word)
    (folder / "slow.pfx").write_bytes(pfx)
    client = subprocess.Popen([BUILD / "pfxctl", "--dev", service.dir, "import", ANN, folder / "slow.pfx",
                               "--password-file", folder / "word"], stdout=subprocess.DEVNULL)
    opener = held_opener(service)
    found = traces_in_processes(service, passed)
    for room in ("keeper", "opener-pfx"):
        assert "a password, UTF-8" in found[room] and any(needle.startswith("PFX") for needle in found[room]), found
    # The client holds them as well, but not where everybody could read them.
    parts = dict(parts_of(client.pid))
    assert any(passed.found_in(data) for data in parts.values())
    assert not passed.found_in(parts["cmdline"]) and not passed.found_in(parts["environ"])
    os.kill(opener, signal.SIGCONT)
    assert client.wait(60) == 0
    assert_gone(passed, "once it was done")


if __name__ == "__main__":
    main()
