/* Trains byte-level BPE vocabularies. */
#ifndef TN_TEXT_BPE_TRAIN_H
#define TN_TEXT_BPE_TRAIN_H

#include "base/json.h"

/* Counts the pieces of texts, then merges. */
typedef struct tn_bpe_trainer tn_bpe_trainer;

/* Pieces are those of TN_PATTERN_QWEN2; `lower`: of text in lower case. *opened must be closed also on failure, when
 * it may be NULL. Errors: MEMORY. */
tenebra_code tn_bpe_trainer_open(bool lower, tn_bpe_trainer **opened, tenebra_error *error);
void tn_bpe_trainer_close(tn_bpe_trainer *trainer);

/* Counts the pieces of a text, in normalisation form C and with U+FFFD for ill-formed parts, as in encoding. Texts are
 * separate: no piece spans two. Errors: LIMIT (2^30 different pieces, 2^31 bytes of them), MEMORY. Threads: one at a
 * time. */
tenebra_code tn_bpe_trainer_add(tn_bpe_trainer *trainer, const char *text, size_t length, tenebra_error *error);

/* Merges the most frequent pair of neighbouring tokens repeatedly, until there are `size` tokens including the 256
 * bytes and the added ones, or no pair occurs `least` times. Among equally frequent pairs, the one with smaller ids
 * comes first, as in Hugging Face tokenizers. Source: Sennrich, Haddow, Birch, arXiv:1508.07909, section 3.2.
 *   added   names of control tokens after the trained ones, ends with NULL; decoding with skip_special leaves out
 *           the first `special` of them
 * Errors: ARGUMENT (size below the 256 bytes and the added tokens), LIMIT (more than TN_VOCABULARY_LIMIT), MEMORY. */
tenebra_code tn_bpe_trainer_run(tn_bpe_trainer *trainer, size_t size, size_t least, const char *const *added,
                                size_t special, tenebra_error *error);

/* After a run: the number of tokens, and the value of a tokenizer.json that tn_tokenizer_read and Hugging Face
 * `tokenizers` load (the caller owns it; NULL without memory). */
size_t tn_bpe_trainer_size(const tn_bpe_trainer *trainer);
json_t *tn_bpe_trainer_json(const tn_bpe_trainer *trainer);

#endif
