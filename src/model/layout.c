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

size_t tn_network_size(const tn_network *network, size_t group, size_t number, size_t size)
{
    return size < TN_SIZE_MEMBER ? network->sizes[size] : network->layout->groups[group].size(network, number, size);
}

/* Whether a member has the tensor of a row. */
static bool has_tensor(const tn_network *network, const tn_layout_row *row, size_t number)
{
    for (size_t i = 0; i < TN_LAYOUT_RANK && row->dims[i] != TN_SIZE_NONE; i++)
        if (row->dims[i] >= TN_SIZE_MEMBER && tn_network_size(network, row->group, number, row->dims[i]) == 0)
            return false;
    return true;
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

/* Adds the number of values of a vector of one member. */
static bool count_vector(const tn_network *network, const tn_layout_row *row, size_t number, size_t *total)
{
    size_t size = row->parts;
    bool fits = true;
    for (size_t i = 0; i < TN_LAYOUT_RANK && row->dims[i] != TN_SIZE_NONE; i++)
        fits = fits && tn_size_mul(size, tn_network_size(network, row->group, number, row->dims[i]), &size);
    return fits && tn_size_add(*total, size, total);
}

/* The number of values of all vectors of the network. */
static bool count_vectors(const tn_network *network, size_t *total)
{
    *total = 1;
    for (const tn_layout_row *row = network->layout->rows; row->name != NULL; row++)
        for (size_t number = 0; !tn_role_is_matrix(row->role) && number < tn_network_members(network, row->group); number++)
            if (!count_vector(network, row, number, total))
                return false;
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

/* The numbers in a name, as many as its pattern has holes. */
enum { HOLES = 2 };

static bool print_name(const tn_layout_row *row, size_t which, const size_t numbers[HOLES], char name[TN_PLACE_NAME])
{
    const char *pattern = pattern_of(row, which), *hole;
    size_t at = 0;
    name[0] = '\0';
    for (size_t i = 0; i < HOLES && pattern != NULL && (hole = strstr(pattern, "%zu")) != NULL; i++) {
        at += (size_t)snprintf(name + at, TN_PLACE_NAME - at, "%.*s%zu", (int)(hole - pattern), pattern, numbers[i]);
        pattern = hole + strlen("%zu");
    }
    if (pattern != NULL)
        snprintf(name + at, TN_PLACE_NAME - at, "%s", pattern);
    return pattern != NULL;
}

/* The numbers in the names of a member. */
static bool print_member(const tn_network *network, const tn_layout_row *row, size_t which, size_t number, char name[TN_PLACE_NAME])
{
    size_t size = network->layout->groups[row->group].inner;
    size_t inner = row->group > 0 && size != TN_SIZE_NONE ? network->sizes[size] : 0;
    return print_name(row, which, inner > 0 ? (size_t[HOLES]){ number / inner, number % inner } : (size_t[HOLES]){ number }, name);
}

bool tn_place_name(const tn_place *place, size_t which, char name[TN_PLACE_NAME])
{
    return print_member(place->network, place->row, which, place->number, name);
}

/* Reads a number of a name, without leading zeros; false if there is none. */
static bool read_number(const char *name, size_t length, size_t *at, size_t *number)
{
    size_t front = *at;
    *number = 0;
    for (; *at < length && *at - front < 9 && name[*at] >= '0' && name[*at] <= '9'; ++*at)
        *number = 10 * *number + (size_t)(name[*at] - '0');
    return *at > front && (name[front] != '0' || *at - front == 1);
}

/* Whether the name matches the pattern, with numbers in place of %zu, or (*module) the pattern up to its last '.'. */
static bool fits(const char *pattern, const char *name, size_t length, size_t numbers[HOLES], bool *module)
{
    const char *rest = pattern, *hole;
    size_t at = 0;
    for (size_t i = 0; i < HOLES && (hole = strstr(rest, "%zu")) != NULL; i++) {
        size_t front = (size_t)(hole - rest);
        if (length - at < front || memcmp(name + at, rest, front) != 0)
            return false;
        at += front;
        if (!read_number(name, length, &at, &numbers[i]))
            return false;
        rest = hole + strlen("%zu");
    }
    size_t left = length - at;
    const char *dot = strrchr(rest, '.');
    *module = left != strlen(rest);
    return (!*module || (dot != NULL && left == (size_t)(dot - rest))) && memcmp(name + at, rest, left) == 0;
}

bool tn_layout_rename(const tn_layout *layout, const char *name, size_t length, size_t to, char other[TN_PLACE_NAME], size_t *from)
{
    for (const tn_layout_row *row = layout->rows; row->name != NULL; row++)
        for (size_t which = 0; pattern_of(row, which) != NULL; which++) {
            size_t numbers[HOLES] = { 0 };
            bool module;
            if (!fits(pattern_of(row, which), name, length, numbers, &module))
                continue;
            if (from != NULL)
                *from = which;
            bool found = print_name(row, to, numbers, other);
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
    bool matrix = tn_role_is_matrix(row->role);
    for (place->rank = 0; place->rank < TN_LAYOUT_RANK && row->dims[place->rank] != TN_SIZE_NONE; place->rank++)
        place->shape[place->rank] = tn_network_size(place->network, row->group, place->number, row->dims[place->rank]);
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
                if (!has_tensor(network, &rows[r], number))
                    continue;
                print_member(network, &rows[r], 0, number, place.name);
                measure(&place);
                TN_TRY(visit(user, &place, error));
            }
        order += members * (end - begin);
    }
    return TENEBRA_OK;
}

size_t tn_place_pool(const tn_place *place)
{
    size_t size = place->row->pooled;
    return size == TN_SIZE_NONE ? 1 : tn_network_size(place->network, place->row->group, place->number, size);
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
