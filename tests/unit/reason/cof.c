/* The dialogue that zooms: calls are read, regions cut and shown, limits kept. Replies are forced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "image/decode.h"
#include "image/png_write.h"
#include "image/region.h"
#include "image/resize.h"
#include "unit/reason/tiny.h"

#include <jansson.h>

#define CALL(box) "<tool_call>{\"name\": \"image_zoom_in_tool\", \"arguments\": {\"bbox_2d\": " box "}}</tool_call>"

/* The image as the model sees it, from 21 x 13 pixels. */
enum { WIDTH = 308, HEIGHT = 196, PROMPT_ROWS = WIDTH / 28 * (HEIGHT / 28), FORCED_MAX = 2000 };

/* ------------------------------------------------------------- questions -- */

typedef struct talk {
    question q;
    int32_t forced[FORCED_MAX];
    char drafts[8000], answer[8000]; /* the contents of the events */
    tn_session *session, *lent;      /* lent: by others, who close it */
    tn_reasoner reasoner;
    const tenebra_trace *trace;
    size_t events_left; /* before it is cancelled */
    tenebra_error error;
    tenebra_code code;
} talk;

static bool on_event(void *user, const tenebra_event *event)
{
    talk *t = user;
    char *told = event->kind == TENEBRA_EVENT_DRAFT ? t->drafts : t->answer;
    if (event->kind == TENEBRA_EVENT_DRAFT || event->kind == TENEBRA_EVENT_TEXT)
        snprintf(told + strlen(told), sizeof t->drafts - strlen(told), "%s", event->text);
    return t->events_left-- > 0;
}

static void add_reply(const tiny *here, talk *t, const char *text)
{
    const tn_text_span span = { text, strlen(text), false };
    tn_ids ids = { 0 };
    assert_int_equal(tn_tokenizer_encode(here->model->tokenizer, &span, 1, &ids, NULL), TENEBRA_OK);
    assert_int_equal(tn_ids_push(&ids, tn_tokenizer_find(here->model->tokenizer, "<|im_end|>"), NULL), TENEBRA_OK);
    assert_true(t->q.request.forced_count + ids.count <= FORCED_MAX);
    memcpy(t->forced + t->q.request.forced_count, ids.ids, ids.count * sizeof *ids.ids);
    t->q.request.forced_count += ids.count;
    tn_ids_free(&ids);
}

/* A question about an image (or none) with these replies of the model; `replies` ends with NULL. */
static talk *prepare(const tiny *here, const char *picture, const char *const *replies)
{
    talk *t = calloc(1, sizeof *t);
    assert_non_null(t);
    ask_about(&t->q, "cof", picture, NULL, "What is small?\nAnswer:");
    tenebra_request *request = &t->q.request;
    request->image.width = request->image.height = 0;
    request->image.min_tokens = 64;
    request->max_tokens = 400;
    request->forced = t->forced;
    request->on_event = on_event;
    t->events_left = SIZE_MAX;
    request->user = t;
    for (; *replies != NULL; replies++)
        add_reply(here, t, *replies);
    return t;
}

static void run_talk(const tiny *here, talk *t, size_t context)
{
    t->session = t->lent;
    if (t->lent == NULL)
        assert_int_equal(tn_session_open(here->model, &(tn_session_options){ .context = context, .threads = 1 }, &t->session, NULL),
                         TENEBRA_OK);
    t->code = tn_reasoner_open(&t->reasoner, t->session, &t->q.request, NULL, &t->error);
    if (t->code == TENEBRA_OK)
        t->code = tn_reasoner_answer(&t->reasoner, &t->error);
    t->trace = &t->reasoner.trace;
}

static void run_well(const tiny *here, talk *t)
{
    run_talk(here, t, 4096);
    if (t->code != TENEBRA_OK)
        fail_msg("%s: %s", t->error.where, t->error.sentence);
}

static void talk_free(talk *t)
{
    tn_reasoner_close(&t->reasoner);
    if (t->lent == NULL)
        tn_session_close(t->session);
    free(t);
}

static talk *hold(const tiny *here, const char *const *replies)
{
    talk *t = prepare(here, PICTURE, replies);
    run_well(here, t);
    return t;
}

/* Whether image `index` is the region of the first one, in that size. */
static bool is_cut(const talk *t, size_t index, tn_region region, size_t width, size_t height)
{
    const tn_image *pixels = &t->reasoner.conversation.pictures[index].pixels;
    tn_image expected;
    assert_int_equal(tn_region_show(&t->reasoner.conversation.pictures[0].pixels, &region, width, height, &expected, NULL),
                     TENEBRA_OK);
    bool same = pixels->width == width && pixels->height == height &&
                memcmp(pixels->pixels, expected.pixels, width * height * 3) == 0;
    tn_image_free(&expected);
    return same;
}

/* ---------------------------------------------------------------- a call -- */

static const char *const two_replies[] = { "<think>There.</think>" CALL("[10, 20, 60, 50]"),
                                           "<think>I see.</think><answer>B</answer>", NULL };

/* 50 x 30 pixels around (35, 35), enlarged by half: 75 x 45, of which 2.5 columns are outside. Scaled by two, this is 144 x 90;
 * in whole cells, 168 x 112 is the first size with at least 12544 pixels. */
static void test_region(void **state)
{
    const tiny *here = *state;
    talk *t = hold(here, two_replies);
    const tn_region region = { 0, 12, 72, 45 };
    assert_int_equal(t->reasoner.conversation.pictures[0].pixels.width, WIDTH);
    assert_int_equal(t->reasoner.conversation.pictures[0].pixels.height, HEIGHT);
    assert_int_equal(t->reasoner.conversation.picture_count, 2);
    assert_true(is_cut(t, 1, region, 168, 112));
    assert_false(is_cut(t, 1, (tn_region){ 0, 12, 72, 44 }, 168, 112)); /* negative control */
    assert_int_equal(tn_trace_noted(t->trace, "calls"), 1);
    const tenebra_region *call = tenebra_trace_note(t->trace, "calls")->regions;
    assert_int_equal(call->outcome, TENEBRA_OUTCOME_SHOWN);
    assert_int_equal(call->pass, 0);
    assert_int_equal(call->image, 0);
    assert_true(within(call->x0, 0, 1e-9) && within(call->x1, 72 * 21.0 / WIDTH, 1e-9));
    assert_true(within(call->y0, 12 * 13.0 / HEIGHT, 1e-9) && within(call->y1, 57 * 13.0 / HEIGHT, 1e-9));
    talk_free(t);
}

/* An image of twice the size in which the model sees it, with stripes of single pixels, which it does not see. */
static void write_detailed(const char *path)
{
    tn_image image, large;
    assert_int_equal(tn_image_read(&image, PICTURE, NULL, true, NULL), TENEBRA_OK);
    assert_int_equal(tn_image_resize(&image, 2 * WIDTH, 2 * HEIGHT, TN_RESAMPLE_BICUBIC, &large, NULL), TENEBRA_OK);
    for (size_t i = 0; i < 3 * large.width * large.height; i++)
        large.pixels[i] = (unsigned char)(64 + large.pixels[i] / 2 + (i / 3 % 2 == 0 ? 60 : -60));
    assert_int_equal(tn_png_write(&large, path, NULL), TENEBRA_OK);
    tn_image_free(&image);
    tn_image_free(&large);
}

/* Regions of the original show what the model did not see: the same rectangle in the same size, with other pixels. */
static void test_region_of_the_original(void **state)
{
    const tiny *here = *state;
    const tn_region region = { 0, 12, 72, 45 }, twice = { 0, 24, 144, 90 };
    char path[1100];
    tn_image original, expected;
    snprintf(path, sizeof path, "%s/detailed.png", here->directory);
    write_detailed(path);
    assert_int_equal(tn_image_read(&original, path, NULL, true, NULL), TENEBRA_OK);
    assert_int_equal(tn_region_show(&original, &twice, 168, 112, &expected, NULL), TENEBRA_OK);
    for (int full = 0; full < 2; full++) {
        talk *t = prepare(here, path, two_replies);
        t->q.request.image = (tenebra_image_rule){ .min_tokens = 64, .max_tokens = PROMPT_ROWS };
        ask_set(&t->q, "crop-from", full ? "original" : "seen");
        run_well(here, t);
        const tn_image *shown = &t->reasoner.conversation.pictures[1].pixels;
        assert_int_equal(t->reasoner.conversation.pictures[0].pixels.width, WIDTH);
        assert_true(shown->width == 168 && shown->height == 112);
        assert_int_equal(memcmp(shown->pixels, expected.pixels, (size_t)3 * 168 * 112) == 0, full);
        assert_int_equal(is_cut(t, 1, region, 168, 112), !full);
        const tenebra_region *call = tenebra_trace_note(t->trace, "calls")->regions;
        assert_true(within(call->x1, 144, 1e-9) && within(call->y0, 24, 1e-9) && within(call->y1, 114, 1e-9));
        talk_free(t);
    }
    tn_image_free(&original);
    tn_image_free(&expected);
    remove(path);
}

static void test_account(void **state)
{
    const tiny *here = *state;
    talk *t = hold(here, two_replies);
    const tenebra_trace *trace = t->trace;
    assert_int_equal(trace->passes, 2);
    assert_int_equal(trace->images_added, 1);
    assert_int_equal(tn_trace_noted(trace, "invalid_calls"), 0);
    assert_int_equal(trace->latent_steps, 0);
    assert_int_equal(trace->image_tokens, PROMPT_ROWS);
    assert_int_equal(trace->token_count, t->q.request.forced_count);
    assert_int_equal(trace->injected_tokens, trace->pass[1].prompt_tokens);
    assert_true(trace->injected_tokens > 24 && trace->injected_tokens < 24 + 160);
    /* Rows: the prompt, both replies without their ends, the turn; each ran once. */
    assert_int_equal(trace->positions_computed, trace->prompt_tokens + trace->token_count - 2 + trace->injected_tokens);
    assert_int_equal(t->session->sequence.length, trace->positions_computed);
    assert_string_equal(trace->text, two_replies[1]);
    assert_string_equal(t->answer, two_replies[1]);
    assert_string_equal(t->drafts,
                        "<think>There.</think>" CALL("[10, 20, 60, 50]") "<think>I see.</think><answer>B</answer>");
    assert_string_equal(trace->pass[0].text, two_replies[0]);
    assert_int_equal(trace->finish, TENEBRA_FINISH_END_TOKEN);
    talk_free(t);
}

static void test_words(void **state)
{
    const tiny *here = *state;
    talk *t = hold(here, two_replies);
    const char *first = t->trace->pass[0].prompt, *second = t->trace->pass[1].prompt;
    assert_non_null(strstr(first, "<|im_start|>system\n"));
    assert_non_null(strstr(first, "308 pixels wide and 196 high"));
    assert_non_null(strstr(first, "<|vision_end|>Question: What is small?\nThink first"));
    assert_null(strstr(first, "Answer:"));
    static const char turn[] = "<|im_end|>\n<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>\nThink first";
    assert_int_equal(strncmp(second, turn, sizeof turn - 1), 0);
    /* The tool's description is JSON. */
    const char *begin = strstr(first, "<tools>\n");
    assert_non_null(begin);
    json_t *tool = json_loadb(begin + 8, (size_t)(strstr(begin, "\n</tools>") - begin - 8), 0, NULL);
    assert_non_null(tool);
    json_decref(tool);
    talk_free(t);
}

static void test_trace_as_json(void **state)
{
    const tiny *here = *state;
    talk *t = hold(here, two_replies);
    char *text = tenebra_trace_json(t->trace);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    const json_t *call = json_array_get(json_object_get(json, "calls"), 0);
    assert_string_equal(json_string_value(json_object_get(call, "outcome")), "shown");
    assert_int_equal(json_array_size(json_object_get(call, "rectangle")), 4);
    assert_true(json_is_string(json_object_get(json, "note")));
    json_decref(json);
    free(text);
    talk_free(t);
}

/* The same rows in one prompt give the same last row, so images in the middle have the right positions. Equal to the last bit
 * with the reference kernels. */
static void test_as_one_prompt(void **state)
{
    const tiny *best = *state;
    tiny plain = *best, *here = &plain;
    plain.model = tiny_open_model(best, "reference");
    talk *t = hold(here, two_replies);
    tn_session *whole;
    assert_int_equal(tn_session_open(here->model, &(tn_session_options){ .context = 4096, .threads = 1 }, &whole, NULL), TENEBRA_OK);
    assert_int_equal(tn_session_append(whole, t->reasoner.span.rows, t->session->sequence.length, NULL, NULL, NULL), TENEBRA_OK);
    assert_memory_equal(tn_session_hidden(whole).data, tn_session_hidden(t->session).data, tn_session_hidden(whole).cols * sizeof(tn_real));
    tn_session_close(whole);
    talk_free(t);
    tn_model_close(plain.model);
}

/* ---------------------------------------------------------------- replies -- */

static void test_answer_at_once(void **state)
{
    const tiny *here = *state;
    talk *t = hold(here, (const char *const[]){ "<answer>A</answer>", NULL });
    assert_int_equal(t->trace->passes, 1);
    assert_int_equal(tn_trace_noted(t->trace, "calls"), 0);
    assert_int_equal(t->trace->injected_tokens, 0);
    assert_string_equal(t->trace->text, "<answer>A</answer>");
    assert_string_equal(t->answer, "<answer>A</answer>");
    talk_free(t);
}

/* Of several calls the first counts; one whose end is missing, too. */
static void test_first_call(void **state)
{
    const tiny *here = *state;
    talk *t =
        hold(here, (const char *const[]){ CALL("[10, 20, 60, 50]") CALL("[100, 100, 200, 150]") "<answer>C</answer>",
                                          "<tool_call>{\"name\": \"image_zoom_in_tool\", \"arguments\": "
                                          "{\"label\": \"x\", \"bbox_2d\": [100.5, 100, 200.0, 150]}}",
                                          "<answer>B</answer>", NULL });
    assert_int_equal(tn_trace_noted(t->trace, "calls"), 2);
    assert_int_equal(tn_trace_noted(t->trace, "invalid_calls"), 0);
    assert_true(is_cut(t, 1, (tn_region){ 0, 12, 72, 45 }, 168, 112));
    /* 99.5 x 50 around (150.25, 125), enlarged by half: from 75.625, 87.5 to 224.875, 162.5. Cropped from the first image, not
     * from the last region. 2 x 149 x 75 in whole cells. */
    assert_true(is_cut(t, 2, (tn_region){ 75, 87, 149, 75 }, 308, 140));
    assert_string_equal(t->trace->text, "<answer>B</answer>");
    talk_free(t);
}

/* A reply that ends at its call does not say what follows there. */
static void test_tag_stop(void **state)
{
    const tiny *here = *state;
    static const char reply[] = CALL("[10, 20, 60, 50]");
    for (size_t stop = 0; stop < 2; stop++) {
        talk *t = prepare(here, PICTURE, (const char *const[]){ NULL });
        const char *after = stop ? "" : " and then some";
        char text[400];
        snprintf(text, sizeof text, "%s%s", reply, after);
        add_reply(here, t, text);
        t->q.request.forced_count -= stop; /* nothing ends the reply but the tag */
        add_reply(here, t, "<answer>B</answer>");
        ask_set(&t->q, "tag-stop", stop ? "yes" : "no");
        run_well(here, t);
        assert_string_equal(t->trace->pass[0].text, text);
        assert_int_equal(t->trace->token_count, t->q.request.forced_count);
        assert_int_equal(t->trace->passes, 2);
        assert_int_equal(t->session->sequence.length,
                         t->trace->prompt_tokens + t->trace->injected_tokens + t->trace->token_count - (stop ? 1 : 2));
        talk_free(t);
    }
}

/* ---------------------------------------------------------------- nonsense -- */

static const char *const nonsense[] = {
    "<tool_call></tool_call>",
    "<tool_call>zoom please</tool_call>",
    "<tool_call>{}</tool_call>",
    "<tool_call>[]</tool_call>",
    "<tool_call>null</tool_call>",
    "<tool_call>{\"name\": \"image_zoom_in_tool\"}</tool_call>",
    "<tool_call>{\"name\": 5, \"arguments\": {\"bbox_2d\": [1, 2, 30, 40]}}</tool_call>",
    "<tool_call>{\"name\": \"zoom\", \"arguments\": {\"bbox_2d\": [1, 2, 30, 40]}}</tool_call>",
    "<tool_call>{\"name\": \"image_zoom_in_tool\", \"arguments\": \"{\\\"bbox_2d\\\": [1, 2, 30, 40]}\"}</tool_call>",
    "<tool_call>{\"name\": \"image_zoom_in_tool\", \"arguments\": {\"bbox_2d\": [1, 2, 30, 40]}",
    "<tool_call>{\"arguments\": {\"name\": \"image_zoom_in_tool\", \"arguments\": {\"bbox_2d\": [1, 2, 30, "
    "40]}}}</tool_call>",
    "<tool_call>{\"name\": \"image_zoom_in_tool\", \"name\": \"image_zoom_in_tool\", \"arguments\": "
    "{\"bbox_2d\": [1, 2, 30, 40]}}</tool_call>",
    CALL("5"),
    CALL("\"[1, 2, 30, 40]\""),
    CALL("[1, 2, 30]"),
    CALL("[1, 2, 30, 40, 50]"),
    CALL("[\"1\", 2, 30, 40]"),
    CALL("[[1, 2, 30, 40]]"),
    CALL("[[1], [2], [30], [40]]"),
    CALL("[1, 2, 30, true]"),
    CALL("[1, 2, 30, null]"),
    CALL("[1, 2, NaN, 40]"),
    CALL("[1, 2, Infinity, 40]"),
    CALL("[1, 2, 1e999, 40]"),
    CALL("[1, 2, 99999999999999999999999, 40]"),
    CALL("[30, 2, 1, 40]"),
    CALL("[1, 40, 30, 2]"),
    CALL("[1, 2, 1, 40]"),
    CALL("[-1, 2, 30, 40]"),
    CALL("[1, -0.5, 30, 40]"),
    CALL("[1, 2, 309, 40]"),
    CALL("[1, 2, 30, 196.5]"),
    CALL("[308, 2, 400, 40]"),
    CALL("[0, 0, 1e-9, 1e-9]"),
    CALL("[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]"),
};

static void check_nonsense(const tiny *here, tn_session *session, const char *reply, const char *way)
{
    talk *t = prepare(here, PICTURE, (const char *const[]){ reply, "<answer>B</answer>", NULL });
    ask_set(&t->q, "bad-call", way);
    t->lent = session;
    run_well(here, t);
    const tenebra_trace *trace = t->trace;
    bool whole = strcmp(way, "whole") == 0;
    if (tn_trace_noted(trace, "calls") != 1 || tenebra_trace_note(trace, "calls")->regions[0].outcome != TENEBRA_OUTCOME_INVALID || tn_trace_noted(trace, "invalid_calls") != 1)
        fail_msg("%s was taken for a call", reply);
    assert_true(isnan(tenebra_trace_note(trace, "calls")->regions[0].x0));
    assert_int_equal(trace->images_added, whole);
    assert_int_equal(trace->passes, 2);
    assert_string_equal(trace->text, "<answer>B</answer>");
    const char *said = strstr(trace->pass[1].prompt, "The call was not carried out. ");
    assert_true((said == NULL) == whole);
    if (whole)
        assert_memory_equal(t->reasoner.conversation.pictures[1].rows.embeds.data, t->reasoner.conversation.pictures[0].rows.embeds.data,
                            PROMPT_ROWS * t->reasoner.conversation.pictures[0].rows.embeds.cols * sizeof(tn_real));
    talk_free(t);
}

/* In one session, which knows the prompt. */
static void test_nonsense(void **state)
{
    const tiny *here = *state;
    tn_session *session;
    assert_int_equal(tn_session_open(here->model, &(tn_session_options){ .context = 4096, .threads = 1 }, &session, NULL), TENEBRA_OK);
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        check_nonsense(here, session, nonsense[i], i % 5 == 0 ? "whole" : "error");
        if (i < 2)
            check_nonsense(here, session, nonsense[i], i % 5 == 0 ? "error" : "whole");
    }
    tn_session_close(session);
}

/* Boxes at the very border are inside. */
static void test_borders(void **state)
{
    const tiny *here = *state;
    talk *t = hold(here, (const char *const[]){ CALL("[0, 0, 308, 196]"), "<answer>B</answer>", NULL });
    assert_int_equal(tenebra_trace_note(t->trace, "calls")->regions[0].outcome, TENEBRA_OUTCOME_SHOWN);
    assert_true(is_cut(t, 1, (tn_region){ 0, 0, WIDTH, HEIGHT }, 2 * WIDTH, 2 * HEIGHT));
    assert_true(within(tenebra_trace_note(t->trace, "calls")->regions[0].x1, 21, 1e-9) && within(tenebra_trace_note(t->trace, "calls")->regions[0].y1, 13, 1e-9));
    talk_free(t);
}

/* Without an image there is no tool, and a call is answered with an error. */
static void test_without_picture(void **state)
{
    const tiny *here = *state;
    talk *t = prepare(here, NULL, (const char *const[]){ CALL("[1, 2, 30, 40]"), "<answer>B</answer>", NULL });
    run_well(here, t);
    assert_null(strstr(t->trace->pass[0].prompt, "<tools>"));
    assert_non_null(strstr(t->trace->pass[1].prompt, "There is no picture."));
    assert_int_equal(tn_trace_noted(t->trace, "invalid_calls"), 1);
    assert_int_equal(t->trace->images_added, 0);
    talk_free(t);
}

/* ------------------------------------------------------------------ limits -- */

/* If the last reply still contains a call, there is no answer; the trace has the reply. */
static void test_rounds(void **state)
{
    const tiny *here = *state;
    talk *t = prepare(here, PICTURE, (const char *const[]){ CALL("[10, 20, 60, 50]"), CALL("[0, 0, 50, 50]"), NULL });
    ask_set(&t->q, "rounds", "2");
    run_well(here, t);
    assert_int_equal(t->trace->passes, 2);
    assert_int_equal(tn_trace_noted(t->trace, "calls"), 2);
    assert_int_equal(tenebra_trace_note(t->trace, "calls")->regions[0].outcome, TENEBRA_OUTCOME_SHOWN);
    assert_int_equal(tenebra_trace_note(t->trace, "calls")->regions[1].outcome, TENEBRA_OUTCOME_REFUSED);
    assert_int_equal(tenebra_trace_note(t->trace, "calls")->regions[1].pass, 1);
    assert_int_equal(t->trace->images_added, 1);
    assert_string_equal(t->trace->text, "");
    assert_string_equal(t->answer, "");
    assert_string_equal(t->trace->pass[1].text, CALL("[0, 0, 50, 50]"));
    assert_int_equal(t->trace->finish, TENEBRA_FINISH_LENGTH);
    talk_free(t);
}

/* Six rounds by default. */
static void test_default_rounds(void **state)
{
    const tiny *here = *state;
    static const char call[] = CALL("[1, 2, 3]");
    talk *t = prepare(here, PICTURE, (const char *const[]){ call, call, call, call, call, call, call, NULL });
    ask_set(&t->q, "bad-call", "error");
    run_well(here, t);
    assert_int_equal(t->trace->passes, 6);
    assert_int_equal(tn_trace_noted(t->trace, "invalid_calls"), 6);
    assert_string_equal(t->trace->text, "");
    talk_free(t);
}

static void test_pictures(void **state)
{
    const tiny *here = *state;
    talk *t =
        prepare(here, PICTURE,
                (const char *const[]){ CALL("[10, 20, 60, 50]"), CALL("[0, 0, 50, 50]"), "<answer>B</answer>", NULL });
    ask_set(&t->q, "max-images", "2");
    run_well(here, t);
    assert_int_equal(t->trace->images_added, 1);
    assert_int_equal(tenebra_trace_note(t->trace, "calls")->regions[1].outcome, TENEBRA_OUTCOME_REFUSED);
    assert_non_null(strstr(t->trace->pass[2].prompt, "No more regions can be shown."));
    assert_null(strstr(t->trace->pass[2].prompt, "<|image_pad|>"));
    assert_string_equal(t->trace->text, "<answer>B</answer>");
    talk_free(t);
}

/* A region that does not fit into the context is refused, not an error. */
static void test_context(void **state)
{
    const tiny *here = *state;
    talk *t = prepare(here, PICTURE, (const char *const[]){ CALL("[0, 0, 308, 196]"), "<answer>B</answer>", NULL });
    run_well(here, t);
    size_t rows = t->session->sequence.length;
    assert_int_equal(t->trace->images_added, 1);
    tn_reasoner_close(&t->reasoner);
    tn_session_close(t->session);
    run_talk(here, t, rows - 100);
    assert_int_equal(t->code, TENEBRA_OK);
    assert_int_equal(tenebra_trace_note(t->trace, "calls")->regions[0].outcome, TENEBRA_OUTCOME_REFUSED);
    assert_int_equal(t->trace->images_added, 0);
    assert_string_equal(t->trace->text, "<answer>B</answer>");
    talk_free(t);
}

/* Cancelled at some point of the dialogue: nothing leaks, and the session answers the next question. */
static void test_cancelling(void **state)
{
    const tiny *here = *state;
    tn_session *session;
    assert_int_equal(tn_session_open(here->model, &(tn_session_options){ .context = 4096, .threads = 1 }, &session, NULL), TENEBRA_OK);
    for (size_t events = 0; events <= 120; events += 60) {
        talk *t = prepare(here, PICTURE, two_replies);
        t->events_left = events;
        t->lent = session;
        run_talk(here, t, 0);
        assert_int_equal(t->code, TENEBRA_ERROR_CANCELLED);
        talk_free(t);
    }
    talk *t = prepare(here, PICTURE, two_replies);
    t->lent = session;
    run_well(here, t);
    assert_string_equal(t->trace->text, two_replies[1]);
    talk_free(t);
    tn_session_close(session);
}

/* A fixed size of images also applies to regions, and so does a bound of the request. */
static void test_sizes(void **state)
{
    const tiny *here = *state;
    talk *t = prepare(here, PICTURE, two_replies);
    t->q.request.image.width = t->q.request.image.height = 112;
    run_well(here, t);
    assert_true(is_cut(t, 1, (tn_region){ 0, 12, 72, 45 }, 112, 112));
    talk_free(t);
    t = prepare(here, PICTURE, two_replies);
    t->q.request.image.max_tokens = 64;
    ask_set(&t->q, "scale", "16");
    run_well(here, t);
    assert_int_equal(t->reasoner.conversation.pictures[1].rows.embeds.rows, 60); /* 280 x 168: at most 64 cells */
    talk_free(t);
    t = prepare(here, PICTURE, two_replies);
    ask_set(&t->q, "enlarge", "100");
    ask_set(&t->q, "crop-min-pixels", "1");
    run_well(here, t);
    assert_true(is_cut(t, 1, (tn_region){ 10, 20, 50, 30 }, 112, 56));
    talk_free(t);
}

/* Prompts are long here: with the best kernels, not the reference. */
static int set_up(void **state)
{
    tiny_set_up(state);
    tiny *here = *state;
    tn_model_close(here->model);
    here->model = tiny_open_model(here, NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_region),          cmocka_unit_test(test_account),
        cmocka_unit_test(test_region_of_the_original),
        cmocka_unit_test(test_words),           cmocka_unit_test(test_trace_as_json),
        cmocka_unit_test(test_as_one_prompt),   cmocka_unit_test(test_answer_at_once),
        cmocka_unit_test(test_first_call),      cmocka_unit_test(test_tag_stop),
        cmocka_unit_test(test_nonsense),        cmocka_unit_test(test_borders),
        cmocka_unit_test(test_without_picture), cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_default_rounds),  cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_context),         cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_cancelling),
    };
    return cmocka_run_group_tests(tests, set_up, tiny_tear_down);
}
