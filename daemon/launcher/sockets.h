/* Listening sockets that the launcher makes and the rooms inherit. */
#ifndef PFXD_SOCKETS_H
#define PFXD_SOCKETS_H

#include <stddef.h>

/* Each returns a descriptor, close-on-exec and not blocking, or UNAVAILABLE with a sentence that names the address. */
int listen_on_port(const char *address, int port); /* IPv4 or IPv6, as numbers */
int listen_on_path(const char *path);              /* a stream socket, 0600; one that was left behind is removed */
/* A datagram socket for sd_notify(3) with senders' credentials; its abstract name, as NOTIFY_SOCKET has it, goes into
 * ret_name. */
int open_notify_socket(char *ret_name, size_t size);

#endif
