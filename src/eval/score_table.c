#include "eval/score_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RANK_VARIANT = 0,
    RANK_COLUMN = 100,
    RANK_COLUMN_TOPIC = 200,
    RANK_DOMAIN = 1000,
    RANK_TOPIC = 2000
};

/* ---------------------------------------------------------------- groups -- */

/* The identity of a group as one text, in `text` or, if that is too small, in allocated memory; NULL without memory. */
static char *group_key(const tn_group *group, char *text, size_t size)
{
    const char *domain = group->domain != NULL ? group->domain : "";
    size_t wanted = strlen(domain) + strlen(group->name) + 32;
    char *key = wanted <= size ? text : malloc(wanted);
    if (key != NULL)
        snprintf(key, wanted <= size ? size : wanted, "%d%c%s\n%s", group->rank, group->domain != NULL ? '+' : '-', domain, group->name);
    return key;
}

static tenebra_code add_group(tn_tally *tally, const tn_group *wanted, const char *key, tenebra_error *error)
{
    TN_TRY(TN_GROW(tally->groups, tally->count, "score", error));
    if (json_object_set_new(tally->places, key, json_integer((json_int_t)tally->count)) != 0)
        return tn_fail_memory(error, "score");
    tally->groups[tally->count++] = *wanted;
    return TENEBRA_OK;
}

static tenebra_code find_group(tn_tally *tally, const tn_group *wanted, tn_group **out, tenebra_error *error)
{
    char text[256], *key = group_key(wanted, text, sizeof text);
    if (tally->places == NULL)
        tally->places = json_object();
    if (key == NULL || tally->places == NULL)
        return tn_fail_memory(error, "score");
    const json_t *place = json_object_get(tally->places, key);
    tenebra_code code = place == NULL ? add_group(tally, wanted, key, error) : TENEBRA_OK;
    if (code == TENEBRA_OK)
        *out = &tally->groups[place != NULL ? (size_t)json_integer_value(place) : tally->count - 1];
    if (key != text)
        free(key);
    return code;
}

/* Counts into the group `wanted`, which is created if it is missing; with `member` false it is only created. */
static tenebra_code count_group(tn_tally *tally, const tn_group *wanted, bool member, bool correct, tenebra_error *error)
{
    tn_group *group = NULL;
    TN_TRY(find_group(tally, wanted, &group, error));
    group->total += member;
    group->correct += member && correct;
    return TENEBRA_OK;
}

/* ------------------------------------------------- columns of the table -- */

enum { NAT, SOC, LAN, TXT, IMG, NO, G1_6, G7_12, AVG, COLUMNS };

/* The names of the leaderboard and of the official program. */
static const char *const columns[COLUMNS][2] = {
    { "NAT", "natural" },    { "SOC", "social" },      { "LAN", "language" },   { "TXT", "has_text" }, { "IMG", "has_image" },
    { "NO", "no_context" }, { "G1-6", "grade_1_6" }, { "G7-12", "grade_7_12" }, { "Avg", "average" },
};

/* Topics in the official order. */
static const char *const column_topics[] = {
    "punctuation", "literacy-in-science", "verbs", "pronouns", "civics", "culture", "word-study", "economics", "physics",
    "units-and-measurement", "science-and-engineering-practices", "reading-comprehension", "global-studies", "grammar",
    "figurative-language", "us-history", "writing-strategies", "world-history", "reference-skills", "biology",
    "earth-science", "phonological-awareness", "capitalization", "chemistry", "vocabulary", "geography",
};
enum { TOPICS = sizeof column_topics / sizeof *column_topics };

/* "grade7" gives 7; 0: not a grade. */
static long grade_of(const tn_sample *sample)
{
    char *end;
    if (strncmp(sample->grade, "grade", 5) != 0 || sample->grade[5] < '1' || sample->grade[5] > '9')
        return 0;
    long grade = strtol(sample->grade + 5, &end, 10);
    return *end == '\0' ? grade : 0;
}

static tenebra_code count_columns(tn_tally *tally, const tn_sample *sample, bool correct, tenebra_error *error)
{
    bool text = sample->context[0] != '\0', image = sample->image_count > 0;
    long grade = grade_of(sample);
    const bool member[COLUMNS] = {
        [NAT] = strcmp(sample->subject, "natural science") == 0,
        [SOC] = strcmp(sample->subject, "social science") == 0,
        [LAN] = strcmp(sample->subject, "language science") == 0,
        [TXT] = text, [IMG] = image, [NO] = !text && !image,
        [G1_6] = grade >= 1 && grade <= 6, [G7_12] = grade >= 7 && grade <= 12, [AVG] = true,
    };
    for (int i = 0; i < COLUMNS; i++)
        TN_TRY(count_group(tally, &(tn_group){ .name = columns[i][0], .other = columns[i][1], .rank = RANK_COLUMN + i },
                           member[i], correct, error));
    bool known = sample->topic[0] == '\0';
    for (int i = 0; i < TOPICS; i++) {
        bool here = strcmp(sample->topic, column_topics[i]) == 0;
        known |= here;
        TN_TRY(count_group(tally, &(tn_group){ .name = column_topics[i], .rank = RANK_COLUMN_TOPIC + i }, here, correct, error));
    }
    return known ? TENEBRA_OK
                 : count_group(tally, &(tn_group){ .name = sample->topic, .rank = RANK_COLUMN_TOPIC + TOPICS }, true, correct,
                               error);
}

static size_t total_of(const tn_tally *tally, int first, int last)
{
    size_t total = 0;
    for (size_t i = 0; i < tally->count; i++)
        if (tally->groups[i].rank >= first && tally->groups[i].rank <= last)
            total += tally->groups[i].total;
    return total;
}

static void drop_groups(tn_tally *tally, int first, int last)
{
    size_t kept = 0;
    for (size_t i = 0; i < tally->count; i++)
        if (tally->groups[i].rank < first || tally->groups[i].rank > last)
            tally->groups[kept++] = tally->groups[i];
    tally->count = kept;
}

/* ------------------------------------------------------ domains, topics -- */

static tenebra_code count_domains(tn_tally *tally, const tn_sample *sample, bool correct, tenebra_error *error)
{
    /* In the order of the published table; others follow. */
    static const char *const order[] = { "science", "commonsense", "mathematics" };
    int place = 0;
    while (place < 3 && strcmp(sample->domain, order[place]) != 0)
        place++;
    if (sample->domain[0] != '\0')
        TN_TRY(count_group(tally, &(tn_group){ .name = sample->domain, .rank = RANK_DOMAIN + place }, true, correct, error));
    if (sample->topic[0] == '\0')
        return TENEBRA_OK;
    const tn_group topic = { .name = sample->topic, .domain = sample->domain, .rank = RANK_TOPIC + place };
    return count_group(tally, &topic, true, correct, error);
}

/* ----------------------------------------------------------------- tally -- */

static tenebra_code judge(const tn_tally *tally, const tn_scored *answer, size_t variant, tn_verdict *verdict,
                          tenebra_error *error)
{
    if (answer->text.bytes == NULL && !(answer->chosen && tally->scorer->by_choice))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, answer->sample->id,
                       "has no text, only the index of an option, and the scorer '%s' reads texts", tally->scorer->name);
    return tally->scorer->judge(verdict, answer, variant, error);
}

tenebra_code tn_tally_add(tn_tally *tally, const tn_scored *answer, tenebra_error *error)
{
    const tn_sample *sample = answer->sample;
    const char *const *variants = tally->scorer->variants;
    tn_verdict verdict, other;
    TN_TRY(judge(tally, answer, tally->variant, &verdict, error));
    tally->all.total++;
    tally->all.correct += verdict.correct;
    tally->found += verdict.found;
    for (size_t i = 0; variants != NULL && variants[i] != NULL; i++) {
        TN_TRY(judge(tally, answer, i, &other, error));
        TN_TRY(count_group(tally, &(tn_group){ .name = variants[i], .rank = RANK_VARIANT + (int)i }, true, other.correct, error));
    }
    if (tn_label_is_index(sample->label))
        return count_columns(tally, sample, verdict.correct, error);
    return count_domains(tally, sample, verdict.correct, error);
}

static int compare_groups(const void *a, const void *b)
{
    const tn_group *one = a, *two = b;
    if (one->rank != two->rank)
        return one->rank < two->rank ? -1 : 1;
    int domains = one->domain != NULL && two->domain != NULL ? strcmp(one->domain, two->domain) : 0;
    return domains != 0 ? domains : strcmp(one->name, two->name);
}

/* Topics that share their name with another group are shown with their domain. */
static void qualify(tn_tally *tally)
{
    json_t *names = json_object();
    for (size_t i = 0; i < tally->count && names != NULL; i++) {
        json_int_t count = json_integer_value(json_object_get(names, tally->groups[i].name));
        json_object_set_new(names, tally->groups[i].name, json_integer(count + 1));
    }
    for (size_t i = 0; i < tally->count; i++)
        tally->groups[i].qualified = tally->groups[i].domain != NULL &&
                                     json_integer_value(json_object_get(names, tally->groups[i].name)) != 1;
    json_decref(names);
}

void tn_tally_finish(tn_tally *tally)
{
    if (total_of(tally, RANK_COLUMN + NAT, RANK_COLUMN + LAN) == 0)
        drop_groups(tally, RANK_COLUMN + NAT, RANK_COLUMN + LAN);
    if (total_of(tally, RANK_COLUMN + TXT, RANK_COLUMN + IMG) == 0)
        drop_groups(tally, RANK_COLUMN + TXT, RANK_COLUMN + NO);
    if (total_of(tally, RANK_COLUMN + G1_6, RANK_COLUMN + G7_12) == 0)
        drop_groups(tally, RANK_COLUMN + G1_6, RANK_COLUMN + G7_12);
    if (total_of(tally, RANK_COLUMN_TOPIC, RANK_COLUMN_TOPIC + TOPICS) == 0)
        drop_groups(tally, RANK_COLUMN_TOPIC, RANK_COLUMN_TOPIC + TOPICS);
    if (tally->count > 0)
        qsort(tally->groups, tally->count, sizeof *tally->groups, compare_groups);
    json_decref(tally->places); /* they have moved */
    tally->places = NULL;
    qualify(tally);
}

void tn_tally_free(tn_tally *tally)
{
    json_decref(tally->places);
    tally->places = NULL;
    free(tally->groups);
    tally->groups = NULL;
    tally->count = 0;
}

/* ------------------------------------------------------------------ JSON -- */

double tn_group_percent(const tn_group *group)
{
    char text[32];
    if (group->total == 0)
        return -1;
    snprintf(text, sizeof text, "%.2f", (double)group->correct / (double)group->total * 100);
    return strtod(text, NULL);
}

const char *tn_group_name(const tn_group *group, char *text, size_t size)
{
    if (!group->qualified)
        return group->name;
    snprintf(text, size, "%s/%s", group->domain, group->name);
    return text;
}

static json_t *describe(const tn_group *group)
{
    return json_pack("{s:I, s:I, s:f}", "total", (json_int_t)group->total, "correct", (json_int_t)group->correct, "acc",
                     tn_group_percent(group));
}

json_t *tn_tally_json(const tn_tally *tally)
{
    json_t *groups = json_object(), *whole = describe(&tally->all);
    bool fits = groups != NULL && whole != NULL;
    for (size_t i = 0; i < tally->count && fits; i++) {
        const tn_group *group = &tally->groups[i];
        char name[256];
        fits = json_object_set_new(groups, tn_group_name(group, name, sizeof name), describe(group)) == 0 &&
               (group->other == NULL || json_object_set_new(groups, group->other, describe(group)) == 0);
    }
    fits = fits && json_object_set(whole, "groups", groups) == 0;
    json_decref(groups);
    if (fits)
        return whole;
    json_decref(whole);
    return NULL;
}
