/* A session whose keys and values are bfloat16: smaller, its own decoding equal to its prefill, and near the exact one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/model/models.h"

enum { ROWS = 60 };

static tn_session *narrow_session(const tn_model *model, size_t context)
{
    const tn_session_options options = { .context = context, .threads = 2, .cache_type = TN_BF16 };
    tn_session *session;
    assert_int_equal(tn_session_open(model, &options, &session, NULL), TENEBRA_OK);
    return session;
}

/* The hidden state after ROWS rows in spans of `part`. For free(). */
static tn_real *hidden_of(tn_session *session, const tn_row *slots, size_t part)
{
    size_t bytes = tn_session_hidden(session).cols * sizeof(tn_real);
    tn_real *hidden = malloc(bytes);
    tn_session_reset(session);
    for (size_t at = 0; at < ROWS; at += part)
        assert_int_equal(tn_session_append(session, slots + at, ROWS - at < part ? ROWS - at : part, NULL, NULL, NULL),
                         TENEBRA_OK);
    memcpy(hidden, tn_session_hidden(session).data, bytes);
    return hidden;
}

static void test_hidden_states(void **state)
{
    (void)state;
    for (size_t set = 0; tn_kernels_at(set) != NULL; set++) {
        if (!is_steady(tn_kernels_at(set)))
            continue;
        tn_model *model = open_model(UNTIED, tn_kernels_at(set)->name);
        tn_session *exact = open_session(model, ROWS, 1), *narrow = narrow_session(model, ROWS);
        tn_row *slots = random_prompt(model, ROWS, NULL, false, 1);
        tn_real *wanted = hidden_of(exact, slots, ROWS), *whole = hidden_of(narrow, slots, ROWS);
        size_t cols = tn_session_hidden(exact).cols;
        for (size_t part = 1; part < ROWS; part += 13) {
            tn_real *parts = hidden_of(narrow, slots, part);
            assert_memory_equal(parts, whole, cols * sizeof *parts);
            free(parts);
        }
        /* The operation's own bound is in tests/unit/ops/cache.c: about 2^-7 of what attention adds in a layer. Two
         * layers whose attention is no larger than what it is added to, and a norm: 2^-5 of the largest number. */
        double size = 0, distance = largest_distance(whole, wanted, cols);
        for (size_t i = 0; i < cols; i++)
            size = fmax(size, fabs((double)wanted[i]));
        assert_true(distance > 0 && distance <= 0x1p-5 * size);
        free(wanted);
        free(whole);
        free(slots);
        tn_session_close(exact);
        tn_session_close(narrow);
        tn_model_close(model);
    }
}

static void test_memory_and_types(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference");
    tn_session *exact = open_session(model, 8192, 1), *narrow = narrow_session(model, 8192);
    const tn_decoder_config *config = &model->config.decoder;
    size_t values = 2 * 8192 * config->num_hidden_layers * config->num_key_value_heads * config->head_dim;
    assert_true(exact->sequence.memory.used >= values * sizeof(float));
    assert_int_equal(exact->sequence.memory.used - narrow->sequence.memory.used, values * (sizeof(float) - sizeof(uint16_t)));
    assert_null(narrow->sequence.cache[0].k);
    tn_session_close(exact);
    tn_session_close(narrow);
    const tn_session_options options = { .threads = 1, .cache_type = TN_F16 };
    tenebra_error error = { 0 };
    tn_session *no_session;
    assert_int_equal(tn_session_open(model, &options, &no_session, &error), TENEBRA_ERROR_ARGUMENT);
    assert_null(no_session);
    assert_int_equal(error.code, TENEBRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.sentence, "F32 or BF16, not as F16"));
    tn_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_hidden_states), cmocka_unit_test(test_memory_and_types) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
