#!/usr/bin/env python3
"""Everything that a service needs and that can run out, on the whole service: the disk (full, read-only, failing,
slow, hanging), descriptors, and memory. What can not be recorded gets 503, what needs no record goes on, and when it is
back so is the service, without a restart."""

import mmap
import resource

from harness import *

ANN, BOB = "ann@example.org", "bob@example.org"
CONFIG = "[keeper]\nhealth_seconds = 1\nmin_free_mib = 0\n[front]\nkeeper_seconds = 20\n"
WELL, FAILS, READ_ONLY, SLOW, HANGS = range(5)


class Shortage:
    """What tests/crash/shortage.c reads."""
    LAYOUT = struct.Struct("iiiiqq")
    FIELDS = {"disk": (0, "i"), "waiting": (4, "i"), "syncs": (8, "i"), "pid": (12, "i"), "left": (16, "q"),
              "failed": (24, "q")}

    def __init__(self, folder):
        without_a_sanitizer()
        library, path = folder / "shortage.so", folder / "shortage.so.state"
        shutil.copy(BUILD / "tests/crash/shortage.so", library)
        path.write_bytes(bytes(self.LAYOUT.size))
        self.env = {"LD_PRELOAD": str(library)}
        with open(path, "r+b") as file:
            self.__dict__["shared"] = mmap.mmap(file.fileno(), self.LAYOUT.size)

    def __getattr__(self, name):
        offset, kind = self.FIELDS[name]
        return struct.unpack_from(kind, self.shared, offset)[0]

    def __setattr__(self, name, value):
        if name not in self.FIELDS:
            self.__dict__[name] = value
            return
        offset, kind = self.FIELDS[name]
        struct.pack_into(kind, self.shared, offset, value)


class Scene:
    """Ann has an identity, and two devices: one that has everything, and one that has pulled nothing yet."""

    def __init__(self, folder, **service):
        self.service = Service(folder, **service)
        self.identities = [Identity(folder, ANN, key="P-256", usage="keyAgreement") for _ in range(3)]
        self.files = [identity.pfx() for identity in self.identities]
        self.service.import_pfx(ANN, self.files[0], "secret").expect(201)
        self.device, self.other = self.service.enrol(ANN, "P-256"), self.service.enrol(ANN, "P-256")
        self.etag = self.device.pull().expect(200).headers["etag"]
        self.token = self.service.enrolment_token(ANN)
        self.late = Device(self.service, folder / "late", "P-256")
        self.service.wait_ready()
        self.pids = self.service.rooms()

    def assert_writes_get_503(self):
        s = self.service
        for call in (lambda: s.import_pfx(ANN, self.files[1], "secret"),
                     lambda: s.import_pfx(BOB, self.files[2], "secret"),
                     lambda: s.admin("POST", f"/v1/users/{ANN}/enrollments", {"name": "x"}),
                     lambda: s.admin("DELETE", f"/v1/devices/{self.device.id}"),
                     lambda: s.admin("DELETE", f"/v1/users/{ANN}/certificates/{self.identities[0].thumbprint}"),
                     lambda: self.late.enrol(self.token), self.other.pull):
            answer = call().expect(503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0

    def assert_reads_go_on(self):
        assert self.device.pull(self.etag).status == 304
        self.service.admin("GET", f"/v1/users/{ANN}/certificates").expect(200)
        assert self.service.health("/livez").status == 200

    def assert_told(self, *parts):
        """/readyz is 503, and names these."""
        def told():
            ready = self.service.health("/readyz")
            return ready.status == 503 and all(part in failed_parts(ready) for part in parts)
        wait_until(told, 60, f"/readyz naming {parts}")

    def assert_back(self):
        """Without a restart; and what got 503 has left nothing."""
        self.service.wait_ready(60)
        rooms = self.service.rooms()
        for room in ("keeper", "front-admin", "front-device"):
            assert rooms[room] == self.pids[room], f"{room} was restarted"
        listed = self.service.admin("GET", f"/v1/users/{ANN}/certificates").expect(200).json["certificates"]
        assert {c["thumbprint"] for c in listed} == {self.identities[0].thumbprint}
        self.service.admin("GET", f"/v1/users/{BOB}/certificates").expect(404)
        self.service.import_pfx(ANN, self.files[1], "secret").expect(201)
        self.late.enrol(self.token).expect(201)
        Device(self.service, self.service.folder / "later", "P-256").enrol(self.token).expect(409, "token_spent")
        for device in (self.device, self.other, self.late):
            assert set(device.history()) == {i.thumbprint for i in self.identities[:2]}
        assert self.service.admin("GET", "/v1/audit/verification").expect(200).json["ok"]


def failed_parts(ready):
    return {name for name, part in ready.json["parts"].items() if part["status"] == "failed"}


# ---- the disk ----

@contextlib.contextmanager
def small_disk(place, megabytes):
    need_root()
    place.mkdir(mode=0o700)
    done = run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", place, ok=False)
    if done.returncode != 0:
        raise Skip("no file system can be mounted here")
    try:
        yield place
    finally:
        Service.end_all()
        run("umount", "-l", place)


def fill(place):
    """To the last byte."""
    with open(place / "filler", "ab", buffering=0) as filler:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    filler.write(b"x" * size)


@test
def with_a_full_disk_what_must_write_gets_503_and_a_device_that_has_everything_304(folder):
    with small_disk(folder / "service", 24) as disk:
        scene = Scene(folder, config=CONFIG)
        fill(disk)
        scene.assert_told("database")
        scene.assert_writes_get_503()
        scene.assert_reads_go_on()
        (disk / "filler").unlink()
        scene.assert_back()


@test
def little_free_disk_is_told_for_imports_before_it_is_none(folder):
    with small_disk(folder / "service", 48) as disk:
        scene = Scene(folder, config=CONFIG.replace("min_free_mib = 0", "min_free_mib = 24"))
        with open(disk / "filler", "wb") as filler:
            filler.write(bytes(26 << 20))
        wait_until(lambda: failed_parts(scene.service.health("/readyz?for=import")) == {"disk"}, 60,
                   "the disk being told")
        assert scene.service.health("/readyz").status == 200
        (disk / "filler").unlink()
        scene.assert_back()


def broken_disk(folder, disk):
    shortage = Shortage(folder)
    scene = Scene(folder, config=CONFIG, env=shortage.env)
    shortage.disk = disk
    scene.assert_told("database")
    scene.assert_writes_get_503()
    scene.assert_reads_go_on()
    shortage.disk = WELL
    scene.assert_back()
    return scene


@test
def a_disk_that_fails_costs_503_and_when_it_is_back_the_database_is_opened_anew(folder):
    scene = broken_disk(folder, FAILS)
    assert " 3004 " in scene.service.log()


@test
def a_disk_that_is_read_only_costs_503_until_it_is_not(folder):
    broken_disk(folder, READ_ONLY)


@test
def on_a_disk_that_takes_two_seconds_a_sync_requests_share_it_and_are_all_answered(folder):
    shortage = Shortage(folder)
    scene = Scene(folder, config=CONFIG, env=shortage.env)
    shortage.disk, before = SLOW, shortage.syncs
    tokens = in_parallel(*[lambda: scene.service.enrolment_token(ANN) for _ in range(8)], scene.other.pull)
    assert tokens.pop().status == 200 and len(set(tokens)) == 8
    assert 0 < shortage.syncs - before < 9, "each of nine requests was synced alone"
    scene.assert_reads_go_on()
    shortage.disk = WELL
    scene.assert_back()


@test
def while_a_sync_hangs_nobody_is_told_that_it_is_done_and_reads_go_on(folder):
    shortage = Shortage(folder)
    scene = Scene(folder, config=CONFIG.replace("keeper_seconds = 20", "keeper_seconds = 1"), env=shortage.env)
    shortage.disk = HANGS
    wait_until(lambda: shortage.waiting > 0, 30, "a sync that hangs")
    scene.assert_writes_get_503()
    scene.assert_reads_go_on()
    shortage.disk = WELL
    scene.service.wait_ready(60)
    # These may or may not be done, and were told so; asking again settles it.
    scene.service.import_pfx(ANN, scene.files[1], "secret")
    assert scene.service.admin("GET", "/v1/audit/verification").expect(200).json["ok"]
    assert scene.service.rooms()["keeper"] == scene.pids["keeper"]


# ---- descriptors ----

@contextlib.contextmanager
def no_descriptors(pid):
    """The process gets no new one; those that it has stay."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@test
def a_keeper_that_gets_no_descriptors_answers_503_and_goes_on_when_it_gets_some(folder):
    need_root()
    scene = Scene(folder, config=CONFIG.replace("keeper_seconds = 20", "keeper_seconds = 2"))
    with no_descriptors(scene.pids["keeper"][0]):
        for room in ("opener-pfx", "opener-csr"):  # so that it must connect
            scene.service.kill_room(room)
        scene.service.import_pfx(ANN, scene.files[1], "secret").expect(503, "unavailable")
        scene.late.enrol(scene.token).expect(503, "unavailable")
        wait_until(lambda: {"pfxOpener", "csrOpener"} <= failed_parts(scene.service.health("/readyz?for=import")), 60,
                   "the openers being told")
        # More at once than it has readers and connections for.
        for answer in in_parallel(*[lambda: scene.device.pull(scene.etag)] * 12, *[scene.other.pull] * 12):
            assert answer.status in (200, 304, 503), answer.body
    scene.assert_back()


@test
def a_front_that_gets_no_descriptors_answers_whom_it_has_and_the_others_when_it_gets_some(folder):
    need_root()
    scene = Scene(folder, config=CONFIG)
    request = b"GET /v1/device/certificates HTTP/1.1\r\nHost: localhost\r\n\r\n"
    kept = scene.service.connect(scene.service.base)
    with no_descriptors(scene.pids["front-device"][0]):
        new = socket.create_connection(("127.0.0.1", scene.service.base), 60)  # waits in the kernel's queue
        kept.sendall(request)
        assert read_answer(kept).status in (401, 503)
    kept.close()
    new = scene.service.context().wrap_socket(new, server_hostname="localhost")
    new.sendall(request)
    assert read_answer(new).status == 401
    new.close()
    scene.assert_back()


# ---- memory ----

# How many of the allocations of one request are tried, spread over all: all of them with PFXD_CRASH_STEP=1.
TRIED = 12


def starve(scene, shortage, room, connect, call, settle):
    """Lets the n-th allocation of a room fail at a request, for n over all of them. call(connection) makes the request
    on a connection that stands already: the handshake is GnuTLS's, which ends its process where there is no memory.
    settle() looks that nothing is half done, and makes the next request. No room may die of it."""
    def pid():
        name = "opener-pfx" if room == "openers" else room
        return wait_until(lambda: scene.service.rooms().get(name, [None])[-1], 60, room)

    def one(n):
        connection = connect()
        starved, answer = pid(), None
        shortage.failed, shortage.left, shortage.pid = 0, n, -1 if room == "openers" else starved
        try:
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = call(connection)
        finally:
            shortage.pid = 0
            connection.close()
        # In an opener memory is bounded for each request: the want of it is the request's doing.
        allowed = (200, 201, 304, 500, 503) + ((422,) if room == "openers" else ())
        assert answer is None or answer.status in allowed, (room, n, answer.status, answer.body)
        told.add(answer and (answer.status, answer.json["code"] if answer.status >= 400 else None))
        settle(answer)
        assert is_running(starved) or room == "openers", f"{room} died of its allocation {n}"

    told = set()
    one(1 << 40)  # counts them
    total = (1 << 40) - shortage.left
    for n in range(0, total, int(os.environ.get("PFXD_CRASH_STEP", max(1, total // TRIED)))):
        one(n)
    print(f"{room}: {total} allocations; answers {told}")
    assert total > 20


def on(connection, method, path, body=None, headers=None):
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())


def standing(service, port, context=None):
    """A connection on which one request was answered."""
    connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=context or service.context())
    on(connection, "GET", "/v1/users")
    return connection


@test
def allocations_of_each_room_fail_at_imports_which_are_there_whole_or_not_at_all(folder):
    shortage = Shortage(folder)
    scene = Scene(folder, config=CONFIG, env=shortage.env)
    service = scene.service

    def settle(answer):
        assert answer is None or answer.status != 200, "it was not there before"
        again = until_answered(lambda: service.import_pfx(ANN, scene.files[1], "secret"))
        if answer is not None and answer.status == 201:
            assert again.status == 200, again.body
        assert again.status in (200, 201), again.body
        assert until_answered(lambda: service.admin("DELETE", "/v1/users/" + ANN + "/certificates/" +
                                                    scene.identities[1].thumbprint)).status == 204

    def send(connection):
        body = json.dumps({"pkcs12": base64.b64encode(scene.files[1]).decode(), "password": "secret"})
        return on(connection, "POST", f"/v1/users/{ANN}/certificates", body,
                  {"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"})

    for room in ("front-admin", "openers", "keeper"):
        starve(scene, shortage, room, lambda: standing(service, service.base + 1), send, settle)
    assert set(scene.device.history()) == {scene.identities[0].thumbprint}
    assert service.admin("GET", "/v1/audit/verification").expect(200).json["ok"]


@test
def allocations_of_each_room_fail_at_pulls_and_the_next_pull_gets_everything(folder):
    shortage = Shortage(folder)
    scene = Scene(folder, config=CONFIG, env=shortage.env)

    def settle(answer):
        assert answer is None or answer.status != 304
        again = until_answered(scene.other.pull)
        opened = scene.other.open(again.body)
        assert [c["thumbprint"] for c in opened["certificates"]] == [scene.identities[0].thumbprint]

    context = scene.service.context(scene.other.certificate, scene.other.key)
    for room in ("front-device", "keeper"):
        starve(scene, shortage, room, lambda: standing(scene.service, scene.service.base, context),
               lambda connection: on(connection, "GET", "/v1/device/bundle"), settle)
    assert scene.service.admin("GET", "/v1/audit/verification").expect(200).json["ok"]


def until_answered(call):
    """The answer to the next request; where a room died of the one before, once it is started again."""
    def attempt():
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = call()
            return answer if answer.status < 500 else None
    return wait_until(attempt, 60, "an answer")


if __name__ == "__main__":
    main()
