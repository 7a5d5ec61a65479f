/* A resolver that does not know the name in DELAYED_NAME until the file in DELAYED_NAME_FILE is there, and
   then says that it is this machine. To be loaded before libc, whose own it is for all other names. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int resolver(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    const char *late = getenv("DELAYED_NAME");
    const char *file = getenv("DELAYED_NAME_FILE");
    if (name && late && file && strcmp(name, late) == 0) {
        if (access(file, F_OK) != 0)
            return EAI_NONAME;
        name = "localhost";
    }
    return ((resolver *)dlsym(RTLD_NEXT, "getaddrinfo"))(name, service, hints, found);
}
