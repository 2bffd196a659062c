#include "report/answers.h"

#include "base/checked.h"
#include "report/heat.h"
#include "report/markup.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_MOST = 16 << 10, STEPS_MOST = 64, PICTURES_MOST = 64, CELLS_MOST = 1 << 20 };

/* Copies members that are numbers. */
static void copy_numbers(json_t *to, const json_t *from, const char *const *names)
{
    for (; *names != NULL; names++) {
        json_t *value = json_object_get(from, *names);
        if (json_is_number(value))
            json_object_set(to, *names, value);
    }
}

/* ----------------------------------------------------------------- maps -- */

/* A record's images: the number of embeddings of each, and the question's image that it shows (PICTURES_MOST: none). */
typedef struct grids {
    size_t rows[PICTURES_MOST], columns[PICTURES_MOST], source[PICTURES_MOST], count;
    bool full; /* an allocation failed, so something is missing */
} grids;

static bool read_size(const json_t *value, size_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > CELLS_MOST)
        return false;
    *out = (size_t)json_integer_value(value);
    return true;
}

static void read_grids(grids *g, const json_t *record)
{
    const json_t *pictures = json_object_get(record, "pictures");
    g->count = 0;
    g->full = false;
    for (size_t i = 0; i < json_array_size(pictures) && g->count < PICTURES_MOST; i++) {
        const json_t *row = json_array_get(pictures, i);
        size_t at = g->count, cells;
        if (!read_size(json_array_get(row, 2), &g->rows[at]) || !read_size(json_array_get(row, 3), &g->columns[at]) ||
            !tn_size_mul(g->rows[at], g->columns[at], &cells) || cells > CELLS_MOST)
            return;
        const json_t *source = json_array_get(row, 4);
        bool named = json_is_integer(source) && json_integer_value(source) >= 0 && json_integer_value(source) < PICTURES_MOST;
        g->source[at] = named ? (size_t)json_integer_value(source) : json_array_size(row) > 4 ? PICTURES_MOST : at;
        g->count++;
    }
}

/* `count` numbers from index `first` of a list; NULL if they are missing or without memory (g->full). The caller frees
 * it. */
static double *read_scores(grids *g, const json_t *list, size_t first, size_t count)
{
    if (json_array_size(list) < first + count)
        return NULL;
    double *scores = malloc(count * sizeof *scores);
    g->full |= scores == NULL;
    for (size_t i = 0; i < count && scores != NULL; i++) {
        const json_t *value = json_array_get(list, first + i);
        scores[i] = json_is_number(value) ? json_number_value(value) : 0;
    }
    return scores;
}

/* Scores of the neutral prompt for image i of an answer. The neutral prompt has only the question's images, in order.
 * NULL if there are none. The caller frees it. */
static double *read_neutral(const json_t *list, grids *g, size_t i)
{
    size_t first = 0;
    for (size_t source = 0; source < g->source[i]; source++) {
        size_t at = 0;
        while (at < g->count && g->source[at] != source)
            at++;
        if (at == g->count)
            return NULL;
        first += g->rows[at] * g->columns[at];
    }
    return read_scores(g, list, first, g->rows[i] * g->columns[i]);
}

static json_t *heat_json(grids *g, const double *values, size_t cells)
{
    json_t *map = tn_heat_json(values, cells);
    g->full |= map == NULL;
    return map != NULL ? map : json_null();
}

/* [raw, border-masked, relative] of image i; overwrites `scores`. */
static json_t *map_json(grids *g, size_t i, double *scores, const double *neutral)
{
    size_t cells = g->rows[i] * g->columns[i];
    json_t *raw = heat_json(g, scores, cells), *masked = json_null(), *relative = json_null();
    double *ratio = malloc(cells * sizeof *ratio);
    g->full |= ratio == NULL;
    if (ratio != NULL && neutral != NULL && tn_heat_relative(ratio, scores, neutral, cells))
        relative = heat_json(g, ratio, cells);
    if (tn_heat_mask_border(scores, g->rows[i], g->columns[i]))
        masked = heat_json(g, scores, cells);
    free(ratio);
    return json_pack("[o, o, o]", raw, masked, relative);
}

/* Maps of all images for which the list has scores; NULL if there are none. */
static json_t *maps_json(const json_t *list, const json_t *neutral_list, grids *g)
{
    json_t *maps = json_array();
    size_t first = 0;
    for (size_t i = 0; i < g->count; i++) {
        size_t cells = g->rows[i] * g->columns[i];
        double *scores = read_scores(g, list, first, cells);
        if (scores == NULL)
            break;
        double *neutral = read_neutral(neutral_list, g, i);
        json_array_append_new(maps, map_json(g, i, scores, neutral));
        free(neutral);
        free(scores);
        first += cells;
    }
    if (json_array_size(maps) > 0)
        return maps;
    json_decref(maps);
    return NULL;
}

/* The map of the neutral prompt for each image, null if an image has none; NULL if no image has one. */
static json_t *neutral_json(const json_t *list, grids *g)
{
    json_t *maps = json_array();
    bool any = false;
    for (size_t i = 0; i < g->count; i++) {
        double *scores = read_neutral(list, g, i);
        json_array_append_new(maps, scores != NULL ? heat_json(g, scores, g->rows[i] * g->columns[i]) : json_null());
        any |= scores != NULL;
        free(scores);
    }
    if (any)
        return maps;
    json_decref(maps);
    return NULL;
}

static void add_maps(json_t *to, const char *name, json_t *maps)
{
    if (maps != NULL)
        json_object_set_new(to, name, maps);
}

/* ---------------------------------------------------------------- steps -- */

/* [image, x0, y0, x1, y1, score] of the picks that are complete. */
static json_t *picks_json(const json_t *picks)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(picks); i++) {
        const json_t *pick = json_array_get(picks, i);
        bool whole = json_array_size(pick) == 7;
        for (size_t k = 0; k < 7 && whole; k++)
            whole = json_is_number(json_array_get(pick, k));
        if (whole)
            json_array_append_new(list, json_pack("[O, O, O, O, O, O]", json_array_get(pick, 0), json_array_get(pick, 3),
                                                  json_array_get(pick, 4), json_array_get(pick, 5), json_array_get(pick, 6),
                                                  json_array_get(pick, 2)));
    }
    return list;
}

/* [text, probability, token id] of the tokens that the head reads. */
static json_t *lens_json(const json_t *lens)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(lens); i++) {
        json_t *row = json_array_get(lens, i), *text = json_array_get(row, 1), *p = json_array_get(row, 2);
        if (json_is_integer(json_array_get(row, 0)) && (json_is_string(text) || json_is_null(text)) && json_is_number(p))
            json_array_append_new(list, json_pack("[O, O, O]", text, p, json_array_get(row, 0)));
    }
    return list;
}

static json_t *step_json(const json_t *step, const json_t *neutral, grids *g)
{
    static const char *const numbers[] = { "attention_ratio", "attention_focus", "hidden_norm", "hidden_cosine", "ms", NULL };
    json_t *row = json_object();
    copy_numbers(row, step, numbers);
    json_object_set_new(row, "picks", picks_json(json_object_get(step, "picks")));
    json_object_set_new(row, "lens", lens_json(json_object_get(step, "lens")));
    add_maps(row, "maps", maps_json(json_object_get(step, "scores"), neutral, g));
    return row;
}

/* [rows, columns] of embeddings, then the part of the original image that they cover: x, y, width, height in pixels. Records of older
 * versions do not say where that part begins. */
static json_t *grid_json(const json_t *picture)
{
    static const size_t order[] = { 2, 3, 5, 6, 0, 1 };
    json_t *grid = json_array();
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const json_t *value = json_array_get(picture, order[i]);
        if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > INT32_MAX)
            break;
        json_array_append(grid, (json_t *)(uintptr_t)value);
    }
    return grid;
}

/* Errors: false without memory. */
static bool add_steps(json_t *answer, const json_t *record)
{
    const json_t *steps = json_object_get(record, "steps"), *neutral = json_object_get(record, "neutral");
    json_t *list = json_array(), *grid_list = json_array(), *sources = json_array();
    grids g;
    read_grids(&g, record);
    for (size_t i = 0; i < json_array_size(steps) && i < STEPS_MOST; i++)
        json_array_append_new(list, step_json(json_array_get(steps, i), neutral, &g));
    for (size_t i = 0; i < g.count; i++) {
        json_array_append_new(grid_list, grid_json(json_array_get(json_object_get(record, "pictures"), i)));
        json_array_append_new(sources, g.source[i] < PICTURES_MOST ? json_integer((json_int_t)g.source[i]) : json_null());
    }
    json_object_set_new(answer, "steps", list);
    json_object_set_new(answer, "grids", grid_list);
    json_object_set_new(answer, "sources", sources);
    add_maps(answer, "maps", maps_json(json_object_get(record, "prompt_scores"), neutral, &g));
    add_maps(answer, "neutral", neutral_json(neutral, &g));
    return !g.full;
}

/* --------------------------------------------------------------- answer -- */

/* Text of at most TEXT_MOST bytes, truncated between characters. */
static json_t *text_json(const json_t *value)
{
    const char *text = json_string_value(value);
    size_t length = json_string_length(value), at = 0;
    if (text == NULL || length <= TEXT_MOST)
        return tn_markup_string(text);
    while (at < TEXT_MOST) {
        int32_t code_point;
        at += tn_utf8_read(text + at, length - at, &code_point);
    }
    tn_text cut = { 0 };
    json_t *string = NULL;
    if (tn_text_append(&cut, text, at, NULL) == TENEBRA_OK && tn_text_append(&cut, " [...]", 6, NULL) == TENEBRA_OK)
        string = tn_markup_string(cut.data);
    tn_text_free(&cut);
    return string;
}

/* The texts of the passes before the last one; false without memory. */
static bool add_turns(json_t *answer, const json_t *record)
{
    const json_t *turns = json_object_get(record, "turns");
    json_t *list = json_array();
    bool fits = list != NULL;
    for (size_t i = 0; i + 1 < json_array_size(turns) && i < STEPS_MOST; i++)
        fits = fits && json_array_append_new(list, text_json(json_object_get(json_array_get(turns, i), "text"))) == 0;
    if (json_array_size(list) > 0)
        fits = fits && json_object_set(answer, "turns", list) == 0;
    json_decref(list);
    return fits;
}

/* [x0, y0, x1, y1] of the regions that were shown, in the order of the requests. */
static void add_regions(json_t *answer, const json_t *record)
{
    const json_t *regions = json_object_get(record, "regions");
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(regions) && i < STEPS_MOST; i++) {
        const json_t *region = json_array_get(regions, i);
        bool whole = json_array_size(region) == 6;
        for (size_t k = 2; k < 6 && whole; k++)
            whole = json_is_number(json_array_get(region, k));
        if (whole)
            json_array_append_new(list, json_pack("[O, O, O, O]", json_array_get(region, 2), json_array_get(region, 3),
                                                  json_array_get(region, 4), json_array_get(region, 5)));
    }
    if (json_array_size(list) > 0)
        json_object_set(answer, "regions", list);
    json_decref(list);
}

/* A small picture in hexadecimal digits, if it is whole. */
static bool is_picture(const json_t *value, size_t side)
{
    const char *text = json_string_value(value);
    return text != NULL && side > 0 && json_string_length(value) == side * side * 6 && strspn(text, "0123456789abcdef") == side * side * 6;
}

/* {"note": text} or {"side", "seen": picture, "steps": [[step, picture, error]]}, with numbers "error" and "other_error". Errors: false
 * without memory. */
static bool add_reconstruction(json_t *answer, const json_t *record)
{
    enum { SIDE_MOST = 64 };
    static const char *const numbers[] = { "error", "other_error", NULL };
    const json_t *made = json_object_get(record, "reconstruction"), *steps = json_object_get(record, "steps");
    json_t *note = json_object_get(made, "note"), *seen = json_object_get(made, "seen");
    if (!json_is_object(made))
        return true;
    json_int_t side = json_integer_value(json_object_get(made, "side"));
    size_t size = side > 0 && side <= SIDE_MOST ? (size_t)side : 0;
    json_t *list = json_array(), *row = json_pack("{s:I, s:O}", "side", (json_int_t)size, "steps", list);
    for (size_t i = 0; i < json_array_size(steps) && i < STEPS_MOST; i++) {
        const json_t *step = json_object_get(json_array_get(steps, i), "reconstruction");
        json_t *rgb = json_object_get(step, "rgb"), *error = json_object_get(step, "error");
        if (is_picture(rgb, size) && json_is_number(error))
            json_array_append_new(list, json_pack("[I, O, O]", (json_int_t)i, rgb, error));
    }
    json_decref(list);
    copy_numbers(row, made, numbers);
    if (is_picture(seen, size))
        json_object_set(row, "seen", seen);
    if (json_is_string(note))
        json_object_set_new(row, "note", text_json(note));
    return row != NULL && json_object_set_new(answer, "reconstruction", row) == 0;
}

json_t *tn_answer_json(const json_t *record, size_t way)
{
    static const char *const numbers[] = { "choice", "ar_steps", "ar_steps_injected", "passes", "crops", "calls", "invalid_calls",
                                           "prompt_tokens", "image_tokens", "positions_computed", NULL };
    static const char *const tokens[] = { "sampled", "latent", "injected", NULL };
    static const char *const times[] = { "vision", "prefill", "latent", "decode", "total", NULL };
    const json_t *correct = json_object_get(record, "correct"), *error = json_object_get(record, "error");
    json_t *answer = json_pack("{s:I, s:{}, s:{}}", "way", (json_int_t)way, "tokens", "ms");
    if (answer == NULL)
        return NULL;
    bool fits = true;
    if (json_is_true(json_object_get(record, "failed")))
        fits = json_object_set_new(answer, "failed", json_is_object(error) ? text_json(json_object_get(error, "sentence"))
                                                                           : json_string("")) == 0;
    else if (json_is_boolean(correct))
        fits = json_object_set_new(answer, "ok", json_boolean(json_is_true(correct))) == 0;
    fits = fits && json_object_set_new(answer, "text", text_json(json_object_get(record, "text"))) == 0 &&
           json_object_set_new(answer, "finish", text_json(json_object_get(record, "finish"))) == 0;
    copy_numbers(answer, record, numbers);
    copy_numbers(json_object_get(answer, "tokens"), json_object_get(record, "tokens"), tokens);
    copy_numbers(json_object_get(answer, "ms"), json_object_get(record, "ms"), times);
    add_regions(answer, record);
    if (fits && add_turns(answer, record) && add_steps(answer, record) && add_reconstruction(answer, record))
        return answer;
    json_decref(answer);
    return NULL;
}
