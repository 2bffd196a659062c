/* hops: a synthetic benchmark of questions that require a chain of looks (data/hops.h), in the layout of lettered rows.
 * Domains are the families of questions; topics are "<family>-<looks>". */
#include "data/hops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tn_dataset_split splits[] = {
    { .name = "train" },
    { .name = "dev", .aliases = { "validation", "val" } },
    { .name = "test" },
    { 0 },
};

/* A kind of question: which family, how many looks. */
typedef struct hop_kind {
    const tn_hops_family *family;
    size_t steps;
} hop_kind;

enum { KINDS_MAX = 8 * TN_HOPS_STEPS_MAX, CELL_MIN = 20, SIDE_UNIT = 28, SIDE_MAX = 1120 };

/* Every word of the list must be a family. */
static tenebra_code check_families(const char *list, tenebra_error *error)
{
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        size_t length = strcspn(at, ",");
        const tn_hops_family *family = tn_hops_families;
        while (family->name != NULL && (strlen(family->name) != length || strncmp(family->name, at, length) != 0))
            family++;
        if (family->name == NULL)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "families",
                           "there is no family '%.*s'; choose among arrows, nearest, count, list, "
                           "sight, detail, marks", (int)(length < 40 ? length : 40), at);
    }
    return TENEBRA_OK;
}

static tenebra_code list_kinds(const tn_make *make, hop_kind kinds[KINDS_MAX], size_t *count, tenebra_error *error)
{
    TN_TRY(check_families(make->families, error));
    *count = 0;
    for (const tn_hops_family *family = tn_hops_families; family->name != NULL; family++) {
        if (family->steps_default == 0 && make->families == NULL)
            continue;
        size_t last = make->steps_max > 0 ? make->steps_max : family->steps_default > 0 ? family->steps_default : family->steps_max;
        for (size_t steps = 1; steps <= family->steps_max && tn_is_listed(make->families, family->name); steps++)
            if (steps >= make->steps_min && steps <= last)
                kinds[(*count)++] = (hop_kind){ family, steps };
    }
    if (*count == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "hops", "none of the chosen families has questions of %zu to %zu looks",
                       make->steps_min, make->steps_max);
    return TENEBRA_OK;
}

/* Whether the images of a family have marks, which are too fine for the usual size. */
static bool has_marks(const hop_kind *kind)
{
    return kind->family->draw == tn_hops_draw_detail || kind->family->draw == tn_hops_draw_marks;
}

static tenebra_code read_sizes(const tn_make *make, const hop_kind *kinds, size_t count, size_t *size, size_t *grid,
                               tenebra_error *error)
{
    bool marks = false;
    for (size_t i = 0; i < count; i++)
        marks |= has_marks(&kinds[i]);
    *size = make->size > 0 ? make->size : (marks ? 8 : 4) * SIDE_UNIT;
    *grid = make->grid > 0 ? make->grid : *size >= 4 * SIDE_UNIT ? 4 : *size / SIDE_UNIT;
    if (*size % SIDE_UNIT != 0 || *size > SIDE_MAX)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "size", "must be a multiple of %d up to %d", SIDE_UNIT, SIDE_MAX);
    if (*grid < TN_HOPS_GRID_MIN || *grid > TN_HOPS_GRID_MAX || *size / *grid < CELL_MIN)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "grid",
                       "%zu objects per side do not fit into %zu pixels; choose %d to %d, with at least %d pixels each", *grid, *size,
                       TN_HOPS_GRID_MIN, TN_HOPS_GRID_MAX, CELL_MIN);
    if (marks && *size / *grid < TN_HOPS_MARKED_CELL_MIN)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "size",
                       "marks require %d pixels per object; choose --size %zu or larger, or leave it out", TN_HOPS_MARKED_CELL_MIN,
                       TN_HOPS_MARKED_CELL_MIN * *grid);
    return TENEBRA_OK;
}

/* A random number generator for one purpose. */
static tn_rng stream(uint64_t seed, const char *split, uint64_t purpose, uint64_t index)
{
    const uint64_t words[] = { seed, (unsigned char)split[0], purpose, index };
    uint64_t state = 0;
    for (size_t i = 0; i < 4; i++) {
        tn_rng mixed = tn_rng_seed(state ^ words[i]);
        state = tn_rng_next(&mixed);
    }
    return tn_rng_seed(state);
}

/* The kind of a sample. Every run of `count` samples contains each kind once, in random order. */
static hop_kind choose_kind(const tn_make *make, const char *split, size_t index, const hop_kind *kinds, size_t count)
{
    unsigned char order[KINDS_MAX];
    for (size_t i = 0; i < count; i++)
        order[i] = (unsigned char)i;
    tn_rng rng = stream(make->seed, split, 1, index / count);
    tn_hops_shuffle(&rng, order, count, count);
    return kinds[order[index % count]];
}

/* Refuses families with only one wording if there are many wordings, hints in varied images, and regions if no family has any. */
static tenebra_code check_variety(const tn_make *make, const hop_kind *kinds, size_t count, tenebra_error *error)
{
    for (size_t i = 0; i < count && make->wordings != TN_WORDINGS_ONE; i++)
        if (strcmp(kinds[i].family->name, "arrows") != 0 && strcmp(kinds[i].family->name, "sight") != 0)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "wordings", "questions of the family '%s' have only one wording; choose "
                           "among arrows and sight with --families", kinds[i].family->name);
    for (size_t i = 0; i < count && make->varied; i++)
        if (has_marks(&kinds[i]))
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "varied", "varied images have no room for the marks of the family '%s'; "
                           "leave out --varied", kinds[i].family->name);
    bool looks = false;
    for (size_t i = 0; i < count; i++)
        looks |= kinds[i].family->draw == tn_hops_draw_detail;
    if (make->regions && !looks)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "regions", "no question of the chosen families requires a second look at a region; "
                       "choose --families detail, or leave out --regions");
    if (make->varied && make->hints > 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "varied", "varied images cannot have hints; leave out --hints");
    return TENEBRA_OK;
}

/* The maximum number of looks that a question of the family requires in this set. */
static size_t most_steps(const tn_hops_family *family, const hop_kind *kinds, size_t count)
{
    size_t most = 0;
    for (size_t i = 0; i < count; i++)
        if (kinds[i].family == family && kinds[i].steps > most)
            most = kinds[i].steps;
    return most;
}

/* The number of brief steps: as many as the longest question of `arrows`, even if the set does not have this family. */
static size_t count_brief(const hop_kind *kinds, size_t count)
{
    size_t most = most_steps(tn_hops_families, kinds, count);
    return most > 0 ? most : tn_hops_families[0].steps_default;
}

/* Every question of a family with such steps has the same number of brief steps; the goal is repeated. So the same number of
 * latent steps can replace them. */
static void stay_at_goal(const hop_kind *kinds, size_t count, const hop_kind *kind, tn_hops_puzzle *puzzle)
{
    size_t longest = 0, own = kind->steps + (size_t)kind->family->brief;
    for (size_t i = 0; i < count; i++)
        if (kinds[i].family->brief >= 0 && kinds[i].steps + (size_t)kinds[i].family->brief > longest)
            longest = kinds[i].steps + (size_t)kinds[i].family->brief;
    for (size_t i = own; i < longest; i++) {
        size_t used = strlen(puzzle->brief);
        snprintf(puzzle->brief + used, sizeof puzzle->brief - used, ".\n%s", puzzle->options[puzzle->answer]);
    }
}

/* The cell that the solution looks at. */
static bool add_region(tn_made *made, const tn_hops_puzzle *puzzle, bool brief)
{
    tn_sample_region *region = tn_strings_take(&made->strings, sizeof *region);
    double grid = (double)puzzle->scene.grid;
    if (region == NULL)
        return false;
    double left = (double)(puzzle->goal % puzzle->scene.grid), top = (double)(puzzle->goal / puzzle->scene.grid);
    *region = (tn_sample_region){ { left / grid, top / grid, (left + 1) / grid, (top + 1) / grid }, puzzle->look_after[brief] };
    made->sample.regions = region;
    made->sample.region_count = 1;
    return true;
}

/* Copies the puzzle's words into the sample. */
static bool fill(tn_made *made, const tn_hops_puzzle *puzzle, const tn_make *make, const hop_kind *kind, const char *split,
                 size_t index)
{
    bool brief = make->brief && puzzle->brief[0] != '\0';
    tn_sample *sample = &made->sample;
    char id[96], image[128], topic[32], label[] = { (char)('A' + puzzle->answer), '\0' };
    snprintf(topic, sizeof topic, "%s-%zu", kind->family->name, kind->steps);
    snprintf(id, sizeof id, "%s-%s-%zu", topic, split, index);
    snprintf(image, sizeof image, "data/images/%s.png", id);
    const char **options = tn_strings_take(&made->strings, TN_HOPS_OPTIONS_MAX * sizeof *options);
    const char **images = tn_strings_take(&made->strings, sizeof *images);
    bool fits = options != NULL && images != NULL;
    const struct {
        const char **target, *text;
    } texts[] = {
        { &sample->id, id },
        { &sample->question, puzzle->question },
        { &sample->rationale, brief ? puzzle->brief : puzzle->rationale },
        { &sample->label, label },
        { &sample->topic, topic },
        { &sample->category, topic },
        { &sample->split, split },
        { &sample->domain, kind->family->name },
        { fits ? &images[0] : &sample->task, image },
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts && fits; i++)
        fits = (*texts[i].target = tn_strings_copy(&made->strings, texts[i].text, strlen(texts[i].text))) != NULL;
    for (size_t i = 0; i < puzzle->option_count && fits; i++)
        fits = (options[i] = tn_strings_copy(&made->strings, puzzle->options[i], strlen(puzzle->options[i]))) != NULL;
    sample->solution = sample->rationale;
    sample->context = sample->lecture = sample->subject = sample->grade = sample->skill = sample->task = "";
    sample->options = options;
    sample->option_count = puzzle->option_count;
    sample->answer = puzzle->answer;
    sample->images = images;
    sample->image_count = 1;
    return fits && (!make->regions || !puzzle->looks || add_region(made, puzzle, brief));
}

static tenebra_code make(const tn_make *make, const char *split, size_t index, tn_made *made, tenebra_error *error)
{
    *made = (tn_made){ 0 };
    hop_kind kinds[KINDS_MAX];
    size_t count, grid;
    if (strcmp(split, splits[0].name) != 0 && strcmp(split, splits[1].name) != 0 && strcmp(split, splits[2].name) != 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "hops", "has no split '%.40s'", split);
    TN_TRY(list_kinds(make, kinds, &count, error));
    TN_TRY(check_variety(make, kinds, count, error));
    TN_TRY(read_sizes(make, kinds, count, &made->size, &grid, error));
    hop_kind kind = choose_kind(make, split, index, kinds, count);
    tn_rng rng = stream(make->seed, split, 2, index), brush = stream(make->seed, split, 3, index);
    tn_hops_puzzle puzzle;
    if (!tn_hops_draw(&rng, kind.family, grid, kind.steps, split, &puzzle))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, kind.family->name,
                       "questions of %zu looks do not fit a grid of %zu x %zu objects; lower --hops or choose a larger "
                       "--grid", kind.steps, grid, grid);
    tn_rng tongue = stream(make->seed, split, 4, index);
    if (make->wordings != TN_WORDINGS_ONE)
        tn_hops_vary(&tongue, make->wordings, count_brief(kinds, count), &puzzle);
    else if (kind.family->brief >= 0)
        stay_at_goal(kinds, count, &kind, &puzzle);
    if (make->varied)
        made->size = tn_hops_varied_size(&brush);
    made->pixels = malloc(3 * made->size * made->size);
    if (made->pixels == NULL || !fill(made, &puzzle, make, &kind, split, index)) {
        tn_made_free(made);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "hops", "no memory for an image");
    }
    if (make->varied)
        tn_hops_paint_varied(&brush, &puzzle.scene, made->size, made->pixels);
    else
        tn_hops_paint(&brush, &puzzle.scene, make->hints, made->size, made->pixels);
    return TENEBRA_OK;
}

const tn_dataset tn_dataset_hops = {
    .name = "hops",
    .summary = "synthetic: chains of looks at coloured shapes with arrows; 'tenebra data make hops'",
    .splits = splits,
    .read = tn_rows_read,
    .parse = tn_rows_parse,
    .make = make,
};
