/* tenebra convert: writes weights of any format that is read, such as a published checkpoint, as a model directory. */
#include "app/app.h"

#include "app/model_output.h"
#include "app/quantize_print.h"
#include "base/clock.h"
#include "model/config_change.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

#define TYPES "F32|BF16|F16|Q8_0|Q8_256|Q4_0|IQ4_NL|Q4_256"

enum { FILE_GB_MAX = 1000000 };

typedef struct convert_options {
    const char *path, *base, *output, *type, *order;
    double file_gb, lora_alpha;
    size_t threads;
    bool merge, force, json, all, named; /* by -m */
} convert_options;

typedef struct conversion {
    const convert_options *options;
    tn_model_files files;
    tn_quantize_report report;
    double start;
} conversion;

/* ------------------------------------------------------- configuration -- */

/* The type in which programs load the weights: that of the matrices, or float32 if they have several, so that none loses precision. */
static const char *type_of_weights(const tn_quantize_report *report)
{
    bool all_bf16 = true, all_f16 = true;
    for (size_t i = 0; i < report->count; i++) {
        const tn_quantized *tensor = &report->tensors[i];
        all_bf16 = all_bf16 && (!tensor->matrix || tensor->form.type == TN_BF16);
        all_f16 = all_f16 && (!tensor->matrix || tensor->form.type == TN_F16);
    }
    return all_bf16 ? "bfloat16" : all_f16 ? "float16" : "float32";
}

/* A checkpoint may have more tokens than its base model, and another type of numbers. */
static tenebra_code change_config(const tn_quantize_report *report, const char *directory, tenebra_error *error)
{
    json_t *json;
    TN_TRY(tn_json_read_object(directory, "config.json", TN_MODEL_JSON_LIMIT, true, &json, error));
    bool fits = tn_config_set_type(json, type_of_weights(report)) && tn_config_set_vocabulary(json, report->vocabulary);
    tenebra_code code = fits ? tn_json_write_in(directory, "config.json", json, JSON_INDENT(2) | JSON_REAL_PRECISION(15), error)
                             : tn_fail_memory(error, directory);
    json_decref(json);
    return code;
}

/* -------------------------------------------------------------- running -- */

static bool show_progress(void *user, size_t done, size_t total)
{
    const conversion *job = user;
    tn_app_progress("converting MB", done >> 20, total >> 20, job->start);
    return !tn_app_interrupted();
}

static tenebra_code fill_directory(void *user, const char *partial, tenebra_error *error)
{
    conversion *job = user;
    const convert_options *options = job->options;
    tn_dtype type = TN_F32;
    if (options->type != NULL)
        tn_dtype_by_name(options->type, &type); /* the option table allows no other words */
    tn_quantize_options how = { .recipe = tn_recipe_of(type, strcmp(options->order, "rows") == 0 ? TN_ROWS : TN_PANELS),
                                .keep_types = options->type == NULL, .base = options->base, .lora_alpha = options->lora_alpha,
                                .inner = options->merge ? TN_INNER_MERGED : TN_INNER_KEPT,
                                .file_bytes = (size_t)(options->file_gb * 1e9), .progress = show_progress, .user = job };
    TN_TRY(tn_pool_open(options->threads > 0 ? options->threads : tn_cpu_count(), &how.pool, error));
    job->start = tn_clock_ms();
    tenebra_code code = tn_quantize_weights(options->path, partial, &how, &job->report, error);
    tn_pool_close(how.pool);
    if (code == TENEBRA_OK)
        code = tn_model_output_copy(job->files.directory.text, partial, error);
    return code == TENEBRA_OK ? change_config(&job->report, partial, error) : code;
}

static void tell_adapter(const conversion *job)
{
    const tn_quantize_report *report = &job->report;
    const char *output = job->options->output;
    if (report->adapted == 0)
        return;
    tn_app_tell("adapter    rank %zu, alpha %g, on %zu matrices: ", report->rank, report->alpha, report->adapted);
    if (job->options->merge)
        tn_app_tell("merged into the weights\n");
    else
        tn_app_tell("written to %s/%s; --lora %s/%s applies it, and --merge would have merged it\n", output, TN_INNER_DIRECTORY, output,
                    TN_INNER_DIRECTORY);
}

static tenebra_code convert(conversion *job, tenebra_error *error)
{
    const convert_options *options = job->options;
    TN_TRY(tn_model_find(options->path, options->base, &job->files, error));
    const tn_model_output output = { .sources = { job->files.weights.text, job->files.directory.text }, .path = options->output,
                                     .force = options->force };
    return tn_model_output_write(&output, fill_directory, job, error);
}

static int run_convert(convert_options *options, char *output)
{
    tenebra_error error = { 0 };
    conversion *job = tn_app_take(1, sizeof *job);
    for (size_t length = strlen(output); length > 1 && output[length - 1] == '/'; length--)
        output[length - 1] = '\0';
    options->output = output;
    job->options = options;
    tn_app_catch_interrupts();
    tenebra_code code = convert(job, &error);
    tn_app_tell_unused(&job->report.notes);
    if (code == TENEBRA_OK && options->json)
        tn_quantize_print_json(&job->report, output);
    else if (code == TENEBRA_OK)
        tn_quantize_print(&job->report, output, options->all);
    if (code == TENEBRA_OK)
        tell_adapter(job);
    tn_quantize_report_free(&job->report);
    free(job);
    return code == TENEBRA_OK ? TN_EXIT_OK : tn_app_fail(&error);
}

static int check_usage(const convert_options *options)
{
    const char *missing = options->path == NULL ? "requires a checkpoint or a model directory"
                          : options->output == NULL  ? "requires the directory to write (-o)"
                          : options->output[0] == '\0' ? "-o must not be empty"
                                                       : NULL;
    return missing == NULL ? TN_EXIT_OK : tn_command_mistake(&tn_command_convert, missing);
}

#define TN_RECORD convert_options
static const tn_option option_table[] = {
    TN_TEXT('m', "model", path, "PATH", NULL, "checkpoint, or model directory, to read", .given = offsetof(TN_RECORD, named)),
    TN_TEXT(0, "base", base, "DIR", NULL,
            "directory of the model that the checkpoint was trained from: configuration, tokenizer (default: beside the weights)"),
    TN_TEXT('o', "output", output, "OUT", NULL, "directory for the result"),
    TN_SWITCH(0, "merge", merge, "add the low-rank adapter in the checkpoint to the weights (default: write it to OUT/adapter)"),
    TN_NUMBER(0, "lora-alpha", lora_alpha, "A", NULL, 0, 1e6, "its lora_alpha (default: that of the published training program)"),
    TN_WORD(0, "type", type, TYPES, NULL, "type of the matrices, as 'tenebra quantize' chooses it (default: that in the checkpoint)"),
    TN_WORD(0, "order", order, "panels|rows", "rows", "order of the weights: as the kernels read them, or by rows, as other programs do"),
    TN_NUMBER(0, "file-gb", file_gb, "N", NULL, 0, FILE_GB_MAX, "split the weights into files of at most N GB (default: one file)"),
    TN_SWITCH('f', "force", force, "replace an existing model in OUT"),
    TN_SIZE('t', "threads", threads, "N", NULL, 0, 1024, "number of threads (default: all processors)"),
    TN_SWITCH('a', "all", all, "print a line for each tensor instead of one for the same tensor of all layers"),
    TN_SWITCH(0, "json", json, "print the report as JSON to stdout"),
    TN_OPTIONS_END
};

static int run_command(int argc, char **argv)
{
    convert_options options = { 0 };
    tn_path own;
    int exit_code, first = tn_options_parse(&tn_command_convert, &options, argc, argv, &exit_code);
    if (first >= 0 && first < argc && !options.named)
        options.path = argv[first++];
    if (first >= 0 && first < argc) {
        tn_app_tell("tenebra convert: unexpected argument '%s' after the checkpoint\n", argv[first]);
        return TN_EXIT_USAGE;
    }
    if (first < 0 || (exit_code = check_usage(&options)) != TN_EXIT_OK)
        return exit_code;
    options.path = tn_app_model_directory(options.path, &own);
    char *output = tn_app_take(strlen(options.output) + 1, 1);
    strcpy(output, options.output);
    exit_code = run_convert(&options, output);
    free(output);
    return exit_code;
}

const tn_command tn_command_convert = {
    .name = "convert",
    .summary = "write a checkpoint as a model directory",
    .arguments = "[PATH]",
    .about = "Reads a checkpoint (model.pth or another file of torch.save, pytorch_model.bin) or a model directory, and writes a model\n"
             "directory in the form of Hugging Face. Configuration, tokenizer and templates are copied from the base model. A low-rank\n"
             "adapter in the checkpoint is merged into the weights, or written beside them in the form of PEFT. The weights are never\n"
             "in memory as a whole. Nothing in a checkpoint is executed.",
    .example = "  tenebra convert model.pth --base Qwen2-VL-7B-Instruct -o ivtlr --merge --type BF16\n"
               "  tenebra convert model.pth --base Qwen2-VL-7B-Instruct -o ivtlr && tenebra run -m ivtlr --lora ivtlr/adapter ...",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};
