/* PFX files: everything that an administrator can upload. The input is a password, a line break, and the file. */
#include "opener_pfx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view file = view_of(data, size);
	struct view password = fuzz_take_until(&file, "\n");
	fuzz_open_pfx(file, password);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	struct view file = view_of(data, size);
	struct view password = fuzz_take_until(&file, "\n");
	return fuzz_mutate_der(data, size, max, seed, password.len + 1);
}
