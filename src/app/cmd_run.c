/* tenebra run: ask a question about images. */
#include "app/ask.h"
#include "app/run_batch.h"
#include "app/seen.h"
#include "app/run_question.h"
#include "app/run_report.h"

#include "base/file.h"
#include "base/output.h"
#include "reason/asked.h"
#include "reason/example.h"
#include "reason/method.h"
#include "reason/trained.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PICKS_SHOWN = 4 };

typedef struct run_options {
    tn_ask ask;
    tn_run_question question;
    tn_scope scope; /* of the model; zeroed with adapters */
    double image_cache; /* MB */
    char turn[TN_ANSWER_TURN_SIZE];
    tn_example solved;
    tn_option_list stops;
    const char *report;
    bool json, jsonl, trace, verbose, force;
    tn_waiting waiting;
    const char *replay;
    int32_t *forced; /* the tokens in `replay` */
    tenebra_setting settings[TN_METHOD_OPTIONS_MAX];
    char picks[TN_SETTING_TEXT_SIZE]; /* memory for a value that the wording brings with it */
} run_options;

#define TN_RECORD run_options
static const tn_option option_table[] = {
    TN_LIST(0, "image", question.images, "FILE", "image file (JPEG, PNG or WebP); - is stdin; repeatable"),
    TN_TEXT('p', "prompt", question.prompt, "TEXT", NULL, "the question (default, or '-': read stdin)"),
    TN_LIST(0, "choice", question.choices, "TEXT", "a choice, from which the model selects its answer; repeatable"),
    TN_TEXT(0, "system", question.system, "TEXT", NULL, "system message"),
    TN_TEXT(0, "messages", question.messages, "FILE", NULL,
            "JSON file with a list of turns {\"role\", \"content\"}, instead of --image and -p; - is stdin"),
    TN_WORD(0, "method", ask.request.method, NULL, NULL, "reasoning method (default: as in training, if recorded; else direct)",
            .names = tn_names_of_methods),
    TN_SIZE('t', "threads", ask.session.threads, "N", NULL, 0, 1024, "number of threads (default: all processors)",
            .hint = "-t is the number of threads, --temp the temperature"),
    TN_LIST(0, "stop", stops, "TEXT", "end the answer before this text; repeatable"),
    TN_SWITCH(0, "no-exif", ask.request.ignore_orientation, "ignore the EXIF orientation of images"),
    TN_TEXT(0, "replay", replay, "FILE", NULL, "JSON file with tokens that replace the first sampled ones"),
    TN_SIZE(0, "lens", ask.request.lens, "N", NULL, 0, 32,
            "show the N most likely tokens of each latent (default: 5 with --trace, --json, --report)"),
    TN_SWITCH(0, "recompute", ask.request.recompute, "recompute all rows at every step, as the reference does"),
    TN_NUMBER(0, "image-cache", image_cache, "MB", "256", 0, 1e6, "size of the cache of image embeddings; 0 disables it"),
    TN_SWITCH(0, "trace", trace, "print each step to stderr"),
    TN_TEXT(0, "report", report, "FILE", NULL, "write an HTML page with the answer and what each step saw"),
    TN_SWITCH('f', "force", force, "with --report, replace an existing page"),
    TN_SWITCH(0, "jsonl", jsonl, "read one request per line from stdin, write one answer per line (docs/batch.md)"),
    TN_SWITCH(0, "json", json, "print answer and trace as one JSON object to stdout"),
    TN_SWITCH('v', "verbose", verbose, "print settings and times to stderr"),
    TN_OPTIONS_END
};

static int unexpected(const run_options *options, const char *argument)
{
    char sentence[256];
    snprintf(sentence, sizeof sentence, "unexpected argument '%.120s'; %s", argument,
             options->jsonl ? "requests are read from stdin" : "an image is given with --image, the question with -p");
    return tn_command_mistake(&tn_command_run, sentence);
}

/* Takes what the command line does not set from the model's training. A setting from the environment is ignored if the method
 * does not have it; one from the command line is an error. Errors: ARGUMENT. */
static tenebra_code choose_method(run_options *options, tenebra_error *error)
{
    tenebra_request *request = &options->ask.request;
    if (request->method == NULL)
        request->method = options->ask.trained.method;
    request->setting_count =
        tn_method_table_choose(&options->ask.methods, &options->ask.trained, request->method, true, options->settings);
    request->settings = options->settings;
    const tn_prompt_preset *wording = options->question.preset != NULL ? tn_prompt_find(options->question.preset) : NULL;
    if (request->setting_count < TN_METHOD_OPTIONS_MAX)
        request->setting_count += tn_wording_setting(wording, request->method, request->settings, request->setting_count, options->picks,
                                                     &options->settings[request->setting_count]);
    const tn_method *method;
    TN_TRY(tn_method_choose(request->method != NULL ? request->method : tn_method_default(), &method, error));
    request->reconstruct |= options->report != NULL && method->denoiser != NULL;
    for (size_t i = 0; i < request->setting_count; i++)
        TN_TRY(tn_method_check_setting(method, request->settings[i].name, request->settings[i].value, error));
    return TENEBRA_OK;
}

/* Whether the question has an image; true for a batch, whose questions are not known yet. */
static bool has_pictures(const run_options *options)
{
    bool found = options->jsonl;
    for (size_t t = 0; t < options->question.turn_count; t++)
        for (size_t p = 0; p < options->question.turns[t].part_count; p++)
            found |= options->question.turns[t].parts[p].kind != TENEBRA_PART_TEXT;
    return found;
}

/* Chooses the sizes of images: those of the options, else those in the messages, else those of training. */
static void choose_pictures(run_options *options)
{
    tn_messages *given = &options->question.given;
    if (!tn_ask_has_sizes(&options->ask)) {
        options->ask.request.image = options->ask.trained.image;
        if (has_pictures(options))
            tn_app_tell_size(&options->ask.trained, options->question.turns, options->jsonl ? 0 : options->question.turn_count);
        return;
    }
    bool sized = false;
    for (size_t i = 0; i < given->part_count; i++) {
        tenebra_part *part = &given->parts[i];
        sized |= part->resized_width > 0 || part->min_pixels > 0 || part->max_pixels > 0;
        part->resized_width = part->resized_height = part->min_pixels = part->max_pixels = 0;
    }
    if (sized)
        tn_app_tell("note       sizes of images are those of the options, not those in %s\n", options->question.messages);
}

/* A sentence about an option that contradicts --jsonl; NULL if there is none. */
static const char *batch_mistake(const run_options *options)
{
    const tn_run_question *question = &options->question;
    bool asked = question->prompt != NULL || question->messages != NULL || question->images.count > 0 || question->choices.count > 0;
    if (asked)
        return "with --jsonl questions come from stdin, not from -p, --image, --choice or --messages";
    if (options->report != NULL || options->trace || options->replay != NULL || options->ask.example != NULL)
        return "--report, --trace, --replay and --example cannot be combined with --jsonl";
    return NULL;
}

/* Fills what follows from the parsed options. */
static int complete(run_options *options)
{
    tenebra_request *request = &options->ask.request;
    options->question.preset = options->ask.preset;
    const char *mistake = tn_ask_find_model(&options->ask);
    if (mistake == NULL)
        mistake = options->jsonl ? batch_mistake(options) : tn_run_question_mistake(&options->question);
    if (mistake != NULL)
        return tn_command_mistake(&tn_command_run, mistake);
    options->ask.session.image_cache = (size_t)(options->image_cache * 1e6);
    options->ask.session.no_image_cache = options->ask.session.image_cache == 0;
    request->stops = options->stops.items;
    request->stop_count = options->stops.count;
    if (request->lens == 0 && (options->trace || options->json || options->report))
        request->lens = 5;
    request->scores |= options->report != NULL;
    return TN_EXIT_OK;
}

/* ------------------------------------------------------------ watching -- */

/* Prints the tokens that the head reads from a latent, with control characters escaped; tokens without text as their id. */
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

/* Whether pick a got more attention than pick b; equal picks keep their order. */
static bool is_seen_more(const tenebra_step *step, size_t a, size_t b)
{
    return step->picks[a].score > step->picks[b].score || (step->picks[a].score == step->picks[b].score && a < b);
}

/* Prints the picks with the most attention, in descending order. */
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
        tn_app_tell("                        and %zu more (--json lists all)\n", step->pick_count - shown);
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
    bool taught = options->ask.trained.method != NULL && strcmp(options->ask.trained.method, event->trace->method) == 0;
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
    return !tn_app_interrupted() && !ferror(stdout); /* stdout was closed, so the answer is no longer needed */
}

/* Prints what was generated before the answer, and the rows of each pass. */
static void print_passes(const tenebra_trace *trace)
{
    char shown[TN_SHOWN_SIZE];
    for (size_t i = 0; i < trace->passes && trace->passes > 1; i++) {
        const tenebra_pass *pass = &trace->pass[i];
        tn_app_tell("pass %-2zu    %zu rows, %zu of them cached, %zu tokens", i + 1, pass->prompt_tokens, pass->reused,
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
    tn_app_tell("rows       %zu prompt (%zu of images), %zu latent steps, %zu injected, %zu tokens; %zu computed, "
            "%s cache\n",
            trace->prompt_tokens, trace->image_tokens, trace->latent_steps, trace->injected_tokens, trace->token_count,
            trace->positions_computed, trace->cache_type);
    size_t steps = trace->token_count + trace->latent_steps;
    tn_app_tell("steps      %zu autoregressive, %zu with injected rows\n", steps, steps + trace->injected_tokens);
    if (tenebra_trace_note(trace, "calls") != NULL)
        tn_app_tell("calls      %zu for regions, %zu of them invalid; %zu images added\n", tn_trace_noted(trace, "calls"),
                tn_trace_noted(trace, "invalid_calls"), trace->images_added);
    tn_app_tell("ms         %.1f images, %.1f vision, %.1f prompt, %.1f latent, %.1f answer; %.1f total\n",
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
    options->ask.request.messages = options->question.turns;
    options->ask.request.message_count = options->question.turn_count;
    options->ask.request.on_event = on_event;
    options->ask.request.user = options;
    options->ask.request.work = isatty(STDERR_FILENO);
    options->ask.request.forced = options->forced;
    tenebra_model *model = NULL;
    if (options->ask.answer_turn) {
        tn_answer_turn_write(options->turn, 0);
        options->ask.request.answer_turn = options->turn;
    }
    if (options->solved.json != NULL)
        options->ask.request.example = &options->solved.example;
    tn_app_show_loading(&options->waiting, options->ask.directory);
    tenebra_model_open(&model, options->ask.directory, &options->ask.model, &error);
    tn_app_end_waiting(&options->waiting);
    if (model != NULL && (options->trace || options->verbose))
        tn_app_tell_adapters(model, &options->ask.model);
    if (model != NULL)
        tn_app_tell_notes(model);
    if (model != NULL && !options->jsonl) /* each request of a batch has a method of its own */
        tn_ask_tell_passes(&options->ask, tn_ask_passes(options->ask.request.method));
    tenebra_session *session = NULL;
    if (model != NULL)
        tenebra_session_open(&session, model, &options->ask.session, &error);
    int exit_code = TN_EXIT_FAILED;
    tn_app_interrupt_session(session);
    if (session != NULL && options->jsonl) {
        const tn_run_batch batch = { .base = &options->ask.request, .methods = &options->ask.methods, .trained = &options->ask.trained,
                                     .scope = &options->scope, .preset = options->question.preset, .system = options->question.system,
                                     .whole = options->json };
        exit_code = tn_run_batch_answer(&batch, session);
    } else if (session != NULL && tenebra_session_ask(session, &options->ask.request, &trace, &error) == TENEBRA_OK) {
        exit_code = show(options, trace);
        if (options->report != NULL && exit_code == TN_EXIT_OK &&
            tn_run_report(options->report, options->ask.directory, session, &options->ask.request, options->question.text, trace,
                          &error) != TENEBRA_OK)
            exit_code = tn_app_fail(&error);
    } else if (!ferror(stdout)) { /* a failure is reported when stdout is closed */
        tn_app_end_waiting(&options->waiting);
        exit_code = tn_app_fail(&error);
    }
    tn_app_interrupt_session(NULL);
    tenebra_session_close(session);
    tenebra_model_close(model);
    return exit_code;
}

/* The example has the wording of the question: its preset, or plain if the question is used as it was written. */
static tenebra_code read_example(run_options *options, const char *standard, tenebra_error *error)
{
    const tn_run_question *question = &options->question;
    const char *preset = question->preset != NULL ? question->preset : question->choices.count > 0 ? standard : "plain";
    TN_TRY(tn_example_read(&options->solved, options->ask.example, tn_prompt_find(preset), error));
    if (options->solved.unknown[0] != '\0')
        tn_app_tell("note: %s: unused members: %s\n", options->ask.example, options->solved.unknown);
    return TENEBRA_OK;
}

/* Reads everything that is needed before the model. */
static tenebra_code read_inputs(run_options *options, tenebra_error *error)
{
    if (options->report != NULL)
        TN_TRY(tn_output_check(options->report, options->force, error));
    TN_TRY(tn_ask_read_trained(&options->ask, error));
    if (options->ask.model.adapter_count == 0) /* what adapters taught the model is not known */
        TN_TRY(tn_scope_read(&options->scope, options->ask.place.text, error));
    const tn_prompt_preset *wording = tn_trained_wording(&options->ask.trained);
    if (options->jsonl) {
        choose_pictures(options);
        return TENEBRA_OK;
    }
    TN_TRY(choose_method(options, error));
    const tenebra_request *request = &options->ask.request;
    tn_ask_tell_greedy("note: ", &request->sampling, tn_ask_intervenes(request->method, request->settings, request->setting_count));
    TN_TRY(tn_run_question_open(&options->question, wording, error));
    tn_run_question_note_scope(&options->scope, options->question.turns, options->question.turn_count, "note: ");
    choose_pictures(options);
    if (options->ask.example != NULL)
        TN_TRY(read_example(options, wording->name, error));
    if (options->replay != NULL)
        TN_TRY(tn_app_read_tokens(options->replay, &options->forced, &options->ask.request.forced_count, error));
    return TENEBRA_OK;
}

static int run_command(int argc, char **argv)
{
    run_options options = { .ask = TN_ASK_INIT };
    tenebra_error error = { 0 };
    int exit_code, rest = tn_options_parse(&tn_command_run, &options, argc, argv, &exit_code);
    if (rest >= 0) {
        exit_code = rest < argc ? unexpected(&options, argv[rest]) : complete(&options);
        if (exit_code == TN_EXIT_OK) {
            tenebra_code code = read_inputs(&options, &error);
            tn_app_catch_interrupts(); /* until here, while stdin is read, an interrupt ends the program at once */
            exit_code = code == TENEBRA_OK ? ask(&options) : tn_app_fail(&error);
        }
    }
    tn_run_question_free(&options.question);
    tn_scope_free(&options.scope);
    tn_ask_free(&options.ask);
    free(options.forced);
    tn_example_free(&options.solved);
    free(options.stops.items);
    return exit_code;
}

static const tn_option_group groups[] = { { option_table, 0 }, TN_ASK_GROUPS(run_options, ask), TN_GROUPS_END };

const tn_command tn_command_run = {
    .name = "run",
    .summary = "ask a question about an image",
    .arguments = "",
    .about = "Asks a vision-language model a question about images. The answer goes to stdout, everything else to stderr. Decoding\n"
             "is greedy unless --temp is given; penalties and sampling defaults of the model directory are not applied.",
    .example = "  tenebra run -m MODEL --image cat.jpg -p \"What is it looking at?\" --method ivt-lr --n-latent 3 --trace",
    .groups = groups,
    .run = run_command,
};
