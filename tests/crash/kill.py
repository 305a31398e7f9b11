#!/usr/bin/env python3
"""Kills a random process of the service at a random moment of a mixed load, again and again, and looks afterwards
whether all that was answered is there, opens on a device, and nothing else is.

usage: tests/crash/kill.py [ROUNDS [SEED]]      25 rounds, a new seed; `make crash N=500` runs 500

A seed gives the same load in the same order, the same victims and the same moments. What a kill then hits depends on
the machine as well. Four people are loaded at once, each in an order of its own, so that what each must have is known."""

import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from harness import *

PEOPLE, IDENTITIES, STEPS = 4, 4, 8
VICTIMS = ["keeper", "keeper", "front-admin", "front-device", "opener-pfx", "opener-csr", "launcher"]
MOMENT_MS = 500         # of a round's load, the latest one that is hit
LIFE_ROUNDS = 4         # then the launcher is started anew: a room that dies again and again is started ever later
DEVICES_MOST = 6        # active ones of one person; the oldest is revoked then
STEP_KINDS = ["import"] * 4 + ["pull"] * 4 + ["enrol"] * 2 + ["delete"] * 2 + ["revoke"] * 2 + \
             ["wrong password", "wrong token", "spent token"]


class Person:
    """One person, what he must have, and what nobody can know because the answer was lost."""

    def __init__(self, service, folder, number):
        self.service, self.folder, self.upn = service, folder / f"person-{number}", f"person{number}@example.org"
        self.folder.mkdir()
        self.identities = [Identity(self.folder, self.upn, key="P-256", usage="keyAgreement")
                           for _ in range(IDENTITIES)]
        self.files = {i.thumbprint: i.pfx() for i in self.identities}
        self.keys = {i.thumbprint: i.key_pem for i in self.identities}
        self.has, self.unknown = set(), {}  # thumbprints; {what: what to ask again}
        self.devices, self.revoked, self.spent = [], [], []
        self.made, self.answered, self.lost = 0, 0, 0

    # ---- steps of the load: each asks once, and notes what the answer promises ----

    def ask(self, call, *expected):
        """The answer, or None when there is none that promises anything."""
        answer = None
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = call()
        if answer is None or answer.status >= 500:
            assert answer is None or answer.status == 503, (answer.status, answer.body)
            self.lost += 1
            return None
        if answer.status == 422 and b"did not survive" in answer.body:
            self.lost += 1  # its opener was the victim, at work on it: the request's doing, as far as one can tell
            return None
        assert answer.status in expected, (answer.status, expected, answer.body[:300])
        self.answered += 1
        return answer

    def step(self, kind, choice):
        thumbprint = sorted(self.files)[int(choice * len(self.files))]
        device = self.devices[int(choice * len(self.devices))] if self.devices else None
        if ("identity", thumbprint) in self.unknown and kind in ("import", "delete"):
            return
        if kind == "import":
            self.send(thumbprint)
        elif kind == "delete":
            self.delete(thumbprint)
        elif kind == "enrol":
            self.enrol()
        elif kind == "pull" and device:
            self.pull(device)
        elif kind == "revoke" and device:
            self.revoke(device)
        elif kind == "wrong password":
            self.ask(lambda: self.service.import_pfx(self.upn, self.files[thumbprint], "wrong"), 422)
        elif kind == "wrong token":
            self.ask(lambda: self.service.admin("GET", "/v1/users", token="A" * 43), 401)
        elif kind == "spent token" and self.spent:
            self.ask(lambda: self.other_device().enrol(self.spent[-1]), 409)

    def send(self, thumbprint):
        if self.ask(lambda: self.service.import_pfx(self.upn, self.files[thumbprint], "secret"), 200, 201):
            self.has.add(thumbprint)
            self.unknown.pop(("identity", thumbprint), None)
        else:
            self.unknown["identity", thumbprint] = lambda: self.send(thumbprint)

    def delete(self, thumbprint):
        again = ("identity", thumbprint) in self.unknown
        path = f"/v1/users/{self.upn}/certificates/{thumbprint}"
        answer = self.ask(lambda: self.service.admin("DELETE", path), 204, 404)
        if not answer:
            self.unknown["identity", thumbprint] = lambda: self.delete(thumbprint)
            return
        # Of an identity that was acknowledged a deletion can not be told that there is none, nor the other way round.
        assert again or (answer.status == 204) == (thumbprint in self.has), (answer.status, thumbprint, self.has)
        self.has.discard(thumbprint)
        self.unknown.pop(("identity", thumbprint), None)

    def other_device(self):
        self.made += 1
        return Device(self.service, self.folder / f"device-{self.made}", "P-256")

    def enrol(self):
        while len(self.devices) >= DEVICES_MOST:
            if not self.revoke(self.devices[0]):
                return
        path = f"/v1/users/{self.upn}/enrollments"
        token = self.ask(lambda: self.service.admin("POST", path, {"name": "phone"}), 201)
        if token:
            self.show(token.json["token"], self.other_device())

    def show(self, token, device):
        """The same device may show the same token again: it gets the same answer."""
        if self.ask(lambda: device.enrol(token), 201):
            self.devices.append(device)
            self.spent.append(token)
            self.unknown.pop(("token", token), None)
        else:
            self.unknown["token", token] = lambda: self.show(token, device)

    def revoke(self, device):
        self.devices.remove(device)
        return self.revoke_again(device)

    def revoke_again(self, device):
        answer = self.ask(lambda: self.service.admin("DELETE", f"/v1/devices/{device.id}"), 204)
        if answer:
            self.revoked.append(device)
            self.unknown.pop(("device", device.id), None)
        else:
            self.unknown["device", device.id] = lambda: self.revoke_again(device)
        return answer

    def pull(self, device):
        answer = self.ask(device.pull, 200)
        if answer:
            got = {c["thumbprint"] for c in device.open(answer.body)["certificates"]}
            unknown = {what[1] for what in self.unknown if what[0] == "identity"}
            assert self.has - unknown <= got <= self.has | unknown, (got, self.has, unknown)

    # ---- afterwards ----

    def settle(self):
        """Whose answer was lost asks again, as clients do; what came of the first time is whole or not there."""
        listed = self.listed()
        unknown = {what[1] for what in self.unknown if what[0] == "identity"}
        assert self.has - unknown <= listed <= self.has | unknown, (listed, self.has, unknown)
        for again in list(self.unknown.values()):
            again()
        assert not self.unknown, self.unknown

    def listed(self):
        answer = self.service.admin("GET", f"/v1/users/{self.upn}/certificates")
        return {c["thumbprint"] for c in answer.json["certificates"]} if answer.status == 200 else \
            (answer.expect(404), set())[1]

    def check(self):
        self.settle()
        assert self.listed() == self.has
        for device in self.devices:
            opened = device.open(device.pull().expect(200).body)
            assert {c["thumbprint"] for c in opened["certificates"]} == self.has
        if self.devices:  # one of them opens every file with the key that was imported
            assert self.devices[-1].history() == {thumbprint: self.keys[thumbprint] for thumbprint in self.has}
        for device in self.revoked[-3:]:
            device.pull().expect(403, "forbidden")
        for token in self.spent[-3:]:
            self.other_device().enrol(token).expect(409, "token_spent")
        assert self.active() == {d.id for d in self.devices}, (self.active(), [d.id for d in self.devices])

    def active(self):
        found, cursor = set(), ""
        while True:
            page = self.service.admin("GET", f"/v1/devices?user={self.upn}{cursor}")
            if page.status == 404:
                return found  # nobody has heard of this person yet
            found |= {d["id"] for d in page.expect(200).json["devices"] if d["state"] == "active"}
            if "nextCursor" not in page.json:
                return found
            cursor = "&cursor=" + page.json["nextCursor"]


def check_database(service):
    with contextlib.closing(sqlite3.connect(f"file:{service.dir}/pfxd.db?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert not db.execute("PRAGMA foreign_key_check").fetchall()
        assert not db.execute("SELECT i.id FROM identities i LEFT JOIN audit a ON a.object = i.id AND a.event = "
                              "'identity.import' WHERE a.sequence IS NULL").fetchall(), "a row without its record"


def kill(service, victim, moment_ms):
    """Whether there was such a process at that moment."""
    time.sleep(moment_ms / 1000)
    if victim == "launcher":
        service.kill()
        return True
    with contextlib.suppress(KeyError, IndexError, ProcessLookupError):
        service.kill_room(victim)
        return True
    return False


def play(folder, rounds, seed, config="[keeper]\nhealth_seconds = 1\n", say=lambda text: None):
    """Returns how many steps were answered, how many answers were lost, and {victim: how often it was killed}."""
    killed = dict.fromkeys(VICTIMS, 0)
    service = Service(folder, config=config)
    people = [Person(service, folder, n) for n in range(PEOPLE)]
    for number in range(rounds):
        order = random.Random(f"{seed}-{number}")
        victim, moment = order.choice(VICTIMS), order.uniform(0, MOMENT_MS)
        plans = [[(order.choice(STEP_KINDS), order.random()) for _ in range(STEPS)] for _ in people]
        say(f"round {number}: {victim} after {moment:.0f} ms")

        def load(person, plan):
            for kind, choice in plan:
                person.step(kind, choice)

        hit, *_ = in_parallel(lambda: kill(service, victim, moment), *[lambda p=p, plan=plan: load(p, plan)
                                                             for p, plan in zip(people, plans)])
        killed[victim] += hit
        if victim == "launcher" or number % LIFE_ROUNDS == LIFE_ROUNDS - 1:
            service.kill()
            service.start()
        service.wait_ready(60)
        in_parallel(*[p.check for p in people])
        verification = service.admin("GET", "/v1/audit/verification").expect(200).json
        assert verification["ok"], verification
        check_database(service)
    service.stop()
    check_database(service)
    return sum(p.answered for p in people), sum(p.lost for p in people), killed


def begin():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    seed = sys.argv[2] if len(sys.argv) > 2 else str(random.SystemRandom().randrange(10 ** 6))
    print(f"{rounds} rounds, seed {seed}; again: tests/crash/kill.py {rounds} {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="pfxd-crash-") as folder:
        try:
            answered, lost, killed = play(pathlib.Path(folder), rounds, seed, say=lambda text: print(text, flush=True))
        finally:
            Service.end_all()
    print("killed:", ", ".join(f"{victim} {times} times" for victim, times in killed.items()))
    print(f"{rounds} rounds: {answered} requests were answered, {lost} answers were lost; "
          "all that was answered is there")


if __name__ == "__main__":
    begin()
