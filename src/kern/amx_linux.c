#define _DEFAULT_SOURCE /* syscall */
#include "kern/sets.h"

#include <sys/syscall.h>
#include <unistd.h>

/* Linux requires a process to request the tiles before it uses them, because they make signal frames larger. One
 * request is enough for all threads, and any thread may repeat it. Source: Documentation/arch/x86/xstate.rst of Linux
 * 5.16. */
bool tn_amx_permitted(void)
{
    enum { REQUEST_STATE = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_STATE, TILE_DATA) == 0;
}
