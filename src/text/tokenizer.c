#include "text/tokenizer_parts.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

typedef tenebra_code tn_load_fn(tn_tokenizer *tokenizer, const void *source, const char *name,
                                tenebra_error *error);

/* Opens an empty tokenizer and fills it by `load`. */
static tenebra_code open_with(tn_load_fn *load, const void *source, const char *name, tn_tokenizer **opened, tenebra_error *error)
{
    tn_tokenizer *tokenizer = *opened = calloc(1, sizeof *tokenizer);
    if (tokenizer == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory for a tokenizer");
    tenebra_code code = load(tokenizer, source, name, error);
    if (code != TENEBRA_OK) {
        tn_tokenizer_close(tokenizer);
        *opened = NULL;
    }
    return code;
}

static tenebra_code load_json(tn_tokenizer *tokenizer, const void *root, const char *name, tenebra_error *error)
{
    return tn_tokenizer_load_json(tokenizer, root, name, error);
}

static tenebra_code load_files(tn_tokenizer *tokenizer, const void *unused, const char *directory,
                               tenebra_error *error)
{
    (void)unused;
    return tn_tokenizer_load_files(tokenizer, directory, error);
}

tenebra_code tn_tokenizer_read(const void *json, size_t length, const char *name, tn_tokenizer **tokenizer, tenebra_error *error)
{
    json_t *root;
    *tokenizer = NULL;
    TN_TRY(tn_json_parse(json, length, name, &root, error));
    tenebra_code code = open_with(load_json, root, name, tokenizer, error);
    json_decref(root);
    return code;
}

bool tn_tokenizer_is_in(const char *directory)
{
    static const char *const names[] = { "tokenizer.json", "vocab.json" };
    bool found = false;
    for (size_t i = 0; i < 2 && !found; i++) {
        tn_path path;
        bool printed = tn_path_print(&path, NULL, "%s/%s", directory, names[i]) == TENEBRA_OK;
        found = !printed || tn_path_is_file(path.text); /* opening says more */
    }
    return found;
}

tenebra_code tn_tokenizer_open(const char *directory, tn_tokenizer **tokenizer, tenebra_error *error)
{
    tn_path path;
    tn_file file;
    *tokenizer = NULL;
    TN_TRY(tn_path_print(&path, error, "%s/tokenizer.json", directory));
    if (!tn_path_is_file(path.text))
        return open_with(load_files, NULL, directory, tokenizer, error);
    TN_TRY(tn_file_read(&file, path.text, TN_TOKENIZER_FILE_LIMIT, error));
    tenebra_code code = tn_tokenizer_read(file.data, file.size, path.text, tokenizer, error);
    tn_file_close(&file);
    return code;
}

void tn_tokenizer_close(tn_tokenizer *tokenizer)
{
    if (tokenizer == NULL)
        return;
    tn_vocabulary_close(&tokenizer->vocabulary);
    tn_splitter_close(tokenizer->splitter);
    for (size_t i = 0; i < tokenizer->rule_count; i++)
        tn_rule_free(&tokenizer->rules[i]);
    tn_ids_free(&tokenizer->front);
    free(tokenizer);
}

const tn_ids *tn_tokenizer_front(const tn_tokenizer *tokenizer)
{
    return &tokenizer->front;
}

/* ------------------------------------------------------------ vocabulary -- */

static const tn_token *token_of(const tn_tokenizer *tokenizer, int32_t id)
{
    const tn_vocabulary *vocabulary = &tokenizer->vocabulary;
    return id < 0 || (size_t)id >= vocabulary->count ? NULL : &vocabulary->tokens[id];
}

size_t tn_tokenizer_size(const tn_tokenizer *tokenizer)
{
    return tokenizer->vocabulary.count;
}

int32_t tn_tokenizer_find(const tn_tokenizer *tokenizer, const char *text)
{
    return tn_vocabulary_find(&tokenizer->vocabulary, text, strlen(text));
}

const char *tn_tokenizer_bytes(const tn_tokenizer *tokenizer, int32_t id, size_t *length)
{
    const tn_token *token = token_of(tokenizer, id);
    *length = token ? token->length : 0;
    return token ? tn_vocabulary_bytes(&tokenizer->vocabulary, id) : NULL;
}

bool tn_tokenizer_is_added(const tn_tokenizer *tokenizer, int32_t id)
{
    const tn_token *token = token_of(tokenizer, id);
    return token != NULL && token->added;
}

bool tn_tokenizer_is_special(const tn_tokenizer *tokenizer, int32_t id)
{
    const tn_token *token = token_of(tokenizer, id);
    return token != NULL && token->special;
}

tenebra_code tn_tokenizer_add(tn_tokenizer *tokenizer, const char *text, bool special, int32_t *id,
                              tenebra_error *error)
{
    size_t length = strlen(text);
    if (length == 0 || !tn_utf8_valid(text, length))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "added token", "must be valid UTF-8 and not empty");
    return tn_vocabulary_add(&tokenizer->vocabulary, text, length, special, id, error);
}
