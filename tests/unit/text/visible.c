/* Text of others as a terminal may show it, and how wide it is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "text/visible.h"

static void test_lines(void **state)
{
    (void)state;
    static const struct { const char *text, *line; size_t width; } cases[] = {
        { "plain", "plain", 5 }, { "a\033[1mb", "a\\u001b[1mb", 11 }, { "a\nb\tc", "a\\u000ab\\u0009c", 15 }, { "\xFFx", "\\xffx", 5 },
        { "\xE2\x80\xAE" "x", "\\u202ex", 7 }, { "caf\xC3\xA9", "caf\xC3\xA9", 4 }, { "e\xCC\x81", "e\xCC\x81", 1 },
        { "\xE6\xBC\xA2\xE5\xAD\x97", "\xE6\xBC\xA2\xE5\xAD\x97", 4 }, { "\xF0\x9F\x8D\x90", "\xF0\x9F\x8D\x90", 2 }, { "", "", 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[64], whole[64];
        tn_visible_line(cases[i].text, line, sizeof line);
        assert_string_equal(line, cases[i].line);
        assert_int_equal(tn_visible_width(line), cases[i].width);
        for (size_t room = 1; room <= strlen(line); room++) { /* cut between characters, always with its zero */
            tn_visible_line(cases[i].text, whole, room);
            assert_true(strlen(whole) < room && strncmp(whole, line, strlen(whole)) == 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_lines) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
