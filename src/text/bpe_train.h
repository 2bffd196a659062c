/* Training of byte-level BPE vocabularies. */
#ifndef TN_TEXT_BPE_TRAIN_H
#define TN_TEXT_BPE_TRAIN_H

#include "base/json.h"

/* Counts the pieces of texts, then merges. */
typedef struct tn_bpe_trainer tn_bpe_trainer;

/* Pieces are those of TN_PATTERN_QWEN2, of text in lower case with `lower`. *trainer is to be closed also on failure; NULL is allowed
 * there. Errors: MEMORY. */
tenebra_code tn_bpe_trainer_open(bool lower, tn_bpe_trainer **trainer, tenebra_error *error);
void tn_bpe_trainer_close(tn_bpe_trainer *trainer);

/* Counts the pieces of a text, in normalisation form C and with U+FFFD for ill-formed parts, as when it is encoded.
 * Texts are separate: no piece spans two. Errors: LIMIT (2^30 different pieces, 2^31 bytes of them), MEMORY.
 * Threads: one at a time. */
tenebra_code tn_bpe_trainer_add(tn_bpe_trainer *trainer, const char *text, size_t length, tenebra_error *error);

/* Merges the most frequent pair of neighbouring tokens, again and again, until there are `size` tokens with the 256
 * bytes and the added ones, or no pair occurs `least` times. Among equally frequent pairs the one of the smaller ids
 * goes first, as in Hugging Face tokenizers. Source: Sennrich, Haddow, Birch, arXiv:1508.07909, section 3.2.
 *   added   names of control tokens behind the trained ones, ends with NULL; the first `special` of them are left
 *           out by decoding with skip_special
 * Errors: ARGUMENT (size below the 256 bytes and the added tokens), LIMIT (more than TN_VOCABULARY_LIMIT), MEMORY. */
tenebra_code tn_bpe_trainer_run(tn_bpe_trainer *trainer, size_t size, size_t least, const char *const *added,
                                size_t special, tenebra_error *error);

/* After a run: the number of tokens, and the value of a tokenizer.json that tn_tokenizer_read and Hugging Face
 * `tokenizers` load (the caller owns it; NULL without memory). */
size_t tn_bpe_trainer_size(const tn_bpe_trainer *trainer);
json_t *tn_bpe_trainer_json(const tn_bpe_trainer *trainer);

#endif
