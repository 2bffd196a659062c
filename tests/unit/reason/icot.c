/* Insertions at line breaks: when, which embeddings, at which positions. Forced tokens bring the breaks about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "base/checked.h"
#include "unit/reason/tiny.h"

enum { SIDE = 8, J = SIDE * SIDE, PICKED = 16, ROWS = PICKED + 2, FORCED_MAX = 32 };

/* ------------------------------------------------------------- questions -- */

typedef struct asked {
    question q;
    int32_t forced[FORCED_MAX];
} asked;

static int32_t find(const tn_model *model, const char *token)
{
    int32_t id = tn_tokenizer_find(model->tokenizer, token);
    if (id < 0)
        fail_msg("there is no token '%s'", token);
    return id;
}

/* Asks about images of 8 x 8 embeddings. The answer begins with `tokens`, one per letter: '/' is a line break, ':' a colon and
 * a line break in one token. It has `count` tokens in total. */
static void ask(const tiny *here, asked *a, const char *second, const char *tokens, size_t count)
{
    ask_about(&a->q, "icot", PICTURE, second, "What is small and green?");
    a->q.request.image.width = a->q.request.image.height = 28 * SIDE;
    a->q.request.max_tokens = count;
    a->q.request.forced = a->forced;
    a->q.request.forced_count = strlen(tokens);
    assert_true(strlen(tokens) <= FORCED_MAX);
    for (size_t i = 0; tokens[i] != '\0'; i++) {
        const char letter[] = { tokens[i], '\0' };
        a->forced[i] = find(here->model, tokens[i] == '/' ? "\n" : tokens[i] == ':' ? ":\n" : letter);
    }
}

/* The generated part of the cache in letters: tokens as above, '<' and '>' for the border tokens of an image, '#' for an
 * embedding, '.' for any other token. */
static const char *shape(const run *made, char *text)
{
    const tn_session *session = made->session;
    const tn_model *model = session->model;
    size_t count = 0;
    for (size_t row = made->reasoner.conversation.prompt_count; row < session->sequence.length; row++) {
        int32_t token = made->reasoner.span.rows[row].token;
        size_t length = 0;
        const char *bytes = token >= 0 ? tn_tokenizer_bytes(model->tokenizer, token, &length) : NULL;
        text[count++] = token < 0                                   ? '#'
                        : token == model->config.picture_begin ? '<'
                        : token == model->config.picture_end   ? '>'
                        : token == find(model, "\n")                ? '/'
                        : token == find(model, ":\n")               ? ':'
                        : length == 1                               ? bytes[0]
                                                                    : '.';
    }
    text[count] = '\0';
    return text;
}

/* Replaces every run of PICKED '#' by one. */
static const char *short_shape(const run *made, char *text)
{
    size_t to = 0;
    shape(made, text);
    for (size_t from = 0; text[from] != '\0'; from++, to++) {
        text[to] = text[from];
        if (text[from] == '#') {
            assert_true(strspn(text + from, "#") >= PICKED);
            from += PICKED - 1;
        }
    }
    text[to] = '\0';
    return text;
}

/* Asks with one or two settings and compares when it inserts. */
static void check_shape(const tiny *here, const char *tokens, size_t count, const char *setting, const char *value,
                        const char *expected)
{
    asked a;
    char text[TINY_CONTEXT];
    ask(here, &a, NULL, tokens, count);
    if (strcmp(setting, "sticky") != 0)
        ask_set(&a.q, "sticky", "no");
    ask_set(&a.q, setting, value);
    run *made = run_question(here->model, &a.q);
    assert_string_equal(short_shape(made, text), expected);
    run_free(made);
}

/* ------------------------------------------------------------------ when -- */

static void test_when(void **state)
{
    const tiny *here = *state;
    check_shape(here, "a/i/t/a/i", 10, "sticky", "yes", "a/i/<#>t<#>/a/<#>i");
    check_shape(here, "a/i/tait/", 10, "sticky", "yes", "a/i/<#>t<#>a<#>it/");
    check_shape(here, "a/i/t/a/i", 10, "sticky", "no", "a/i/<#>t/a/<#>i");
    check_shape(here, "a/i/t/a/i", 10, "every", "1", "a/<#>i/<#>t/<#>a/i");
    check_shape(here, "a/i/t/a/i", 10, "every", "3", "a/i/t/<#>a/i");
    check_shape(here, "a/i/t/a/i", 10, "insertions", "1", "a/i/<#>t/a/i");
    check_shape(here, "a/i/t/a/i", 10, "insertions", "0", "a/i/t/a/i");
    check_shape(here, "a:i:t:a/i", 10, "trigger", "strict", "a:i:t:a/i");
    check_shape(here, "a:i:t/a:i", 10, "trigger", "any", "a:i:<#>t/a:<#>i");
    check_shape(here, "atiatait/", 10, "mark", "t", "atiat<#>ait/");
    check_shape(here, "a/i/t/a/i", 10, "mark", "", "a/i/t/a/i");
    check_shape(here, "//////////", 11, "min-first", "5", "//////<#>//<#>//<#>");
    check_shape(here, "//////////", 11, "min-between", "3", "//<#>////<#>////<#>");
    check_shape(here, "a/i/t/a/i", 10, "at-start", "yes", "<#>a/i/<#>t/a/<#>i");
}

/* The released code uses all insertions directly after the second break; this is the default. */
static void test_defaults(void **state)
{
    const tiny *here = *state;
    asked a;
    char text[TINY_CONTEXT];
    ask(here, &a, NULL, "a/i/tai/t/", 11);
    run *made = run_question(here->model, &a.q);
    assert_string_equal(short_shape(made, text), "a/i/<#>t<#>a<#>i/t/");
    assert_int_equal(made->trace->injected_tokens, 3 * ROWS);
    assert_int_equal(made->trace->step_count, 3);
    assert_int_equal(made->trace->latent_steps, 0);
    assert_int_equal(made->trace->token_count, 11);
    assert_int_equal(made->trace->passes, 1);
    assert_int_equal(made->trace->images_added, 0);
    assert_int_equal(made->trace->positions_computed, made->trace->prompt_tokens + 10 + 3 * ROWS);
    assert_string_equal(made->trace->positions, "mrope");
    run_free(made);
}

/* A break that ends the answer inserts nothing. */
static void test_break_at_the_end(void **state)
{
    check_shape(*state, "a/i/", 4, "sticky", "no", "a/i");
    check_shape(*state, "a/i/", 5, "sticky", "no", "a/i/<#>");
}

/* ------------------------------------------------------------------ what -- */

/* The PICKED image rows of image `picture` that row `query` of the run attends to most, in ascending order: from a tap of a new
 * session and a separate search. */
static void expect_picks(const run *made, size_t query, size_t picture, bool taken[2 * J], size_t expected[PICKED])
{
    size_t keys[2 * J], count = made->reasoner.conversation.candidate_count, found = 0;
    tn_real scores[2 * J];
    for (size_t i = 0; i < count; i++)
        keys[i] = made->reasoner.conversation.candidates[i].row;
    const tn_span_tap tap = { .query = query, .keys = keys, .count = count, .mean = scores };
    tn_session_close(replay(made, query + 1, &tap));
    for (size_t i = picture * J; i < picture * J + J; i++) {
        size_t better = 0;
        for (size_t other = picture * J; other < picture * J + J; other++)
            better += !taken[other] && (scores[other] > scores[i] || (scores[other] == scores[i] && other < i));
        if (!taken[i] && better < PICKED)
            expected[found++] = i;
    }
    assert_int_equal(found, PICKED);
}

static bool are_picks(const tenebra_step *step, const size_t expected[PICKED])
{
    bool same = step->pick_count == PICKED;
    for (size_t i = 0; same && i < PICKED; i++)
        same = step->picks[i].image * J + step->picks[i].index == expected[i];
    return same;
}

/* Checks the cache after row `row`: border tokens around the embeddings of the step's picks. */
static void check_rows(const run *made, size_t row, const tenebra_step *step)
{
    const tn_row *rows = made->reasoner.span.rows + row + 1;
    const tn_model_config *config = &made->session->model->config;
    assert_int_equal(rows[0].token, config->picture_begin);
    assert_int_equal(rows[ROWS - 1].token, config->picture_end);
    for (size_t i = 0; i < PICKED; i++) {
        tn_tensor embeds = made->reasoner.conversation.pictures[step->picks[i].image].rows.embeds;
        assert_memory_equal(row_values(&rows[1 + i]), embeds.data + step->picks[i].index * embeds.cols,
                            embeds.cols * sizeof(tn_real));
    }
}

/* Row of generated token `number` from 0. */
static size_t row_of_token(const run *made, size_t number)
{
    size_t row = made->reasoner.conversation.prompt_count;
    for (;; row++) {
        int32_t token = made->reasoner.span.rows[row].token;
        const tn_model_config *config = &made->session->model->config;
        bool generated = token >= 0 && token != config->picture_begin && token != config->picture_end;
        if (generated && number-- == 0)
            return row;
    }
}

/* Attention of row `query` to the step's picks, by that to the `words` rows that end with row `row`, from a fresh session. */
static void expect_weights(const run *made, const tenebra_step *step, size_t row, size_t words, double *ratio, double *focus)
{
    size_t keys[PICKED + FORCED_MAX];
    tn_real scores[PICKED + FORCED_MAX];
    bool fed = made->trace->injected_tokens > 0; /* or the picks are watched at their place in the prompt */
    for (size_t i = 0; i < PICKED; i++)
        keys[i] = fed ? row + 2 + i : made->reasoner.conversation.candidates[step->picks[i].image * J + step->picks[i].index].row;
    for (size_t i = 0; i < words; i++)
        keys[PICKED + i] = row - i;
    size_t query = row + (fed ? ROWS : 1);
    const tn_span_tap tap = { .query = query, .keys = keys, .count = PICKED + words, .mean = scores };
    tn_session_close(replay(made, query + 1, &tap));
    double images = 0, text = 0, entropy = 0;
    for (size_t i = 0; i < PICKED + words; i++)
        *(i < PICKED ? &images : &text) += (double)scores[i];
    for (size_t i = 0; i < PICKED; i++)
        entropy -= (double)scores[i] / images * log((double)scores[i] / images);
    *ratio = images / text;
    *focus = 1 / (entropy + 1e-6);
}

static void check_weights(const run *made, const tenebra_step *step, size_t row, size_t words)
{
    double ratio, focus, wrong;
    expect_weights(made, step, row, words, &ratio, &focus);
    assert_true(fabs(step->attention_ratio / ratio - 1) < 1e-4 && fabs(step->attention_focus / focus - 1) < 1e-4);
    expect_weights(made, step, row, words - 1, &wrong, &focus); /* negative control: a word less */
    assert_true(fabs(step->attention_ratio / wrong - 1) > 1e-3);
}

static void check_picks(const tiny *here, const char *mask)
{
    asked a;
    bool taken[2 * J] = { false };
    size_t expected[PICKED], wrong[PICKED];
    ask(here, &a, OTHER_PICTURE, "a/i/tai/t/t/", 16);
    ask_set(&a.q, "sticky", "no");
    ask_set(&a.q, "mask-used", mask);
    run *made = run_question(here->model, &a.q);
    assert_int_equal(made->trace->step_count, 2);
    static const size_t breaks[] = { 3, 9 }, words[] = { 4, 6 };
    for (size_t s = 0; s < 2; s++) {
        const tenebra_step *step = &made->trace->steps[s];
        size_t row = row_of_token(made, breaks[s]);
        check_rows(made, row, step);
        check_weights(made, step, row, words[s]);
        expect_picks(made, row, 1, taken, expected);
        assert_true(are_picks(step, expected));
        expect_picks(made, row - 1, 1, taken, wrong); /* negative control: another row looks elsewhere */
        assert_false(are_picks(step, wrong));
        for (size_t i = 0; strcmp(mask, "yes") == 0 && i < PICKED; i++)
            taken[expected[i]] = true;
    }
    run_free(made);
}

static void test_picks(void **state)
{
    check_picks(*state, "no");
    check_picks(*state, "yes");
}

/* If insertions are only reported, the answer is the same as without insertions. */
static void test_nothing_fed(void **state)
{
    const tiny *here = *state;
    asked a;
    char text[TINY_CONTEXT];
    bool taken[2 * J] = { false };
    size_t expected[PICKED];
    check_shape(here, "a/i/t/a/i", 10, "feed", "no", "a/i/t/a/i");
    ask(here, &a, OTHER_PICTURE, "a/i/tai/t/t/", 16);
    ask_set(&a.q, "sticky", "no");
    ask_set(&a.q, "feed", "no");
    run *made = run_question(here->model, &a.q);
    assert_memory_equal(short_shape(made, text), "a/i/tai/t/t/", 12);
    assert_int_equal(made->trace->step_count, 2);
    assert_int_equal(made->trace->injected_tokens, 0);
    static const size_t breaks[] = { 3, 9 }, words[] = { 4, 6 };
    for (size_t s = 0; s < 2; s++) {
        size_t row = row_of_token(made, breaks[s]);
        check_weights(made, &made->trace->steps[s], row, words[s]);
        expect_picks(made, row, 1, taken, expected);
        assert_true(are_picks(&made->trace->steps[s], expected));
    }
    run_free(made);
}

/* With all images, picks of both occur, and none twice if this is requested. */
static void test_pictures_and_mask(void **state)
{
    const tiny *here = *state;
    for (size_t masked = 0; masked < 2; masked++) {
        asked a;
        ask(here, &a, OTHER_PICTURE, "////////", 9);
        ask_set(&a.q, "pictures", "all");
        ask_set(&a.q, "every", "1");
        ask_set(&a.q, "mask-used", masked ? "yes" : "no");
        run *made = run_question(here->model, &a.q);
        size_t seen[2 * J] = { 0 }, of[2] = { 0 }, twice = 0;
        for (size_t s = 0; s < made->trace->step_count; s++)
            for (size_t i = 0; i < PICKED; i++) {
                const tenebra_pick *pick = &made->trace->steps[s].picks[i];
                of[pick->image]++;
                twice += seen[pick->image * J + pick->index]++ > 0;
            }
        assert_int_equal(of[0] + of[1], 3 * PICKED);
        assert_true(of[0] > 0 && of[1] > 0);
        assert_true(masked ? twice == 0 : twice > 0);
        run_free(made);
    }
}

/* ------------------------------------------------------------- positions -- */

static void expect_position(const run *made, size_t row, int32_t t, int32_t h, int32_t w)
{
    const int32_t *axis = made->reasoner.span.rows[row].position.axis;
    if (axis[0] != t || axis[1] != h || axis[2] != w)
        fail_msg("row %zu stands at (%d, %d, %d), not at (%d, %d, %d)", row, axis[0], axis[1], axis[2], t, h, w);
}

/* A square of 4 x 4 whatever the places in the image; six positions for eighteen rows, twice in a row. */
static void test_positions_of_the_square(void **state)
{
    const tiny *here = *state;
    asked a;
    ask(here, &a, NULL, "a/i/ta", 7);
    run *made = run_question(here->model, &a.q);
    size_t prompt = made->reasoner.conversation.prompt_count, row = prompt + 4;
    int32_t p = made->reasoner.span.rows[prompt + 3].position.axis[0] + 1;
    for (size_t time = 0; time < 2; time++, row += ROWS + 1, p += 7) {
        expect_position(made, row, p, p, p);
        for (int32_t i = 0; i < PICKED; i++)
            expect_position(made, row + 1 + (size_t)i, p + 1, p + 1 + i / 4, p + 1 + i % 4);
        expect_position(made, row + ROWS - 1, p + 5, p + 5, p + 5);
        expect_position(made, row + ROWS, p + 6, p + 6, p + 6);
    }
    run_free(made);
}

static void test_true_positions(void **state)
{
    const tiny *here = *state;
    asked a;
    ask(here, &a, NULL, "a/i/ta", 7);
    ask_set(&a.q, "grid", "true");
    run *made = run_question(here->model, &a.q);
    size_t prompt = made->reasoner.conversation.prompt_count, row = prompt + 4, apart = 0;
    int32_t p = made->reasoner.span.rows[prompt + 3].position.axis[0] + 1;
    for (size_t i = 0; i < PICKED; i++) {
        int32_t index = (int32_t)made->trace->steps[0].picks[i].index;
        expect_position(made, row + 1 + i, p + 1, p + 1 + index / SIDE, p + 1 + index % SIDE);
        apart += index / SIDE != (int32_t)i / 4;
    }
    assert_true(apart > 0); /* the square would be something else */
    expect_position(made, row + ROWS - 1, p + 1 + SIDE, p + 1 + SIDE, p + 1 + SIDE);
    expect_position(made, row + ROWS, p + 2 + SIDE, p + 2 + SIDE, p + 2 + SIDE);
    run_free(made);
}

/* A number of patches that is not a square, and fewer candidates than patches. */
static void test_other_numbers_of_patches(void **state)
{
    const tiny *here = *state;
    asked a;
    ask(here, &a, NULL, "a/i/t", 6);
    ask_set(&a.q, "patches", "6");
    run *made = run_question(here->model, &a.q);
    size_t row = made->reasoner.conversation.prompt_count + 4;
    int32_t p = made->reasoner.span.rows[row - 1].position.axis[0] + 1;
    for (int32_t i = 0; i < 6; i++)
        expect_position(made, row + 1 + (size_t)i, p + 1, p + 1 + i / 3, p + 1 + i % 3);
    expect_position(made, row + 7, p + 4, p + 4, p + 4);
    assert_int_equal(made->trace->injected_tokens, 2 * 8);
    run_free(made);
    ask(here, &a, NULL, "a/i/t", 6);
    a.q.request.image.width = a.q.request.image.height = 56;
    made = run_question(here->model, &a.q);
    assert_int_equal(made->trace->steps[0].pick_count, 4);
    assert_int_equal(made->trace->injected_tokens, 2 * 6);
    run_free(made);
}

static void test_sequential_positions(void **state)
{
    const tiny *here = *state;
    asked a;
    ask(here, &a, NULL, "a/i/t", 6);
    a.q.request.positions = "sequential";
    run *made = run_question(here->model, &a.q);
    for (size_t row = 0; row < made->session->sequence.length; row++)
        expect_position(made, row, (int32_t)row, (int32_t)row, (int32_t)row);
    assert_int_equal(made->trace->injected_tokens, 2 * ROWS);
    run_free(made);
}

/* ---------------------------------------------------------------- answer -- */

/* The token after an insertion is predicted from its last row, with the insertion in the cache. */
static void test_next_token(void **state)
{
    const tiny *here = *state;
    asked a;
    ask(here, &a, NULL, "a/i/", 6);
    run *made = run_question(here->model, &a.q);
    tn_session *session = replay(made, made->reasoner.conversation.prompt_count + 4 + ROWS, NULL);
    assert_int_equal(tn_session_logits(session, NULL), TENEBRA_OK);
    assert_int_equal(made->trace->tokens[4], tn_sample_greedy(session->logits.data, session->logits.cols));
    tn_session_close(session);
    ask_set(&a.q, "insertions", "0"); /* negative control: without, the last row is another */
    run *plain = run_question(here->model, &a.q);
    assert_false(same_hidden(made, plain));
    run_free(plain);
    run_free(made);
}

/* Without images, the method is reasoning in words with the same cue. */
static void test_without_pictures(void **state)
{
    const tiny *here = *state;
    question q, words;
    ask_about(&q, "icot", NULL, NULL, "What?");
    ask_about(&words, "cot", NULL, NULL, "What?");
    const int32_t forced[] = { find(here->model, "\n"), find(here->model, "\n"), find(here->model, "\n") };
    q.request.forced = words.request.forced = forced;
    q.request.forced_count = words.request.forced_count = 3;
    run *made = run_question(here->model, &q), *plain = run_question(here->model, &words);
    assert_true(same_tokens(made->trace, plain->trace));
    assert_true(same_hidden(made, plain));
    assert_int_equal(made->trace->injected_tokens, 0);
    run_free(made);
    run_free(plain);
}

/* If an insertion does not fit any more, the answer continues without it. */
static void test_full_context(void **state)
{
    const tiny *here = *state;
    asked a;
    ask(here, &a, NULL, "a/i/t", 6);
    run *made = run_question(here->model, &a.q);
    size_t rows = made->reasoner.conversation.prompt_count + 4 + ROWS + 1;
    run_free(made);
    for (size_t missing = 0; missing < 2; missing++) {
        tn_session *session;
        assert_int_equal(tn_session_open(here->model, &(tn_session_options){ .context = rows - missing, .threads = 1 }, &session, NULL),
                         TENEBRA_OK);
        tn_reasoner *reasoner = calloc(1, sizeof *reasoner);
        assert_non_null(reasoner);
        assert_int_equal(tn_reasoner_open(reasoner, session, &a.q.request, NULL, NULL), TENEBRA_OK);
        assert_int_equal(tn_reasoner_answer(reasoner, NULL), TENEBRA_OK);
        assert_int_equal(reasoner->trace.injected_tokens, missing ? 0 : ROWS);
        assert_int_equal(reasoner->trace.finish, TENEBRA_FINISH_LENGTH);
        tn_reasoner_close(reasoner);
        free(reasoner);
        tn_session_close(session);
    }
}

/* The input of a cached row is fed again; this may also be a token, as in models whose images are tokens. */
static void test_rows_that_are_tokens(void **state)
{
    const tiny *here = *state;
    asked a;
    ask(here, &a, NULL, "a", 3);
    run *made = run_question(here->model, &a.q);
    const tn_position position = { { 900, 901, 902 } };
    size_t row = made->reasoner.conversation.prompt_count;
    made->reasoner.span.count = 0;
    assert_true(tn_span_add(&made->reasoner, made->reasoner.span.rows[row], &position));
    assert_true(tn_span_add(&made->reasoner, made->reasoner.span.rows[made->reasoner.conversation.candidates[3].row], NULL));
    const tn_row *span = made->reasoner.span.rows + made->session->sequence.length;
    assert_int_equal(span[0].token, find(here->model, "a"));
    assert_memory_equal(&span[0].position, &position, sizeof position);
    assert_true(span[1].kind == TN_ROW_CELL && span[1].cell == 3);
    assert_int_equal(span[1].position.axis[0], 903);
    run_free(made);
}

/* Neither the number of threads nor the session's caches change anything. */
static void test_threads_and_reuse(void **state)
{
    const tiny *here = *state;
    asked a;
    ask(here, &a, NULL, "a/i/tai/t/", 14);
    run *made = run_question(here->model, &a.q), *threads = run_method(here->model, 3, &a.q, NULL);
    assert_true(same_tokens(made->trace, threads->trace) && same_steps(made->trace, threads->trace));
    assert_true(same_hidden(made, threads));
    tn_reasoner *again = calloc(1, sizeof *again);
    assert_non_null(again);
    assert_int_equal(tn_reasoner_open(again, threads->session, &a.q.request, NULL, NULL), TENEBRA_OK);
    assert_int_equal(tn_reasoner_answer(again, NULL), TENEBRA_OK);
    assert_int_equal(again->trace.prompt_reused, again->trace.prompt_tokens - 1);
    assert_true(same_tokens(made->trace, &again->trace) && same_steps(made->trace, &again->trace));
    assert_true(same_hidden(made, threads)); /* whose session it is */
    tn_reasoner_close(again);
    free(again);
    run_free(threads);
    run_free(made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_when),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_break_at_the_end),
        cmocka_unit_test(test_picks),
        cmocka_unit_test(test_nothing_fed),
        cmocka_unit_test(test_pictures_and_mask),
        cmocka_unit_test(test_positions_of_the_square),
        cmocka_unit_test(test_true_positions),
        cmocka_unit_test(test_other_numbers_of_patches),
        cmocka_unit_test(test_sequential_positions),
        cmocka_unit_test(test_next_token),
        cmocka_unit_test(test_without_pictures),
        cmocka_unit_test(test_full_context),
        cmocka_unit_test(test_rows_that_are_tokens),
        cmocka_unit_test(test_threads_and_reuse),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
