"""What the steps share: the installed service, systemd's units, and the journal. Inside the container only.

Nothing here sleeps: it waits for events of the journal, which systemd and the rooms write, or for a command to end."""

import json
import os
import pathlib
import select
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from harness import Answer, Device, Identity, Service, in_parallel, run  # noqa: E402,F401

EVENT_SECONDS = 120        # the longest that anything is waited for
UNIT_STARTED = "39f53479d3a045ac8e11786248231fbf"
KEYRING, TOKEN, EXPORT = "/etc/pfxd/keyring.cred", "/root/admin.token", "/root/keyring.export"
FRONTS = ("pfxd-device.service", "pfxd-admin.service")
ROOMS = ("pfxd-keeper.service", *FRONTS)
OUT = pathlib.Path("/out")


def say(text):
    """Shows what a step saw."""
    print("    " + str(text).replace("\n", "\n    "), flush=True)


class Installed(Service):
    """The service as the package runs it."""

    def __init__(self):
        self.folder, self.dir, self.base = pathlib.Path("/root/work"), pathlib.Path("/etc/pfxd/tls"), 8443
        self.folder.mkdir(exist_ok=True)

    @property
    def token(self):
        return pathlib.Path(TOKEN).read_text().strip()


# ---- units ----

def show(unit, name):
    return run("systemctl", "show", "--value", "-p", name, unit).stdout.decode().strip()


def is_active(unit):
    return show(unit, "ActiveState") == "active"


def main_pid(unit):
    return int(show(unit, "MainPID"))


def our_units(*options):
    """[(unit, active, sub)] of everything of this package that systemd has loaded."""
    text = run("systemctl", "list-units", "--plain", "--no-legend", "--all", *options, "pfxd-*", "pfxd.target").stdout
    rows = [line.split(None, 4) for line in text.decode().splitlines()]
    return [(r[0], r[2], r[3]) for r in rows if r and r[0] != "steps-of-pfxd.service"]


def failed_units():
    return [u for u in our_units("--state=failed")]


def drop_in(unit, text):
    """A drop-in that lasts until the next boot; None takes it away."""
    path = pathlib.Path(f"/run/systemd/system/{unit}.d/99-check.conf")
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    run("systemctl", "daemon-reload")


# ---- the journal ----

class Mark:
    """A place in the journal; what comes after it can be waited for."""

    def __init__(self):
        run("journalctl", "--sync")
        last = run("journalctl", "-n", "1", "-o", "json").stdout
        self.cursor = json.loads(last)["__CURSOR"]

    def events(self, *matches):
        """All that came since and has each FIELD=VALUE. journalctl itself would lose the first match after a cursor that does
        not match (systemd 252)."""
        run("journalctl", "--sync")
        text = run("journalctl", "--after-cursor", self.cursor, "-o", "json", "--no-pager").stdout
        wanted = [match.split("=", 1) for match in matches]
        events = [json.loads(line) for line in text.splitlines()]
        return [e for e in events if all(e.get(name) == value for name, value in wanted)]

    def wait(self, what, wanted, *matches, seconds=EVENT_SECONDS):
        """The first event since for which wanted(event) is true. What is new in the journal wakes it to look again."""
        end = time.monotonic() + seconds
        with subprocess.Popen(["journalctl", "--follow", "-n", "0", "-o", "cat"], stdout=subprocess.PIPE) as news:
            try:
                while time.monotonic() < end:
                    for event in self.events(*matches):
                        if wanted(event):
                            return event
                    if select.select([news.stdout], [], [], 1)[0]:
                        os.read(news.stdout.fileno(), 1 << 16)
            finally:
                news.kill()
        raise AssertionError(f"the journal did not say within {seconds} s: {what}")

    def wait_started(self, unit):
        """Until systemd has started the unit, which for a room means that it said READY=1."""
        return self.wait(f"{unit} started", lambda e: e.get("UNIT") == unit, f"MESSAGE_ID={UNIT_STARTED}")

    def wait_message(self, unit, part):
        """Until the unit, or systemd about it, says something with part in it."""
        return self.wait(f"{unit}: {part}", lambda e: part in str(e.get("MESSAGE")) and
                         unit in (e.get("UNIT"), e.get("_SYSTEMD_UNIT")))


# ---- steps ----

STEPS = []


class Reboot(Exception):
    """Raised by a step that is done when the machine has booted again."""


def step(function):
    STEPS.append(function)
    return function


def perform():
    """Runs the steps that are not done yet. PFXD_STEPS: only those whose names contain one of these parts, beside
    the ones that all others need, which begin with an underscore."""
    import traceback
    wanted = os.environ.get("PFXD_STEPS", "").split()
    done = OUT / "done"
    already = done.read_text().splitlines() if done.exists() else []
    for function in STEPS:
        name = function.__name__
        if name in already or (wanted and not name.startswith("_") and not any(w in name for w in wanted)):
            continue
        title = name.strip("_").replace("_", " ")
        started = time.monotonic()
        try:
            function()
        except Reboot:
            already.append(name)
            done.write_text("\n".join(already))
            print(f"ok - {title} ({time.monotonic() - started:.1f} s)", flush=True)
            run("systemctl", "--no-block", "reboot")
            select.select([], [], [])
        except BaseException:
            print(f"not ok - {title}", flush=True)
            traceback.print_exc(file=sys.stdout)
            print(run("journalctl", "-b", "-n", "80", "-o", "short", "--no-pager").stdout.decode(), flush=True)
        else:
            print(f"ok - {title} ({time.monotonic() - started:.1f} s)", flush=True)
        already.append(name)
        done.write_text("\n".join(already))
    print("the end", flush=True)
