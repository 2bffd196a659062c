/* The table of reconstructions from latent steps: errors from the steps of the question itself, and from those of another question. */
#include "eval/table_make.h"

#include <stddef.h>

/* A mean over questions, with half of its 95 % interval (normal approximation). */
typedef struct mean {
    double sum, square;
    size_t count;
} mean;

static void add(mean *m, double value)
{
    m->sum += value;
    m->square += value * value;
    m->count++;
}

static double middle_of(const mean *m)
{
    return m->count > 0 ? m->sum / (double)m->count : (double)NAN;
}

static double half_of(const mean *m)
{
    double n = (double)m->count, middle = middle_of(m);
    return m->count > 1 ? TN_Z95 * sqrt(fmax(m->square / n - middle * middle, 0) / (n - 1)) : (double)NAN;
}

typedef struct reconstruct_row {
    const char *name;
    size_t answers;
    double own, own_half, other, other_half, difference, difference_half;
    json_t *nearer;
} reconstruct_row;

#define AT(field) offsetof(reconstruct_row, field)
static const tn_table_field fields[] = {
    { "method", "text", TN_FIELD_TEXT, AT(name) },
    { "answers", "count", TN_FIELD_COUNT, AT(answers) },
    { "error", "number", TN_FIELD_NUMBER, AT(own) },
    { "+-", "number", TN_FIELD_NUMBER, AT(own_half) },
    { "another question's", "number", TN_FIELD_NUMBER, AT(other) },
    { "+- ", "number", TN_FIELD_NUMBER, AT(other_half) },
    { "difference", "number", TN_FIELD_NUMBER, AT(difference) },
    { "+-  ", "number", TN_FIELD_NUMBER, AT(difference_half) },
    { "own is nearer", "share", TN_FIELD_CELL, AT(nearer) },
    { NULL, NULL, TN_FIELD_TEXT, 0 }
};
#undef AT

json_t *tn_table_reconstructions(const tn_table_groups *groups)
{
    tn_table_maker maker;
    tn_table_start(&maker, "reconstruction", "The image reconstructed from the latent steps alone, and from those of another question");
    tn_table_columns(&maker, fields);
    for (size_t g = 0; g < groups->count; g++) {
        const tn_table_group *group = &groups->items[g];
        mean own = { 0 }, other = { 0 }, difference = { 0 };
        size_t nearer = 0;
        for (size_t i = 0; i < group->count; i++)
            for (size_t k = 0; k < group->sets[i]->count; k++) {
                const tn_result *item = &group->sets[i]->items[k];
                if (!isfinite(item->reconstruction))
                    continue;
                add(&own, item->reconstruction);
                if (!isfinite(item->other_reconstruction))
                    continue;
                add(&other, item->other_reconstruction);
                add(&difference, item->other_reconstruction - item->reconstruction);
                nearer += item->reconstruction < item->other_reconstruction;
            }
        const reconstruct_row row = { group->name, own.count, middle_of(&own), half_of(&own), middle_of(&other), half_of(&other),
                                      middle_of(&difference), half_of(&difference), tn_cell_rate(nearer, other.count) };
        if (own.count > 0)
            tn_table_add(&maker, fields, &row);
        else
            json_decref(row.nearer);
    }
    tn_table_note(&maker, "Mean squared error in units of the variance of training images (1: the mean image), with 95 % intervals over "
                          "questions. If the difference is near 0, the picture does not come from the latent steps.");
    return tn_table_finish(&maker);
}
