/* What both kinds of tokenizer directories share: vocabularies, merges, added tokens. */
#include "text/tokenizer_parts.h"

#include "base/checked.h"

#include <stdio.h>
#include <string.h>

tenebra_code tn_vocabulary_largest_id(const json_t *vocab, size_t *largest, const char *name,
                                      tenebra_error *error)
{
    char shown[TN_SHOWN_SIZE];
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)vocab, key, value) {
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || (size_t)id >= TN_VOCABULARY_LIMIT)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, name,
                           "the id of token \"%s\" must be a whole number from 0 to %zu",
                           tn_text_show(key, strlen(key), shown), TN_VOCABULARY_LIMIT - 1);
        *largest = tn_max(*largest, (size_t)id);
    }
    return TENEBRA_OK;
}

tenebra_code tn_vocabulary_put_all(tn_vocabulary *vocabulary, const json_t *vocab, const char *name,
                                   tenebra_error *error)
{
    tn_text bytes = { 0 };
    tenebra_code code = TENEBRA_OK;
    void *at = json_object_iter((json_t *)(uintptr_t)vocab);
    for (; at != NULL && code == TENEBRA_OK; at = json_object_iter_next((json_t *)(uintptr_t)vocab, at)) {
        const char *key = json_object_iter_key(at);
        bytes.length = 0;
        code = tn_alphabet_decode(key, strlen(key), &bytes, error);
        if (code == TENEBRA_OK)
            code = tn_vocabulary_put(vocabulary, (size_t)json_integer_value(json_object_iter_value(at)),
                                     bytes.data, bytes.length, name, error);
    }
    tn_text_free(&bytes);
    return code;
}

tenebra_code tn_vocabulary_merge_names(tn_vocabulary *vocabulary, const char *left, size_t left_length,
                                       const char *right, size_t right_length, tn_text *scratch,
                                       const char *name, tenebra_error *error)
{
    scratch->length = 0;
    TN_TRY(tn_alphabet_decode(left, left_length, scratch, error));
    size_t middle = scratch->length;
    TN_TRY(tn_alphabet_decode(right, right_length, scratch, error));
    return tn_vocabulary_merge(vocabulary, scratch->data, middle, scratch->length, name, error);
}

/* Flags of an added token that change where it matches and are not supported. */
static tenebra_code check_flags(const json_t *token, const char *content, const char *name,
                                tenebra_error *error)
{
    static const char *const flags[] = { "single_word", "lstrip", "rstrip" };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        bool asked = false;
        TN_TRY(tn_json_bool(token, flags[i], &asked, name, error));
        char shown[TN_SHOWN_SIZE];
        if (asked)
            return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, name, "\"%s\" asks for \"%s\"",
                           tn_text_show(content, strlen(content), shown), flags[i]);
    }
    return TENEBRA_OK;
}

tenebra_code tn_vocabulary_put_added(tn_vocabulary *vocabulary, const json_t *token, size_t id,
                                     const char *name, tenebra_error *error)
{
    const json_t *content = json_object_get(token, "content");
    if (!json_is_string(content) || json_string_length(content) == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "added token %zu has no \"content\"", id);
    bool special = false;
    char which[40], inner[TN_JSON_PART];
    snprintf(which, sizeof which, "added token %zu", id);
    tn_json_part(inner, name, which);
    TN_TRY(check_flags(token, json_string_value(content), inner, error));
    TN_TRY(tn_json_bool(token, "special", &special, inner, error));
    bool normalized = !special; /* the default of the reference library */
    TN_TRY(tn_json_bool(token, "normalized", &normalized, inner, error));
    TN_TRY(tn_vocabulary_put(vocabulary, id, json_string_value(content), json_string_length(content), name, error));
    return tn_vocabulary_mark_added(vocabulary, (int32_t)id, special, normalized, error);
}
