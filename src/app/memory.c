/* An allocator that never fails: it ends the program instead.
 *
 * jansson 2.14 does not survive a failed allocation: its lexer drops bytes of a token and then reads past the buffer's
 * end, json_dumps drops keys, json_pack drops optional members (load.c: lex_save; dump.c: dump_string; pack_unpack.c).
 * All lists and tables of the program use it, so a failure must not be returned as NULL. For files, this is like a kill
 * of the process: nothing incomplete has its final name. */
#include "app/app.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Noreturn void end_program(size_t size)
{
    char sentence[96]; /* stdio may allocate memory, too */
    int length = snprintf(sentence, sizeof sentence, "tenebra: no memory for another %zu bytes\n", size);
    ssize_t written = write(STDERR_FILENO, sentence, (size_t)length);
    (void)written;
    _exit(TN_EXIT_FAILED);
}

static void *take_for_json(size_t size)
{
    void *memory = malloc(size);
    if (memory == NULL)
        end_program(size);
    return memory;
}

void tn_app_guard_json(void)
{
    json_set_alloc_funcs(take_for_json, free);
}

void *tn_app_take(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL)
        end_program(count * size);
    return memory;
}

_Noreturn void tn_app_end_without_memory(void)
{
    static const char sentence[] = "tenebra: no memory for the output\n";
    ssize_t written = write(STDERR_FILENO, sentence, sizeof sentence - 1);
    (void)written;
    _exit(TN_EXIT_FAILED);
}
