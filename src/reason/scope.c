#include "reason/scope.h"

#include "base/file.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 20 };

static tenebra_code check(const tn_scope *scope, const char *path, tenebra_error *error)
{
    static const char *const known[] = { "about", "words", NULL };
    const json_t *words = json_object_get(scope->json, "words");
    char names[200] = "";
    if (!json_is_object(scope->json))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "must hold an object with \"about\" and \"words\"");
    if (tn_json_unknown(scope->json, known, names, sizeof names) > 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "has members that are not known: %s", names);
    if (!json_is_array(words))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "\"words\" must be a list of words");
    for (size_t i = 0; i < json_array_size(words); i++) {
        const char *word = json_string_value(json_array_get(words, i));
        size_t length = word != NULL ? strlen(word) : 0;
        for (size_t k = 0; k < length; k++)
            length = isalpha((unsigned char)word[k]) ? length : 0;
        if (length == 0 || length != json_string_length(json_array_get(words, i)))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "\"words\": number %zu is not a word of letters a to z", i + 1);
    }
    return TENEBRA_OK;
}

tenebra_code tn_scope_read(tn_scope *scope, const char *directory, tenebra_error *error)
{
    *scope = (tn_scope){ 0 };
    char *path = tn_path_join(directory, TN_SCOPE_FILE);
    if (path == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, directory, "no memory for a path");
    tenebra_error local = { 0 };
    tenebra_code code = TENEBRA_OK;
    error = error != NULL ? error : &local;
    if (tn_path_is_file(path)) {
        scope->json = tn_json_read(path, FILE_LIMIT, error);
        code = scope->json != NULL ? check(scope, path, error) : error->code;
        if (code == TENEBRA_OK)
            code = tn_json_string(scope->json, "about", &scope->about, path, error);
    }
    free(path);
    if (code != TENEBRA_OK)
        tn_scope_free(scope);
    return code;
}

void tn_scope_free(tn_scope *scope)
{
    json_decref(scope->json);
    *scope = (tn_scope){ 0 };
}

static size_t word_length(const char *text)
{
    size_t length = 0;
    while (isalpha((unsigned char)text[length]))
        length++;
    return length;
}

static bool is_word(const char *text, size_t length, const char *word)
{
    for (size_t i = 0; i < length; i++)
        if (tolower((unsigned char)text[i]) != tolower((unsigned char)word[i]))
            return false; /* also at the word's end */
    return word[length] == '\0';
}

bool tn_scope_fits(const tn_scope *scope, const char *text)
{
    const json_t *words = json_object_get(scope->json, "words");
    size_t count = json_array_size(words);
    while (*text != '\0' && count > 0) {
        size_t length = word_length(text);
        for (size_t i = 0; i < count && length > 0; i++)
            if (is_word(text, length, json_string_value(json_array_get(words, i))))
                return true;
        text += length > 0 ? length : 1;
    }
    return count == 0;
}
