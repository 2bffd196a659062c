/* Pre-tokenizing: splits text into the pieces inside which merges happen.
 *
 * A splitter is a list of steps, each of which splits every piece of the step before it. Steps that look for a pattern use PCRE2
 * with the Unicode tables of the installed library, except the patterns of Qwen2 and GPT-2, which have code of their own that is
 * exact for Unicode 16 and linear in time. */
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

/* What becomes of the matches of a step, and of the text between them. Source: SplitDelimiterBehavior of Hugging Face tokenizers. */
typedef enum tn_split_behavior {
    TN_SPLIT_ISOLATED,             /* each is a piece                                                        */
    TN_SPLIT_REMOVED,              /* matches are dropped                                                    */
    TN_SPLIT_MERGED_WITH_PREVIOUS, /* a match belongs to the piece before it, unless that is a match         */
    TN_SPLIT_MERGED_WITH_NEXT,     /* a match belongs to the piece after it, unless that is a match          */
    TN_SPLIT_CONTIGUOUS            /* matches that follow each other are one piece                           */
} tn_split_behavior;

typedef struct tn_split_options {
    tn_split_behavior behavior;
    bool invert;  /* matches and the text between them change places         */
    bool literal; /* the pattern is a text                                   */
    bool general; /* PCRE2 even for a pattern with code of its own (tests)   */
} tn_split_options;

/* Characters that a step without a pattern looks for, each by itself. */
typedef enum tn_split_kind { TN_SPLIT_NUMBERS, TN_SPLIT_PUNCTUATION } tn_split_kind;

/* A splitter without steps: the text is one piece. *opened is NULL on failure. Errors: MEMORY. */
tenebra_code tn_splitter_open(tn_splitter **opened, tenebra_error *error);
void tn_splitter_close(tn_splitter *splitter); /* NULL is allowed */

/* Add a step: a pattern (options may be NULL), characters of a kind (numbers: \p{N} of Unicode 16; punctuation:
 * tn_unicode_is_punctuation), or a space before every piece that does not begin with one. `name` appears in errors. Errors: FORMAT
 * (not a pattern), UNSUPPORTED (more than 16 steps), MEMORY. */
tenebra_code tn_splitter_add_pattern(tn_splitter *splitter, const char *pattern, size_t length, const tn_split_options *options,
                                     const char *name, tenebra_error *error);
tenebra_code tn_splitter_add_kind(tn_splitter *splitter, tn_split_kind kind, tn_split_behavior behavior, const char *name,
                                  tenebra_error *error);
tenebra_code tn_splitter_add_space(tn_splitter *splitter, const char *name, tenebra_error *error);

/* Both in one: a splitter of one pattern. *opened is NULL on failure. */
tenebra_code tn_splitter_open_pattern(const char *pattern, size_t length, const tn_split_options *options, const char *name,
                                      tn_splitter **opened, tenebra_error *error);

/* Called with each piece, never empty, in order. */
typedef tenebra_code tn_piece_fn(void *user, const char *piece, size_t length, tenebra_error *error);

/* Splits `text`, valid UTF-8. Errors: those of `each`; LIMIT (a pattern that backtracks too often), MEMORY. Threads:
 * any. */
tenebra_code tn_split(const tn_splitter *splitter, const char *text, size_t length, tn_piece_fn *each,
                      void *user, tenebra_error *error);

/* Bytes of the piece at the start of `text` (length >= 1) under TN_PATTERN_QWEN2, and under TN_PATTERN_GPT2. */
size_t tn_split_qwen2(const char *text, size_t length);
size_t tn_split_gpt2(const char *text, size_t length);

#endif
