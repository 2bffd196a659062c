#include "app/method_table.h"

#include <stdio.h>
#include <string.h>

/* Whether one of the methods [0, end) has an option of that name. */
static bool is_known(size_t end, const char *name)
{
    for (size_t m = 0; m < end; m++)
        if (tn_method_option(tn_methods[m]->name, name) != NULL)
            return true;
    return false;
}

const tn_option *tn_method_table_at(size_t index)
{
    for (size_t m = 0; tn_methods[m] != NULL; m++)
        for (const tn_option *row = tn_methods[m]->options; row->name != NULL; row++)
            if (!is_known(m, row->name) && index-- == 0)
                return row;
    return NULL;
}

size_t tn_method_table_bind(tn_method_table *table, tn_bound_option *bound, size_t room)
{
    size_t count = 0;
    const tn_option *row;
    for (; count < room && count < TN_METHOD_OPTIONS_MAX && (row = tn_method_table_at(count)) != NULL; count++)
        bound[count] = (tn_bound_option){ .row = row, .setting = true, .text = table != NULL ? &table->values[count] : NULL,
                                          .given = table != NULL ? &table->given[count] : NULL };
    return count;
}

size_t tn_method_table_choose(const tn_method_table *table, const tn_trained *trained, const char *method, bool strict,
                              tenebra_setting *settings)
{
    size_t count = 0;
    const tn_option *row;
    for (size_t i = 0; (row = tn_method_table_at(i)) != NULL; i++) {
        const char *value = table->values[i];
        if (value == NULL)
            value = tn_trained_setting(trained, method, row->name);
        if ((strict && table->given[i]) || (value != NULL && tn_method_option(method, row->name) != NULL))
            settings[count++] = (tenebra_setting){ row->name, value };
    }
    return count;
}

void tn_method_table_name_methods(const char *option, char *text, size_t size)
{
    const char *standard = NULL;
    size_t used = 0;
    for (size_t m = 0; tn_methods[m] != NULL && used < size; m++) {
        const tn_option *row = tn_method_option(tn_methods[m]->name, option);
        if (row == NULL)
            continue;
        used += (size_t)snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : " [", tn_methods[m]->name);
        standard = standard != NULL ? standard : row->value;
        if (row->value != NULL && strcmp(row->value, standard) != 0 && used < size)
            used += (size_t)snprintf(text + used, size - used, ": %s", row->value);
    }
    if (used < size)
        snprintf(text + used, size - used, "]");
}
