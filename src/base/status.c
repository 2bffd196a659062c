#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

tenebra_code tn_fail(tenebra_error *error, tenebra_code code, const char *where,
                     const char *sentence, ...)
{
    if (error == NULL)
        return code;
    error->code = code;
    snprintf(error->where, sizeof error->where, "%s", where ? where : "");
    va_list arguments;
    va_start(arguments, sentence);
    vsnprintf(error->sentence, sizeof error->sentence, sentence, arguments);
    va_end(arguments);
    return code;
}
