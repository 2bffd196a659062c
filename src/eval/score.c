#include "eval/score.h"

#include "base/nearest.h"

#include <stdio.h>
#include <string.h>

const tn_scorer *tn_scorer_find(const char *name)
{
    for (const tn_scorer *const *scorer = tn_scorers; *scorer != NULL; scorer++)
        if (strcmp((*scorer)->name, name) == 0)
            return *scorer;
    return NULL;
}

const tn_scorer *tn_scorer_standard(void)
{
    const tn_scorer *const *scorer = tn_scorers;
    while (*scorer != NULL && !(*scorer)->standard)
        scorer++;
    return *scorer;
}

const char *tn_scorer_for_words(void)
{
    const tn_scorer *const *scorer = tn_scorers;
    while (*scorer != NULL && (*scorer)->for_words == NULL)
        scorer++;
    return *scorer != NULL ? (*scorer)->for_words : NULL;
}

/* Comma-separated names, as many as fit. */
static void list_names(char *text, size_t size, const tn_scorer *scorer)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; used < size; i++) {
        const char *name = scorer != NULL ? scorer->variants[i] : tn_scorers[i] != NULL ? tn_scorers[i]->name : NULL;
        if (name == NULL)
            return;
        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "", name);
    }
}

static tenebra_code choose_variant(const tn_scorer *scorer, const char *name, size_t *variant, tenebra_error *error)
{
    char names[128];
    if (scorer->variants == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "scorer", "'%s' has no variants, so no ':%.40s'", scorer->name, name);
    for (size_t i = 0; scorer->variants[i] != NULL; i++)
        if (strcmp(scorer->variants[i], name) == 0) {
            *variant = i;
            return TENEBRA_OK;
        }
    list_names(names, sizeof names, scorer);
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "scorer", "'%s' has no variant '%.40s', but %s", scorer->name, name, names);
}

tenebra_code tn_scorer_choose(const char *name, const tn_scorer **scorer, size_t *variant, tenebra_error *error)
{
    char stem[64];
    size_t length = strcspn(name, ":");
    *variant = 0;
    *scorer = NULL;
    if (length < sizeof stem) {
        memcpy(stem, name, length);
        stem[length] = '\0';
        *scorer = tn_scorer_find(stem);
    }
    if (*scorer == NULL) {
        char names[192];
        tn_nearest nearest = tn_nearest_of(name, length);
        list_names(names, sizeof names, NULL);
        for (size_t i = 0; tn_scorers[i] != NULL; i++)
            tn_nearest_try(&nearest, tn_scorers[i]->name);
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "scorer", "there is no '%.60s'; there are %s%s", name, names,
                       tn_nearest_hint(&nearest));
    }
    return name[length] == ':' ? choose_variant(*scorer, name + length + 1, variant, error) : TENEBRA_OK;
}

bool tn_label_is_index(const char *label)
{
    size_t digits = strspn(label, "0123456789");
    return digits > 0 && digits < 7 && label[digits] == '\0';
}

long tn_label_index(const char *label)
{
    if (label[0] >= 'A' && label[0] <= 'Z' && label[1] == '\0')
        return label[0] - 'A';
    if (!tn_label_is_index(label))
        return TN_NO_CHOICE;
    long value = 0;
    for (; *label != '\0'; label++)
        value = value * 10 + (*label - '0');
    return value;
}

size_t tn_option_count(const tn_scored *answer)
{
    return answer->sample->option_count > 0 ? answer->sample->option_count : answer->option_limit;
}

void tn_verdict_choose(tn_verdict *verdict, const tn_scored *answer, long choice)
{
    *verdict = (tn_verdict){ .found = true, .choice = choice };
    verdict->correct = choice != TN_NO_CHOICE && choice == tn_label_index(answer->sample->label);
    verdict->letters = choice >= 0 && choice < 26 ? 1u << choice : 0;
}
