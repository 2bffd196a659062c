/* The regions of an image that a solution looks at: member "regions" of a row. */
#include "data/dataset.h"

/* Reads a list of four numbers, 0 <= left < right <= 1, 0 <= top < bottom <= 1. */
static bool read_box(const json_t *list, double box[4])
{
    if (!json_is_array(list) || json_array_size(list) != 4)
        return false;
    for (size_t i = 0; i < 4; i++) {
        if (!json_is_number(json_array_get(list, i)))
            return false;
        box[i] = json_number_value(json_array_get(list, i));
        if (!(box[i] >= 0 && box[i] <= 1))
            return false;
    }
    return box[0] < box[2] && box[1] < box[3];
}

/* `pieces`: number of steps of the rationale; `least`: `after` of the region before it. */
static tenebra_code read_region(const json_t *member, size_t pieces, size_t least, tn_sample_region *region, const char *where,
                                tenebra_error *error)
{
    static const char *const known[] = { "box", "after", NULL };
    const json_t *after = json_object_get(member, "after");
    if (!json_is_object(member) || !read_box(json_object_get(member, "box"), region->box))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "a member of \"regions\" must have a \"box\": [left, top, right, bottom] in "
                       "parts of the image, with left < right and top < bottom in 0..1");
    json_t *object = (json_t *)(uintptr_t)member;
    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at))
        if (!tn_json_is_known(json_object_iter_key(at), known))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "a member of \"regions\" has \"%.60s\"; only \"box\" and \"after\" are "
                           "known", json_object_iter_key(at));
    bool given = after != NULL && !json_is_null(after);
    if (given && (!json_is_integer(after) || json_integer_value(after) < 0 || (uint64_t)json_integer_value(after) > pieces))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"after\" of a region must be a number of steps, of which the rationale "
                       "has %zu", pieces);
    region->after = given ? (size_t)json_integer_value(after) : least;
    return region->after >= least ? TENEBRA_OK
                                  : tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"regions\" must be in the order of \"after\"");
}

static tenebra_code count_pieces(const tn_sample *sample, size_t *count, tenebra_error *error)
{
    tn_steps steps;
    TN_TRY(tn_steps_split(&steps, sample->rationale != NULL ? sample->rationale : "", 0, error));
    *count = steps.pieces;
    tn_steps_free(&steps);
    return TENEBRA_OK;
}

tenebra_code tn_data_regions(tn_data *data, const json_t *row, tn_sample *sample, const char *where, tenebra_error *error)
{
    const json_t *list = json_object_get(row, "regions");
    size_t count = json_array_size(list), pieces;
    if (list == NULL || json_is_null(list) || (json_is_array(list) && count == 0))
        return TENEBRA_OK;
    if (!json_is_array(list) || count > TN_DATA_REGIONS_MAX)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"regions\" must be a list of at most %d objects", TN_DATA_REGIONS_MAX);
    if (sample->image_count == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "has \"regions\", but no image");
    tn_sample_region *regions = tn_strings_take(&data->strings, count * sizeof *regions);
    if (regions == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, where, "no memory for the row");
    TN_TRY(count_pieces(sample, &pieces, error));
    for (size_t i = 0; i < count; i++)
        TN_TRY(read_region(json_array_get(list, i), pieces, i > 0 ? regions[i - 1].after : 0, &regions[i], where, error));
    sample->regions = regions;
    sample->region_count = count;
    return TENEBRA_OK;
}

json_t *tn_regions_write(const tn_sample *sample)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sample->region_count; i++) {
        const tn_sample_region *region = &sample->regions[i];
        const double *box = region->box;
        json_array_append_new(list, json_pack("{s:[f, f, f, f], s:I}", "box", box[0], box[1], box[2], box[3], "after",
                                              (json_int_t)region->after));
    }
    if (json_array_size(list) == sample->region_count)
        return list;
    json_decref(list);
    return NULL;
}
