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
        return "pfxd-keeper: serving" in self.log().rsplit("ended", 1)[-1]

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
