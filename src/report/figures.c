#include "report/figures.h"

#include "report/chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SERIES_MAX = 8 };

/* -------------------------------------------------------------- sources -- */

static const json_t *find_table(const json_t *report, const char *name)
{
    const json_t *tables = json_object_get(report, "tables");
    for (size_t i = 0; i < json_array_size(tables); i++) {
        const json_t *table = json_array_get(tables, i);
        const char *found = json_string_value(json_object_get(table, "name"));
        if (found != NULL && strcmp(found, name) == 0)
            return table;
    }
    return NULL;
}

/* Index of a column; SIZE_MAX if there is none. */
static size_t find_column(const json_t *table, const char *name)
{
    const json_t *columns = json_object_get(table, "columns");
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const char *found = json_string_value(json_object_get(json_array_get(columns, i), "name"));
        if (found != NULL && strcmp(found, name) == 0)
            return i;
    }
    return SIZE_MAX;
}

static double number_of(const json_t *value)
{
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static const json_t *cell_of(const json_t *table, size_t row, const char *column)
{
    return json_array_get(json_array_get(json_object_get(table, "rows"), row), find_column(table, column));
}

static size_t row_count(const json_t *table)
{
    return json_array_size(json_object_get(table, "rows"));
}

static bool is_latent(const tn_table_group *group)
{
    for (size_t i = 0; i < group->count; i++)
        for (size_t k = 0; k < group->sets[i]->count; k++)
            if (group->sets[i]->items[k].latent > 0)
                return true;
    return false;
}

void tn_figure_style(const tn_table_groups *groups, size_t group, char style[TN_STYLE_SIZE])
{
    bool latent = is_latent(&groups->items[group]);
    size_t number = 0;
    for (size_t g = 0; g < group; g++)
        number += is_latent(&groups->items[g]) == latent;
    snprintf(style, TN_STYLE_SIZE, "%c%u", latent ? 'a' : 'b', (unsigned)(number % SERIES_MAX));
}

/* Names and styles of all rows; room for charts. */
typedef struct figures {
    tn_markup *out;
    const tn_table_groups *groups;
    const json_t *report;
    char (*styles)[TN_STYLE_SIZE]; /* [groups] */
    tn_chart_row *rows;            /* [groups] */
    tn_chart_series *series;       /* [groups] */
    tn_chart_point *points;        /* [groups * per_series] */
    size_t per_series;
    double *values; /* [most answers of a group] */
} figures;

static void reset_series(figures *f)
{
    for (size_t g = 0; g < f->groups->count; g++)
        f->series[g] = (tn_chart_series){ f->groups->items[g].name, f->styles[g], f->points + g * f->per_series, 0 };
}

/* ------------------------------------------------------------- accuracy -- */

/* Accuracy of guessing, in percent; NaN if it is not known. */
static double guessing(const tn_table_groups *groups)
{
    double sum = 0;
    size_t count = 0;
    for (size_t g = 0; g < groups->count && count == 0; g++)
        for (size_t k = 0; k < groups->items[g].sets[0]->count; k++) {
            const tn_result *item = &groups->items[g].sets[0]->items[k];
            sum += item->options > 0 ? 1 / (double)item->options : 0;
            count++;
        }
    return sum > 0 ? 100 * sum / (double)count : (double)NAN;
}

static void draw_accuracy(figures *f, const json_t *methods)
{
    char note[2200] = "Marks: share of correct answers. Lines: 95% intervals. ";
    tn_table_silence(f->groups, note + strlen(note), sizeof note - strlen(note));
    const tn_chart_head head = { "Accuracy, %", note,
                                 "For each method the share of correct answers with its interval. The table has the numbers." };
    for (size_t g = 0; g < f->groups->count; g++) {
        const json_t *share = cell_of(methods, g, "accuracy");
        f->rows[g] = (tn_chart_row){ .name = f->groups->items[g].name, .style = f->styles[g],
                                     .value = number_of(json_object_get(share, "value")),
                                     .low = number_of(json_object_get(share, "low")),
                                     .high = number_of(json_object_get(share, "high")) };
    }
    tn_chart_intervals(f->out, &head, f->rows, f->groups->count, guessing(f->groups), "guessing");
}

static tn_chart_point share_point(double x, const json_t *share)
{
    return (tn_chart_point){ x, number_of(json_object_get(share, "value")), number_of(json_object_get(share, "low")),
                             number_of(json_object_get(share, "high")) };
}

static void draw_trade(figures *f, const json_t *methods)
{
    static const tn_chart_head head = { "Accuracy, % against autoregressive steps", NULL,
                                        "For each method the mean number of sampled tokens and latent steps, and the accuracy." };
    reset_series(f);
    for (size_t g = 0; g < f->groups->count; g++)
        f->series[g].points[f->series[g].count++] =
            share_point(number_of(cell_of(methods, g, "AR steps")), cell_of(methods, g, "accuracy"));
    if (f->groups->count > 1)
        tn_chart_scatter(f->out, &head, f->series, f->groups->count, "steps per question, mean");
}

static void draw_looks(figures *f, const json_t *looks)
{
    size_t shown = f->groups->count < SERIES_MAX ? f->groups->count : SERIES_MAX;
    tn_chart_head head = { "Accuracy, % by number of looks", f->groups->count > shown ? "The first eight methods." : NULL,
                           "For each method the accuracy by the number of looks that a question requires. The table has the numbers." };
    if (row_count(looks) < 2)
        return;
    reset_series(f);
    for (size_t row = 0; row < row_count(looks) && row < f->per_series; row++)
        for (size_t g = 0; g < shown; g++)
            f->series[g].points[f->series[g].count++] =
                share_point(number_of(cell_of(looks, row, "looks")), cell_of(looks, row, f->groups->items[g].name));
    tn_chart_lines(f->out, &head, f->series, shown, "looks", 100);
}

/* --------------------------------------------------------------- sweeps -- */

/* A row's description without one setting: rows with equal descriptions are one series. The caller frees it; NULL if
 * the row has no such setting. */
static char *sweep_key(const tn_table_group *group, tn_option_meaning setting, bool with_model)
{
    const json_t *entry = group->sets[0]->entry, *settings = json_object_get(entry, "settings");
    const char *name;
    if (tn_table_setting(group, setting, &name) == NULL)
        return NULL;
    json_t *rest = json_copy((json_t *)(uintptr_t)settings);
    json_object_del(rest, name);
    const json_t *manifest = group->sets[0]->manifest, *empty = NULL;
    json_t *key = json_pack("[O?, o, O?, O?]", json_object_get(entry, "method"), rest,
                            with_model ? json_object_get(json_object_get(manifest, "model"), "digest") : empty,
                            with_model ? json_object_get(manifest, "adapters") : empty);
    char *text = key != NULL ? json_dumps(key, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) : NULL;
    json_decref(key);
    return text;
}

static double setting_of(const tn_table_group *group, tn_option_meaning setting)
{
    const char *text = tn_table_setting(group, setting, NULL);
    return text != NULL ? strtod(text, NULL) : (double)NAN;
}

/* Whether "OPTION=..." names the setting, as any method calls it. */
static bool is_setting(const char *text, tn_option_meaning setting)
{
    for (size_t m = 0; tn_methods[m] != NULL; m++) {
        const tn_option *option = tn_option_that_means(tn_methods[m]->options, setting);
        size_t length = option != NULL ? strlen(option->name) : 0;
        if (length > 0 && strncmp(text, option->name, length) == 0 && text[length] == '=')
            return true;
    }
    return false;
}

/* The name of a row without ":SETTING=...", which the axis shows; other names are not changed. */
static char *name_without(const char *name, tn_option_meaning setting)
{
    char *rest = strdup(name);
    for (char *at = rest != NULL ? strchr(rest, ':') : NULL; at != NULL; at = strchr(at + 1, ':'))
        if (is_setting(at + 1, setting)) {
            char *end = at + 1 + strcspn(at + 1, ":");
            memmove(at, end, strlen(end) + 1);
            break;
        }
    return rest;
}

static int compare_points(const void *a, const void *b)
{
    const tn_chart_point *first = a, *second = b;
    return first->x < second->x ? -1 : first->x > second->x;
}

/* Groups the rows into series; returns the number of series with two points or more, which come first. */
static size_t collect_sweep(figures *f, const json_t *methods, tn_option_meaning setting, bool with_model)
{
    size_t count = f->groups->count, found = 0;
    char **keys = calloc(count + 1, sizeof *keys);
    if (keys == NULL)
        return 0;
    reset_series(f);
    for (size_t g = 0; g < count; g++)
        keys[g] = sweep_key(&f->groups->items[g], setting, with_model);
    for (size_t g = 0; g < count; g++) {
        tn_chart_series *series = &f->series[found];
        tn_chart_point *points = f->points + found * f->per_series;
        bool varies = false;
        size_t points_found = 0;
        for (size_t k = g; k < count && keys[g] != NULL; k++)
            if (keys[k] != NULL && (k == g || strcmp(keys[k], keys[g]) == 0) && points_found < f->per_series) {
                points[points_found++] = share_point(setting_of(&f->groups->items[k], setting), cell_of(methods, k, "accuracy"));
                varies |= points[points_found - 1].x != points[0].x;
                if (k > g) {
                    free(keys[k]);
                    keys[k] = NULL;
                }
            }
        if (varies) {
            qsort(points, points_found, sizeof *points, compare_points);
            *series = (tn_chart_series){ f->groups->items[g].name, f->styles[g], points, points_found };
            found++;
        }
    }
    for (size_t g = 0; g < count; g++)
        free(keys[g]);
    free(keys);
    return found;
}

static void draw_sweep(figures *f, const json_t *methods, tn_option_meaning setting, const char *title, const char *x_name)
{
    tn_chart_head head = { title, "Lines join rows that differ only in this.", "Accuracy for each value of the setting." };
    size_t found = collect_sweep(f, methods, setting, true);
    if (found == 0) { /* there may be one model for each number of latent steps */
        found = collect_sweep(f, methods, setting, false);
        head.note = "Lines join rows that differ in this and in the model.";
    }
    char *names[SERIES_MAX];
    found = found < SERIES_MAX ? found : SERIES_MAX;
    for (size_t s = 0; s < found; s++) {
        names[s] = name_without(f->series[s].name, setting);
        f->series[s].name = names[s] != NULL ? names[s] : "";
    }
    if (found > 0)
        tn_chart_lines(f->out, &head, f->series, found, x_name, 100);
    for (size_t s = 0; s < found; s++)
        free(names[s]);
}

/* -------------------------------------------------------- distributions -- */

static int compare_numbers(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;
    return first < second ? -1 : first > second;
}

void tn_figure_five(double *values, size_t count, double five[5])
{
    static const double shares[5] = { 0.05, 0.25, 0.5, 0.75, 0.95 };
    if (count > 0)
        qsort(values, count, sizeof *values, compare_numbers);
    for (size_t i = 0; i < 5; i++) {
        double at = count > 0 ? shares[i] * (double)(count - 1) : 0, rest = at - floor(at);
        size_t below = (size_t)at, above = below + 1 < count ? below + 1 : below;
        five[i] = count > 0 ? values[below] + rest * (values[above] - values[below]) : (double)NAN;
    }
}

typedef double value_fn(const tn_result *item);

static double seconds_of(const tn_result *item) { return item->ms / 1e3; }
static double steps_of(const tn_result *item) { return item->sampled + item->latent; }

static void draw_boxes(figures *f, value_fn *value, const tn_chart_head *head, const char *unit)
{
    bool any = false;
    for (size_t g = 0; g < f->groups->count; g++) {
        const tn_table_group *group = &f->groups->items[g];
        size_t count = 0;
        for (size_t i = 0; i < group->count; i++)
            for (size_t k = 0; k < group->sets[i]->count; k++) {
                double number = value(&group->sets[i]->items[k]);
                if (isfinite(number))
                    f->values[count++] = number;
            }
        f->rows[g] = (tn_chart_row){ .name = group->name, .style = f->styles[g] };
        tn_figure_five(f->values, count, f->rows[g].five);
        any |= count > 0;
    }
    if (any)
        tn_chart_boxes(f->out, head, f->rows, f->groups->count, unit);
}

static void draw_times(figures *f, const json_t *methods)
{
    static const tn_chart_head head = { "Where the time goes, seconds", NULL,
                                        "For each method the mean seconds of vision, prompt, latent steps and decoding." };
    static const char *const columns[TN_CHART_PARTS] = { "vision s", "prefill s", "latent s", "decode s" };
    static const char *const names[TN_CHART_PARTS] = { "vision", "prompt", "latent steps", "decoding" };
    bool any = false;
    for (size_t g = 0; g < f->groups->count; g++) {
        f->rows[g] = (tn_chart_row){ .name = f->groups->items[g].name, .value = number_of(cell_of(methods, g, "seconds")) };
        for (size_t p = 0; p < TN_CHART_PARTS; p++)
            f->rows[g].parts[p] = number_of(cell_of(methods, g, columns[p]));
        any |= isfinite(f->rows[g].value);
    }
    if (any)
        tn_chart_stacks(f->out, &head, f->rows, f->groups->count, names, " s");
}

static void draw_distributions(figures *f, const json_t *methods)
{
    static const tn_chart_head time = { "Time per question, seconds", "Boxes: middle half, with the median. Lines: 5 to 95%.",
                                        "For each method the distribution of seconds over the questions." };
    static const tn_chart_head steps = { "Autoregressive steps per question", "Sampled tokens and latent steps. Boxes as for times.",
                                         "For each method the distribution of steps over the questions." };
    draw_boxes(f, seconds_of, &time, " s");
    draw_boxes(f, steps_of, &steps, "");
    draw_times(f, methods);
}

/* -------------------------------------------------------- latent steps -- */

static void draw_latents(figures *f, const json_t *latents)
{
    static const struct {
        const char *column;
        tn_chart_head head;
    } charts[] = {
        { "attention ratio", { "Attention ratio by step",
                               "Attention to the step's picks over that to all latent text, or to the step's words.",
                               "For each method the mean attention ratio of each step." } },
        { "attention focus", { "Attention focus by step", "One over the entropy of the attention among the picks.",
                               "For each method the mean attention focus of each step." } },
        { "norm", { "Norm of the latent by step", NULL, "For each method the mean norm of the hidden state of each latent step." } },
        { "cosine to the previous", { "Cosine to the previous latent by step", NULL,
                                  "For each method the mean cosine between the hidden states of a step and the previous one." } },
    };
    for (size_t c = 0; c < sizeof charts / sizeof *charts; c++) {
        size_t shown = 0;
        reset_series(f);
        for (size_t row = 0; row < row_count(latents); row++) {
            const char *name = json_string_value(cell_of(latents, row, "method"));
            double x = number_of(cell_of(latents, row, "step")), y = number_of(cell_of(latents, row, charts[c].column));
            size_t g = 0;
            while (g < f->groups->count && (name == NULL || strcmp(name, f->groups->items[g].name) != 0))
                g++;
            if (g < f->groups->count && isfinite(y) && f->series[g].count < f->per_series)
                f->series[g].points[f->series[g].count++] = (tn_chart_point){ x, y, (double)NAN, (double)NAN };
        }
        for (size_t g = 0; g < f->groups->count; g++)
            if (f->series[g].count > 0 && shown < SERIES_MAX)
                f->series[shown++] = f->series[g];
        if (shown > 0)
            tn_chart_lines(f->out, &charts[c].head, f->series, shown, "step", (double)NAN);
    }
}

/* ------------------------------------------------------------------ all -- */

static bool take_room(figures *f)
{
    size_t groups = f->groups->count, most = 1;
    f->per_series = groups + row_count(find_table(f->report, "looks")) + row_count(find_table(f->report, "latents")) + 1;
    for (size_t g = 0; g < groups; g++) {
        size_t answers = 0;
        for (size_t i = 0; i < f->groups->items[g].count; i++)
            answers += f->groups->items[g].sets[i]->count;
        most = answers > most ? answers : most;
    }
    f->styles = calloc(groups + 1, sizeof *f->styles);
    f->rows = calloc(groups + 1, sizeof *f->rows);
    f->series = calloc(groups + 1, sizeof *f->series);
    f->points = calloc(groups + 1, f->per_series * sizeof *f->points);
    f->values = calloc(most, sizeof *f->values);
    return f->styles != NULL && f->rows != NULL && f->series != NULL && f->points != NULL && f->values != NULL;
}

void tn_figures_write(tn_markup *out, const tn_table_groups *groups, const json_t *report)
{
    figures f = { .out = out, .groups = groups, .report = report };
    const json_t *methods = find_table(report, "methods");
    if (take_room(&f) && methods != NULL) {
        for (size_t g = 0; g < groups->count; g++)
            tn_figure_style(groups, g, f.styles[g]);
        draw_accuracy(&f, methods);
        draw_trade(&f, methods);
        draw_looks(&f, find_table(report, "looks"));
        draw_sweep(&f, methods, TN_MEANS_PICKS, "Accuracy, % against K", "embeddings picked at each step (K)");
        draw_sweep(&f, methods, TN_MEANS_LATENT_STEPS, "Accuracy, % against latent steps", "latent steps (N)");
        draw_distributions(&f, methods);
        draw_latents(&f, find_table(report, "latents"));
    } else {
        out->full = methods != NULL;
    }
    free(f.styles);
    free(f.rows);
    free(f.series);
    free(f.points);
    free(f.values);
}
