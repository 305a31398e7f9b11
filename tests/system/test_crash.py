#!/usr/bin/env python3
"""The kill harness of tests/crash/kill.py, in short: `make crash N=500` runs it for longer."""

import sys

from harness import *

sys.path.insert(0, str(ROOT / "tests/crash"))
import kill

ROUNDS, SEED = 25, "1"


@test
def whatever_is_killed_at_whatever_moment_of_a_mixed_load_all_that_was_answered_is_there(folder):
    rounds = []
    answered, lost, killed = kill.play(folder, ROUNDS, SEED, say=rounds.append)
    print(f"seed {SEED}, {ROUNDS} rounds: {answered} requests were answered, {lost} answers were lost")
    assert len(rounds) == ROUNDS and answered > 10 * ROUNDS
    assert killed["keeper"] and killed["front-admin"] and killed["front-device"], killed


if __name__ == "__main__":
    main()
