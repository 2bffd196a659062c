/* Matches stored tensors with the slots of the networks, by their layouts. */
#include "model/networks.h"

#include "model/lora_parts.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct matcher {
    tn_networks *networks;
    const tn_store *store;
    tn_match_fn *each;
    void *user;
    bool *used;                 /* one per stored tensor                */
    const tn_stored *embedding; /* once it is found                     */
    const tn_network *network;  /* whose vectors are being filled ...   */
    tn_real *vector_end;        /* ... and where the next one goes      */
    size_t mismatches;
} matcher;

const char *tn_shape_print(size_t rows, size_t cols, char text[TN_SHAPE_TEXT])
{
    if (rows == 0)
        snprintf(text, TN_SHAPE_TEXT, "[vocab_size, %zu]", cols);
    else if (cols == 1)
        snprintf(text, TN_SHAPE_TEXT, "[%zu]", rows);
    else
        snprintf(text, TN_SHAPE_TEXT, "[%zu, %zu]", rows, cols);
    return text;
}

enum { STORED_TEXT = 24 * TN_STORED_RANK_MAX };

static const char *print_stored(const tn_stored *stored, char text[STORED_TEXT])
{
    size_t used = (size_t)snprintf(text, STORED_TEXT, "[");
    for (size_t i = 0; i < stored->rank; i++)
        used += (size_t)snprintf(text + used, STORED_TEXT - used, "%s%zu", i > 0 ? ", " : "", stored->shape[i]);
    snprintf(text + used, STORED_TEXT - used, "]");
    return text;
}

void tn_match_keep_first(void *user, tn_match match, const char *name, const tn_stored *stored, size_t rows,
                       size_t cols)
{
    tenebra_error *first = user;
    char shape[TN_SHAPE_TEXT], found[STORED_TEXT];
    tn_shape_print(rows, cols, shape);
    if (!tn_match_fails(match) || first->code != TENEBRA_OK)
        return;
    if (match == TN_MISSING)
        tn_fail(first, TENEBRA_ERROR_MISMATCH, name, "tensor is missing: %s expected", shape);
    else if (match == TN_UNEXPECTED)
        tn_fail(first, TENEBRA_ERROR_MISMATCH, name, "tensor is not part of this model");
    else
        tn_fail(first, TENEBRA_ERROR_MISMATCH, name, "tensor has the shape %s and type %s; %s of a floating-point type expected",
                print_stored(stored, found), tn_store_type_of(stored->type)->name, shape);
}

static void report(matcher *m, tn_match match, const char *name, const tn_stored *stored, size_t rows, size_t cols)
{
    m->mismatches += tn_match_fails(match);
    if (m->each != NULL)
        m->each(m->user, match, name, stored, rows, cols);
}

const tn_stored *tn_place_stored(const tn_networks *networks, const tn_place *place, const tn_store *store, size_t *which)
{
    char name[TN_PLACE_NAME];
    const tn_stored *found = NULL;
    for (size_t i = 0; found == NULL && tn_place_name(place, i, name); i++) {
        found = tn_wrapped_find(&networks->wrapping, name, store);
        if (which != NULL)
            *which = i;
    }
    return found;
}

/* Whether stored weights have the shape of the place. Trailing dimensions count as one (a convolution kernel is a matrix), and
 * 0 rows match any number; *rows is the tensor's number of rows. Parts of panels must be whole panels. */
static bool fits(const tn_form *form, const tn_place *place, size_t *rows)
{
    size_t parts = place->row->parts;
    if (!form->is_weight || form->rank < 1)
        return false;
    if (!tn_place_is_matrix(place)) {
        bool same = form->rank == place->rank;
        for (size_t i = 0; same && i < place->rank; i++)
            same = form->shape[i] == place->shape[i];
        return same;
    }
    if (form->rank < 2)
        return false;
    const tn_matrix matrix = tn_form_matrix(form, NULL);
    if (*rows == 0)
        *rows = matrix.rows;
    bool cut = form->order == TN_ROWS || parts == 1 || *rows / parts % TN_PANEL == 0;
    return matrix.rows == *rows && matrix.cols == place->cols && *rows > 0 && cut;
}

/* Points the slots to the tensor; vectors are unpacked, because they are small and read often. */
static void fill(matcher *m, const tn_place *place, const tn_stored *stored, size_t rows)
{
    size_t parts = place->row->parts, size = place->cols / parts;
    const tn_matrix first = { stored->form.type, rows / parts, place->cols, stored->data, stored->form.order };
    size_t bytes = tn_place_is_matrix(place) ? tn_matrix_bytes(&first) : tn_dtype_row_bytes(first.type, size);
    if (m->network != place->network)
        m->vector_end = place->network->vectors;
    m->network = place->network;
    for (size_t part = 0; part < parts; part++) {
        tn_matrix matrix = first;
        matrix.data = (const unsigned char *)stored->data + part * bytes;
        if (tn_place_is_matrix(place)) {
            tn_weight_bind((tn_weight *)place->slot + part, matrix, NULL);
            continue;
        }
        tn_dtype_of(matrix.type)->unpack(matrix.data, size, m->vector_end);
        ((tn_vector *)place->slot)[part].size = size;
        tn_vector_bind((tn_vector *)place->slot + part, m->vector_end, NULL);
        m->vector_end += size;
    }
}

static tenebra_code match_one(void *user, const tn_place *place, tenebra_error *error)
{
    matcher *m = user;
    bool head = place->row->role == TN_ROLE_HEAD, matrix = tn_place_is_matrix(place);
    size_t rows = matrix ? place->rows : place->shape[0], cols = matrix ? place->cols : place->rank > 1 ? place->shape[1] : 1;
    size_t which;
    const tn_stored *stored = tn_place_stored(m->networks, place, m->store, &which);
    (void)error;
    if (stored == NULL) {
        if (!head || !m->networks->tied)
            report(m, TN_MISSING, place->name, NULL, rows, cols);
        return TENEBRA_OK;
    }
    bool shared = head && m->embedding != NULL && stored->data == m->embedding->data && stored->bytes == m->embedding->bytes;
    if (place->row->role == TN_ROLE_EMBEDDING)
        m->embedding = stored;
    m->networks->tied = m->networks->tied && (!head || shared); /* a tied head may be in the files as a second name */
    m->networks->renamed |= which == 1;
    for (size_t i = 0; i < tn_store_count(m->store); i++)
        m->used[i] |= tn_store_at(m->store, i) == stored;
    if (shared && m->networks->tied) {
        report(m, TN_SECOND, place->name, stored, rows, cols);
        return TENEBRA_OK;
    }
    bool fit = fits(&stored->form, place, &rows);
    report(m, fit ? TN_MATCHED : TN_MISSHAPEN, place->name, stored, rows, cols);
    if (fit)
        fill(m, place, stored, rows);
    return TENEBRA_OK;
}

/* Finds the words before all names: those before the name of the embedding. */
static tenebra_code find_wrapping(void *user, const tn_place *place, tenebra_error *error)
{
    const matcher *m = user;
    char names[1 + TN_LAYOUT_OTHERS][TN_PLACE_NAME];
    const char *list[1 + TN_LAYOUT_OTHERS];
    size_t count = 0;
    (void)error;
    for (; place->row->role == TN_ROLE_EMBEDDING && count < 1 + TN_LAYOUT_OTHERS && tn_place_name(place, count, names[count]); count++)
        list[count] = names[count];
    if (count > 0)
        tn_wrapping_find(&m->networks->wrapping, m->store, list, count);
    return TENEBRA_OK;
}

/* What a tensor is that is not part of a network. */
static tn_match judge(const matcher *m, const tn_stored *stored)
{
    if (tn_lora_is_part(stored->name))
        return TN_ADAPTER_PART;
    return tn_wrapped_is_alias(stored, m->embedding) || tn_wrapped_is_replaced(stored, m->store) ? TN_SECOND : TN_UNEXPECTED;
}

tenebra_code tn_networks_match(tn_networks *networks, const tn_store *store, tn_match_fn *each, void *user, size_t *mismatches,
                               tenebra_error *error)
{
    size_t stored_count = tn_store_count(store);
    matcher m = { .networks = networks, .store = store, .each = each, .user = user,
                  .used = calloc(stored_count + 1, sizeof *m.used) };
    if (m.used == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, NULL, "no memory for a list of %zu tensors", stored_count);
    networks->adapted = 0;
    tn_networks_each(networks, find_wrapping, &m, NULL);
    tn_networks_each(networks, match_one, &m, NULL);
    for (size_t i = 0; i < stored_count; i++) {
        const tn_stored *stored = tn_store_at(store, i);
        tn_match match = m.used[i] ? TN_MATCHED : judge(&m, stored);
        networks->adapted += match == TN_ADAPTER_PART;
        if (!m.used[i])
            report(&m, match, stored->name, stored, 0, 0);
    }
    free(m.used);
    *mismatches = m.mismatches;
    return TENEBRA_OK;
}

void tn_networks_note(const tn_networks *networks, const tn_model_config *config, tn_notes *notes)
{
    if (config->tie_word_embeddings && !networks->tied)
        tn_notes_add(notes, "config.json", "tie_word_embeddings (true, but the files contain a head)");
}
