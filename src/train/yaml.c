#include "train/yaml.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { ENTRIES_MAX = 1000, VALUE_MAX = 65536, FILE_MAX = 1 << 20 };

typedef struct reading {
    tn_yaml *yaml;
    const char *name;
    yaml_parser_t parser;
    bool in_map;
    bool in_list;
    bool has_key;  /* the last entry has no value yet */
    bool over;
    bool list_begun;
} reading;

static bool is_null(const char *text)
{
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
           strcmp(text, "NULL") == 0 || strcmp(text, "None") == 0;
}

static tn_yaml_entry *find(const tn_yaml *yaml, const char *key)
{
    for (size_t i = 0; i < yaml->count; i++)
        if (strcmp(yaml->entries[i].key, key) == 0)
            return &yaml->entries[i];
    return NULL;
}

/* A new entry without a value; takes no ownership. */
static tn_yaml_entry *add(tn_yaml *yaml, const char *key, size_t length)
{
    if (TN_GROW(yaml->entries, yaml->count, NULL, NULL) != TENEBRA_OK)
        return NULL;
    tn_yaml_entry entry = { .key = strndup(key, length), .value = strdup("") };
    if (entry.key == NULL || entry.value == NULL) {
        free(entry.key);
        free(entry.value);
        return NULL;
    }
    yaml->entries[yaml->count] = entry;
    return &yaml->entries[yaml->count++];
}

static tenebra_code take_key(reading *r, const yaml_event_t *event, tenebra_error *error)
{
    const char *key = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length, line = event->start_mark.line + 1;
    if (length == 0 || length > 200 || memchr(key, '\0', length) != NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, r->name, "line %zu: a key has 1 to 200 bytes", line);
    const tn_yaml_entry *old = find(r->yaml, key);
    if (old != NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, r->name, "line %zu: '%s' is already in line %zu", line, key,
                       old->line);
    if (r->yaml->count == ENTRIES_MAX)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, r->name, "line %zu: more than %d keys", line, ENTRIES_MAX);
    tn_yaml_entry *entry = add(r->yaml, key, length);
    if (entry == NULL)
        return tn_fail_memory(error, r->name);
    entry->line = line;
    r->has_key = true;
    return TENEBRA_OK;
}

static tenebra_code take_value(reading *r, const yaml_event_t *event, tenebra_error *error)
{
    tn_yaml_entry *entry = &r->yaml->entries[r->yaml->count - 1];
    const char *value = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length, old = strlen(entry->value);
    if (length > VALUE_MAX - old || memchr(value, '\0', length) != NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, r->name, "line %zu: the value of '%s' is too long or holds a zero byte",
                       entry->line, entry->key);
    char *joined = malloc(old + length + 2);
    if (joined == NULL)
        return tn_fail_memory(error, r->name);
    size_t comma = r->in_list && r->list_begun;
    memcpy(joined, entry->value, old);
    joined[old] = ',';
    memcpy(joined + old + comma, value, length);
    joined[old + comma + length] = '\0';
    free(entry->value);
    entry->value = joined;
    r->list_begun = true;
    if (!r->in_list) {
        entry->null = event->data.scalar.plain_implicit && is_null(joined);
        r->has_key = false;
    }
    return TENEBRA_OK;
}

static tenebra_code structure_error(const reading *r, const yaml_event_t *event, const char *sentence, tenebra_error *error)
{
    return tn_fail(error, TENEBRA_ERROR_FORMAT, r->name, "line %zu: %s", event->start_mark.line + 1, sentence);
}

static tenebra_code take_event(reading *r, const yaml_event_t *event, tenebra_error *error)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        if (!r->in_map)
            return is_null((const char *)event->data.scalar.value)
                       ? TENEBRA_OK
                       : structure_error(r, event, "a configuration is a list of 'key: value' lines", error);
        return r->has_key ? take_value(r, event, error) : take_key(r, event, error);
    case YAML_MAPPING_START_EVENT:
        if (r->in_map)
            return structure_error(r, event, "keys may not be nested; write them flat, one per line", error);
        r->in_map = true;
        return TENEBRA_OK;
    case YAML_SEQUENCE_START_EVENT:
        if (!r->has_key || r->in_list)
            return structure_error(r, event, "a list is only allowed after a key", error);
        r->in_list = true;
        r->list_begun = false;
        return TENEBRA_OK;
    case YAML_SEQUENCE_END_EVENT:
        r->in_list = r->has_key = false;
        return TENEBRA_OK;
    case YAML_ALIAS_EVENT:
        return structure_error(r, event, "aliases are not supported", error);
    case YAML_DOCUMENT_START_EVENT:
        return r->over ? structure_error(r, event, "the file contains a second document", error) : TENEBRA_OK;
    case YAML_DOCUMENT_END_EVENT:
        r->over = true;
        return TENEBRA_OK;
    default:
        return TENEBRA_OK;
    }
}

static tenebra_code read_events(reading *r, tenebra_error *error)
{
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&r->parser, &event)) {
            if (r->parser.error == YAML_MEMORY_ERROR)
                return tn_fail_memory(error, r->name);
            return tn_fail(error, TENEBRA_ERROR_FORMAT, r->name, "line %zu: is not YAML: %s",
                           r->parser.problem_mark.line + 1, r->parser.problem ? r->parser.problem : "unknown problem");
        }
        yaml_event_type_t type = event.type;
        tenebra_code code = take_event(r, &event, error);
        yaml_event_delete(&event);
        if (code != TENEBRA_OK || type == YAML_STREAM_END_EVENT)
            return code;
    }
}

tenebra_code tn_yaml_parse(tn_yaml *yaml, const void *text, size_t length, const char *name, tenebra_error *error)
{
    *yaml = (tn_yaml){ 0 };
    reading r = { .yaml = yaml, .name = name };
    if (length > FILE_MAX)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, name, "has more than %d bytes", FILE_MAX);
    if (!yaml_parser_initialize(&r.parser))
        return tn_fail_memory(error, name);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(length ? text : ""), length);
    tenebra_code code = read_events(&r, error);
    yaml_parser_delete(&r.parser);
    if (code != TENEBRA_OK)
        tn_yaml_free(yaml);
    return code;
}

tenebra_code tn_yaml_read(tn_yaml *yaml, const char *path, tenebra_error *error)
{
    tn_file file;
    *yaml = (tn_yaml){ 0 };
    TN_TRY(tn_file_read(&file, path, FILE_MAX, error));
    tenebra_code code = tn_yaml_parse(yaml, file.data, file.size, path, error);
    tn_file_close(&file);
    return code;
}

tenebra_code tn_yaml_set(tn_yaml *yaml, const char *assignment, tenebra_error *error)
{
    const char *equals = strchr(assignment, '=');
    if (equals == NULL || equals == assignment || equals - assignment > 200)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, assignment, "is not of the form key=value");
    char key[201] = { 0 };
    memcpy(key, assignment, (size_t)(equals - assignment));
    tn_yaml_entry *entry = find(yaml, key);
    if (entry == NULL)
        entry = add(yaml, key, strlen(key));
    char *value = strdup(equals + 1);
    if (entry == NULL || value == NULL) {
        free(value);
        return tn_fail_memory(error, key);
    }
    free(entry->value);
    entry->value = value;
    entry->line = 0;
    entry->null = is_null(value);
    return TENEBRA_OK;
}

void tn_yaml_free(tn_yaml *yaml)
{
    for (size_t i = 0; i < yaml->count; i++) {
        free(yaml->entries[i].key);
        free(yaml->entries[i].value);
    }
    free(yaml->entries);
    *yaml = (tn_yaml){ 0 };
}
