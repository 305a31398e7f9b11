/* A target with faults planted in it, for the test of the fuzzing itself (tests/system/test_fuzz.py): that each kind of
 * fault is found, told, and can be replayed. No other target may be like this. */
#include "../fuzz.h"

static uint8_t *volatile lost;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	volatile int number = 0x7fffffff;
	struct view rest = view_of(data, size);
	struct view what = fuzz_take_until(&rest, "!");
	if (view_is(what, "step"))
		number = data[size + what.len]; /* AddressSanitizer */
	if (view_is(what, "sum"))
		number += (int)size; /* UndefinedBehaviorSanitizer */
	if (view_is(what, "leak")) {
		lost = malloc(7); /* LeakSanitizer */
		lost = NULL;
	}
	MUST(!view_is(what, "must"));
	(void)number;
	return 0;
}
