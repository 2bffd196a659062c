#include "app/run_report.h"

#include "app/report_write.h"
#include "base/output.h"
#include "eval/record.h"
#include "report/report.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The request as texts and images for the page. */
typedef struct asked {
    tn_text words;
    tenebra_part *pictures; /* [picture_count] */
    size_t picture_count;
} asked;

static tenebra_code add_words(asked *a, const char *text, size_t length, tenebra_error *error)
{
    return tn_text_append(&a->words, text, length, error);
}

static tenebra_code add_part(asked *a, const tenebra_part *part, tenebra_error *error)
{
    if (part->kind == TENEBRA_PART_TEXT)
        return add_words(a, part->text, part->length > 0 ? part->length : strlen(part->text), error);
    TN_TRY(TN_GROW(a->pictures, a->picture_count, "report", error));
    a->pictures[a->picture_count++] = *part;
    return TENEBRA_OK;
}

/* All turns, each with its role if there are several. */
static tenebra_code read_request(asked *a, const tenebra_request *request, tenebra_error *error)
{
    for (size_t m = 0; m < request->message_count; m++) {
        const tenebra_message *message = &request->messages[m];
        if (request->message_count > 1) {
            TN_TRY(add_words(a, m > 0 ? "\n" : "", m > 0 ? 1 : 0, error));
            TN_TRY(add_words(a, message->role, strlen(message->role), error));
            TN_TRY(add_words(a, ": ", 2, error));
        }
        for (size_t p = 0; p < message->part_count; p++)
            TN_TRY(add_part(a, &message->parts[p], error));
    }
    return TENEBRA_OK;
}

/* The text of the last message; NULL: it has none. */
static const char *last_text(const tenebra_request *request)
{
    const tenebra_message *message = &request->messages[request->message_count - 1];
    for (size_t p = 0; p < message->part_count; p++)
        if (message->parts[p].kind == TENEBRA_PART_TEXT && message->parts[p].length == 0)
            return message->parts[p].text;
    return NULL;
}

static void describe_sampling(char *words, size_t size, const tenebra_trace *trace)
{
    if (trace->sampling.temperature > 0)
        snprintf(words, size, "temperature %g, top-k %zu, top-p %g, seed %llu, %s positions", trace->sampling.temperature,
                 trace->sampling.top_k, trace->sampling.top_p, (unsigned long long)trace->sampling.seed, trace->positions);
    else
        snprintf(words, size, "greedy, %s positions", trace->positions);
}

static tenebra_code write_page(const char *path, const tn_report_answer *answer, tenebra_error *error)
{
    char date[TN_APP_DATE_SIZE];
    tn_report_options options = { .date = tn_app_date(date) };
    char *page;
    TN_TRY(tn_report_one(answer, &options, NULL, &page, error));
    tenebra_code code = tn_output_put(path, page, strlen(page), error);
    free(page);
    return code;
}

/* The session's trace becomes invalid. */
static tenebra_code ask_neutral(json_t *record, tenebra_session *session, const tenebra_request *request, const char *positions,
                                tenebra_error *error)
{
    tn_neutral neutral;
    const tenebra_trace *trace;
    TN_TRY(tn_neutral_write(&neutral, request, positions, error));
    tenebra_code code = neutral.parts != NULL ? tenebra_session_ask(session, &neutral.request, &trace, error) : TENEBRA_OK;
    if (code == TENEBRA_OK && neutral.parts != NULL && !tn_record_add_neutral(record, trace))
        code = tn_fail(error, TENEBRA_ERROR_MEMORY, "scores", "no memory for a record");
    tn_neutral_free(&neutral);
    return code;
}

tenebra_code tn_run_report(const char *path, const char *model, tenebra_session *session, const tenebra_request *request,
                           const char *title, const tenebra_trace *trace, tenebra_error *error)
{
    asked a = { .pictures = NULL };
    char sampling[160];
    json_t *record = json_object();
    tenebra_setting *settings = calloc(trace->setting_count + 1, sizeof *settings);
    tenebra_code code = record != NULL && settings != NULL && tn_record_add_trace(record, trace, 1)
                            ? read_request(&a, request, error)
                            : tn_fail(error, TENEBRA_ERROR_MEMORY, "report", "no memory for the answer");
    if (code == TENEBRA_OK) {
        /* The list ends with the trace; it points to defaults and to the request's own texts. */
        memcpy(settings, trace->settings, trace->setting_count * sizeof *settings);
        describe_sampling(sampling, sizeof sampling, trace);
        tn_report_answer answer = { .model = model, .title = title != NULL ? title : last_text(request),
                                    .question = a.words.data != NULL ? a.words.data : "", .pictures = a.pictures,
                                    .picture_count = a.picture_count, .apply_exif = !request->ignore_orientation, .record = record,
                                    .settings = settings, .setting_count = trace->setting_count, .method = trace->method,
                                    .sampling = sampling, .kernels = trace->kernels };
        code = ask_neutral(record, session, request, trace->positions, error);
        if (code == TENEBRA_OK)
            code = write_page(path, &answer, error);
    }
    tn_text_free(&a.words);
    free(a.pictures);
    free(settings);
    json_decref(record);
    return code;
}
