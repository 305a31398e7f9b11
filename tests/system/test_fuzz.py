#!/usr/bin/env python3
"""The fuzz targets: each takes its stored corpus and a fixed number of mutations of it, the same every time, under
AddressSanitizer and UndefinedBehaviorSanitizer; and what they would find is seen. `make fuzz T=60` runs them for longer."""

import importlib.machinery
import importlib.util
import re

from harness import *

spec = importlib.util.spec_from_loader("fuzz_run", importlib.machinery.SourceFileLoader(
    "fuzz_run", str(ROOT / "tests/fuzz/run")))
fuzz = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fuzz)

PLANTED = "planted/fuzz_planted"


def in_their_own_build():
    if "ASAN_OPTIONS" in os.environ:
        raise Skip("the fuzz targets have sanitizers of their own, and run with the other tests")


def planted(folder, *arguments):
    """What is told of the target with faults in it, or nothing. Its files go to folder."""
    fuzz.BUILD, build, program, told = folder, fuzz.BUILD, fuzz.program, ""
    fuzz.program = lambda name: build / "tests/fuzz" / PLANTED
    try:
        fuzz.run_target("planted", arguments, folder / "log")
    except fuzz.Find as find:
        told = str(find)
    finally:
        fuzz.BUILD, fuzz.program = build, program
    return told


def corpus(folder, *inputs):
    path = pathlib.Path(tempfile.mkdtemp(dir=folder))
    for i, data in enumerate(inputs):
        (path / str(i)).write_bytes(data)
    return path


def replay(told):
    """Runs the command that is told to see the find again; its exit status."""
    command = re.search(r"replay: (.*)", told)[1].split()
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


@test
def a_fault_of_each_kind_is_told_with_the_command_that_shows_it_again(folder):
    in_their_own_build()
    for data, words in ((b"step!", "heap-buffer-overflow"), (b"sum!", "signed integer overflow"),
                        (b"leak!", "LeakSanitizer"), (b"must!", "does not hold")):
        told = planted(folder, "-runs=1", corpus(folder, data))
        assert words in told, (data, told)
        assert replay(told) != 0, told


@test
def a_fault_that_no_seed_has_is_found_by_mutation(folder):
    in_their_own_build()
    told = planted(folder, "-seed=1", "-runs=2000000", corpus(folder, b"mus!"))
    assert re.search("does not hold|overflow|LeakSanitizer", told) and replay(told) != 0, told


@test
def a_target_that_finds_nothing_tells_nothing(folder):
    in_their_own_build()
    assert planted(folder, "-runs=1", corpus(folder, b"harmless")) == ""


@test
def a_corpus_that_is_missing_or_reaches_less_than_it_did_is_a_failure(folder):
    in_their_own_build()
    reached, corpora, runs = fuzz.covered, fuzz.CORPUS, fuzz.CHECK_RUNS
    fuzz.CHECK_RUNS = {"common_text": 0}
    try:
        fuzz.check("common_text")
        fuzz.covered = lambda: {"common_text": 2 * reached()["common_text"]}
        expect_find("did reach", lambda: fuzz.check("common_text"))
        fuzz.covered, fuzz.CORPUS = reached, folder
        expect_find("there is no stored corpus", lambda: fuzz.check("common_text"))
    finally:
        fuzz.covered, fuzz.CORPUS, fuzz.CHECK_RUNS = reached, corpora, runs


def expect_find(words, function):
    try:
        function()
    except fuzz.Find as find:
        assert words in str(find), find
    else:
        raise AssertionError("nothing was told")


def check_target(name):
    def function(folder):
        in_their_own_build()
        before = sorted((fuzz.CORPUS / name).iterdir())
        try:
            print("#", fuzz.check(name), flush=True)
        except fuzz.Find as find:
            raise AssertionError(find) from None
        assert sorted((fuzz.CORPUS / name).iterdir()) == before, "the stored corpus was written to"
    function.__name__ = f"{name}_takes_its_corpus_and_mutations_of_it"
    return test(function)


for target in fuzz.targets([]):
    check_target(target)

if __name__ == "__main__":
    main()
