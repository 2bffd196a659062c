/* The model that comes with the program, for commands without -m. */
#include "app/app.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *tn_app_default_model(tn_app_path *path)
{
    /* An installed program stands in bin beside share; in a build directory share stands beside the program. */
    static const char *const places[] = { "../share/tenebra/models/default", "share/tenebra/models/default" };
    char program[sizeof path->text];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0 || (size_t)length >= sizeof program - 1)
        return NULL;
    program[length] = '\0';
    char *slash = strrchr(program, '/');
    if (slash == NULL)
        return NULL;
    *slash = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        int size = snprintf(path->text, sizeof path->text, "%s/%s", program, places[i]);
        if (size > 0 && (size_t)size < sizeof path->text && tn_path_is_directory(path->text))
            return path->text;
    }
    return NULL;
}
