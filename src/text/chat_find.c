/* Finds the chat template of a model directory. */
#include "text/chat.h"

#include "base/file.h"
#include "base/json.h"
#include "base/nearest.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_LIMIT ((size_t)64 << 20)

/* ------------------------------------------------------------ by hash -- */

/* Adds one character of a template to its FNV-1a hash. */
static void mix(uint64_t *hash, char c)
{
    *hash = (*hash ^ (unsigned char)c) * 0x100000001B3u;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* End of the tag "{{ ... }}" or "{% ... %}" at `begin`: after its braces, or `length`. */
static size_t tag_end(const char *text, size_t begin, size_t length)
{
    char closing = text[begin + 1] == '{' ? '}' : '%', quote = 0;
    for (size_t i = begin + 2; i + 1 < length; i++) {
        char c = text[i];
        if (quote == 0 && c == closing && text[i + 1] == '}')
            return i + 2;
        if (quote != 0 ? c == quote : c == '\'' || c == '"')
            quote = quote != 0 ? 0 : c;
    }
    return length;
}

/* A tag without blanks at its inner edges and with one space for several, quotes excepted. */
static void mix_tag(uint64_t *hash, const char *tag, size_t length)
{
    size_t end = length >= 4 ? length - 2 : length;
    char quote = 0, last = ' ';
    mix(hash, tag[0]);
    mix(hash, tag[1]);
    while (end > 2 && is_blank(tag[end - 1]))
        end--;
    for (size_t i = 2; i < end; i++) {
        char c = tag[i];
        bool blank = quote == 0 && is_blank(c);
        if (quote != 0 ? c == quote : c == '\'' || c == '"')
            quote = quote != 0 ? 0 : c;
        if (!blank)
            mix(hash, c);
        else if (last != ' ')
            mix(hash, ' ');
        last = blank ? ' ' : c == ' ' ? 'q' : c; /* a space in quotes is significant */
    }
    for (size_t i = length >= 4 ? length - 2 : length; i < length; i++)
        mix(hash, tag[i]);
}

uint64_t tn_chat_template_hash(const char *text, size_t length)
{
    uint64_t hash = 0xCBF29CE484222325u;
    if (length > 0 && text[length - 1] == '\n')
        length--;
    for (size_t i = 0; i < length;) {
        bool opens = i + 1 < length && text[i] == '{' && (text[i + 1] == '{' || text[i + 1] == '%');
        size_t end = opens ? tag_end(text, i, length) : i + 1;
        if (opens)
            mix_tag(&hash, text + i, end - i);
        else if (text[i] != '\r')
            mix(&hash, text[i]);
        i = end;
    }
    return hash;
}

/* ------------------------------------------------------------ choosing -- */

/* The names of all templates as "a, b, c". */
static void list_names(char *list, size_t size)
{
    size_t used = 0;
    list[0] = '\0';
    for (const tn_chat_template *const *style = tn_chat_templates; *style != NULL && used < size; style++)
        used += (size_t)snprintf(list + used, size - used, "%s%s", used > 0 ? ", " : "", (*style)->name);
}

static tenebra_code find_name(const char *name, const tn_chat_template **found, tenebra_error *error)
{
    for (const tn_chat_template *const *style = tn_chat_templates; *style != NULL; style++)
        if (strcmp((*style)->name, name) == 0) {
            *found = *style;
            return TENEBRA_OK;
        }
    char names[200];
    tn_nearest nearest = tn_nearest_of(name, strlen(name));
    list_names(names, sizeof names);
    for (const tn_chat_template *const *style = tn_chat_templates; *style != NULL; style++)
        tn_nearest_try(&nearest, (*style)->name);
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "chat template", "there is none called '%.60s'; choose one of: %s%s", name,
                   names, tn_nearest_hint(&nearest));
}

static tenebra_code find_text(const char *text, size_t length, const char *path,
                              const tn_chat_template **found, tenebra_error *error)
{
    uint64_t hash = tn_chat_template_hash(text, length);
    for (const tn_chat_template *const *style = tn_chat_templates; *style != NULL; style++)
        for (const uint64_t *known = (*style)->hashes; *known != 0; known++)
            if (*known == hash) {
                *found = *style;
                return TENEBRA_OK;
            }
    char names[200];
    list_names(names, sizeof names);
    return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, path,
                   "the chat template (hash %016llx) is not supported; pass --chat-template NAME to use one of: %s",
                   (unsigned long long)hash, names);
}

/* Appends a name to "a, b, c" if there is room. */
static void add_name(char *list, size_t size, const char *name)
{
    size_t used = strlen(list);
    snprintf(list + used, size - used, "%s%.40s", used > 0 ? ", " : "", name);
}

static tenebra_code no_default(const char *path, const char *names, tenebra_error *error)
{
    return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, path, "contains chat templates called %s, and none is \"default\"; pass "
                   "--chat-template NAME to choose one of this program's", names);
}

/* The template's text in member "chat_template": a string, or the one called "default" in a list of {"name",
 * "template"} or in an object {name: text}. *text stays NULL if the member contains none. */
static tenebra_code template_in(const json_t *root, const char *path, const json_t **text, tenebra_error *error)
{
    const json_t *value = json_object_get(root, "chat_template");
    char names[200] = "";
    if (value == NULL || json_is_null(value))
        return TENEBRA_OK;
    *text = json_is_object(value) ? json_object_get(value, "default") : json_is_string(value) ? value : NULL;
    void *at = json_object_iter((json_t *)(uintptr_t)value);
    for (; at != NULL; at = json_object_iter_next((json_t *)(uintptr_t)value, at))
        add_name(names, sizeof names, json_object_iter_key(at));
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *entry = json_array_get(value, i);
        const char *name = json_string_value(json_object_get(entry, "name"));
        add_name(names, sizeof names, name != NULL ? name : "?");
        if (name != NULL && strcmp(name, "default") == 0)
            *text = json_object_get(entry, "template");
    }
    if (*text == NULL && names[0] != '\0')
        return no_default(path, names, error);
    if (!json_is_string(*text))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "\"chat_template\" must be a text, or texts by name");
    return TENEBRA_OK;
}

static tenebra_code find_in_json(const char *path, const tn_chat_template **found, tenebra_error *error)
{
    json_t *root;
    TN_TRY(tn_json_read(path, FILE_LIMIT, &root, error));
    const json_t *text = NULL;
    tenebra_code code = template_in(root, path, &text, error);
    if (code == TENEBRA_OK && text != NULL)
        code = find_text(json_string_value(text), json_string_length(text), path, found, error);
    json_decref(root);
    return code;
}

static tenebra_code find_in_text(const char *path, const tn_chat_template **found, tenebra_error *error)
{
    tn_file file;
    TN_TRY(tn_file_read(&file, path, FILE_LIMIT, error));
    const char *text = file.data ? (const char *)file.data : "";
    tenebra_code code = tn_lfs_check(text, file.size, path, error);
    if (code == TENEBRA_OK)
        code = find_text(text, file.size, path, found, error);
    tn_file_close(&file);
    return code;
}

/* A directory of further templates, NAME.jinja. If the model directory has no chat_template.jinja, one of them must be the
 * default. */
static tenebra_code find_in_folder(const char *path, const tn_chat_template **found, tenebra_error *error)
{
    char names[200] = "";
    DIR *list = opendir(path);
    for (const struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
        size_t length = strlen(entry->d_name), tail = strlen(".jinja");
        char name[64];
        if (length > tail && strcmp(entry->d_name + length - tail, ".jinja") == 0 &&
            snprintf(name, sizeof name, "%.*s", (int)(length - tail), entry->d_name) > 0)
            add_name(names, sizeof names, name);
    }
    if (list != NULL)
        closedir(list);
    tn_path file;
    TN_TRY(tn_path_print(&file, error, "%s/default.jinja", path));
    return tn_path_is_file(file.text) ? find_in_text(file.text, found, error)
           : names[0] != '\0'        ? no_default(path, names, error)
                                     : TENEBRA_OK;
}

/* The first place that contains a template decides, in the order of transformers' ProcessorMixin (5.24), which prefers
 * old files to new ones; the tokenizer's comes last. *found stays NULL if there is none. */
static tenebra_code find_in_directory(const char *directory, const tn_chat_template **found,
                                      tenebra_error *error)
{
    static const struct {
        const char *name;
        tenebra_code (*find)(const char *, const tn_chat_template **, tenebra_error *);
    } places[] = { { "processor_config.json", find_in_json },
                   { "chat_template.json", find_in_json },
                   { "chat_template.jinja", find_in_text },
                   { "additional_chat_templates", find_in_folder },
                   { "tokenizer_config.json", find_in_json } };
    for (size_t i = 0; i < sizeof places / sizeof places[0] && *found == NULL; i++) {
        tn_path path;
        TN_TRY(tn_path_print(&path, error, "%s/%s", directory, places[i].name));
        if (places[i].find == find_in_folder ? tn_path_is_directory(path.text) : tn_path_is_file(path.text))
            TN_TRY(places[i].find(path.text, found, error));
    }
    return TENEBRA_OK;
}

tenebra_code tn_chat_template_find(const char *directory, const char *name, const char *fallback,
                                   const tn_chat_template **found, tenebra_error *error)
{
    *found = NULL;
    if (name != NULL && name[0] != '\0')
        return find_name(name, found, error);
    TN_TRY(find_in_directory(directory, found, error));
    if (*found != NULL)
        return TENEBRA_OK;
    if (fallback != NULL && fallback[0] != '\0')
        return find_name(fallback, found, error);
    char names[200];
    list_names(names, sizeof names);
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, directory,
                   "has no chat template; pass --chat-template NAME to use one of: %s", names);
}
