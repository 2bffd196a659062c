/* What the commands that make pages share. */
#ifndef TN_APP_REPORT_WRITE_H
#define TN_APP_REPORT_WRITE_H

/* Today, "2026-11-22" in UTC, or of SOURCE_DATE_EPOCH where that is set. */
enum { TN_APP_DATE_SIZE = 32 };
const char *tn_app_date(char date[TN_APP_DATE_SIZE]);

#endif
