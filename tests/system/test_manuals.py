#!/usr/bin/env python3
"""The manual pages and what bash, zsh and fish complete: all are made from the programs, and say what these do."""

import re

from harness import *

PAGES = ("pfxctl.1", "pfx-device.1", "pfxd.conf.5", "pfxd.8", "pfxd-front.8", "pfxd-keeper.8", "pfxd-opener.8")


def shown(page, *options):
    """A page as man shows it, and what the formatter warns of."""
    if not shutil.which("man"):
        raise Skip("there is no man")
    done = run("man", "--warnings", *options, "-l", BUILD / "man" / page,
               env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""})
    return re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout.decode()), done.stderr.decode()


def options_in(text, indent=2):
    """The options that a manual lists: lines that begin with one."""
    lines = re.findall(rf"^ {{{indent}}}(-.*)", text, re.M)
    return {option for line in lines for option in re.findall(r"(?:^|, )(--[a-z-]+)", line)}


@test
def every_program_has_a_page_and_the_formatter_warns_of_nothing(folder):
    for page in PAGES:
        text, warnings = shown(page, "--no-justification")
        assert not warnings, (page, warnings)
        name = page.rsplit(".", 1)[0]
        assert re.search(rf"^NAME\n +{re.escape(name)} - \w", text, re.M), text[:300]
        assert "@" not in text.replace("example.org", "").replace("anna@", ""), page


@test
def a_page_names_every_option_that_help_names_and_no_other(folder):
    for name in ("pfxd", "pfxd-front", "pfxd-keeper", "pfxd-opener"):
        told = options_in(run(BUILD / name, "--help").stdout.decode())
        written = options_in(shown(f"{name}.8")[0], 7)
        assert told == written and len(told) > 2, (name, told ^ written)


@test
def the_clients_pages_hold_all_that_their_help_says(folder):
    for name in ("pfxctl", "pfx-device"):
        page = re.sub(r"\s+", " ", shown(f"{name}.1", "--no-hyphenation", "--no-justification")[0]).lower()
        manual = run(BUILD / name, "--help").stdout.decode()
        commands = re.findall(r"^  (\S.*)\n      \S", manual.split("COMMANDS\n")[1].split("OPTIONS OF")[0], re.M)
        assert len(commands) > 3
        for synopsis in commands:
            words = [word for word in synopsis.split() if word.islower()]
            manual += run(BUILD / name, *words, "--help").stdout.decode()
        for line in manual.splitlines():
            sentence = re.sub(r"\s+", " ", line).strip().lower()
            if line.startswith(" ") and "--help" not in line and not re.match(rf"{name}\b", sentence):
                for part in re.split(r"  +", line.strip()):  # an option and its text
                    assert re.sub(r"\s+", " ", part).lower() in page, (name, part)


@test
def the_configurations_page_has_every_key(folder):
    text = shown("pfxd.conf.5")[0]
    keys = re.findall(r"^#(\w+) =", run(BUILD / "pfxd-keeper", "--sample").stdout.decode(), re.M)
    assert len(keys) > 20
    for key in keys:
        assert re.search(rf"^ +\[\w+\] {key}$", text, re.M), key


def completed_by_bash(program, line, folder):
    """What a real bash offers at the end of line."""
    words = [""] if not line else re.findall(r"=|[^\s=]+", line) + ([""] if line.endswith(" ") else [])
    script = f"""
        source {BUILD}/completion/bash/{program}
        [ "$(complete -p {program})" = "complete -F _{program} {program}" ] || exit 1
        compopt() {{ :; }}  # is for bash itself, while it completes
        COMP_LINE=$1; COMP_POINT=${{#1}}; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _{program} {program} "${{@: -1}}" "${{@: -2:1}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = run("bash", "--norc", "-eu", "-c", script, "bash", line, *words, cwd=folder)
    return set(done.stdout.decode().split("\n")) - {""}


ZSHRC = """
PROMPT=
fpath=({completions} $fpath)
autoload -U compinit
compinit -u -C -d {dump}
zstyle ':completion:*' insert-tab false
compadd () {{
	local -a hits
	if [[ ${{@[1,(i)(-|--)]}} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return; fi
	builtin compadd -A hits "$@"
	(( $#hits )) && print -rl -- $hits >> $HITS
	builtin compadd "$@"
}}
unsetopt auto_list
ask () {{
	print -- '--> end' >> $HITS
	print "next: "
	comppostfuncs=(ask)
}}
comppostfuncs=(ask)
cd {folder}
print "next: "
"""


def completed_by_zsh(lines, folder):
    """What a real zsh offers for each line, on a terminal where somebody types it and the tabulator."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="zsh-", dir=folder.parent))
    (home / ".zshrc").write_text(ZSHRC.format(completions=BUILD / "completion/zsh", folder=folder, dump=home / "dump"))
    command = ["/usr/bin/env", f"ZDOTDIR={home}", f"HITS={home}/hits", "TERM=dumb", "timeout", "--foreground",
               "--signal=KILL", "300", "zsh", "-d", "-i"]
    rub_out = b"\x15"
    status, shown = ask_on_terminal(command, [rub_out + line.encode() + b"\t" for line in lines] + [rub_out + b"exit\n"])
    answers = (home / "hits").read_text().split("--> end\n")
    assert status == 0 and len(answers) == len(lines) + 1, shown[-2000:]
    return [{hit.rstrip("/=").replace("\\ ", " ") for hit in answer.splitlines()} for answer in answers[:-1]]


def completed_by_fish(line, folder):
    """What a real fish offers at the end of line."""
    script = f"source {BUILD}/completion/fish/{line.split()[0]}.fish; complete -C $argv[1]"
    done = run("fish", "--no-config", "-c", script, line, cwd=folder, env={**os.environ, "HOME": str(folder.parent)})
    offered = [text.split("\t")[0] for text in done.stdout.decode().splitlines()]
    return {re.sub(r"^--[a-z-]+=(?=.)", "", text).rstrip("/").replace("\\ ", " ") for text in offered}


def completed(lines, folder):
    """[(shell, line, what it offers)]"""
    if not shutil.which("zsh") or not shutil.which("fish"):
        raise Skip("zsh or fish is not installed")
    return [*(("bash", line, completed_by_bash(line.split()[0], line, folder)) for line in lines),
            *(("zsh", *pair) for pair in zip(lines, completed_by_zsh(lines, folder))),
            *(("fish", line, completed_by_fish(line, folder)) for line in lines)]


@test
def every_shell_completes_commands_options_and_files(folder):
    folder = folder / "at"
    (folder / "certs").mkdir(parents=True)
    (folder / "old mail.pfx").touch()
    files = {"old mail.pfx", "certs"}
    expected = dict((
            ("pfxctl im", {"import"}),
            ("pfxctl token ", {"add", "list", "revoke"}),
            ("pfxctl --json audit v", {"verify"}),
            ("pfxctl ca ", {"rotate", "retire", "request", "install"}),
            ("pfxctl ca install ", files),
            ("pfxctl import ann --pass", {"--password-file", "--password-fd"}),
            ("pfxctl token add x --ro", {"--role"}),
            ("pfxctl history ann --ro", set()),
            ("pfxctl import ann ", files),
            ("pfxctl import ann o", {"old mail.pfx"}),
            ("pfxctl import ann --password-file ", files),
            ("pfxctl history ann --ca=o", {"old mail.pfx"}),
            ("pfxctl import ann --dev=", {"certs"}),
            ("pfxctl --dev ", {"certs"}),
            ("pfxctl --server ", set()),
            ("pfxctl history ", set()),
            ("pfxctl dev-init --", {"--help", "--version"}),
            ("pfxctl --v", {"--version"}),
            ("pfx-device s", {"sync", "status"}),
            ("pfx-device sync --out ", {"certs"}),
            ("pfx-device sync --i", {"--if-due"}),
            ("pfx-device enroll --ca c", {"certs"})))
    for shell, line, got in completed(list(expected), folder):
        assert got == expected[line], (shell, line, got)


@test
def every_shell_offers_every_command_and_each_its_options(folder):
    folder = folder / "at"
    folder.mkdir()
    expected = {}
    for name in ("pfxctl", "pfx-device"):
        manual = run(BUILD / name, "--help").stdout.decode().split("COMMANDS\n")[1].split("OPTIONS OF")[0]
        commands = [line.split() for line in manual.splitlines() if re.match(r"  \S", line)]
        commands = [[word for word in words if word.islower()] for words in commands]
        expected[f"{name} "] = {words[0] for words in commands}
        for words in commands:
            told = options_in(run(BUILD / name, *words, "--help").stdout.decode())
            assert len(told) > 1, words
            expected[" ".join([name, *words, "--"])] = told
    for shell, line, offered in completed(list(expected), folder):
        assert offered == expected[line], (shell, line, offered ^ expected[line])


@test
def a_shell_without_a_completion_is_refused(folder):
    done = run(BUILD / "pfxctl", "--completion", "tcsh", ok=False)
    assert done.returncode == 2 and b"bash, zsh and fish" in done.stderr and not done.stdout, done


if __name__ == "__main__":
    main()
