#include "app/jsonl.h"

#include "text/utf8.h"

#include <stdio.h>
#include <string.h>

static const char *code_name(tenebra_code code)
{
    static const char *const names[] = { "OK",       "ARGUMENT", "IO",     "FORMAT",   "UNSUPPORTED",
                                         "MISMATCH", "LIMIT",    "MEMORY", "CANCELLED" };
    return (size_t)code < sizeof names / sizeof names[0] ? names[code] : "UNKNOWN";
}

/* A string of any bytes as JSON, NULL without memory. */
static json_t *sound_string(const char *bytes)
{
    tn_text text = { 0 };
    json_t *value = NULL;
    if (tn_text_append_lossy(&text, bytes, strlen(bytes), NULL) == TENEBRA_OK)
        value = json_stringn(text.data ? text.data : "", text.length);
    tn_text_free(&text);
    return value;
}

size_t tn_jsonl_length(const char *line, size_t length)
{
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
        length--;
    return length;
}

void tn_jsonl_put_error(json_t *answer, size_t line, const tenebra_error *error)
{
    json_t *record = json_object();
    json_object_set_new(record, "line", json_integer((json_int_t)line));
    json_object_set_new(record, "code", json_string(code_name(error->code)));
    json_object_set_new(record, "where", sound_string(error->where));
    json_object_set_new(record, "sentence", sound_string(error->sentence));
    json_object_set_new(answer, "error", record);
}

tenebra_code tn_jsonl_write(const json_t *answer, tenebra_error *error)
{
    if (json_dumpf(answer, stdout, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9)) == 0 && putchar('\n') != EOF &&
        fflush(stdout) == 0)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_IO, "standard output", "cannot be written");
}
