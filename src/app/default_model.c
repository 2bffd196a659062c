/* Finds the model directory: that of -m, or the default model. */
#include "app/app.h"

#include "base/file.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *tn_app_default_model(tn_path *path)
{
    /* An installed program is in bin, beside share; in a build directory, share is beside the program. */
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
        if (tn_path_print(path, NULL, "%s/%s", program, places[i]) == TENEBRA_OK && tn_path_is_directory(path->text))
            return path->text;
    }
    return NULL;
}

const char *tn_app_model_directory(const char *given, tn_path *path)
{
    bool found = given != NULL && tn_path_is_directory(given) && tn_model_locate(given, path, NULL) == TENEBRA_OK;
    return found ? path->text : given;
}

void tn_app_tell_unused(const tn_notes *notes)
{
    char text[TN_MODEL_UNUSED];
    if (notes->count > 0)
        tn_app_tell("note: %s\n", tn_model_say_unused(notes, text));
}

void tn_app_tell_notes(const tenebra_model *model)
{
    const char *note = tenebra_model_note(model);
    if (note != NULL)
        tn_app_tell("note: %s\n", note);
}
