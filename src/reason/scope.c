#include "reason/scope.h"

#include "base/file.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 20 };

static bool is_letter(char c)
{
    return isalpha((unsigned char)c) != 0;
}

/* Whether a text consists of letters a to z; with `phrase`, single blanks or strokes may separate words. */
static bool is_text(const json_t *value, bool phrase)
{
    const char *text = json_string_value(value);
    size_t length = text != NULL ? strlen(text) : 0;
    for (size_t i = 0; i < length; i++) {
        bool between = phrase && i > 0 && is_letter(text[i - 1]) && is_letter(text[i + 1]);
        bool start = phrase && i == 0 && text[0] == '^' && is_letter(text[1]);
        if (!is_letter(text[i]) && !start && !(between && (text[i] == ' ' || text[i] == '|')))
            return false;
    }
    return length > 0 && length == json_string_length(value);
}

/* Reads one kind of questions. */
static tenebra_code check_kind(const json_t *kind, size_t number, const char *path, tenebra_error *error)
{
    static const char *const known[] = { "what", "phrases", NULL };
    const json_t *phrases = json_object_get(kind, "phrases");
    char names[200] = "";
    if (!json_is_string(json_object_get(kind, "what")) || !json_is_array(phrases) || json_array_size(phrases) == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "\"unlearned\": number %zu must be an object with \"what\", a text, and a list "
                       "of \"phrases\"", number);
    if (tn_json_unknown(kind, known, names, sizeof names) > 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "\"unlearned\": number %zu has unknown members: %s", number,
                       names);
    for (size_t i = 0; i < json_array_size(phrases); i++)
        if (!is_text(json_array_get(phrases, i), true))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "\"unlearned\": number %zu: phrase %zu is not made of words of letters a to "
                           "z with blanks or strokes between", number, i + 1);
    return TENEBRA_OK;
}

static tenebra_code check(const tn_scope *scope, const char *path, tenebra_error *error)
{
    static const char *const known[] = { "about", "words", "unlearned", NULL };
    const json_t *words = json_object_get(scope->json, "words"), *kinds = json_object_get(scope->json, "unlearned");
    char names[200] = "";
    if (!json_is_object(scope->json))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "must contain an object with \"about\" and \"words\"");
    if (tn_json_unknown(scope->json, known, names, sizeof names) > 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "has unknown members: %s", names);
    if (!json_is_array(words))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "\"words\" must be a list of words");
    for (size_t i = 0; i < json_array_size(words); i++)
        if (!is_text(json_array_get(words, i), false))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "\"words\": number %zu is not a word of letters a to z", i + 1);
    if (kinds != NULL && !json_is_array(kinds))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "\"unlearned\" must be a list of kinds of questions");
    for (size_t i = 0; i < json_array_size(kinds); i++)
        TN_TRY(check_kind(json_array_get(kinds, i), i + 1, path, error));
    return TENEBRA_OK;
}

tenebra_code tn_scope_read(tn_scope *scope, const char *directory, tenebra_error *error)
{
    *scope = (tn_scope){ 0 };
    tn_path path;
    TN_TRY(tn_path_print(&path, error, "%s/%s", directory, TN_SCOPE_FILE));
    if (!tn_path_is_file(path.text))
        return TENEBRA_OK;
    tenebra_code code = tn_json_read(path.text, FILE_LIMIT, &scope->json, error);
    if (code == TENEBRA_OK)
        code = check(scope, path.text, error);
    if (code == TENEBRA_OK)
        code = tn_json_string(scope->json, "about", &scope->about, path.text, error);
    if (code != TENEBRA_OK)
        tn_scope_free(scope);
    return code;
}

void tn_scope_free(tn_scope *scope)
{
    json_decref(scope->json);
    *scope = (tn_scope){ 0 };
}

/* ------------------------------------------------------------- questions -- */

static size_t word_length(const char *text)
{
    size_t length = 0;
    while (is_letter(text[length]))
        length++;
    return length;
}

static bool is_word(const char *text, size_t length, const char *word, size_t word_size)
{
    if (length != word_size)
        return false;
    for (size_t i = 0; i < length; i++)
        if (tolower((unsigned char)text[i]) != tolower((unsigned char)word[i]))
            return false;
    return true;
}

bool tn_scope_fits(const tn_scope *scope, const char *text)
{
    const json_t *words = json_object_get(scope->json, "words");
    size_t count = json_array_size(words);
    while (*text != '\0' && count > 0) {
        size_t length = word_length(text);
        for (size_t i = 0; i < count && length > 0; i++) {
            const char *word = json_string_value(json_array_get(words, i));
            if (is_word(text, length, word, strlen(word)))
                return true;
        }
        text += length > 0 ? length : 1;
    }
    return count == 0;
}

/* Whether the text begins with the phrase, whose words are whole. */
static bool begins_with(const char *text, const char *phrase)
{
    for (;;) {
        size_t length = word_length(text);
        bool found = false;
        for (;; phrase++) { /* one of the words up to the next blank */
            size_t size = word_length(phrase);
            found |= is_word(text, length, phrase, size);
            phrase += size;
            if (*phrase != '|')
                break;
        }
        if (!found)
            return false;
        if (*phrase == '\0')
            return true;
        phrase++;
        text += length;
        size_t gap = strspn(text, " \n");
        if (gap == 0)
            return false;
        text += gap;
    }
}

static bool holds(const char *text, const char *phrase)
{
    if (phrase[0] == '^')
        return begins_with(text, phrase + 1);
    for (size_t length; *text != '\0'; text += length > 0 ? length : 1) {
        length = word_length(text);
        if (length > 0 && begins_with(text, phrase))
            return true;
    }
    return false;
}

const char *tn_scope_unlearned(const tn_scope *scope, const char *text)
{
    const json_t *kinds = json_object_get(scope->json, "unlearned");
    for (size_t i = 0; i < json_array_size(kinds); i++) {
        const json_t *kind = json_array_get(kinds, i), *phrases = json_object_get(kind, "phrases");
        for (size_t k = 0; k < json_array_size(phrases); k++)
            if (holds(text, json_string_value(json_array_get(phrases, k))))
                return json_string_value(json_object_get(kind, "what"));
    }
    return NULL;
}
