#!/usr/bin/env python3
"""What docs/container.md promises, in a container that is made here of namespaces: the image's own command with a
volume and secrets, as a user that is not root, on a root folder that nobody can write."""

import re

from harness import *

CONTAINER = ROOT / "packaging/container"
USER = 10001
SYSTEM = ("usr", "bin", "lib", "lib64", "etc")


class Container(Service):
    """The launcher as process 1, with nothing to write but /data and an empty /run."""

    def __init__(self, folder, keyring=True):
        super().__init__(folder, start=False)
        self.root, self.secrets = folder / "root", folder / "secrets"
        for path in (self.root, self.secrets, self.dir):
            path.mkdir(mode=0o755)
        self.give(self.dir, 0o700)
        made = folder / "made"
        made.mkdir()
        run(BUILD / "pfxctl", "dev-init", made)
        files = {"keyring": "keyring", "tls-certificate": "tls/server.pem", "tls-key": "tls/server.key"}
        for name, path in files.items():
            shutil.copy(made / path, self.secrets / f"pfxd-{name}")
            self.give(self.secrets / f"pfxd-{name}", 0o400)
        if not keyring:
            (self.secrets / "pfxd-keyring").unlink()
        self.made = made

    @staticmethod
    def give(path, mode):
        os.chown(path, USER, USER)
        path.chmod(mode)

    @property
    def token(self):
        return (self.made / "admin.token").read_text().strip()

    def context(self, certificate=None, key=None):
        context = ssl.create_default_context(cafile=self.made / "ca.pem")
        if certificate:
            context.load_cert_chain(certificate, key)
        return context

    def command(self):
        """The image's own, but that the ports are free ones and the programs those under test."""
        text = (CONTAINER / "Containerfile").read_text()
        program, *arguments = json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.M)[1])
        assert program == "pfxd" and f"\nUSER {USER}:{USER}\n" in text and "\nVOLUME /data\n" in text
        return ["/opt/pfxd", *arguments, "--base-port", str(self.base)]

    def start(self, expect_ready=True, wait=True):
        mounts = [f"mount -t tmpfs -o mode=755 tmpfs {self.root}", f"cd {self.root}", "mkdir data run opt proc dev tmp"]
        for name in SYSTEM:
            path = pathlib.Path("/") / name
            if path.is_symlink():
                mounts.append(f"ln -s {os.readlink(path)} {name}")
            elif path.is_dir():
                mounts.append(f"mkdir {name} && mount --rbind /{name} {name} && mount -o remount,bind,ro {name}")
        mounts += [f"mount --bind {BUILD} opt", "mount --bind /dev dev", f"mount --bind {self.dir} data",
                   f"touch data/pfxd.conf && mount --bind {CONTAINER}/pfxd.conf data/pfxd.conf",
                   "mount -o remount,bind,ro data/pfxd.conf", "mount -t tmpfs tmpfs run", "mkdir run/secrets",
                   f"mount --bind {self.secrets} run/secrets", "mount -o remount,bind,ro run/secrets",
                   "mount -t proc proc proc", "mount -o remount,ro ."]
        privileges = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--inh-caps=-all",
                      "--bounding-set=-all", "--no-new-privs"]
        script = " && ".join(mounts) + " && exec chroot . \"$@\""
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", *privileges,
             *self.command()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        log.close()
        Service.running.append(self)
        return self.process.stdout.readline()

    def stop(self):
        """SIGTERM to process 1 of the container, as podman stop sends it; returns the exit status."""
        if self.process and self.process.poll() is None:
            children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            os.kill(int(children[0]), signal.SIGTERM)
            self.process.wait(60)
        self._forget()
        return self.process.returncode if self.process else None


def need_namespaces():
    if os.geteuid() != 0 or run("unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/mnt",
                                ok=False).returncode != 0:
        raise Skip("needs root, and the right to mount in a namespace")


def reachable(folder):
    """The programs and the folder, for a user that is not root."""
    folder.chmod(0o755)
    if run("setpriv", f"--reuid={USER}", "--clear-groups", BUILD / "pfxd", "--version", ok=False).returncode != 0:
        raise Skip(f"user {USER} may not run what is in {BUILD}")


@test
def it_serves_from_a_volume_with_its_keyring_as_a_secret(folder):
    need_namespaces()
    reachable(folder)
    service = Container(folder)
    line = service.start()
    assert b"pfxd: ready: devices https://0.0.0.0:" in line, line + service.log().encode()
    identity = Identity(folder, "ann", key="P-256")
    service.import_pfx("ann", identity.pfx(), "secret").expect(201)
    device = service.enrol("ann", "P-256")
    assert device.history() == {identity.thumbprint: identity.key_pem}
    service.device("GET", "/v1/device/bundle", device=device).expect(200)
    with socket.create_connection(("127.0.0.2", service.base), 60):
        pass  # it listens beyond its own loopback address
    assert service.stop() == 0, service.log()

    names = {path.name for path in service.dir.iterdir()}
    assert "pfxd.db" in names and not names & {"keyring", "admin.token", "tls"}, names
    secret = (folder / "made/keyring").read_bytes().split()[4]
    files = [path for path in service.dir.iterdir() if path.is_file()]
    assert len(secret) >= 43 and not any(secret in path.read_bytes() for path in files)

    assert service.start(), service.log()  # another container on the same volume
    assert device.history() == {identity.thumbprint: identity.key_pem}


@test
def without_its_secret_it_says_so_and_makes_nothing(folder):
    need_namespaces()
    reachable(folder)
    service = Container(folder, keyring=False)
    assert not service.start() and service.process.wait(60) == 1
    assert "the keyring is not where pfxd.conf says, /run/secrets/pfxd-keyring" in service.log(), service.log()
    assert {path.name for path in service.dir.iterdir()} <= {"pfxd.conf", "lock"}


if __name__ == "__main__":
    main()
