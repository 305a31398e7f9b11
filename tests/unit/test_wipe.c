/* That free() and realloc() wipe, also for libraries, and wipe_traces() what calls leave. What memory held is read
 * after it was given back: through a pointer that the compiler can not follow, in a child, so that nothing else uses
 * the block in between.
 *
 * Where wipe_free.c is not built or not used (sanitizers, valgrind) there is nothing to look at: they are not run. */
#include "unit.h"

#include "wipe.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WIPES 0
#else
#define WIPES 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#undef WIPES
#define WIPES 0
#endif
#endif

enum {
	SECRET = 0x5e,
	LINKS = 16,   /* where glibc keeps the list of free blocks, in the first bytes of one */
};

/* An address that the compiler does not know to be that of a freed block. */
static volatile uintptr_t address;

/* Byte by byte through volatile: the compiler leaves out what is written just before a free(). */
static void *remember(void *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((volatile uint8_t *)p)[i] = SECRET;
	address = (uintptr_t)p;
	return p;
}

/* How many bytes of the secret are still at the remembered address. */
static size_t left_behind(size_t len)
{
	const volatile uint8_t *p = (const volatile uint8_t *)address;
	size_t n = 0;
	for (size_t i = LINKS; i < len; i++)
		n += p[i] == SECRET;
	return n;
}

/* Runs look() in a child: true when it says so, false also when it dies. */
static bool in_child(bool (*look)(size_t size), size_t size)
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* Blocks that stay mapped, so that there is something to look at; and dying is dying, not cmocka's. */
		mallopt(M_MMAP_MAX, 0);
		mallopt(M_TRIM_THRESHOLD, INT32_MAX);
		signal(SIGSEGV, SIG_DFL);
		_exit(look(size) ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Not where another allocator stands in: a sanitizer's, or valgrind's. */
static bool wipes(void)
{
	const char *preload = getenv("LD_PRELOAD");
	return WIPES && !(preload && strstr(preload, "vgpreload"));
}

static void for_sizes(bool (*look)(size_t size))
{
	/* From glibc's smallest blocks to its largest bins. */
	static const size_t sizes[] = { 24, 25, 64, 100, 1000, 1032, 1033, 4096, 100000 };
	for (size_t i = 0; i < COUNT_OF(sizes); i++)
		assert_true(in_child(look, sizes[i]));
}

static bool free_wipes(size_t size)
{
	void *p = remember(malloc(size), size);
	free(p);
	return left_behind(size) == 0;
}

TEST(free_wipes_the_block)
{
	for_sizes(free_wipes);
}

static bool free_wipes_all(size_t size)
{
	char *p = malloc(size);
	size_t usable = malloc_usable_size(p);
	remember(p, usable);
	free(p);
	return left_behind(usable) == 0;
}

TEST(free_wipes_past_the_size_that_was_asked_for)
{
	for_sizes(free_wipes_all);
}

static bool growing_wipes(size_t size)
{
	void *p = remember(malloc(size), size);
	void *in_the_way = malloc(64);
	uint8_t *grown = realloc(p, 10 * size);
	bool kept = (uintptr_t)grown != address;
	for (size_t i = 0; i < size; i++)
		kept &= grown[i] == SECRET;
	kept &= left_behind(size) == 0;
	free(in_the_way);
	return kept;
}

TEST(realloc_wipes_what_it_moves_away_from_and_keeps_the_bytes)
{
	for_sizes(growing_wipes);
}

static bool shrinking_wipes(size_t size)
{
	void *p = remember(malloc(16 * size), 16 * size);
	uint8_t *small = realloc(p, size);
	bool kept = true;
	for (size_t i = 0; i < size; i++)
		kept &= small[i] == SECRET;
	return kept && (uintptr_t)small != address && left_behind(size) == 0;
}

TEST(realloc_to_much_less_moves_and_wipes)
{
	for_sizes(shrinking_wipes);
}

static bool realloc_to_nothing(size_t size)
{
	void *p = remember(malloc(size), size);
	void *q = realloc(p, 0);
	return q == NULL && left_behind(size) == 0;
}

TEST(realloc_to_nothing_frees_and_wipes)
{
	for_sizes(realloc_to_nothing);
}

static bool library_wipes(size_t size)
{
	char text[64];
	(void)size;
	memset(text, SECRET, sizeof text - 1);
	text[sizeof text - 1] = '\0';
	char *copy = strdup(text);
	remember(copy, sizeof text - 1);
	free(copy);
	return left_behind(sizeof text - 1) == 0;
}

TEST(what_a_library_allocated_is_wiped_too)
{
	for_sizes(library_wipes);
}

TEST(free_and_realloc_of_nothing_are_as_ever)
{
	free(NULL);
	void *p = realloc(NULL, 10);
	assert_non_null(p);
	free(p);
}

TEST(a_block_that_fits_stays_where_it_is)
{
	void *p = malloc(1000);
	uintptr_t before = (uintptr_t)p;
	p = realloc(p, 900);
	assert_int_equal((uintptr_t)p, before);
	free(p);
}

TEST(a_key_is_wiped_at_the_end_of_its_block)
{
	static struct key256 key;
	memset(key.at, SECRET, sizeof key.at);
	key256_wipe(&key);
	for (size_t i = 0; i < sizeof key.at; i++)
		assert_int_equal(key.at[i], 0);
}

static __attribute__((noinline)) void leave_on_stack(void)
{
	volatile uint8_t local[512]; /* its upper end may lie where wipe_traces() keeps its own return address */
	for (size_t i = 0; i < sizeof local; i++)
		local[i] = SECRET;
	address = (uintptr_t)local;
}

static bool stack_wiped(size_t size)
{
	(void)size;
	leave_on_stack();
	wipe_traces();
	return left_behind(256) == 0;
}

TEST(the_stack_below_a_call_is_wiped)
{
	assert_true(in_child(stack_wiped, 0));
}

#if defined(__x86_64__)
enum { XMM_BYTES = 16, ZMM_BYTES = 64 };

/* What register 15 holds, which every processor has, and register 31, which has to be asked for. */
static void read_vectors(uint8_t ret_xmm15[static XMM_BYTES], uint8_t ret_zmm31[static ZMM_BYTES])
{
	__asm__ volatile("movdqu %%xmm15, (%0)" : : "r"(ret_xmm15) : "memory");
	if (__builtin_cpu_supports("avx512f"))
		__asm__ volatile("vmovdqu64 %%zmm31, (%0)" : : "r"(ret_zmm31) : "memory");
}

static void fill_vectors(const uint8_t from[static ZMM_BYTES])
{
	__asm__ volatile("movdqu (%0), %%xmm15" : : "r"(from) : "memory");
	if (__builtin_cpu_supports("avx512f"))
		__asm__ volatile("vmovdqu64 (%0), %%zmm31" : : "r"(from) : "memory");
}

TEST(the_vector_registers_are_wiped)
{
	bool has_both = __builtin_cpu_supports("avx512f");
	uint8_t secret[ZMM_BYTES], xmm15[XMM_BYTES], zmm31[ZMM_BYTES] = { 0 };
	static const uint8_t nothing[ZMM_BYTES];
	memset(secret, SECRET, sizeof secret);
	fill_vectors(secret);
	read_vectors(xmm15, zmm31);
	assert_memory_equal(xmm15, secret, sizeof xmm15); /* the control */
	assert_memory_equal(zmm31, has_both ? secret : nothing, sizeof zmm31);
	fill_vectors(secret);
	wipe_traces();
	read_vectors(xmm15, zmm31);
	assert_memory_equal(xmm15, nothing, sizeof xmm15);
	assert_memory_equal(zmm31, nothing, sizeof zmm31);
}
#endif

int main(void)
{
	const struct CMUnitTest everywhere[] = {
		cmocka_unit_test(free_and_realloc_of_nothing_are_as_ever),
		cmocka_unit_test(a_key_is_wiped_at_the_end_of_its_block),
#if defined(__x86_64__)
		cmocka_unit_test(the_vector_registers_are_wiped),
#endif
	};
	const struct CMUnitTest wiping[] = {
		cmocka_unit_test(free_wipes_the_block),
		cmocka_unit_test(free_wipes_past_the_size_that_was_asked_for),
		cmocka_unit_test(realloc_wipes_what_it_moves_away_from_and_keeps_the_bytes),
		cmocka_unit_test(realloc_to_much_less_moves_and_wipes),
		cmocka_unit_test(realloc_to_nothing_frees_and_wipes),
		cmocka_unit_test(what_a_library_allocated_is_wiped_too),
		cmocka_unit_test(a_block_that_fits_stays_where_it_is),
		cmocka_unit_test(the_stack_below_a_call_is_wiped),
	};
	int failed = RUN(everywhere);
	return wipes() ? failed + RUN(wiping) : failed;
}
