#!/usr/bin/env python3
"""README's lines, pasted into a shell as they stand, and the other things that documents promise in print."""

import re

from harness import *


def pasted_lines():
    text = (ROOT / "README.md").read_text()
    return re.search(r"<!-- lines that .*?-->\n```sh\n(.*?)```", text, re.S)[1]


@test
def the_lines_of_the_readme_import_enrol_and_pull(folder):
    port, lock = free_base_port()
    script = pasted_lines()
    for offset in range(3):  # others may use the default ports on this machine
        script = script.replace(str(8443 + offset), str(port + offset))
    script = script.replace("build/pfxd", str(BUILD / "pfxd"))
    done = run("bash", "-c", script, env={**os.environ, "TMPDIR": str(folder)}, cwd=ROOT)
    assert b'"subject": "emailAddress=ann@example.org"' in done.stdout, done.stdout + done.stderr
    assert re.search(rb'"pkcs12": "MII', done.stdout), done.stdout
    assert b"Verification successful" in done.stderr, done.stderr
    lock.close()


@test
def the_sample_configuration_is_what_the_programs_print(folder):
    printed = run(BUILD / "pfxd-keeper", "--sample").stdout
    assert printed == (ROOT / "conf/pfxd.conf").read_bytes(), "run: build/pfxd-keeper --sample > conf/pfxd.conf"


@test
def every_program_explains_itself_and_says_its_version(folder):
    for name in ("pfxd", "pfxd-front", "pfxd-keeper", "pfxd-opener", "pfxctl", "pfx-device"):
        assert len(run(BUILD / name, "--help").stdout) > 200, name
        assert re.fullmatch(rf"{name} \d+\.\d+\.\d+\n", run(BUILD / name, "--version").stdout.decode()), name
        assert run(BUILD / name, "--no-such-option", ok=False).returncode == 2, name


@test
def no_function_is_longer_than_eighty_lines(folder):
    sources = [str(p) for p in ROOT.glob("*/**/*.c") if "build" not in p.parts[len(ROOT.parts)]]
    if not shutil.which("ctags"):
        raise Skip("there is no ctags")
    for line in run("ctags", "--c-kinds=f", "--fields=+ne", "-f", "-", *sources).stdout.decode().splitlines():
        first = re.search(r"\tline:(\d+)", line)
        last = re.search(r"\tend:(\d+)", line)
        if first and last:
            assert int(last[1]) - int(first[1]) <= 80, line.split("\t")[:2]


if __name__ == "__main__":
    main()
