/* Of the builds that are watched (make check, make asan, make tsan), in every program and unit test: what the sanitizers
 * are told, and that the lines are counted of a process that leaves by _exit(). Never in what is installed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__tsan_default_options(void);
int __lsan_is_turned_off(void);

/* The first finding ends the process. Tests with another clock preload libfaketime, which so comes before ASan. */
const char *__asan_default_options(void)
{
	return "abort_on_error=1:detect_stack_use_after_return=1:verify_asan_link_order=0";
}

const char *__ubsan_default_options(void)
{
	return "print_stacktrace=1";
}

const char *__tsan_default_options(void)
{
	return "halt_on_error=1:second_deadlock_stack=1";
}

/* LeakSanitizer stops a process as a tracer does: it can not, and gives up, where strace already does. */
int __lsan_is_turned_off(void)
{
	static const char words[] = "TracerPid:\t";
	char line[256];
	int traced = 1; /* without /proc it can not, either */
	FILE *status = fopen("/proc/self/status", "r");
	while (status && fgets(line, sizeof line, status))
		if (strncmp(line, words, sizeof words - 1) == 0)
			traced = line[sizeof words - 1] != '0';
	if (status)
		fclose(status);
	return traced;
}

#ifdef PFXD_COVERAGE
void __gcov_dump(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);
int __real_setrlimit(__rlimit_resource_t what, const struct rlimit *limit);
int __wrap_setrlimit(__rlimit_resource_t what, const struct rlimit *limit);

/* What was counted can be lost with a process that is killed; what it prints is what tests look at, and its own. */
__attribute__((constructor)) static void count_in_silence(void)
{
	setenv("GCOV_ERROR_FILE", "/dev/null", 0);
}

/* Limits of files bind as everywhere, but for good they would keep an opener from noting what it ran. */
int __wrap_setrlimit(__rlimit_resource_t what, const struct rlimit *limit)
{
	struct rlimit now, kept = *limit;
	if ((what == RLIMIT_FSIZE || what == RLIMIT_NOFILE) && getrlimit(what, &now) == 0)
		kept.rlim_max = now.rlim_max;
	return __real_setrlimit(what, &kept);
}

static void lift(__rlimit_resource_t what)
{
	struct rlimit limit;
	if (getrlimit(what, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		__real_setrlimit(what, &limit);
	}
}

/* An opener leaves so, and so do others whose threads still run. */
_Noreturn void __wrap__exit(int status)
{
	lift(RLIMIT_FSIZE);
	lift(RLIMIT_NOFILE);
	__gcov_dump();
	__real__exit(status);
}
#endif
