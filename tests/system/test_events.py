#!/usr/bin/env python3
"""What the service says of itself: the table of events with its catalog and its page, one event a request, the fields
in which the journal gets them, and what must be in none."""

import ctypes
import re

from inputs import *
from units import Keeper, Machine

UPN, PASSWORD, PHONE = "anna.private@example.org", "a password of some length", "the phone of Anna"
FRONTS = ("pfxd-front (devices)", "pfxd-front (administrators)")


class Fact:
    """One line of the table in common/events.h."""

    def __init__(self, name, number, level, message_id, sentence, fields):
        self.name, self.number, self.level, self.message_id, self.sentence = name, number, level, message_id, sentence
        self.fields = set(fields.split())


def table():
    """{number: Fact}"""
    text = (ROOT / "common/events.h").read_text().replace("\\\n", " ")
    rows = re.findall(r'E\((\w+),\s*(\d+),\s*(\w+),\s*"(\w+)",\s*"([^"]*)",\s*"([^"]*)"\)', text)
    assert len(rows) == len(re.findall(r"\bE\([A-Z]", text)) > 20, "the table can not be read"
    return {row[1]: Fact(*row) for row in rows}


TABLE = table()


class Event:
    """One event that was logged: its number, and its fields as (name, value) pairs."""

    def __init__(self, program, number, fields):
        self.program, self.number, self.fields = program, number, fields

    def __getitem__(self, name):
        """The value of a field that is there at most once; None where it is not."""
        values = self.all(name)
        assert len(values) <= 1, (self, name)
        return values[0] if values else None

    def all(self, name):
        return [value for field, value in self.fields if field == name]

    def __repr__(self):
        return f"{self.program}: {self.number} {self.fields}"


def events(service):
    """Every event in the log, each checked against the table."""
    found = []
    for line in service.log().splitlines():
        match = re.fullmatch(r"(?:<\d>)?(pfxd[a-z-]*(?: \([a-z]+\))?): (\d{4}) (.*)", line)
        if not match:
            continue
        program, number, text = match.groups()
        assert number in TABLE and text.startswith(TABLE[number].sentence), line
        fields = re.findall(r' ([a-z_]+)="((?:[^"\\]|\\.)*)"', text)
        found.append(Event(program, number, fields))
        assert {name for name, _ in fields} <= TABLE[number].fields, line
    return found


def of_keeper(service, *numbers):
    return [e for e in events(service) if e.program == "pfxd-keeper" and e.number in numbers]


def of_fronts(service):
    return [e for e in events(service) if e.program in FRONTS and e.number in ("2000", "2001")]


# ---- the table, the catalog, the page ----

def catalog():
    """{message id: (headers, body)}"""
    text = "".join(line for line in (ROOT / "systemd/pfxd.catalog").open() if not line.startswith("#"))
    before, *entries = re.split(r"^-- ([0-9a-f]{32})\n", text, flags=re.M)
    assert not before.strip(), before
    found = {}
    for name, entry in zip(entries[::2], entries[1::2]):
        headers, body = entry.split("\n\n", 1)
        assert name not in found, f"{name} is there twice"
        found[name] = dict(line.split(": ", 1) for line in headers.splitlines()), body.strip()
    return found


# Fields that an entry of these events may lack, or lacks where names are left out: the journal shows a field's name for
# one that is not there.
NOT_ALWAYS_THERE = {"2000": {"user", "device", "thumbprint"}, "2050": {"user", "thumbprint"},
                    "2001": TABLE["2001"].fields - {"request_id", "ms"}, "3012": {"detail"},
                    "2051": {"user", "user_id", "device"}, "2052": {"user", "user_id", "device", "detail"}}


@test
def every_event_has_its_entry_in_the_catalog_and_every_entry_its_event(folder):
    explained = catalog()
    assert set(explained) == {fact.message_id for fact in TABLE.values()}
    for fact in TABLE.values():
        headers, body = explained[fact.message_id]
        assert headers["Subject"] == f"pfxd {fact.number}: {fact.sentence}", headers
        assert headers["Defined-By"] == "pfxd"
        assert len(body) > 60, f"{fact.number} is not explained"
        assert all(len(line) <= 90 for line in body.splitlines()), fact.number
        named = {name.removeprefix("PFXD_").lower() for name in re.findall(r"@(\w+)@", body)}
        assert named <= fact.fields - NOT_ALWAYS_THERE.get(fact.number, set()), (fact.number, named)


@test
def journalctl_takes_the_catalog_and_shows_every_entry(folder):
    there = folder / "usr/lib/systemd/catalog"
    there.mkdir(parents=True)
    shutil.copy(ROOT / "systemd/pfxd.catalog", there)
    run("journalctl", "--root", folder, "--update-catalog")
    listed = run("journalctl", "--root", folder, "--list-catalog").stdout.decode().splitlines()
    assert {line.split()[0]: line.split(": ", 1)[1] for line in listed} == {
        fact.message_id: f"pfxd {fact.number}: {fact.sentence}" for fact in TABLE.values()}


@test
def the_page_of_events_is_made_from_the_table_and_the_catalog(folder):
    made = run(ROOT / "docs/generate-events").stdout.decode()
    assert made == (ROOT / "docs/events.md").read_text(), "docs/events.md is old: make docs/events.md"
    for fact in TABLE.values():
        assert f"\n### {fact.number}\n" in made and fact.message_id in made


@test
def every_event_is_logged_somewhere_and_what_is_no_event_is_for_debugging(folder):
    sources = {path: path.read_text() for top in ("common", "daemon", "clients") for path in (ROOT / top).rglob("*.c")}
    everything = "\n".join(sources.values())
    unused = [fact.name for fact in TABLE.values() if not re.search(rf"\bEVENT_{fact.name}\b", everything)]
    assert not unused, unused
    for path, text in sources.items():
        for level in re.findall(r"\blog_line\((\w+)", text):
            assert level == "LOG_LEVEL_DEBUG" or path.name == "log.c", f"{path}: a line at {level} that is no event"


# ---- one event a request ----

def say(service, port, text, give_up=False):
    """Sends bytes on a connection of its own; returns what came until its end. With give_up nothing more will be sent,
    which the service is told: a connection that is closed with something unread may lose what was sent on it. What came
    is then not decrypted."""
    with contextlib.closing(service.connect(port)) as connection:
        connection.sendall(text)
        if give_up:
            connection.shutdown(socket.SHUT_WR)
        got = b""
        with contextlib.suppress(OSError):
            while part := connection.recv(65536):
                got += part
    return got


def answered_requests(service, folder):
    """Requests of all sorts that get an answer: (status, X-Request-Id) of each."""
    identity = Identity(folder, UPN, key="P-256")
    got = []

    def note(answer):
        got.append((str(answer.status), answer.headers["x-request-id"]))
        return answer

    user = f"/v1/users/{UPN}"
    pfx = {"pkcs12": base64.b64encode(identity.pfx(PASSWORD)).decode(), "password": PASSWORD}
    note(service.admin("POST", f"{user}/certificates", pfx)).expect(201)
    note(service.admin("POST", f"{user}/certificates", pfx)).expect(200)
    note(service.admin("POST", f"{user}/certificates", {**pfx, "password": "wrong"})).expect(422)
    note(service.admin("POST", f"{user}/certificates", {UPN: PASSWORD})).expect(400)
    note(service.admin("POST", f"{user}/certificates", "x" * 3_000_000, headers={"Content-Type": "application/json"}))
    note(service.admin("GET", "/v1/users", token="x" * 43)).expect(401)
    note(service.admin("GET", "/v1/users/nobody-of-that-name")).expect(404)
    note(service.admin("GET", f"/{UPN}?token={PASSWORD.replace(' ', '+')}")).expect(404)
    note(service.admin("PUT", "/v1/users")).expect(405)
    note(service.admin("PATCH", user, {"upn": UPN}, headers={"Content-Type": "text/plain"})).expect(415)
    made = note(service.admin("POST", f"{user}/enrollments", {"name": PHONE})).expect(201).json
    device = Device(service, folder / "a device", "P-256")
    note(device.enrol(made["token"])).expect(201)
    pulled = note(device.pull()).expect(200)
    assert note(device.pull(pulled.headers["etag"])).status == 304
    note(service.device("GET", "/v1/device/certificates", device=device)).expect(200)
    note(service.device("POST", "/v1/device/receipts", {"installed": [identity.thumbprint]}, device))
    note(service.device("GET", "/v1/device/bundle")).expect(401)
    note(service.admin("DELETE", f"{user}/certificates/{identity.thumbprint.upper()}"))
    note(service.admin("DELETE", f"/v1/devices/{device.id}"))
    note(device.pull()).expect(403)
    return got, identity, device, [made["token"], service.token, PASSWORD]


@test
def every_request_gives_exactly_one_event_in_its_front(folder):
    service = Service(folder)
    got, identity, device, _ = answered_requests(service, folder)
    logged = of_fronts(service)
    assert [(e["status"], e["request_id"]) for e in logged] == got
    for event in logged:
        failed = int(event["status"]) >= 400
        assert event.number == ("2001" if failed else "2000"), event
        assert bool(event["code"]) == bool(event["detail"]) == failed, event
        assert event["call"] or event["path"], event
    calls = [e["call"] for e in logged]
    assert calls[0] == "POST /v1/users/{upn}/certificates" and logged[0]["user"] == UPN
    assert [e["user"] for e in logged if e["call"] and "{upn}" in e["call"] and e["user"] != UPN] == \
        ["nobody-of-that-name"]
    deleted = logged[calls.index("DELETE /v1/users/{upn}/certificates/{thumbprint}")]
    assert deleted["thumbprint"] == identity.thumbprint
    assert logged[calls.index("DELETE /v1/devices/{id}")]["device"] == device.id
    assert logged[calls.index("POST /v1/enroll")]["device"] == device.id


@test
def a_request_that_the_http_library_refuses_gives_one_event_too(folder):
    service = Service(folder)
    rest = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    cases = ((b"GET / HTTP/9.1\r\nHost: x\r\n\r\n", b"505"),
             (b"POST /v1/enroll" + rest + b"Content-Length: 1x\r\n\r\n", b"400"),
             (b"GET /v1/device/bundle" + rest + b"X: " + b"x" * 36_000 + b"\r\n\r\n", b"431"), # this one is the front's
             (b"GET /v1/device/bundle" + rest + b"X: " + b"x" * 45_000 + b"\r\n\r\n", b"431"),
             (b"GET /" + b"x" * 45_000 + rest + b"\r\n", b"414"))
    for text, status in cases:
        before = len(of_fronts(service))
        answer = say(service, service.base, text)
        assert answer.split(b" ", 2)[1] == status, answer[:200]
        request_id = re.search(rb"X-Request-Id: ([0-9a-f-]+)", answer)[1].decode()
        event, = of_fronts(service)[before:]
        assert (event.number, event["status"], event["request_id"]) == ("2001", status.decode(), request_id), event
    service.stop()
    assert len(of_fronts(service)) == len(cases), "an event came later"


@test
def a_request_whose_client_goes_away_gives_one_event_without_a_status(folder):
    service = Service(folder)
    for number, text in enumerate((b"GET /v1/device/bundle HTTP/1.1\r\nHost",
                                   b"POST /v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"), 1):
        say(service, service.base, text, give_up=True)
        wait_until(lambda: len(of_fronts(service)) == number, what="the event of a request that was given up")
    service.stop()
    assert [(e.number, e["status"], e["code"]) for e in of_fronts(service)] == [("2001", None, None)] * 2
    assert of_fronts(service)[1]["call"] == "POST /v1/enroll"
    # A connection on which nothing was asked is none.
    service.start()
    service.connect(service.base).close()
    service.stop()
    assert len(of_fronts(service)) == 2


@test
def probes_are_told_for_debugging_only(folder):
    service = Service(folder)
    for path in ("/livez", "/readyz", "/metrics"):
        service.health(path).expect(200)
    assert not of_fronts(service)
    service.stop()
    (service.dir / "pfxd.conf").open("a").write("[log]\nlevel = 7\n")
    service.start()
    service.health("/livez").expect(200)
    assert [e["call"] for e in of_fronts(service) if e["call"] == "GET /livez"]


# ---- what the keeper did with keys ----

@test
def a_pull_is_told_with_whose_it_was_and_each_thumbprint_and_nothing_new_is_not(folder):
    service = Service(folder)
    identities = [Identity(folder, UPN, key="P-256", days=days) for days in (10, 20, 30)]
    for identity in identities:
        service.import_pfx(UPN, identity.pfx(), "secret").expect(201)
    device = service.enrol(UPN, "P-256", name=PHONE)
    pulled = device.pull().expect(200)
    event, = of_keeper(service, "2050", "2051", "2052")
    assert event.number == "2050" and event["request_id"] == pulled.headers["x-request-id"]
    assert event["user"] == UPN and event["device"] == device.id and event["identities"] == "3"
    assert sorted(event.all("thumbprint")) == sorted(i.thumbprint for i in identities)
    user = service.admin("GET", f"/v1/users/{UPN}").json
    assert event["user_id"] == user["id"]
    assert device.pull(pulled.headers["etag"]).status == 304
    assert len(of_keeper(service, "2050", "2051", "2052")) == 1
    # A user who has nothing is an empty history, and told as one.
    nobody = service.enrol("nobody@example.org", "P-256")
    nobody.pull().expect(200)
    event = of_keeper(service, "2050")[-1]
    assert event["identities"] == "0" and not event.all("thumbprint")


@test
def a_pull_that_is_refused_for_good_is_told_with_as_much_as_is_known(folder):
    service = Service(folder)
    service.import_pfx(UPN, Identity(folder, UPN, key="P-256").pfx(), "secret").expect(201)
    revoked, stranger = service.enrol(UPN, "P-256"), service.enrol(UPN, "P-256")
    assert service.admin("DELETE", f"/v1/devices/{revoked.id}").status == 204
    answer = revoked.pull().expect(403)
    event, = of_keeper(service, "2050", "2051", "2052")
    assert (event.number, event["code"], event["device"]) == ("2052", "forbidden", revoked.id), event
    assert event["user"] == UPN and event["request_id"] == answer.headers["x-request-id"]
    # A certificate that this service never made: nobody knows whose it is.
    run("openssl", "req", "-x509", "-key", stranger.key, "-subj", "/CN=x", "-out", stranger.certificate)
    stranger.pull().expect(401)
    event = of_keeper(service, "2052")[-1]
    assert (event["code"], event["device"], event["user"]) == ("unauthorized", None, None), event


@test
def while_the_audit_is_broken_pulls_are_told_as_tried_again_and_each_difference_by_name(folder):
    service = Service(folder, config="[keeper]\nhealth_seconds = 1\n")
    service.import_pfx(UPN, Identity(folder, UPN, key="P-256").pfx(), "secret").expect(201)
    device = service.enrol(UPN, "P-256")
    service.stop()
    with contextlib.closing(service.database()) as db:
        db.execute("UPDATE audit SET actor = 'x' WHERE sequence = 3")
    service.start(wait=False)
    wait_until(lambda: of_keeper(service, "3000"), 60, "that a part is not well")
    device.pull().expect(503)
    event, = of_keeper(service, "2050", "2051", "2052")
    assert (event.number, event["code"], event["device"]) == ("2051", "unavailable", device.id), event
    assert event["detail"], event
    assert "3010 " + TABLE["3010"].sentence + ": audit record 3 " in service.log()
    assert ["audit"] == [e["part"] for e in of_keeper(service, "3000")]


@test
def a_changed_record_is_told_by_name_under_the_id_of_the_request_that_met_it(folder):
    service = Service(folder)
    service.import_pfx(UPN, Identity(folder, UPN, key="P-256").pfx(), "secret").expect(201)
    device = service.enrol(UPN, "P-256")
    service.stop()
    with contextlib.closing(service.database()) as db:
        identity, = db.execute("SELECT id FROM identities").fetchone()
        db.execute("UPDATE identities SET subject = 'CN=somebody else'")
    service.start()
    request_id = device.pull().expect(500, "internal").headers["x-request-id"]
    failed, = of_keeper(service, "2052")
    tampered, = of_keeper(service, "3011")
    front, = [e for e in of_fronts(service) if e["request_id"] == request_id]
    for event in (failed, tampered, front):
        assert identity in event["detail"] and event["request_id"] == request_id, event
    assert tampered["verb"] == "BUNDLE" and failed["code"] == front["code"] == "internal"


@test
def who_asks_without_a_right_is_told_by_the_keeper_too(folder):
    service = Service(folder)
    auditor = service.make_token("auditor")
    wrong = service.admin("GET", "/v1/users", token="x" * 43).expect(401)
    role = service.admin("POST", "/v1/tokens", {"name": "x", "role": "admin"}, token=auditor).expect(403)
    told = of_keeper(service, "3012")
    assert [(e["verb"], e["code"], e["request_id"]) for e in told] == [
        ("USERS", "unauthorized", wrong.headers["x-request-id"]),
        ("ADD_TOKEN", "forbidden", role.headers["x-request-id"])]
    # What is wrong with a request's content is the front's to tell.
    service.admin("GET", "/v1/users/nobody").expect(404)
    assert len(of_keeper(service, "3012")) == 2


# ---- what is in none ----

@test
def no_line_names_a_person_where_names_are_left_out(folder):
    for names in (1, 0):
        place = folder / f"names-{names}"
        place.mkdir()
        service = Service(place, config=f"[log]\nlevel = 7\nnames = {names}\n")
        answered_requests(service, place)
        service.admin("POST", f"/v1/users/{UPN}/enrollments", {"name": PHONE}).expect(201)
        service.admin("PATCH", f"/v1/users/{UPN}", {"upn": "new-" + UPN}).expect(200)
        service.stop()
        log = service.log()
        # The control: with names it is there, so that the search would find it.
        assert ("anna" in log.lower()) == bool(names), [line for line in log.splitlines() if "anna" in line.lower()]
        assert PHONE not in log
        assert "2050" in [e.number for e in events(service)]


CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000


def as_record(datagram):
    """The (name, value) pairs of an entry in the journal's native protocol."""
    fields = []
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, sign, value = line.partition(b"=")
        if not sign:
            size = struct.unpack("<Q", rest[:8])[0]
            value, rest = rest[8:8 + size], rest[8 + size + 1:]
        fields.append((name.decode(), value))
        datagram = rest
    return fields


class Journal:
    """A journal of this test's own, at the place where libsystemd looks for it: in a mount namespace, in which this
    process stays, with everything that it starts. raw: the entries that came, as they came."""

    entered = False
    MARK = b"all that was sent before this was read"

    def __init__(self):
        self.raw = []

    @classmethod
    def enter(cls):
        if cls.entered:
            return
        if os.geteuid() != 0:
            raise Skip("needs root, for a mount namespace")
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS) != 0:
            raise Skip("mount namespaces are not allowed here")
        for what in ((None, b"/", None, MS_REC | MS_PRIVATE), (b"tmpfs", b"/run", b"tmpfs", 0)):
            assert libc.mount(*what, None) == 0, os.strerror(ctypes.get_errno())
        os.makedirs("/run/systemd/journal")
        cls.entered = True

    def __enter__(self):
        self.enter()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("/run/systemd/journal/socket")
        self.thread = threading.Thread(target=self.receive)
        self.read_so_far = threading.Event()
        self.thread.start()
        return self

    def receive(self):
        while datagram := self.socket.recv(1 << 20):
            if datagram == self.MARK:
                self.read_so_far.set()
            else:
                self.raw.append(datagram)

    def say(self, datagram):
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as own:
            own.sendto(datagram, "/run/systemd/journal/socket")

    def __exit__(self, *error):
        self.say(b"")
        self.thread.join()
        self.socket.close()
        os.unlink("/run/systemd/journal/socket")

    @staticmethod
    def stream(path):
        """The environment that says that this file is a stream to the journal."""
        path.touch()
        there = path.stat()
        return {"JOURNAL_STREAM": f"{there.st_dev}:{there.st_ino}"}

    @classmethod
    def service(cls, folder, **more):
        """A service whose standard error says that it is a stream to the journal."""
        service = Service(folder, start=False, **more)
        service.env.update(cls.stream(service.log_path))
        service.start()
        return service

    def events(self):
        if self.thread.is_alive():
            self.read_so_far.clear()
            self.say(self.MARK)
            assert self.read_so_far.wait(60), "the journal is not read"
        found = []
        for record in map(as_record, self.raw):
            fields = dict(record)
            number = fields.get("PFXD_EVENT", b"").decode()
            if not number:
                assert "MESSAGE_ID" not in fields and fields["PRIORITY"] == b"7", fields
                continue
            fact = TABLE[number]
            assert fields["MESSAGE_ID"].decode() == fact.message_id, fields
            assert fields["MESSAGE"].decode().startswith(f"{number} {fact.sentence}"), fields
            told = [(name.removeprefix("PFXD_").lower(), value.decode()) for name, value in record
                    if name.startswith("PFXD_") and name != "PFXD_EVENT"]
            assert {name for name, _ in told} <= fact.fields, fields
            found.append(Event(fields["SYSLOG_IDENTIFIER"].decode(), number, told))
            found[-1].priority = int(fields["PRIORITY"])
        return found


@test
def where_standard_error_is_the_journal_each_event_is_an_entry_with_its_fields(folder):
    with Journal() as journal:
        service = journal.service(folder)
        got, identity, device, _ = answered_requests(service, folder)
        service.stop()
        logged = journal.events()
    requests = [e for e in logged if e.program == "pfxd-front" and e.number in ("2000", "2001")]
    assert [(e["status"], e["request_id"]) for e in requests] == got
    pull, = [e for e in logged if e.number == "2050"]
    assert (pull.program, pull["user"], pull["device"]) == ("pfxd-keeper", UPN, device.id)
    assert pull.all("thumbprint") == [identity.thumbprint] and pull.priority == 6
    assert pull["request_id"] == next(e["request_id"] for e in requests if e["call"] == "GET /v1/device/bundle")
    assert {e.priority for e in requests if e["code"] in ("unauthorized", "forbidden")} == {5}
    assert {e.number for e in logged} >= {"1000", "1001", "1003", "2052", "3012"}
    # Only who has no socket writes lines, and those have a priority.
    lines = service.log().splitlines()
    assert lines and all(re.match(r"<\d>pfxd(-opener)?: ", line) for line in lines), lines


@test
def the_journal_gets_no_secret_and_no_name_that_is_to_be_left_out(folder):
    with Journal() as journal:
        service = journal.service(folder, config="[log]\nlevel = 7\nnames = 0\n")
        *_, secrets = answered_requests(service, folder)
        service.stop()
    everything = b"".join(journal.raw) + service.log_path.read_bytes()
    assert b"PFXD_EVENT=2050" in everything and b"GET /readyz" in everything, "the control: it was at level 7"
    for secret in secrets:
        assert len(secret) >= 20 and secret.encode() not in everything
    assert b"anna" not in everything.lower() and PHONE.encode() not in everything


@test
def where_the_socket_of_the_journal_is_out_of_reach_no_event_is_lost(folder):
    Journal.enter()
    service = Journal.service(folder)
    service.admin("GET", "/v1/users").expect(200)
    service.stop()
    event, = of_fronts(service)
    assert event.number == "2000" and "<6>pfxd-front (administrators): 2000 " in service.log(), service.log()


def run_by_a_timer(command, log, status):
    """Runs a command as a unit of the journal's would; returns (standard output, what it wrote to standard error)."""
    env = {**os.environ, **Journal.stream(log)}
    with open(log, "ab") as stderr:
        done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=stderr, env=env, timeout=120)
    assert done.returncode == status, (done, log.read_text())
    return done.stdout, log.read_text()


@test
def each_thing_that_the_doctor_finds_is_an_entry_with_what_to_do(folder):
    with Journal() as journal:
        machine = Machine(folder)
        found = json.loads(machine.ctl("doctor", "--json", ok=False).stdout)["findings"]
        doctor = machine.command(BUILD / "pfxctl", "doctor", "--quiet", "--pfxd-conf", machine.conf)
        told, errors = run_by_a_timer(doctor, folder / "doctor.log", 1)
        logged = journal.events()
    wrong = [(f["check"], f["detail"], f["mend"]) for f in found if f["state"] == "mend"]
    assert wrong, found
    assert [(e["check"], e["detail"], e["mend"]) for e in logged if e.number == "3020"] == wrong
    assert {(e.program, e.priority) for e in logged if e.number == "3020"} == {("pfxctl", 4)}
    assert told == b"" and "to mend" in errors, "it is told in one place"


@test
def each_difference_that_a_timer_finds_in_the_audit_is_an_entry(folder):
    if os.geteuid() != 0:
        raise Skip("needs root")
    service = Service(folder)
    device = service.enrol(UPN, "P-256")
    service.stop()
    with contextlib.closing(service.database()) as db:
        db.execute("DELETE FROM devices")
    keeper = Keeper(service.dir, folder / "keeper.log")
    with Journal() as journal:
        told, errors = run_by_a_timer([BUILD / "pfxctl", "audit", "verify", "--local", "--pfxd-conf",
                                       service.dir / "pfxd.conf"], folder / "verify.log", 1)
        logged = journal.events()
    keeper.stop()
    assert any(e.number == "3010" and device.id in e["detail"] and e.program == "pfxctl" for e in logged), logged
    assert told == b"" and "differences" in errors


if __name__ == "__main__":
    main()
