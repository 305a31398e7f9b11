/* Writes seeds. Unit tests that are linked for it, and nothing else. */
#include "capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* FNV-1a: a name, and nothing that has to be hard to forge. */
static uint64_t hash(uint64_t from, struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		from = (from ^ v.p[i]) * 1099511628211u;
	return from;
}

void capture(const char *target, struct view head, struct view bytes)
{
	char path[4096];
	const char *folder = getenv("PFXD_CAPTURE");
	if (!folder)
		return;
	snprintf(path, sizeof path, "%s/%s", folder, target);
	mkdir(path, 0700);
	uint64_t name = hash(hash(14695981039346656037u, head), bytes);
	snprintf(path, sizeof path, "%s/%s/%016llx", folder, target, (unsigned long long)name);
	FILE *f = fopen(path, "wb");
	if (!f || fwrite(head.p, 1, head.len, f) != head.len || fwrite(bytes.p, 1, bytes.len, f) != bytes.len ||
	    fclose(f) != 0)
		abort();
}
