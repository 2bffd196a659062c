/* Shared by the commands that make pages. */
#ifndef TN_APP_REPORT_WRITE_H
#define TN_APP_REPORT_WRITE_H

/* Today's date, "2026-11-22" in UTC, or the date of SOURCE_DATE_EPOCH if that is set. */
enum { TN_APP_DATE_SIZE = 32 };
const char *tn_app_date(char date[TN_APP_DATE_SIZE]);

#endif
