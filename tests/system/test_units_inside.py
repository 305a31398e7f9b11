#!/usr/bin/env python3
"""What units rely on inside the programs: what a room says of itself, its watchdog, a reload, and an end that loses
nothing. The test is the manager: it holds the sockets, as systemd does."""

import re

from manager import *

ANN = "ann@example.org"
EC = {"key": "P-256", "usage": "keyAgreement"}


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root, to hold a thread of a process that nobody else may trace")


def without_a_sanitizer():
    if re.search(rb"lib[a-z]+san\.so", run("ldd", BUILD / "pfxd-front").stdout):
        raise Skip("a sanitizer is linked into these programs")


def import_one(service, upn=ANN):
    identity = Identity(service.folder, upn, **EC)
    service.import_pfx(upn, identity.pfx(), "secret").expect(201)
    return identity


# ---- what a room says of itself ----

@test
def a_room_says_that_it_is_ready_what_it_does_and_that_it_ends(folder):
    service = Managed(folder)
    for room in ROOMS:
        assert service.messages[room][0] == "READY=1", service.messages[room]
        wait_until(lambda: service.statuses(room), what=f"a status of {room}")
        assert service.statuses(room)[0].startswith("serving, "), service.statuses(room)
    import_one(service)
    import_one(service)
    wait_until(lambda: any(re.fullmatch(r"serving, [2-9] openers, 2 identities", status)
                           for status in service.statuses("keeper")), what="two identities in the keeper's status")
    with service.connect(service.base), service.connect(service.base):
        wait_until(lambda: "serving, 2 connections, 0 requests" in service.statuses("front-device"),
                   what="two connections in the front's status")
    wait_until(lambda: service.statuses("front-device")[-1] == "serving, 0 connections, 0 requests", what="their end")
    for room in ("front-device", "front-admin", "keeper"):
        assert service.end(room) == 0
        wait_until(lambda: "STOPPING=1" in service.messages[room][-1].split("\n"), what=f"the last word of {room}")
        # Nobody asked for a watchdog.
        assert service.beats(room) == 0


@test
def a_room_says_that_it_reloads_before_it_reads_and_that_it_is_ready_when_it_has_read(folder):
    service = Managed(folder)
    conf = service.dir / "pfxd.conf"
    text = conf.read_text()
    for room in ROOMS:
        mark, logged = len(service.messages[room]), len(service.said(room))

        def told():
            return [line for message in service.messages[room][mark:] for line in message.split("\n")]
        conf.unlink()
        os.mkfifo(conf)  # who reads it waits for who writes it
        service.children[room].send_signal(signal.SIGHUP)
        service.wait_told(room, "RELOADING=1", mark)
        assert "READY=1" not in told() and "read again" not in service.said(room)[logged:]
        conf.write_text(text)
        service.wait_told(room, "READY=1", mark)
        assert told().index("RELOADING=1") < told().index("READY=1") and "read again" in service.said(room)[logged:]
        conf.unlink()
        conf.write_text(text)


@test
def a_front_is_ready_without_the_keeper_and_waits_for_it(folder):
    service = Managed(folder, config="[front]\nkeeper_seconds = 2\n")
    device = service.enrol(ANN, "P-256")
    assert service.end("keeper") == 0
    service.renew("front-device")
    identity = Identity(folder, "bob@example.org", **EC)
    for answer in in_parallel(device.pull, lambda: service.import_pfx("bob@example.org", identity.pfx(), "secret")):
        answer.expect(503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
    service.configure("[front]\nkeeper_seconds = 60\n")
    service.reload("front-device")
    late = []
    waiting = threading.Thread(target=lambda: late.append(device.pull()))
    waiting.start()
    wait_until(lambda: any("1 request" in status for status in service.statuses("front-device")), what="a request")
    service.begin("keeper")
    waiting.join(60)
    late[0].expect(200)
    # What was given up lay in the queue, and was left alone.
    assert [user["upn"] for user in service.admin("GET", "/v1/users").expect(200).json["users"]] == [ANN]
    wait_until(lambda: service.said("keeper").count("a request was left alone") >= 2, what="the requests given up")


# ---- the watchdog ----

@test
def every_room_feeds_its_watchdog_also_without_openers_and_disk(folder):
    service = Managed(folder, watchdog=1.5, config="[keeper]\nhealth_seconds = 1\nmin_free_mib = 1048576\n",
                      ready="/readyz")
    for kind in ("pfx", "csr"):
        (service.dir / f"run/opener-{kind}.sock").unlink()
    with service.opener_lock:
        for opener in service.openers:
            opener.kill()
    wait_until(lambda: {name for name, part in service.health("/healthz").json["parts"].items()
                        if part["status"] != "ok"} == {"disk", "pfxOpener", "csrOpener"}, what="what is missing")
    for room in ROOMS:
        fed = service.beats(room)
        wait_until(lambda: service.beats(room) >= fed + 3, what=f"the watchdog of {room}")
        # The probes are no connections and no requests.
        assert service.statuses(room)[-1].startswith("serving, 0 ") or room == "front-admin", service.statuses(room)
    assert "dropped" not in service.said("keeper")


def not_fed_while(service, room, thread, new=False):
    """Holds a thread: the room says so and feeds its watchdog no more, until the thread goes on. At most once more it is
    fed, for what the thread did before."""
    def said(what):
        return service.said(room).count(what)
    still, on = said("stands still"), said("goes on")
    with held(thread, new):
        service.reload(room)  # the thread that feeds is not the one that is held; and all that it said before is here
        fed = service.beats(room)
        wait_until(lambda: said("stands still") > still, 60, f"a line of {room} about thread {thread}")
        service.reload(room)
        last = service.beats(room)
        assert last <= fed + 1, f"{room} was fed {last - fed} times while thread {thread} was held"
        service.reload(room)
        assert service.beats(room) == last, room
    wait_until(lambda: service.beats(room) > fed, 60, f"the watchdog of {room}")
    wait_until(lambda: said("goes on") > on, 60, f"a line of {room}")


@test
def a_front_does_not_feed_its_watchdog_while_any_thread_that_does_http_stands_still(folder):
    need_root()
    service = Managed(folder, watchdog=1.5, config="[front]\nthreads = 4\n")
    for room, expected in (("front-device", 4), ("front-admin", 5)):  # health has one of its own
        threads = [t for t, name in threads_of(service.children[room].pid).items() if name.startswith("MHD")]
        assert len(threads) == expected, threads_of(service.children[room].pid)
        for thread in threads:
            not_fed_while(service, room, thread)


@test
def a_keeper_whose_workers_stand_still_does_not_feed_its_watchdog(folder):
    need_root()
    service = Managed(folder, watchdog=1.5)
    not_fed_while(service, "keeper", service.children["keeper"].pid, new=True)


# ---- reload ----

def tls_pair(service, folder, name, start=None, days="30"):
    """A pair for localhost, certified by itself, and put where the service reads it; returns its serial number."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
               "-out", certificate, "-subj", "/CN=localhost", "-days", days, "-addext", "subjectAltName=DNS:localhost"]
    run(*at_time(start), *command)
    shutil.copy(key, service.dir / "tls/server.key")
    shutil.copy(certificate, service.dir / "tls/server.pem")
    return run("openssl", "x509", "-in", certificate, "-noout", "-serial").stdout.decode().strip().split("=")[1]


def served(service, port):
    """The serial number of the certificate that a front shows to who connects now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 60) as plain, context.wrap_socket(plain) as connection:
        pem = ssl.DER_cert_to_PEM_cert(connection.getpeercert(True))
    return run("openssl", "x509", "-noout", "-serial", input=pem.encode()).stdout.decode().strip().split("=")[1]


@test
def a_reload_serves_the_new_certificate_and_drops_no_connection_and_no_pull(folder):
    service = Managed(folder)
    import_one(service)
    device = service.enrol(ANN, "P-256")
    old = served(service, service.base)
    kept = http.client.HTTPSConnection("localhost", service.base, timeout=60,
                                       context=service.context(device.certificate, device.key))
    kept.request("GET", "/v1/device/certificates")
    assert kept.getresponse().read()
    tls = kept.sock
    pulled = []
    pull = threading.Thread(target=lambda: pulled.append(device.pull()))
    os.kill(service.children["keeper"].pid, signal.SIGSTOP)
    try:
        pull.start()
        wait_until(lambda: any("1 request" in status for status in service.statuses("front-device")), what="a pull")
        new = tls_pair(service, folder, "new")
        for room in ("front-device", "front-admin"):
            service.reload(room)
    finally:
        os.kill(service.children["keeper"].pid, signal.SIGCONT)
    assert served(service, service.base) == served(service, service.base + 1) == new != old
    pull.join(60)
    pulled[0].expect(200)
    kept.request("GET", "/v1/device/certificates")
    answer = kept.getresponse()
    assert answer.status == 200 and answer.read() and kept.sock is tls, "another connection"
    kept.close()


@test
def a_pair_that_does_not_match_has_expired_or_is_not_valid_yet_is_refused_with_a_sentence(folder):
    service = Managed(folder)
    good = tls_pair(service, folder, "good")
    service.reload("front-device")

    def refused(why):
        mark = service.said("front-device").count("not read again, the old stays: ")
        service.reload("front-device")
        lines = [line for line in service.said("front-device").splitlines() if "not read again, the old stays: " in line]
        assert len(lines) == mark + 1 and why in lines[-1], lines
        assert served(service, service.base) == good
        wait_until(lambda: service.statuses("front-device")[-1].endswith("the last reload was refused, the log says why"),
                   what="the refusal in the status")

    tls_pair(service, folder, "expired", start="-40d")
    refused("server.pem has expired")
    tls_pair(service, folder, "early", start="+3d")
    refused("server.pem is not valid before ")
    tls_pair(service, folder, "other")
    shutil.copy(folder / "good.key", service.dir / "tls/server.key")
    refused("the key in tls/server.key does not belong to the first certificate in tls/server.pem")
    (service.dir / "tls/server.key").unlink()
    refused("can not open tls/server.key")
    shutil.copy(folder / "good.pem", service.dir / "tls/server.pem")
    shutil.copy(folder / "good.key", service.dir / "tls/server.key")
    service.reload("front-device")
    assert served(service, service.base) == good
    wait_until(lambda: "refused" not in service.statuses("front-device")[-1], what="a status without a refusal")


@test
def a_front_that_begins_with_a_certificate_out_of_its_dates_serves_it_and_says_which_it_is(folder):
    service = Managed(folder)
    for name, start, why in (("expired", "-40d", "has expired"), ("early", "+3d", "is not valid before ")):
        mark = len(service.said("front-device"))
        pair = tls_pair(service, folder, name, start)
        service.renew("front-device")
        assert served(service, service.base) == pair
        lines = [line for line in service.said("front-device")[mark:].splitlines() if " 1006 " in line]
        sentence = f"1006 clients will refuse the TLS certificate: the certificate in tls/server.pem {why}"
        assert len(lines) == 1 and sentence in lines[0], lines


@test
def a_reload_takes_limits_over_in_fronts_and_keeper(folder):
    service = Managed(folder, config="[keeper]\nhealth_seconds = 1\n")
    service.import_pfx(ANN, Identity(folder, ANN, **EC).pfx() + b"\0" * 4096, "secret").expect(422)
    service.configure("[front]\nmax_body_bytes = 4096\nmax_connections = 3\nfailures_per_minute = 2\n"
                      "[keeper]\nhealth_seconds = 1\nmin_free_mib = 1048576\n[opener]\nmax_work = 1000\n")
    for room in ROOMS:
        service.reload(room)
    service.import_pfx(ANN, Identity(folder, ANN, **EC).pfx() + b"\0" * 4096, "secret").expect(413, "too_large")
    service.import_pfx(ANN, Identity(folder, ANN, **EC).pfx(), "secret").expect(422, "too_expensive")
    wait_until(lambda: service.health("/healthz").json["parts"]["disk"]["status"] == "failed", what="too little disk")
    with service.connect(service.base), service.connect(service.base), service.connect(service.base):
        try:
            with service.connect(service.base) as fourth:
                assert fourth.recv(1) == b""
        except OSError:
            pass
    wait_until(lambda: service.admin("GET", "/v1/users", token="A" * 43).status == 429, what="429 for who guesses")


@test
def a_configuration_that_is_wrong_is_refused_with_its_line_and_the_old_one_stays(folder):
    service = Managed(folder)
    service.configure("[front]\nmax_body_bytes = 4096\nmax_bodies = 2\n")
    number = (service.dir / "pfxd.conf").read_text().splitlines().index("max_bodies = 2") + 1
    for room in ROOMS:
        service.reload(room)
        assert f"not read again, the old stays: the configuration: {service.dir}/pfxd.conf line {number}: " in service.said(room)
        wait_until(lambda: "refused" in service.statuses(room)[-1], what=f"the refusal in the status of {room}")
    service.import_pfx(ANN, Identity(folder, ANN, **EC).pfx() + b"\0" * 4096, "secret").expect(422)
    service.configure("[front]\nthreads = 3\n")
    for room in ROOMS:
        service.reload(room)
        assert "these keys wait for the next start: [front] threads\n" in service.said(room)
        wait_until(lambda: "refused" not in service.statuses(room)[-1], what=f"a status of {room} without a refusal")


@test
def a_reload_can_leave_names_out_of_the_log(folder):
    service = Managed(folder)
    import_one(service, "bob@example.org")
    wait_until(lambda: "bob@example.org" in service.said("front-admin"), what="a name in the log")
    service.configure("[log]\nnames = 0\n")
    service.reload("front-admin")
    import_one(service, "eve@example.org")
    service.end("front-admin")
    assert "eve@example.org" not in service.said("front-admin")


# ---- an end that loses nothing ----

PULLS, IMPORTS = 50, 10


def under_load(service, act):
    """50 devices pull and 10 administrators import at once, again and again, until act() is done. Every one of them gets
    an answer, and none an error. Returns the identities that were imported."""
    import_one(service)
    devices = [service.enrol(ANN, "P-256") for _ in range(4)]
    files = [[Identity(service.folder, f"user{n}@example.org", **EC) for _ in range(6)] for n in range(IMPORTS)]
    files = [[(identity, identity.pfx()) for identity in list] for list in files]
    over, busy, imported = threading.Event(), threading.Barrier(PULLS + IMPORTS + 1), []

    def pull(device):
        device.pull().expect(200)
        busy.wait()
        while not over.is_set():
            device.pull().expect(200)

    def send(n):
        for turn, (identity, pfx) in enumerate(files[n]):
            service.import_pfx(f"user{n}@example.org", pfx, "secret").expect(201)
            imported.append((n, identity))
            if turn == 0:
                busy.wait()
        while not over.is_set():
            service.import_pfx(f"user{n}@example.org", files[n][0][1], "secret").expect(200)

    def work():
        try:
            busy.wait(60)
            act()
        finally:
            over.set()

    try:
        in_parallel(work, *[lambda d=devices[i % 4]: pull(d) for i in range(PULLS)],
                    *[lambda n=n: send(n) for n in range(IMPORTS)])
    finally:
        busy.abort()
    return imported


def all_is_there(service, imported):
    for n in range(IMPORTS):
        has = {c["thumbprint"] for c in
               service.admin("GET", f"/v1/users/user{n}@example.org/certificates").expect(200).json["certificates"]}
        assert has == {identity.thumbprint for number, identity in imported if number == n}
    assert service.admin("GET", "/v1/audit/verification").expect(200).json["ok"]
    for room in ROOMS:
        assert "did not end in time" not in service.said(room)


@test
def fronts_that_are_reloaded_and_restarted_under_load_refuse_reset_and_lose_nothing(folder):
    service = Managed(folder)

    def restart():
        for _ in range(2):
            for room in ("front-device", "front-admin"):
                service.reload(room)
            in_parallel(lambda: service.renew("front-device"), lambda: service.renew("front-admin"))
    all_is_there(service, under_load(service, restart))


@test
def a_keeper_that_is_reloaded_and_restarted_under_load_costs_no_answer(folder):
    service = Managed(folder)

    def restart():
        for _ in range(3):
            service.reload("keeper")
            service.renew("keeper")
    all_is_there(service, under_load(service, restart))
    assert "dropped" not in service.said("keeper")


# ---- who may connect ----

@test
def the_keeper_serves_the_named_user_alone_and_root_is_no_exception(folder):
    need_root()
    service = Managed(folder, user="nobody", ready=None)
    frames = Frames(service.dir / "run/keeper-device.sock")
    assert frames.ask(verbs()["HEALTH"]) is None
    assert "turned away: uid 0" in service.said("keeper")


PING = struct.pack(">IB", 1, verbs()["PING"])


def pinged_opener(peer):
    """(our end, the process) of an opener that finds a PING on its connection when it starts."""
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    ours.sendall(PING)
    with theirs:
        return ours, subprocess.Popen([BUILD / "pfxd-opener", "--kind", "csr", "--peer", peer], stdin=theirs,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def was_reset(connection):
    """Whether the other side ended with bytes that it had not read: the kernel tells."""
    try:
        connection.recv(5)
        return False
    except ConnectionResetError:
        return True


@test
def an_opener_reads_nothing_from_another_user_than_its_peer(folder):
    import pwd
    me = pwd.getpwuid(os.geteuid())
    for peer in (me.pw_name, str(me.pw_uid)):
        ours, process = pinged_opener(peer)
        with ours, process:
            assert ours.recv(5) == struct.pack(">IB", 1, verbs()["STARTED"])
            ours.shutdown(socket.SHUT_WR)
            assert process.wait(60) == 0
    other = "nobody" if me.pw_name != "nobody" else "root"
    for peer, sentence in ((other, f"user {me.pw_uid} connected, and {other} alone may"),
                           (str(me.pw_uid + 1), f"user {me.pw_uid} connected, and {me.pw_uid + 1} alone may"),
                           ("no-such-user", "no user no-such-user"), ("", "no user ,")):
        ours, process = pinged_opener(peer)
        with ours, process:
            said = process.stderr.read().decode()
            assert process.wait(60) == 70 and sentence in said, (peer, said)
            assert was_reset(ours), "it read what came"


@test
def an_opener_of_requests_drops_whoever_sends_it_a_pfx_and_computes_within_what_it_is_told(folder):
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    ours.sendall(struct.pack(">IB", 1, verbs()["OPEN_PFX"]))
    with ours, theirs, subprocess.Popen([BUILD / "pfxd-opener", "--kind", "csr", "--cpu-seconds", "7"], stdin=theirs,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        theirs.close()
        said = process.stderr.read().decode()
        assert process.wait(60) == 1 and "the verb OPEN_PFX" in said and "is not for this opener" in said, said
        assert ours.recv(100) == struct.pack(">IB", 1, verbs()["STARTED"])


if __name__ == "__main__":
    main()
