/* What the tests of the text layer share. */
#ifndef TESTS_UNIT_TEXT_SUPPORT_H
#define TESTS_UNIT_TEXT_SUPPORT_H

#include "text/tokenizer.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SMALL TENEBRA_TEST_DATA "/tokenizer-small"

static inline tn_tokenizer *open_tokenizer(const char *directory)
{
    tenebra_error error;
    tn_tokenizer *tokenizer;
    tn_tokenizer_open(directory, &tokenizer, &error);
    if (tokenizer == NULL)
        fail_msg("%s: %s", error.where, error.sentence);
    return tokenizer;
}

static inline tn_text_span span_of(const char *text, bool control)
{
    return (tn_text_span){ text, strlen(text), control };
}

static inline tn_ids encode_spans(const tn_tokenizer *tokenizer, const tn_text_span *spans, size_t count)
{
    tn_ids ids = { 0 };
    tenebra_error error;
    if (tn_tokenizer_encode(tokenizer, spans, count, &ids, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return ids;
}

static inline tn_ids encode_bytes(const tn_tokenizer *tokenizer, const char *text, size_t length, bool control)
{
    tn_text_span span = { text, length, control };
    return encode_spans(tokenizer, &span, 1);
}

static inline tn_ids encode_text(const tn_tokenizer *tokenizer, const char *text, bool control)
{
    return encode_bytes(tokenizer, text, strlen(text), control);
}

static inline bool equal_ids(const tn_ids *a, const tn_ids *b)
{
    return a->count == b->count && (a->count == 0 || memcmp(a->ids, b->ids, a->count * sizeof *a->ids) == 0);
}

static inline bool equal_text(const tn_text *text, const char *bytes, size_t length)
{
    return text->length == length && (length == 0 || memcmp(text->data, bytes, length) == 0);
}

/* A new directory, which remove_directory removes; the caller frees the name. */
static inline char *make_directory(void)
{
    const char *base = getenv("TMPDIR");
    char pattern[512];
    snprintf(pattern, sizeof pattern, "%s/tenebra-text-XXXXXX", base != NULL ? base : "/tmp");
    char *path = strdup(pattern);
    assert_non_null(path);
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void write_file(const char *directory, const char *name, const char *bytes, size_t length)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, length, out), length);
    assert_int_equal(fclose(out), 0);
}

/* Removes the files of this name that tests write, then the directory, and frees its name. */
static inline void remove_directory(char *directory)
{
    static const char *const names[] = { "tokenizer.json",   "vocab.json",         "merges.txt",
                                         "added_tokens.json", "tokenizer_config.json", "chat_template.json",
                                         "chat_template.jinja", "processor_config.json", "special_tokens_map.json" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(directory), 0);
    free(directory);
}

#endif
