/* Numbers and switches in texts that users write. */
#ifndef TN_BASE_NUMBER_H
#define TN_BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* The largest seed or other integer, 2^63 - 1: JSON files keep these exactly. */
#define TN_WHOLE_MAX ((uint64_t)INT64_MAX)

/* Reads decimal digits and nothing else, exactly. Returns false and does not change *value for any other text and for
 * numbers above TN_WHOLE_MAX. */
bool tn_whole_read(const char *text, uint64_t *value);

/* Reads 1, true, yes, on, or 0, false, no, off, in any case. Returns false and does not change *on for any other text. */
bool tn_switch_read(const char *text, bool *on);

/* Writes the shortest decimal text that strtod reads back as the same number: "1e-5", not "1.0000000000000001e-05". Returns text. */
enum { TN_NUMBER_TEXT = 32 };
const char *tn_number_print(double number, char text[TN_NUMBER_TEXT]);

#endif
