"""Plays systemd to the rooms: holds their listening sockets, passes them on, starts an opener for each connection, hears
what each room says of itself, and starts and stops rooms one by one. For tests of what units rely on."""

from harness import *

# Moves the sockets to where sd_listen_fds(3) wants them. The variables name the process, so they are set in it.
STARTER = """
import fcntl, os, sys
given = [int(fd) for fd in sys.argv[1].split(",")]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in given]
os.closerange(3, 100)
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n, inheritable=True)
os.environ["LISTEN_PID"] = os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""

ROOMS = {  # name: (program and arguments, names of its sockets)
    "keeper": (["pfxd-keeper"], ["device", "admin", "local"]),
    "front-device": (["pfxd-front", "--role", "device"], ["device"]),
    "front-admin": (["pfxd-front", "--role", "admin"], ["admin", "health"]),
}


class Managed(Service):
    """A service whose rooms this process starts, each a child of it. watchdog: seconds, for WATCHDOG_USEC. user: who
    may connect to the keeper. ready: the probe that must answer 200 before the test goes on."""

    def __init__(self, folder, config="", watchdog=None, user="", ready="/readyz?for=import"):
        super().__init__(folder, config=config, start=False)
        self.watchdog, self.user = watchdog, user
        self.children, self.messages, self.ended = {}, {room: [] for room in ROOMS}, threading.Event()
        self.openers, self.opener_lock = [], threading.Lock()
        self.dir.mkdir(mode=0o700)
        run(self.build / "pfxctl", "dev-init", self.dir)
        self.configure(config)
        (self.dir / "run").mkdir(mode=0o700)
        self.sockets = {("front-device", "device"): self.listen_on_port(self.base),
                        ("front-admin", "admin"): self.listen_on_port(self.base + 1),
                        ("front-admin", "health"): self.listen_on_port(self.base + 2),
                        ("keeper", "device"): self.listen_on_path("keeper-device"),
                        ("keeper", "admin"): self.listen_on_path("keeper-admin"),
                        ("keeper", "local"): self.listen_on_path("keeper-local")}
        for kind in ("pfx", "csr"):
            threading.Thread(target=self.start_openers, args=(kind, self.listen_on_path(f"opener-{kind}")),
                             daemon=True).start()
        self.ears = {room: self.listen_to(room) for room in ROOMS}
        Service.running.append(self)
        for room in ROOMS:
            self.begin(room)
        for room in ROOMS:
            self.wait_told(room, "READY=1")
        if ready:
            wait_until(lambda: self.health(ready).status == 200, 60, ready)

    # ---- what is set up ----

    def configure(self, config):
        (self.dir / "pfxd.conf").write_text(
            "[paths]\ndatabase = pfxd.db\nkeyring = keyring\ntls_certificate = tls/server.pem\ntls_key = tls/server.key\n"
            f"runtime = run\n[keeper]\ndevice_front_user = {self.user}\nadmin_front_user = {self.user}\n" + config)

    def listen_on_port(self, port):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen(1024)
        return s

    def listen_on_path(self, name):
        s = socket.socket(socket.AF_UNIX)
        s.bind(self.short("run") + f"/{name}.sock")
        s.listen(512)
        return s

    def listen_to(self, room):
        """A thread keeps every message of the room, as it came."""
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ear.bind("\0" + self.ear_name(room))

        def hear():
            while True:
                with contextlib.suppress(OSError):
                    message = ear.recv(4096).decode()
                    if self.ended.is_set():
                        return
                    self.messages[room].append(message)
        threading.Thread(target=hear, daemon=True).start()
        return ear

    def ear_name(self, room):
        return f"pfxd-test-{os.getpid()}-{id(self)}-{room}"

    def short(self, name):
        """The same place by a name that fits into a socket's address."""
        return f"/proc/self/fd/{os.open(self.dir / name, os.O_PATH)}"

    def start_openers(self, kind, listening):
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, self.opener_lock:
                if self.ended.is_set():
                    return
                self.openers.append(subprocess.Popen([self.build / "pfxd-opener", "--kind", kind], stdin=connection,
                                                     stdout=subprocess.DEVNULL, stderr=self.log_of(f"opener-{kind}")))

    # ---- rooms ----

    def log_of(self, room):
        return open(self.folder / f"{room}.log", "ab")

    def said(self, room):
        """All that a room has written into its log."""
        return (self.folder / f"{room}.log").read_text(errors="replace")

    def begin(self, room):
        command, names = ROOMS[room]
        sockets = [self.sockets[room, name].fileno() for name in names]
        env = {**self.env, "LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names),
               "NOTIFY_SOCKET": "@" + self.ear_name(room)}
        if self.watchdog:
            env["WATCHDOG_USEC"] = str(int(self.watchdog * 1e6))
        words = [sys.executable, "-c", STARTER, ",".join(map(str, sockets)), str(self.build / command[0]), *command[1:],
                 "--config", str(self.dir / "pfxd.conf")]
        with self.log_of(room) as log:
            self.children[room] = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                                                   pass_fds=sockets)

    def end(self, room):
        """SIGTERM; returns the exit status."""
        self.children[room].terminate()
        return self.children[room].wait(120)

    def renew(self, room):
        """As `systemctl restart`: the old one ends, and then another begins."""
        mark = len(self.messages[room])
        assert self.end(room) == 0, self.said(room)[-2000:]
        self.begin(room)
        self.wait_told(room, "READY=1", mark)

    def reload(self, room):
        """As `systemctl reload`: returns when the room says that it is done."""
        mark = len(self.messages[room])
        self.children[room].send_signal(signal.SIGHUP)
        self.wait_told(room, "RELOADING=1", mark)
        self.wait_told(room, "READY=1", mark)

    def wait_told(self, room, line, after=0):
        """Waits until the room has said this line; only messages from number `after` on count."""
        def told():
            status = self.children[room].poll()
            assert status is None or line == "STOPPING=1", f"{room} ended with {status}: {self.said(room)[-2000:]}"
            return any(line in message.split("\n") for message in self.messages[room][after:])
        wait_until(told, 60, f"{line} of {room}")

    def beats(self, room):
        """How often the room has fed its watchdog."""
        return sum("WATCHDOG=1" in message.split("\n") for message in self.messages[room])

    def statuses(self, room):
        return [line[7:] for message in self.messages[room] for line in message.split("\n") if line.startswith("STATUS=")]

    # ---- what Service has ----

    def rooms(self):
        found = {room: [child.pid] for room, child in self.children.items() if child.poll() is None}
        return found

    def stop(self):
        for room in ("front-device", "front-admin", "keeper"):
            if room in self.children and self.children[room].poll() is None:
                self.end(room)

    def kill(self):
        self.ended.set()
        for child in [*self.children.values(), *self.openers]:
            if child.poll() is None:
                child.kill()
            child.wait(10)
        for s in [*self.sockets.values(), *self.ears.values()]:
            s.close()
        if self in Service.running:
            Service.running.remove(self)


# ---- threads that stand still ----

# A tracer is a process of its own, because what it waits for would be taken for the end of a child. When it ends, what
# it holds goes on.
TRACER = """
import ctypes, os, select, sys
SEIZE, INTERRUPT, CONTINUE, EVENT_MESSAGE, TRACE_CLONE, WALL = 0x4206, 0x4207, 7, 0x4201, 8, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes, libc.ptrace.restype = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p], ctypes.c_long
def ptrace(request, thread, data=0):
    if libc.ptrace(request, thread, None, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {thread}")
thread, new_ones = int(sys.argv[1]), sys.argv[2] == "new"
ptrace(SEIZE, thread, TRACE_CLONE if new_ones else 0)
if not new_ones:
    ptrace(INTERRUPT, thread)
    os.waitpid(thread, WALL)
print("held", flush=True)
while not select.select([sys.stdin], [], [], 0.01)[0]:
    # A new thread is held from its first step; the one that made it goes on.
    if new_ones and os.waitpid(thread, WALL | os.WNOHANG)[0] == thread:
        ptrace(CONTINUE, thread)
"""


@contextlib.contextmanager
def held(thread, new=False):
    """A thread of another process stands still; with new, not itself but each one that it starts. For root."""
    tracer = subprocess.Popen([sys.executable, "-c", TRACER, str(thread), "new" if new else "this"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert tracer.stdout.readline() == b"held\n", f"{thread} can not be held"
        yield
    finally:
        tracer.communicate(timeout=60)


def threads_of(pid):
    """{thread: name}"""
    return {int(task.name): (task / "comm").read_text().strip() for task in pathlib.Path(f"/proc/{pid}/task").iterdir()}
