/* Groups whose members are numbered by two numbers, and have tensors of different sizes, or do not have all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/layout.h"

/* Three levels of two blocks. The first block of a level reads as many channels as the level before has, and only if these are not as
 * many as its own it has a shortcut. */
enum { COUNT = TN_SIZE_OWN, INNER, BASE, FIRST, SECOND, THIRD };
enum { INPUTS = TN_SIZE_MEMBER, OUTPUTS, SHORT_INPUTS, AREA };

typedef struct block {
    tn_weight main, shortcut;
    tn_vector scale;
} block;

typedef struct levels {
    tn_network network;
    tn_weight stem;
    block *blocks;
} levels;

static size_t size_of(const tn_network *network, size_t number, size_t which)
{
    size_t level = number / network->sizes[INNER], inner = number % network->sizes[INNER], own = network->sizes[FIRST + level];
    size_t inputs = inner > 0 ? own : level > 0 ? network->sizes[FIRST + level - 1] : network->sizes[BASE];
    if (which == AREA)
        return (size_t)1 << 2 * level;
    return which == INPUTS ? inputs : which == OUTPUTS ? own : inputs != own ? inputs : 0;
}

#define ROW(...) TN_LAYOUT_ROW(__VA_ARGS__)
#define BLOCK(member) 1, offsetof(block, member), 1

static const tn_layout_row rows[] = {
    { .name = "stem.weight", ROW(PATCHES, 0, offsetof(levels, stem), 1, BASE, BASE) },
    { .name = "level.%zu.block.%zu.scale", .others = { "net.%zu.%zu.scale" }, ROW(SCALE, BLOCK(scale), INPUTS) },
    { .name = "level.%zu.block.%zu.main.weight", .others = { "net.%zu.%zu.main.weight" }, ROW(LINEAR, BLOCK(main), OUTPUTS, INPUTS),
      .pooled = AREA },
    { .name = "level.%zu.block.%zu.short.weight", .others = { "net.%zu.%zu.short.weight" },
      ROW(LINEAR, BLOCK(shortcut), OUTPUTS, SHORT_INPUTS), .pooled = AREA },
    { .name = NULL }
};

static const tn_layout layout = {
    .kind = TN_NETWORK_IMAGES,
    .bytes = sizeof(levels),
    .groups = { [1] = { offsetof(levels, blocks), sizeof(block), COUNT, INNER, size_of } },
    .rows = rows,
};

static levels network_of(void)
{
    return (levels){ .network = { .layout = &layout, .sizes = { [COUNT] = 6, [INNER] = 2, [BASE] = 4, [FIRST] = 4, [SECOND] = 8, [THIRD] = 4 } } };
}

static tenebra_code look(void *user, const tn_place *place, tenebra_error *error)
{
    static const struct {
        const char *name, *other;
        size_t rows, cols, pool;
    } wanted[] = {
        { "stem.weight", NULL, 4, 4, 1 },
        { "level.0.block.0.scale", "net.0.0.scale", 1, 4, 1 },
        { "level.0.block.1.scale", "net.0.1.scale", 1, 4, 1 },
        { "level.1.block.0.scale", "net.1.0.scale", 1, 4, 1 },
        { "level.1.block.1.scale", "net.1.1.scale", 1, 8, 1 },
        { "level.2.block.0.scale", "net.2.0.scale", 1, 8, 1 },
        { "level.2.block.1.scale", "net.2.1.scale", 1, 4, 1 },
        { "level.0.block.0.main.weight", "net.0.0.main.weight", 4, 4, 1 },
        { "level.0.block.1.main.weight", "net.0.1.main.weight", 4, 4, 1 },
        { "level.1.block.0.main.weight", "net.1.0.main.weight", 8, 4, 4 },
        { "level.1.block.1.main.weight", "net.1.1.main.weight", 8, 8, 4 },
        { "level.2.block.0.main.weight", "net.2.0.main.weight", 4, 8, 16 },
        { "level.2.block.1.main.weight", "net.2.1.main.weight", 4, 4, 16 },
        { "level.1.block.0.short.weight", "net.1.0.short.weight", 8, 4, 4 },
        { "level.2.block.0.short.weight", "net.2.0.short.weight", 4, 8, 16 },
    };
    size_t *count = user;
    char name[TN_PLACE_NAME];
    (void)error;
    assert_true(*count < sizeof wanted / sizeof *wanted);
    assert_string_equal(place->name, wanted[*count].name);
    assert_int_equal(place->rows, wanted[*count].rows);
    assert_int_equal(place->cols, wanted[*count].cols);
    assert_int_equal(tn_place_pool(place), wanted[*count].pool);
    assert_int_equal(tn_place_name(place, 1, name), wanted[*count].other != NULL);
    if (wanted[*count].other != NULL)
        assert_string_equal(name, wanted[*count].other);
    ++*count;
    return TENEBRA_OK;
}

static void test_places(void **state)
{
    (void)state;
    levels network = network_of();
    size_t count = 0;
    assert_int_equal(tn_network_open(&network.network, NULL), TENEBRA_OK);
    assert_int_equal(tn_network_each(&network.network, look, &count, NULL), TENEBRA_OK);
    assert_int_equal(count, 15);
    assert_false(tn_network_is_trained(&network.network, TN_ANY, 0));
    tn_network_close(&network.network);
}

static void test_names(void **state)
{
    static const struct {
        const char *name, *other; /* NULL: no such name */
    } cases[] = {
        { "level.2.block.10.main.weight", "net.2.10.main.weight" },
        { "level.2.block.10.main", "net.2.10.main" },
        { "level.2.block.0.scale", "net.2.0.scale" },
        { "stem.weight", NULL },
        { "level.2.block..main.weight", NULL },
        { "level.2.block.01.main.weight", NULL },
        { "level.02.block.1.main.weight", NULL },
        { "level.2.block.1", "net.2.1" }, /* the module of the scale */
        { "level.2.block.", NULL },
        { "level.2", NULL },
        { "level.2.main.weight", NULL },
        { "level.2.block.1.main.weight.x", NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char other[TN_PLACE_NAME];
        bool found = tn_layout_rename(&layout, cases[i].name, strlen(cases[i].name), 1, other, NULL);
        assert_int_equal(found, cases[i].other != NULL);
        if (found)
            assert_string_equal(other, cases[i].other);
    }
    char back[TN_PLACE_NAME];
    assert_true(tn_layout_rename(&layout, "net.7.3.short.weight", strlen("net.7.3.short.weight"), 0, back, NULL));
    assert_string_equal(back, "level.7.block.3.short.weight");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_places), cmocka_unit_test(test_names) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
