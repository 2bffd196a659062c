/* Byte-level BPE tokenizers as Hugging Face publishes them.
 *
 *     tn_tokenizer *tokenizer = tn_tokenizer_open("model", &error);
 *     tn_ids ids = { 0 };
 *     tn_text_span spans[] = { { "<|im_start|>user\n", 17, true }, { question, length, false } };
 *     tn_tokenizer_encode(tokenizer, spans, 2, &ids, &error);
 *
 * An open tokenizer is read-only: any number of threads may share it. */
#ifndef TN_TEXT_TOKENIZER_H
#define TN_TEXT_TOKENIZER_H

#include "base/notes.h"
#include "text/ids.h"
#include "text/utf8.h"

typedef struct tn_tokenizer tn_tokenizer;

/* Whether `directory` has one. Threads: any. */
bool tn_tokenizer_is_in(const char *directory);

/* Reads `directory`: tokenizer.json, or else vocab.json + merges.txt with the added tokens of
 * tokenizer_config.json (added_tokens_decoder) or added_tokens.json and the split pattern of Qwen2.
 * Files of more than 64 MiB are refused. Errors: IO, FORMAT, UNSUPPORTED (a part that is not
 * implemented is named, never guessed), LIMIT, MEMORY. *tokenizer is NULL on failure. Close with tn_tokenizer_close. */
tenebra_code tn_tokenizer_open(const char *directory, tn_tokenizer **tokenizer, tenebra_error *error);

/* The same from a tokenizer.json in memory; `name` appears in errors. */
tenebra_code tn_tokenizer_read(const void *json, size_t length, const char *name, tn_tokenizer **tokenizer, tenebra_error *error);

/* Adds what the tokenizer's files in `directory` say and nothing here uses: keys of tokenizer.json, tokenizer_config.json and
 * special_tokens_map.json, and tokens that they and added_tokens.json name and the vocabulary does not have.
 * Errors: IO, FORMAT, LIMIT, MEMORY. */
tenebra_code tn_tokenizer_note(const tn_tokenizer *tokenizer, const char *directory, tn_notes *notes, tenebra_error *error);

/* NULL is allowed. */
void tn_tokenizer_close(tn_tokenizer *tokenizer);

/* ------------------------------------------------------------- encoding -- */

/* Whether added tokens are recognised in a stretch of text: not in text of users, so it can never become a control token. A
 * stretch may be the token that marks an image; the ids then record its position (tn_ids.pictures). */
typedef enum tn_text_control { TN_CONTROL_NONE, TN_CONTROL_TOKENS, TN_CONTROL_PICTURE } tn_text_control;

/* A stretch of text from one source. */
typedef struct tn_text_span {
    const char *text; /* any bytes; may be NULL when length is 0 */
    size_t length;
    tn_text_control control;
} tn_text_span;

/* Appends the ids of the spans, read as ONE text: normalising, splitting and merging run across
 * their borders as if it were one string. An added token is recognised only if it is completely inside one control
 * span. Ill-formed UTF-8 is read as U+FFFD for each maximal ill-formed part.
 * Text of users without added tokens therefore gets the ids of the reference library. On failure
 * *out is as before. Errors: LIMIT (64 MiB of text), MEMORY. Threads: any. */
tenebra_code tn_tokenizer_encode(const tn_tokenizer *tokenizer, const tn_text_span *spans, size_t span_count,
                                 tn_ids *out, tenebra_error *error);

/* The ids that the tokenizer puts before a whole prompt, such as a token for its beginning: those of the post-processor's template
 * for one text. tn_tokenizer_encode does not add them. Borrowed; often empty. */
const tn_ids *tn_tokenizer_front(const tn_tokenizer *tokenizer);

/* ------------------------------------------------------------- decoding -- */

/* Appends the text of `ids`: their bytes in a row, U+FFFD for each maximal ill-formed part.
 * skip_special leaves special tokens out. Errors: MISMATCH (no such id), MEMORY. Threads: any. */
tenebra_code tn_tokenizer_decode(const tn_tokenizer *tokenizer, const int32_t *ids, size_t count,
                                 bool skip_special, tn_text *out, tenebra_error *error);

/* Decoding as the ids come. Start with { .tokenizer = ..., .skip_special = ... }. */
typedef struct tn_text_stream {
    const tn_tokenizer *tokenizer;
    bool skip_special;
    char held[4]; /* start of a character whose end has not come yet */
    size_t held_length;
} tn_text_stream;

/* Appends what `id` completes; a character in parts is held back until its last part. All that is
 * appended, with what tn_text_stream_end adds, equals tn_tokenizer_decode of all ids.
 * Errors: MISMATCH, MEMORY. Threads: one at a time a stream. */
tenebra_code tn_text_stream_push(tn_text_stream *stream, int32_t id, tn_text *out, tenebra_error *error);
tenebra_code tn_text_stream_end(tn_text_stream *stream, tn_text *out, tenebra_error *error);

/* ------------------------------------------------------------ vocabulary -- */

/* Number of tokens; ids are 0 .. size - 1. */
size_t tn_tokenizer_size(const tn_tokenizer *tokenizer);

/* The id of the token whose text is `text`, e.g. "<|image_pad|>"; -1 if there is none. */
int32_t tn_tokenizer_find(const tn_tokenizer *tokenizer, const char *text);

/* The bytes of a token, not zero-terminated and not always valid UTF-8; owned by the tokenizer. NULL and *length = 0 if there
 * is no such id. */
const char *tn_tokenizer_bytes(const tn_tokenizer *tokenizer, int32_t id, size_t *length);

/* Whether the id is an added token / one that skip_special leaves out. */
bool tn_tokenizer_is_added(const tn_tokenizer *tokenizer, int32_t id);
bool tn_tokenizer_is_special(const tn_tokenizer *tokenizer, int32_t id);

/* Adds a token after the last one and returns its id, for models that were trained with tokens that their directory does not
 * list. Call it before the tokenizer is shared; at most about 1000 times.
 * Errors: ARGUMENT (empty, not UTF-8), MISMATCH (exists), LIMIT, MEMORY. */
tenebra_code tn_tokenizer_add(tn_tokenizer *tokenizer, const char *text, bool special, int32_t *id,
                              tenebra_error *error);

#endif
