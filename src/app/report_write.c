#include "app/report_write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static tenebra_code write_file(const char *path, const char *page, tenebra_error *error)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be written: %s", strerror(errno));
    bool whole = fwrite(page, 1, strlen(page), file) == strlen(page);
    whole &= fclose(file) == 0;
    return whole ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be written: %s", strerror(errno));
}

tenebra_code tn_app_write_page(const char *path, const char *page, tenebra_error *error)
{
    char *beside = malloc(strlen(path) + 8);
    if (beside == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory for its name");
    sprintf(beside, "%s.part", path);
    tenebra_code code = write_file(beside, page, error);
    if (code == TENEBRA_OK && rename(beside, path) != 0)
        code = tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be written: %s", strerror(errno));
    if (code != TENEBRA_OK)
        remove(beside);
    free(beside);
    return code;
}

const char *tn_app_date(char date[TN_APP_DATE_SIZE])
{
    const char *fixed = getenv("SOURCE_DATE_EPOCH");
    time_t now = fixed != NULL ? (time_t)strtoll(fixed, NULL, 10) : time(NULL);
    struct tm parts;
    if (gmtime_r(&now, &parts) == NULL || strftime(date, TN_APP_DATE_SIZE, "%Y-%m-%d", &parts) == 0)
        date[0] = '\0';
    return date;
}
