/* The tables of an evaluation in a page. */
#ifndef TN_REPORT_TABLES_H
#define TN_REPORT_TABLES_H

#include "eval/table.h"
#include "report/markup.h"

/* All tables of tn_table_report, with the same columns and digits as in the other formats. Each number is in a <data>
 * element whose value is the number itself. Columns of methods get their marks from `groups`. */
void tn_tables_write(tn_markup *out, const tn_table_groups *groups, const json_t *report);

#endif
