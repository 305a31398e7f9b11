/* Signals by a descriptor. Front, keeper and launcher. */
#include "signals.h"

#include "fault.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

int signals_take(int more)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (more)
		sigaddset(&set, more);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? fail(FAULT_UNAVAILABLE, "no descriptor for signals: %s", strerror(errno)) : fd;
}

int signals_wait(int signals, int ms)
{
	struct pollfd p = { .fd = signals, .events = POLLIN };
	struct signalfd_siginfo signal;
	if (poll(&p, 1, ms) <= 0 || read(signals, &signal, sizeof signal) != (ssize_t)sizeof signal)
		return 0;
	return (int)signal.ssi_signo;
}
