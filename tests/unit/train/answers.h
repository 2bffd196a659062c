/* Questions with images, and what is compared of their answers. Include after cmocka.h. */
#ifndef TN_TESTS_TRAIN_ANSWERS_H
#define TN_TESTS_TRAIN_ANSWERS_H

#include "tenebra.h"

#include <math.h>
#include <string.h>

typedef struct question {
    tenebra_request request;
    tenebra_message message;
    tenebra_part parts[3];
} question;

static inline void ask_about(question *q, const char *method, const char *picture, const char *second, const char *text)
{
    size_t count = 0;
    memset(q, 0, sizeof *q);
    if (picture != NULL)
        q->parts[count++] = (tenebra_part){ .kind = TENEBRA_PART_IMAGE_FILE, .text = picture };
    if (second != NULL)
        q->parts[count++] = (tenebra_part){ .kind = TENEBRA_PART_IMAGE_FILE, .text = second };
    q->parts[count++] = (tenebra_part){ .text = text };
    q->message = (tenebra_message){ "user", q->parts, count };
    q->request = (tenebra_request){ .size = sizeof q->request, .messages = &q->message, .message_count = 1, .method = method,
                                    .max_tokens = 8, .scores = true };
}

/* What is compared of an answer, to the bit. */
typedef struct answer {
    int32_t tokens[16];
    size_t token_count, step_count, pick_count, cells, known;
    double norms[16];
    tenebra_pick picks[64];
    float scores[64];
} answer;

static inline void keep_answer(answer *kept, const tenebra_trace *trace)
{
    memset(kept, 0, sizeof *kept);
    kept->token_count = trace->token_count;
    memcpy(kept->tokens, trace->tokens, trace->token_count * sizeof *trace->tokens);
    kept->step_count = trace->step_count;
    kept->cells = trace->image_tokens;
    for (size_t s = 0; s < trace->step_count; s++) {
        kept->norms[s] = isnan(trace->steps[s].hidden_norm) ? 0 : trace->steps[s].hidden_norm;
        for (size_t p = 0; p < trace->steps[s].pick_count && kept->pick_count < 64; p++)
            kept->picks[kept->pick_count++] = trace->steps[s].picks[p];
    }
    for (size_t i = 0; i < trace->prompt_score_count && i < 64; i++)
        kept->scores[i] = trace->prompt_scores[i];
}

static inline const tenebra_trace *ask(tenebra_session *session, const question *q)
{
    const tenebra_trace *trace = NULL;
    tenebra_error error = { 0 };
    if (tenebra_session_ask(session, &q->request, &trace, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return trace;
}

static inline bool same(const answer *a, const answer *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static inline tenebra_session *open_session(const tenebra_model *model)
{
    const tenebra_session_options options = { .size = sizeof options, .context = 512, .threads = 1 };
    tenebra_session *session;
    assert_int_equal(tenebra_session_open(&session, model, &options, NULL), TENEBRA_OK);
    return session;
}

#endif
