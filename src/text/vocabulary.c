#include "text/vocabulary.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

/* Room in the tables for tokens that are added after loading. */
enum { ADDED_ROOM = 1024 };

static size_t hash_bytes(const char *bytes, size_t length)
{
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a, 64 bits */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001B3u;
    return (size_t)(hash ^ hash >> 32);
}

static size_t hash_pair(int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9u; /* the finaliser of SplitMix64 */
    key = (key ^ key >> 27) * 0x94D049BB133111EBu;
    return (size_t)(key ^ key >> 31);
}

/* Slots for `count` entries: a power of two that is at most half full. */
static size_t slots_for(size_t count)
{
    size_t slots = 16;
    while (slots < 2 * count)
        slots *= 2;
    return slots;
}

tenebra_code tn_vocabulary_open(tn_vocabulary *vocabulary, size_t count, size_t merges, const char *name,
                                tenebra_error *error)
{
    memset(vocabulary, 0, sizeof *vocabulary);
    if (count == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "the vocabulary is empty");
    if (count > TN_VOCABULARY_LIMIT || merges > TN_VOCABULARY_LIMIT)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, name, "%zu tokens and %zu merges: at most %zu are read",
                       count, merges, TN_VOCABULARY_LIMIT);
    vocabulary->count = vocabulary->capacity = count;
    vocabulary->name_slots = slots_for(count + ADDED_ROOM);
    vocabulary->merge_slots = slots_for(merges);
    vocabulary->tokens = calloc(count, sizeof *vocabulary->tokens);
    vocabulary->names = malloc(vocabulary->name_slots * sizeof *vocabulary->names);
    vocabulary->merges = malloc(vocabulary->merge_slots * sizeof *vocabulary->merges);
    if (vocabulary->tokens == NULL || vocabulary->names == NULL || vocabulary->merges == NULL) {
        tn_vocabulary_close(vocabulary);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory for %zu tokens", count);
    }
    for (size_t i = 0; i < vocabulary->name_slots; i++)
        vocabulary->names[i] = -1;
    for (size_t i = 0; i < vocabulary->merge_slots; i++)
        vocabulary->merges[i].left = -1;
    return TENEBRA_OK;
}

void tn_vocabulary_close(tn_vocabulary *vocabulary)
{
    free(vocabulary->tokens);
    free(vocabulary->names);
    free(vocabulary->merges);
    free(vocabulary->added);
    free(vocabulary->added_nodes[0]);
    free(vocabulary->added_nodes[1]);
    tn_text_free(&vocabulary->pool);
    memset(vocabulary, 0, sizeof *vocabulary);
}

/* The slot that holds these bytes, or the empty slot for them. */
static size_t name_slot(const tn_vocabulary *vocabulary, const char *bytes, size_t length)
{
    size_t mask = vocabulary->name_slots - 1;
    for (size_t slot = hash_bytes(bytes, length) & mask;; slot = (slot + 1) & mask) {
        int32_t id = vocabulary->names[slot];
        if (id < 0)
            return slot;
        const tn_token *token = &vocabulary->tokens[id];
        if (token->length == length && memcmp(vocabulary->pool.data + token->offset, bytes, length) == 0)
            return slot;
    }
}

int32_t tn_vocabulary_find(const tn_vocabulary *vocabulary, const char *bytes, size_t length)
{
    return length == 0 ? -1 : vocabulary->names[name_slot(vocabulary, bytes, length)];
}

tenebra_code tn_vocabulary_put(tn_vocabulary *vocabulary, size_t id, const char *bytes, size_t length,
                               const char *name, tenebra_error *error)
{
    char shown[TN_SHOWN_SIZE], first[TN_SHOWN_SIZE];
    if (length == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "token %zu is empty", id);
    if (id >= vocabulary->count)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name,
                       "token \"%s\" has the id %zu, but %zu tokens must have the ids from 0 without a gap",
                       tn_text_show(bytes, length, shown), id, vocabulary->count);
    size_t slot = name_slot(vocabulary, bytes, length);
    int32_t other = vocabulary->names[slot];
    if (other >= 0 && (size_t)other == id)
        return TENEBRA_OK;
    if (other >= 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "token \"%s\" has two ids, %d and %zu",
                       tn_text_show(bytes, length, shown), (int)other, id);
    tn_token *token = &vocabulary->tokens[id];
    if (token->known)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "id %zu belongs to two tokens, \"%s\" and \"%s\"", id,
                       tn_text_show(vocabulary->pool.data + token->offset, token->length, first),
                       tn_text_show(bytes, length, shown));
    if (length > UINT32_MAX || vocabulary->pool.length > UINT32_MAX - length)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, name, "the tokens have more than 4 GiB of text");
    token->offset = (uint32_t)vocabulary->pool.length;
    TN_TRY(tn_text_append(&vocabulary->pool, bytes, length, error));
    token->length = (uint32_t)length;
    token->known = true;
    vocabulary->names[slot] = (int32_t)id;
    return TENEBRA_OK;
}

/* ---------------------------------------------------------------- merges -- */

static size_t merge_slot(const tn_vocabulary *vocabulary, int32_t left, int32_t right)
{
    size_t mask = vocabulary->merge_slots - 1;
    for (size_t slot = hash_pair(left, right) & mask;; slot = (slot + 1) & mask) {
        const tn_merge *merge = &vocabulary->merges[slot];
        if (merge->left < 0 || (merge->left == left && merge->right == right))
            return slot;
    }
}

const tn_merge *tn_vocabulary_find_merge(const tn_vocabulary *vocabulary, int32_t left, int32_t right)
{
    const tn_merge *merge = &vocabulary->merges[merge_slot(vocabulary, left, right)];
    return merge->left < 0 ? NULL : merge;
}

tenebra_code tn_vocabulary_merge(tn_vocabulary *vocabulary, const char *sum, size_t left_length,
                                 size_t length, const char *name, tenebra_error *error)
{
    size_t rank = vocabulary->merge_count, right_length = length - left_length;
    if (rank >= vocabulary->merge_slots / 2)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, name, "has more merges than announced");
    const char *right = sum + left_length;
    char shown[TN_SHOWN_SIZE], second[TN_SHOWN_SIZE];
    tn_merge merge = { tn_vocabulary_find(vocabulary, sum, left_length),
                       tn_vocabulary_find(vocabulary, right, right_length),
                       tn_vocabulary_find(vocabulary, sum, length), (uint32_t)rank };
    if (merge.left < 0 || merge.right < 0 || merge.merged < 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name,
                       "merge %zu of \"%s\" and \"%s\": the vocabulary lacks %s", rank,
                       tn_text_show(sum, left_length, shown), tn_text_show(right, right_length, second),
                       merge.left < 0 ? "the first" : merge.right < 0 ? "the second" : "their sum");
    size_t slot = merge_slot(vocabulary, merge.left, merge.right);
    if (vocabulary->merges[slot].left >= 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "merge %zu repeats merge %u", rank,
                       (unsigned)vocabulary->merges[slot].rank);
    vocabulary->merges[slot] = merge;
    vocabulary->merge_count++;
    return TENEBRA_OK;
}

/* Whether well-formed UTF-8 contains the byte: text always is. */
static bool occurs(int value)
{
    return value != 0xC0 && value != 0xC1 && value < 0xF5;
}

tenebra_code tn_vocabulary_seal(tn_vocabulary *vocabulary, const char *name, tenebra_error *error)
{
    for (size_t id = 0; id < vocabulary->count; id++)
        if (!vocabulary->tokens[id].known)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "no token has the id %zu, though ids go up to %zu",
                           id, vocabulary->count - 1);
    TN_TRY(tn_vocabulary_index_added(vocabulary, error));
    for (int value = 0; value < 256; value++) {
        char byte = (char)value;
        vocabulary->byte_ids[value] = tn_vocabulary_find(vocabulary, &byte, 1);
        if (vocabulary->byte_ids[value] < 0 && occurs(value))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, name,
                           "no token represents the byte 0x%02X; a byte-level vocabulary has every byte that occurs in text",
                           (unsigned)value);
    }
    return TENEBRA_OK;
}

/* ------------------------------------------------- one token more -- */

static tenebra_code grow(tn_vocabulary *vocabulary, tenebra_error *error)
{
    if (vocabulary->count >= TN_VOCABULARY_LIMIT || 2 * (vocabulary->count + 1) > vocabulary->name_slots)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "vocabulary", "has no room for a token beyond %zu",
                       vocabulary->count);
    if (vocabulary->count == vocabulary->capacity) {
        size_t capacity = vocabulary->capacity + ADDED_ROOM;
        tn_token *tokens = realloc(vocabulary->tokens, capacity * sizeof *tokens);
        if (tokens == NULL)
            return tn_fail(error, TENEBRA_ERROR_MEMORY, "vocabulary", "no memory for %zu tokens", capacity);
        vocabulary->tokens = tokens;
        vocabulary->capacity = capacity;
    }
    vocabulary->tokens[vocabulary->count++] = (tn_token){ 0 };
    return TENEBRA_OK;
}

tenebra_code tn_vocabulary_add(tn_vocabulary *vocabulary, const char *bytes, size_t length, bool special,
                               int32_t *id, tenebra_error *error)
{
    char shown[TN_SHOWN_SIZE];
    int32_t other = tn_vocabulary_find(vocabulary, bytes, length);
    if (other >= 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, "vocabulary", "already has the token \"%s\", id %d",
                       tn_text_show(bytes, length, shown), (int)other);
    TN_TRY(grow(vocabulary, error));
    size_t last = vocabulary->count - 1;
    tenebra_code code = tn_vocabulary_put(vocabulary, last, bytes, length, "vocabulary", error);
    if (code == TENEBRA_OK) {
        code = tn_vocabulary_mark_added(vocabulary, (int32_t)last, special, false, error);
        if (code == TENEBRA_OK && (code = tn_vocabulary_index_added(vocabulary, error)) != TENEBRA_OK)
            vocabulary->added_count--;
        if (code != TENEBRA_OK) /* the newest entry of the table: no other entry was inserted after it */
            vocabulary->names[name_slot(vocabulary, bytes, length)] = -1;
    }
    if (code != TENEBRA_OK) {
        vocabulary->count--;
        return code;
    }
    *id = (int32_t)last;
    return TENEBRA_OK;
}
