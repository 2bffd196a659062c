#include "app/app.h"
#include "app/jsonl.h"

#include "base/json.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct tokenize_job {
    const char *model, *prompt;
    bool jsonl, no_special;
    tn_tokenizer *tokenizer;
} tokenize_job;

/* Added tokens in the text are recognised, as in the reference library, unless --no-special is given. */
static tenebra_code encode(const tokenize_job *job, const char *text, size_t length, tn_ids *ids,
                           tenebra_error *error)
{
    tn_text_span span = { text, length, !job->no_special };
    return tn_tokenizer_encode(job->tokenizer, &span, 1, ids, error);
}

/* ------------------------------------------------------------ for people -- */

/* Prints the bytes of a token on one line: control characters and invalid bytes as escapes. */
static void print_piece(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length;) {
        int32_t c;
        size_t size = tn_utf8_read(bytes + i, length - i, &c);
        if (c == '\n' || c == '\t' || c == '\r')
            tn_app_print("\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        else if (c < 0x20 || (c >= 0x7F && c < 0xA0))
            for (size_t k = 0; k < size; k++)
                tn_app_print("\\x%02X", (unsigned)(unsigned char)bytes[i + k]);
        else
            fwrite(bytes + i, 1, size, stdout);
        i += size;
    }
}

static int show(const tokenize_job *job, const char *text, size_t length)
{
    tn_ids ids = { 0 };
    tenebra_error error;
    if (encode(job, text, length, &ids, &error) != TENEBRA_OK)
        return tn_app_fail(&error);
    for (size_t i = 0; i < ids.count; i++) {
        size_t size;
        const char *bytes = tn_tokenizer_bytes(job->tokenizer, ids.ids[i], &size);
        tn_app_print("%8d  '", (int)ids.ids[i]);
        print_piece(bytes, size);
        tn_app_print("'%s\n", tn_tokenizer_is_added(job->tokenizer, ids.ids[i]) ? "  added token" : "");
    }
    tn_app_print("%zu token%s\n", ids.count, ids.count == 1 ? "" : "s");
    tn_ids_free(&ids);
    return TN_EXIT_OK;
}

static int show_input(const tokenize_job *job)
{
    char block[65536];
    tn_text text = { 0 };
    tenebra_error error;
    tenebra_code code = TENEBRA_OK;
    size_t size;
    while (code == TENEBRA_OK && (size = fread(block, 1, sizeof block, stdin)) > 0)
        code = tn_text_append(&text, block, size, &error);
    if (code == TENEBRA_OK && ferror(stdin))
        code = tn_fail(&error, TENEBRA_ERROR_IO, "standard input", "cannot be read");
    int exit_code = code == TENEBRA_OK ? show(job, text.data, text.length) : tn_app_fail(&error);
    tn_text_free(&text);
    return exit_code;
}

/* ---------------------------------------------------------- for programs -- */

static tenebra_code encode_value(const tokenize_job *job, const json_t *text, json_t *answer,
                                 tenebra_error *error)
{
    tn_ids ids = { 0 };
    TN_TRY(encode(job, json_string_value(text), json_string_length(text), &ids, error));
    json_t *list = json_array();
    bool fits = json_object_set_new(answer, "ids", list) == 0;
    for (size_t i = 0; i < ids.count && fits; i++)
        fits = json_array_append_new(list, json_integer(ids.ids[i])) == 0;
    tn_ids_free(&ids);
    return fits ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, "ids", "no memory for the answer");
}

static tenebra_code read_ids(const json_t *list, tn_ids *ids, tenebra_error *error)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id > INT32_MAX)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, "ids", "entry %zu is not a token id", i);
        TN_TRY(tn_ids_push(ids, (int32_t)id, error));
    }
    return TENEBRA_OK;
}

static tenebra_code decode_value(const tokenize_job *job, const json_t *list, bool skip_special, json_t *answer,
                                 tenebra_error *error)
{
    tn_ids ids = { 0 };
    tn_text text = { 0 };
    tenebra_code code = read_ids(list, &ids, error);
    if (code == TENEBRA_OK)
        code = tn_tokenizer_decode(job->tokenizer, ids.ids, ids.count, skip_special, &text, error);
    if (code == TENEBRA_OK &&
        json_object_set_new(answer, "text", json_stringn(text.data ? text.data : "", text.length)) != 0)
        code = tn_fail(error, TENEBRA_ERROR_MEMORY, "text", "no memory for the answer");
    tn_ids_free(&ids);
    tn_text_free(&text);
    return code;
}

static tenebra_code answer_line(const tokenize_job *job, const char *line, size_t length, json_t *answer,
                                tenebra_error *error)
{
    json_t *request;
    TN_TRY(tn_json_parse(line, length, "request", &request, error));
    const json_t *text = json_object_get(request, "text"), *ids = json_object_get(request, "ids");
    static const char *const known[] = { "text", "ids", "skip_special", NULL };
    bool skip_special = false;
    char others[120];
    tenebra_code code = tn_json_bool(request, "skip_special", &skip_special, "request", error);
    if (code == TENEBRA_OK && tn_json_unknown(request, known, others, sizeof others) > 0)
        code = tn_fail(error, TENEBRA_ERROR_FORMAT, "request", "has unknown members: %s", others);
    if (code == TENEBRA_OK) {
        if (json_is_string(text) && ids == NULL)
            code = encode_value(job, text, answer, error);
        else if (json_is_array(ids) && text == NULL)
            code = decode_value(job, ids, skip_special, answer, error);
        else
            code = tn_fail(error, TENEBRA_ERROR_FORMAT, "request",
                           "must be an object with either a string \"text\" or a list \"ids\"");
    }
    json_decref(request);
    return code;
}

/* Writes one answer per line, in order, and skips blank lines. Each answer is flushed, so that a program can wait for it. */
static int answer_lines(const tokenize_job *job)
{
    char *line = NULL;
    size_t capacity = 0, number = 0;
    bool failed = false;
    for (ssize_t length; (length = getline(&line, &capacity, stdin)) >= 0;) {
        number++;
        if (strspn(line, " \t\r\n") == (size_t)length)
            continue;
        tenebra_error error = { 0 };
        json_t *answer = json_object();
        if (answer_line(job, line, tn_jsonl_length(line, (size_t)length), answer, &error) != TENEBRA_OK) {
            json_object_clear(answer);
            tn_jsonl_put_error(answer, number, &error);
            failed = true;
        }
        if (tn_jsonl_write(answer, &error) != TENEBRA_OK) {
            json_decref(answer);
            free(line);
            return tn_app_fail(&error);
        }
        json_decref(answer);
    }
    free(line);
    return failed ? TN_EXIT_FAILED : TN_EXIT_OK;
}

#define TN_RECORD tokenize_job
static const tn_option option_table[] = {
    TN_TEXT('m', "model", model, "DIR", NULL, "directory with tokenizer.json, or with vocab.json and merges.txt"),
    TN_TEXT('p', "prompt", prompt, "TEXT", NULL, "text to encode (default: stdin)"),
    TN_SWITCH(0, "jsonl", jsonl, "read and write one JSON object per line"),
    TN_SWITCH(0, "no-special", no_special, "treat added tokens in the text as plain text"),
    TN_OPTIONS_END
};

static int run_command(int argc, char **argv)
{
    tokenize_job job = { 0 };
    int exit_code, first = tn_options_parse(&tn_command_tokenize, &job, argc, argv, &exit_code);
    if (first < 0)
        return exit_code;
    if (first < argc)
        return tn_command_mistake(&tn_command_tokenize, "takes no arguments besides options; the text follows -p");
    tn_path own;
    if (job.model == NULL)
        job.model = tn_app_default_model(&own);
    else
        job.model = tn_app_model_directory(job.model, &own);
    if (job.model == NULL)
        return tn_command_mistake(&tn_command_tokenize, TN_APP_NO_MODEL);
    tenebra_error error;
    tn_notes notes = { 0 };
    if (tn_tokenizer_open(job.model, &job.tokenizer, &error) != TENEBRA_OK ||
        tn_tokenizer_note(job.tokenizer, job.model, &notes, &error) != TENEBRA_OK) {
        tn_tokenizer_close(job.tokenizer);
        return tn_app_fail(&error);
    }
    tn_app_tell_unused(&notes);
    if (job.jsonl)
        exit_code = answer_lines(&job);
    else
        exit_code = job.prompt != NULL ? show(&job, job.prompt, strlen(job.prompt)) : show_input(&job);
    tn_tokenizer_close(job.tokenizer);
    return exit_code;
}

const tn_command tn_command_tokenize = {
    .name = "tokenize",
    .summary = "turn text into token ids and back",
    .arguments = "",
    .about = "Turns text into token ids and back. The text is -p TEXT or standard input. With --jsonl, each line of stdin is\n"
             "{\"text\": ...} or {\"ids\": [...], \"skip_special\": true|false}, and the answer is a line with the other member, or\n"
             "{\"error\": {...}}.",
    .example = "  tenebra tokenize -m MODEL -p 'What colour is the cube?'\n"
               "  echo '{\"text\": \"Hello\"}' | tenebra tokenize -m MODEL --jsonl",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};
