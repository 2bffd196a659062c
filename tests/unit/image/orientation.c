/* Which orientation a file has, in every way of saying it, as six versions of Pillow see it (tools/make_orientation_cases.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/orientation.h"
#include "unit/image/pictures.h"

enum { VERSIONS = 6, NEWEST = VERSIONS - 1 };

typedef struct table_row {
    char name[64];
    unsigned seen[VERSIONS]; /* 0: that version fails */
} table_row;

static bool read_row(FILE *file, table_row *row)
{
    char line[256];
    unsigned *s = row->seen;
    return fgets(line, sizeof line, file) != NULL &&
           sscanf(line, "%63[^,],%u,%u,%u,%u,%u,%u", row->name, s, s + 1, s + 2, s + 3, s + 4, s + 5) == 1 + VERSIONS;
}

static FILE *open_table(void)
{
    char line[256];
    FILE *file = fopen(TENEBRA_TEST_DATA "/image/orientation/table.csv", "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    assert_string_equal(line, "file,9.4.0,10.4.0,11.3.0,12.0.0,12.2.0,13.0.0\n");
    return file;
}

static unsigned char *bytes_of(const table_row *row, size_t *size)
{
    char name[96];
    snprintf(name, sizeof name, "orientation/%s", row->name);
    return picture_bytes(name, size);
}

static void the_newest_version_is_followed(void **state)
{
    (void)state;
    FILE *file = open_table();
    table_row row;
    size_t rows = 0, turned = 0, older = 0;
    for (; read_row(file, &row); rows++) {
        size_t size;
        unsigned orientation, expected = row.seen[NEWEST] ? row.seen[NEWEST] : 1;
        unsigned char *bytes = bytes_of(&row, &size);
        assert_int_equal(tn_orientation_of(bytes, size, &orientation, NULL), TENEBRA_OK);
        if (orientation != expected)
            fail_msg("%s: %u, not %u", row.name, orientation, expected);
        free(bytes);
        turned += expected != 1;
        older += row.seen[0] != row.seen[NEWEST];
    }
    fclose(file);
    assert_int_equal(rows, 112);
    assert_true(turned > 50 && older >= 8); /* the table is meaningful: not all are upright, and versions differ */
}

/* The orientation rotates the pixels if this is requested, and has no other effect. */
static void pictures_are_turned_by_it(void **state)
{
    (void)state;
    FILE *file = open_table();
    table_row row;
    while (read_row(file, &row)) {
        tn_image stored, upright;
        size_t size;
        unsigned char *bytes = bytes_of(&row, &size);
        if (row.seen[NEWEST] != 0 || strstr(row.name, ".png") != NULL) {
            assert_int_equal(tn_image_decode(&stored, bytes, size, NULL, false, row.name, NULL), TENEBRA_OK);
            assert_int_equal(tn_image_decode(&upright, bytes, size, NULL, true, row.name, NULL), TENEBRA_OK);
            assert_int_equal(tn_image_orient(&stored, row.seen[NEWEST] ? row.seen[NEWEST] : 1, NULL), TENEBRA_OK);
            assert_int_equal(stored.width, upright.width);
            assert_int_equal(crc32_of_image(&stored), crc32_of_image(&upright));
            tn_image_free(&stored);
            tn_image_free(&upright);
        }
        free(bytes);
    }
    fclose(file);
}

/* Every beginning of every file, in memory that ends with it. */
static void cut_files_are_read_to_their_end_and_not_further(void **state)
{
    (void)state;
    FILE *file = open_table();
    table_row row;
    while (read_row(file, &row)) {
        size_t size;
        unsigned char *bytes = bytes_of(&row, &size);
        for (size_t cut = 0; cut < size; cut++) {
            unsigned orientation;
            unsigned char *part = malloc(cut + 1);
            assert_non_null(part);
            memcpy(part + 1, bytes, cut);
            assert_int_equal(tn_orientation_of(part + 1, cut, &orientation, NULL), TENEBRA_OK);
            assert_true(orientation >= 1 && orientation <= 8);
            free(part);
        }
        free(bytes);
    }
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_version_is_followed),
        cmocka_unit_test(pictures_are_turned_by_it),
        cmocka_unit_test(cut_files_are_read_to_their_end_and_not_further),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
