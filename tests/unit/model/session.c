/* The life of a session: used again, truncated, overfull, cancelled, together with another one; and its memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/model/models.h"

#include <pthread.h>

static int open_untied(void **state)
{
    *state = open_model(UNTIED, steady_kernels());
    return 0;
}

static int close_untied(void **state)
{
    tn_model_close(*state);
    return 0;
}

static tn_row *text_prompt(const tn_model *model, size_t count, uint64_t seed)
{
    return random_prompt(model, count, NULL, false, seed);
}

static void append(tn_session *session, const tn_row *slots, size_t count)
{
    assert_int_equal(tn_session_append(session, slots, count, NULL, NULL, NULL), TENEBRA_OK);
}

/* The last hidden state of `count` rows in a fresh session. For free(). */
static tn_real *fresh_hidden(const tn_model *model, const tn_row *slots, size_t count)
{
    tn_session *session = open_session(model, count, 1);
    tn_real *hidden = malloc(tn_session_hidden(session).cols * sizeof *hidden);
    assert_non_null(hidden);
    append(session, slots, count);
    memcpy(hidden, tn_session_hidden(session).data, tn_session_hidden(session).cols * sizeof *hidden);
    tn_session_close(session);
    return hidden;
}

static void hidden_is(const tn_session *session, const tn_real *expected)
{
    assert_true(all_finite(expected, tn_session_hidden(session).cols));
    assert_memory_equal(tn_session_hidden(session).data, expected, tn_session_hidden(session).cols * sizeof *expected);
}

/* ---------------------------------------------------------------- reuse -- */

static void test_reuse(void **state)
{
    tn_session *session = open_session(*state, 64, 2);
    outcome first = run_session(session, true, 1), other = run_session(session, false, 2);
    outcome again = run_session(session, true, 1);
    assert_true(equal(&first, &again));
    assert_false(equal(&first, &other));
    tn_session_close(session);
    free(first.values);
    free(other.values);
    free(again.values);
}

/* A prompt that begins as the rows in the cache keeps them, and ends with the bits of a fresh session. */
static void test_rows_are_taken_up(void **state)
{
    enum { ROWS = 40, SHARED = 25 };
    tn_row *slots = text_prompt(*state, ROWS, 1), *others = text_prompt(*state, ROWS, 2);
    tn_session *session = open_session(*state, ROWS, 1);
    memcpy(others, slots, SHARED * sizeof *others);
    others[SHARED].token = slots[SHARED].token + 1;
    tn_real *expected = fresh_hidden(*state, others, ROWS);
    append(session, slots, ROWS);
    tn_session_reset(session);
    assert_int_equal(tn_sequence_reuse(&session->sequence, others, ROWS - 1), SHARED);
    assert_int_equal(session->sequence.length, SHARED);
    append(session, others + SHARED, ROWS - SHARED);
    assert_int_equal(session->sequence.length, ROWS);
    hidden_is(session, expected);
    /* Rows that differ are not reused: another position, another first token; and never more rows than requested. */
    others[3].position.axis[1]++;
    assert_int_equal(tn_sequence_reuse(&session->sequence, others, ROWS - 1), 3);
    others[0].token++;
    assert_int_equal(tn_sequence_reuse(&session->sequence, others, ROWS - 1), 0);
    append(session, slots, ROWS);
    assert_int_equal(tn_sequence_reuse(&session->sequence, slots, 7), 7);
    tn_session_forget(session, false);
    assert_int_equal(tn_sequence_reuse(&session->sequence, slots, ROWS), 0);
    tn_session_close(session);
    free(expected);
    free(slots);
    free(others);
}

/* Truncated to any length, the session continues as if the other rows had never existed. */
static void test_truncate(void **state)
{
    enum { ROWS = 60 };
    tn_row *slots = text_prompt(*state, ROWS, 1), *others = text_prompt(*state, ROWS, 2);
    tn_session *session = open_session(*state, ROWS, 1);
    tn_real *expected = fresh_hidden(*state, slots, ROWS);
    static const size_t lengths[] = { ROWS - 1, 30, 1, 0 };
    for (size_t i = 0; i < 4; i++) {
        tn_session_reset(session);
        append(session, slots, lengths[i] + 1);
        if (lengths[i] + 1 < ROWS)
            append(session, others, ROWS - lengths[i] - 1);
        tn_sequence_truncate(&session->sequence, lengths[i]);
        assert_int_equal(session->sequence.length, lengths[i]);
        append(session, slots + lengths[i], ROWS - lengths[i]);
        hidden_is(session, expected);
    }
    tn_sequence_truncate(&session->sequence, ROWS + 5); /* nothing to forget */
    assert_int_equal(session->sequence.length, ROWS);
    tn_session_close(session);
    free(expected);
    free(slots);
    free(others);
}

/* ------------------------------------------------------------- refusals -- */

static void test_overflow(void **state)
{
    tn_row *slots = text_prompt(*state, 40, 1);
    tn_session *session = open_session(*state, 32, 1);
    tenebra_error error = { 0 };
    assert_int_equal(tn_session_append(session, slots, 33, NULL, NULL, &error), TENEBRA_ERROR_LIMIT);
    assert_error(&error, TENEBRA_ERROR_LIMIT, "context", "33 more do not fit into 32");
    append(session, slots, 30);
    assert_int_equal(tn_session_append(session, slots + 30, 5, NULL, NULL, &error), TENEBRA_ERROR_LIMIT);
    assert_error(&error, TENEBRA_ERROR_LIMIT, "context", "30 rows are in the cache and 5 more do not fit into 32");
    assert_int_equal(tn_session_append(session, slots, SIZE_MAX, NULL, NULL, &error), TENEBRA_ERROR_LIMIT);
    assert_int_equal(session->sequence.length, 30);
    append(session, slots + 30, 2); /* exactly full */
    tn_real *expected = fresh_hidden(*state, slots, 32);
    hidden_is(session, expected);
    assert_int_equal(tn_session_append(session, slots + 32, 1, NULL, NULL, &error), TENEBRA_ERROR_LIMIT);
    tn_session_close(session);
    free(expected);
    free(slots);
}

static void test_context_of_the_model(void **state)
{
    const tn_model *model = *state;
    tn_session_options options = { .context = 32769, .threads = 1 };
    tenebra_error error = { 0 };
    tn_session *no_session;
    assert_int_not_equal(tn_session_open(model, &options, &no_session, &error), TENEBRA_OK);
    assert_null(no_session);
    assert_error(&error, TENEBRA_ERROR_LIMIT, "context", "32769 rows are more than the model's 32768");
    options.context = SIZE_MAX;
    assert_int_not_equal(tn_session_open(model, &options, &no_session, NULL), TENEBRA_OK);
    assert_null(no_session);
    tn_session *session;
    assert_int_equal(tn_session_open(model, NULL, &session, NULL), TENEBRA_OK);
    assert_int_equal(session->sequence.capacity, 8192);
    tn_session_close(session);
    char *directory = edited_model(UNTIED, NULL, NULL, "{\"max_position_embeddings\": 100}");
    tn_model *small = open_model(directory, NULL);
    assert_int_equal(tn_session_open(small, NULL, &session, NULL), TENEBRA_OK);
    assert_int_equal(session->sequence.capacity, 100);
    tn_session_close(session);
    tn_model_close(small);
    remove_directory(directory);
}

/* After any failure in the middle, the session can continue from its earlier state. */
static void test_failures_leave_it_usable(void **state)
{
    const tn_model *model = *state;
    tn_row *slots = text_prompt(model, 40, 1);
    tn_real *expected = fresh_hidden(model, slots, 40);
    tn_session *session = open_session(model, 64, 2);
    tenebra_error error = { 0 };
    append(session, slots, 20);

    assert_int_equal(tn_session_append(session, slots, 0, NULL, NULL, &error), TENEBRA_ERROR_ARGUMENT);
    tn_row wrong = slots[0];
    wrong.token = (int32_t)tn_model_vocabulary(model);
    assert_int_equal(tn_session_append(session, &wrong, 1, NULL, NULL, &error), TENEBRA_ERROR_MISMATCH);
    assert_error(&error, TENEBRA_ERROR_MISMATCH, "gather", "430");
    wrong.kind = TN_ROW_VECTOR; /* of nothing */
    assert_int_not_equal(tn_session_append(session, &wrong, 1, NULL, NULL, &error), TENEBRA_OK);
    tn_real narrow[8] = { 0 };
    wrong.vector = (tn_row_ref){ { 1, 8, narrow, NULL }, 0 };
    assert_int_equal(tn_session_append(session, &wrong, 1, NULL, NULL, &error), TENEBRA_ERROR_MISMATCH);

    atomic_bool cancel = true;
    session->engine->ops.cancel = &cancel;
    assert_int_equal(tn_session_append(session, slots + 20, 20, NULL, NULL, &error), TENEBRA_ERROR_CANCELLED);
    atomic_store(&cancel, false);

    assert_int_equal(session->sequence.length, 20);
    assert_int_equal(session->engine->work.used, 0);
    append(session, slots + 20, 20);
    hidden_is(session, expected);
    session->engine->ops.cancel = NULL;
    tn_session_close(session);
    free(expected);
    free(slots);
}

/* The arenas are finite: what does not fit is an error, and afterwards there is room again. */
static void test_full_memory(void **state)
{
    const tn_model *model = *state;
    tn_session *session = open_session(model, 64, 1);
    tn_row *slots = text_prompt(model, 40, 1);
    tn_real *expected = fresh_hidden(model, slots, 40), *patches = random_patches(model, 16, 1);
    size_t work = session->engine->work.capacity, kept = session->kept.capacity, refused = 0;
    const tn_grid grid = { 1, 4, 4 };
    tn_tensor embeds = { 0 };
    tenebra_error error;
    append(session, slots, 40);
    assert_int_equal(try_encode(session, patches, &grid, 1, &embeds, &error), TENEBRA_OK);
    size_t enough = session->engine->work.peak, granted = 0;
    for (size_t bytes = 0; bytes < enough + enough / 20; bytes += enough / 150) {
        tn_session_reset(session);
        session->engine->work.capacity = bytes;
        tenebra_code code = tn_session_append(session, slots, 40, NULL, NULL, &error);
        assert_true(code == TENEBRA_OK || (code == TENEBRA_ERROR_MEMORY && error.code == code));
        (code != TENEBRA_OK ? refused++ : granted++);
        code = try_encode(session, patches, &grid, 1, &embeds, &error);
        assert_true(code == TENEBRA_OK || (code == TENEBRA_ERROR_MEMORY && error.code == code));
        (code != TENEBRA_OK ? refused++ : granted++);
        assert_int_equal(session->engine->work.used, 0);
    }
    assert_true(refused > 100 && granted > 10);
    session->engine->work.capacity = work;
    tn_session_reset(session);
    session->kept.capacity = 4 * tn_session_hidden(session).cols * sizeof(tn_real) - 1;
    assert_int_equal(try_encode(session, patches, &grid, 1, &embeds, &error), TENEBRA_ERROR_LIMIT);
    session->kept.capacity = 0;
    tn_tensor row;
    assert_int_equal(tn_session_take_row(session, &row, &error), TENEBRA_ERROR_LIMIT);
    assert_true(tn_tensor_is_empty(row));
    session->kept.capacity = kept;
    append(session, slots, 40);
    hidden_is(session, expected);
    tn_session_close(session);
    free(patches);
    free(expected);
    free(slots);
}

/* ------------------------------------------------------------- two at once -- */

enum { ROUNDS = 6 };

typedef struct worker {
    const tn_model *model;
    uint64_t seed;
    outcome outcomes[ROUNDS];
} worker;

static void *work(void *argument)
{
    worker *w = argument;
    tn_session *session = open_session(w->model, 64, 2);
    for (size_t i = 0; i < ROUNDS; i++)
        w->outcomes[i] = run_session(session, i % 2 == 0, w->seed + i);
    tn_session_close(session);
    return NULL;
}

static void test_two_sessions(void **state)
{
    worker alone[2] = { { .model = *state, .seed = 1 }, { .model = *state, .seed = 100 } };
    worker together[2] = { alone[0], alone[1] };
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        work(&alone[i]);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &together[i]), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < ROUNDS; k++) {
            assert_true(equal(&alone[i].outcomes[k], &together[i].outcomes[k]));
            assert_false(equal(&alone[0].outcomes[k], &alone[1].outcomes[k]));
        }
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < ROUNDS; k++) {
            free(alone[i].outcomes[k].values);
            free(together[i].outcomes[k].values);
        }
}

/* --------------------------------------------------------------- memory -- */

/* Bytes that `rows` rows through the layers may take at once: rows of the input, of one layer and of the
 * positions, and scratch of `threads` workers. Nothing in it depends on the length of the prompt. */
static size_t span_bytes(const tn_model *model, size_t rows, size_t threads)
{
    const tn_decoder_config *c = &model->config.decoder;
    size_t q = c->num_attention_heads * c->head_dim, kv = c->num_key_value_heads * c->head_dim;
    size_t reals = 2 * c->hidden_size + c->head_dim        /* input, gathered and composed; angles */
                   + c->hidden_size + 2 * q + 2 * kv + c->hidden_size /* norm, q, mixed, k, v, out */
                   + 2 * c->hidden_size + 2 * c->intermediate_size;   /* norm, gate, up, down      */
    size_t row = reals * sizeof(tn_real) + sizeof(tn_position) + sizeof(tn_row_ref) + sizeof(int32_t);
    size_t linear = tn_max(model->kernels->linear_scratch(&model->decoder.layers[0].down.matrix, rows),
                           model->kernels->linear_scratch(&model->decoder.layers[0].gate.matrix, rows));
    /* 64 rows of queries of a group, twice, against 128 keys */
    size_t attention = 2 * 64 * c->head_dim + (64 + c->head_dim) * 128 + 2 * 64;
    return rows * row + threads * (tn_max(linear, attention) + 64) * sizeof(tn_real) + 64 * 64;
}

static void test_prompt_memory(void **state)
{
    enum { ROWS = 2000, THREADS = 3 };
    const tn_model *model = *state;
    tn_session *session = open_session(model, ROWS, THREADS);
    tn_row *slots = text_prompt(model, ROWS, 1);
    size_t peaks[2];
    for (size_t i = 0; i < 2; i++) {
        tn_session_reset(session);
        session->engine->work.peak = 0;
        append(session, slots, i == 0 ? ROWS / 2 : ROWS);
        peaks[i] = session->engine->work.peak;
    }
    assert_int_equal(peaks[0], peaks[1]);
    assert_true(peaks[1] <= span_bytes(model, 512, THREADS));
    assert_false(peaks[1] <= span_bytes(model, 512, THREADS) / 3); /* the bound is meaningful */

    /* The cache: keys and values, what each row was made from, and some rows. */
    const tn_decoder_config *c = &model->config.decoder;
    size_t cached = ROWS * (2 * c->num_hidden_layers * c->num_key_value_heads * c->head_dim * sizeof(tn_real) +
                            sizeof(tn_row_key));
    size_t rows = (8 * c->hidden_size + model->decoder.head.matrix.rows) * sizeof(tn_real);
    assert_true(session->sequence.memory.used <= cached + rows + 8192);
    assert_true(session->sequence.memory.used >= cached);
    assert_int_equal(session->kept.peak, 0);
    tn_session_close(session);
    free(slots);
}

/* A decoded row needs little more memory than its own, whatever the number of rows before it. */
static void test_decoding_memory(void **state)
{
    const tn_model *model = *state;
    tn_session *session = open_session(model, 1600, 2);
    tn_row *slots = text_prompt(model, 1600, 1);
    size_t at = 0, peaks[2];
    for (size_t i = 0; i < 2; i++) {
        size_t before = i == 0 ? 100 : 1400;
        append(session, slots + at, before - at);
        session->engine->work.peak = 0;
        append(session, slots + before, 1);
        at = before + 1;
        peaks[i] = session->engine->work.peak;
    }
    assert_int_equal(peaks[0], peaks[1]);
    assert_true(peaks[1] <= span_bytes(model, 1, 2));
    tn_session_close(session);
    free(slots);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_untied, close_untied)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_reuse),
        TEST(test_rows_are_taken_up),
        TEST(test_truncate),
        TEST(test_overflow),
        TEST(test_context_of_the_model),
        TEST(test_failures_leave_it_usable),
        TEST(test_full_memory),
        TEST(test_two_sessions),
        TEST(test_prompt_memory),
        TEST(test_decoding_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
