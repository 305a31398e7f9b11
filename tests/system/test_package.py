#!/usr/bin/env python3
"""The Debian package: built as `make deb` does, and installed, upgraded, removed and purged by dpkg on a copy of this
machine, an overlay over its root folder. No systemd runs in it: a stand-in for systemctl notes what it is asked."""

import atexit
import functools
import re
import stat

from harness import *

VERSION, OLDER, NEWER = "9.8.7", "9.8.6", "9.8.8~rc1"
UNITS = ROOT / "systemd"
ROOMS = {"pfxd-device.service", "pfxd-admin.service", "pfxd-keeper.service"}


# ---- the packages ----

@functools.cache
def workshop():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pfxd-package-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def package():
    """The package of the tree, built once, with a version that the tree does not have."""
    if not shutil.which("dpkg-buildpackage") or not shutil.which("dh"):
        raise Skip("dpkg-buildpackage or debhelper is not installed")
    if re.search(rb"lib[a-z]+san\.so", run("ldd", BUILD / "pfxctl").stdout):
        raise Skip("the package has programs of its own, without the sanitizer")
    run(ROOT / "packaging/deb", VERSION, workshop(), timeout=1000)
    found = list(workshop().glob("pfxd_*.deb"))
    assert len(found) == 1 and re.fullmatch(rf"pfxd_{VERSION}_\w+\.deb", found[0].name), found
    return found[0]


def of_version(version, *changes):
    """The same package under another version; changes are functions of the folder of its files."""
    folder = workshop() / f"of-{version}"
    shutil.rmtree(folder, ignore_errors=True)
    run("dpkg-deb", "-R", package(), folder)
    control = folder / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {VERSION}\n", f"Version: {version}\n"))
    for change in changes:
        change(folder)
    path = workshop() / f"pfxd_{version}.deb"
    run("dpkg-deb", "-b", "-Znone", "--root-owner-group", folder, path)
    return path


@functools.cache
def unpacked():
    run("dpkg-deb", "-R", package(), workshop() / "unpacked")
    return workshop() / "unpacked"


# ---- the machine ----

SYSTEMCTL = """#!/bin/sh
echo "$@" >> /run/asked
case "$*" in
*is-enabled*) echo enabled ;;
*is-active*) [ -e /run/active ] ;;
*preset*) SYSTEMD_OFFLINE=1 exec /usr/bin/systemctl.real "$@" ;;
esac
"""


class Machine:
    """A copy of this machine in namespaces of its own. with Machine(folder) as m: …"""

    def __init__(self, folder):
        if os.geteuid() != 0:
            raise Skip("needs root, to install a package")
        package()
        self.root = folder / "machine"
        self.root.mkdir()
        script = f"""set -e
            mount --make-rprivate /
            mount -t tmpfs -o mode=755 tmpfs {self.root}
            cd {self.root}
            mkdir upper work root
            mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root
            cd root
            mount -t tmpfs -o mode=755 tmpfs run
            mount -t proc proc proc
            mount --bind /dev dev
            mount --bind {workshop()} mnt
            echo made
            exec sleep infinity"""
        self.holder = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def __enter__(self):
        if self.holder.stdout.readline() != b"made\n":
            why = self.holder.stderr.read().decode()
            self.__exit__()
            raise Skip(f"an overlay over / can not be mounted here: {why}")
        children = pathlib.Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children")
        self.pid = children.read_text().split()[0]
        # An index of this machine's manual pages is of no interest, and of many seconds.
        self.run("rm", "-f", "/var/lib/man-db/auto-update", "/usr/sbin/policy-rc.d")
        if self.state()[:1] not in ((), ("not-installed",)):
            self.run("dpkg", "--purge", "pfxd")
        self.path("/run/systemd/system").mkdir(parents=True)
        self.run("mv", "/usr/bin/systemctl", "/usr/bin/systemctl.real")
        self.write("/usr/bin/systemctl", SYSTEMCTL, 0o755)
        return self

    def __exit__(self, *_):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()
        self.holder.stderr.close()

    def path(self, path):
        return pathlib.Path(f"/proc/{self.pid}/root{self.root}/root{path}")

    def write(self, path, text, mode=0o644):
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)
        self.path(path).chmod(mode)

    def command(self, *command):
        return ["nsenter", "--target", self.pid, "--mount", "--pid", "chroot", self.root / "root", *command]

    def run(self, *command, ok=True):
        return run(*self.command(*command), ok=ok, stdin=subprocess.DEVNULL,
                   env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"})

    def dpkg(self, *arguments, ok=True):
        """dpkg's exit status, what it said, and what systemctl was asked meanwhile that starts or ends something."""
        self.path("/run/asked").unlink(missing_ok=True)
        done = self.run("dpkg", "--force-unsafe-io", *arguments, ok=ok)
        asked = self.path("/run/asked").read_text() if self.path("/run/asked").exists() else ""
        acts = {tuple(word for word in line.split() if not word.startswith("-")) for line in asked.splitlines()}
        acts = {act for act in acts if act[0] not in ("daemon-reload", "is-active", "is-enabled", "preset")}
        return done.returncode, (done.stdout + done.stderr).decode(), acts

    def install(self, deb, ok=True):
        return self.dpkg("--install", f"/mnt/{deb.name}", ok=ok)

    def state(self):
        """("installed", version), or what dpkg says instead."""
        done = self.run("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", "pfxd", ok=False)
        return tuple(done.stdout.decode().split())

    def owner_and_mode(self, path):
        return self.run("stat", "-c", "%U:%G %a", path).stdout.decode().strip()

    def fill(self):
        """What a service leaves behind that was used."""
        self.write("/etc/pfxd/keyring.cred", "sealed", 0o600)
        self.write("/etc/pfxd/tls/server.key", "key", 0o600)
        self.write("/var/lib/pfxd/pfxd.db", "rows", 0o600)

    def filled(self):
        paths = ("/etc/pfxd/pfxd.conf", "/etc/pfxd/keyring.cred", "/etc/pfxd/tls/server.key", "/var/lib/pfxd/pfxd.db")
        return [self.path(path).exists() for path in paths]


# ---- what is in it ----

@test
def the_version_stands_in_one_place_and_a_build_can_have_another(folder):
    version = re.search(r'PFXD_VERSION "(.*)"', (ROOT / "common/version.h").read_text())[1]
    changelog = (ROOT / "packaging/debian/changelog").read_text()
    assert changelog.startswith(f"pfxd ({version}) "), "packaging/debian/changelog has no entry for this version"
    assert f"packaging/deb {version} " in run("make", "-n", "deb", cwd=ROOT).stdout.decode()
    control = run("dpkg-deb", "-f", package(), "Package", "Version").stdout.decode()
    assert control == f"Package: pfxd\nVersion: {VERSION}\n", control
    for name in ("usr/bin/pfxctl", "usr/bin/pfxd", "usr/bin/pfx-device", "usr/lib/pfxd/pfxd-keeper"):
        assert run(unpacked() / name, "--version").stdout.decode().split()[1] == VERSION, name
    manual = run("zcat", unpacked() / "usr/share/man/man8/pfxd.8.gz").stdout.decode()
    assert f'"pfxd {VERSION}"' in manual


@test
def lintian_finds_nothing_and_is_told_to_overlook_nothing(folder):
    if not shutil.which("lintian"):
        raise Skip("there is no lintian")
    changes = list((package().parent / "deb").glob("*.changes"))
    done = run("lintian", "--fail-on", "error,warning", *changes, ok=False, timeout=300)
    assert len(changes) == 1 and done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert not list((ROOT / "packaging/debian").rglob("*lintian-overrides*"))


@test
def the_package_has_every_program_unit_page_and_completion(folder):
    files = {str(path.relative_to(unpacked())) for path in unpacked().rglob("*") if not path.is_dir()}
    files = {name.removeprefix("usr/") for name in files if not name.startswith("DEBIAN/")}
    programs = {"pfxctl": 1, "pfx-device": 1, "pfxd": 8, "pfxd-front": 8, "pfxd-keeper": 8, "pfxd-opener": 8}
    for name, section in programs.items():
        place = "lib/pfxd" if name.startswith("pfxd-") else "bin"
        assert {f"{place}/{name}", f"share/man/man{section}/{name}.{section}.gz"} <= files, name
    assert {"share/man/man5/pfxd.conf.5.gz", "lib/sysusers.d/pfxd.conf", "lib/tmpfiles.d/pfxd.conf",
            *(place for name in ("pfxctl", "pfx-device") for place in
              (f"share/bash-completion/completions/{name}", f"share/zsh/vendor-completions/_{name}",
               f"share/fish/vendor_completions.d/{name}.fish")),
            "share/doc/pfxd/copyright", "share/doc/pfxd/openapi.yaml", "share/doc/pfxd/container.md"} <= files, files
    assert {f"share/doc/pfxd/{path.name}" for path in (ROOT / "docs").glob("*.md")} <= files, files
    units = {path.name for kind in ("service", "socket", "target", "timer") for path in UNITS.glob(f"*.{kind}")}
    drop_ins = list(UNITS.glob("*.d/*"))
    # Of two that are called the same, systemd would read one.
    assert len({path.name for path in drop_ins}) == len(drop_ins) > 1, drop_ins
    units |= {str(path.relative_to(UNITS)) for path in drop_ins}
    place = "lib/systemd/system/"
    assert len(units) > 15 and units == {name.removeprefix(place) for name in files if name.startswith(place)}
    catalogs = {f"lib/systemd/catalog/{path.name}" for path in UNITS.glob("*.catalog")}
    assert catalogs == {name for name in files if name.startswith("lib/systemd/catalog/")}
    assert (unpacked() / "DEBIAN/conffiles").read_text() == "/etc/pfxd/pfxd.conf\n"
    assert (unpacked() / "etc/pfxd/pfxd.conf").read_bytes() == (ROOT / "conf/pfxd.conf").read_bytes()


@test
def the_programs_keep_their_hardening(folder):
    for path in [*(unpacked() / "usr/bin").iterdir(), *(unpacked() / "usr/lib/pfxd").iterdir()]:
        header, dynamic = (run("readelf", "-W", option, path).stdout.decode() for option in ("-lh", "-d"))
        symbols = run("readelf", "-W", "--dyn-syms", path).stdout.decode()
        assert "Type:                              DYN" in header and "GNU_RELRO" in header, path
        assert re.search(r"GNU_STACK .* RW +0x", header) and "BIND_NOW" in dynamic, path
        assert "__stack_chk_fail" in symbols and re.search(r"__\w+_chk@", symbols), path


# ---- dpkg ----

@test
def to_install_it_enables_the_target_starts_nothing_and_names_the_one_command(folder):
    with Machine(folder) as m:
        _, said, acts = m.install(package())
        assert re.findall(r"^pfxd: .*", said, re.M) == \
            ["pfxd: nothing runs yet, for there is no keyring. Make one:  pfxctl keyring init"], said
        assert acts == set(), acts
        assert m.state() == ("installed", VERSION)
        assert m.path("/etc/systemd/system/multi-user.target.wants/pfxd.target").is_symlink()
        groups = {user: m.run("id", "-Gn", user).stdout.decode().split() for user in
                  ("pfxd-device", "pfxd-admin", "pfxd-keeper")}
        assert groups == {"pfxd-device": ["pfxd-device", "pfxd-tls"], "pfxd-admin": ["pfxd-admin", "pfxd-tls"],
                          "pfxd-keeper": ["pfxd-keeper"]}, groups
        assert m.owner_and_mode("/etc/pfxd/tls") == "root:pfxd-tls 750"
        assert m.owner_and_mode("/etc/pfxd/pfxd.conf") == "root:root 644"
        m.fill()
        m.run("systemd-tmpfiles", "--create", "pfxd.conf")
        assert m.owner_and_mode("/etc/pfxd/tls/server.key") == "root:pfxd-tls 640"
        assert m.owner_and_mode("/run/pfxd") == "root:root 755"
        # Whose disk backups take is the administrator's to say.
        assert m.owner_and_mode("/var/backups/pfxd") == "root:root 700"
        assert not m.path("/etc/systemd/system/pfxd.target.wants/pfxd-backup.timer").is_symlink()


@test
def with_a_keyring_there_the_target_is_started(folder):
    with Machine(folder) as m:
        m.fill()
        _, said, acts = m.install(package())
        assert acts == {("start", "pfxd.target")} and "keyring init" not in said, (acts, said)


@test
def an_upgrade_starts_the_rooms_again_that_ran_and_touches_no_socket(folder):
    with Machine(folder) as m:
        m.install(package())
        m.fill()
        m.write("/run/active", "")
        _, said, acts = m.install(of_version(NEWER))
        assert len(acts) == 1 and not re.search(r"^pfxd: ", said, re.M), (acts, said)
        (act, *units), = acts
        assert act == "try-restart" and set(units) == ROOMS, acts
        assert m.state() == ("installed", NEWER) and m.filled() == [True] * 4


@test
def an_upgrade_of_what_was_stopped_starts_nothing(folder):
    with Machine(folder) as m:
        m.install(package())
        m.fill()
        _, said, acts = m.install(of_version(NEWER))
        assert {act[0] for act in acts} == {"try-restart"} and "systemctl start pfxd.target" in said, (acts, said)


@test
def a_configuration_that_was_edited_survives_an_upgrade(folder):
    def other_default(files):
        conf = files / "etc/pfxd/pfxd.conf"
        conf.write_text(conf.read_text().replace("14400", "14401"))

    with Machine(folder) as m:
        m.install(package())
        m.write("/etc/pfxd/pfxd.conf", "[keeper]\npoll_seconds = 60\n")
        m.install(of_version("9.8.7.1"))
        assert m.path("/etc/pfxd/pfxd.conf").read_text() == "[keeper]\npoll_seconds = 60\n"
        m.dpkg("--force-confold", "--install", "/mnt/" + of_version(NEWER, other_default).name)
        assert m.path("/etc/pfxd/pfxd.conf").read_text() == "[keeper]\npoll_seconds = 60\n"
        assert "14401" in m.path("/etc/pfxd/pfxd.conf.dpkg-dist").read_text()


@test
def a_downgrade_is_refused_with_a_sentence_and_changes_nothing(folder):
    with Machine(folder) as m:
        m.install(package())
        m.fill()
        for _ in range(2):
            status, said, acts = m.install(of_version(OLDER), ok=False)
            assert status != 0 and f"version {VERSION} was here, and {OLDER} may not be able to read its database: a " \
                "downgrade is refused" in said, said
            assert not {act[0] for act in acts} - {"try-restart"}, acts
            assert m.filled() == [True] * 4
            # Removed, its database is still there.
            assert m.state()[0] in ("installed", "config-files"), m.state()
            m.dpkg("--remove", "pfxd")
        m.install(package())
        assert m.state() == ("installed", VERSION)
        m.dpkg("--purge", "pfxd")
        m.install(of_version(OLDER))
        assert m.state() == ("installed", OLDER)


@test
def an_upgrade_that_fails_on_the_way_leaves_the_old_version_installed(folder):
    def fails_on(word, script):
        script.write_text(script.read_text().replace("set -e\n", f'set -e\n[ "$1" != {word} ] || exit 1\n', 1))

    broken = of_version(NEWER, lambda files: fails_on("failed-upgrade", files / "DEBIAN/postrm"))
    with Machine(folder) as m:
        m.install(package())
        m.fill()
        fails_on("upgrade", m.path("/var/lib/dpkg/info/pfxd.postrm"))
        status, said, _ = m.install(broken, ok=False)
        assert status != 0 and "downgrade" not in said, said
        assert m.state() == ("installed", VERSION) and m.filled() == [True] * 4, (m.state(), said)


@test
def remove_keeps_what_is_stored_and_purge_removes_it_with_one_sentence(folder):
    with Machine(folder) as m:
        m.install(package())
        m.fill()
        m.write("/run/active", "")
        _, said, acts = m.dpkg("--remove", "pfxd")
        (act, *units), = acts
        assert act == "stop" and set(units) == {"pfxd.target", *ROOMS}, acts
        assert m.filled() == [True] * 4 and not m.path("/usr/lib/pfxd").exists()
        _, said, acts = m.dpkg("--purge", "pfxd")
        assert len(re.findall(r"^pfxd: database, keyring and TLS key are removed", said, re.M)) == 1, said
        assert acts == set(), acts
        for folder in ("/etc/pfxd", "/var/lib/pfxd", "/run/pfxd", "/run/pfxd-root"):
            assert not m.path(folder).exists(), folder
        assert not m.path("/etc/systemd/system/multi-user.target.wants/pfxd.target").is_symlink()
        m.run("id", "pfxd-keeper")  # its number must not become somebody else's


@test
def purge_empties_a_disk_that_is_mounted_or_linked_in_the_databases_place(folder):
    with Machine(folder) as m:
        for arrange in (["mount", "-t", "tmpfs", "tmpfs", "/var/lib/pfxd"],
                        ["ln", "-s", "../../srv/disk", "/var/lib/pfxd"]):
            m.install(package())
            m.path("/srv/disk").mkdir(parents=True, exist_ok=True)
            if arrange[0] == "mount":
                m.path("/var/lib/pfxd").mkdir()
            m.run(*arrange)
            m.write("/var/lib/pfxd/pfxd.db", "rows", 0o600)
            m.write("/var/lib/pfxd/backup/pfxd.db", "rows", 0o600)
            m.dpkg("--purge", "pfxd")
            left = m.run("find", "-H", "/var/lib/pfxd", "/srv/disk", "-mindepth", "1", ok=False).stdout
            assert left == b"", left
            if arrange[0] == "mount":
                m.run("umount", "/var/lib/pfxd")
                m.path("/var/lib/pfxd").rmdir()


@test
def purge_leaves_no_key_behind_a_link_in_the_place_of_etc_pfxd(folder):
    with Machine(folder) as m:
        m.install(package())
        m.run("mv", "/etc/pfxd", "/srv/etc-pfxd")
        m.run("ln", "-s", "../srv/etc-pfxd", "/etc/pfxd")
        m.fill()
        _, said, _ = m.dpkg("--purge", "pfxd")
        assert "keyring and TLS key are removed" in said, said
        assert m.run("find", "/srv/etc-pfxd", "-mindepth", "1", ok=False).stdout == b"", said
        assert not m.path("/etc/pfxd").is_symlink()


class DevService(Service):
    """The installed launcher, by a user of the machine."""

    def __init__(self, folder, machine):
        self.machine = machine
        super().__init__(folder, start=False)
        self.dir = machine.path("/home/somebody/service")
        machine.path("/home/somebody").mkdir(parents=True)
        os.chown(machine.path("/home/somebody"), 12345, 12345)

    def start(self, expect_ready=True, wait=True):
        command = self.machine.command("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "pfxd", "--dev",
                                       "/home/somebody/service", "--base-port", str(self.base))
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        log.close()
        Service.running.append(self)
        assert self.process.stdout.readline(), self.log()


@test
def who_uses_the_launcher_is_not_disturbed_by_an_upgrade_and_keeps_everything_after_it(folder):
    with Machine(folder) as m:
        m.install(package())
        service = DevService(folder, m)
        service.start()
        identity = Identity(folder, "ann", key="P-256")
        service.import_pfx("ann", identity.pfx(), "secret").expect(201)
        device = service.enrol("ann", "P-256")
        m.install(of_version(NEWER))
        assert service.process.poll() is None
        assert device.history() == {identity.thumbprint: identity.key_pem}
        pid = m.run("pgrep", "-x", "pfxd").stdout.decode().split()
        assert len(pid) == 1
        m.run("kill", "-TERM", *pid)
        assert service.process.wait(60) == 0
        service.start()
        assert device.history() == {identity.thumbprint: identity.key_pem}
        m.dpkg("--purge", "pfxd")
        assert (service.dir / "pfxd.db").exists() and (service.dir / "keyring").exists()


# ---- the boot of a real systemd ----

@test
def where_it_can_not_boot_it_fails_with_the_reason_unless_told_to_skip(folder):
    env = {name: value for name, value in os.environ.items() if name != "PFXD_NO_SYSTEMD"}
    uid = os.getuid() or 65534
    for more, status, beginning in (({}, 1, b"not ok - "), ({"PFXD_NO_SYSTEMD": "1"}, 0, b"skipped - ")):
        done = run(ROOT / "tests/systemd/boot", ok=False, user=uid, env={**env, **more}, cwd="/")
        assert done.returncode == status and done.stdout.startswith(beginning), done
        assert done.stdout.count(b"\n") == 1 and b"it is not run as root" in done.stdout, done


if __name__ == "__main__":
    main()
