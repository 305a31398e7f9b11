#!/usr/bin/env python3
"""What each program is able to do, looked at from outside while it runs: its libraries, limits, and privileges; and how
the rooms begin, end, and begin again."""

from harness import *

import ctypes

ANN = "ann@example.org"
FORBIDDEN = {
    "front": ("libcrypto", "libssl", "libsqlite3"),
    "keeper": ("libmicrohttpd", "libgnutls", "libjansson", "libssl", "libcurl"),
}
OPENER_LIBRARIES = ("libcrypto.so", "libc.so", "legacy.so", "ld-linux")


def mapped(pid):
    """The names of the files that are mapped into a process to be run."""
    names = set()
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        parts = line.split(None, 5)
        if len(parts) == 6 and "x" in parts[1] and parts[5].startswith("/"):
            names.add(parts[5].rsplit("/", 1)[-1])
    return names


def linked(program):
    """The libraries that ldd finds, those of libraries included."""
    text = run("ldd", BUILD / program).stdout.decode()
    return {line.split()[0].rsplit("/", 1)[-1] for line in text.splitlines() if "vdso" not in line and line.strip()}


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def limits_of(pid):
    """{name: (soft, hard)} as texts."""
    limits = {}
    for line in pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]:
        soft, hard = line[26:].split()[:2]
        limits[line[:26].strip()] = (soft, hard)
    return limits


def all_pids(service):
    return [service.process.pid] + [pid for pids in service.rooms().values() for pid in pids]


def descriptors_of(pid):
    """What its open descriptors are, by name."""
    return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]


def busy_openers(service, folder):
    """Both kinds of opener, each with a request behind it, and still there."""
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256").pfx(), "secret").expect(201)
    service.enrol(ANN, "P-256")
    rooms = service.rooms()
    return rooms["opener-pfx"] + rooms["opener-csr"]


# ---- libraries ----

@test
def no_program_is_linked_with_what_it_must_not_be_able_to_do(folder):
    without_a_sanitizer()
    for name, forbidden in FORBIDDEN.items():
        has = linked(f"pfxd-{name}")
        bad = [library for library in has if library.startswith(forbidden)]
        assert not bad, f"pfxd-{name} is linked with {bad}"
    for program in ("pfxd-opener", "pfxd"):
        allowed = OPENER_LIBRARIES if program == "pfxd-opener" else ("libc.so", "ld-linux")
        other = [library for library in linked(program) if not library.startswith(allowed)]
        assert not other, f"{program} is linked with {other}"


@test
def no_room_has_loaded_what_it_must_not_be_able_to_do(folder):
    need_root()
    service = Service(folder)
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256").pfx(), "secret").expect(201)
    device = service.enrol(ANN, "P-256")
    device.pull().expect(200)
    rooms = service.rooms()
    for room, forbidden in (("front-device", FORBIDDEN["front"]), ("front-admin", FORBIDDEN["front"]),
                            ("keeper", FORBIDDEN["keeper"])):
        has = mapped(rooms[room][0])
        assert any(name.startswith("libc.so") for name in has), f"{room}: the maps were not read: {has}"
        bad = [name for name in has if name.startswith(forbidden)]
        assert not bad, f"{room} has loaded {bad}"


@test
def an_opener_at_work_has_libcrypto_with_its_legacy_module_and_libc_alone(folder):
    without_a_sanitizer()
    need_root()
    # Work enough to look at it: some seconds of derivation, within what one PFX may cost.
    service = Service(folder, config="[opener]\nmax_work = 20000000\n")
    identity = Identity(folder, ANN, key="P-256")
    pfx = identity.pfx("secret", "-iter", "2000000")
    seen = set()
    over = threading.Event()

    def look():
        while not over.is_set():
            for kind in ("opener-pfx", "opener-csr"):
                for pid in service.rooms().get(kind, []):
                    with contextlib.suppress(OSError):
                        seen.update(mapped(pid))

    def work():
        try:
            service.import_pfx(ANN, pfx, "secret").expect(201)
            service.import_pfx(ANN, Identity(folder, ANN, key="P-256").pfx("secret", "-legacy"), "secret").expect(201)
            service.enrol(ANN, "P-256")
        finally:
            over.set()

    in_parallel(work, look)
    seen.discard("pfxd-opener")
    # Between fork() and execve() it is still the launcher, which has libc alone.
    seen.discard("pfxd")
    assert any(name.startswith("libcrypto") for name in seen), seen
    other = [name for name in seen if not name.startswith(OPENER_LIBRARIES)]
    assert not other, f"an opener has loaded {other}"


# ---- privileges and limits ----

@test
def every_room_is_a_process_without_core_dumps_and_without_new_privileges(folder):
    service = Service(folder)
    busy_openers(service, folder)
    pids = all_pids(service)
    assert len(pids) == len(set(pids)) and len(pids) >= 6
    assert set(service.rooms()) == {"front-device", "front-admin", "keeper", "opener-pfx", "opener-csr"}
    for pid in pids:
        assert status_of(pid)["NoNewPrivs"].strip() == "1", pid
        assert limits_of(pid)["Max core file size"] == ("0", "0"), pid


@test
def openers_are_limited_in_all_that_they_could_take(folder):
    without_a_sanitizer()
    service = Service(folder)
    for pid in busy_openers(service, folder):
        limits = {name: hard for name, (_, hard) in limits_of(pid).items()}
        assert int(limits["Max cpu time"]) <= 600, limits
        assert int(limits["Max address space"]) <= 1 << 30, limits
        assert int(limits["Max open files"]) <= 16, limits
        assert int(limits["Max file size"]) == 0, limits
        assert int(limits["Max processes"]) == 0, limits
        nice = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[16])
        assert nice > 0, nice
        # No file, no listening socket, and nothing of anybody else: the connection and the standard three.
        descriptors = descriptors_of(pid) if os.geteuid() == 0 else []
        harmless = ("socket:", "/dev/null", "pipe:", str(service.log_path))
        assert all(d.startswith(harmless) for d in descriptors), descriptors
        assert len([d for d in descriptors if d.startswith("socket:")]) <= 1, descriptors


@test
def a_room_has_only_the_descriptors_that_are_its_own(folder):
    need_root()
    service = Service(folder)
    secret = ("pfxd.db", "keyring", "admin.token")
    for room, pids in service.rooms().items():
        names = descriptors_of(pids[0])
        if room != "keeper":
            assert not [n for n in names if any(s in n for s in secret)], (room, names)
        assert not [n for n in names if n.endswith(("keyring", "server.key"))], (room, names)


PTRACE_ATTACH, PTRACE_DETACH = 16, 17


def can_be_traced(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_ATTACH, pid, None, None) != 0:
        return False
    os.waitpid(pid, 0)
    libc.ptrace(PTRACE_DETACH, pid, None, None)
    return True


@contextlib.contextmanager
def service_of_an_ordinary_user(folder, user="nobody"):
    """(service, prefix of commands as that user). As root: another user's; else one's own."""
    if os.geteuid() != 0:
        yield Service(folder), []
        return
    import pwd
    person = pwd.getpwnam(user)
    programs = folder / "programs"
    programs.mkdir()
    for name in ("pfxd", "pfxd-front", "pfxd-keeper", "pfxd-opener", "pfxctl"):
        shutil.copy(BUILD / name, programs)
    for path in [folder, programs, *programs.iterdir()]:
        path.chmod(0o755)
    service = Service(folder, start=False)
    service.dir.mkdir(mode=0o700)
    os.chown(service.dir, person.pw_uid, person.pw_gid)
    as_user = ["setpriv", f"--reuid={person.pw_uid}", f"--regid={person.pw_gid}", "--clear-groups"]
    service.process = subprocess.Popen(
        [*as_user, programs / "pfxd", "--dev", service.dir, "--base-port", str(service.base)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=open(service.log_path, "ab"))
    Service.running.append(service)
    assert service.process.stdout.readline(), service.log()
    yield service, as_user


TRACER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
target = int(sys.argv[1])
print(libc.ptrace(16, target, None, None))
for name in ("mem", "maps", "environ", "fd"):
    try:
        os.listdir(f"/proc/{target}/fd") if name == "fd" else open(f"/proc/{target}/{name}", "rb").read(1)
        print(name)
    except OSError:
        pass
"""


@test
def not_even_the_same_user_can_trace_a_room_or_read_its_memory(folder):
    tracer = folder / "tracer.py"
    tracer.write_text(TRACER)
    with service_of_an_ordinary_user(folder) as (service, as_user):
        folder.chmod(0o755)
        # An interpreter that the other user may run too.
        python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
        control = subprocess.Popen([*as_user, "sleep", "60"])
        wait_until(lambda: pathlib.Path(f"/proc/{control.pid}/comm").read_text() == "sleep\n", what="the control")
        seen = run(*as_user, python, tracer, control.pid).stdout.decode().split()
        control.kill()
        control.wait()
        if "maps" not in seen:
            raise Skip("this user can not look into any process of its own here")
        service.import_pfx(ANN, Identity(folder, ANN, key="P-256").pfx(), "secret").expect(201)
        for pid in all_pids(service):
            # Files in /proc of a process that is not dumpable belong to root.
            assert os.stat(f"/proc/{pid}/maps").st_uid == 0, pid
            assert run(*as_user, python, tracer, pid).stdout.decode().split() == ["-1"], pid
        service.stop()


@test
def no_room_can_become_another_program(folder):
    service = Service(folder)
    for room, pids in service.rooms().items():
        for pid in pids:
            # 2: a filter; unit/test_harden.c has what it refuses.
            assert status_of(pid)["Seccomp"] == "2", (room, pid)


@test
def nothing_secret_stands_in_a_command_line_or_an_environment(folder):
    need_root()
    service = Service(folder)
    # pfxctl was run at the start as well; what it makes must not come by such a way.
    secrets = {service.token, service.make_token("importer"), service.enrolment_token(ANN)}
    keyring = (service.dir / "keyring").read_text()
    secrets |= {word for line in keyring.splitlines() for word in line.split() if len(word) >= 32}
    password = "a rather long password"
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256").pfx(password), password).expect(201)
    secrets.add(password)
    for pid in all_pids(service):
        for name in ("cmdline", "environ"):
            text = pathlib.Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
            assert text or name == "environ", pid
            assert not [s for s in secrets if s in text], f"/proc/{pid}/{name}"


@test
def the_environment_of_the_launcher_does_not_reach_the_rooms(folder):
    need_root()
    service = Service(folder, env={"MY_SECRET": "do not pass on", "SSLKEYLOGFILE": str(folder / "keys"),
                                   "GNUTLS_DEBUG_LEVEL": "9", "OPENSSL_CONF": str(folder / "conf")})
    for room, pids in service.rooms().items():
        text = pathlib.Path(f"/proc/{pids[0]}/environ").read_bytes()
        for name in (b"MY_SECRET", b"SSLKEYLOGFILE", b"GNUTLS_DEBUG_LEVEL", b"OPENSSL_CONF"):
            assert name not in text, (room, name)
    assert not (folder / "keys").exists()


# ---- beginnings and ends ----

@test
def a_second_instance_on_the_same_folder_is_refused(folder):
    service = Service(folder)
    other, lock = free_base_port()
    done = run(BUILD / "pfxd", "--dev", service.dir, "--base-port", other, ok=False)
    assert done.returncode != 0 and b"another pfxd" in done.stderr, done
    # Nor does it disturb the first, not even by its sockets.
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256").pfx(), "secret").expect(201)
    service.enrol(ANN, "P-256").pull().expect(200)
    lock.close()


@test
def when_the_launcher_is_killed_every_room_ends(folder):
    service = Service(folder)
    busy_openers(service, folder)
    rooms = [pid for pids in service.rooms().values() for pid in pids]
    assert len(rooms) >= 5
    os.kill(service.process.pid, signal.SIGKILL)
    wait_until(lambda: not any(is_running(pid) for pid in rooms), what="the end of the rooms")
    service.process.wait(10)
    # And the folder can be used again at once.
    service._forget()
    service.start()
    assert len(service.admin("GET", f"/v1/users/{ANN}/certificates").expect(200).json["certificates"]) == 1


@test
def a_room_that_is_killed_is_started_again_and_the_service_works(folder):
    service = Service(folder)
    service.import_pfx(ANN, Identity(folder, ANN, key="P-256").pfx(), "secret").expect(201)
    device = service.enrol(ANN, "P-256")
    for room in ("keeper", "front-device", "front-admin", "opener-pfx", "opener-csr"):
        old = service.kill_room(room)
        wait_until(lambda: not is_running(old), what=f"the end of {room}")
        if not room.startswith("opener"):
            # Openers come with the next request, the others of themselves.
            wait_until(lambda: service.rooms().get(room, [old]) != [old], what=f"a new {room}")
        service.wait_ready()
        device.pull().expect(200)
        service.import_pfx(ANN, Identity(folder, ANN, key="P-256").pfx(), "secret").expect(201)
        service.enrol(ANN, "P-256")
    assert len(device.history()) == 6


@test
def a_room_that_is_told_to_end_is_started_again_too(folder):
    service = Service(folder)
    old = service.kill_room("keeper", signal.SIGTERM)
    wait_until(lambda: service.rooms().get("keeper", [old]) != [old], 60, what="a new keeper")
    service.wait_ready()
    service.admin("GET", "/v1/users").expect(200)


@test
def sigterm_lets_what_was_begun_end_and_exits_with_0(folder):
    service = Service(folder, config="[opener]\nmax_work = 20000000\n")
    pfx = Identity(folder, ANN, key="P-256").pfx("secret", "-iter", "1000000")
    begun = lambda: "opener-pfx" in service.rooms() and busy_cpu(service.rooms()["opener-pfx"])

    def end():
        wait_until(begun, what="an opener at work")
        service.process.terminate()

    answer, _ = in_parallel(lambda: service.import_pfx(ANN, pfx, "secret"), end)
    answer.expect(201)
    assert service.stop() == 0
    assert "killed by" not in service.log()
    service.start()
    assert len(service.admin("GET", f"/v1/users/{ANN}/certificates").expect(200).json["certificates"]) == 1
    rooms = [pid for pids in service.rooms().values() for pid in pids]
    assert service.stop() == 0
    assert not any(is_running(pid) for pid in rooms)


@test
def it_listens_on_the_loopback_address_alone(folder):
    service = Service(folder)
    ports = {format(port, "04X") for port in range(service.base, service.base + 3)}
    listening = []
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            if state == "0A" and address.rsplit(":", 1)[1] in ports:
                listening.append(address.rsplit(":", 1)[0])
    assert listening == ["0100007F"] * 3, listening
    for path in (service.dir / "run").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


if __name__ == "__main__":
    main()
