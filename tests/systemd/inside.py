#!/usr/bin/env python3
"""The package's life on a real systemd, step by step; tests/systemd/boot runs this inside of its container.

Each step prints what it saw. A step whose name begins with an underscore is one that those after it stand on."""

import hashlib
import http.client
import re
import shutil
import signal
import ssl
import threading

from machine import *

service = Installed()
ANN = "ann@example.org"
state = {}  # what one step leaves to those after it


def packages():
    """The two packages that were built for this: this version, and the next one."""
    return sorted(pathlib.Path(os.environ["PFXD_BUILD"]).glob("check-systemd/*.deb"), key=lambda p: len(p.name))


# ---- install and start ----

@step
def _the_package_installs_and_starts_nothing_without_a_keyring():
    this, _ = packages()
    told = run("dpkg", "-i", this).stdout.decode()
    assert "pfxctl keyring init" in told, told
    say(next(line for line in told.splitlines() if "keyring init" in line).strip())
    refused = run("systemctl", "start", "pfxd.target", ok=False)
    assert refused.returncode != 0 and b"Assertion failed on job for pfxd.target" in refused.stderr, refused
    status = run("systemctl", "status", "pfxd.target", ok=False).stdout.decode()
    assert f"AssertPathExists={KEYRING} was not met" in status, status
    nothing_runs()
    say("started by hand without a keyring: " + refused.stderr.decode().strip())
    say(status.strip())
    raise Reboot


def nothing_runs():
    running = [u for u in our_units() if u[1] == "active"]
    assert not running, running
    assert not failed_units(), failed_units()


@step
def _a_machine_that_has_no_keyring_yet_boots_without_a_failed_unit():
    assert run("systemctl", "is-enabled", "pfxd.target").stdout == b"enabled\n"
    nothing_runs()
    assert run("systemctl", "is-system-running", ok=False).stdout.decode().strip() in ("running", "starting")
    say(run("journalctl", "-b", "-u", "pfxd.target", "-o", "cat", "--no-pager").stdout.decode().strip())


@step
def _keyring_init_makes_what_the_service_starts_with():
    made = run("pfxctl", "keyring", "init", "--export", EXPORT, "--token-out", TOKEN, "--name", "localhost")
    assert (os.stat(KEYRING).st_mode & 0o777, os.stat(KEYRING).st_uid) == (0o600, 0)
    assert os.stat(TOKEN).st_mode & 0o777 == 0o600
    say(re.sub(r"[A-Z2-7]{4}(-[A-Z2-7]{4})+", "(the passphrase)", made.stderr.decode()))
    again = run("pfxctl", "keyring", "init", "--no-export", ok=False)
    assert again.returncode != 0 and b"keyring" in again.stderr, again
    say("a second time: " + again.stderr.decode().strip())


@step
def _the_target_starts_and_says_what_it_does():
    mark = Mark()
    run("systemctl", "start", "pfxd.target")
    for unit in ROOMS:
        assert is_active(unit), (unit, run("systemctl", "status", unit, ok=False).stdout.decode())
        say(f"{unit}: {show(unit, 'StatusText')}")
    service.wait_ready()
    assert not failed_units(), failed_units()
    openers = [u[0] for u in our_units() if u[0].startswith("pfxd-opener-") and "@" in u[0]]
    assert openers, "the keeper holds no spare opener"
    say("spare: " + ", ".join(openers))
    assert not mark.events("PRIORITY=3", "SYSLOG_IDENTIFIER=systemd"), "systemd complained"


@step
def _an_old_certificate_reaches_a_device():
    identity = Identity(service.folder, ANN)
    service.import_pfx(ANN, identity.pfx(), "secret").expect(201)
    device = service.enrol(ANN)
    history = device.history()
    assert history == {identity.thumbprint: identity.key_pem}
    state.update(device=device, identity=identity)
    say(f"{identity.thumbprint} opened on device {device.id}")


def pull_works():
    assert state["identity"].thumbprint in state["device"].history()


# ---- what the units say ----

ROOM = {"Type": "notify", "Restart": "always", "RestartUSec": "1s", "WatchdogUSec": "30s", "StartLimitIntervalUSec": "0"}
OPENER = {"CollectMode": "inactive-or-failed", "MemoryMax": str(256 << 20), "TasksMax": "1", "Nice": "10",
          "LimitNOFILE": "64", "LimitAS": str(512 << 20), "LimitFSIZE": "0", "LimitCORE": "0", "DynamicUser": "yes"}
GATE = {"Accept": "yes", "MaxConnections": "80", "TriggerLimitIntervalUSec": "0", "Backlog": "128",
        "SocketUser": "pfxd-keeper", "SocketMode": "0600"}
MEANT = {
    "pfxd-device.socket": {"Listen": "[::]:8443 (Stream)", "NoDelay": "yes", "Backlog": "4096", "Accept": "no",
                           "FileDescriptorName": "device"},
    "pfxd-admin.socket": {"Listen": "[::]:8444 (Stream)", "NoDelay": "yes", "Backlog": "512", "FileDescriptorName": "admin"},
    "pfxd-health.socket": {"Listen": "127.0.0.1:8445 (Stream)", "NoDelay": "yes", "Backlog": "128",
                           "FileDescriptorName": "health"},
    "pfxd-keeper-device.socket": {"SocketUser": "pfxd-device", "SocketMode": "0600", "Backlog": "512"},
    "pfxd-keeper-admin.socket": {"SocketUser": "pfxd-admin", "SocketMode": "0600", "Backlog": "512"},
    "pfxd-keeper-local.socket": {"SocketUser": "root", "SocketMode": "0600", "Backlog": "512"},
    "pfxd-opener-pfx.socket": GATE, "pfxd-opener-csr.socket": GATE,
    "pfxd-opener-pfx@": OPENER | {"RuntimeMaxUSec": "1min 30s", "LimitCPU": "130"},
    "pfxd-opener-csr@": OPENER | {"RuntimeMaxUSec": "1h", "LimitCPU": "600"},
    "pfxd-keeper.service": ROOM | {"User": "pfxd-keeper", "MemoryMax": str(4 << 30), "TimeoutStartUSec": "10min"},
    "pfxd-device.service": ROOM | {"User": "pfxd-device", "MemoryMax": str(1 << 30), "TimeoutStopUSec": "1min 30s"},
    "pfxd-admin.service": ROOM | {"User": "pfxd-admin", "MemoryMax": str(1 << 30), "TimeoutStopUSec": "1min 30s"},
}


@step
def systemd_reads_from_the_units_what_is_meant():
    for unit, meant in MEANT.items():
        if unit.endswith("@"):  # one that runs
            unit = next(u[0] for u in our_units() if u[0].startswith(unit))
        read = {name: show(unit, name) for name in meant}
        assert read == meant, (unit, {name: (read[name], value) for name, value in meant.items() if read[name] != value})
        say(f"{unit}: " + ", ".join(f"{name}={value}" for name, value in read.items()))


# ---- confinement ----

@step
def every_unit_gives_up_what_it_can():
    for unit in sorted(pathlib.Path("/usr/lib/systemd/system").glob("pfxd-*.service")):
        done = run("systemd-analyze", "security", "--offline=true", "--threshold=6", unit, ok=False)
        say(done.stdout.decode().strip().splitlines()[-1])
        assert done.returncode == 0, f"{unit.name} is above 0.6"
    spare = [u[0] for u in our_units() if u[0].startswith("pfxd-opener-") and "@" in u[0]]
    for unit in (*ROOMS, *spare):
        names = {path.rsplit("/", 1)[1] for path in show(unit, "DropInPaths").split()}
        assert names == {"confinement.conf"} | ({"opener.conf"} if unit in spare else set()), (unit, names)
        say(f"{unit}: {', '.join(sorted(names))}")


# What each room can do of all that the probe tries, and must be able to: everything else must be refused.
# What lies beside the libraries (run_program_of_library) a room itself refuses to become: harden_no_exec(), unit/test_harden.c.
OF_ROOT = {"open_configuration", "socket_unix", "connect_keeper_local", "write_tmp", "make_process",
           "run_program_of_library"}
POSSIBLE = {
    "pfxd-opener-pfx@.service": set(),
    "pfxd-opener-csr@.service": set(),
    "pfxd-device.service": {"open_configuration", "open_tls_key", "socket_unix", "connect_keeper_device", "write_tmp",
                            "make_process", "run_program_of_library"},
    "pfxd-admin.service": {"open_configuration", "open_tls_key", "socket_unix", "connect_keeper_admin", "write_tmp",
                           "make_process", "run_program_of_library"},
    "pfxd-keeper.service": {"open_configuration", "open_database", "open_credentials", "socket_unix", "connect_opener",
                            "write_tmp", "make_process", "run_program_of_library"},
    "pfxd-audit.service": OF_ROOT,
    "pfxd-verify.service": OF_ROOT,
    "pfxd-backup.service": OF_ROOT | {"run_program"},
    # It looks at the machine, and asks systemd; see its unit.
    "pfxd-doctor.service": OF_ROOT | {"connect_bus", "connect_systemd", "open_host_key", "open_keyring", "open_shadow",
                                      "open_tls_key", "run_program"},
}


def probe(unit):
    """Starts the probe with the directives of a unit; returns {attempt: what came of it}. That of a template gets another
    instance as its neighbour."""
    text = pathlib.Path(f"/usr/lib/systemd/system/{unit}").read_text()
    program = re.search(r"^ExecStart=(\S+)", text, re.M)[1]
    # The same file name in the same place, so that what is bound and what may be executed stay as they are.
    text = re.sub(r"^(Type|WatchdogSec|Restart|RestartSec|Sockets|Requires|PartOf|CollectMode)=.*\n", "", text, flags=re.M)
    text = text.replace("[Service]\n", f"[Service]\nType=oneshot\nStandardOutput=journal\n"
                        f"BindReadOnlyPaths=/root/probe:{program}\n", 1)
    text = re.sub(r"^(ExecStart=\S+).*", r"\1 %i" if "@" in unit else r"\1", text, flags=re.M)
    # An opener's is an instance of a template, as the opener is.
    name = re.sub(r"(@?)\.service", r"-probe\1.service", unit)
    text = text.replace("/run/credentials/pfxd-keeper.service", f"/run/credentials/{name}")
    pathlib.Path(f"/run/systemd/system/{name}").write_text(text)
    run("systemctl", "daemon-reload")
    mark, beside = Mark(), name.replace("@", "@neighbour")
    if "@" in unit:
        run("systemctl", "start", "--no-block", beside)
        there = mark.wait_message(beside, "the neighbour is here")
        name = name.replace("@", f"@{there['_PID']}")
    run("systemctl", "start", name, ok=False)
    if "@" in unit:
        assert {e["_UID"] for e in mark.events(f"_SYSTEMD_UNIT={name}")} == {there["_UID"]}, "they have no user in common"
        assert main_pid(beside) == int(there["_PID"]), "its neighbour is gone"
        run("systemctl", "stop", beside)
        run("systemctl", "reset-failed", beside)  # a signal ended it
    lines = [e["MESSAGE"] for e in mark.events(f"_SYSTEMD_UNIT={name}")]
    return dict(re.match(r"(\w+): (.*)", line).groups() for line in lines if re.match(r"\w+: (refused|POSSIBLE)", line))


@step
def no_room_can_do_what_it_need_not():
    run("gcc", "-std=gnu11", "-O2", "-D_GNU_SOURCE", "/pfxd/tests/systemd/probe.c", "-o", "/root/probe")
    with subprocess.Popen(["sleep", "infinity"]) as neighbour:
        outside = run("/root/probe", neighbour.pid, ok=False).stdout.decode()
        neighbour.kill()
    attempts = re.findall(r"^(\w+): ", outside, re.M)
    # The control: where nothing is taken away nearly everything is possible, so the probe can tell.
    easy = set(re.findall(r"^(\w+): POSSIBLE", outside, re.M))
    hard = set(attempts) - easy - {"open_credentials"}
    assert not hard, f"not even root outside of a sandbox could: {hard}"
    for unit, expected in POSSIBLE.items():
        results = probe(unit)
        # Who has a user for himself has no neighbour; and who is root has the machine for one.
        missing = set() if "@" in unit else {name for name in attempts if "neighbour" in name}
        assert set(results) == set(attempts) - missing, (unit, results)
        possible = {name for name, result in results.items() if result == "POSSIBLE"} - {"open_credentials"}
        expected = expected - {"open_credentials"}
        say(f"{unit}: {len(results) - len(possible)} of {len(results)} attempts were refused")
        assert possible <= expected, f"{unit} could: {possible - expected}"
        assert expected <= possible, f"{unit} could not, though it must: {expected - possible}: {results}"


@step
def no_running_room_has_a_way_to_the_network():
    for unit in ROOMS:
        pid = main_pid(unit)
        links = run("nsenter", "-t", pid, "-n", "ip", "-o", "link").stdout.decode().splitlines()
        assert len(links) == 1 and "lo:" in links[0] and os.readlink(f"/proc/{pid}/ns/net") != \
            os.readlink("/proc/self/ns/net"), links
        say(f"{unit}: {links[0].split(':')[1].strip()} alone, in a network of its own")


# ---- the journal ----

@step
def the_journal_tells_one_event_a_request_with_fields():
    mark = Mark()
    answer = service.admin("GET", f"/v1/users/{ANN}").expect(200)
    refused = service.admin("GET", "/v1/users/nobody@example.org").expect(404)
    pulled = state["device"].pull().expect(200)
    for got, number in ((answer, "2000"), (refused, "2001"), (pulled, "2000")):
        request = got.headers["x-request-id"]
        events = [e for e in mark.events(f"PFXD_REQUEST_ID={request}") if e["_SYSTEMD_UNIT"] in FRONTS]
        assert len(events) == 1, (request, events)
        assert events[0]["PFXD_EVENT"] == number and len(events[0]["MESSAGE_ID"]) == 32, events
        say(f"{number} {events[0]['MESSAGE']}")
    sealed = [e for e in mark.events(f"PFXD_REQUEST_ID={pulled.headers['x-request-id']}")
              if e.get("PFXD_EVENT") == "2050"]
    assert len(sealed) == 1 and sealed[0]["PFXD_DEVICE"] == state["device"].id and sealed[0]["PFXD_USER"] == ANN, sealed
    assert state["identity"].thumbprint in str(sealed[0]["PFXD_THUMBPRINT"]), sealed
    explained = run("journalctl", "-x", "--no-pager", f"PFXD_REQUEST_ID={pulled.headers['x-request-id']}",
                    "PFXD_EVENT=2050").stdout.decode()
    assert "\n-- Subject:" in explained or "░░ Subject:" in explained, explained
    say(explained.strip())


# ---- death, stillness, time ----

@step
def a_room_that_is_killed_is_back_and_nothing_is_lost():
    for unit in ROOMS:
        mark, pid = Mark(), main_pid(unit)
        os.kill(pid, signal.SIGKILL)
        pull_works()  # waits in the socket's queue
        mark.wait_started(unit)
        assert main_pid(unit) != pid
        say(f"{unit}: {pid} was killed, {main_pid(unit)} serves")
    spare = next(u[0] for u in our_units() if u[0].startswith("pfxd-opener-pfx@"))
    mark = Mark()
    os.kill(main_pid(spare), signal.SIGKILL)
    mark.wait_message(spare, "status=9/KILL")
    service.import_pfx(ANN, Identity(service.folder, ANN, key="P-256").pfx(), "secret").expect(201)
    assert not failed_units(), failed_units()
    say(f"{spare} was killed, and an import worked")


@step
def a_front_without_its_tls_key_is_tried_once_a_second_until_the_key_is_there():
    unit, key = FRONTS[0], service.dir / "server.key"
    mark = Mark()
    kept = key.rename(key.with_suffix(".kept"))
    run("systemctl", "restart", unit, ok=False)

    def failed():
        return [e for e in mark.events("PFXD_EVENT=1002") if e["_SYSTEMD_UNIT"] == unit]
    mark.wait("a third start that failed", lambda _: len(failed()) >= 3)
    kept.rename(key)
    mark.wait_started(unit)
    pull_works()
    at = [int(e["_SOURCE_REALTIME_TIMESTAMP"]) / 1e6 for e in failed()]
    pauses = [round(after - before, 2) for before, after in zip(at, at[1:])]
    say(f"{failed()[0]['MESSAGE']}; it was tried again after {pauses} s, and serves")
    assert min(pauses) >= 1, pauses


@step
def a_room_that_is_frozen_is_ended_by_its_watchdog_and_started_again():
    for unit in ROOMS:
        drop_in(unit, "[Service]\nWatchdogSec=3\n")
        run("systemctl", "restart", unit)
    service.wait_ready()
    for unit in ROOMS:
        mark, pid = Mark(), main_pid(unit)
        os.kill(pid, signal.SIGSTOP)
        event = mark.wait_message(unit, "Watchdog timeout")
        mark.wait_started(unit)
        pull_works()
        say(f"{unit}: {event['MESSAGE']} {pid} -> {main_pid(unit)}")
    for unit in ROOMS:
        drop_in(unit, None)
        run("systemctl", "restart", unit)
    service.wait_ready()


@step
def an_opener_that_is_frozen_is_ended_by_systemd_and_imports_go_on():
    template = "pfxd-opener-pfx@.service"
    drop_in(template, "[Service]\nRuntimeMaxSec=15\n")
    run("systemctl", "restart", "pfxd-keeper.service")
    service.wait_ready()
    mark = Mark()
    spare = next(u[0] for u in our_units() if u[0].startswith("pfxd-opener-pfx@"))
    os.kill(main_pid(spare), signal.SIGSTOP)
    identity, end, answers = Identity(service.folder, ANN, key="P-256"), time.monotonic() + EVENT_SECONDS, []
    while (answer := service.import_pfx(ANN, identity.pfx(), "secret")).status == 503 and time.monotonic() < end:
        answers.append(answer.status)
    answers.append(answer.expect(201).status)
    event = mark.wait_message(spare, "runtime time limit")
    mark.wait_message(spare, "Failed with result 'timeout'")
    assert not failed_units(), failed_units()
    say(f"{spare} was frozen: imports were answered {answers}; {event['MESSAGE']}")
    drop_in(template, None)


@step
def a_full_disk_is_told_by_readiness_and_never_by_a_watchdog():
    unit, disk = "pfxd-keeper.service", pathlib.Path("/var/lib/pfxd")
    run("systemctl", "stop", unit)
    run("cp", "-a", disk, "/root/kept")
    run("mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", disk)
    run("cp", "-a", "/root/kept/.", disk)
    drop_in(unit, "[Service]\nWatchdogSec=3\n")
    run("systemctl", "start", unit)
    service.wait_ready()
    mark, pid = Mark(), main_pid(unit)
    run("dd", "if=/dev/zero", f"of={disk}/full", "bs=64k", ok=False)
    mark.wait("the database fails", lambda e: e.get("PFXD_PART") == "database", "PFXD_EVENT=3000")
    end = time.monotonic() + EVENT_SECONDS
    while (refused := service.health("/readyz?for=import")).status != 503:  # the front asks the keeper every few seconds
        assert time.monotonic() < end, refused.body
    # Three more heartbeats.
    for _ in range(3):
        beat = show(unit, "WatchdogTimestampMonotonic")
        while show(unit, "WatchdogTimestampMonotonic") == beat:
            assert main_pid(unit) == pid, "the watchdog took a full disk for a hang"
    say("not ready, and alive: " + refused.body.decode()[:300])
    mark = Mark()
    (disk / "full").unlink()
    mark.wait("the database is well again", lambda e: e.get("PFXD_PART") == "database", "PFXD_EVENT=3001")
    service.wait_ready()
    assert main_pid(unit) == pid
    say("with room on the disk it is ready again, without a restart")
    drop_in(unit, None)
    run("systemctl", "stop", unit)
    run("umount", disk)
    run("systemctl", "start", unit)
    service.wait_ready()


@step
def a_clock_that_jumps_ends_nothing():
    library = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    clock = pathlib.Path("/etc/pfxd/clock")
    clock.write_text("+0d")
    for unit in ROOMS:
        drop_in(unit, f"[Service]\nEnvironment=LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={clock} FAKETIME_NO_CACHE=1 "
                f"FAKETIME_DONT_FAKE_MONOTONIC=1\nBindReadOnlyPaths={clock}\nWatchdogSec=5\n")
        run("systemctl", "restart", unit)
    service.wait_ready()
    pids = [main_pid(unit) for unit in ROOMS]
    for jump in ("+2h", "-2h", "+90d", "+0d"):
        clock.write_text(jump)
        mark = Mark()
        facts = service.health("/healthz").body.decode()
        before = [show(unit, "WatchdogTimestampMonotonic") for unit in ROOMS]
        for unit, old in zip(ROOMS, before):
            while show(unit, "WatchdogTimestampMonotonic") == old:
                assert is_active(unit)
        pull_works()
        assert [main_pid(unit) for unit in ROOMS] == pids, "a room ended"
        if jump in ("-2h", "+0d"):  # behind what was recorded: root says which time is right
            say(run("pfxctl", "clock", "accept").stderr.decode().strip())
        say(f"{jump}: pulls go on, {facts[:80]}...; {len(mark.events('PRIORITY=3'))} errors")
    for unit in ROOMS:
        drop_in(unit, None)
        run("systemctl", "restart", unit)
    clock.unlink()
    service.wait_ready()


# ---- timers, backup and restore ----

@step
def a_timer_fires_by_itself_and_its_service_does_its_work():
    for name in ("audit", "doctor", "verify", "backup"):
        timer, unit = f"pfxd-{name}.timer", f"pfxd-{name}.service"
        # As if the machine had been off at its time; and at once then.
        run("systemctl", "stop", timer)
        run("touch", "-d", "10 days ago", f"/var/lib/systemd/timers/stamp-{timer}")
        drop_in(timer, "[Timer]\nRandomizedDelaySec=0\n")
        mark = Mark()
        run("systemctl", "start", timer)
        mark.wait_started(unit)
        assert show(unit, "Result") == "success", show(unit, "Result")
        say(f"{unit}: ran by itself, and again on {show(timer, 'NextElapseUSecRealtime')}")
        assert show(timer, "NextElapseUSecRealtime"), timer
        drop_in(timer, None)
    run("systemctl", "stop", "pfxd-backup.timer")


def ctl(*arguments, **options):
    return run("pfxctl", *arguments, "--server", "https://localhost:8444", "--ca", service.dir / "ca.pem",
               "--token-file", TOKEN, **options)


@step
def a_backup_is_put_back_and_holds_the_devices_until_they_are_released():
    device, backup = state["device"], pathlib.Path("/root/service.backup")
    say(run("pfxctl", "backup", backup).stdout.decode().strip())
    assert backup.stat().st_mode & 0o777 == 0o600
    later = Identity(service.folder, ANN, key="P-256")
    service.import_pfx(ANN, later.pfx(), "secret").expect(201)
    refused = run("pfxctl", "restore", backup, ok=False)
    assert refused.returncode != 0 and b"--replace" in refused.stderr, refused
    say(refused.stderr.decode().strip())
    done = run("pfxctl", "restore", backup, "--replace", "--token-out", TOKEN, "--force")
    say((done.stdout + done.stderr).decode().strip())
    service.wait_ready()
    device.pull().expect(403, "forbidden")
    say(ctl("devices", "release", device.id).stdout.decode().strip())
    history = device.history()
    assert state["identity"].thumbprint in history and later.thumbprint not in history
    assert service.admin("GET", "/v1/audit/verification").expect(200).json["ok"]
    assert not failed_units(), failed_units()


# ---- the keyring's own life ----

@step
def the_keyring_is_read_at_the_start_and_at_no_reload():
    unit, credential = "pfxd-keeper.service", pathlib.Path(KEYRING)
    kept, pid, mark = credential.read_bytes(), main_pid(unit), Mark()
    credential.write_bytes(b"this is no keyring\n")
    run("systemctl", "reload", unit)
    say(mark.wait_message(unit, "read again")["MESSAGE"])
    service.import_pfx(ANN, Identity(service.folder, ANN, key="P-256").pfx(), "secret").expect(201)
    pull_works()
    assert main_pid(unit) == pid
    run("systemctl", "restart", unit, ok=False)
    say(mark.wait_message(unit, "status=243/CREDENTIALS")["MESSAGE"])
    credential.write_bytes(kept)
    mark.wait_started(unit)
    pull_works()
    assert not failed_units(), failed_units()


@step
def keyring_and_enrolment_ca_are_succeeded_while_the_service_runs():
    fronts, credential = [main_pid(unit) for unit in FRONTS], pathlib.Path("/etc/pfxd/keyring.cred")
    before = credential.read_bytes()
    for command in (["keyring", "rotate", "--no-export"], ["keyring", "retire"], ["ca", "rotate", "--no-export"]):
        said = run("pfxctl", *command).stderr.decode().strip().splitlines()
        pull_works()
        say(f"pfxctl {' '.join(command)}: {said[-1]}")
    service.wait_ready()
    assert credential.read_bytes() != before and not list(credential.parent.glob("keyring.cred?*"))
    assert [main_pid(unit) for unit in FRONTS] == fronts, "a front was restarted"
    events = [r["event"] for r in service.admin("GET", "/v1/audit?limit=1000").expect(200).json["records"]]
    assert [e for e in events if e.startswith(("keyring.", "ca."))] == ["keyring.rotate", "keyring.retire", "ca.add"], events
    done = run("pfxctl", "ca", "retire", ok=False)
    assert done.returncode == 1 and b"active devices still have a certificate" in done.stderr, done
    say(done.stderr.decode().strip().splitlines()[0])


# ---- reload, restart ----

def served_certificate():
    context = ssl.create_default_context(cafile=service.dir / "ca.pem")
    with context.wrap_socket(__import__("socket").create_connection(("localhost", 8443)), server_hostname="localhost") as s:
        return hashlib.sha256(s.getpeercert(binary_form=True)).hexdigest()


def make_pair(days="30"):
    """A new TLS pair by a CA of its own, as (CA, certificate, key)."""
    folder = pathlib.Path(service.folder)
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
        folder / "new-ca.key", "-out", folder / "new-ca.pem", "-subj", "/CN=another CA", "-days", "30")
    run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "new.key",
        "-out", folder / "new.csr", "-subj", "/CN=localhost")
    (folder / "new.ext").write_text("subjectAltName=DNS:localhost\n")
    run("openssl", "x509", "-req", "-in", folder / "new.csr", "-CA", folder / "new-ca.pem", "-CAkey",
        folder / "new-ca.key", "-CAcreateserial", "-extfile", folder / "new.ext", "-days", days, "-out",
        folder / "new.pem")
    return folder / "new-ca.pem", folder / "new.pem", folder / "new.key"


def put(source, target):
    """Replaces a file's contents; owner and mode stay."""
    target.write_bytes(pathlib.Path(source).read_bytes())


@step
def a_new_tls_pair_is_served_after_a_reload_and_a_wrong_one_never():
    tls, before = service.dir, served_certificate()
    kept = http.client.HTTPSConnection("localhost", 8443, context=service.context(state["device"].certificate,
                                                                                    state["device"].key))
    kept.request("GET", "/v1/device/certificates")
    assert kept.getresponse().read()
    ca, certificate, key = make_pair()
    old_key = (tls / "server.key").read_bytes()
    put(certificate, tls / "server.pem")
    mark = Mark()
    run("systemctl", "reload", *FRONTS)
    for unit in FRONTS:
        say(mark.wait_message(unit, "does not belong")["MESSAGE"])
    assert served_certificate() == before
    put(key, tls / "server.key")
    mark = Mark()
    run("systemctl", "reload", *FRONTS)
    for unit in FRONTS:
        say(mark.wait_message(unit, "read again")["MESSAGE"])
    put(ca, tls / "ca.pem")
    assert served_certificate() == hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()
    kept.request("GET", "/v1/device/certificates")
    assert kept.getresponse().status == 200
    say("the connection from before the reload still serves")
    assert old_key != (tls / "server.key").read_bytes()
    pull_works()


def replace(path, text):
    """As editors, sed -i and dpkg do it: another file under the old one's name."""
    new = path.with_name("new")
    new.write_text(text)
    new.chmod(0o644)
    new.rename(path)


@step
def a_reload_reads_a_configuration_that_took_the_place_of_the_old_one():
    conf = pathlib.Path("/etc/pfxd/pfxd.conf")
    old = conf.read_text()
    for text, told in ((old + "\n[log]\nlevel = 99\n", "level must be"), (old, "read again: the configuration")):
        replace(conf, text)
        mark = Mark()
        run("systemctl", "reload", *ROOMS)
        for unit in ROOMS:
            say(f"{unit}: " + mark.wait_message(unit, told)["MESSAGE"])


@step
def a_room_that_reads_its_configuration_again_is_reloading_until_it_has_done_so():
    conf = pathlib.Path("/etc/pfxd/pfxd.conf")
    old = conf.read_text()
    for unit in ROOMS:
        conf.unlink()
        os.mkfifo(conf)  # who reads it waits for who writes it
        conf.chmod(0o644)
        mark, end = Mark(), time.monotonic() + EVENT_SECONDS
        os.kill(main_pid(unit), signal.SIGHUP)  # not by systemd, which would call it a reload on its own account
        while (now := (show(unit, "ActiveState"), show(unit, "SubState"))) != ("reloading", "reload"):
            assert time.monotonic() < end, (unit, now)
        assert show(unit, "ActiveState") == "reloading"
        conf.write_text(old)
        mark.wait_message(unit, "read again")
        while not is_active(unit):
            assert time.monotonic() < end, (unit, show(unit, "ActiveState"))
        say(f"{unit}: {now[0]}, then {show(unit, 'ActiveState')}")
        replace(conf, old)


def load_files():
    """A PFX for each of the ten who are imported under load, always the same."""
    if "load" not in state:
        state["load"] = [Identity(service.folder, f"load{i}@example.org", key="P-256").pfx() for i in range(10)]
    return state["load"]


def under_load(disturb):
    """50 pulls and 10 imports at once, again and again, while disturb() runs: each was answered before it begins, and each
    is once more after it. Returns how many were answered; an answer other than 2xx, or a connection that was refused
    or reset, is an error."""
    begun, ended = threading.Barrier(61), threading.Event()
    counts, lock = {"pulls": 0, "imports": 0}, threading.Lock()
    files = load_files()

    def once(kind, call):
        answer = call()
        assert answer.status in (200, 201), (kind, answer.status, answer.body[:300])
        with lock:
            counts[kind] += 1

    def loop(kind, call):
        try:
            once(kind, call)
            begun.wait(EVENT_SECONDS)
            while not ended.is_set():
                once(kind, call)
            once(kind, call)
        except BaseException:
            begun.abort()
            raise

    def disturbing():
        begun.wait(EVENT_SECONDS)
        try:
            disturb()
        finally:
            ended.set()

    in_parallel(disturbing, *[lambda: loop("pulls", state["device"].pull)] * 50,
                *[lambda i=i: loop("imports", lambda: service.import_pfx(f"load{i}@example.org", files[i], "secret"))
                  for i in range(10)])
    for i in range(10):
        kept = service.admin("GET", f"/v1/users/load{i}@example.org/certificates").expect(200).json["certificates"]
        assert len(kept) == 1, kept
    return counts


@step
def restarts_under_load_lose_nothing():
    for unit in ROOMS:
        counts = under_load(lambda: run("systemctl", "restart", unit))
        say(f"{unit} restarted under load: {counts['pulls']} pulls and {counts['imports']} imports answered, none lost")


@step
def a_thousand_openers_that_crash_leave_no_trace():
    run("make", "-C", "/pfxd", "BUILD=/root/faults", "OPT=-O2 -g -DPFXD_OPENER_FAULTS", "/root/faults/pfxd-opener",
        timeout=600)
    drop_in("pfxd-opener-pfx@.service", "[Service]\nBindReadOnlyPaths=/root/faults/pfxd-opener:/usr/lib/pfxd/pfxd-opener\n")
    # Those that were there before are of the build that does not crash.
    run("systemctl", "restart", "pfxd-keeper.service")
    service.wait_ready()
    crashes, mark = 1000, Mark()

    def crash(n):
        for _ in range(n):
            service.import_pfx(ANN, b"PFXD-TEST-ABORT", "x").expect(422, "malformed_pkcs12")

    in_parallel(*[lambda: crash(crashes // 4)] * 4, *[lambda: [pull_works() for _ in range(20)]])
    # abort() has no tgkill() in the sandbox, and ends by the instruction that comes after it. What could not be executed was asked for once more, or got 503 as soon as there were too many.
    ends = [e["MESSAGE"] for e in mark.events() if e.get("UNIT", "").startswith("pfxd-opener-pfx@")]
    unexecuted, aborted = ([m for m in ends if status in m] for status in ("status=203/EXEC", "status=11/SEGV"))
    assert not unexecuted and aborted, (len(unexecuted), unexecuted[:3], len(aborted))
    assert not failed_units(), failed_units()
    service.import_pfx(ANN, Identity(service.folder, ANN, key="P-256").pfx(), "secret").expect(201)
    left = [u for u in our_units() if "opener-pfx@" in u[0]]
    say(f"{crashes} crashes, the journal has {len(aborted)}; left of them: {left}; an import works, pulls went on")
    assert len(left) <= 8, left
    drop_in("pfxd-opener-pfx@.service", None)


# ---- years ----

@step
def an_upgrade_keeps_data_and_serves_on():
    _, following = packages()
    conf = pathlib.Path("/etc/pfxd/pfxd.conf")
    conf.write_text(conf.read_text() + "\n# a line of the administrator's\n[log]\nlevel = 6\n")
    pids = [main_pid(unit) for unit in ROOMS]

    def upgrade():
        say(run("dpkg", "-i", following, timeout=600).stdout.decode().strip())

    counts = under_load(upgrade)
    assert all(is_active(unit) for unit in ROOMS) and [main_pid(unit) for unit in ROOMS] != pids
    assert "a line of the administrator's" in conf.read_text()
    pull_works()
    say(f"upgraded under load: {counts}")


@step
def a_downgrade_is_refused_with_a_sentence():
    this, _ = packages()
    refused = run("dpkg", "-i", this, ok=False)
    assert refused.returncode != 0, refused
    said = (refused.stdout + refused.stderr).decode()
    assert "a downgrade is refused" in said, said
    pull_works()
    say(next(line for line in said.splitlines() if "a downgrade is refused" in line))


@step
def the_doctor_finds_nothing_and_then_what_is_wrong():
    say(run("pfxctl", "doctor").stdout.decode().strip())
    for unit in ("pfxd-doctor.service", "pfxd-audit.service", "pfxd-verify.service", "pfxd-backup.service"):
        run("systemctl", "start", unit)
        say(f"{unit}: {show(unit, 'Result')}")
    run("systemctl", "stop", "pfxd-opener-pfx.socket")
    ill = run("pfxctl", "doctor", ok=False)
    assert ill.returncode == 1 and b"opener" in ill.stdout, ill
    say(next(line for line in ill.stdout.decode().splitlines() if "opener" in line))
    run("systemctl", "start", "pfxd-opener-pfx.socket")


@step
def the_service_is_back_after_a_reboot():
    device, identity = state["device"], state["identity"]
    (OUT / "kept.json").write_text(json.dumps({"device": str(device.folder), "id": device.id,
                                               "thumbprint": identity.thumbprint}))
    raise Reboot


@step
def after_the_reboot_all_is_there():
    assert is_active("pfxd.target"), "nobody started it"
    kept = json.loads((OUT / "kept.json").read_text())
    device = Device.__new__(Device)
    device.service, device.folder, device.id = service, pathlib.Path(kept["device"]), kept["id"]
    device.key, device.certificate = device.folder / "device.key", device.folder / "device.crt"
    device.ca = device.folder / "enrol-ca.pem"
    assert kept["thumbprint"] in device.history()
    assert not failed_units(), failed_units()
    for unit in ROOMS:
        say(f"{unit}: {show(unit, 'StatusText')}")


@step
def removing_keeps_the_data_and_purging_takes_it():
    left = pathlib.Path("/root/left")
    for unit in ROOMS:  # each takes its time, and tells what is there at its end
        drop_in(unit, f"[Service]\nExecStop=+/bin/sh -c 'sleep 2; ls /usr/lib/pfxd >> {left}'\n")
    run("dpkg", "-r", "pfxd")
    assert left.read_text().split().count("pfxd-keeper") == len(ROOMS), "programs were removed that still ran"
    assert pathlib.Path("/var/lib/pfxd/pfxd.db").exists() and pathlib.Path(KEYRING).exists()
    assert not [u for u in our_units() if u[1] not in ("inactive", "failed")], our_units()
    say("removed: nothing runs, database and keyring are there")
    said = run("dpkg", "-P", "pfxd")
    say((said.stdout + said.stderr).decode().strip())
    left = [p for p in ("/var/lib/pfxd", "/etc/pfxd", "/run/pfxd", "/usr/lib/pfxd") if pathlib.Path(p).exists()]
    assert not left, left


if __name__ == "__main__":
    perform()
