#include "base/number.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool tn_whole_read(const char *text, uint64_t *value)
{
    uint64_t number = 0;
    if (text[0] == '\0')
        return false;
    for (; *text != '\0'; text++) {
        unsigned digit = (unsigned)(*text - '0');
        if (digit > 9 || number > (TN_WHOLE_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *value = number;
    return true;
}

bool tn_switch_read(const char *text, bool *on)
{
    static const char *const words[] = { "0", "1", "false", "true", "no", "yes", "off", "on" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(words[i], text) == 0) {
            *on = i % 2 == 1;
            return true;
        }
    return false;
}

/* "1e-05" as "1e-5". */
static void shorten_exponent(char *text)
{
    char *digits = strchr(text, 'e');
    if (digits == NULL)
        return;
    digits += strcspn(digits, "0123456789");
    size_t zeros = strspn(digits, "0");
    memmove(digits, digits + zeros, strlen(digits + zeros) + 1);
}

const char *tn_number_print(double number, char text[TN_NUMBER_TEXT])
{
    int digits = 1;
    do
        snprintf(text, TN_NUMBER_TEXT, "%.*g", digits, number);
    while (digits++ < 17 && strtod(text, NULL) != number);
    shorten_exponent(text);
    return text;
}
