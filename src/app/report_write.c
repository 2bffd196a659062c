#include "app/report_write.h"

#include <stdlib.h>
#include <time.h>

const char *tn_app_date(char date[TN_APP_DATE_SIZE])
{
    const char *fixed = getenv("SOURCE_DATE_EPOCH");
    time_t now = fixed != NULL ? (time_t)strtoll(fixed, NULL, 10) : time(NULL);
    struct tm parts;
    if (gmtime_r(&now, &parts) == NULL || strftime(date, TN_APP_DATE_SIZE, "%Y-%m-%d", &parts) == 0)
        date[0] = '\0';
    return date;
}
