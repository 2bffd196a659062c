/* tenebra bench: measures speed and memory of a model, and makes random models in the shapes of published ones. */
#include "app/bench.h"

#include "base/checked.h"
#include "base/clock.h"
#include "model/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* ------------------------------------------------------- random models -- */

typedef struct writing {
    double start;
} writing;

static bool show_progress(void *user, size_t done, size_t total)
{
    const writing *state = user;
    tn_app_progress("writing MB", done >> 20, total >> 20, state->start);
    return !tn_app_interrupted();
}

static int write_model(const tn_bench_options *options)
{
    tenebra_error error = { 0 };
    writing state = { tn_clock_ms() };
    tn_random_options random = { .shape = options->shape, .tokenizer = options->tokenizer, .seed = options->seed,
                                 .progress = show_progress, .user = &state };
    if (options->output == NULL) {
        tn_app_tell("tenebra bench: --shape requires -o DIR, the directory to write\n");
        return TN_EXIT_USAGE;
    }
    tn_dtype_by_name(options->type, &random.type); /* the option table allows no other words */
    bool panels = options->order != NULL ? strcmp(options->order, "panels") == 0 : tn_dtype_of(random.type)->block > 1;
    random.order = panels ? TN_PANELS : TN_ROWS;
    tn_app_catch_interrupts();
    if (tn_random_model_write(options->output, &random, &error) != TENEBRA_OK)
        return tn_app_fail(&error);
    tn_app_tell("wrote %s: random weights, shape %s, %s\n", options->output, options->shape, options->type);
    return TN_EXIT_OK;
}

static int print_kernels(void)
{
    for (size_t i = 0; tn_kernels_at(i) != NULL; i++)
        puts(tn_kernels_at(i)->name);
    return TN_EXIT_OK;
}

/* ---------------------------------------------------------- measuring -- */

/* An image of smooth noise. The time depends on its size, not on its content. */
static tenebra_code make_picture(tn_bench *bench, tenebra_error *error)
{
    size_t width = 280, height = 280;
    if (bench->options->image_size[0] > 0) {
        width = bench->options->image_size[0];
        height = bench->options->image_size[1];
    }
    TN_TRY(tn_image_new(&bench->image, width, height, 3, error));
    for (size_t i = 0; i < width * height * 3; i++)
        bench->image.pixels[i] = (unsigned char)(i * 2654435761u >> 24);
    return TENEBRA_OK;
}

/* Text that makes a prompt of `prompt` rows together with the image (at least the image and a few words). The caller frees it. */
static tenebra_code make_prompt(tn_bench *bench, const tn_image_rows *picture, tn_row **made, tenebra_error *error)
{
    bench->picture = picture;
    bench->prompt_count = tn_max(bench->options->prompt, picture->rows + 2 * TN_BENCH_IMAGE_AT);
    tn_row *rows = *made = calloc(bench->prompt_count, sizeof *rows);
    if (rows == NULL)
        return tn_fail_memory(error, "prompt");
    tn_rng rng = tn_rng_seed(1);
    for (size_t i = 0; i < bench->prompt_count; i++) {
        int32_t token = (int32_t)tn_rng_below(&rng, tn_model_vocabulary(bench->model));
        bool cell = i >= TN_BENCH_IMAGE_AT && i < TN_BENCH_IMAGE_AT + picture->rows;
        rows[i] = cell ? tn_row_of_cell(picture, i - TN_BENCH_IMAGE_AT) : tn_row_of_token(token);
    }
    return TENEBRA_OK;
}

static bool note_event(void *user, const tenebra_event *event)
{
    size_t *events = user;
    *events += event->trace != NULL;
    return !tn_app_interrupted();
}

static void read_measures(const tenebra_trace *trace, double elapsed, tn_measures *out)
{
    *out = (tn_measures){ .vision = trace->vision_ms, .prompt = trace->prefill_ms,
                          .latent_step = trace->latent_steps ? trace->latent_ms / (double)trace->latent_steps : 0,
                          .token = trace->token_count ? trace->generation_ms / (double)trace->token_count : 0,
                          .total = elapsed - trace->decode_ms, .positions = trace->positions_computed };
}

tenebra_code tn_bench_ask(tn_bench *bench, tn_bench_way way, tn_measures *out, tenebra_error *error)
{
    char latents[TN_SETTING_TEXT_SIZE], picks[TN_SETTING_TEXT_SIZE];
    size_t events = 0, method = 0;
    tenebra_setting settings[2];
    while (tn_methods[method] != NULL && /* the first method with latent steps and picks */
           !(tn_setting_that_means(tn_methods[method]->name, TN_MEANS_LATENT_STEPS, bench->options->latents, latents, &settings[0]) &&
             tn_setting_that_means(tn_methods[method]->name, TN_MEANS_PICKS, bench->options->picks, picks, &settings[1])))
        method++;
    tenebra_request request = { .method = tn_methods[method] != NULL ? tn_methods[method]->name : NULL, .settings = settings,
                                .setting_count = 2, .max_tokens = way.tokens, .recompute = way.recompute, .no_reuse = !way.warm,
                                .lens = way.lens, .on_event = way.observe ? note_event : NULL, .user = &events };
    free(bench->reasoner);
    tn_reasoner *reasoner = bench->reasoner = calloc(1, sizeof *reasoner);
    if (reasoner == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "bench", "no memory");
    if (!way.warm)
        tn_session_forget(bench->session, true);
    tn_row *rows = NULL;
    double start = tn_clock_ms();
    tenebra_code code = tn_reasoner_open(reasoner, bench->session, &request, tn_app_interrupt_flag(), error);
    if (code == TENEBRA_OK)
        code = tn_reasoner_add_picture(reasoner, &bench->image, error);
    if (code == TENEBRA_OK)
        code = make_prompt(bench, &reasoner->conversation.pictures[0].rows, &rows, error);
    if (code == TENEBRA_OK)
        code = tn_reasoner_answer_rows(reasoner, rows, bench->prompt_count, error);
    read_measures(&reasoner->trace, tn_clock_ms() - start, out);
    tn_reasoner_close(reasoner);
    free(rows);
    return code;
}

static int compare_numbers(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double tn_bench_median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare_numbers);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* The median of one member of tn_measures over the repetitions. */
static double median_of(const tn_bench *bench, bool recompute, size_t offset)
{
    double values[TN_BENCH_REPEATS];
    for (size_t i = 0; i < bench->options->repeats; i++)
        memcpy(&values[i], (const char *)&bench->runs[recompute][i] + offset, sizeof(double));
    return tn_bench_median(values, bench->options->repeats);
}

static double ratio_of_totals(const tn_bench *bench)
{
    double ratios[TN_BENCH_REPEATS];
    for (size_t i = 0; i < bench->options->repeats; i++)
        ratios[i] = bench->runs[1][i].total / bench->runs[0][i].total;
    return tn_bench_median(ratios, bench->options->repeats);
}

static double peak_megabytes(void)
{
    struct rusage usage_now;
    getrusage(RUSAGE_SELF, &usage_now);
    return (double)usage_now.ru_maxrss / 1024;
}

/* ------------------------------------------------------------ reporting -- */

static json_t *bench_json(const tn_bench *bench)
{
    const tn_bench_options *options = bench->options;
    double prompt = median_of(bench, false, offsetof(tn_measures, prompt));
    double token = median_of(bench, false, offsetof(tn_measures, token));
    json_t *json = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "model", options->directory, "kernels",
                             bench->model->kernels->name, "cache_type", options->cache_type, "threads",
                             (json_int_t)tn_pool_threads(bench->session->engine->pool),
                             "prompt_tokens", (json_int_t)bench->prompt_count, "image_tokens", (json_int_t)bench->picture->rows,
                             "n_latent", (json_int_t)options->latents, "k_select", (json_int_t)options->picks,
                             "generated_tokens", (json_int_t)options->tokens);
    json_t *results = json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I}", "load_ms", bench->load_ms, "vision_ms",
                                median_of(bench, false, offsetof(tn_measures, vision)), "prompt_ms", prompt,
                                "prompt_tokens_per_s", (double)bench->prompt_count / prompt * 1e3, "latent_step_ms",
                                median_of(bench, false, offsetof(tn_measures, latent_step)), "decode_tokens_per_s", 1e3 / token,
                                "question_ms", median_of(bench, false, offsetof(tn_measures, total)), "peak_mb",
                                peak_megabytes(), "positions_computed", (json_int_t)bench->runs[0][0].positions);
    json_object_update(json, results);
    json_decref(results);
    if (options->compare) {
        json_object_set_new(json, "recompute_question_ms", json_real(median_of(bench, true, offsetof(tn_measures, total))));
        json_object_set_new(json, "recompute_positions", json_integer((json_int_t)bench->runs[1][0].positions));
        json_object_set_new(json, "recompute_ratio", json_real(ratio_of_totals(bench)));
    }
    return json;
}

static double real_of(const json_t *json, const char *key)
{
    return json_number_value(json_object_get(json, key));
}

/* Prints a time, how close it is to its floor, and a rate (0: none). */
static void print_part(const char *name, double ms, double floor_ms, double rate)
{
    printf("%-12s %10.2f ms", name, ms);
    if (floor_ms > 0)
        printf("   %5.1f %% of the floor's speed (%.2f ms)", 100 * floor_ms / ms, floor_ms);
    if (rate > 0)
        printf("   %.1f tokens/s", rate);
    putchar('\n');
}

static void print_text(const tn_bench *bench, const json_t *json)
{
    const tn_bench_options *options = bench->options;
    double token_ms = 1e3 / real_of(json, "decode_tokens_per_s");
    printf("model        %s, kernels %s, %zu threads\n", options->directory, bench->model->kernels->name,
           tn_pool_threads(bench->session->engine->pool));
    printf("question     %zu rows (%zu of the image), %zu latent steps of %zu picks, %zu tokens; %.0f rows computed\n",
           bench->prompt_count, bench->picture->rows, options->latents, options->picks, options->tokens,
           real_of(json, "positions_computed"));
    printf("machine      reads %.1f GB/s", real_of(json, "read_gb_per_s"));
    if (json_object_get(json, "peak_gop_per_s") != NULL)
        printf("; %.0f GOP/s for %s", real_of(json, "peak_gop_per_s"), json_string_value(json_object_get(json, "weight_type")));
    putchar('\n');
    printf("\n%-12s %10.2f ms\n", "load", real_of(json, "load_ms"));
    print_part("vision", real_of(json, "vision_ms"), real_of(json, "floor_vision_ms"), 0);
    print_part("prompt", real_of(json, "prompt_ms"), real_of(json, "floor_prompt_ms"), real_of(json, "prompt_tokens_per_s"));
    print_part("latent step", real_of(json, "latent_step_ms"), real_of(json, "floor_latent_step_ms"), 0);
    print_part("token", token_ms, real_of(json, "floor_token_ms"), real_of(json, "decode_tokens_per_s"));
    print_part("question", real_of(json, "question_ms"), real_of(json, "floor_question_ms"), 0);
    if (options->compare)
        printf("%-12s %10.2f ms, %.2f times as long: %.0f rows computed\n", "recomputing", real_of(json, "recompute_question_ms"),
               real_of(json, "recompute_ratio"), real_of(json, "recompute_positions"));
    if (options->costs)
        printf("%-12s %10.2f ms, %.2f %% for the attention scores, %.2f %% for the observer, %.2f %% for reading tokens\n",
               "known again", real_of(json, "warm_question_ms"), real_of(json, "tap_cost_percent"),
               real_of(json, "trace_cost_percent"), real_of(json, "lens_cost_percent"));
    printf("%-12s %10.1f MB\n", "peak memory", real_of(json, "peak_mb"));
}

static tenebra_code open_bench(tn_bench *bench, tenebra_error *error)
{
    const tn_bench_options *options = bench->options;
    tn_model_options model = { .kernels = options->kernels ? options->kernels : getenv("TENEBRA_KERNELS"), .no_text = true };
    tn_session_options session = { .threads = options->threads,
                                   .cache_type = strcmp(options->cache_type, "bf16") == 0 ? TN_BF16 : TN_F32 };
    double start = tn_clock_ms();
    TN_TRY(tn_model_open(options->directory, &model, &bench->model, error));
    bench->load_ms = tn_clock_ms() - start;
    tn_app_tell_notes(bench->model);
    bench->model->config.eos_count = 0; /* a model with random weights may generate its end token at once */
    TN_TRY(tn_session_open(bench->model, &session, &bench->session, error));
    return make_picture(bench, error);
}

static tenebra_code measure(tn_bench *bench, tenebra_error *error)
{
    tn_measures warm_up;
    const tn_bench_way plain = { .tokens = bench->options->tokens }, again = { .recompute = true, .tokens = plain.tokens };
    size_t repeats = bench->options->repeats;
    double start = tn_clock_ms();
    TN_TRY(open_bench(bench, error));
    TN_TRY(tn_bench_ask(bench, plain, &warm_up, error));
    if (bench->prompt_count > bench->options->prompt)
        tn_app_tell("note       the image alone has %zu rows, so the prompt has %zu, not %zu (--prompt-tokens)\n", bench->picture->rows,
                    bench->prompt_count, bench->options->prompt);
    for (size_t i = 0; i < repeats; i++) {
        TN_TRY(tn_bench_ask(bench, plain, &bench->runs[0][i], error));
        if (bench->options->compare)
            TN_TRY(tn_bench_ask(bench, again, &bench->runs[1][i], error));
        tn_app_progress("runs", i + 1, repeats, start);
        if (tn_app_interrupted())
            return tn_fail(error, TENEBRA_ERROR_CANCELLED, "bench", "was interrupted");
    }
    return TENEBRA_OK;
}

static int run_bench(const tn_bench_options *options)
{
    tenebra_error error = { 0 };
    tn_bench *bench = calloc(1, sizeof *bench);
    if (bench == NULL)
        return TN_EXIT_FAILED;
    bench->options = options;
    tn_app_catch_interrupts();
    int exit_code = TN_EXIT_OK;
    json_t *json = measure(bench, &error) == TENEBRA_OK ? bench_json(bench) : NULL;
    if (json != NULL)
        tn_bench_floors(bench, json);
    if (json != NULL && (!options->costs || tn_bench_costs(bench, json, &error) == TENEBRA_OK)) {
        char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6));
        if (!options->json)
            print_text(bench, json);
        else if (text != NULL)
            tn_app_print("%s\n", text);
        free(text);
    } else {
        exit_code = tn_app_fail(&error);
    }
    json_decref(json);
    tn_image_free(&bench->image);
    tn_session_close(bench->session);
    tn_model_close(bench->model);
    free(bench->reasoner);
    free(bench);
    return exit_code;
}

#define TN_RECORD tn_bench_options
static const tn_option option_table[] = {
    TN_TEXT('m', "model", directory, "DIR", NULL, "model directory"),
    TN_SIZE('t', "threads", threads, "N", NULL, 0, 1024, "number of threads (default: all processors)"),
    TN_SIZE(0, "prompt-tokens", prompt, "N", "400", 1, 1e7, "rows of the prompt, image included"),
    TN_SIDES(0, "image-size", image_size, "size of the image in pixels, before it is resized as the model requires (default: 280x280)"),
    TN_SIZE(0, "n-latent", latents, "N", "3", 0, 1024, "number of latent steps"),
    TN_SIZE(0, "k-select", picks, "K", "32", 0, 4096, "image embeddings picked in each step"),
    TN_SIZE('n', "predict", tokens, "N", "8", 1, 1e6, "number of tokens to generate"),
    TN_SIZE('r', "repetitions", repeats, "N", "3", 1, TN_BENCH_REPEATS, "number of measured runs, after a warm-up"),
    TN_SWITCH(0, "compare-recompute", compare, "alternate with runs that recompute all rows at every step, as the reference does"),
    TN_SWITCH(0, "costs", costs, "also measure what attention scores and trace cost, and a question asked again"),
    TN_WORD(0, "cache-type", cache_type, "f32|bf16", "f32", "number type of the KV cache"),
    TN_WORD(0, "kernels", kernels, "SET", NULL, "kernel set (default: the fastest that this machine runs)", .names = tn_names_of_kernels),
    TN_SWITCH(0, "list-kernels", list_kernels, "list the kernel sets that this machine runs"),
    TN_WORD(0, "shape", shape, NULL, NULL, "write a model with random weights of this shape instead", .names = tn_names_of_shapes),
    TN_TEXT('o', "output", output, "DIR", NULL, "directory for the random model"),
    TN_TEXT(0, "tokenizer", tokenizer, "DIR", NULL, "copy the tokenizer of this directory into the random model"),
    TN_WORD(0, "type", type, "F32|F16|BF16|Q8_0|Q8_256|Q4_0|IQ4_NL|Q4_256", "BF16", "type of the random weights"),
    TN_WORD(0, "order", order, "panels|rows", NULL,
            "order of the weights: as the kernels read them, or by rows (default: panels if quantised)"),
    TN_SEED('s', "seed", seed, "0", "seed of the random weights"),
    TN_SWITCH(0, "json", json, "print one JSON object to stdout"),
    TN_OPTIONS_END
};

static int run_command(int argc, char **argv)
{
    tn_bench_options options = { 0 };
    int exit_code, first = tn_options_parse(&tn_command_bench, &options, argc, argv, &exit_code);
    if (first < 0)
        return exit_code;
    if (options.list_kernels)
        return print_kernels();
    if (options.shape != NULL)
        return write_model(&options);
    tn_path own;
    if (options.directory == NULL)
        options.directory = tn_app_default_model(&own);
    else
        options.directory = tn_app_model_directory(options.directory, &own);
    if (options.directory == NULL) {
        tn_app_tell("tenebra bench: %s; --shape makes a random model\n", TN_APP_NO_MODEL);
        return TN_EXIT_USAGE;
    }
    return run_bench(&options);
}

const tn_command tn_command_bench = {
    .name = "bench",
    .summary = "measure speed and memory; make random models of published shapes",
    .arguments = "",
    .about = "Measures a question with latent steps: loading, vision, prefill, latent steps, decoding and peak memory. The numbers\n"
             "are medians over the repetitions. With --shape, it writes a model with random weights instead, so that speed can be\n"
             "measured without real weights.",
    .example = "  tenebra bench --shape qwen2-vl-2b -o random-2b --type BF16\n"
               "  tenebra bench -m random-2b --prompt-tokens 400 --compare-recompute",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};
