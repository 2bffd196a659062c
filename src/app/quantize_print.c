#include "app/quantize_print.h"

#include "app/app.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Matrices with the same name apart from numbers, and the same result. */
typedef struct group {
    char name[TN_STORED_NAME_MAX + 1];
    tn_quantized sum;   /* bytes, elements and conversion of all together */
    double worst_rms, worst_cosine;
    size_t count;
} group;

/* The name with every number between dots replaced by '*'. */
static void generalise(const char *name, char out[TN_STORED_NAME_MAX + 1])
{
    for (; *name != '\0'; name++) {
        if (name[0] == '.' && isdigit((unsigned char)name[1])) {
            size_t digits = strspn(name + 1, "0123456789");
            if (name[1 + digits] == '.') {
                *out++ = '.';
                *out++ = '*';
                name += digits;
                continue;
            }
        }
        *out++ = *name;
    }
    *out = '\0';
}

static bool same_form(const tn_quantized *a, const tn_quantized *b)
{
    return a->from.type == b->from.type && a->form.type == b->form.type && a->form.order == b->form.order;
}

static void add_to(group *all, const tn_quantized *tensor)
{
    all->sum.bytes += tensor->bytes;
    all->sum.form.elements += tensor->form.elements;
    all->sum.conversion.largest = fmax(all->sum.conversion.largest, tensor->conversion.largest);
    all->worst_rms = fmax(all->worst_rms, tensor->conversion.relative_rms);
    all->worst_cosine = fmin(all->worst_cosine, tensor->conversion.cosine);
    all->count++;
}

/* Fills groups [report->count]; returns their number. */
static size_t make_groups(const tn_quantize_report *report, bool each, group *groups)
{
    size_t count = 0;
    for (size_t i = 0; i < report->count; i++) {
        const tn_quantized *tensor = &report->tensors[i];
        char name[TN_STORED_NAME_MAX + 1];
        if (!tensor->matrix)
            continue;
        if (each)
            memcpy(name, tensor->name, sizeof name);
        else
            generalise(tensor->name, name);
        size_t at = 0;
        while (at < count && !(strcmp(groups[at].name, name) == 0 && same_form(&groups[at].sum, tensor)))
            at++;
        if (at == count) {
            groups[count++] = (group){ .sum = { .from = tensor->from, .form = tensor->form, .note = tensor->note },
                                       .worst_cosine = 1 };
            memcpy(groups[at].name, name, sizeof name);
            groups[at].sum.form.elements = 0;
        }
        add_to(&groups[at], tensor);
    }
    return count;
}

static void print_group(const group *all)
{
    tn_app_print("%-46s %4zu  %-6s %-6s %-6s %9.1f %6.2f  %9.2e %9.2e  %.6f%s%s\n", all->name, all->count,
           tn_dtype_of(all->sum.from.type)->name, tn_dtype_of(all->sum.form.type)->name, tn_order_name(all->sum.form.order),
           (double)all->sum.bytes / 1e6, 8 * (double)all->sum.bytes / (double)all->sum.form.elements, all->worst_rms,
           all->sum.conversion.largest, all->worst_cosine, all->sum.note ? "  " : "", all->sum.note ? all->sum.note : "");
}

void tn_quantize_print(const tn_quantize_report *report, const char *output, bool all)
{
    group *groups = tn_app_take(report->count + 1, sizeof *groups);
    size_t count = make_groups(report, all, groups);
    tn_app_print("%-46s %4s  %-6s %-6s %-6s %9s %6s  %9s %9s  %s\n", "matrix", "n", "from", "type", "order", "MB", "bits", "rms error",
           "largest", "cosine");
    for (size_t i = 0; i < count; i++)
        print_group(&groups[i]);
    free(groups);
    tn_app_print("\n%s: %zu parameters, %.1f MB from %.1f MB in %zu file(s), %.2f bits a weight; relative error %.2e\n", output,
           report->elements, (double)report->bytes / 1e6, (double)report->from_bytes / 1e6, report->files,
           8 * (double)report->bytes / (double)report->elements, report->relative_rms);
    if (report->twice > 0)
        tn_app_tell("tenebra quantize: %zu matrices were quantised already; the errors shown do not include those of that quantisation\n",
                report->twice);
}

void tn_quantize_print_json(const tn_quantize_report *report, const char *output)
{
    json_t *json = tn_quantize_report_json(report);
    json_object_set_new(json, "output", json_string(output));
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    if (text != NULL)
        tn_app_print("%s\n", text);
    free(text);
    json_decref(json);
}
