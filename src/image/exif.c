#include "image/exif.h"

#include "base/checked.h"

#include <stdint.h>
#include <string.h>

enum {
    TAG_ORIENTATION = 0x0112,
    HEADER = 8,     /* bytes of a TIFF structure before its directory */
    ENTRY = 12,     /* bytes */
    IN_ENTRY = 4,   /* bytes of data that are stored in the entry itself */
    UPRIGHT = 1
};

/* Bytes of a value by type; 0: not a type. Types: 1 byte, 2 text, 3 short, 4 long, 5 rational, 6 to 10 the same with a
 * sign (7: bytes of any meaning), 11 float, 12 double, 13 directory, 16 long of 8 bytes (of BigTIFF). */
static const unsigned char sizes[] = { 0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8 };

typedef struct tiff {
    const unsigned char *bytes;
    size_t length;
    bool big_endian;
} tiff;

/* `count` <= 8 bytes at `at` as a number; the caller has checked the length. */
static uint64_t number(const unsigned char *at, size_t count, bool big_endian)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++)
        value = value << 8 | at[big_endian ? i : count - 1 - i];
    return value;
}

/* The first value of a type, as a number; 0 if it is not a number. */
static double value_of(const unsigned char *data, unsigned type, bool big_endian)
{
    uint64_t bits = number(data, sizes[type], big_endian);
    switch (type) {
    case 3:
    case 4:
    case 13:
    case 16:
        return (double)bits;
    case 6:
        return (double)(int8_t)bits;
    case 8:
        return (double)(int16_t)bits;
    case 9:
        return (double)(int32_t)bits;
    case 5:
    case 10: {
        uint32_t above = (uint32_t)number(data, 4, big_endian), below = (uint32_t)number(data + 4, 4, big_endian);
        double top = type == 5 ? (double)above : (double)(int32_t)above, bottom = type == 5 ? (double)below : (double)(int32_t)below;
        return below != 0 ? top / bottom : 0;
    }
    case 11: {
        float value;
        uint32_t narrow = (uint32_t)bits;
        memcpy(&value, &narrow, sizeof value);
        return (double)value;
    }
    case 12: {
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    default: /* texts and bytes */
        return 0;
    }
}

static unsigned orientation_of(const unsigned char *data, unsigned type, bool big_endian)
{
    double value = value_of(data, type, big_endian);
    for (unsigned orientation = 2; orientation <= 8; orientation++)
        if (value == (double)orientation)
            return orientation;
    return UPRIGHT;
}

static bool search(const tiff *t, size_t directory, unsigned *orientation)
{
    size_t entries = (size_t)number(t->bytes + directory, 2, t->big_endian), left = (t->length - directory - 2) / ENTRY, total = 0;
    const unsigned char *entry = t->bytes + directory + 2;
    for (size_t i = 0; i < entries && i < left; i++, entry += ENTRY) {
        unsigned type = (unsigned)number(entry + 2, 2, t->big_endian);
        size_t count = (size_t)number(entry + 4, 4, t->big_endian), size;
        if (type >= sizeof sizes || sizes[type] == 0 || count == 0)
            continue;
        const unsigned char *data = entry + 8;
        if (!tn_size_mul(count, sizes[type], &size))
            continue;
        if (size > IN_ENTRY) {
            size_t offset = (size_t)number(data, 4, t->big_endian);
            if (!tn_size_add(total, size, &total))
                return false;
            if (total > t->length)
                continue;
            if (offset > t->length || size > t->length - offset)
                return false;
            data = t->bytes + offset;
        }
        if (number(entry, 2, t->big_endian) == TAG_ORIENTATION) {
            *orientation = orientation_of(data, type, t->big_endian);
            return true;
        }
    }
    return false;
}

bool tn_exif_orientation(const unsigned char *bytes, size_t length, unsigned *orientation)
{
    static const unsigned char prefix[] = { 'E', 'x', 'i', 'f', 0, 0 };
    for (int times = 0; times < 2 && length >= sizeof prefix && memcmp(bytes, prefix, sizeof prefix) == 0; times++) {
        bytes += sizeof prefix;
        length -= sizeof prefix;
    }
    if (length < HEADER)
        return false;
    tiff t = { bytes, length, memcmp(bytes, "MM", 2) == 0 };
    bool order = t.big_endian || memcmp(bytes, "II", 2) == 0;
    bool magic = memcmp(bytes + 2, "*\0", 2) == 0 || memcmp(bytes + 2, "\0*", 2) == 0; /* accepted in the wrong byte
                                                                                        * order, too, as in Pillow */
    size_t directory = (size_t)number(bytes + 4, 4, t.big_endian);
    if (!order || !magic || directory > length || length - directory < 2)
        return false;
    return search(&t, directory, orientation);
}
