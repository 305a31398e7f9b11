#!/usr/bin/env python3
"""The table in docs/makers.md is true: every maker of PFX files that Debian 12 has is run in each of its forms, and the
service opens the file, or refuses it, as the table says.

usage: tests/system/test_makers.py [PART-OF-A-NAME ...]    a test for each maker; without its package it is skipped
       tests/system/test_makers.py --write                 runs all makers and writes the table anew"""

import concurrent.futures
import difflib
import re

from forms import *

TABLE = ROOT / "docs/makers.md"
WRITE = "tests/system/test_makers.py --write"
BEGIN = f"<!-- What follows is written by {WRITE} -->\n"
AGAIN = f"if that is right, write the table anew: {WRITE}"


def must_be_here(one):
    """Skips where the maker is not installed, or is not the one that the table is of."""
    missing = [n for n in one.needs if not (shutil.which(str(n)) or pathlib.Path(n).exists())]
    version = run("dpkg-query", "-W", "-f", "${Version}", one.package, ok=False).stdout.decode().rpartition(":")[2]
    if missing or not version:
        raise Skip(f"{one.title} is not here: {missing or one.package}; packaging/install makers")
    told = one.title.split()[-1]
    if not version.startswith(told):
        raise Skip(f"the table is of {one.title}, and here is {version}")


# ---- the table ----

def imported(service, form, password):
    """The answer to an import. A machine that is too busy for it says 503, and is asked again."""
    end = time.monotonic() + 300
    while (answer := service.import_pfx(UPN, form.pfx, password)).status == 503 and time.monotonic() < end:
        time.sleep(1)
    return answer


def row(service, form, keys):
    """Imports one form and returns its row. Adds what was opened to keys, {thumbprint: private key}."""
    answer = imported(service, form, form.password)
    if answer.status != 201:
        answer.expect(422)
        return f"| {form.text} | `{answer.code}` | {answer.json['detail']} |"
    made = {one.thumbprint: one.key_pem for one in form.made}
    listed = {c["thumbprint"] for c in answer.json["certificates"]}
    assert listed == set(made), f"{form.text}: imported {listed}, made {set(made)}"
    imported(service, form, form.password[1:] + "!").expect(422, "wrong_password")
    keys.update(made)
    return f"| {form.text} | opened | {'; '.join(told(w) for w in answer.json['warnings'])} |"


def told(warning):
    return f"`{warning['code']}`: {warning['detail']}"


def made_ahead(forms):
    """The forms, each made while the one before it is imported."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, forms, None)
        while form := coming.result():
            coming = pool.submit(next, forms, None)
            yield form


def section(one, folder):
    """The section of one maker, made by running it. Every key that was opened must come out of a pull as it went in."""
    must_be_here(one)
    service = Service(folder)
    keys = {}
    rows = [row(service, form, keys) for form in made_ahead(one.forms(folder))]
    assert service.enrol(UPN, "P-256").history() == keys, "a pull does not deliver the keys that were made"
    return "\n".join([f"## {one.title}", "", one.called, "", "| form | result | |", "| --- | --- | --- |", *rows, ""])


def sections():
    """{title: section} of the table as it stands in docs."""
    parts = TABLE.read_text().partition(BEGIN)[2].split("\n## ")[1:]
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in parts}


def compare(one, made):
    there = sections().get(one.title, "")
    difference = difflib.unified_diff(there.splitlines(), made.splitlines(), TABLE.name, "as it is", lineterm="")
    assert there == made, "\n".join([*difference, "", AGAIN])


def check(one):
    """The test that holds the section of one maker against what it does."""
    def is_true(folder):
        compare(one, section(one, folder))
    is_true.__name__ = f"the_table_is_true_for_{one.forms.__name__}"
    return is_true


for one in MAKERS:
    test(check(one))


@test
def the_table_has_a_section_for_each_maker_and_no_other(folder):
    assert list(sections()) == [one.title for one in MAKERS], AGAIN


@test
def what_is_refused_is_opened_once_openssl_has_exported_it_again(folder):
    commands = "\n".join(re.findall(r"^    (.*)", TABLE.read_text(), re.M))
    service = Service(folder)
    (folder / "PASSWORD").write_text(f"{PASSWORD}\n" * 2)
    for options in ("-nomac", "-keypbe CAMELLIA-256-CBC", "-legacy -certpbe PBE-MD5-DES", "-macalg SHA3-256"):
        one = identity(folder)
        (folder / "OLD.pfx").write_bytes(one.pfx(PASSWORD, *options.split()))
        service.import_pfx(UPN, (folder / "OLD.pfx").read_bytes(), PASSWORD).expect(422)
        run("sh", "-ec", commands, cwd=folder)
        service.import_pfx(UPN, (folder / "NEW.pfx").read_bytes(), PASSWORD).expect(201)


def write():
    """Writes the table. Ends with an error where a maker is missing."""
    made = []
    for one in MAKERS:
        with tempfile.TemporaryDirectory(prefix="pfxd-makers-") as folder:
            try:
                made.append(section(one, pathlib.Path(folder)))
            except Skip as why:
                sys.exit(str(why))
            finally:
                Service.end_all()
        print(one.title)
    TABLE.write_text(TABLE.read_text().partition(BEGIN)[0] + BEGIN + "\n" + "\n".join(made))


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    else:
        main()
