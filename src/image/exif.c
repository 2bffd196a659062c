#include "image/exif.h"

#include <stdint.h>
#include <string.h>

enum {
    TAG_ORIENTATION = 0x0112,
    TYPE_SHORT = 3,
    TYPE_LONG = 4,
    TIFF_HEADER = 8, /* bytes */
    ENTRY = 12,      /* bytes */
    UPRIGHT = 1
};

/* `bytes` (2 or 4) at `at` as a number; the caller has checked the length. */
static uint32_t number(const unsigned char *at, size_t bytes, bool big_endian)
{
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[big_endian ? i : bytes - 1 - i];
    return value;
}

static unsigned orientation_of_entry(const unsigned char *entry, bool big_endian)
{
    uint32_t type = number(entry + 2, 2, big_endian), count = number(entry + 4, 4, big_endian);
    uint32_t value = 0;
    if (type == TYPE_SHORT && count == 1)
        value = number(entry + 8, 2, big_endian);
    else if (type == TYPE_LONG && count == 1) /* not allowed, but written by some cameras */
        value = number(entry + 8, 4, big_endian);
    return value >= 1 && value <= 8 ? value : UPRIGHT;
}

unsigned tn_exif_orientation(const unsigned char *tiff, size_t length)
{
    if (length >= 6 && memcmp(tiff, "Exif\0\0", 6) == 0) {
        tiff += 6;
        length -= 6;
    }
    if (length < TIFF_HEADER)
        return UPRIGHT;
    bool big_endian = memcmp(tiff, "MM\0*", 4) == 0;
    if (!big_endian && memcmp(tiff, "II*\0", 4) != 0)
        return UPRIGHT;
    size_t directory = number(tiff + 4, 4, big_endian);
    if (directory > length || length - directory < 2)
        return UPRIGHT;
    size_t entries = number(tiff + directory, 2, big_endian);
    const unsigned char *entry = tiff + directory + 2;
    size_t left = (length - directory - 2) / ENTRY;
    for (size_t i = 0; i < entries && i < left; i++, entry += ENTRY)
        if (number(entry, 2, big_endian) == TAG_ORIENTATION)
            return orientation_of_entry(entry, big_endian);
    return UPRIGHT;
}

/* Markers without a length: TEM and the restart markers. */
static bool stands_alone(unsigned marker)
{
    return marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7);
}

unsigned tn_exif_of_jpeg(const unsigned char *bytes, size_t length)
{
    enum { SOI_BYTES = 2, EOI = 0xD9, SOS = 0xDA, APP1 = 0xE1 };
    size_t at = SOI_BYTES;
    while (at < length && length - at >= 4) {
        unsigned marker = bytes[at + 1];
        if (bytes[at] != 0xFF || marker == EOI || marker == SOS)
            return UPRIGHT;
        if (marker == 0xFF) { /* a fill byte */
            at++;
            continue;
        }
        at += 2;
        if (stands_alone(marker))
            continue;
        size_t segment = number(bytes + at, 2, true); /* its own two bytes included */
        if (segment < 2 || segment > length - at)
            return UPRIGHT;
        if (marker == APP1 && segment >= 8 && memcmp(bytes + at + 2, "Exif\0", 5) == 0)
            return tn_exif_orientation(bytes + at + 8, segment - 8);
        at += segment;
    }
    return UPRIGHT;
}

unsigned tn_exif_of_png(const unsigned char *bytes, size_t length)
{
    enum { SIGNATURE = 8, FRAME = 12 /* length, type and CRC of a chunk */ };
    size_t at = SIGNATURE;
    while (at < length && length - at >= FRAME) {
        size_t size = number(bytes + at, 4, true);
        if (size > length - at - FRAME)
            return UPRIGHT;
        if (memcmp(bytes + at + 4, "eXIf", 4) == 0)
            return tn_exif_orientation(bytes + at + 8, size);
        at += FRAME + size;
    }
    return UPRIGHT;
}

unsigned tn_exif_of_webp(const unsigned char *bytes, size_t length)
{
    enum { RIFF_HEADER = 12, FRAME = 8 /* name and size of a chunk */ };
    size_t at = RIFF_HEADER;
    while (at < length && length - at >= FRAME) {
        size_t size = number(bytes + at + 4, 4, false);
        if (size > length - at - FRAME)
            return UPRIGHT;
        if (memcmp(bytes + at, "EXIF", 4) == 0)
            return tn_exif_orientation(bytes + at + FRAME, size);
        at += FRAME + size + (size & 1); /* chunks are padded to even sizes */
    }
    return UPRIGHT;
}
