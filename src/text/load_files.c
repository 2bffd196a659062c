/* vocab.json and merges.txt, with the added tokens of added_tokens.json and tokenizer_config.json.
 * These files name no pattern and no normaliser; they are those of Qwen2. */
#include "text/tokenizer_parts.h"

#include "base/checked.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

/* The files found in the directory; NULL if missing. */
typedef struct sources {
    const char *directory;
    json_t *vocab, *added, *config;
    tn_file merges;
    tn_path merges_path;
} sources;

static tenebra_code read_sources(sources *s, tenebra_error *error)
{
    TN_TRY(tn_path_print(&s->merges_path, error, "%s/merges.txt", s->directory));
    TN_TRY(tn_json_read_object(s->directory, "vocab.json", TN_TOKENIZER_FILE_LIMIT, false, &s->vocab, error));
    if (s->vocab == NULL || !tn_path_is_file(s->merges_path.text))
        return tn_fail(error, TENEBRA_ERROR_IO, s->directory,
                       "has no tokenizer: neither tokenizer.json nor vocab.json with merges.txt");
    TN_TRY(tn_file_read(&s->merges, s->merges_path.text, TN_TOKENIZER_FILE_LIMIT, error));
    TN_TRY(tn_lfs_check(s->merges.data, s->merges.size, s->merges_path.text, error));
    TN_TRY(tn_json_read_object(s->directory, "added_tokens.json", TN_TOKENIZER_FILE_LIMIT, false, &s->added, error));
    return tn_json_read_object(s->directory, "tokenizer_config.json", TN_TOKENIZER_FILE_LIMIT, false, &s->config, error);
}

static void free_sources(sources *s)
{
    json_decref(s->vocab);
    json_decref(s->added);
    json_decref(s->config);
    tn_file_close(&s->merges);
}

/* -------------------------------------------------------- added tokens -- */

static json_t *decoder_of(const sources *s)
{
    json_t *decoder = json_object_get(s->config, "added_tokens_decoder");
    return json_is_object(decoder) ? decoder : NULL;
}

/* The id in a key of added_tokens_decoder. */
static tenebra_code spelled_id(const char *key, size_t *id, const char *name, tenebra_error *error)
{
    size_t digits = strspn(key, "0123456789");
    if (digits == 0 || digits > 8 || key[digits] != '\0')
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "\"added_tokens_decoder\": \"%.60s\" is not a token id", key);
    *id = (size_t)strtoul(key, NULL, 10);
    return TENEBRA_OK;
}

static bool is_token(const json_t *value, const char *token)
{
    const char *text = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    return text != NULL && strcmp(text, token) == 0;
}

/* True if tokenizer_config.json declares a token special: by its role, or in the list. */
static bool is_special(const json_t *config, const char *token)
{
    static const char *const roles[] = { "bos_token", "eos_token", "pad_token", "unk_token" };
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (is_token(json_object_get(config, roles[i]), token))
            return true;
    const json_t *list = json_object_get(config, "additional_special_tokens");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (is_token(json_array_get(list, i), token))
            return true;
    return false;
}

static tenebra_code put_added(tn_vocabulary *vocabulary, const sources *s, tenebra_error *error)
{
    const char *key;
    json_t *value;
    json_object_foreach(s->added, key, value) {
        size_t id = (size_t)json_integer_value(value);
        bool special = is_special(s->config, key);
        TN_TRY(tn_vocabulary_put(vocabulary, id, key, strlen(key), s->directory, error));
        TN_TRY(tn_vocabulary_mark_added(vocabulary, (int32_t)id, special, false, error));
    }
    json_object_foreach(decoder_of(s), key, value) {
        size_t id = 0;
        TN_TRY(spelled_id(key, &id, s->directory, error));
        TN_TRY(tn_vocabulary_put_added(vocabulary, value, id, s->directory, error));
    }
    return TENEBRA_OK;
}

static tenebra_code largest_id(const sources *s, size_t *largest, tenebra_error *error)
{
    TN_TRY(tn_vocabulary_largest_id(s->vocab, largest, s->directory, error));
    if (s->added != NULL)
        TN_TRY(tn_vocabulary_largest_id(s->added, largest, s->directory, error));
    const char *key;
    json_t *value;
    json_object_foreach(decoder_of(s), key, value) {
        size_t id = 0;
        TN_TRY(spelled_id(key, &id, s->directory, error));
        *largest = tn_max(*largest, id);
    }
    return TENEBRA_OK;
}

/* -------------------------------------------------------------- merges -- */

typedef struct lines {
    const char *at, *end;
} lines;

static lines lines_of(const tn_file *file)
{
    const char *begin = file->data != NULL ? (const char *)file->data : "";
    return (lines){ begin, begin + file->size };
}

/* The next line without its end; false after the last. */
static bool next_line(lines *in, const char **line, size_t *length)
{
    if (in->at == in->end)
        return false;
    size_t left = (size_t)(in->end - in->at);
    const char *stop = memchr(in->at, '\n', left);
    *line = in->at;
    *length = stop != NULL ? (size_t)(stop - in->at) : left;
    in->at = stop != NULL ? stop + 1 : in->end;
    if (*length > 0 && (*line)[*length - 1] == '\r')
        --*length;
    return true;
}

/* True for lines with a merge: not empty, not the "#version" at the start of the file. */
static bool is_merge(const char *line, size_t length)
{
    return length > 0 && !(length >= 8 && memcmp(line, "#version", 8) == 0);
}

static tenebra_code put_merge_lines(tn_vocabulary *vocabulary, const sources *s, tn_text *scratch,
                                    tenebra_error *error)
{
    lines in = lines_of(&s->merges);
    const char *line;
    size_t length;
    while (next_line(&in, &line, &length)) {
        if (!is_merge(line, length))
            continue;
        const char *space = memchr(line, ' ', length), *end = line + length;
        if (space == NULL || memchr(space + 1, ' ', (size_t)(end - space - 1)) != NULL)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, s->merges_path.text,
                           "merge %zu is not two tokens with one space between", vocabulary->merge_count);
        TN_TRY(tn_vocabulary_merge_names(vocabulary, line, (size_t)(space - line), space + 1,
                                         (size_t)(end - space - 1), scratch, s->merges_path.text, error));
    }
    return TENEBRA_OK;
}

static size_t count_merges(const sources *s)
{
    lines in = lines_of(&s->merges);
    const char *line;
    size_t length, count = 0;
    while (next_line(&in, &line, &length))
        count += is_merge(line, length);
    return count;
}

static tenebra_code build(tn_tokenizer *tokenizer, const sources *s, tenebra_error *error)
{
    tn_vocabulary *vocabulary = &tokenizer->vocabulary;
    size_t largest = 0;
    size_t tokens = json_object_size(s->vocab) + json_object_size(s->added) + json_object_size(decoder_of(s));
    tn_text scratch = { 0 };
    TN_TRY(largest_id(s, &largest, error));
    TN_TRY(tn_vocabulary_open(vocabulary, tn_min(largest + 1, tokens), count_merges(s), s->directory, error));
    TN_TRY(tn_vocabulary_put_all(vocabulary, s->vocab, s->directory, error));
    tenebra_code code = put_merge_lines(vocabulary, s, &scratch, error);
    tn_text_free(&scratch);
    TN_TRY(code);
    TN_TRY(put_added(vocabulary, s, error));
    return tn_vocabulary_seal(vocabulary, s->directory, error);
}

tenebra_code tn_tokenizer_load_files(tn_tokenizer *tokenizer, const char *directory, tenebra_error *error)
{
    sources s = { .directory = directory };
    tenebra_code code = read_sources(&s, error);
    if (code == TENEBRA_OK)
        code = build(tokenizer, &s, error);
    free_sources(&s);
    TN_TRY(code);
    tokenizer->rules[tokenizer->rule_count++] = (tn_rule){ .kind = TN_RULE_UNICODE, .form = { .composed = true } };
    return tn_splitter_open_pattern(TN_PATTERN_QWEN2, strlen(TN_PATTERN_QWEN2), NULL, directory, &tokenizer->splitter, error);
}
