/* Finds added tokens in a text, with an automaton over the tokens read backwards (Aho and Corasick 1975, CACM 18(6)).
 * One pass from the end of a text to its start gives, for every byte, the longest token that starts there, in time that
 * does not depend on the length of the tokens. */
#include "text/vocabulary.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

/* A suffix of a token, as a path from the root. Children are a list; there are at most 256, because they differ in one
 * byte. */
struct tn_added_node {
    int32_t child, sibling; /* -1: none                                                                */
    int32_t shorter;        /* the longest other path that is a suffix of this one, read backwards     */
    int32_t token;          /* the longest token that this path or one of the shorter ones spells; -1: none */
    int32_t queued;         /* the next node in breadth-first order                                    */
    unsigned char byte;     /* on the way from the parent                                              */
};

tenebra_code tn_vocabulary_mark_added(tn_vocabulary *vocabulary, int32_t id, bool special, bool normalized,
                                      tenebra_error *error)
{
    tn_token *token = &vocabulary->tokens[id];
    if (!token->added) {
        TN_TRY(TN_GROW(vocabulary->added, vocabulary->added_count, "added tokens", error));
        vocabulary->added[vocabulary->added_count++] = id;
    }
    token->added = true;
    token->special = special;
    token->normalized = normalized;
    return TENEBRA_OK;
}

/* ------------------------------------------------------------- building -- */

static int32_t child_of(const tn_added_node *nodes, int32_t node, unsigned char byte)
{
    int32_t child = nodes[node].child;
    while (child >= 0 && nodes[child].byte != byte)
        child = nodes[child].sibling;
    return child;
}

/* Adds the path of a token, from its last byte to its first. */
static void insert(const tn_vocabulary *vocabulary, int32_t id, tn_added_node *nodes, int32_t *count)
{
    const char *bytes = tn_vocabulary_bytes(vocabulary, id);
    int32_t node = 0;
    for (size_t at = vocabulary->tokens[id].length; at-- > 0;) {
        unsigned char byte = (unsigned char)bytes[at];
        int32_t child = child_of(nodes, node, byte);
        if (child < 0) {
            child = (*count)++;
            nodes[child] = (tn_added_node){ .child = -1, .sibling = nodes[node].child, .token = -1, .queued = -1, .byte = byte };
            nodes[node].child = child;
        }
        node = child;
    }
    nodes[node].token = id;
}

/* The next node of the automaton after `node` for `byte`. */
static int32_t step(const tn_added_node *nodes, int32_t node, unsigned char byte)
{
    for (int32_t child;; node = nodes[node].shorter) {
        if ((child = child_of(nodes, node, byte)) >= 0)
            return child;
        if (node == 0)
            return 0;
    }
}

/* Sets `shorter` and the fields that depend on it, from the root outwards. */
static void link_shorter(tn_added_node *nodes)
{
    for (int32_t node = 0, last = 0; node >= 0; node = nodes[node].queued)
        for (int32_t child = nodes[node].child; child >= 0; child = nodes[child].sibling) {
            nodes[child].shorter = node == 0 ? 0 : step(nodes, nodes[node].shorter, nodes[child].byte);
            if (nodes[child].token < 0)
                nodes[child].token = nodes[nodes[child].shorter].token;
            nodes[last].queued = child;
            last = child;
        }
}

tenebra_code tn_vocabulary_index_added(tn_vocabulary *vocabulary, tenebra_error *error)
{
    tn_added_node *made[2] = { NULL, NULL };
    for (size_t kind = 0; kind < 2; kind++) {
        size_t total = 1;
        for (size_t i = 0; i < vocabulary->added_count; i++) {
            const tn_token *token = &vocabulary->tokens[vocabulary->added[i]];
            total += token->normalized == (kind == 1) ? token->length : 0; /* within the pool: less than 4 GiB */
        }
        if (total == 1)
            continue;
        made[kind] = total > INT32_MAX ? NULL : malloc(total * sizeof *made[kind]);
        if (made[kind] == NULL) {
            free(made[0]);
            return tn_fail(error, TENEBRA_ERROR_MEMORY, "added tokens", "no memory to look for %zu bytes of them", total);
        }
        int32_t count = 1;
        made[kind][0] = (tn_added_node){ .child = -1, .sibling = -1, .token = -1, .queued = -1 };
        for (size_t i = 0; i < vocabulary->added_count; i++)
            if (vocabulary->tokens[vocabulary->added[i]].normalized == (kind == 1))
                insert(vocabulary, vocabulary->added[i], made[kind], &count);
        link_shorter(made[kind]);
    }
    for (size_t kind = 0; kind < 2; kind++) {
        free(vocabulary->added_nodes[kind]);
        vocabulary->added_nodes[kind] = made[kind];
    }
    return TENEBRA_OK;
}

/* -------------------------------------------------------------- looking -- */

bool tn_vocabulary_has_added(const tn_vocabulary *vocabulary, bool normalized)
{
    return vocabulary->added_nodes[normalized] != NULL;
}

void tn_vocabulary_find_added(const tn_vocabulary *vocabulary, const char *bytes, size_t length, bool normalized, int32_t *ids)
{
    const tn_added_node *nodes = vocabulary->added_nodes[normalized];
    int32_t node = 0;
    for (size_t at = length; at-- > 0;) {
        node = nodes != NULL ? step(nodes, node, (unsigned char)bytes[at]) : 0;
        ids[at] = nodes != NULL ? nodes[node].token : -1;
    }
}
