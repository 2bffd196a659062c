/* Numbers and switches in texts that people write. */
#ifndef TN_BASE_NUMBER_H
#define TN_BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* Seeds and other whole numbers go up to this, 2^63 - 1: JSON files keep them exactly. */
#define TN_WHOLE_MAX ((uint64_t)INT64_MAX)

/* Reads decimal digits, nothing else, to the last digit exactly. Returns false, and leaves *value alone, for any other text
 * and for numbers above TN_WHOLE_MAX. */
bool tn_whole_read(const char *text, uint64_t *value);

/* Reads 1, true, yes, on, or 0, false, no, off, in any case. Returns false, and leaves *on alone, for any other text. */
bool tn_switch_read(const char *text, bool *on);

#endif
