#include "model/layout.h"

#include "base/checked.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t tn_network_members(const tn_network *network, size_t group)
{
    return group == 0 ? 1 : network->sizes[network->layout->groups[group].count];
}

/* The pointer to the members of a group in the network's struct. */
static void **array_of(const tn_network *network, size_t group)
{
    return (void **)((uintptr_t)network + network->layout->groups[group].pointer);
}

static void *slot_of(const tn_network *network, const tn_layout_row *row, size_t number)
{
    unsigned char *base = (unsigned char *)(uintptr_t)network;
    if (row->group > 0)
        base = (unsigned char *)*array_of(network, row->group) + number * network->layout->groups[row->group].bytes;
    return base + row->offset;
}

/* --------------------------------------------------------------- memory -- */

/* The number of values of all vectors of the network. */
static bool count_vectors(const tn_network *network, size_t *total)
{
    *total = 1;
    for (const tn_layout_row *row = network->layout->rows; row->name != NULL; row++) {
        size_t size;
        bool fits = tn_size_mul(row->parts, tn_network_members(network, row->group), &size);
        if (tn_role_is_matrix(row->role))
            continue;
        for (size_t i = 0; i < TN_LAYOUT_RANK && row->dims[i] != TN_SIZE_NONE; i++)
            fits = fits && tn_size_mul(size, network->sizes[row->dims[i]], &size);
        if (!fits || !tn_size_add(*total, size, total))
            return false;
    }
    return true;
}

tenebra_code tn_network_open(tn_network *network, tenebra_error *error)
{
    size_t total;
    bool whole = true;
    for (size_t group = 1; group < TN_LAYOUT_GROUPS; group++)
        if (network->layout->groups[group].bytes > 0) {
            *array_of(network, group) = calloc(tn_network_members(network, group), network->layout->groups[group].bytes);
            whole = whole && *array_of(network, group) != NULL;
        }
    if (count_vectors(network, &total))
        network->vectors = calloc(total, sizeof *network->vectors);
    if (!whole || network->vectors == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, NULL, "no memory for %zu layers", tn_network_members(network, 1));
    return TENEBRA_OK;
}

void tn_network_close(tn_network *network)
{
    for (size_t group = 1; network->layout != NULL && group < TN_LAYOUT_GROUPS; group++)
        if (network->layout->groups[group].bytes > 0) {
            free(*array_of(network, group));
            *array_of(network, group) = NULL;
        }
    free(network->vectors);
    free(network->matrices);
    network->vectors = network->matrices = NULL;
}

/* --------------------------------------------------------------- places -- */

static const char *pattern_of(const tn_layout_row *row, size_t which)
{
    return which == 0 ? row->name : which <= TN_LAYOUT_OTHERS ? row->others[which - 1] : NULL;
}

static bool print_name(const tn_layout_row *row, size_t which, size_t number, char name[TN_PLACE_NAME])
{
    const char *pattern = pattern_of(row, which), *hole = pattern != NULL ? strstr(pattern, "%zu") : NULL;
    if (hole == NULL)
        snprintf(name, TN_PLACE_NAME, "%s", pattern != NULL ? pattern : "");
    else
        snprintf(name, TN_PLACE_NAME, "%.*s%zu%s", (int)(hole - pattern), pattern, number, hole + strlen("%zu"));
    return pattern != NULL;
}

bool tn_place_name(const tn_place *place, size_t which, char name[TN_PLACE_NAME])
{
    return print_name(place->row, which, place->number, name);
}

/* Whether the name matches the pattern, with a number in place of %zu, or (*module) the pattern up to its last '.'. */
static bool fits(const char *pattern, const char *name, size_t length, size_t *number, bool *module)
{
    const char *hole = strstr(pattern, "%zu"), *rest = hole != NULL ? hole + strlen("%zu") : pattern;
    size_t front = hole != NULL ? (size_t)(hole - pattern) : 0, at = front;
    *number = 0;
    if (length < front || memcmp(name, pattern, front) != 0)
        return false;
    for (; hole != NULL && at < length && at - front < 9 && name[at] >= '0' && name[at] <= '9'; at++)
        *number = 10 * *number + (size_t)(name[at] - '0');
    if (hole != NULL && (at == front || (name[front] == '0' && at - front > 1)))
        return false;
    size_t left = length - at;
    const char *dot = strrchr(rest, '.');
    *module = left != strlen(rest);
    return (!*module || (dot != NULL && left == (size_t)(dot - rest))) && memcmp(name + at, rest, left) == 0;
}

bool tn_layout_rename(const tn_layout *layout, const char *name, size_t length, size_t to, char other[TN_PLACE_NAME], size_t *from)
{
    for (const tn_layout_row *row = layout->rows; row->name != NULL; row++)
        for (size_t which = 0; pattern_of(row, which) != NULL; which++) {
            size_t number;
            bool module;
            if (!fits(pattern_of(row, which), name, length, &number, &module))
                continue;
            if (from != NULL)
                *from = which;
            bool found = print_name(row, to, number, other);
            if (found && module)
                *strrchr(other, '.') = '\0';
            return found;
        }
    return false;
}

/* The shape from the sizes. If the number of rows is not fixed (the vocabulary), it is taken from the slot once that is filled. */
static void measure(tn_place *place)
{
    const tn_layout_row *row = place->row;
    const size_t *sizes = place->network->sizes;
    bool matrix = tn_role_is_matrix(row->role);
    for (place->rank = 0; place->rank < TN_LAYOUT_RANK && row->dims[place->rank] != TN_SIZE_NONE; place->rank++)
        place->shape[place->rank] = sizes[row->dims[place->rank]];
    if (matrix && place->shape[0] == 0)
        place->shape[0] = ((const tn_weight *)place->slot)->matrix.rows;
    place->shape[0] *= row->parts;
    place->rows = matrix ? place->shape[0] : 1;
    place->cols = matrix ? 1 : place->shape[0];
    for (size_t i = 1; i < place->rank; i++)
        place->cols *= place->shape[i];
}

enum { LAST = 1 << 30 };

tenebra_code tn_network_each(tn_network *network, tn_place_fn *visit, void *user, tenebra_error *error)
{
    const tn_layout_row *rows = network->layout->rows;
    size_t begin = 0, end, order = 0; /* consecutive rows of one group: in the forward, its members follow each other */
    for (; rows[begin].name != NULL; begin = end) {
        size_t members = tn_network_members(network, rows[begin].group);
        for (end = begin; rows[end].name != NULL && rows[end].group == rows[begin].group;)
            end++;
        for (size_t r = begin; r < end; r++)
            for (size_t number = 0; number < members; number++) {
                tn_place place = { .network = network, .row = &rows[r], .number = number,
                                   .slot = slot_of(network, &rows[r], number),
                                   .order = rows[r].last ? LAST + r : order + number * (end - begin) + (r - begin) };
                print_name(&rows[r], 0, number, place.name);
                measure(&place);
                TN_TRY(visit(user, &place, error));
            }
        order += members * (end - begin);
    }
    return TENEBRA_OK;
}

void tn_place_read(const tn_place *place, tn_real *values)
{
    const tn_weight *weights = place->slot;
    const tn_vector *vectors = place->slot;
    bool matrix = tn_place_is_matrix(place);
    size_t share = place->rows * place->cols / place->row->parts;
    for (size_t part = 0; part < place->row->parts; part++, values += share) {
        if (!matrix)
            memcpy(values, tn_vector_values(&vectors[part]), share * sizeof *values);
        for (size_t row = 0; matrix && row < weights[part].matrix.rows; row++)
            tn_matrix_unpack(&weights[part].matrix, row, 0, place->cols, values + row * place->cols);
    }
}

/* ------------------------------------------------------------- training -- */

static bool is_trained(const tn_layout_row *row, const void *slot)
{
    const tn_weight *weights = slot;
    const tn_vector *vectors = slot;
    bool trained = false;
    for (size_t part = 0; part < row->parts && !trained; part++) {
        if (!tn_role_is_matrix(row->role)) {
            trained = tn_vector_has_grad(&vectors[part]);
            continue;
        }
        trained = tn_weight_has_grad(&weights[part]);
        for (const tn_lora *lora = weights[part].lora; lora != NULL && !trained; lora = lora->next)
            trained = tn_weight_has_grad(&lora->a) || tn_weight_has_grad(&lora->b);
    }
    return trained;
}

bool tn_place_is_trained(const tn_place *place)
{
    return is_trained(place->row, place->slot);
}

bool tn_network_is_trained(const tn_network *network, size_t group, size_t number)
{
    for (const tn_layout_row *row = network->layout->rows; row->name != NULL; row++) {
        size_t first = group == TN_ANY ? 0 : number, end = group == TN_ANY ? tn_network_members(network, row->group) : number + 1;
        for (size_t n = first; (group == TN_ANY || group == row->group) && n < end; n++)
            if (is_trained(row, slot_of(network, row, n)))
                return true;
    }
    return false;
}
