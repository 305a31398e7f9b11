/* What the unit tests share: cmocka, and words for what they say most often. */
#ifndef PFXD_UNIT_H
#define PFXD_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* cmocka's; the project's own is in fault.h */

#include "buf.h"
#include "fault.h"

#include <string.h>

/* TEST(a_sentence_about_what_is_true) { … } */
#define TEST(name) static void name(__attribute__((unused)) void **state)

#define assert_done(rc) assert_int_equal((rc), 0)
#define assert_fault(rc, name) assert_int_equal((rc), -(int)FAULT_##name)
#define assert_text(v, text) assert_true(view_is((v), (text)))
/* That the sentence of the last fail() holds a part. */
#define assert_told(part) assert_non_null(strstr(fault_detail(), (part)))

/* The view of a string constant without its end; it may hold NULs. */
#define VIEW(constant) view_of((constant), sizeof(constant) - 1)

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

/* A new buffer; a test that has no memory ends here. */
static inline struct buf *buf_of(size_t max)
{
	struct buf *b = buf_new(max);
	assert_non_null(b);
	return b;
}

/* Runs the tests of a file as its main(). */
#define RUN(tests) cmocka_run_group_tests(tests, NULL, NULL)

#endif
