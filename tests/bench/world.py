"""What the rows of the bench share: services with many people and devices in them, the load generator, and the CPU and
memory of processes. All that is started ends by itself, by its process."""

import sys
import pathlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))

from harness import *

BENCH = BUILD / "tests/bench"
TICK = os.sysconf("SC_CLK_TCK")
HISTORY = 8       # identities of one person: what a pull delivers
PEOPLE = 100      # of them, each with one device
KEYS = 8          # RSA keys that the devices share, since making one takes long
UPN = "u{:06}@example.org"
PASSWORD = "secret"


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


# ---- what processes use ----

def stat(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def children(pid):
    """Of the process, by id."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(stat(entry.name)[1]) == pid:
                found.append(int(entry.name))
    return found


def cpu_of(pid):
    """Seconds of CPU of a process and all that it has started: those that have ended, and those that run."""
    fields = stat(pid)
    used = sum(int(n) for n in fields[11:15])  # utime, stime, and the same of children that were waited for
    for child in children(pid):
        with contextlib.suppress(OSError):
            used += sum(int(n) for n in stat(child)[11:13])
    return used / TICK


def pss_of(pid):
    """MiB of memory of a process and its children, shared pages divided among those that share them. For root."""
    total = 0
    for one in [pid, *children(pid)]:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{one}/smaps_rollup").read_text(), re.M)[1])
    return total / 1024


def descriptors_of(pid):
    """Open descriptors of a process and its children. For root."""
    total = 0
    for one in [pid, *children(pid)]:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += len(os.listdir(f"/proc/{one}/fd"))
    return total


def wait_quiet(pid, seconds=900):
    """Until the processes have used almost no CPU for two seconds: a keeper verifies its audit after a start."""
    def is_quiet():
        before = cpu_of(pid)
        time.sleep(2)
        return cpu_of(pid) - before < 0.1
    wait_until(is_quiet, seconds, "a quiet service")


# ---- load ----

class Figures:
    """What a run of the load generator says, with the CPU that the served process used meanwhile."""

    def __init__(self, said, cpu):
        self.calls, self.seconds, self.failed = said["calls"], said["seconds"], said["failed"]
        self.p50, self.p99, self.longest = (said[name] / 1000 for name in ("p50_us", "p99_us", "max_us"))  # ms
        self.rate = self.calls / self.seconds
        self.cpu = cpu / self.calls * 1e6  # µs a call


def load_command(port, ca, script, *options):
    return [str(word) for word in (BENCH / "load", f"localhost:{port}", "--ca", ca, "--script", script, *options)]


def load(pid, port, ca, script, *options, failures=False):
    """Runs the load generator against a port of the process pid. An answer that was not expected is an error."""
    before = cpu_of(pid)
    done = subprocess.run(load_command(port, ca, script, *options), stdout=subprocess.PIPE, check=True)
    figures = Figures(json.loads(done.stdout), cpu_of(pid) - before)
    assert failures or figures.failed == 0, f"{figures.failed} of {figures.calls} answers were not as expected"
    return figures


@contextlib.contextmanager
def load_meanwhile(port, ca, script, *options):
    """Runs the load generator beside what is in the block, and ends it after that."""
    process = subprocess.Popen(load_command(port, ca, script, *options), stdout=subprocess.DEVNULL)
    try:
        yield process
        assert process.poll() is None, "the load beside ended too early"
    finally:
        process.terminate()
        process.wait()


# ---- a service and its devices ----

class World:
    """A service with people and their devices. With fill, people and identities are put into its database while it is
    stopped; else they come over REST, as PFX files."""

    def __init__(self, folder, people=PEOPLE, history=HISTORY, fill=False, config=None, devices=None, identities=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.people, self.history = people, history
        self.identities = identities or [Identity(self.folder, UPN.format(n)) for n in range(history)]
        self.files = []
        for n, identity in enumerate(self.identities[:history]):
            self.files.append(self.folder / f"{n}.pfx")
            self.files[-1].write_bytes(identity.pfx(PASSWORD))
        self.service = Service(self.folder, config=config)
        self.ca = self.service.dir / "ca.pem"
        if fill:
            self._fill()
        else:
            self.import_all()
        self.devices = self._enrol(devices or min(people, PEOPLE))
        self.pull_script = self.write("pull", "GET /v1/device/bundle")
        self.clients = self.write("clients", *[f"{d.certificate} {d.key}" for d in self.devices])

    def write(self, name, *lines):
        path = self.folder / name
        path.write_text("".join(line + "\n" for line in lines))
        return path

    @property
    def pid(self):
        return self.service.process.pid

    def bearer(self):
        return "--header", f"Authorization: Bearer {self.service.token}"

    def _fill(self):
        self.service.stop()
        run(BENCH / "fill", self.service.dir, self.people, 32, PASSWORD, *self.files, timeout=3600)
        self.service.start()
        self.service.wait_ready(600)
        wait_quiet(self.pid)

    def import_lines(self, count, files, first=0):
        """Lines of a script: each file for each of count people."""
        bodies = [json.dumps({"pkcs12": base64.b64encode(f.read_bytes()).decode(), "password": PASSWORD}) for f in files]
        return [f"POST /v1/users/{UPN.format(first + n)}/certificates {body}" for body in bodies for n in range(count)]

    def import_all(self):
        lines = self.import_lines(self.people, self.files)
        self.admin_load(self.write("imports", *lines), "--calls", len(lines), "--threads", 16, "--expect", 201)

    def admin_load(self, script, *options, **more):
        return load(self.pid, self.service.base + 1, self.ca, script, *self.bearer(), *options, **more)

    def device_load(self, *options, script=None, clients=None, **more):
        return load(self.pid, self.service.base, self.ca, script or self.pull_script,
                    "--clients", clients or self.clients, *options, **more)

    def _enrol(self, count):
        """One device each of count people, spread over all of them. They share a few RSA-2048 keys."""
        made = [Device(self.service, self.folder / f"key-{n}") for n in range(min(KEYS, count))]
        self.csrs = [device.csr for device in made]
        devices = []
        for n in range(count):
            device = object.__new__(Device)
            device.__dict__.update(made[n % len(made)].__dict__)
            device.certificate = self.folder / f"device-{n}.crt"
            device.ca = self.folder / "enrol-ca.pem"
            device.enrol(self.service.enrolment_token(UPN.format(n * self.people // count))).expect(201)
            devices.append(device)
        return devices

    def etags(self):
        """A file of clients that know what they have: each gets 304. Pulls once for each."""
        lines = [f"{d.certificate} {d.key} {d.pull().expect(200).headers['etag']}" for d in self.devices]
        return self.write("clients-304", *lines)

    def stop(self):
        self.service.stop()


@contextlib.contextmanager
def ended(*command, cwd=None, ready=None, stdin=subprocess.DEVNULL):
    """A process that lives as long as the block."""
    process = subprocess.Popen([str(c) for c in command], cwd=cwd, stdin=stdin,
                               stdout=subprocess.PIPE if ready else subprocess.DEVNULL)
    try:
        if ready:
            assert process.stdout.readline().strip() == ready, f"{command[0]} did not start"
        yield process
    finally:
        process.terminate()
        process.wait(30)


def answers_on(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True


@contextlib.contextmanager
def nginx(world, size):
    """Debian's nginx with one worker, that has a file of so many bytes where a bundle would be. (pid, port)"""
    folder = world.folder / "nginx"
    (folder / "www/v1/device").mkdir(parents=True)
    (folder / "www/v1/device/bundle").write_bytes(os.urandom(size))
    world.folder.parent.chmod(0o755)
    world.folder.chmod(0o755)  # its worker is another user
    port, lock = free_base_port()
    tls = world.service.dir / "tls"
    (folder / "nginx.conf").write_text(f"""
daemon off; pid {folder}/pid; worker_processes 1; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log {folder}/access.log; default_type application/cms; keepalive_requests 1000000000;
    server {{
        listen 127.0.0.1:{port} ssl; root {folder}/www;
        ssl_certificate {tls}/server.pem; ssl_certificate_key {tls}/server.key; ssl_protocols TLSv1.3;
        ssl_verify_client on; ssl_client_certificate {world.devices[0].ca};
    }}
}}
""")
    with ended("nginx", "-c", folder / "nginx.conf", "-p", folder) as process:
        wait_until(lambda: answers_on(port), what="nginx")
        yield process.pid, port
    lock.close()


def empty(world, threads, *options):
    """libmicrohttpd with an empty handler: a context that gives (pid, port)."""
    @contextlib.contextmanager
    def context():
        port, lock = free_base_port()
        tls = world.service.dir / "tls"
        with ended(BENCH / "empty", port, tls / "server.pem", tls / "server.key", threads, *options, ready=b"ready",
                   stdin=subprocess.PIPE) as process:
            yield process.pid, port
        lock.close()
    return context()


def alone(what, seconds, *arguments):
    """(calls, seconds, CPU seconds) of OpenSSL alone."""
    said = json.loads(run(BENCH / "alone", what, seconds, *arguments, timeout=600).stdout)
    return said["calls"], said["seconds"], said["cpu"]
