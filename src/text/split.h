/* Pre-tokenizing: splits text into the pieces inside which merges happen.
 *
 * The pattern of Qwen2 has its own splitter, which is exact for Unicode 16 and linear in time. All other patterns use
 * PCRE2 with the Unicode tables of the installed library. */
#ifndef TN_TEXT_SPLIT_H
#define TN_TEXT_SPLIT_H

#include "base/status.h"

typedef struct tn_splitter tn_splitter;

/* As in the tokenizer.json of Qwen2 and of models based on it. */
#define TN_PATTERN_QWEN2 \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" \
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The pattern of a ByteLevel pre-tokenizer with use_regex (GPT-2). */
#define TN_PATTERN_GPT2 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

typedef struct tn_split_options {
    bool general;    /* PCRE2 even for a pattern with its own splitter (tests)           */
    bool drop_gaps;  /* text between matches is dropped; otherwise it forms pieces, too */
} tn_split_options;

/* `name` appears in errors. options may be NULL. *opened is NULL on failure. Errors: FORMAT (not a pattern), UNSUPPORTED,
 * MEMORY. */
tenebra_code tn_splitter_open(const char *pattern, size_t length, const tn_split_options *options, const char *name,
                              tn_splitter **opened, tenebra_error *error);
void tn_splitter_close(tn_splitter *splitter);

/* Called with each piece, never empty, in order. */
typedef tenebra_code tn_piece_fn(void *user, const char *piece, size_t length, tenebra_error *error);

/* Splits `text`, valid UTF-8. Errors: those of `each`; LIMIT (a pattern that backtracks too often), MEMORY. Threads:
 * any. */
tenebra_code tn_split(const tn_splitter *splitter, const char *text, size_t length, tn_piece_fn *each,
                      void *user, tenebra_error *error);

/* Bytes of the piece at the start of `text` (length >= 1) under TN_PATTERN_QWEN2. */
size_t tn_split_qwen2(const char *text, size_t length);

#endif
