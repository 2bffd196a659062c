#include "text/unicode.h"

tn_char_class tn_unicode_class(int32_t code_point)
{
    size_t low = 0, high = tn_unicode_range_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const tn_code_range *range = &tn_unicode_ranges[middle];
        if (code_point < range->begin)
            high = middle;
        else if (code_point > range->end)
            low = middle + 1;
        else
            return range->kind;
    }
    return TN_OTHER;
}

bool tn_unicode_is_punctuation(int32_t code_point)
{
    size_t low = 0, high = tn_unicode_punctuation_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const tn_point_range *range = &tn_unicode_punctuation[middle];
        if (code_point < range->begin)
            high = middle;
        else if (code_point > range->end)
            low = middle + 1;
        else
            return true;
    }
    return false;
}

int32_t tn_unicode_lower(int32_t code_point)
{
    size_t low = 0, high = tn_unicode_capital_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const tn_case_range *range = &tn_unicode_capitals[middle];
        if (code_point < range->begin)
            high = middle;
        else if (code_point > range->end)
            low = middle + 1;
        else
            return (code_point - range->begin) % range->step == 0 ? code_point + range->offset : code_point;
    }
    return code_point;
}
