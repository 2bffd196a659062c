/* The alphabet of byte-level vocabularies. Source: the GPT-2 encoder: bytes that are printable in Latin-1 represent
 * themselves, the others are U+0100 and up in order. */
#include "text/vocabulary.h"

static bool is_itself(int32_t c)
{
    return (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c <= 0xFF);
}

/* The byte that a character of the alphabet represents, -1 for any other character. U+0100 to U+0143 are, in order, the
 * bytes 0x00-0x20, 0x7F-0xA0 and 0xAD. */
static int byte_of(int32_t c)
{
    if (is_itself(c))
        return c;
    int32_t index = c - 0x100;
    if (index < 0 || index > 67)
        return -1;
    return index < 33 ? index : index < 67 ? 0x7F + index - 33 : 0xAD;
}

tenebra_code tn_alphabet_decode(const char *name, size_t length, tn_text *bytes, tenebra_error *error)
{
    size_t before = bytes->length;
    for (size_t i = 0; i < length;) {
        int32_t c;
        i += tn_utf8_read(name + i, length - i, &c);
        int byte = byte_of(c);
        if (byte < 0) {
            bytes->length = before;
            return tn_text_append(bytes, name, length, error);
        }
        char value = (char)byte;
        TN_TRY(tn_text_append(bytes, &value, 1, error));
    }
    return TENEBRA_OK;
}
