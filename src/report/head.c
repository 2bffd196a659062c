#include "report/head.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static size_t part_before(const char *path, size_t end)
{
    while (end > 0 && path[end - 1] != '/')
        end--;
    return end;
}

const char *tn_head_name(const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = part_before(path, end), length = end - begin;
    bool common = (length == 5 && memcmp(path + begin, "model", 5) == 0) || (length == 7 && memcmp(path + begin, "adapter", 7) == 0);
    return path + (common && begin > 1 ? part_before(path, begin - 1) : begin);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : 0;
}

/* Opens a line of the description with its name. The caller's markup and close_line follow. */
static void open_line(tn_markup *out, const char *name)
{
    tn_markup_put(out, "<div><dt>");
    tn_markup_text(out, name);
    tn_markup_put(out, "</dt><dd>");
}

static void close_line(tn_markup *out)
{
    tn_markup_put(out, "</dd></div>\n");
}

/* The first digits of a digest; all digits appear when the pointer is over it. */
static void put_digest(tn_markup *out, const char *digest)
{
    if (digest[0] == '\0')
        return;
    tn_markup_put(out, " <code title=\"");
    tn_markup_text(out, digest);
    tn_markup_put(out, "\">");
    tn_markup_text_bytes(out, digest, strlen(digest) < 12 ? strlen(digest) : 12);
    tn_markup_put(out, "</code>");
}

static void put_name(tn_markup *out, const char *path)
{
    tn_markup_put(out, "<span title=\"");
    tn_markup_text(out, path);
    tn_markup_put(out, "\">");
    tn_markup_text(out, tn_head_name(path));
    tn_markup_put(out, "</span>");
}

/* ------------------------------------------------------------- one file -- */

static void put_model(tn_markup *out, const json_t *manifest)
{
    const json_t *model = json_object_get(manifest, "model"), *adapters = json_object_get(manifest, "adapters");
    open_line(out, "Model");
    put_name(out, text_of(model, "directory"));
    put_digest(out, text_of(model, "digest"));
    for (size_t i = 0; i < json_array_size(adapters); i++) {
        const json_t *adapter = json_array_get(adapters, i);
        tn_markup_put(out, ", adapter ");
        put_name(out, text_of(adapter, "directory"));
        tn_markup_format(out, " x %g", number_of(adapter, "strength"));
        put_digest(out, text_of(adapter, "digest"));
    }
    close_line(out);
}

static void put_questions(tn_markup *out, const json_t *data)
{
    open_line(out, "Questions");
    tn_markup_text(out, text_of(data, "set"));
    tn_markup_put(out, ", split ");
    tn_markup_text(out, text_of(data, "split"));
    tn_markup_format(out, json_is_true(json_object_get(data, "partial")) ? ": %.0f of %.0f, a part of the split" : ": all %.0f",
                     number_of(data, "questions"), number_of(data, "of"));
    put_digest(out, text_of(data, "digest"));
    close_line(out);
    open_line(out, "Wording");
    tn_markup_text(out, text_of(data, "preset"));
    put_digest(out, text_of(data, "prompt_digest"));
    close_line(out);
}

static void put_sampling(tn_markup *out, const json_t *manifest)
{
    const json_t *sampling = json_object_get(manifest, "sampling");
    open_line(out, "Answers");
    if (number_of(sampling, "temperature") > 0) {
        tn_markup_format(out, "sampled at temperature %g", number_of(sampling, "temperature"));
        if (number_of(sampling, "top_k") > 0)
            tn_markup_format(out, ", from the %.0f most likely tokens", number_of(sampling, "top_k"));
        if (number_of(sampling, "top_p") > 0)
            tn_markup_format(out, ", up to a total probability of %g", number_of(sampling, "top_p"));
    } else {
        tn_markup_put(out, "greedy");
    }
    tn_markup_format(out, ", at most %.0f tokens, seed %.0f", number_of(sampling, "max_tokens"), number_of(sampling, "seed"));
    close_line(out);
}

static void put_machine(tn_markup *out, const json_t *manifest)
{
    const json_t *images = json_object_get(manifest, "images");
    double width = number_of(images, "width"), least = number_of(images, "min_tokens"), most = number_of(images, "max_tokens");
    open_line(out, "Pictures");
    if (width > 0)
        tn_markup_format(out, "resized to %.0f x %.0f", width, number_of(images, "height"));
    else if (least > 0 || most > 0)
        tn_markup_format(out, least <= 0 ? "by the model's rule, at most %.0f embeddings" : most <= 0
                         ? "by the model's rule, %.0f embeddings or more" : "by the model's rule, %.0f to %.0f embeddings",
                         least <= 0 ? most : least, most);
    else
        tn_markup_put(out, "by the model's rule");
    close_line(out);
    open_line(out, "Computed with");
    tn_markup_put(out, "tenebra ");
    tn_markup_text(out, text_of(manifest, "version"));
    tn_markup_put(out, ", kernels ");
    tn_markup_text(out, text_of(manifest, "kernels"));
    tn_markup_put(out, ", KV cache in ");
    tn_markup_text(out, text_of(manifest, "cache_type"));
    close_line(out);
}

static void put_settings(tn_markup *out, const json_t *manifest)
{
    const json_t *methods = json_object_get(manifest, "methods");
    tn_markup_put(out, "<details><summary>Settings of each method</summary><dl class=\"settings\">\n");
    for (size_t i = 0; i < json_array_size(methods); i++) {
        const json_t *entry = json_array_get(methods, i);
        const char *key;
        json_t *value;
        bool any = false;
        open_line(out, text_of(entry, "label"));
        json_object_foreach(json_object_get(entry, "settings"), key, value)
        {
            const char *text = json_string_value(value);
            tn_markup_put(out, any ? ", " : "");
            tn_markup_text(out, key);
            tn_markup_put(out, " <b>");
            tn_markup_text(out, text != NULL ? text : "?");
            tn_markup_put(out, "</b>");
            any = true;
        }
        tn_markup_put(out, any ? "" : "no options");
        close_line(out);
    }
    tn_markup_put(out, "</dl></details>\n");
}

void tn_head_write_runs(tn_markup *out, const tn_results *results)
{
    for (size_t f = 0; f < results->file_count; f++) {
        const json_t *manifest = results->manifests[f];
        tn_markup_put(out, "<section class=\"run\"><h3>");
        tn_markup_text(out, tn_head_name(results->files[f]));
        tn_markup_put(out, "</h3><dl>\n");
        put_model(out, manifest);
        put_questions(out, json_object_get(manifest, "data"));
        put_sampling(out, manifest);
        put_machine(out, manifest);
        tn_markup_put(out, "</dl>\n");
        put_settings(out, manifest);
        tn_markup_put(out, "</section>\n");
    }
}

void tn_head_write_answer(tn_markup *out, const tn_report_answer *answer)
{
    tn_markup_put(out, "<section class=\"run\"><dl>\n");
    open_line(out, "Model");
    put_name(out, answer->model);
    close_line(out);
    open_line(out, "Method");
    tn_markup_text(out, answer->method);
    for (size_t i = 0; i < answer->setting_count; i++) {
        tn_markup_put(out, i > 0 ? ", " : ": ");
        tn_markup_text(out, answer->settings[i].name);
        tn_markup_put(out, " <b>");
        tn_markup_text(out, answer->settings[i].value);
        tn_markup_put(out, "</b>");
    }
    close_line(out);
    open_line(out, "Answer");
    tn_markup_text(out, answer->sampling);
    close_line(out);
    open_line(out, "Computed with");
    tn_markup_put(out, "tenebra ");
    tn_markup_text(out, tenebra_version());
    tn_markup_put(out, ", kernels ");
    tn_markup_text(out, answer->kernels);
    close_line(out);
    tn_markup_put(out, "</dl></section>\n");
}

/* ---------------------------------------------------------------- facts -- */

static void put_fact(tn_markup *out, const char *name, const char *value, const char *about)
{
    tn_markup_put(out, "<div class=\"fact\"><span>");
    tn_markup_text(out, name);
    tn_markup_put(out, "</span><strong>");
    tn_markup_text(out, value);
    tn_markup_put(out, "</strong><small>");
    tn_markup_text(out, about);
    tn_markup_put(out, "</small></div>\n");
}

/* Cell of the methods' table by the name of its column. */
static const json_t *cell_of(const json_t *table, size_t row, const char *column)
{
    const json_t *columns = json_object_get(table, "columns");
    for (size_t c = 0; c < json_array_size(columns); c++)
        if (strcmp(text_of(json_array_get(columns, c), "name"), column) == 0)
            return json_array_get(json_array_get(json_object_get(table, "rows"), row), c);
    return NULL;
}

void tn_head_write_facts(tn_markup *out, const tn_table_groups *groups, const json_t *report)
{
    const json_t *methods = json_array_get(json_object_get(report, "tables"), 0); /* it exists, and it is the first */
    double best = -1, fewest = HUGE_VAL, answers = 0;
    size_t best_row = 0, fewest_row = 0;
    char value[64], about[256];
    for (size_t g = 0; g < groups->count; g++) {
        const json_t *steps = cell_of(methods, g, "AR steps");
        double accuracy = number_of(cell_of(methods, g, "accuracy"), "value");
        answers += json_number_value(cell_of(methods, g, "questions"));
        if (accuracy > best) {
            best = accuracy;
            best_row = g;
        }
        if (json_is_number(steps) && json_number_value(steps) < fewest) {
            fewest = json_number_value(steps);
            fewest_row = g;
        }
    }
    if (groups->count == 0)
        return;
    tn_markup_put(out, "<div class=\"facts\">\n");
    snprintf(value, sizeof value, "%.0f", answers);
    snprintf(about, sizeof about, groups->count == 1 ? "with one method" : "with %zu methods", groups->count);
    put_fact(out, "Answers", value, about);
    const json_t *share = cell_of(methods, best_row, "accuracy");
    snprintf(value, sizeof value, "%.1f %%", best);
    snprintf(about, sizeof about, json_is_number(json_object_get(share, "low")) ? "%.200s, %.1f to %.1f" : "%.200s",
             groups->items[best_row].name, number_of(share, "low"), number_of(share, "high"));
    put_fact(out, "Best accuracy", value, about);
    if (isfinite(fewest)) {
        snprintf(value, sizeof value, fewest < 10 ? "%.1f" : "%.0f", fewest);
        put_fact(out, "Fewest steps per question", value, groups->items[fewest_row].name);
    }
    tn_markup_put(out, "</div>\n");
}
