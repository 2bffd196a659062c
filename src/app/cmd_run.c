/* tenebra run: ask a question about images. */
#include "app/app.h"
#include "app/method_table.h"
#include "app/run_batch.h"
#include "app/seen.h"
#include "app/run_question.h"
#include "app/run_report.h"

#include "base/file.h"
#include "base/output.h"
#include "reason/example.h"
#include "reason/scope.h"
#include "reason/trained.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const tn_usage usage = {
    .command = "run",
    .arguments = "",
    .summary = "Asks a vision-language model a question about images. The answer goes to stdout, everything else to\n"
               "stderr. Greedy unless --temp is given; no hidden penalties or defaults of the model are applied.",
    .example = "  tenebra run -m MODEL --image cat.jpg -p \"What is it looking at?\" --method ivt-lr --n-latent 3 --trace",
};

enum { PICKS_SHOWN = 4 };

typedef struct run_options {
    tenebra_model_options model;
    tenebra_session_options session;
    tenebra_request request;
    const char *directory, *image_size;
    tn_run_question question;
    tn_trained trained; /* defaults that the model's directory tells */
    double image_cache;
    const char *example;
    bool answer_turn;
    char turn[TN_ANSWER_TURN_SIZE];
    tn_example solved;
    tn_option_list stops, adapters, pass_adapters;
    const char *report;
    bool json, jsonl, trace, verbose, force;
    tn_waiting waiting;
    tn_method_table methods;
    tn_app_path own;
    const char *replay;
    int32_t *forced; /* what it holds */
    tenebra_setting settings[TN_METHOD_OPTIONS_MAX];
} run_options;

/* ------------------------------------------------------ option table ---- */

static int parse(run_options *options, int argc, char **argv, int *exit_code)
{
    tenebra_request *request = &options->request;
    tn_run_question *question = &options->question;
    const tn_option fixed[] = {
        { 'm', "model", TN_OPTION_TEXT, &options->directory, "DIR", "model directory (the small one that comes along)", 0, 0, NULL },
        { 0, "image", TN_OPTION_LIST, &question->images, "FILE", "JPEG, PNG or WebP; - is stdin; repeatable", 0, 0, NULL },
        { 'p', "prompt", TN_OPTION_TEXT, &question->prompt, "TEXT", "the question ('-' or none: read stdin)", 0, 0, NULL },
        { 0, "choice", TN_OPTION_LIST, &question->choices, "TEXT", "an answer to choose from; repeatable", 0, 0, NULL },
        { 0, "preset", TN_OPTION_WORDING, &question->preset, "NAME",
          "with --choice, the wording (as trained, if the model tells)", 0, 0, NULL },
        { 0, "system", TN_OPTION_TEXT, &question->system, "TEXT", "system message", 0, 0, NULL },
        { 0, "messages", TN_OPTION_TEXT, &question->messages, "FILE", "JSON list of turns instead of --image and -p", 0, 0, NULL },
        { 0, "example", TN_OPTION_TEXT, &options->example, "FILE", "JSON: a solved question to stand before", 0, 0, NULL },
        { 0, "answer-turn", TN_OPTION_FLAG, &options->answer_turn, "", "then ask for the answer alone, in a turn of its own", 0, 0, NULL },
        { 0, "method", TN_OPTION_TEXT, &request->method, options->methods.names,
          "how to reason (as trained, if the model tells; else direct)", 0, 0, NULL },
        { 0, "positions", TN_OPTION_TEXT, &request->positions, "sequential|mrope",
          "positions (as trained, or as the method defines)", 0, 0, NULL },
        { 'n', "predict", TN_OPTION_SIZE, &request->max_tokens, "N", "most tokens to generate (512)", 1, 1e7, NULL },
        { 'c', "ctx-size", TN_OPTION_SIZE, &options->session.context, "N", "rows of context (8192 or the model's limit)", 0, 1e8, NULL },
        { 't', "threads", TN_OPTION_SIZE, &options->session.threads, "N", "threads (all processors)", 0, 1024, NULL },
        { 0, "temp", TN_OPTION_NUMBER, &request->sampling.temperature, "T", "temperature, 0: greedy (0)", 0, 100, NULL },
        { 0, "top-k", TN_OPTION_SIZE, &request->sampling.top_k, "K", "sample among the K likeliest (all)", 0, 1e9, NULL },
        { 0, "top-p", TN_OPTION_NUMBER, &request->sampling.top_p, "P", "sample among the likeliest of total P (1)", 0, 1, NULL },
        { 's', "seed", TN_OPTION_SEED, &request->sampling.seed, "N", "seed of sampling and interventions (0)", 0, 0, NULL },
        { 0, "stop", TN_OPTION_LIST, &options->stops, "TEXT", "end before this text; repeatable", 0, 0, NULL },
        { 0, "image-size", TN_OPTION_PIXELS, &options->image_size, "WxH", "resize every image to this", 0, 0, NULL },
        { 0, "image-min-tokens", TN_OPTION_SIZE, &request->image.min_tokens, "N", "fewest embeddings an image", 0, 1e6, NULL },
        { 0, "image-max-tokens", TN_OPTION_SIZE, &request->image.max_tokens, "N", "most embeddings an image", 0, 1e6, NULL },
        { 0, "no-exif", TN_OPTION_FLAG, &request->ignore_orientation, "", "leave the EXIF orientation alone", 0, 0, NULL },
        { 0, "replay", TN_OPTION_TEXT, &options->replay, "FILE", "JSON: tokens instead of the first sampled ones", 0, 0, NULL },
        { 0, "lens", TN_OPTION_SIZE, &request->lens, "N",
          "tokens to read from each latent (5 with --trace, --json, --report)", 0, 32, NULL },
        { 0, "scores", TN_OPTION_FLAG, &request->scores, "", "with --json, the attention to the whole picture", 0, 0, NULL },
        { 0, "recompute", TN_OPTION_FLAG, &request->recompute, "", "run all rows again at every step, as the reference", 0, 0, NULL },
        { 0, "cache-type", TN_OPTION_TEXT, &options->session.cache_type, "f32|bf16", "number type of keys and values (f32)", 0, 0, NULL },
        { 0, "image-cache", TN_OPTION_NUMBER, &options->image_cache, "MB", "for pictures seen before, 0: none (256)", 0, 1e6, NULL },
        { 0, "lora", TN_OPTION_LIST, &options->adapters, "DIR[=X]", "PEFT adapter, X times as strong; repeatable", 0, 0, NULL },
        { 0, "lora-pass", TN_OPTION_LIST, &options->pass_adapters, "N:DIR[=X]", "adapter in pass N of a method only", 0, 0, NULL },
        { 0, "kernels", TN_OPTION_KERNELS, &options->model.kernels, "SET", "kernel set (the best here)", 0, 0, NULL },
        { 0, "chat-template", TN_OPTION_TEMPLATE, &options->model.chat_template, "NAME", "template (the directory's)", 0, 0, NULL },
        { 0, "trace", TN_OPTION_FLAG, &options->trace, "", "tell each step on stderr", 0, 0, NULL },
        { 0, "report", TN_OPTION_TEXT, &options->report, "FILE", "a page of HTML: the answer, and what each step saw", 0, 0, NULL },
        { 'f', "force", TN_OPTION_FLAG, &options->force, "", "with --report, replace a page that is there", 0, 0, NULL },
        { 0, "jsonl", TN_OPTION_FLAG, &options->jsonl, "", "one request a line on stdin, one answer a line (docs/batch.md)", 0, 0, NULL },
        { 0, "json", TN_OPTION_FLAG, &options->json, "", "one JSON object with answer and trace on stdout", 0, 0, NULL },
        { 'v', "verbose", TN_OPTION_FLAG, &options->verbose, "", "tell settings and times on stderr", 0, 0, NULL },
    };
    enum { FIXED = sizeof fixed / sizeof *fixed };
    tn_option table[FIXED + TN_METHOD_OPTIONS_MAX + 1] = { 0 };
    tn_method_table_fill(&options->methods);
    memcpy(table, fixed, sizeof fixed);
    tn_method_table_rows(&options->methods, table + FIXED);
    return tn_options_parse(&usage, table, argc, argv, exit_code);
}

static int usage_mistake(const char *sentence)
{
    tn_app_tell("tenebra run: %s; 'tenebra run --help' explains\n", sentence);
    return TN_EXIT_USAGE;
}

static int unexpected(const run_options *options, const char *argument)
{
    char sentence[256];
    snprintf(sentence, sizeof sentence, "unexpected argument '%.120s'; %s", argument,
             options->jsonl ? "requests are read from stdin" : "a picture is given with --image, the question with -p");
    return usage_mistake(sentence);
}

/* What the command line leaves open is as the weights were trained. A setting of the environment is for the methods that have
 * it; on the command line it must fit. */
static void choose_method(run_options *options)
{
    tenebra_request *request = &options->request;
    if (request->method == NULL)
        request->method = options->trained.method;
    if (request->positions == NULL)
        request->positions = options->trained.positions;
    request->setting_count = tn_method_table_choose(&options->methods, &options->trained, request->method, true, options->settings);
    request->settings = options->settings;
}

/* Whether a picture is asked about; of a batch nothing is known yet. */
static bool has_pictures(const run_options *options)
{
    bool found = options->jsonl;
    for (size_t t = 0; t < options->question.turn_count; t++)
        for (size_t p = 0; p < options->question.turns[t].part_count; p++)
            found |= options->question.turns[t].parts[p].kind != TENEBRA_PART_TEXT;
    return found;
}

/* Sizes of pictures: those of an option, else those that the messages give, else those of training. */
static void choose_pictures(run_options *options)
{
    tenebra_request *request = &options->request;
    const tn_trained *trained = &options->trained;
    tn_messages *given = &options->question.given;
    if (request->image.width == 0 && request->image.min_tokens == 0 && request->image.max_tokens == 0) {
        request->image = trained->image;
        if (has_pictures(options))
            tn_app_tell_size(trained, options->question.turns, options->jsonl ? 0 : options->question.turn_count);
        return;
    }
    bool sized = false;
    for (size_t i = 0; i < given->part_count; i++) {
        tenebra_part *part = &given->parts[i];
        sized |= part->resized_width > 0 || part->min_pixels > 0 || part->max_pixels > 0;
        part->resized_width = part->resized_height = part->min_pixels = part->max_pixels = 0;
    }
    if (sized)
        tn_app_tell("note       sizes of pictures are those of the options, not those in %s\n", options->question.messages);
}

/* What cannot stand beside --jsonl; NULL: nothing. */
static const char *batch_mistake(const run_options *options)
{
    const tn_run_question *question = &options->question;
    bool asked = question->prompt != NULL || question->messages != NULL || question->images.count > 0 || question->choices.count > 0;
    if (asked)
        return "with --jsonl questions come from stdin, not from -p, --image, --choice or --messages";
    if (options->report != NULL || options->trace || options->replay != NULL || options->example != NULL)
        return "--report, --trace, --replay and --example do not go with --jsonl";
    return NULL;
}

/* Fills what follows from the parsed options. */
static int complete(run_options *options)
{
    tenebra_request *request = &options->request;
    if (options->directory == NULL)
        options->directory = tn_app_default_model(&options->own);
    else
        options->directory = tn_app_model_directory(options->directory, &options->own);
    if (options->directory == NULL)
        return usage_mistake("name a model directory with -m");
    if (options->image_size != NULL)
        tn_app_read_pixels(options->image_size, &request->image.width, &request->image.height);
    const char *mistake = options->jsonl ? batch_mistake(options) : tn_run_question_mistake(&options->question);
    if (mistake != NULL)
        return usage_mistake(mistake);
    options->session.image_cache = (size_t)(options->image_cache * 1e6);
    options->session.no_image_cache = options->session.image_cache == 0;
    request->stops = options->stops.items;
    request->stop_count = options->stops.count;
    if (request->lens == 0 && (options->trace || options->json || options->report))
        request->lens = 5;
    request->scores |= options->report != NULL;
    return TN_EXIT_OK;
}

/* ------------------------------------------------------------ watching -- */

/* The tokens that the head reads from the latent, escaped: they may be anything. Those without text show
 * their number. */
static void print_lens(const tenebra_step *step)
{
    char shown[TN_SHOWN_SIZE];
    for (size_t i = 0; i < step->lens_count; i++) {
        const tenebra_lens *lens = &step->lens[i];
        fputs(i ? "  " : "  says      ", stderr);
        if (lens->text[0] != '\0')
            tn_app_tell("'%s' %.3f", tn_text_show(lens->text, strlen(lens->text), shown), lens->probability);
        else
            tn_app_tell("#%d %.3f", (int)lens->token, lens->probability);
    }
    if (step->lens_count > 0)
        fputc('\n', stderr);
}

/* Whether pick a got more attention than pick b; of equals the earlier one counts. */
static bool is_seen_more(const tenebra_step *step, size_t a, size_t b)
{
    return step->picks[a].score > step->picks[b].score || (step->picks[a].score == step->picks[b].score && a < b);
}

/* The picks that got most attention, falling. */
static void print_picks(const tenebra_step *step)
{
    size_t shown = step->pick_count < PICKS_SHOWN ? step->pick_count : PICKS_SHOWN, at = 0;
    for (size_t rank = 0; rank < shown; rank++) {
        size_t better;
        for (size_t i = 0; i < step->pick_count; i++) {
            better = 0;
            for (size_t other = 0; other < step->pick_count; other++)
                better += is_seen_more(step, other, i);
            if (better == rank)
                at = i;
        }
        const tenebra_pick *pick = &step->picks[at];
        tn_app_tell("%s image %zu  x %4.0f-%-4.0f y %4.0f-%-4.0f  attention %.4f\n",
                rank ? "           " : "  looks at ", pick->image + 1, pick->x0, pick->x1, pick->y0, pick->y1, pick->score);
    }
    if (shown < step->pick_count)
        tn_app_tell("            and %zu more (--json tells all)\n", step->pick_count - shown);
}

static void print_step(const tenebra_step *step, size_t index)
{
    tn_app_tell("step %-2zu     ", index + 1);
    if (step->hidden_norm == step->hidden_norm)
        tn_app_tell("|h| %.2f", step->hidden_norm);
    else
        tn_app_tell("%zu image embeddings again", step->pick_count);
    if (step->attention_ratio == step->attention_ratio)
        tn_app_tell(", attention ratio %.2f", step->attention_ratio);
    if (step->attention_focus == step->attention_focus)
        tn_app_tell(", focus %.2f", step->attention_focus);
    tn_app_tell(", %.1f ms\n", step->milliseconds);
    print_lens(step);
    print_picks(step);
}

static bool on_event(void *user, const tenebra_event *event)
{
    run_options *options = user;
    if (event->kind == TENEBRA_EVENT_WORK)
        tn_app_show_work(&options->waiting, event);
    else
        tn_app_end_waiting(&options->waiting);
    bool taught = options->trained.method != NULL && strcmp(options->trained.method, event->trace->method) == 0;
    if (event->kind == TENEBRA_EVENT_PROMPT && event->trace->passes == 0 && event->trace->note != NULL && !taught)
        tn_app_tell("note       %s\n", event->trace->note);
    if (event->kind == TENEBRA_EVENT_PROMPT && (options->trace || options->verbose))
        tn_app_tell("prompt     %zu rows, %zu of them image embeddings\n", event->trace->prompt_tokens,
                event->trace->image_tokens);
    if (event->kind == TENEBRA_EVENT_STEP && options->trace)
        print_step(event->step, event->index);
    if (event->kind == TENEBRA_EVENT_TEXT && !options->json) {
        tn_app_print_text(event->text);
        fflush(stdout);
    }
    return !tn_app_interrupted() && !ferror(stdout); /* nobody reads: no need to go on */
}

/* What was generated on the way to the answer, and what each prompt cost. */
static void print_passes(const tenebra_trace *trace)
{
    char shown[TN_SHOWN_SIZE];
    for (size_t i = 0; i < trace->passes && trace->passes > 1; i++) {
        const tenebra_pass *pass = &trace->pass[i];
        tn_app_tell("pass %-2zu    %zu rows, %zu of them known, %zu tokens", i + 1, pass->prompt_tokens, pass->reused,
                pass->token_count);
        if (i + 1 < trace->passes)
            tn_app_tell(": '%s'", tn_text_show(pass->text, strlen(pass->text), shown));
        fputc('\n', stderr);
    }
}

static void print_account(const tenebra_trace *trace)
{
    char shown[TN_SHOWN_SIZE];
    tn_app_tell("method     %s", trace->method);
    for (size_t i = 0; i < trace->setting_count; i++)
        tn_app_tell("%s%s %s", i ? ", " : ": ", trace->settings[i].name,
                tn_text_show(trace->settings[i].value, strlen(trace->settings[i].value), shown));
    tn_app_tell("\nrun        %s positions, ", trace->positions);
    if (trace->sampling.temperature > 0)
        tn_app_tell("temperature %g, top-k %zu, top-p %g, seed %llu", trace->sampling.temperature, trace->sampling.top_k,
                    trace->sampling.top_p, (unsigned long long)trace->sampling.seed);
    else
        tn_app_tell("greedy");
    tn_app_tell(", kernels %s, %zu threads\n", trace->kernels, trace->threads);
    tn_app_tell("rows       %zu prompt (%zu of pictures), %zu latent steps, %zu injected, %zu tokens; %zu computed, "
            "%s cache\n",
            trace->prompt_tokens, trace->image_tokens, trace->latent_steps, trace->injected_tokens, trace->token_count,
            trace->positions_computed, trace->cache_type);
    size_t steps = trace->token_count + trace->latent_steps;
    tn_app_tell("steps      %zu autoregressive, %zu with injected rows\n", steps, steps + trace->injected_tokens);
    if (trace->call_count > 0)
        tn_app_tell("calls      %zu for regions, %zu of them invalid; %zu pictures added\n", trace->call_count,
                trace->invalid_calls, trace->crops);
    tn_app_tell("ms         %.1f pictures, %.1f vision, %.1f prompt, %.1f latent, %.1f answer; %.1f in all\n",
            trace->decode_ms, trace->vision_ms, trace->prefill_ms, trace->latent_ms, trace->generation_ms, trace->total_ms);
}

/* ------------------------------------------------------------- command -- */

static int show(const run_options *options, const tenebra_trace *trace)
{
    if (!options->json) {
        putchar('\n');
        fflush(stdout);
        if (options->trace || options->verbose) {
            print_passes(trace);
            print_account(trace);
        }
        return TN_EXIT_OK;
    }
    char *text = tenebra_trace_json(trace);
    if (text == NULL) {
        tn_app_tell("tenebra: no memory for the trace\n");
        return TN_EXIT_FAILED;
    }
    tn_app_print("%s\n", text);
    free(text);
    return TN_EXIT_OK;
}

static int ask(run_options *options)
{
    tenebra_error error = { 0 };
    const tenebra_trace *trace;
    options->request.messages = options->question.turns;
    options->request.message_count = options->question.turn_count;
    options->request.on_event = on_event;
    options->request.user = options;
    options->request.work = isatty(STDERR_FILENO);
    options->request.forced = options->forced;
    tenebra_model *model = NULL;
    if (options->answer_turn) {
        tn_answer_turn_write(options->turn, 0);
        options->request.answer_turn = options->turn;
    }
    if (options->solved.json != NULL)
        options->request.example = &options->solved.example;
    tn_app_show_loading(&options->waiting, options->directory);
    model = tenebra_model_open(options->directory, &options->model, &error);
    tn_app_end_waiting(&options->waiting);
    if (model != NULL && (options->trace || options->verbose))
        tn_app_tell_adapters(model, &options->model);
    if (model != NULL)
        tn_app_tell_notes(model);
    tenebra_session *session = model ? tenebra_session_open(model, &options->session, &error) : NULL;
    int exit_code = TN_EXIT_FAILED;
    tn_app_interrupt_session(session);
    if (session != NULL && options->jsonl) {
        const tn_run_batch batch = { .base = &options->request, .methods = &options->methods, .trained = &options->trained,
                                     .preset = options->question.preset, .system = options->question.system,
                                     .whole = options->json };
        exit_code = tn_run_batch_answer(&batch, session);
    } else if (session != NULL && tenebra_session_ask(session, &options->request, &trace, &error) == TENEBRA_OK) {
        exit_code = show(options, trace);
        if (options->report != NULL && exit_code == TN_EXIT_OK &&
            tn_run_report(options->report, options->directory, session, &options->request, options->question.text, trace,
                          &error) != TENEBRA_OK)
            exit_code = tn_app_fail(&error);
    } else if (!ferror(stdout)) { /* which is told at the end */
        tn_app_end_waiting(&options->waiting);
        exit_code = tn_app_fail(&error);
    }
    tn_app_interrupt_session(NULL);
    tenebra_session_close(session);
    tenebra_model_close(model);
    return exit_code;
}

/* The example is worded as the question is: by a preset, or plainly where the question stands as it was written. */
static tenebra_code read_example(run_options *options, const char *standard, tenebra_error *error)
{
    const tn_run_question *question = &options->question;
    const char *preset = question->preset != NULL ? question->preset : question->choices.count > 0 ? standard : "plain";
    TN_TRY(tn_example_read(&options->solved, options->example, tn_prompt_find(preset), error));
    if (options->solved.unknown[0] != '\0')
        tn_app_tell("note: %s: members that are not read: %s\n", options->example, options->solved.unknown);
    return TENEBRA_OK;
}

/* A note where no turn has a word that the model was made for, or one asks what it did not learn; what adapters taught it is not
 * known. */
static tenebra_code tell_scope(const run_options *options, tenebra_error *error)
{
    tn_scope scope;
    bool fits = options->model.adapter_count > 0, taught = fits;
    const char *unlearned = NULL;
    TN_TRY(tn_scope_read(&scope, options->directory, error));
    for (size_t t = 0; t < options->question.turn_count; t++)
        for (size_t p = 0; p < options->question.turns[t].part_count && !taught; p++) {
            const tenebra_part *part = &options->question.turns[t].parts[p];
            if (part->kind != TENEBRA_PART_TEXT)
                continue;
            fits |= tn_scope_fits(&scope, part->text);
            unlearned = unlearned != NULL ? unlearned : tn_scope_unlearned(&scope, part->text);
        }
    if (!fits)
        tn_app_tell("note: the question has none of the words that this model was made for%s%s\n",
                scope.about != NULL ? "; it answers " : "", scope.about != NULL ? scope.about : "");
    else if (unlearned != NULL)
        tn_app_tell("note: this model did not learn %s; the answer is a guess\n", unlearned);
    tn_scope_free(&scope);
    return TENEBRA_OK;
}

/* What is read before the model. */
static tenebra_code read_inputs(run_options *options, tenebra_error *error)
{
    if (options->report != NULL)
        TN_TRY(tn_output_check(options->report, options->force, error));
    TN_TRY(tn_app_read_adapters(&options->adapters, &options->pass_adapters, &options->model, error));
    TN_TRY(tn_trained_read(&options->trained, options->directory, options->model.adapters, options->model.adapter_count, error));
    const tn_prompt_preset *wording = tn_trained_wording(&options->trained);
    if (options->jsonl) {
        choose_pictures(options);
        return TENEBRA_OK;
    }
    choose_method(options);
    TN_TRY(tn_run_question_open(&options->question, wording, error));
    TN_TRY(tell_scope(options, error));
    choose_pictures(options);
    if (options->example != NULL)
        TN_TRY(read_example(options, wording->name, error));
    if (options->replay != NULL)
        TN_TRY(tn_app_read_tokens(options->replay, &options->forced, &options->request.forced_count, error));
    return TENEBRA_OK;
}

int tn_cmd_run(int argc, char **argv)
{
    run_options options = { .image_cache = 256 };
    tenebra_error error = { 0 };
    int exit_code, rest = parse(&options, argc, argv, &exit_code);
    if (rest >= 0) {
        exit_code = rest < argc ? unexpected(&options, argv[rest]) : complete(&options);
        if (exit_code == TN_EXIT_OK) {
            tenebra_code code = read_inputs(&options, &error);
            tn_app_catch_interrupts(); /* before that, while waiting for stdin, they simply end the program */
            exit_code = code == TENEBRA_OK ? ask(&options) : tn_app_fail(&error);
        }
    }
    tn_run_question_free(&options.question);
    tn_trained_free(&options.trained);
    tn_app_free_adapters(&options.model);
    free(options.forced);
    tn_example_free(&options.solved);
    free(options.adapters.items);
    free(options.pass_adapters.items);
    free(options.stops.items);
    return exit_code;
}
