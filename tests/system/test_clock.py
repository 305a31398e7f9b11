#!/usr/bin/env python3
"""The clock of the server goes back, or jumps ahead: what stops, what goes on, who is told, and how it ends. The clock is
the programs' own (libfaketime reads it from a file), never the machine's."""

from manager import *

UPN = "ann@example.org"


class Timed:
    """A service whose clock a test sets, with a device that has pulled."""

    def __init__(self, folder):
        need_root()
        self.folder, self.file = folder, folder / "time"
        self.set("+0d")
        env = clock("+0d")
        env.pop("FAKETIME")
        env.update(FAKETIME_TIMESTAMP_FILE=str(self.file), FAKETIME_NO_CACHE="1")
        self.service = Clocked(folder, env)
        self.identity = Identity(folder, UPN)
        self.service.import_pfx(UPN, self.identity.pfx(), "secret").expect(201)
        self.device = self.service.enrol(UPN, "P-256")
        self.spare = self.service.enrolment_token(UPN, "spare")

    def set(self, offset):
        temporary = self.file.with_suffix(".new")
        temporary.write_text(offset + "\n")
        temporary.rename(self.file)

    def part(self):
        """(status of readyz for imports, the part clock)"""
        answer = self.service.health("/readyz?for=import")
        return answer.status, answer.json["parts"]["clock"]

    def wait_part(self, status):
        wait_until(lambda: self.part()[1]["status"] == status, 60, f"a clock that is {status}")
        return self.part()

    def pulls(self):
        bundle = self.device.open(self.device.pull().expect(200).body)
        assert [c["thumbprint"] for c in bundle["certificates"]] == [self.identity.thumbprint]

    def accept(self):
        return run(BUILD / "pfxctl", "clock", "accept", "--dev", self.service.dir).stderr.decode()

    def renew_certificate(self):
        body = {"csr": self.device.csr, "signature": base64.b64encode(self.signature()).decode()}
        return self.service.device("POST", "/v1/device/renew", body, device=self.device)

    def signature(self):
        der = run("openssl", "req", "-outform", "DER", input=self.device.csr.encode()).stdout
        return run("openssl", "dgst", "-sha256", "-sign", self.device.key, input=der).stdout

    def check_stopped(self):
        """Nothing is issued and no token is taken; what is already somebody's goes on."""
        other = Device(self.service, self.folder / f"other{len(list(self.folder.glob('other*')))}", "P-256")
        for answer in (other.enrol(self.spare), self.renew_certificate(), self.service.admin("GET", "/v1/users"),
                       self.service.admin("POST", "/v1/tokens", {"name": "x", "role": "auditor"})):
            answer.expect(503, "unavailable")
            assert "the clock of the server says" in answer.json["detail"], answer.body
            assert "retry-after" in answer.headers
        self.pulls()
        self.service.device("GET", "/v1/device/certificates", device=self.device).expect(200)

    def check_works(self):
        self.service.admin("GET", "/v1/users").expect(200)
        self.pulls()
        self.renew_certificate().expect(201)


class Clocked(Managed):
    """Only the keeper has the other clock: TLS certificates are of today."""

    def __init__(self, folder, env):
        self.clock_env = env
        super().__init__(folder, "health_seconds = 1\n")

    def begin(self, room):
        whole = self.env
        if room == "keeper":
            self.env = {**self.env, **self.clock_env}
        super().begin(room)
        self.env = whole


@test
def a_clock_that_went_back_stops_issuing_and_tokens_until_it_is_right_again(folder):
    world = Timed(folder)
    assert world.wait_part("ok")[0] == 200
    world.check_works()
    world.set("-2m")  # as clocks do
    world.check_works()
    world.set("-1h")
    world.check_stopped()
    status, part = world.wait_part("failed")
    assert status == 503 and "records were made until" in part["detail"] and "clock accept" in part["detail"], part
    assert world.service.health("/readyz").status == 200, "pulls go on"
    assert '3000' in world.service.said("keeper") and 'part="clock"' in world.service.said("keeper")
    # The pulls that went on were recorded, at the earlier time; that makes it no later, nor does a restart.
    world.service.renew("keeper")
    world.check_stopped()
    world.set("+0d")
    world.wait_part("ok")
    world.check_works()
    answer = world.service.admin("GET", "/v1/audit/verification").json
    assert answer["ok"], answer


@test
def a_clock_that_was_ahead_before_is_accepted_by_root_and_that_is_on_record(folder):
    world = Timed(folder)
    world.set("+10d")
    world.check_works()
    world.set("+0d")
    world.check_stopped()
    world.service.renew("keeper")
    world.check_stopped()
    said = world.accept()
    assert "the latest time on record was" in said, said
    world.check_works()
    assert world.wait_part("ok")[0] == 200
    world.service.renew("keeper")
    world.check_works()
    records = world.service.admin("GET", "/v1/audit?limit=1000").json["records"]
    assert [r["event"] for r in records].count("clock.accept") == 1
    # From then on the accepted time is what counts.
    world.set("-1h")
    world.check_stopped()


@test
def a_clock_that_jumps_ahead_by_a_year_locks_nobody_out_in_silence(folder):
    world = Timed(folder)
    short = world.service.make_token("auditor", expiresIn=86400)
    world.service.admin("GET", "/v1/users", token=short).expect(200)
    world.wait_part("ok")
    world.set("+800d")
    status, part = world.wait_part("failed")
    assert status == 503 and "at once" in part["detail"] and "clock accept" in part["detail"], part
    log = world.service.said("keeper")
    assert 'part="clock"' in log and "at once, and may be wrong" in log, log[-2000:]
    expired = world.service.admin("GET", "/v1/users", token=short).expect(401, "unauthorized").json["detail"]
    spent = Device(world.service, folder / "late", "P-256").enrol(world.spare).expect(410, "token_expired").json["detail"]
    pulled = world.device.pull().expect(401, "unauthorized").json["detail"]
    for detail in (expired, spent, pulled):
        assert "has expired" in detail and "the clock of the server went from" in detail, detail
    # Who did not expire is not stopped.
    world.service.admin("GET", "/v1/users").expect(200)
    # A restart does not forget it, nor do records that are made meanwhile.
    world.service.make_token("auditor")
    world.service.renew("keeper")
    assert world.wait_part("failed")[0] == 503
    assert "at once" in world.service.admin("GET", "/v1/users", token=short).expect(401).json["detail"]
    # It was right: an administrator says so.
    world.accept()
    assert world.wait_part("ok")[0] == 200
    detail = world.service.admin("GET", "/v1/users", token=short).expect(401).json["detail"]
    assert "clock" not in detail, detail


@test
def a_clock_that_was_set_back_before_anything_was_recorded_needs_no_word(folder):
    world = Timed(folder)
    world.wait_part("ok")
    world.set("+400d")
    world.wait_part("failed")
    world.set("+0d")
    assert world.wait_part("ok")[0] == 200
    world.check_works()


@test
def a_start_long_after_the_last_record_is_told(folder):
    world = Timed(folder)
    world.service.end("keeper")
    world.set("+89d")
    world.service.begin("keeper")
    assert world.wait_part("ok")[0] == 200
    world.service.end("keeper")
    world.set("+91d")
    world.service.begin("keeper")
    status, part = world.wait_part("failed")
    assert "at once" in part["detail"], part
    world.service.admin("GET", "/v1/users").expect(200)
    world.accept()
    world.wait_part("ok")


@test
def only_root_on_the_server_accepts_a_time(folder):
    world = Timed(folder)
    number = verbs()["CLOCK_ACCEPT"]
    for name, fields in (("device", b""), ("admin", field("r") + field(world.service.token))):
        frames = Frames(world.service.dir / f"run/keeper-{name}.sock")
        assert frames.ask(number, fields) is None, f"the {name} socket answered"
        frames.close()


if __name__ == "__main__":
    main()
