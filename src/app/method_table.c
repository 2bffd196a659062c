#include "app/method_table.h"

#include <stdio.h>
#include <string.h>

void tn_method_table_fill(tn_method_table *table)
{
    const tenebra_option *rows;
    const char *name;
    for (size_t m = 0; (name = tenebra_method_at(m, NULL, &rows)) != NULL; m++) {
        size_t length = strlen(table->names);
        snprintf(table->names + length, sizeof table->names - length, "%s%s", m ? "|" : "", name);
        for (; rows->name != NULL; rows++) {
            bool known = false;
            for (size_t i = 0; i < table->count; i++)
                known |= strcmp(table->options[i]->name, rows->name) == 0;
            if (!known && table->count < TN_METHOD_OPTIONS_MAX)
                table->options[table->count++] = rows;
        }
    }
}

size_t tn_method_table_choose(const tn_method_table *table, const tn_trained *trained, const char *method, bool strict,
                              tenebra_setting *settings)
{
    size_t count = 0;
    for (size_t i = 0; i < table->count; i++) {
        const char *name = table->options[i]->name, *value = table->values[i];
        if (value == NULL)
            value = tn_trained_setting(trained, method, name);
        if ((strict && table->given[i]) || (value != NULL && tn_method_has_option(method, name)))
            settings[count++] = (tenebra_setting){ name, value };
    }
    return count;
}

void tn_method_table_rows(tn_method_table *table, tn_option *rows)
{
    for (size_t i = 0; i < table->count; i++) {
        const tenebra_option *row = table->options[i];
        char *help = table->help[i];
        bool fits = strpbrk(row->value, " \n") == NULL;
        size_t end = (size_t)snprintf(help, TN_METHOD_HELP_SIZE, "%s%s%s%s", row->help, fits ? " (" : "", fits ? row->value : "",
                                      fits ? ")" : "");
        const char *method, *separator = " [";
        for (size_t m = 0; (method = tenebra_method_at(m, NULL, NULL)) != NULL; m++)
            if (tn_method_has_option(method, row->name) && end < TN_METHOD_HELP_SIZE) {
                end += (size_t)snprintf(help + end, TN_METHOD_HELP_SIZE - end, "%s%s", separator, method);
                separator = ", ";
            }
        if (end < TN_METHOD_HELP_SIZE)
            snprintf(help + end, TN_METHOD_HELP_SIZE - end, "]");
        rows[i] = (tn_option){ 0, row->name, TN_OPTION_SETTING, &table->values[i], row->argument, help, 0, 0, &table->given[i] };
    }
}
