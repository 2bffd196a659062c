/* Talks with the small model of tiny.h whose replies are forced: asking, examples, and the account that each leaves.
 * Include after cmocka.h. */
#ifndef TN_TESTS_REASON_TALK_H
#define TN_TESTS_REASON_TALK_H

#include "base/checked.h"
#include "image/decode.h"
#include "image/overlay.h"
#include "unit/reason/tiny.h"

enum { CONTEXT = 2048, FORCED_MAX = 256 };

#define SYSTEM   "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
#define USER     "<|im_start|>user\n"
#define VIEW     "<|vision_start|><|image_pad|><|vision_end|>"
#define REPLY    "<|im_end|>\n<|im_start|>assistant\n"
#define QUESTION "What is green?\nA) a hat\nB) a cup"

/* -------------------------------------------------------------- asking -- */

typedef struct talk {
    question q;
    tenebra_message messages[3];
    tenebra_part system, example_parts[2];
    tenebra_example example;
    int32_t forced[FORCED_MAX];
    tn_session *session;
    tn_reasoner *reasoner;
    const tenebra_trace *trace;
    char drafts[4096], text[4096]; /* as in the events */
} talk;

static inline bool listen(void *user, const tenebra_event *event)
{
    talk *t = user;
    char *to = event->kind == TENEBRA_EVENT_DRAFT ? t->drafts : event->kind == TENEBRA_EVENT_TEXT ? t->text : NULL;
    if (to != NULL) {
        assert_true(strlen(to) + strlen(event->text) < sizeof t->text);
        strcat(to, event->text);
    }
    return true;
}

static inline talk *talk_new(const char *method)
{
    talk *t = calloc(1, sizeof *t);
    assert_non_null(t);
    ask_about(&t->q, method, PICTURE, NULL, QUESTION "\nAnswer:\n");
    t->q.request.max_tokens = 40;
    t->q.request.on_event = listen;
    t->q.request.user = t;
    return t;
}

/* A solved example about the other image. */
static inline void talk_example(talk *t)
{
    t->example_parts[0] = (tenebra_part){ .kind = TENEBRA_PART_IMAGE_FILE, .text = OTHER_PICTURE };
    t->example_parts[1] = (tenebra_part){ .kind = TENEBRA_PART_TEXT, .text = "What is red?\nAnswer:" };
    t->example = (tenebra_example){ .parts = t->example_parts,
                                    .part_count = 2,
                                    .answer = "So it is A",
                                    .label = "A",
                                    .rationale = "First this.\nThen that.",
                                    .scene_graph = "{\"objects\": []}" };
    t->q.request.example = &t->example;
}

/* The first tokens are those of these texts, each ended by the end token. */
static inline void talk_force(talk *t, const tn_model *model, const char *const *replies)
{
    t->q.request.forced = t->forced;
    t->q.request.forced_count = 0;
    for (; *replies != NULL; replies++) {
        const tn_text_span span = { *replies, strlen(*replies), false };
        tn_ids ids = { 0 };
        assert_int_equal(tn_tokenizer_encode(model->tokenizer, &span, 1, &ids, NULL), TENEBRA_OK);
        assert_true(t->q.request.forced_count + ids.count < FORCED_MAX);
        memcpy(t->forced + t->q.request.forced_count, ids.ids, ids.count * sizeof *ids.ids);
        t->q.request.forced_count += ids.count;
        t->forced[t->q.request.forced_count++] = model->config.eos_tokens[0];
        tn_ids_free(&ids);
    }
}

/* The first `count` tokens do not end anything. */
static inline void talk_fill(talk *t, size_t count)
{
    assert_true(count <= FORCED_MAX);
    for (size_t i = 0; i < count; i++)
        t->forced[i] = 5 + (int32_t)(i % 3);
    t->q.request.forced = t->forced;
    t->q.request.forced_count = count;
}

static inline tenebra_code talk_try(talk *t, const tn_model *model, tenebra_error *error)
{
    assert_int_equal(tn_session_open(model, &(tn_session_options){ .context = CONTEXT, .threads = 1 }, &t->session, NULL), TENEBRA_OK);
    t->reasoner = calloc(1, sizeof *t->reasoner);
    assert_true(t->session != NULL && t->reasoner != NULL);
    t->trace = &t->reasoner->trace;
    TN_TRY(tn_reasoner_open(t->reasoner, t->session, &t->q.request, NULL, error));
    return tn_reasoner_answer(t->reasoner, error);
}

static inline void talk_run(talk *t, const tn_model *model)
{
    tenebra_error error = { 0 };
    if (talk_try(t, model, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
}

static inline void talk_end(talk *t)
{
    tn_reasoner_close(t->reasoner);
    free(t->reasoner);
    tn_session_close(t->session);
    free(t);
}

static inline void check_prompt(const talk *t, size_t pass, const char *prompt)
{
    assert_true(pass < t->trace->passes);
    assert_string_equal(t->trace->pass[pass].prompt, prompt);
}

/* Rows that ran: of each prompt those that were not known, and of each reply all tokens but the last. Nothing else. */
static inline void check_account(const talk *t)
{
    size_t rows = 0, tokens = 0;
    for (size_t i = 0; i < t->trace->passes; i++) {
        const tenebra_pass *pass = &t->trace->pass[i];
        rows += pass->prompt_tokens - pass->reused + pass->token_count - 1;
        tokens += pass->token_count;
    }
    assert_int_equal(t->trace->positions_computed, rows);
    assert_int_equal(t->trace->token_count, tokens);
    assert_true(t->trace->latent_steps == 0 && t->trace->injected_tokens == 0 && t->trace->images_added == 0);
    assert_string_equal(t->trace->text, t->trace->pass[t->trace->passes - 1].text);
    assert_string_equal(t->text, t->trace->text);
}

/* The last pass answers as a session that is asked its prompt at once: `text` is that prompt's question. */
static inline void check_last_pass(const talk *t, const tn_model *model, const char *text, size_t limit)
{
    talk *fresh = talk_new("direct");
    fresh->q.parts[1].text = text;
    fresh->q.request.max_tokens = limit;
    talk_run(fresh, model);
    const tenebra_pass *last = &t->trace->pass[t->trace->passes - 1];
    assert_string_equal(last->prompt, fresh->trace->pass[0].prompt);
    assert_string_equal(last->text, fresh->trace->text);
    assert_int_equal(last->token_count, fresh->trace->token_count);
    assert_memory_equal(t->trace->tokens + t->trace->token_count - last->token_count, fresh->trace->tokens,
                        last->token_count * sizeof *fresh->trace->tokens);
    talk_end(fresh);
}

#define RULES                                                                                                          \
    "Work by these rules:\n1. When you name something that matters, say the coordinates of the dot nearest to it "     \
    "first.\n"                                                                                                         \
    "2. Tell from the coordinates how things lie to each other: x is the row and grows from top to bottom, y is the "  \
    "column and grows from left to right.\n"                                                                           \
    "3. Use the dots to go through the picture region by region, and reason about each.\n"                             \
    "4. Put your final answer between double square brackets, as in [[answer]]."
#define LETTER "\nAnswer with the letter of the right option alone."
#define GRAPH_REQUEST                                                                                                  \
    "\nWrite a scene graph in JSON for this picture and this question. It holds, as far as they matter for the "       \
    "answer:"                                                                                                          \
    "\n(1) the objects\n(2) the attributes of the objects\n(3) the relationships between the objects"
#define GRAPH_CONTEXT(graph)                                                                                           \
    "Scene Graph: " graph "\n\nTake the picture and the scene graph as context for this question:\n"
#define GUIDE_BOTH                                                                                                     \
    "Each picture comes twice: as it is, and then drawn over with a matrix of 6 x 6 dots. Beside each dot stand its "  \
    "coordinates, (x,y). " RULES

/* Whether the image is `file` with dots (rows 0: without) as number `sequence`. */
static inline bool is_drawn(const talk *t, size_t picture, const char *file, size_t rows, size_t columns, size_t sequence)
{
    tn_image image = { 0 }, drawn = { 0 };
    assert_int_equal(tn_image_read(&image, file, NULL, true, NULL), TENEBRA_OK);
    if (rows > 0)
        assert_int_equal(tn_overlay_dots(&image, rows, columns, sequence, &drawn, NULL), TENEBRA_OK);
    size_t before = t->reasoner->conversation.picture_count;
    assert_int_equal(tn_reasoner_add_picture(t->reasoner, rows > 0 ? &drawn : &image, NULL), TENEBRA_OK);
    tn_image_free(&image);
    tn_image_free(&drawn);
    assert_true(picture < before);
    t->reasoner->conversation.picture_count = before;
    return tn_digest_equal(&t->reasoner->conversation.pictures[picture].rows.content, &t->reasoner->conversation.pictures[before].rows.content);
}

#endif
