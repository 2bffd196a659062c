/* tenebra quantize: writes a model directory again with smaller weights, in the order in which the kernels read them. */
#include "app/app.h"

#include "app/model_output.h"
#include "app/quantize_print.h"
#include "base/clock.h"
#include "base/file.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPES "Q8_0|Q8_256|Q4_0|IQ4_NL|Q4_256|BF16|F16|F32"

enum { FILE_GB_MAX = 1000000 };

typedef struct quantize_options {
    const char *directory, *output, *type, *vision, *embeddings, *head, *order;
    tn_option_list tensors;
    double file_gb;
    size_t threads;
    bool force, json, all, named; /* by -m */
} quantize_options;

/* ------------------------------------------------------------- recipe -- */

static void set_type(tn_dtype *type, const char *name)
{
    if (name != NULL)
        tn_dtype_by_name(name, type); /* the option table allows no other words */
}

/* "PATTERN=TYPE"; the pattern is copied into `memory`. */
static tenebra_code read_rule(const char *text, tn_recipe_rule *rule, char **memory, tenebra_error *error)
{
    const char *sign = strrchr(text, '=');
    if (sign == NULL || sign == text || !tn_dtype_by_name(sign + 1, &rule->type) || !tn_recipe_takes(rule->type))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "--tensor",
                "'%s' is not of the form PATTERN=TYPE, where TYPE is one of %s", text, TYPES);
    size_t length = (size_t)(sign - text);
    memcpy(*memory, text, length);
    (*memory)[length] = '\0';
    rule->pattern = *memory;
    *memory += length + 1;
    return TENEBRA_OK;
}

/* The rules and their patterns, in one block that the caller frees. */
static tenebra_code read_rules(const quantize_options *options, tn_recipe *recipe, void **block, tenebra_error *error)
{
    size_t count = options->tensors.count, bytes = count * sizeof(tn_recipe_rule) + 1;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(options->tensors.items[i]) + 1;
    tn_recipe_rule *rules = *block = calloc(1, bytes);
    if (rules == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "--tensor", "no memory");
    char *memory = (char *)(rules + count);
    for (size_t i = 0; i < count; i++)
        TN_TRY(read_rule(options->tensors.items[i], &rules[i], &memory, error));
    recipe->rules = rules;
    recipe->rule_count = count;
    return TENEBRA_OK;
}

static tn_recipe recipe_of(const quantize_options *options)
{
    tn_dtype type = TN_F32;
    set_type(&type, options->type);
    tn_recipe recipe = tn_recipe_of(type, strcmp(options->order, "rows") == 0 ? TN_ROWS : TN_PANELS);
    set_type(&recipe.vision, options->vision);
    set_type(&recipe.discrete, options->vision);
    set_type(&recipe.embeddings, options->embeddings);
    set_type(&recipe.head, options->head);
    return recipe;
}

/* ------------------------------------------------------------- running -- */

static tenebra_code save_report(const tn_quantize_report *report, const char *output, tenebra_error *error)
{
    json_t *json = tn_quantize_report_json(report);
    tenebra_code code = tn_json_write_in(output, "quantization.json", json, JSON_INDENT(1) | JSON_REAL_PRECISION(6), error);
    json_decref(json);
    return code;
}

typedef struct progress {
    double start;
} progress;

static bool show_progress(void *user, size_t done, size_t total)
{
    const progress *state = user;
    tn_app_progress("converting MB", done >> 20, total >> 20, state->start);
    return !tn_app_interrupted();
}

/* The job of filling the directory. */
typedef struct filling {
    const quantize_options *options;
    const tn_recipe *recipe;
    tn_quantize_report *report;
} filling;

static tenebra_code fill_directory(void *user, const char *partial, tenebra_error *error)
{
    const filling *job = user;
    const quantize_options *options = job->options;
    progress state = { tn_clock_ms() };
    tn_quantize_options quantize = { .recipe = *job->recipe, .file_bytes = (size_t)(options->file_gb * 1e9),
                                     .progress = show_progress, .user = &state };
    TN_TRY(tn_pool_open(options->threads > 0 ? options->threads : tn_cpu_count(), &quantize.pool, error));
    tenebra_code code = tn_quantize_weights(options->directory, partial, &quantize, job->report, error);
    tn_pool_close(quantize.pool);
    if (code == TENEBRA_OK)
        code = tn_model_output_copy(options->directory, partial, error);
    if (code == TENEBRA_OK)
        code = save_report(job->report, partial, error);
    return code;
}

static tenebra_code quantize(const quantize_options *options, const tn_recipe *recipe, tn_quantize_report *report,
                             tenebra_error *error)
{
    const tn_model_output output = { .sources = { options->directory }, .path = options->output, .force = options->force };
    filling job = { options, recipe, report };
    if (!tn_path_is_directory(options->directory))
        return tn_model_missing(options->directory, error);
    return tn_model_output_write(&output, fill_directory, &job, error);
}

static int run_quantize(quantize_options *options, char *output)
{
    tenebra_error error = { 0 };
    tn_quantize_report report = { 0 };
    tn_recipe recipe = recipe_of(options);
    void *rules = NULL;
    for (size_t length = strlen(output); length > 1 && output[length - 1] == '/'; length--)
        output[length - 1] = '\0';
    options->output = output;
    tn_app_catch_interrupts();
    tenebra_code code = read_rules(options, &recipe, &rules, &error);
    if (code == TENEBRA_OK)
        code = quantize(options, &recipe, &report, &error);
    tn_app_tell_unused(&report.notes);
    if (code == TENEBRA_OK && options->json)
        tn_quantize_print_json(&report, output);
    else if (code == TENEBRA_OK)
        tn_quantize_print(&report, output, options->all);
    tn_quantize_report_free(&report);
    free(rules);
    return code == TENEBRA_OK ? TN_EXIT_OK : tn_app_fail(&error);
}

static int check_usage(const quantize_options *options)
{
    const char *missing = options->directory == NULL ? "requires a model directory"
                          : options->output == NULL  ? "requires the directory to write (-o)"
                          : options->output[0] == '\0' ? "-o must not be empty"
                          : options->type == NULL    ? "choose a type with --type " TYPES
                                                     : NULL;
    if (missing == NULL)
        return TN_EXIT_OK;
    tn_app_tell("tenebra quantize: %s\n", missing);
    return TN_EXIT_USAGE;
}

#define TN_RECORD quantize_options
static const tn_option option_table[] = {
    TN_TEXT('m', "model", directory, "DIR", NULL, "model directory to read", .given = offsetof(TN_RECORD, named)),
    TN_TEXT('o', "output", output, "OUT", NULL, "directory for the result"),
    TN_WORD(0, "type", type, TYPES, NULL, "type of the matrices of the decoder"),
    TN_WORD(0, "vision", vision, TYPES, NULL, "type for the vision tower (default: 8 bits, or F16 if images are tokens; "
            "--type if that is not quantised)"),
    TN_WORD(0, "embeddings", embeddings, TYPES, NULL,
            "type for the token embeddings (default: 8 bits, or --type if that is not quantised)"),
    TN_WORD(0, "head", head, TYPES, NULL,
            "type for the head, if it is not tied to the embeddings (default: 8 bits, or --type if that is not quantised)"),
    TN_LIST(0, "tensor", tensors, "PATTERN=TYPE", "type for tensors whose names match (* and ?); the last match counts; repeatable"),
    TN_WORD(0, "order", order, "panels|rows", "panels", "order of the weights: as the kernels read them, or by rows"),
    TN_NUMBER(0, "file-gb", file_gb, "N", NULL, 0, FILE_GB_MAX, "split the weights into files of at most N GB (default: one file)"),
    TN_SWITCH('f', "force", force, "replace an existing model in OUT"),
    TN_SIZE('t', "threads", threads, "N", NULL, 0, 1024, "number of threads (default: all processors)"),
    TN_SWITCH('a', "all", all, "print a line for each tensor instead of one for the same tensor of all layers"),
    TN_SWITCH(0, "json", json, "print the report as JSON to stdout"),
    TN_OPTIONS_END
};

static int run_command(int argc, char **argv)
{
    quantize_options options = { 0 };
    tn_path own;
    int exit_code, first = tn_options_parse(&tn_command_quantize, &options, argc, argv, &exit_code);
    if (first >= 0 && first < argc && !options.named)
        options.directory = argv[first++];
    if (first >= 0 && first < argc) {
        tn_app_tell("tenebra quantize: unexpected argument '%s' after the model directory\n", argv[first]);
        exit_code = TN_EXIT_USAGE;
    } else if (first >= 0 && (exit_code = check_usage(&options)) == TN_EXIT_OK) {
        options.directory = tn_app_model_directory(options.directory, &own);
        char *output = tn_app_take(strlen(options.output) + 1, 1);
        strcpy(output, options.output);
        exit_code = run_quantize(&options, output);
        free(output);
    }
    free(options.tensors.items);
    return exit_code;
}

const tn_command tn_command_quantize = {
    .name = "quantize",
    .summary = "quantise a model",
    .arguments = "[DIR]",
    .about = "Writes the model in DIR to OUT with weights of another type, in the order in which the kernels read them, and reports\n"
             "the error of each tensor. Norms and biases are not changed. If a tensor cannot have the requested type, it gets one\n"
             "with shorter blocks, or BF16, and the table gives the reason. Q8_256 and Q4_256 are the fastest types; of those with\n"
             "4 bits, IQ4_NL has the least error. The report is also written to OUT/quantization.json.",
    .example = "  tenebra quantize qwen2-vl-7b -o qwen2-vl-7b-q4 --type Q4_256\n"
               "  tenebra quantize qwen2-vl-7b -o mixed --type Q4_0 --vision BF16 --tensor '*.down_proj.weight=Q8_0'",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};
