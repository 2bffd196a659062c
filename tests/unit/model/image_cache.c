/* The cache of image embeddings: it is bounded, indexed by content, and drops the oldest first; and its use by the session. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/model/models.h"

enum { COLS = 4, ROW = COLS * sizeof(tn_real) };

/* An image of `rows` embeddings whose values are all its name. */
static tn_digest add(tn_image_cache *cache, uint64_t name, size_t rows)
{
    tn_real values[64 * COLS];
    assert_true(rows <= 64);
    for (size_t i = 0; i < rows * COLS; i++)
        values[i] = (tn_real)name;
    const tn_digest content = { { 0, name, 0, 0 } };
    tn_ops ops = { 0 };
    tn_image_cache_add(cache, &content, &ops, &(tn_image_rows){ .rows = rows, .embeds = { rows, COLS, values, NULL } });
    return content;
}

static bool knows(tn_image_cache *cache, uint64_t name)
{
    const tn_digest content = { { 0, name, 0, 0 } };
    const tn_image_entry *entry = tn_image_cache_find(cache, &content);
    if (entry != NULL)
        for (size_t i = 0; i < entry->rows * COLS; i++)
            assert_true(entry->values[i] == (tn_real)name);
    return entry != NULL;
}

static void test_oldest_goes_first(void **state)
{
    (void)state;
    tn_image_cache *cache = calloc(1, sizeof *cache);
    cache->limit = 10 * ROW;
    add(cache, 1, 4);
    add(cache, 2, 4);
    assert_int_equal(cache->used, 8 * ROW);
    assert_true(knows(cache, 1)); /* now 2 is older */
    add(cache, 3, 3);
    assert_true(knows(cache, 1) && !knows(cache, 2) && knows(cache, 3));
    assert_int_equal(cache->used, 7 * ROW);
    add(cache, 4, 10); /* all of it */
    assert_true(!knows(cache, 1) && !knows(cache, 3) && knows(cache, 4));
    add(cache, 5, 11); /* more than that: nothing changes */
    assert_true(knows(cache, 4) && !knows(cache, 5));
    add(cache, 4, 10); /* known */
    assert_int_equal(cache->used, 10 * ROW);
    tn_image_cache_clear(cache);
    assert_true(!knows(cache, 4) && cache->used == 0);
    free(cache);
}

static void test_many_small_ones(void **state)
{
    (void)state;
    tn_image_cache *cache = calloc(1, sizeof *cache);
    cache->limit = SIZE_MAX;
    for (uint64_t name = 1; name <= TN_IMAGE_CACHE_PICTURES + 10; name++)
        add(cache, name, 1);
    assert_int_equal(cache->used, TN_IMAGE_CACHE_PICTURES * ROW);
    assert_true(!knows(cache, 10) && knows(cache, 11) && knows(cache, TN_IMAGE_CACHE_PICTURES + 10));
    add(cache, 0, 1); /* the digest of nothing known */
    assert_false(knows(cache, 0));
    tn_image_cache_clear(cache);
    cache->limit = 0;
    add(cache, 1, 1);
    assert_false(knows(cache, 1));
    free(cache);
}

static void test_session(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference");
    tn_session *session = open_session(model, 32, 1);
    const tn_grid grid = { 1, 4, 6 };
    tn_image_rows picture = encode(session, grid, 1), other = { .content = { { 1, 2, 3, 5 } } };
    picture.content = (tn_digest){ { 1, 2, 3, 4 } };
    size_t bytes = picture.rows * picture.embeds.cols * sizeof *picture.embeds.data;
    tn_real *wanted = malloc(bytes);
    memcpy(wanted, picture.embeds.data, bytes);
    tenebra_error error = { 0 };
    tn_session_remember(session, &picture);
    memset(picture.embeds.data, 0, bytes); /* a copy was kept */
    tn_session_reset(session);
    assert_int_equal(tn_session_recall(session, &other, &error), TENEBRA_OK);
    assert_null(other.embeds.data);
    assert_int_equal(tn_session_recall(session, &picture, &error), TENEBRA_OK);
    assert_int_equal(picture.embeds.rows, 6);
    assert_memory_equal(picture.embeds.data, wanted, bytes);
    memset(picture.embeds.data, 0, bytes); /* what is given out is one, too */
    assert_int_equal(tn_session_recall(session, &picture, &error), TENEBRA_OK);
    assert_memory_equal(picture.embeds.data, wanted, bytes);
    session->kept.used = session->kept.capacity;
    assert_int_equal(tn_session_recall(session, &picture, &error), TENEBRA_ERROR_LIMIT);
    tn_session_reset(session);
    tn_session_forget(session, true);
    assert_int_equal(tn_session_recall(session, &picture, &error), TENEBRA_OK);
    assert_null(picture.embeds.data);
    free(wanted);
    tn_session_close(session);
    tn_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_oldest_goes_first), cmocka_unit_test(test_many_small_ones),
                                        cmocka_unit_test(test_session) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
