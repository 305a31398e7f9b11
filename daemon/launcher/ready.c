/* Reads what rooms say of themselves, and asks the health listener. Launcher. */
#include "ready.h"

#include "fault.h"
#include "frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

static bool says_ready(const char *text)
{
	static const char word[] = "READY=1";
	const char *at = strstr(text, word);
	return at && (at == text || at[-1] == '\n');
}

bool ready_message(int notify, pid_t *ret_sender)
{
	char text[1024], control[CMSG_SPACE(sizeof(struct ucred))] __attribute__((aligned(8)));
	struct iovec part = { text, sizeof text - 1 };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control,
	};
	ssize_t len = recvmsg(notify, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = len < 0 ? NULL : CMSG_FIRSTHDR(&message);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
		return false;
	struct ucred sender;
	memcpy(&sender, CMSG_DATA(c), sizeof sender);
	text[len] = '\0';
	*ret_sender = sender.pid;
	return says_ready(text);
}

static int connect_to(int port)
{
	const struct timeval second = { .tv_sec = 1 };
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	FD fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second) < 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
		return fail(FAULT_UNAVAILABLE, "port %d: %s", port, strerror(errno));
	int ret = fd;
	fd = -1;
	return ret;
}

bool ready_for_all(int port)
{
	static const char request[] = "GET /readyz?for=import HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	char answer[4096];
	size_t len = 0;
	FD fd = connect_to(port);
	if (fd < 0 || send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		return false;
	for (ssize_t n; len < sizeof answer - 1 && (n = recv(fd, answer + len, sizeof answer - 1 - len, 0)) > 0;)
		len += (size_t)n;
	answer[len] = '\0';
	const char *body = strstr(answer, "\r\n\r\n");
	fail(FAULT_UNAVAILABLE, "%s", body ? body + 4 : "no answer");
	return strncmp(answer, "HTTP/1.1 200 ", 13) == 0;
}
