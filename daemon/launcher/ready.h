/* Whether the rooms are ready. */
#ifndef PFXD_READY_H
#define PFXD_READY_H

#include <stdbool.h>
#include <sys/types.h>

/* Takes one message off a socket of open_notify_socket(). True when its sender, *ret_sender, is ready. */
bool ready_message(int notify, pid_t *ret_sender);

/* Asks the health listener on 127.0.0.1. True when it says that pulls and imports would work; what it says,
 * or why it says nothing, goes into this thread's fault_detail(). Waits a few seconds at most. */
bool ready_for_all(int port);

#endif
