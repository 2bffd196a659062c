/* The complete page: its head, its parts, and the limit of its size. */
#include "report/report.h"

#include "base/digest.h"
#include "report/answers.h"
#include "report/assets.h"
#include "report/browser.h"
#include "report/figures.h"
#include "report/head.h"
#include "report/tables.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes reserved for everything besides questions and images. */
enum { AROUND = 4096, NONCE_SIZE = 33, TITLE_SIZE = 160 };

static size_t limit_of(const tn_report_options *options)
{
    return options->max_bytes > 0 ? options->max_bytes : (size_t)TN_REPORT_MEGABYTES << 20;
}

/* -------------------------------------------------------------- wrapping -- */

/* The nonce of the page's scripts. Text inside the page cannot contain it, because it is a digest of that text; only
 * scripts with it may run. */
static void make_nonce(char nonce[NONCE_SIZE], const tn_markup *body, const tn_browser *browser)
{
    tn_hash hash;
    tn_hash_start(&hash);
    tn_hash_add(&hash, body->text.data, body->text.length);
    for (size_t i = 0; i < browser->album.count; i++)
        tn_hash_add(&hash, browser->album.items[i].uri.data, browser->album.items[i].uri.length);
    tn_digest digest = tn_hash_finish(&hash);
    snprintf(nonce, NONCE_SIZE, "%016llx%016llx", (unsigned long long)digest.words[0], (unsigned long long)digest.words[1]);
}

static void put_asset(tn_markup *out, const tn_asset *asset)
{
    tn_markup_bytes(out, asset->bytes, asset->length);
}

/* The head of the document. A browser that follows the policy loads nothing. */
static void put_head(tn_markup *out, const char *title, const char *nonce)
{
    tn_markup_put(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    tn_markup_format(out, "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'nonce-%s'; "
                     "script-src 'nonce-%s'; base-uri 'none'; form-action 'none'\">\n", nonce, nonce);
    tn_markup_put(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                       "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"generator\" content=\"tenebra ");
    tn_markup_text(out, tenebra_version());
    tn_markup_put(out, "\">\n<title>");
    tn_markup_text(out, title);
    tn_markup_put(out, "</title>\n");
    tn_markup_format(out, "<style nonce=\"%s\">\n", nonce);
    put_asset(out, &tn_asset_page_css);
    tn_markup_put(out, "</style>\n</head>\n<body>\n");
}

static void put_top(tn_markup *out, const char *title, const char *lead, const tn_report_options *options)
{
    tn_markup_put(out, "<header class=\"top\"><p class=\"brand\">tenebra <span>");
    tn_markup_text(out, tenebra_version());
    if (options->date != NULL) {
        tn_markup_put(out, " \xC2\xB7 ");
        tn_markup_text(out, options->date);
    }
    tn_markup_put(out, "</span></p>\n<h1>");
    tn_markup_text(out, title);
    tn_markup_put(out, "</h1>\n<p class=\"lead\">");
    tn_markup_text(out, lead);
    tn_markup_put(out, "</p></header>\n");
}

static void put_notes(tn_markup *out, const json_t *notes, const json_t *more)
{
    const json_t *const lists[] = { notes, more };
    if (json_array_size(notes) + json_array_size(more) == 0)
        return;
    tn_markup_put(out, "<aside class=\"notes\" aria-label=\"Notes\"><ul>\n");
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < json_array_size(lists[l]); i++) {
            tn_markup_put(out, "<li>");
            tn_markup_text(out, json_string_value(json_array_get(lists[l], i)));
            tn_markup_put(out, "</li>\n");
        }
    tn_markup_put(out, "</ul></aside>\n");
}

/* The section of the questions, which page.js fills. */
static void put_browser(tn_markup *out, const tn_browser *browser, bool single)
{
    json_t *data = json_pack("{s:b, s:O, s:O}", "single", single, "ways", browser->ways, "questions", browser->questions);
    tn_markup_put(out, "<section id=\"questions\"><h2>");
    tn_markup_put(out, single ? "Answer" : "Questions");
    tn_markup_put(out, "</h2>\n<div id=\"browser\"><noscript><p>Questions are shown by a script of this page, which does not run here."
                       "</p></noscript></div>\n</section>\n");
    tn_markup_put(out, "<script type=\"application/json\" id=\"data\">");
    tn_markup_json(out, data);
    tn_markup_put(out, "</script>\n");
    json_decref(data);
}

/* Assembles the parts. `body` is the part between the header and the images. */
static tenebra_code finish(const char *title, const tn_markup *top, const tn_markup *body, const tn_browser *browser, size_t most,
                           tn_report_account *account, char **made, tenebra_error *error)
{
    char nonce[NONCE_SIZE];
    tn_markup page = { 0 };
    make_nonce(nonce, body, browser);
    put_head(&page, title, nonce);
    tn_markup_bytes(&page, top->text.data, top->text.length);
    tn_markup_bytes(&page, body->text.data, body->text.length);
    tn_markup_put(&page, "<script type=\"application/json\" id=\"pictures\">");
    tn_album_write(&browser->album, &page);
    tn_markup_format(&page, "</script>\n<script nonce=\"%s\">\n", nonce);
    put_asset(&page, &tn_asset_page_js);
    tn_markup_put(&page, "</script>\n</body>\n</html>\n");
    tenebra_code code = TENEBRA_OK;
    if (page.full || top->full || body->full)
        code = tn_fail(error, TENEBRA_ERROR_MEMORY, "report", "no memory for the page");
    else if (page.text.length > most)
        code = tn_fail(error, TENEBRA_ERROR_LIMIT, "report", "has %zu bytes, %zu were allowed; raise --max-size", page.text.length, most);
    if (code != TENEBRA_OK) {
        tn_markup_free(&page);
        return code;
    }
    if (account != NULL)
        *account = (tn_report_account){ page.text.length, browser->total, json_array_size(browser->questions), browser->album.count };
    *made = page.text.data;
    return TENEBRA_OK;
}

/* ------------------------------------------------------------ evaluation -- */

static const char *digest_of(const json_t *manifest)
{
    const char *digest = json_string_value(json_object_get(json_object_get(manifest, "model"), "digest"));
    return digest != NULL ? digest : "";
}

/* "hops test, MODEL": data set and split of the first file, and the model if all files have the same. */
static void write_title(char *title, size_t size, const tn_results *results)
{
    const json_t *manifest = results->file_count > 0 ? results->manifests[0] : NULL, *data = json_object_get(manifest, "data");
    const char *set = json_string_value(json_object_get(data, "set")), *split = json_string_value(json_object_get(data, "split"));
    const char *model = json_string_value(json_object_get(json_object_get(manifest, "model"), "directory"));
    for (size_t f = 1; f < results->file_count; f++)
        if (strcmp(digest_of(manifest), digest_of(results->manifests[f])) != 0)
            model = NULL;
    snprintf(title, size, "%.100s%s%.60s%s%.200s", set != NULL ? set : "Evaluation", split != NULL ? " " : "", split != NULL ? split : "",
             model != NULL ? ", " : "", model != NULL ? tn_head_name(model) : "");
}

static void write_lead(char *lead, size_t size, const tn_results *results, const tn_table_groups *groups, const tn_browser *browser)
{
    char files[64] = "";
    if (results->file_count > 1)
        snprintf(files, sizeof files, ", from %zu result files", results->file_count);
    snprintf(lead, size, "%zu %s answered with %zu %s%s.", browser->total, browser->total == 1 ? "question" : "questions", groups->count,
             groups->count == 1 ? "method" : "methods", files);
}

static void note_left_out(tn_browser *browser, const tn_report_options *options)
{
    char sentence[256];
    size_t shown = json_array_size(browser->questions), limit = options->limit > 0 ? options->limit : TN_REPORT_QUESTIONS;
    if (shown == browser->total)
        return;
    if (shown < (limit < browser->total ? limit : browser->total))
        snprintf(sentence, sizeof sentence,
                 "%zu of %zu questions are shown one by one; more would make the page larger than %.1f MB (--max-size). Tables and "
                 "charts include all questions.", shown, browser->total, (double)limit_of(options) / 1048576);
    else
        snprintf(sentence, sizeof sentence,
                 "%zu of %zu questions, spread evenly, are shown one by one (--limit). Tables and charts include all questions.",
                 shown, browser->total);
    tn_browser_note(browser, sentence);
}

static void put_parts(tn_markup *body, const tn_table_groups *groups, const json_t *report)
{
    tn_markup_put(body, "<section id=\"charts\"><h2>Charts</h2>\n<p class=\"hint\">Colour: methods with latent steps. Grey: the others."
                        "</p>\n<div class=\"charts\">\n");
    tn_figures_write(body, groups, report);
    tn_markup_put(body, "</div></section>\n<section id=\"tables\"><h2>Tables</h2>\n");
    tn_tables_write(body, groups, report);
    tn_markup_put(body, "</section>\n");
}

static tenebra_code make_eval(tn_browser *browser, const tn_results *results, const tn_table_groups *groups, const json_t *report,
                              const tn_report_options *options, tn_report_account *account, char **page, tenebra_error *error)
{
    char title[512], lead[256];
    tn_markup top = { 0 }, parts = { 0 }, body = { 0 };
    put_parts(&parts, groups, report);
    tn_markup runs = { 0 };
    tn_head_write_runs(&runs, results);
    size_t fixed = parts.text.length + runs.text.length + tn_asset_page_css.length + tn_asset_page_js.length + AROUND;
    size_t most = limit_of(options);
    browser->budget = most > fixed ? most - fixed : 0;
    tenebra_code code = tn_browser_fill(browser, results, groups, options, error);
    if (code == TENEBRA_OK) {
        note_left_out(browser, options);
        write_title(title, sizeof title, results);
        write_lead(lead, sizeof lead, results, groups, browser);
        put_top(&top, title, lead, options);
        tn_markup_put(&body, "<nav aria-label=\"Parts\"><a href=\"#run\">What was run</a><a href=\"#charts\">Charts</a><a href=\"#tables\">"
                             "Tables</a><a href=\"#questions\">Questions</a></nav>\n<main>\n");
        tn_head_write_facts(&body, groups, report);
        put_notes(&body, json_object_get(report, "notes"), browser->notes);
        tn_markup_put(&body, "<section id=\"run\"><h2>What was run</h2>\n");
        tn_markup_bytes(&body, runs.text.data, runs.text.length);
        tn_markup_put(&body, "</section>\n");
        tn_markup_bytes(&body, parts.text.data, parts.text.length);
        put_browser(&body, browser, false);
        tn_markup_put(&body, "</main>\n");
        body.full |= runs.full || parts.full;
        code = finish(title, &top, &body, browser, most, account, page, error);
    }
    tn_markup_free(&runs);
    tn_markup_free(&parts);
    tn_markup_free(&top);
    tn_markup_free(&body);
    return code;
}

tenebra_code tn_report_eval(const tn_results *results, const tn_table_groups *groups, const tn_report_options *options,
                            tn_report_account *account, char **page, tenebra_error *error)
{
    tn_browser browser = { 0 };
    json_t *report;
    *page = NULL;
    TN_TRY(tn_table_report(&report, groups, error));
    tenebra_code code = make_eval(&browser, results, groups, report, options, account, page, error);
    tn_browser_free(&browser);
    json_decref(report);
    return code;
}

/* ------------------------------------------------------------ one answer -- */

/* The options of the method, in the form of a result file's manifest. */
static json_t *settings_json(const tn_report_answer *answer)
{
    json_t *settings = json_object();
    for (size_t i = 0; i < answer->setting_count; i++)
        json_object_set_new(settings, answer->settings[i].name, json_string(answer->settings[i].value));
    return settings;
}

static tenebra_code add_answer(tn_browser *browser, const tn_report_answer *answer, const tn_report_options *options,
                               tenebra_error *error)
{
    const json_t *tokens = json_object_get(answer->record, "tokens");
    bool fits, latent = json_number_value(json_object_get(tokens, "latent")) > 0;
    tn_sample sample = { .id = "", .question = answer->question, .context = "" };
    json_t *answers = json_array();
    browser->budget = limit_of(options);
    browser->total = 1;
    browser->ways = json_array();
    json_t *settings = settings_json(answer);
    int appended = json_array_append_new(browser->ways, tn_browser_way(answer->method, latent ? "a0" : "b0", settings));
    json_decref(settings);
    if (appended != 0 ||
        json_array_append_new(answers, tn_answer_json(answer->record, 0)) != 0) {
        json_decref(answers);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "report", "no memory for the answer");
    }
    TN_TRY(tn_browser_add(browser, NULL, answer->record, &sample, answer->pictures, answer->picture_count, answer->apply_exif, answers,
                          &fits, error));
    return fits ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_LIMIT, "report", "the answer alone is larger than the page may be; raise "
                                       "--max-size");
}

/* At most this many bytes of a question on one line, truncated between words if possible. */
static void shorten_title(char *title, size_t size, const char *question)
{
    static const char dots[] = "\xE2\x80\xA6";
    size_t used = 0, word = 0, at = 0, length = strlen(question);
    while (at < length && used + 4 + sizeof dots < size) {
        int32_t c;
        size_t bytes = tn_utf8_read(question + at, length - at, &c);
        bool space = c >= 0 && c <= ' ';
        if (space && used > 0 && title[used - 1] != ' ') {
            word = used;
            title[used++] = ' ';
        }
        for (size_t i = 0; i < bytes && !space; i++)
            title[used++] = question[at + i];
        at += bytes;
    }
    used = at < length && word > size / 2 ? word : used;
    used -= used > 0 && title[used - 1] == ' ';
    snprintf(title + used, size - used, "%s", at < length ? dots : "");
}

tenebra_code tn_report_one(const tn_report_answer *answer, const tn_report_options *options, tn_report_account *account,
                           char **page, tenebra_error *error)
{
    tn_browser browser = { 0 };
    tn_markup top = { 0 }, body = { 0 };
    char title[TITLE_SIZE];
    *page = NULL;
    tenebra_code code = add_answer(&browser, answer, options, error);
    if (code == TENEBRA_OK) {
        shorten_title(title, sizeof title, answer->title != NULL ? answer->title : answer->question);
        put_top(&top, title, tn_head_name(answer->model), options);
        tn_markup_put(&body, "<main>\n");
        put_notes(&body, NULL, browser.notes);
        put_browser(&body, &browser, true);
        tn_markup_put(&body, "<section id=\"run\"><h2>What was run</h2>\n");
        tn_head_write_answer(&body, answer);
        tn_markup_put(&body, "</section>\n</main>\n");
        code = finish(title, &top, &body, &browser, limit_of(options), account, page, error);
    }
    tn_markup_free(&top);
    tn_markup_free(&body);
    tn_browser_free(&browser);
    return code;
}
