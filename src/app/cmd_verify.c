/* tenebra verify: recomputes what a golden case contains, and compares. */
#include "app/app.h"
#include "verify/verify.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct verify_options {
    const char *model, *base, *kernels;
    double lora_alpha;
    size_t threads;
    bool json, strict, quiet;
} verify_options;

/* Quantised weights differ from those that the case was made with, and the bounds do not allow for that. */
static void note_quantised(const tn_model *model)
{
    tn_dtype type = model->decoder.layers[0].q.matrix.type;
    if (tn_dtype_of(type)->block > 1)
        tn_app_tell("tenebra: %s has weights of type %s: they differ from those that the case was made with by more than the "
                        "bounds of F32 below\n", model->directory, tn_dtype_of(type)->name);
}

/* ------------------------------------------------------------ printing -- */

static void print_row(const tn_verify_row *row)
{
    if (row->exact)
        tn_app_print("%-44s %10.0f differ %10s   exact   %s\n", row->name, row->absolute, "", row->passed ? "ok" : "FAILED");
    else
        tn_app_print("%-44s abs %.2e  rel %.2e   %.0e   %s\n", row->name, row->absolute, row->relative, row->bound,
               row->passed ? "ok" : "FAILED");
}

static const tn_verify_row *first_failure(const tn_verify *verify, size_t *failed)
{
    const tn_verify_row *first = NULL;
    *failed = 0;
    for (size_t i = 0; i < verify->row_count; i++) {
        if (verify->rows[i].passed)
            continue;
        first = first ? first : &verify->rows[i];
        ++*failed;
    }
    return first;
}

static void print_text(const tn_verify *verify, bool quiet, size_t failed, size_t uncovered)
{
    const tn_verify_row *first;
    size_t unused;
    for (size_t i = 0; i < verify->row_count; i++)
        if (!quiet || !verify->rows[i].passed)
            print_row(&verify->rows[i]);
    for (size_t i = 0; i < tn_store_count(verify->golden); i++)
        if (!quiet && !tn_verify_is_covered(verify, i))
            tn_app_print("%-44s not covered yet\n", tn_store_at(verify->golden, i)->name);
    first = first_failure(verify, &unused);
    if (first != NULL && (first->absolute == first->absolute))
        tn_app_print("first divergence: %s at element %zu: got %.9g, expected %.9g\n", first->name, first->at, first->got,
               first->expected);
    else if (first != NULL)
        tn_app_print("first divergence: %s could not be computed\n", first->name);
    if (verify->failure.code != TENEBRA_OK)
        tn_app_print_error(&verify->failure);
    tn_app_print("%zu passed, %zu failed, %zu not covered yet\n", verify->row_count - failed, failed, uncovered);
}

static json_t *finite(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *row_json(const tn_verify_row *row)
{
    json_t *json = json_pack("{s:s, s:o, s:o, s:o, s:b, s:s}", "name", row->name, "max_abs", finite(row->absolute), "max_rel",
                             finite(row->relative), "bound", finite(row->exact ? 0 : row->bound), "exact", row->exact,
                             "verdict", row->passed ? "ok" : "failed");
    if (!row->passed)
        json_object_set_new(json, "first", json_pack("{s:I, s:o, s:o}", "element", (json_int_t)row->at, "got",
                                                     finite(row->got), "expected", finite(row->expected)));
    return json;
}

static void print_json(const tn_verify *verify, const char *path, size_t failed)
{
    size_t unused;
    const tn_verify_row *first = first_failure(verify, &unused);
    json_t *rows = json_array(), *uncovered = json_array();
    for (size_t i = 0; i < verify->row_count; i++)
        json_array_append_new(rows, row_json(&verify->rows[i]));
    for (size_t i = 0; i < tn_store_count(verify->golden); i++)
        if (!tn_verify_is_covered(verify, i))
            json_array_append_new(uncovered, json_string(tn_store_at(verify->golden, i)->name));
    json_t *all = json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o}", "case", path, "kernels",
                            verify->model ? verify->model->kernels->name : "none", "passed",
                            (json_int_t)(verify->row_count - failed), "failed", (json_int_t)failed, "first_divergence",
                            first ? json_string(first->name) : json_null(), "rows", rows, "not_covered", uncovered);
    char *text = json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (text != NULL)
        tn_app_print("%s\n", text);
    free(text);
    json_decref(all);
}

/* ------------------------------------------------------------- command -- */

static int report(tn_verify *verify, const verify_options *options, const char *path)
{
    size_t failed, uncovered = 0;
    first_failure(verify, &failed);
    for (size_t i = 0; i < tn_store_count(verify->golden); i++)
        uncovered += !tn_verify_is_covered(verify, i);
    if (options->json)
        print_json(verify, path, failed);
    else
        print_text(verify, options->quiet, failed, uncovered);
    if (verify->row_count == 0) {
        tn_app_tell("tenebra: %s: nothing in it was recognised\n", path);
        return TN_EXIT_FAILED;
    }
    bool bad = failed > 0 || verify->failure.code != TENEBRA_OK || (options->strict && uncovered > 0);
    return bad ? TN_EXIT_FAILED : TN_EXIT_OK;
}

static int verify_file(const verify_options *options, const char *path)
{
    tn_verify verify;
    tenebra_error error = { 0 };
    const tn_verify_options how = { .model = options->model, .base = options->base, .lora_alpha = options->lora_alpha,
                                    .kernels = options->kernels ? options->kernels : getenv("TENEBRA_KERNELS"),
                                    .threads = options->threads };
    int exit_code = TN_EXIT_FAILED;
    tenebra_code code = tn_verify_open(&verify, path, &how, &error);
    if (verify.model != NULL) {
        note_quantised(verify.model);
        tn_app_tell_notes(verify.model);
    }
    if (code == TENEBRA_OK)
        tn_verify_run(&verify);
    else
        exit_code = tn_app_fail(&error);
    /* If nothing was recognised, the tensors are listed as not covered, because they show what a new backbone would have to
     * compute. */
    if (code == TENEBRA_OK || (code == TENEBRA_ERROR_UNSUPPORTED && verify.golden != NULL))
        exit_code = report(&verify, options, path);
    tn_verify_close(&verify);
    return exit_code;
}

#define TN_RECORD verify_options
static const tn_option option_table[] = {
    TN_TEXT('m', "model", model, "DIR", NULL, "model directory, or a file of weights (default: 'model' beside the case)"),
    TN_TEXT(0, "base", base, "DIR", NULL, "-m has only the weights: the directory with everything else"),
    TN_NUMBER(0, "lora-alpha", lora_alpha, "A", NULL, 0, 1e6, "lora_alpha of an adapter in the file of the weights"),
    TN_SIZE('t', "threads", threads, "N", NULL, 0, 1024, "number of threads (default: all processors)"),
    TN_WORD(0, "kernels", kernels, "SET", NULL, "kernel set (default: the fastest that this machine runs)", .names = tn_names_of_kernels),
    TN_SWITCH(0, "json", json, "print one JSON object to stdout"),
    TN_SWITCH(0, "strict", strict, "fail if a quantity is not covered yet"),
    TN_SWITCH('q', "quiet", quiet, "print only failures and the total"),
    TN_OPTIONS_END
};

static int run_command(int argc, char **argv)
{
    verify_options options = { 0 };
    int exit_code, first = tn_options_parse(&tn_command_verify, &options, argc, argv, &exit_code);
    if (first < 0)
        return exit_code;
    if (first == argc) {
        tn_app_tell("tenebra verify: requires a CASE; 'tenebra verify --help' explains\n");
        return TN_EXIT_USAGE;
    }
    for (int i = first; i < argc; i++) {
        if (argc - first > 1 && !options.json)
            tn_app_print("%s\n", argv[i]);
        int code = verify_file(&options, argv[i]);
        exit_code = code > exit_code ? code : exit_code;
    }
    return exit_code;
}

const tn_command tn_command_verify = {
    .name = "verify",
    .summary = "recompute a golden case and compare",
    .arguments = "CASE ...",
    .about = "A golden case is a file of tensors. Every quantity in it is recomputed with the model in the same directory, and\n"
             "compared. A case of training steps uses the image of the file 'case' and the adapter in adapter/ there.\n"
             "The exit code is 1 if anything differs, or if nothing was recognised.",
    .example = "  tenebra verify tests/data/golden/qwen2vl_tied/case.safetensors",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};
