"""What systemd does on a server, played by a test: sockets that are passed by name, openers that are started by
connection, a credential that is opened for the keeper, and a machine whose key seals it.

A machine has its own /var/lib/systemd and machine-id in a mount namespace, so that the real one's are not touched."""

from harness import *

import pwd
import select

OPENERS = {"pfx": "opener-pfx", "csr": "opener-csr"}


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def bind_socket(path, mode=0o600, uid=None):
    """Listens on a unix socket. Relative from its folder: a socket's path has at most 107 bytes."""
    listening = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    fd = os.open(path.parent, os.O_PATH)
    try:
        listening.bind(f"/proc/self/fd/{fd}/{path.name}")
    finally:
        os.close(fd)
    path.chmod(mode)
    if uid is not None:
        os.chown(path, uid, -1)
    listening.listen(64)
    return listening


def passed(command, sockets, **options):
    """Starts a program with {name: socket} as sd_listen_fds(3) has it."""
    numbers = [s.fileno() for s in sockets.values()]

    def arrange():
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in numbers]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i)
        os.closerange(3 + len(high), 100 + 200)

    env = {**options.pop("env", os.environ), "LISTEN_FDS": str(len(numbers)), "LISTEN_FDNAMES": ":".join(sockets)}
    # The number of the process is known to itself alone.
    shell = ["sh", "-c", 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"', "sh"]
    return subprocess.Popen(shell + [str(c) for c in command], stdin=subprocess.DEVNULL, close_fds=False,
                            preexec_fn=arrange, env=env, **options)


class Keeper:
    """pfxd-keeper with its three sockets and both kinds of opener, on a folder that has a pfxd.conf."""

    def __init__(self, folder, log, env=None, sockets=("device", "admin", "local"), openers=("pfx", "csr")):
        self.folder, self.log_path = pathlib.Path(folder), pathlib.Path(log)
        self.env = {**os.environ, **(env or {})}
        self.run = self.folder / "run"
        self.run.mkdir(exist_ok=True)
        self.sockets = {name: bind_socket(self.run / f"keeper-{name}.sock") for name in sockets}
        self.gates = {kind: bind_socket(self.run / f"{OPENERS[kind]}.sock") for kind in openers}
        self.over = threading.Event()
        self.openers = []
        self.process = None
        Service.running.append(self)
        self.gate = threading.Thread(target=self._serve_gates)
        self.gate.start()
        self.start()

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = passed([BUILD / "pfxd-keeper", "--config", self.folder / "pfxd.conf"], self.sockets,
                                  env=self.env, stdout=log, stderr=log)
        wait_until(lambda: self.process.poll() is not None or self._answers(), 60, "an answer of the keeper")
        assert self.process.poll() is None, f"the keeper did not start: {self.log()[-2000:]}"

    def _answers(self):
        with contextlib.suppress(OSError):
            return self.ask("HEALTH", name="device") is not None

    def _serve_gates(self):
        while not self.over.is_set():
            for ready in select.select(list(self.gates.values()), [], [], 0.1)[0]:
                kind = next(k for k, s in self.gates.items() if s is ready)
                with contextlib.suppress(OSError):
                    connection, _ = ready.accept()
                    with open(self.log_path, "ab") as log:
                        self.openers.append(passed([BUILD / "pfxd-opener", "--kind", kind], {"connection": connection},
                                                   env=self.env, stdout=log, stderr=log))
                    connection.close()

    def ask(self, verb, fields=b"", name="local"):
        """One frame on a connection of its own; (verb, fields) or None."""
        frames = Frames(self.run / f"keeper-{name}.sock")
        try:
            return frames.ask(verbs()[verb] if isinstance(verb, str) else verb, fields)
        finally:
            frames.close()

    def stop_keeper(self):
        """SIGTERM to the keeper alone: the sockets stay, as with systemd."""
        self.process.terminate()
        self.process.wait(60)

    def stop(self):
        if self in Service.running:
            Service.running.remove(self)
        self.over.set()
        self.gate.join()
        if self.process and self.process.poll() is None:
            self.stop_keeper()
        for opener in self.openers:
            opener.kill()
            opener.wait()
        for listening in [*self.sockets.values(), *self.gates.values()]:
            listening.close()

    def kill(self):
        with contextlib.suppress(Exception):
            self.process.kill()
        self.stop()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


# ---- a machine of its own ----

INSIDE = """
while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit 125; shift 2; done
shift
exec "$@"
"""


def free_of_machine():
    """Skips where a test can not have a machine of its own."""
    need_root()
    if not pathlib.Path("/usr/bin/systemd-creds").exists():
        raise Skip("there is no systemd-creds")
    if run("unshare", "--mount", "true", ok=False).returncode != 0:
        raise Skip("this root may not make mount namespaces")


class Machine:
    """A server as the package leaves it: a pfxd.conf, no keyring, and a host key that no other machine has."""

    def __init__(self, folder, name="machine"):
        free_of_machine()
        self.dir = pathlib.Path(folder) / name
        self.conf, self.credential = self.dir / "pfxd.conf", self.dir / "keyring.cred"
        self.secret, self.id = self.dir / "systemd", self.dir / "machine-id"
        for made in (self.dir, self.secret, self.dir / "run"):
            made.mkdir(mode=0o755)
        self.id.write_text(os.urandom(16).hex() + "\n")
        self.configure()
        self.binds = {"/var/lib/systemd": self.secret, "/etc/machine-id": self.id}

    def configure(self, more=""):
        self.conf.write_text("[paths]\ndatabase = pfxd.db\ntls_certificate = tls/server.pem\ntls_key = tls/server.key\n"
                             "runtime = run\n[keeper]\ndevice_front_user =\nadmin_front_user =\nhealth_seconds = 1\n" +
                             more)

    def command(self, *command, binds=None, before=""):
        """What runs a command on this machine; before: shell lines, to set more of it up."""
        pairs = [str(part) for over, under in {**self.binds, **(binds or {})}.items() for part in (under, over)]
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", before + INSIDE, "sh", *pairs, "--",
                *[str(c) for c in command]]

    def inside(self, *command, binds=None, before="", ok=True, **options):
        return run(*self.command(*command, binds=binds, before=before), ok=ok, **options)

    def ctl(self, *arguments, **options):
        """pfxctl on this machine, as root."""
        return self.inside(BUILD / "pfxctl", *arguments, "--pfxd-conf", self.conf, **options)

    def refused(self, status, *arguments, **options):
        """What it says on standard error when it ends with this status."""
        done = self.ctl(*arguments, ok=False, **options)
        assert done.returncode == status, (arguments, done)
        return done.stderr.decode()

    def keyring(self, credential=None):
        """The text of the sealed keyring, as systemd would give it to the keeper."""
        return self.inside("systemd-creds", "decrypt", "--name=keyring", credential or self.credential, "-").stdout

    def files(self):
        """{path: bytes} of all that is there but the host's own key and the empty lock, empty folders too."""
        return {str(p.relative_to(self.dir)): p.read_bytes() if p.is_file() else None
                for p in self.dir.rglob("*")
                if self.secret not in p.parents and not p.is_socket() and p.name != ".keyring.lock"}

    def start_keeper(self, log=None, env=None, **more):
        """The keeper with its credential, as its unit starts it."""
        credentials = self.dir.parent / f"{self.dir.name}-credentials"
        credentials.mkdir(exist_ok=True)
        (credentials / "keyring").write_bytes(self.keyring())
        (credentials / "keyring").chmod(0o600)
        return Keeper(self.dir, log or self.dir.parent / "keeper.log",
                      env={"CREDENTIALS_DIRECTORY": str(credentials), **(env or {})}, **more)
