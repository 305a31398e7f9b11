/* Writes down what the unit tests feed the readers with: seeds for the fuzz targets. The linker puts functions called
 * __wrap_NAME in the place of NAME (--wrap); each writes its input and then does what it should. */
#ifndef PFXD_FUZZ_CAPTURE_H
#define PFXD_FUZZ_CAPTURE_H

#include "buf.h"

/* Writes head and bytes as one file into $PFXD_CAPTURE/target, named by its contents. */
void capture(const char *target, struct view head, struct view bytes);

#endif
