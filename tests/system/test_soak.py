#!/usr/bin/env python3
"""A minute at half load: memory and descriptors stay where they are. tests/bench/soak does the same for as long as it
is told to."""

from harness import *

import importlib.machinery
import importlib.util


def soak_module():
    path = ROOT / "tests/bench/soak"
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("soak", str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("soak", loader))
    sys.path.insert(0, str(path.parent))
    loader.exec_module(module)
    return module


@test
def a_minute_at_half_load_leaves_memory_and_descriptors_where_they_are(folder):
    need_root()
    without_a_sanitizer()
    wrong = soak_module().soak(folder / "soak", 60)
    assert not wrong, wrong


@test
def what_grows_is_told(folder):
    verdict = soak_module().verdict
    flat = [30 + n % 3 for n in range(24)]
    assert verdict(flat, flat) == []
    assert len(verdict([30 + n for n in range(24)], flat)) == 1
    assert len(verdict(flat, [30 + 10 * n for n in range(24)])) == 1


if __name__ == "__main__":
    main()
