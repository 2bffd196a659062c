/* Arenas and size arithmetic: allocations do not overlap, are aligned and lie inside the arena; too large ones are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/checked.h"

static void sizes_do_not_wrap(void **state)
{
    (void)state;
    size_t out = 7;
    assert_true(tn_size_mul(SIZE_MAX / 2, 2, &out));
    assert_true(out == SIZE_MAX - 1);
    assert_false(tn_size_mul(SIZE_MAX / 2 + 1, 2, &out));
    assert_true(tn_size_mul(0, SIZE_MAX, &out));
    assert_true(out == 0);
    assert_true(tn_size_add(SIZE_MAX - 1, 1, &out));
    assert_true(out == SIZE_MAX);
    assert_false(tn_size_add(SIZE_MAX, 1, &out));
    assert_true(tn_min(2, 3) == 2 && tn_max(2, 3) == 3);
}

static void pieces_cover_a_total(void **state)
{
    (void)state;
    for (size_t total = 0; total < 50; total++)
        for (size_t size = 1; size < 20; size++) {
            size_t pieces = tn_pieces(total, size);
            assert_true(pieces * size >= total);
            assert_true(pieces == 0 ? total == 0 : (pieces - 1) * size < total);
        }
    assert_true(tn_pieces(SIZE_MAX, 1) == SIZE_MAX);
    assert_true(tn_pieces(SIZE_MAX, 2) == SIZE_MAX / 2 + 1);
}

static void an_arena_hands_out_what_it_has(void **state)
{
    (void)state;
    tn_arena arena;
    assert_int_equal(tn_arena_open(&arena, 10000, NULL), TENEBRA_OK);
    assert_true(arena.capacity >= 10000);
    unsigned char *first = tn_arena_take(&arena, 3, 7), *second = tn_arena_take(&arena, 1, 1), *none = tn_arena_take(&arena, 0, 8);
    assert_true((uintptr_t)first % TN_ARENA_ALIGNMENT == 0 && (uintptr_t)second % TN_ARENA_ALIGNMENT == 0);
    assert_true(second >= first + 21 && second + 1 <= arena.base + arena.capacity);
    assert_non_null(none);
    memset(first, 1, 21);
    *second = 2;
    assert_int_equal(first[20], 1);
    assert_null(tn_arena_take(&arena, SIZE_MAX / 2, 3));
    assert_null(tn_arena_take(&arena, SIZE_MAX, 1));
    assert_null(tn_arena_take(&arena, arena.capacity, 1)); /* some of it is taken */
    assert_int_equal(*second, 2);
    tn_arena_close(&arena);
    assert_null(arena.base);
    tn_arena_close(&arena);
}

static void a_mark_brings_the_room_back(void **state)
{
    (void)state;
    tn_arena arena;
    assert_int_equal(tn_arena_open(&arena, 1, NULL), TENEBRA_OK);
    size_t all = arena.capacity, mark = tn_arena_mark(&arena);
    void *whole = tn_arena_take(&arena, all, 1);
    assert_non_null(whole);
    assert_null(tn_arena_take(&arena, 1, 1));
    tn_arena_release(&arena, mark);
    assert_ptr_equal(tn_arena_take(&arena, all, 1), whole);
    assert_true(arena.peak == all);
    tn_arena_close(&arena);
}

static void an_impossible_arena_is_an_error(void **state)
{
    (void)state;
    const size_t sizes[] = { 0, SIZE_MAX, SIZE_MAX / 2 };
    for (size_t i = 0; i < 3; i++) {
        tn_arena arena;
        tenebra_error error = { 0 };
        assert_int_equal(tn_arena_open(&arena, sizes[i], &error), TENEBRA_ERROR_MEMORY);
        assert_int_equal(error.code, TENEBRA_ERROR_MEMORY);
        assert_true(error.sentence[0] != '\0');
        tn_arena_close(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_do_not_wrap),           cmocka_unit_test(pieces_cover_a_total),
        cmocka_unit_test(an_arena_hands_out_what_it_has), cmocka_unit_test(a_mark_brings_the_room_back),
        cmocka_unit_test(an_impossible_arena_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
