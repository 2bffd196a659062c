/* Pairs are counted once; a merge then changes only the words that contain its pair. */
#include "text/bpe_train.h"

#include "text/bpe_train_parts.h"
#include "text/normalize.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------- bytes as tokens -- */

/* In the alphabet of byte-level vocabularies (vocabulary.h), as code points. */
static int32_t character_of(unsigned byte)
{
    if ((byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE)
        return (int32_t)byte;
    return 0x100 + (int32_t)(byte <= 0x20 ? byte : byte <= 0xA0 ? byte - 0x7F + 33 : 67);
}

/* Ids 0 .. 255 are the bytes in the order of their characters, as in all vocabularies of this kind. */
static tenebra_code add_bytes(tn_bpe_trainer *trainer, tenebra_error *error)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        int32_t id = 0, c = character_of(byte);
        for (unsigned other = 0; other < 256; other++)
            id += character_of(other) < c;
        trainer->byte_ids[byte] = id;
        trainer->tokens[id] = (tn_trained){ .length = (uint32_t)tn_utf8_write(c, trainer->byte_names[id]) };
    }
    for (size_t id = 0; id < 256; id++) {
        trainer->tokens[id].offset = (uint32_t)trainer->names.length;
        TN_TRY(tn_text_append(&trainer->names, trainer->byte_names[id], trainer->tokens[id].length, error));
    }
    trainer->token_count = 256;
    return TENEBRA_OK;
}

tenebra_code tn_bpe_trainer_open(bool lower, tn_bpe_trainer **opened, tenebra_error *error)
{
    tn_bpe_trainer *trainer = *opened = calloc(1, sizeof *trainer);
    if (trainer == NULL || (trainer->tokens = malloc(256 * sizeof *trainer->tokens)) == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "vocabulary", "no memory to train it");
    trainer->token_capacity = 256;
    trainer->lower = lower;
    TN_TRY(add_bytes(trainer, error));
    return tn_splitter_open_pattern(TN_PATTERN_QWEN2, strlen(TN_PATTERN_QWEN2), NULL, "pattern", &trainer->splitter, error);
}

void tn_bpe_trainer_close(tn_bpe_trainer *trainer)
{
    if (trainer == NULL)
        return;
    tn_splitter_close(trainer->splitter);
    for (size_t i = 0; i < trainer->pair_slots; i++)
        free(trainer->pairs[i].words);
    free(trainer->pairs);
    free(trainer->words);
    free(trainer->word_table);
    free(trainer->symbols);
    free(trainer->tokens);
    free(trainer->merges);
    free(trainer->heap);
    free(trainer->risen);
    free(trainer->name_table);
    tn_text_free(&trainer->names);
    tn_text_free(&trainer->pool);
    free(trainer);
}

/* Doubles a full array of items of `size` bytes. */
tenebra_code tn_trainer_grow(void **items, size_t *capacity, size_t count, size_t size, tenebra_error *error)
{
    if (count < *capacity)
        return TENEBRA_OK;
    size_t wanted = tn_max(64, 2 * *capacity), bytes;
    void *grown = tn_size_mul(wanted, size, &bytes) ? realloc(*items, bytes) : NULL;
    if (grown == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "vocabulary", "no memory to train it");
    *items = grown;
    *capacity = wanted;
    return TENEBRA_OK;
}

/* ------------------------------------------------------------- counting -- */

enum { WORD_LIMIT = 1 << 30 };

static uint64_t hash_bytes(const char *bytes, size_t length)
{
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001B3u;
    return hash ^ hash >> 29;
}

/* The slot of a word in the table, or the slot for it. */
static size_t word_slot(const tn_bpe_trainer *trainer, const char *bytes, size_t length)
{
    size_t mask = trainer->word_slots - 1, slot = hash_bytes(bytes, length) & mask;
    while (trainer->word_table[slot] >= 0) {
        const tn_trained_word *word = &trainer->words[trainer->word_table[slot]];
        if (word->length == length && memcmp(trainer->pool.data + word->start, bytes, length) == 0)
            break;
        slot = (slot + 1) & mask;
    }
    return slot;
}

static tenebra_code grow_word_table(tn_bpe_trainer *trainer, tenebra_error *error)
{
    if (2 * trainer->word_count < trainer->word_slots)
        return TENEBRA_OK;
    size_t slots = tn_max(1024, 2 * trainer->word_slots);
    int32_t *table = malloc(slots * sizeof *table);
    if (table == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "vocabulary", "no memory to count words");
    memset(table, 0xFF, slots * sizeof *table);
    free(trainer->word_table);
    trainer->word_table = table;
    trainer->word_slots = slots;
    for (size_t i = 0; i < trainer->word_count; i++) {
        const tn_trained_word *word = &trainer->words[i];
        table[word_slot(trainer, trainer->pool.data + word->start, word->length)] = (int32_t)i;
    }
    return TENEBRA_OK;
}

static tenebra_code count_piece(void *user, const char *piece, size_t length, tenebra_error *error)
{
    tn_bpe_trainer *trainer = user;
    TN_TRY(grow_word_table(trainer, error));
    size_t slot = word_slot(trainer, piece, length);
    if (trainer->word_table[slot] >= 0) {
        trainer->words[trainer->word_table[slot]].count++;
        return TENEBRA_OK;
    }
    if (trainer->word_count >= WORD_LIMIT || trainer->pool.length + length > INT32_MAX)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "vocabulary", "too many different words to train on");
    TN_TRY(tn_trainer_grow((void **)&trainer->words, &trainer->word_capacity, trainer->word_count,
                           sizeof *trainer->words, error));
    size_t start = trainer->pool.length;
    TN_TRY(tn_text_append(&trainer->pool, piece, length, error));
    trainer->word_table[slot] = (int32_t)trainer->word_count;
    trainer->words[trainer->word_count++] = (tn_trained_word){ .start = start, .length = length, .count = 1 };
    return TENEBRA_OK;
}

tenebra_code tn_bpe_trainer_add(tn_bpe_trainer *trainer, const char *text, size_t length, tenebra_error *error)
{
    tn_text valid = { 0 }, marks = { 0 };
    tn_marked normal = { 0 }, small = { 0 };
    tenebra_code code = tn_text_append_lossy(&valid, text, length, error);
    if (code == TENEBRA_OK && valid.length > 0)
        code = tn_text_fill(&marks, 0, valid.length, error);
    if (code == TENEBRA_OK && valid.length > 0)
        code = tn_normalize_nfc(&normal, valid.data, marks.data, valid.length, error);
    if (code == TENEBRA_OK && trainer->lower)
        code = tn_normalize_lower(&small, normal.text.data, normal.marks.data, normal.text.length, error);
    const tn_text *last = trainer->lower ? &small.text : &normal.text;
    if (code == TENEBRA_OK && last->length > 0)
        code = tn_split(trainer->splitter, last->data, last->length, count_piece, trainer, error);
    tn_marked_free(&small);
    tn_marked_free(&normal);
    tn_text_free(&marks);
    tn_text_free(&valid);
    return code;
}
