#include "base/address.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#define NETWORK "it is an address, and nothing is fetched from a network; download it and give the path of the file"

const char *tn_address_hint(const char *path)
{
    static const struct {
        const char *front, *hint;
    } rows[] = { { "http://", NETWORK }, { "https://", NETWORK }, { "ftp://", NETWORK }, { "s3://", NETWORK }, { "hf://", NETWORK },
                 { "file://", "it is an address; give the path without file://" },
                 { "data:", "it is data, not the path of a file" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strncasecmp(path, rows[i].front, strlen(rows[i].front)) == 0)
            return rows[i].hint;
    return NULL;
}
